// Operations on each element by itself. `x` and the result may be one tensor.

KERNEL relu_forward(const number* x, number* y, i64 n) {
    map1(x, y, n, [](float x) { return x < 0.0f ? 0.0f : x; });
}
KERNEL relu_backward(const number* y, const number* dy, number* dx, i64 n) {
    map2(y, dy, dx, n, [](float y, float dy) { return y <= 0.0f ? 0.0f : dy; });
}
KERNEL tanh_forward(const number* x, number* y, i64 n) {
    map1(x, y, n, [](float x) { return tanh_of(x); });
}
KERNEL tanh_backward(const number* y, const number* dy, number* dx, i64 n) {
    map2(y, dy, dx, n, [](float y, float dy) { return dy * (1.0f - y * y); });
}

// GELU: `x Phi(x)`, by the error function or in the tanh form.
#define ROOT_HALF 0.70710678f
#define SCALE 0.79788456f
#define CUBE 0.044715f

// `Phi(x)` and its derivative. For results that will be rounded, Abramowitz & Stegun's 7.1.26 (1.5e-7), whose exponential is the
// derivative's.
struct Normal {
    float below, density;
};
__device__ __forceinline__ Normal normal(float x) {
    if (!ROUNDED) return {0.5f * (1.0f + erff(x * ROOT_HALF)), 0.5f * SCALE * expf(-0.5f * x * x)};
    float e = __expf(-0.5f * x * x), t = __fdividef(1.0f, 1.0f + 0.3275911f * ROOT_HALF * fabsf(x));
    float p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    float beyond = 0.5f * p * e;
    return {x < 0.0f ? beyond : 1.0f - beyond, 0.5f * SCALE * e};
}
KERNEL gelu_erf_forward(const number* x, number* y, i64 n) {
    map1(x, y, n, [](float x) { return ROUNDED ? x * normal(x).below : 0.5f * x * (1.0f + erff(x * ROOT_HALF)); });
}
__device__ __forceinline__ float gelu_erf_slope(float x) {
    Normal at = normal(x);
    float slope = fabsf(x) > 20.0f ? 0.0f : x * at.density;
    return at.below + slope;
}
KERNEL gelu_erf_backward(const number* x, const number* dy, number* dx, i64 n) {
    map2(x, dy, dx, n, [](float x, float dy) { return dy * gelu_erf_slope(x); });
}

// `(1 + tanh u) / 2`, a sigmoid, and `1 - tanh^2 u`, for `u = SCALE (x + CUBE x^3)`. For results that will be rounded, without the
// cancellation that a rounded tanh would have.
struct Step {
    float up, slope;
};
__device__ __forceinline__ Step step(float x) {
    float u = SCALE * (x + CUBE * x * x * x);
    if (!ROUNDED) {
        float t = tanhf(u);
        return {0.5f * (1.0f + t), 1.0f - t * t};
    }
    // Beyond 40 it is 0 or 1 to the last bit. A NaN stays one.
    float e = __expf(-2.0f * (u < -40.0f ? -40.0f : u)), up = __fdividef(1.0f, 1.0f + e);
    return {up, 4.0f * up * (up * e)};
}
KERNEL gelu_tanh_forward(const number* x, number* y, i64 n) {
    map1(x, y, n, [](float x) { return ROUNDED ? x * step(x).up : 0.5f * x * (1.0f + tanhf(SCALE * (x + CUBE * x * x * x))); });
}
__device__ __forceinline__ float gelu_tanh_slope(float x) {
    Step at = step(x);
    float slope = 0.5f * x * at.slope * SCALE * (1.0f + 3.0f * CUBE * x * x);
    return at.up + (fabsf(x) > 20.0f ? 0.0f : slope);
}
KERNEL gelu_tanh_backward(const number* x, const number* dy, number* dx, i64 n) {
    map2(x, dy, dx, n, [](float x, float dy) { return dy * gelu_tanh_slope(x); });
}

// The same of a position's rows of `d`, `[n, t, d]`, with the sums of the result over positions, `[n, d]`.
template <class F>
__device__ __forceinline__ void slopes_with_sums(const number* x, const number* dy, number* dx, float* sums, int t, int d, F slope) {
    int column = blockIdx.y * COLUMNS + own_column();
    i64 first = (i64)blockIdx.x * t * d + column;
    Many<number> sum = {};
    if (column < d) {
#pragma unroll 4
        for (int s = own_position(); s < t; s += POSITIONS) {
            i64 at = first + (i64)s * d;
            Many<number> g = load_many(dy + at), v = load_many(x + at);
            float *of_g = (float*)g.of, *of_x = (float*)v.of;
#pragma unroll
            for (int k = 0; k < g.COUNT; ++k) of_g[k] *= slope(of_x[k]);
            store_many(dx + at, g);
            add_many(sum, g);
        }
    }
    write_column_sums(sum, sums + (i64)blockIdx.x * d + blockIdx.y * COLUMNS, d - blockIdx.y * COLUMNS);
}
KERNEL gelu_erf_backward_sums(const number* x, const number* dy, number* dx, float* sums, int t, int d) {
    slopes_with_sums(x, dy, dx, sums, t, d, gelu_erf_slope);
}
KERNEL gelu_tanh_backward_sums(const number* x, const number* dy, number* dx, float* sums, int t, int d) {
    slopes_with_sums(x, dy, dx, sums, t, d, gelu_tanh_slope);
}

// `sigmoid(x)` and `sigmoid(-x)`, without cancellation.
__device__ float2 sigmoids(float x) {
    float e = expf(-fabsf(x)), large = 1.0f / (1.0f + e), small = e / (1.0f + e);
    return x < 0.0f ? make_float2(small, large) : make_float2(large, small);
}
// Beyond this the sigmoid is 0 or 1, and its slope 0, to the last bit.
#define FAR 110.0f
KERNEL silu_forward(const number* x, number* y, i64 n) {
    map1(x, y, n, [](float x) { return (x < -FAR ? -FAR : x) * sigmoids(x).x; });
}
KERNEL silu_backward(const number* x, const number* dy, number* dx, i64 n) {
    map2(x, dy, dx, n, [](float x, float dy) {
        x = x < -FAR ? -FAR : x > FAR ? FAR : x;
        float2 s = sigmoids(x);
        return dy * (s.x * (1.0f + x * s.y));
    });
}

KERNEL add_pairs(const number* a, const number* b, number* c, i64 n) {
    map2(a, b, c, n, [](float a, float b) { return a + b; });
}
KERNEL multiply_pairs(const number* a, const number* b, number* c, i64 n, float by) {
    map2(a, b, c, n, [=](float a, float b) { return a * (b * by); });
}
// Rows of `width` from a matrix with rows of one length to one with rows of another.
KERNEL move_rows(const number* from, number* to, i64 from_row, i64 to_row, int width) {
    from += blockIdx.x * from_row, to += blockIdx.x * to_row;
    int end = min(width, (int)(blockIdx.y + 1) * 4096);
    for (int j = blockIdx.y * 4096 + threadIdx.x; j < end; j += blockDim.x) to[j] = from[j];
}
// Words from page-locked memory of the host.
KERNEL fetch_words(const u32* from, u32* to, i64 n) {
    i64 i = THREAD;
    if (i < n) to[i] = from[i];
}

// Numbers of one type as those of another, eight to a thread.
template <class A, class B> __device__ __forceinline__ void convert(const A* from, B* to, i64 n) {
    i64 i = 8 * THREAD;
    if (i + 7 < n) {
        store4(to + i, load4(from + i)), store4(to + i + 4, load4(from + i + 4));
        return;
    }
    for (; i < n; ++i) to[i] = from[i];
}
KERNEL widen(const bf16* from, float* to, i64 n) { convert(from, to, n); }
KERNEL round_to_bf16(const float* from, bf16* to, i64 n) { convert(from, to, n); }

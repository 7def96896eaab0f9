// Layer, root-mean-square and group normalisation of any size: layer_norm.cu and group_norm.cu hold what fits in registers. A warp
// makes a row, a block a group.

// `xhat = (x - mean) / sqrt(variance + eps)`, `y = gamma xhat + beta` for rows of `d`.
KERNEL layer_norm_forward(const number* x, const float* gamma, const float* beta, float eps, number* y, number* xhat,
                          float* rstd, i64 rows, int d) {
    i64 row = THREAD >> 5;
    int lane = threadIdx.x & 31;
    if (row >= rows) return;
    x += row * d, y += row * d, xhat += row * d;
    float sum = 0.0f;
    for (int j = lane; j < d; j += 32) sum += x[j];
    float mean = warp_sum(sum) / d, square = 0.0f;
    for (int j = lane; j < d; j += 32) square += (x[j] - mean) * (x[j] - mean);
    float scale = 1.0f / sqrtf(warp_sum(square) / d + eps);
    for (int j = lane; j < d; j += 32) {
        float h = (x[j] - mean) * scale;
        xhat[j] = h;
        y[j] = h * gamma[j] + beta[j];
    }
    if (lane == 0) rstd[row] = scale;
}

// `dx = rstd (g - mean(g) - xhat mean(g xhat))` with `g = gamma dy`.
KERNEL layer_norm_backward(const number* dy, const float* gamma, const number* xhat, const float* rstd, number* dx, i64 rows,
                           int d) {
    i64 row = THREAD >> 5;
    int lane = threadIdx.x & 31;
    if (row >= rows) return;
    dy += row * d, dx += row * d, xhat += row * d;
    float sum = 0.0f, slope = 0.0f;
    for (int j = lane; j < d; j += 32) {
        float g = dy[j] * gamma[j];
        sum += g, slope += g * xhat[j];
    }
    float mean = warp_sum(sum) / d, scale = rstd[row];
    slope = warp_sum(slope) / d;
    for (int j = lane; j < d; j += 32) dx[j] = scale * (dy[j] * gamma[j] - mean - xhat[j] * slope);
}

// `y = gamma x / sqrt(mean(x^2) + eps)`.
KERNEL rms_norm_forward(const number* x, const float* gamma, float eps, number* y, number* xhat, float* rstd, i64 rows, int d) {
    i64 row = THREAD >> 5;
    int lane = threadIdx.x & 31;
    if (row >= rows) return;
    x += row * d, y += row * d, xhat += row * d;
    float square = 0.0f;
    for (int j = lane; j < d; j += 32) square += x[j] * x[j];
    float scale = 1.0f / sqrtf(warp_sum(square) / d + eps);
    for (int j = lane; j < d; j += 32) {
        float h = x[j] * scale;
        xhat[j] = h;
        y[j] = h * gamma[j];
    }
    if (lane == 0) rstd[row] = scale;
}

KERNEL rms_norm_backward(const number* dy, const float* gamma, const number* xhat, const float* rstd, number* dx, i64 rows,
                         int d) {
    i64 row = THREAD >> 5;
    int lane = threadIdx.x & 31;
    if (row >= rows) return;
    dy += row * d, dx += row * d, xhat += row * d;
    float slope = 0.0f;
    for (int j = lane; j < d; j += 32) slope += dy[j] * gamma[j] * xhat[j];
    slope = warp_sum(slope) / d;
    float scale = rstd[row];
    for (int j = lane; j < d; j += 32) dx[j] = scale * (dy[j] * gamma[j] - xhat[j] * slope);
}

__device__ __forceinline__ float4 times4(float4 a, float4 b) { return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w); }
__device__ __forceinline__ void add4(float4& sum, float4 v) { sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w; }

// 16 bytes of a row's numbers of which `left` are left; `whole` says that every row is made of such.
__device__ __forceinline__ Many<number> some(const number* x, int left, bool whole) {
    if (whole) return load_many(x);
    Many<number> v = {};
    float* of = (float*)v.of;
#pragma unroll
    for (int k = 0; k < v.COUNT; ++k) of[k] = k < left ? (float)x[k] : 0.0f;
    return v;
}
__device__ __forceinline__ void add_many(Many<number>& sum, const Many<number>& v) {
#pragma unroll
    for (int k = 0; k < v.COUNT / 4; ++k) add4(sum.of[k], v.of[k]);
}
__device__ __forceinline__ void add_products(Many<number>& sum, const Many<number>& v, const Many<number>& w) {
#pragma unroll
    for (int k = 0; k < v.COUNT / 4; ++k) add4(sum.of[k], times4(v.of[k], w.of[k]));
}
__device__ __forceinline__ float total(const Many<number>& x) {
    float sum = 0.0f;
#pragma unroll
    for (const float4& v : x.of) sum += (v.x + v.y) + (v.z + v.w);
    return sum;
}
// Over the four positions that a warp has side by side.
__device__ __forceinline__ void add_over_positions(Many<number>& sum) {
    float* of = (float*)sum.of;
#pragma unroll
    for (int k = 0; k < sum.COUNT; ++k)
        for (int far = 8; far < 32; far *= 2) of[k] += __shfl_xor_sync(0xffffffffu, of[k], far);
}

// Every example's own gradients of scale and shift: sums over `t` positions of `dy xhat` and of `dy`, `[n, d]`. A null
// `shift` is left out, and so is a null `scale`. A block of 512 takes 128 bytes of columns: eight threads a position, 16 bytes each.
#define COLUMNS (8 * Many<number>::COUNT)
KERNEL column_sums(const number* dy, const number* xhat, float* scale, float* shift, int t, int d) {
    __shared__ float parts[2][16][COLUMNS];
    int own = Many<number>::COUNT * (threadIdx.x & 7), column = blockIdx.y * COLUMNS + own, warp = threadIdx.x >> 5;
    bool whole = d % Many<number>::COUNT == 0;
    i64 first = (i64)blockIdx.x * t * d + column;
    Many<number> products = {}, sums = {};
    if (column < d) {
#pragma unroll 4
        for (int s = threadIdx.x >> 3; s < t; s += 64) {
            i64 at = first + (i64)s * d;
            Many<number> g = some(dy + at, d - column, whole);
            add_many(sums, g);
            if (scale) add_products(products, g, some(xhat + at, d - column, whole));
        }
    }
    add_over_positions(products), add_over_positions(sums);
    if ((threadIdx.x & 31) < 8) {
#pragma unroll
        for (int k = 0; k < Many<number>::COUNT / 4; ++k) {
            store4(&parts[0][warp][own + 4 * k], products.of[k]);
            store4(&parts[1][warp][own + 4 * k], sums.of[k]);
        }
    }
    __syncthreads();
    int which = threadIdx.x / COLUMNS;
    own = threadIdx.x % COLUMNS, column = blockIdx.y * COLUMNS + own;
    if (which > 1 || column >= d) return;
    float sum = 0.0f;
    for (int k = 0; k < 16; ++k) sum += parts[which][k][own];
    float* out = which == 0 ? scale : shift;
    if (out) out[(i64)blockIdx.x * d + column] = sum;
}

// The same for channels of `area` positions side by side, `[n, c, area]` to `[n, c]`. A warp makes a channel.
KERNEL channel_sums(const number* dy, const number* xhat, float* scale, float* shift, i64 channels, int area) {
    i64 channel = THREAD >> 5;
    if (channel >= channels) return;
    dy += channel * area;
    if (scale) xhat += channel * area;
    constexpr int COUNT = Many<number>::COUNT;
    Many<number> products = {}, sums = {};
#pragma unroll 4
    for (int j = COUNT * (threadIdx.x & 31); j < area; j += 32 * COUNT) {
        Many<number> g = some(dy + j, area - j, area % COUNT == 0);
        add_many(sums, g);
        if (scale) add_products(products, g, some(xhat + j, area - j, area % COUNT == 0));
    }
    float product = warp_sum(total(products)), sum = warp_sum(total(sums));
    if ((threadIdx.x & 31) != 0) return;
    if (scale) scale[channel] = product;
    if (shift) shift[channel] = sum;
}

// A block makes one group of one example: `channels` channels of `area` positions.
KERNEL group_norm_forward(const number* x, const float* gamma, const float* beta, float eps, number* y, number* xhat, float* rstd,
                          int groups, int channels, int area) {
    int len = channels * area;
    i64 first = (i64)blockIdx.x * len;
    int channel = blockIdx.x % groups * channels;
    x += first, y += first, xhat += first;
    float sum = 0.0f, square = 0.0f;
    for (int j = threadIdx.x; j < len; j += blockDim.x) sum += x[j];
    float mean = block_sum(sum) / len;
    for (int j = threadIdx.x; j < len; j += blockDim.x) square += (x[j] - mean) * (x[j] - mean);
    float scale = 1.0f / sqrtf(block_sum(square) / len + eps);
    for (int j = threadIdx.x; j < len; j += blockDim.x) {
        float h = (x[j] - mean) * scale;
        int c = channel + j / area;
        xhat[j] = h;
        y[j] = h * gamma[c] + beta[c];
    }
    if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
}

KERNEL group_norm_backward(const number* dy, const float* gamma, const number* xhat, const float* rstd, number* dx, int groups,
                           int channels, int area) {
    int len = channels * area;
    i64 first = (i64)blockIdx.x * len;
    const float* scales = gamma + blockIdx.x % groups * channels;
    dy += first, dx += first, xhat += first;
    float sum = 0.0f, slope = 0.0f;
    for (int j = threadIdx.x; j < len; j += blockDim.x) {
        float g = dy[j] * scales[j / area];
        sum += g, slope += g * xhat[j];
    }
    float mean = block_sum(sum) / len, scale = rstd[blockIdx.x];
    slope = block_sum(slope) / len;
    for (int j = threadIdx.x; j < len; j += blockDim.x)
        dx[j] = scale * (dy[j] * scales[j / area] - mean - xhat[j] * slope);
}

// `dx` is `dy`, but 0 where `gamma xhat + beta` is not positive (and not NaN), for `n` numbers of `channels` channels.
KERNEL silence_negative(const number* dy, number* dx, const float* gamma, const float* beta, const number* xhat, i64 n, int channels,
                        int area) {
    i64 i = THREAD;
    if (i >= n) return;
    int c = i / area % channels;
    dx[i] = xhat[i] * gamma[c] + beta[c] <= 0.0f ? 0.0f : (float)dy[i];
}

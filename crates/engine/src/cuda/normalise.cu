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

// 16 bytes of a row's numbers of which `left` are left; WHOLE says that every row is made of such.
template <bool WHOLE> __device__ __forceinline__ Many<number> some(const number* x, int left) {
    if (WHOLE) return load_many(x);
    Many<number> v = {};
    float* of = (float*)v.of;
#pragma unroll
    for (int k = 0; k < v.COUNT; ++k) of[k] = k < left ? (float)x[k] : 0.0f;
    return v;
}
__device__ __forceinline__ void add_products(Many<number>& sum, const Many<number>& v, const Many<number>& w) {
#pragma unroll
    for (int k = 0; k < v.COUNT / 4; ++k) {
        float4& s = sum.of[k];
        s.x += v.of[k].x * w.of[k].x, s.y += v.of[k].y * w.of[k].y;
        s.z += v.of[k].z * w.of[k].z, s.w += v.of[k].w * w.of[k].w;
    }
}
__device__ __forceinline__ float total(const Many<number>& x) {
    float sum = 0.0f;
#pragma unroll
    for (const float4& v : x.of) sum += (v.x + v.y) + (v.z + v.w);
    return sum;
}

// Adds up `dy` and, with SCALED, `dy xhat`, of `count` places that are `step` apart. What is asked once for all places is no branch
// between loads, so that many are on their way together.
template <bool WHOLE, bool SCALED>
__device__ __forceinline__ void add_up(const number* dy, const number* xhat, int count, i64 step, int left, Many<number>& products,
                                       Many<number>& sums) {
#pragma unroll 8
    for (int k = 0; k < count; ++k) {
        Many<number> g = some<WHOLE>(dy + k * step, left);
        add_many(sums, g);
        if (SCALED) add_products(products, g, some<WHOLE>(xhat + k * step, left));
    }
}
__device__ __forceinline__ void add_up(bool whole, const number* dy, const number* xhat, int count, i64 step, int left,
                                       Many<number>& products, Many<number>& sums) {
    if (whole && xhat) add_up<true, true>(dy, xhat, count, step, left, products, sums);
    else if (whole) add_up<true, false>(dy, xhat, count, step, left, products, sums);
    else if (xhat) add_up<false, true>(dy, xhat, count, step, left, products, sums);
    else add_up<false, false>(dy, xhat, count, step, left, products, sums);
}

// Every example's own gradients of scale and shift: sums over `t` positions of `dy xhat` and of `dy`, `[n, d]`. A null
// `scale` is left out.
KERNEL column_sums(const number* dy, const number* xhat, float* scale, float* shift, int t, int d) {
    int column = blockIdx.y * COLUMNS + own_column(), count = (t - own_position() + POSITIONS - 1) / POSITIONS;
    i64 first = ((i64)blockIdx.x * t + own_position()) * d + column, to = (i64)blockIdx.x * d + blockIdx.y * COLUMNS;
    Many<number> products = {}, sums = {};
    if (column < d && own_position() < t) {
        bool whole = d % Many<number>::COUNT == 0;
        add_up(whole, dy + first, xhat ? xhat + first : nullptr, count, (i64)d * POSITIONS, d - column, products, sums);
    }
    write_column_sums(sums, shift + to, d - blockIdx.y * COLUMNS);
    if (scale) write_column_sums(products, scale + to, d - blockIdx.y * COLUMNS);
}

// The same for channels of `area` positions side by side, `[n, c, area]` to `[n, c]`. A warp makes a channel.
KERNEL channel_sums(const number* dy, const number* xhat, float* scale, float* shift, i64 channels, int area) {
    i64 channel = THREAD >> 5;
    if (channel >= channels) return;
    constexpr int COUNT = Many<number>::COUNT;
    int own = COUNT * (threadIdx.x & 31), whole = area % COUNT == 0 ? (area - own + 32 * COUNT - 1) / (32 * COUNT) : 0;
    i64 first = channel * area + own;
    Many<number> products = {}, sums = {};
    if (own < area) add_up(true, dy + first, xhat ? xhat + first : nullptr, whole, 32 * COUNT, 0, products, sums);
    for (int j = own; whole == 0 && j < area; j += 32 * COUNT)
        add_up(false, dy + channel * area + j, xhat ? xhat + channel * area + j : nullptr, 1, 0, area - j, products, sums);
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

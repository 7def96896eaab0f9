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

// Four numbers of a row of which `left` are left; `whole` says that there are fours in every row.
__device__ __forceinline__ float4 some4(const number* x, int left, bool whole) {
    if (whole) return load4(x);
    return make_float4(x[0], left > 1 ? (float)x[1] : 0.0f, left > 2 ? (float)x[2] : 0.0f, left > 3 ? (float)x[3] : 0.0f);
}
__device__ __forceinline__ void add4(float4& sum, float4 v) { sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w; }
__device__ __forceinline__ float4 times4(float4 a, float4 b) { return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w); }

// Every example's own gradients of scale and shift: sums over `t` positions of `dy xhat` and of `dy`, `[n, d]`. A null
// `shift` is left out, and so is a null `scale`. Blocks of 32 columns by 32 stretches of positions; a thread takes four columns.
KERNEL column_sums(const number* dy, const number* xhat, float* scale, float* shift, int t, int d) {
    __shared__ float parts[2][32][36];
    int own = 4 * (threadIdx.x & 7), column = blockIdx.y * 32 + own, stretch = threadIdx.x >> 3;
    bool whole = d % 4 == 0;
    i64 first = (i64)blockIdx.x * t * d;
    float4 products = make_float4(0.0f, 0.0f, 0.0f, 0.0f), sums = products;
    if (column < d) {
#pragma unroll 4
        for (int s = stretch; s < t; s += 32) {
            i64 at = first + (i64)s * d + column;
            float4 g = some4(dy + at, d - column, whole);
            add4(sums, g);
            if (scale) add4(products, times4(g, some4(xhat + at, d - column, whole)));
        }
    }
    store4(&parts[0][stretch][own], products), store4(&parts[1][stretch][own], sums);
    __syncthreads();
    int which = threadIdx.x >> 5;
    own = threadIdx.x & 31, column = blockIdx.y * 32 + own;
    if (which > 1 || column >= d) return;
    float sum = 0.0f;
    for (int k = 0; k < 32; ++k) sum += parts[which][k][own];
    float* out = which == 0 ? scale : shift;
    if (out) out[(i64)blockIdx.x * d + column] = sum;
}

// The same for channels of `area` positions side by side, `[n, c, area]` to `[n, c]`. A warp makes a channel.
KERNEL channel_sums(const number* dy, const number* xhat, float* scale, float* shift, i64 channels, int area) {
    i64 channel = THREAD >> 5;
    if (channel >= channels) return;
    dy += channel * area;
    if (scale) xhat += channel * area;
    float4 products = make_float4(0.0f, 0.0f, 0.0f, 0.0f), sums = products;
#pragma unroll 4
    for (int j = 4 * (threadIdx.x & 31); j < area; j += 128) {
        float4 g = some4(dy + j, area - j, area % 4 == 0);
        add4(sums, g);
        if (scale) add4(products, times4(g, some4(xhat + j, area - j, area % 4 == 0)));
    }
    float product = warp_sum((products.x + products.y) + (products.z + products.w));
    float sum = warp_sum((sums.x + sums.y) + (sums.z + sums.w));
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

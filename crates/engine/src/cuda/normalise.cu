// Layer, root-mean-square and group normalisation. A warp makes a row, a block a group.

// `xhat = (x - mean) / sqrt(variance + eps)`, `y = gamma xhat + beta` for rows of `d`.
KERNEL layer_norm_forward(const float* x, const float* gamma, const float* beta, float eps, float* y, float* xhat,
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
KERNEL layer_norm_backward(const float* dy, const float* gamma, const float* xhat, const float* rstd, float* dx, i64 rows,
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
KERNEL rms_norm_forward(const float* x, const float* gamma, float eps, float* y, float* xhat, float* rstd, i64 rows, int d) {
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

KERNEL rms_norm_backward(const float* dy, const float* gamma, const float* xhat, const float* rstd, float* dx, i64 rows,
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

// Every example's own gradients of scale and shift: sums over `t` positions of `dy xhat` and of `dy`, `[n, d]`. A null
// `shift` is left out, and so is a null `scale`. Blocks of 32 columns by 8 stretches of positions.
KERNEL column_sums(const float* dy, const float* xhat, float* scale, float* shift, int t, int d) {
    __shared__ float parts[2][8][33];
    int column = blockIdx.y * 32 + (threadIdx.x & 31), stretch = threadIdx.x >> 5;
    i64 first = (i64)blockIdx.x * t * d;
    float products = 0.0f, sums = 0.0f;
    if (column < d) {
#pragma unroll 8
        for (int s = stretch; s < t; s += 8) {
            i64 at = first + (i64)s * d + column;
            float g = dy[at];
            sums += g;
            if (scale) products += g * xhat[at];
        }
    }
    parts[0][stretch][threadIdx.x & 31] = products;
    parts[1][stretch][threadIdx.x & 31] = sums;
    __syncthreads();
    if (stretch > 1 || column >= d) return;
    float sum = 0.0f;
    for (int k = 0; k < 8; ++k) sum += parts[stretch][k][threadIdx.x & 31];
    float* out = stretch == 0 ? scale : shift;
    if (out) out[(i64)blockIdx.x * d + column] = sum;
}

// The same for channels of `area` positions side by side, `[n, c, area]` to `[n, c]`. A warp makes a channel.
KERNEL channel_sums(const float* dy, const float* xhat, float* scale, float* shift, i64 channels, int area) {
    i64 channel = THREAD >> 5;
    int lane = threadIdx.x & 31;
    if (channel >= channels) return;
    dy += channel * area;
    if (scale) xhat += channel * area;
    float products = 0.0f, sums = 0.0f;
    for (int j = lane; j < area; j += 32) {
        sums += dy[j];
        if (scale) products += dy[j] * xhat[j];
    }
    products = warp_sum(products), sums = warp_sum(sums);
    if (lane != 0) return;
    if (scale) scale[channel] = products;
    if (shift) shift[channel] = sums;
}

// A block makes one group of one example: `channels` channels of `area` positions.
KERNEL group_norm_forward(const float* x, const float* gamma, const float* beta, float eps, float* y, float* xhat, float* rstd,
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

KERNEL group_norm_backward(const float* dy, const float* gamma, const float* xhat, const float* rstd, float* dx, int groups,
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

// `dy` becomes 0 where `gamma xhat + beta` is not positive (and not NaN), for `n` numbers of `channels` channels.
KERNEL silence_negative(float* dy, const float* gamma, const float* beta, const float* xhat, i64 n, int channels, int area) {
    i64 i = THREAD;
    if (i >= n) return;
    int c = i / area % channels;
    if (xhat[i] * gamma[c] + beta[c] <= 0.0f) dy[i] = 0.0f;
}

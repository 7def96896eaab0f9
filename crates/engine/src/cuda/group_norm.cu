// Group normalisation that reads everything once: a block makes one group of one example, a warp one of its channels, which it
// holds in registers. For channels of at most 128 FOURS positions, multiples of 4; normalise.cu has the rest.
//
// RELU: negative outputs become 0 (NaN stays NaN), and gradients of those are left out.

// The sum over the block's warps, each of which has the same number in all lanes; in a fixed order.
__device__ __forceinline__ float over_warps(float x) {
    __shared__ float parts[32];
    __syncthreads();
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = x;
    __syncthreads();
    float sum = 0.0f;
    for (int warp = 0; warp < (int)(blockDim.x >> 5); ++warp) sum += parts[warp];
    return sum;
}

__device__ __forceinline__ float rectified(float y) { return RELU && y < 0.0f ? 0.0f : y; }

KERNEL group_norm_whole(const number* x, const float* gamma, const float* beta, float eps, number* y, number* xhat, float* rstd,
                        int groups, int area) {
    int channels = blockDim.x >> 5, own = threadIdx.x >> 5, len = channels * area;
    i64 at = (i64)blockIdx.x * len + own * area;
    int channel = blockIdx.x % groups * channels + own;
    Held v, out;
    load(v, x + at, area);
    float sum = 0.0f, square = 0.0f;
    each(v, area, [&](float& a) { sum += a; });
    float mean = over_warps(warp_sum(sum)) / len;
    each(v, area, [&](float& a) { a -= mean, square += a * a; });
    float by = 1.0f / sqrtf(over_warps(warp_sum(square)) / len + eps), scale = gamma[channel], shift = beta[channel];
    each2(v, out, area, [&](float& a, float& b) { a *= by, b = rectified(a * scale + shift); });
    store(v, xhat + at, area);
    store(out, y + at, area);
    if (threadIdx.x == 0) rstd[blockIdx.x] = by;
}

// The input gradient `rstd (g - mean(g) - xhat mean(g xhat))` with `g = gamma dy`, and `before` added to it unless that is null; and the example's own gradients of scale and
// shift, `[n, groups channels]`.
KERNEL group_norm_whole_backward(const number* dy, const float* gamma, const float* beta, const number* xhat, const float* rstd,
                                 const number* before, number* dx, float* scales, float* shifts, int groups, int area) {
    int channels = blockDim.x >> 5, own = threadIdx.x >> 5, len = channels * area;
    i64 at = (i64)blockIdx.x * len + own * area;
    int channel = blockIdx.x % groups * channels + own;
    Held g, h;
    load(g, dy + at, area);
    load(h, xhat + at, area);
    if (before) ask_for(before + at, area);
    float scale = gamma[channel], shift = beta[channel], sum = 0.0f, slope = 0.0f;
    each2(g, h, area, [&](float& a, float& b) {
        if (RELU && b * scale + shift <= 0.0f) a = 0.0f;
        sum += a, slope += a * b;
    });
    sum = warp_sum(sum), slope = warp_sum(slope);
    if ((threadIdx.x & 31) == 0) {
        scales[(i64)blockIdx.x * channels + own] = slope;
        shifts[(i64)blockIdx.x * channels + own] = sum;
    }
    float mean = over_warps(scale * sum) / len, along = over_warps(scale * slope) / len, by = rstd[blockIdx.x];
    each2(g, h, area, [&](float& a, float& b) { a = by * (a * scale - mean - b * along); });
    if (before) add_row(g, before + at, area);
    store(g, dx + at, area);
}

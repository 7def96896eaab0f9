// Weight standardisation. A block makes an output's weights, `[len]`.

// One over the square root of the sum of squares, or of `eps` if that is larger; a NaN stays one.
__device__ float reciprocal(float square, float eps) { return 1.0f / sqrtf(square < eps ? eps : square); }

KERNEL standardise_forward(const float* w, const float* gain, float eps, float* y, float* xhat, float* rstd, int len) {
    i64 first = (i64)blockIdx.x * len;
    float sum = 0.0f, square = 0.0f;
    for (int j = threadIdx.x; j < len; j += blockDim.x) sum += w[first + j];
    float mean = block_sum(sum) / len;
    for (int j = threadIdx.x; j < len; j += blockDim.x) square += (w[first + j] - mean) * (w[first + j] - mean);
    float scale = reciprocal(block_sum(square), eps), by = gain[blockIdx.x];
    for (int j = threadIdx.x; j < len; j += blockDim.x) {
        float h = (w[first + j] - mean) * scale;
        xhat[first + j] = h;
        y[first + j] = h * by;
    }
    if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
}

// Gradients `g` `[n, o, len]` by standardised weights become gradients by the weights; `gains` `[n, o]`.
KERNEL standardise_backward(float* g, const float* xhat, const float* gain, const float* rstd, float eps, float* gains, int o,
                            int len) {
    int output = blockIdx.x % o;
    g += (i64)blockIdx.x * len, xhat += (i64)output * len;
    float sum = 0.0f, product = 0.0f;
    for (int j = threadIdx.x; j < len; j += blockDim.x) sum += g[j], product += g[j] * xhat[j];
    float mean = block_sum(sum) / len, by_gain = block_sum(product), root = rstd[output];
    float slope = root == reciprocal(0.0f, eps) ? 0.0f : by_gain, scale = gain[output] * root;
    for (int j = threadIdx.x; j < len; j += blockDim.x) g[j] = scale * (g[j] - mean - xhat[j] * slope);
    if (threadIdx.x == 0) gains[blockIdx.x] = by_gain;
}

// Losses that are means over a row's outputs. A block makes a row.

KERNEL squared_error_rows(const number* y, const float* t, float* losses, number* gradient, int k) {
    i64 first = (i64)blockIdx.x * k;
    double sum = 0.0;
    for (int j = threadIdx.x; j < k; j += blockDim.x) {
        float error = y[first + j] - t[first + j];
        gradient[first + j] = 2.0f * error / k;
        sum += (double)error * error;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) losses[blockIdx.x] = (float)(sum / k);
}

KERNEL sigmoid_rows(const number* logits, const float* targets, float* losses, number* gradient, int k) {
    i64 first = (i64)blockIdx.x * k;
    double sum = 0.0;
    for (int j = threadIdx.x; j < k; j += blockDim.x) {
        float z = logits[first + j], t = targets[first + j], e = expf(-fabsf(z));
        gradient[first + j] = ((z < 0.0f ? e / (1.0f + e) : 1.0f / (1.0f + e)) - t) / k;
        // A NaN stays one.
        sum += fmaxf(z, 0.0f) - t * z + log1pf(e) + 0.0f * z;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) losses[blockIdx.x] = (float)(sum / k);
}

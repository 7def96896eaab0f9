// Softmax cross-entropy of rows of logits: loss and gradient, reading the row twice. A block makes a row.

// The loss of a row, and `weight` times its gradient, which may take the logits' place.
__device__ float row_loss(const float* z, float* g, int k, int label, float weight) {
    float top = -INFINITE;
    for (int j = threadIdx.x; j < k; j += blockDim.x) top = z[j] > top ? z[j] : top;
    top = block_max(top);
    float wanted = z[label] - top;
    // One minus a probability near 1 would lose its digits: the others sum to it exactly.
    double others = 0.0;
    for (int j = threadIdx.x; j < k; j += blockDim.x)
        if (j != label) others += expf(z[j] - top);
    others = block_sum(others);
    double sum = others + expf(wanted);
    float scale = weight / (float)sum, own = -((float)(others / sum) * weight);
    for (int j = threadIdx.x; j < k; j += blockDim.x) g[j] = j == label ? own : expf(z[j] - top) * scale;
    return (float)(log(sum) - wanted);
}

KERNEL cross_entropy_rows(const float* logits, const u32* labels, float* losses, float* gradient, int k) {
    i64 row = blockIdx.x;
    float loss = row_loss(logits + row * k, gradient + row * k, k, labels[row], 1.0f);
    if (threadIdx.x == 0) losses[row] = loss;
}

// Tokens of texts: the mean over the counted ones of each example. A label of all ones is not counted.
KERNEL token_cross_entropy_rows(const float* logits, const u32* labels, const u32* counts, float* losses, float* gradient,
                                int t, int v) {
    i64 row = blockIdx.x;
    if (labels[row] == 0xffffffffu) {
        for (int j = threadIdx.x; j < v; j += blockDim.x) gradient[row * v + j] = 0.0f;
        if (threadIdx.x == 0) losses[row] = 0.0f;
        return;
    }
    float loss = row_loss(logits + row * v, gradient + row * v, v, labels[row], 1.0f / counts[row / t]);
    if (threadIdx.x == 0) losses[row] = loss;
}

// Counted tokens of each example, `[n]`.
KERNEL count_tokens(const u32* labels, u32* counts, int t) {
    int count = 0;
    for (int s = threadIdx.x; s < t; s += blockDim.x) count += labels[(i64)blockIdx.x * t + s] != 0xffffffffu;
    count = block_sum(count);
    if (threadIdx.x == 0) counts[blockIdx.x] = count;
}

// Means of the losses of counted tokens, `[n]`.
KERNEL mean_losses(const float* losses, const u32* counts, float* means, int t) {
    double sum = 0.0;
    for (int s = threadIdx.x; s < t; s += blockDim.x) sum += losses[(i64)blockIdx.x * t + s];
    sum = block_sum(sum);
    if (threadIdx.x == 0) means[blockIdx.x] = (float)(sum / max(counts[blockIdx.x], 1u));
}

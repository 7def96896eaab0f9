// Softmax cross-entropy of rows of logits: loss and gradient, reading a row twice. A block makes a row.

// The loss of a row, and `weight` times its gradient, which may take the logits' place. The largest logit and the sum of
// exponentials are found together: a sum is scaled down when a larger logit turns up.
__device__ float row_loss(const float* z, float* g, int k, int label, float weight) {
    float mine = -INFINITE, sum = 0.0f;
    for (int j = threadIdx.x; j < k; j += blockDim.x) {
        // One minus a probability near 1 would lose its digits: the others sum to it exactly, so the label is left out.
        float x = z[j];
        if (x > mine) {
            sum *= expf(mine - x);
            mine = x;
        }
        if (j != label && x != -INFINITE) sum += expf(x - mine);
    }
    float wanted = z[label], top = block_max(mine);
    double others = block_sum(sum == 0.0f ? 0.0 : (double)sum * expf(mine - top)), all = others + expf(wanted - top);
    float scale = weight / (float)all, own = -((float)(others / all) * weight);
    for (int j = threadIdx.x; j < k; j += blockDim.x) g[j] = j == label ? own : expf(z[j] - top) * scale;
    return (float)(log(all) - (wanted - top));
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

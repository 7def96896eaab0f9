// Softmax cross-entropy of rows of logits: loss and gradient, reading a row twice. A block makes a row.

// Adds a logit's share to the sum of exponentials below the largest so far.
__device__ __forceinline__ void add_share(float& sum, float mine, float x, bool counts) {
    if (counts && x != -INFINITE) sum += exp_of(x - mine);
}

// The loss of a row, and `weight` times its gradient, which may take the logits' place. The largest logit and the sum of
// exponentials are found together: a sum is scaled down when a larger logit turns up. Where rows
// allow it they are read four at a time.
__device__ float row_loss(const number* z, number* g, int k, int label, float weight) {
    float mine = -INFINITE, sum = 0.0f;
    int fours = in_fours(z) && in_fours(g) ? k / 4 : 0;
    auto climb = [&](float x) {
        if (x > mine) sum *= exp_of(mine - x), mine = x;
    };
    // One minus a probability near 1 would lose its digits: the others sum to it exactly, so the label is left out.
#pragma unroll 2
    for (int j = threadIdx.x; j < fours; j += blockDim.x) {
        float4 v = load4(z + 4 * j);
        climb(fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w)));
        add_share(sum, mine, v.x, 4 * j != label), add_share(sum, mine, v.y, 4 * j + 1 != label);
        add_share(sum, mine, v.z, 4 * j + 2 != label), add_share(sum, mine, v.w, 4 * j + 3 != label);
    }
    for (int j = 4 * fours + threadIdx.x; j < k; j += blockDim.x) {
        climb(z[j]);
        add_share(sum, mine, z[j], j != label);
    }
    float wanted = z[label], top = block_max(mine);
    double others = block_sum(sum == 0.0f ? 0.0 : (double)sum * exp_of(mine - top)), all = others + exp_of(wanted - top);
    float scale = weight / (float)all, own = -((float)(others / all) * weight);
    auto slope = [&](int j, float x) { return j == label ? own : exp_of(x - top) * scale; };
#pragma unroll 2
    for (int j = threadIdx.x; j < fours; j += blockDim.x) {
        float4 v = load4(z + 4 * j);
        v.x = slope(4 * j, v.x), v.y = slope(4 * j + 1, v.y), v.z = slope(4 * j + 2, v.z), v.w = slope(4 * j + 3, v.w);
        store4(g + 4 * j, v);
    }
    for (int j = 4 * fours + threadIdx.x; j < k; j += blockDim.x) g[j] = slope(j, z[j]);
    return (float)(log(all) - (wanted - top));
}

// Rows of logits and of gradients are `pitch` apart.
KERNEL cross_entropy_rows(const number* logits, const u32* labels, float* losses, number* gradient, int k, i64 pitch) {
    i64 row = blockIdx.x;
    float loss = row_loss(logits + row * pitch, gradient + row * pitch, k, labels[row], 1.0f);
    if (threadIdx.x == 0) losses[row] = loss;
}

// Tokens of texts: the mean over the counted ones of each example. A label of all ones is not counted.
KERNEL token_cross_entropy_rows(const number* logits, const u32* labels, const u32* counts, float* losses, number* gradient,
                                int t, int v, i64 pitch) {
    i64 row = blockIdx.x;
    if (labels[row] == 0xffffffffu) {
        for (int j = threadIdx.x; j < v; j += blockDim.x) gradient[row * pitch + j] = 0.0f;
        if (threadIdx.x == 0) losses[row] = 0.0f;
        return;
    }
    float loss = row_loss(logits + row * pitch, gradient + row * pitch, v, labels[row], 1.0f / counts[row / t]);
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

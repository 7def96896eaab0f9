// The softmax between the two products of attention. A warp makes a query's row of scores `[n, t, t]` of one head.

// Whether query `q` sees key `k` of example `i`.
__device__ bool sees(const u32* present, i64 i, int t, int q, int k, int causal) {
    return !(causal && k > q) && !(present && !present[i * t + k]);
}

// Scores become probabilities; the row's largest score and one over the sum of its exponentials are kept in `sums`
// `[n, heads, 2, t]`, 0 where nobody is seen.
KERNEL softmax_rows(float* scores, const u32* present, float* sums, i64 rows, int t, int heads, int head, int causal) {
    i64 row = THREAD >> 5;
    int lane = threadIdx.x & 31;
    if (row >= rows) return;
    i64 i = row / t;
    int q = row % t;
    float* s = scores + row * t;
    float top = -INFINITE;
    bool seen = false;
    for (int k = lane; k < t; k += 32)
        if (sees(present, i, t, q, k, causal)) {
            seen = true;
            top = s[k] > top ? s[k] : top;
        }
    top = warp_reduce(top, [](float a, float b) { return b > a ? b : a; });
    seen = __any_sync(0xffffffffu, seen);
    float sum = 0.0f;
    for (int k = lane; k < t; k += 32) {
        float p = sees(present, i, t, q, k, causal) ? expf(s[k] - top) : 0.0f;
        sum += p;
        s[k] = p;
    }
    sum = warp_sum(sum);
    float scale = seen ? 1.0f / sum : 0.0f;
    for (int k = lane; k < t; k += 32) s[k] = seen ? s[k] * scale : 0.0f;
    if (lane != 0) return;
    float* kept = sums + ((i * heads + head) * 2) * t + q;
    kept[0] = seen ? top : 0.0f, kept[t] = scale;
}

// Scores become probabilities again, and gradients `dp` by them gradients by the scores: `p (dp - sum(p dp))`.
KERNEL softmax_rows_backward(float* scores, float* dp, const u32* present, const float* sums, i64 rows, int t, int heads,
                             int head, int causal) {
    i64 row = THREAD >> 5;
    int lane = threadIdx.x & 31;
    if (row >= rows) return;
    i64 i = row / t;
    int q = row % t;
    float *s = scores + row * t, *d = dp + row * t;
    const float* kept = sums + ((i * heads + head) * 2) * t + q;
    float top = kept[0], scale = kept[t], mean = 0.0f;
    for (int k = lane; k < t; k += 32) {
        bool seen = scale != 0.0f && sees(present, i, t, q, k, causal);
        float p = seen ? expf(s[k] - top) * scale : 0.0f;
        s[k] = p;
        mean += seen ? p * d[k] : 0.0f;
    }
    mean = warp_sum(mean);
    for (int k = lane; k < t; k += 32) d[k] = s[k] == 0.0f ? 0.0f : s[k] * (d[k] - mean);
}

// Keys and values of positions that are not present become 0, whatever they hold: `qkv` `[n, t, 3 d]`, gradients alike.
KERNEL hide_absent(float* qkv, const u32* present, i64 n, int d) {
    i64 at = THREAD;
    if (at >= n) return;
    if (at % (3 * d) >= d && !present[at / (3 * d)]) qkv[at] = 0.0f;
}

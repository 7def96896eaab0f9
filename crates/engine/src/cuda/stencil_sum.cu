// sum_i w_i G_i of the gradients of stencil_norms.cu: one block makes one tile over one of `splits` ranges of examples,
// parts [splits, OUT_C, IN_C, KH, KW], which sum_of_parts adds up.
//
// The weight meets an example's finished accumulators, in f32, and not its factors: what is added is the gradient that was
// measured, times the weight, rounded once. Examples of weight 0 add nothing, not even what is not a number.

KERNEL stencil_sum(const number* __restrict__ x, const number* __restrict__ b, const float* __restrict__ weights, int n,
              int splits, float* __restrict__ parts) {
    extern __shared__ __align__(16) float stages[];
    int tile = blockIdx.x % TILES, split = blockIdx.x / TILES, m = tile / ACROSS * BM, k = tile % ACROSS * BC;
    float acc[ACCUMULATORS], sum[ACCUMULATORS];
    clear(acc), clear(sum);
    stream(stages, x, b, m, k, (long long)split * n / splits, (long long)(split + 1) * n / splits, acc, [&](int i) {
        float weight = weights[i];
        if (weight == 0.0f) return;
#pragma unroll
        for (int e = 0; e < ACCUMULATORS; ++e) sum[e] = fmaf(weight, acc[e], sum[e]);
    });
    write(sum, parts + (long long)split * (OUT_C * IN_C * TAPS), m, k);
}

// sum_i w_i G_i of the gradients of stencil_norms.cu: one block makes one tile over one of `splits` ranges of examples, parts
// [splits, p, c, KH, KW], which sum_of_parts adds up.
//
// The weight meets an example's finished accumulators, in f32, and not its factors: what is added is the gradient that was
// measured, times the weight, rounded once. Examples of weight 0 add nothing, not even what is not a number.

KERNEL stencil_sum(const float* __restrict__ x, const float* __restrict__ b, const float* __restrict__ weights, int n, int c, int h, int w, int ph, int pw, int oh, int ow, int p, int r, int splits, float* __restrict__ parts) {
    extern __shared__ __align__(16) float stages[];
    Stencil s(c, h, w, ph, pw, oh, ow, p, r);
    int across = (c + BC - 1) / BC, tiles = across * ((p + BM - 1) / BM), split = blockIdx.x / tiles;
    int m = blockIdx.x % tiles / across * BM, k = blockIdx.x % tiles % across * BC;
    int from = (long long)split * n / splits, to = (long long)(split + 1) * n / splits, steps = s.steps();
    float acc[ACCUMULATORS], sum[ACCUMULATORS];
    clear(acc), clear(sum);
    clear_stages(s, stages);
    int ahead = from, ahead_step = 0, stage = 0;
    auto next = [&]() {
        if (ahead < to) fill(s, stages + stage * s.stage, x + (long long)ahead * c * h * w, b + (long long)ahead * p * oh * ow, m, k, ahead_step * r);
        commit();
        if (++ahead_step == steps) ahead_step = 0, ++ahead;
        stage ^= 1;
    };
    next();
    for (int i = from; i < to; ++i) {
        for (int step = 0; step < steps; ++step) {
            next();
            wait<1>();
            __syncthreads();
            multiply(s, acc, stages + stage * s.stage);
            __syncthreads();
        }
        float weight = weights[i];
        if (weight != 0.0f) {
#pragma unroll
            for (int e = 0; e < ACCUMULATORS; ++e) sum[e] = fmaf(weight, acc[e], sum[e]);
        }
        clear(acc);
    }
    write(s, sum, parts + (long long)split * p * c * TAPS, m, k);
}

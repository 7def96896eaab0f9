// Sums over examples of weighted tiles of gradients.
//
// The weight meets an example's finished accumulators, in f32, and not its factors: what is added is the gradient that
// was measured, times the weight, rounded once in f32 for the product and the sum together.

// Adds w_i G_i for examples `from` .. `to`, `each` steps an example: `fill(i, step, stage)`. Examples of weight 0 add nothing, not even
// what is not a number. The sum is kept in shared memory behind the stages, one accumulator a thread after the other,
// which leaves registers for large tiles.
template <class Fill>
__device__ __forceinline__ void weighted_sum(float (&acc)[ACCUMULATORS], const float* weights, int from, int to, int each,
                                             u32* stages, const Fill& fill) {
    float* sum = (float*)(stages + STAGES * STAGE_WORDS) + threadIdx.x;
    clear(acc);
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; ++e) sum[e * THREADS] = 0.0f;
    int ahead = from, ahead_step = 0, now = from, now_step = 0;
    auto next = [&](int, int stage) {
        fill(ahead, ahead_step, stage);
        if (++ahead_step == each) ahead_step = 0, ++ahead;
    };
    pipeline((to - from) * each, next, [&](int, int stage) {
        multiply(acc, stages + stage * STAGE_WORDS, stages + stage * STAGE_WORDS + A_WORDS);
        if (++now_step < each) return;
        float weight = weights[now];
        if (weight != 0.0f) {
#pragma unroll
            for (int e = 0; e < ACCUMULATORS; ++e) sum[e * THREADS] = fmaf(weight, acc[e], sum[e * THREADS]);
        }
        clear(acc);
        now_step = 0, ++now;
    });
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; ++e) acc[e] = sum[e * THREADS];
}

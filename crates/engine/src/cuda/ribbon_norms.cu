// Squared norms of the gradients of a convolution's kernel, as stencil_norms.cu, of factors in bf16 on Hopper.
//
// A block makes one tile of one G_i after the other in registers and squares it; parts[i, tile, warp] are its warps' shares, in f64.
// Where `rows` [n, KH, KW, OUT_C, IN_C] is not null the gradients are kept there.
//
// # Why this is private
//
// Claim: what is measured is the gradient that ribbon_sum.cu adds: the same accumulators, bit by bit.
// Argument: both make an element by `multiply` over the same stages in the same order.

__device__ __forceinline__ double squares(const float (&acc)[KW][NUMBERS]) {
    double sum = 0.0;
#pragma unroll
    for (int s = 0; s < KW; ++s) {
        float part = 0.0f;
#pragma unroll
        for (int e = 0; e < NUMBERS; ++e) part = fmaf(acc[s][e], acc[s][e], part);
        sum += part;
    }
    return sum;
}

// Writes the block's part of a gradient, its outputs from `m`, its channels from `k`, taps first.
__device__ __forceinline__ void keep(const float (&acc)[KW][NUMBERS], float* to, int m, int k) {
#pragma unroll
    for (int s = 0; s < KW; ++s)
#pragma unroll
        for (int e = 0; e < NUMBERS; e += 2) {
            int output = m + output_of(e), channel = k + channel_of(e);
            float* at = to + ((threadIdx.x / 128 * KW + s) * OUT_C + output) * IN_C + channel;
            if (output >= OUT_C || channel >= IN_C) continue;
            if (IN_C % 2 == 0) *(float2*)at = make_float2(acc[s][e], acc[s][e + 1]);
            else {
                at[0] = acc[s][e];
                if (channel + 1 < IN_C) at[1] = acc[s][e + 1];
            }
        }
}

// One block for every tile of every `each` examples.
KERNEL ribbon_norms(const bf16* __restrict__ x, const bf16* __restrict__ b, int n, int each, float* __restrict__ rows,
                    double* __restrict__ parts) {
    extern __shared__ __align__(128) uint4 stages[];
    int tile = blockIdx.x % TILES, m = tile / ACROSS * BM, k = tile % ACROSS * BC, from = blockIdx.x / TILES * each;
    float acc[KW][NUMBERS];
    clear(acc);
    stream(stages, x, b, m, k, from, min(from + each, n), acc, [&](int i) {
        if (rows) keep(acc, rows + (long long)i * (OUT_C * IN_C * TAPS), m, k);
        double sum = warp_sum(squares(acc));
        if (threadIdx.x % 32 == 0) parts[((long long)i * TILES + tile) * WARPS + threadIdx.x / 32] = sum;
    });
}

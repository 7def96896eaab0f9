// Squared norms of the gradients of a convolution's kernel, G_i[o, c, r, s] = sum_ij b_i[o, i, j] x_i[c, i SH + r - ph,
// j SW + s - pw], without writing any G_i or any patch. For kernels of a few taps and at least eight channels;
// patches_norms.cu takes the rest.
//
// A block makes one tile of one G_i after the other in registers and squares it; parts[i, tile] are its shares, in f64.
// Where `rows` [n, KH, KW, OUT_C, IN_C] is not null the gradients are kept there: taps first, so that what a warp writes at a
// time is whole stretches of channels. Those of factors in bf16 are kept in bf16, and what is squared then is what is kept.
//
// # Why this is private
//
// Claim: what is measured is the gradient that stencil_sum.cu adds: the same accumulators, bit by bit.
// Argument: both make an element by `multiply` over the same stages in the same order. A gradient that is kept is summed as it is kept,
// and is rounded, if at all, before it is squared.

// The sum of squares over the block, at thread 0.
__device__ __forceinline__ double squares(const float (&acc)[ACCUMULATORS], double* sums) {
    double sum = 0.0;
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; e += 12) {
        float part = 0.0f;
#pragma unroll
        for (int at = e; at < e + 12 && at < ACCUMULATORS; ++at) part = fmaf(acc[at], acc[at], part);
        sum += part;
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    for (int warp = 1; warp < THREADS / 32; ++warp) sum += sums[warp];
    return sum;
}

__device__ __forceinline__ void store2(float* to, float a, float b) { *(float2*)to = make_float2(a, b); }
__device__ __forceinline__ void store2(bf16* to, float a, float b) { *(u32*)to = pack(a, b); }

// Writes the block's part of a gradient, its outputs from `m`, its channels from `k`, taps first; what is left in `acc` is what was
// written.
__device__ __forceinline__ void keep(float (&acc)[ACCUMULATORS], number* to, int m, int k) {
    int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    int row = m + warp / WARPS_C * 16 * MI + group, channel = k + warp % WARPS_C * 8 + 2 * member;
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; e += 2) {
        acc[e] = (number)acc[e], acc[e + 1] = (number)acc[e + 1];
        int output = row + e / 4 / TAPS * 16 + e % 4 / 2 * 8;
        number* at = to + (e / 4 % TAPS * OUT_C + output) * IN_C + channel;
        if (output >= OUT_C || channel >= IN_C) continue;
        if (IN_C % 2 == 0) store2(at, acc[e], acc[e + 1]);
        else {
            at[0] = acc[e];
            if (channel + 1 < IN_C) at[1] = acc[e + 1];
        }
    }
}

// One block for every tile of every `each` examples.
KERNEL stencil_norms(const number* __restrict__ x, const number* __restrict__ b, int n, int each, number* __restrict__ rows,
              double* __restrict__ parts) {
    extern __shared__ __align__(16) float stages[];
    __shared__ double sums[THREADS / 32];
    int tile = blockIdx.x % TILES, m = tile / ACROSS * BM, k = tile % ACROSS * BC, from = blockIdx.x / TILES * each;
    float acc[ACCUMULATORS];
    clear(acc);
    stream(stages, x, b, m, k, from, min(from + each, n), acc, [&](int i) {
        if (rows) keep(acc, rows + (long long)i * (OUT_C * IN_C * TAPS), m, k);
        double sum = squares(acc, sums);
        if (threadIdx.x == 0) parts[(long long)i * TILES + tile] = sum;
    });
}

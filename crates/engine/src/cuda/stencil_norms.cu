// Squared norms of the gradients of a convolution's kernel, G_i[o, c, r, s] = sum_ij b_i[o, i, j] x_i[c, i SH + r - ph, j SW + s - pw],
// without writing any G_i or any patch. For kernels of a few taps and at least eight channels; patches_norms.cu takes the rest.
//
// One block makes one tile of one G_i in registers and squares it; parts[i, tile] are its shares, in f64. Where `rows`
// [n, p, c, KH, KW] is not null the gradients are kept there. x [n, c, h, w], b [n, p, oh, ow].
//
// # Why this is private
//
// Claim: what is measured is the gradient that stencil_sum.cu adds: the same accumulators, bit by bit.
// Argument: both make an element by `multiply` over the same stages in the same order.

KERNEL stencil_norms(const float* __restrict__ x, const float* __restrict__ b, int c, int h, int w, int ph, int pw, int oh, int ow, int p, int r, float* __restrict__ rows, double* __restrict__ parts) {
    extern __shared__ __align__(16) float stages[];
    __shared__ double sums[THREADS / 32];
    Stencil s(c, h, w, ph, pw, oh, ow, p, r);
    int across = (c + BC - 1) / BC, tiles = across * ((p + BM - 1) / BM);
    long long i = blockIdx.x / tiles;
    int m = blockIdx.x % tiles / across * BM, k = blockIdx.x % tiles % across * BC;
    x += i * c * h * w, b += i * p * oh * ow;
    float acc[ACCUMULATORS];
    clear(acc);
    clear_stages(s, stages);
    int steps = s.steps();
    fill(s, stages, x, b, m, k, 0);
    commit();
    for (int step = 0; step < steps; ++step) {
        if (step + 1 < steps) fill(s, stages + (step + 1) % 2 * s.stage, x, b, m, k, (step + 1) * r);
        commit();
        wait<1>();
        __syncthreads();
        multiply(s, acc, stages + step % 2 * s.stage);
        __syncthreads();
    }
    if (rows) write(s, acc, rows + i * p * c * TAPS, m, k);
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
    if (threadIdx.x != 0) return;
    sum = 0.0;
    for (int warp = 0; warp < THREADS / 32; ++warp) sum += sums[warp];
    parts[blockIdx.x] = sum;
}

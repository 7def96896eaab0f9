// Squared norms of G_i = sum_t b_it a_it^T for a [n, t, d] and b [n, t, p], without writing any G_i.
//
// One block makes one tile of one G_i in registers and squares it. parts[i, tile] are its shares, in f64;
// where `rows` [n, p, d] is not null the gradients are kept there;
// the twin of op/per_example/norms.rs, `formed`. Needs ALONG = 0.
//
// # Why this is private
//
// Claim: what is measured is the gradient that product_sum.cu adds: the same accumulators, bit by bit, at every PRECISION.
// Argument: both make an element by the same steps in the same order, from operands rounded in the same way.

KERNEL product_norms(const element* __restrict__ a, const element* __restrict__ b, int t, int d, int p, int lda, int ldb,
              const u32* __restrict__ only, float* __restrict__ rows, double* __restrict__ parts) {
    extern __shared__ __align__(16) u32 stages[];
    __shared__ double sums[THREADS / 32];
    int across = (d + BN - 1) / BN, tiles = across * ((p + BM - 1) / BM);
    long long i = blockIdx.x / tiles;
    int tile = blockIdx.x % tiles, row = tile / across * BM, col = tile % across * BN;
    if (only && !only[i]) return;
    a += i * t * lda + col, b += i * t * ldb + row;
    float acc[ACCUMULATORS];
    clear(acc);
    auto fill = [&](int step, int stage) {
        u32* to = stages + stage * STAGE_WORDS;
        int from = step * BK;
        fill_lines<BK, BM, A_PITCH>(to, b + (long long)from * ldb, ldb, t - from, p - row);
        fill_lines<BK, BN, B_PITCH>(to + A_WORDS, a + (long long)from * lda, lda, t - from, d - col);
    };
    pipeline((t + BK - 1) / BK, fill, [&](int, int stage) {
        multiply(acc, stages + stage * STAGE_WORDS, stages + stage * STAGE_WORDS + A_WORDS);
    });
    if (rows) write_tile(acc, rows + i * p * d, row, col, p, d);
    double sum = tile_sum(squares(acc), sums);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

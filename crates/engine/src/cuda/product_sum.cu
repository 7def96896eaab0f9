// sum_i w_i G_i with G_i = sum_t b_it a_it^T for a [n, t, d] and b [n, t, p].
//
// One block makes one tile of the sum over one of `splits` ranges of examples: parts [splits, p, d], which sum_of_parts
// adds up. Needs ALONG = 0; see weighted.cuh for what is exact.

KERNEL product_sum(const element* __restrict__ a, const element* __restrict__ b, const float* __restrict__ weights, int n, int t, int d,
            int p, int lda, int ldb, int splits, float* __restrict__ parts) {
    extern __shared__ __align__(16) u32 stages[];
    int across = (d + BN - 1) / BN, tiles = across * ((p + BM - 1) / BM);
    int split = blockIdx.x / tiles, tile = blockIdx.x % tiles, row = tile / across * BM, col = tile % across * BN;
    float sum[ACCUMULATORS];
    auto fill = [&](int i, int step, int stage) {
        u32* to = stages + stage * STAGE_WORDS;
        long long line = (long long)i * t + step * BK;
        fill_lines<BK, BM, A_PITCH>(to, b + line * ldb + row, ldb, t - step * BK, p - row);
        fill_lines<BK, BN, B_PITCH>(to + A_WORDS, a + line * lda + col, lda, t - step * BK, d - col);
    };
    int from = (long long)split * n / splits, to = (long long)(split + 1) * n / splits;
    weighted_sum(sum, weights, from, to, (t + BK - 1) / BK, stages, fill);
    write_tile(sum, parts + (long long)split * p * d, row, col, p, d);
}

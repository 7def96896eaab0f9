// sum_i w_i G_i with G_i = sum_t b_it a_it^T where a_it are the patches of an image x [n, c, h, w] and b is [n, p, h', w'].
//
// One block makes one tile of the sum over one of `splits` ranges of examples: parts [splits, p, c kh kw], which sum_of_parts
// adds up. See weighted.cuh for what is exact.

KERNEL patches_sum(const element* __restrict__ x, const element* __restrict__ b, const float* __restrict__ weights, int n, 
              int c, int h, int w, int kh, int kw, int sh, int sw, int ph, int pw, int oh, int ow,
            int p, int splits, float* __restrict__ parts) {
    extern __shared__ __align__(16) u32 stages[];
    __shared__ int2 lines[BN];
    Window window{c, h, w, kh, kw, sh, sw, ph, pw, oh, ow};
    int d = window.c * window.kh * window.kw, t = window.oh * window.ow;
    int across = (d + BN - 1) / BN, tiles = across * ((p + BM - 1) / BM);
    int split = blockIdx.x / tiles, tile = blockIdx.x % tiles, row = tile / across * BM, col = tile % across * BN;
    find_lines(lines, window, col);
    __syncthreads();
    float sum[ACCUMULATORS];
    auto fill = [&](int i, int step, int stage) {
        u32* to = stages + stage * STAGE_WORDS;
        fill_lines<BM, BK, 0>(to, b + ((long long)i * p + row) * t + step * BK, t, p - row, t - step * BK);
        const element* image = x + (long long)i * window.c * window.h * window.w;
        if (plain(window)) fill_lines<BN, BK, 0>(to + A_WORDS, image + (long long)col * t + step * BK, t, d - col, t - step * BK);
        else fill_patches(to + A_WORDS, image, lines, window, step * BK);
    };
    int from = (long long)split * n / splits, to = (long long)(split + 1) * n / splits;
    weighted_sum(sum, weights, from, to, (t + BK - 1) / BK, stages, fill);
    write_tile(sum, parts + (long long)split * p * d, row, col, p, d);
}

// Squared norms of G_i = sum_t b_it a_it^T where a_it are the patches of an image x [n, c, h, w] and b is [n, p, h', w'],
// without writing any G_i or any patch.
//
// One block makes one tile of one G_i [p, c kh kw] in registers and squares it; parts[i, tile] are its shares, in f64.
// Where `rows` [n, p, c kh kw] is not null the gradients are kept there.
//
// # Why this is private
//
// As product_norms.cu: patches_sum.cu adds the very accumulators that are squared here.

KERNEL patches_norms(const element* __restrict__ x, const element* __restrict__ b, 
              int c, int h, int w, int kh, int kw, int sh, int sw, int ph, int pw, int oh, int ow, int p,
              float* __restrict__ rows, double* __restrict__ parts) {
    extern __shared__ __align__(16) u32 stages[];
    __shared__ int2 lines[BN];
    __shared__ double sums[THREADS / 32];
    Window window{c, h, w, kh, kw, sh, sw, ph, pw, oh, ow};
    int d = window.c * window.kh * window.kw, t = window.oh * window.ow;
    int across = (d + BN - 1) / BN, tiles = across * ((p + BM - 1) / BM);
    long long i = blockIdx.x / tiles;
    int tile = blockIdx.x % tiles, row = tile / across * BM, col = tile % across * BN;
    x += i * window.c * window.h * window.w, b += (i * p + row) * t;
    find_lines(lines, window, col);
    __syncthreads();
    float acc[ACCUMULATORS];
    clear(acc);
    auto fill = [&](int step, int stage) {
        u32* to = stages + stage * STAGE_WORDS;
        fill_lines<BM, BK, 0>(to, b + step * BK, t, p - row, t - step * BK);
        if (plain(window)) fill_lines<BN, BK, 0>(to + A_WORDS, x + (long long)col * t + step * BK, t, d - col, t - step * BK);
        else fill_patches(to + A_WORDS, x, lines, window, step * BK);
    };
    pipeline((t + BK - 1) / BK, fill, [&](int, int stage) {
        multiply(acc, stages + stage * STAGE_WORDS, stages + stage * STAGE_WORDS + A_WORDS);
    });
    if (rows) write_tile(acc, rows + i * p * d, row, col, p, d);
    double sum = tile_sum(squares(acc), sums);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

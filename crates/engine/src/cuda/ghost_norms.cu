// Squared norms of G_i = sum_t b_it a_it^T by Gram matrices: sum_ts (a a^T)_ts (b b^T)_ts, lower halves only.
//
// One block makes one tile of both matrices and multiplies them, element by element. `parts` [2, n, tiles, splits] are its
// shares of the sum, then of the sum of sizes, in f64: where a sum is below 1/64 of its sizes too many digits may have gone
// (ghost_flags in norms_of_parts.cu). The columns of b are dealt out to `splits` blocks: the sum is linear in b b^T, and
// sizes of parts are at least the size of the whole. Needs ALONG = 1, BM = BN.

// Steps after which accumulators of the tensor cores are emptied, which bounds what truncation can take: 64 steps of 8.
#define CHUNK (512 / LINE)

// Runs over `width` columns of rows `row..` and `col..` of one example and hands over accumulators now and then.
template <class Take>
__device__ __forceinline__ void gram(const element* x, int pitch, int t, int row, int col, int width, u32* stages, Take take) {
    float acc[ACCUMULATORS];
    clear(acc);
    int steps = (width + BK - 1) / BK;
    auto fill = [&](int step, int stage) {
        u32* to = stages + stage * STAGE_WORDS;
        int from = step * BK;
        fill_lines<BM, BK, 0>(to, x + (long long)row * pitch + from, pitch, t - row, width - from);
        if (row != col) fill_lines<BN, BK, 0>(to + A_WORDS, x + (long long)col * pitch + from, pitch, t - col, width - from);
    };
    pipeline(steps, fill, [&](int step, int stage) {
        const u32* at = stages + stage * STAGE_WORDS;
        multiply(acc, at, row != col ? at + A_WORDS : at);
        if ((step + 1) % CHUNK == 0 || step + 1 == steps) {
            take(acc);
            clear(acc);
        }
    });
}

KERNEL ghost_norms(const element* __restrict__ a, const element* __restrict__ b, int n, int t, int d, int p, int lda, int ldb,
            int splits, double* __restrict__ parts) {
    extern __shared__ __align__(16) u32 stages[];
    float* kept = (float*)(stages + STAGES * STAGE_WORDS) + threadIdx.x;
    __shared__ double sums[THREADS / 32];
    int lines = (t + BM - 1) / BM, tiles = lines * (lines + 1) / 2;
    long long i = blockIdx.x / (tiles * splits);
    int tile = blockIdx.x / splits % tiles, split = blockIdx.x % splits, line = 0;
    while ((line + 1) * (line + 2) / 2 <= tile) ++line;
    int row = line * BM, col = (tile - line * (line + 1) / 2) * BN;
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; ++e) kept[e * THREADS] = 0.0f;
    gram(a + i * t * lda, lda, t, row, col, d, stages, [&](const float (&acc)[ACCUMULATORS]) {
#pragma unroll
        for (int e = 0; e < ACCUMULATORS; ++e) kept[e * THREADS] += acc[e];
    });
    int share = ((p + splits - 1) / splits + BK - 1) / BK * BK, from = min(split * share, p);
    double sum = 0.0, size = 0.0;
    gram(b + i * t * ldb + from, ldb, t, row, col, min(share, p - from), stages, [&](const float (&acc)[ACCUMULATORS]) {
#pragma unroll
        for (int e = 0; e < ACCUMULATORS; e += 16) {
            float part = 0.0f, whole = 0.0f;
#pragma unroll
            for (int k = e; k < e + 16; ++k) {
                float term = acc[k] * kept[k * THREADS];
                part += term, whole += fabsf(term);
            }
            sum += part, size += whole;
        }
    });
    double twice = row != col ? 2.0 : 1.0;
    sum = tile_sum(sum * twice, sums);
    size = tile_sum(size * twice, sums);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = sum;
        parts[(long long)n * tiles * splits + blockIdx.x] = size;
    }
}

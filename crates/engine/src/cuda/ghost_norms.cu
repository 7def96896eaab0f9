// Squared norms of G_i = sum_t b_it a_it^T by Gram matrices: sum_ts (a a^T)_ts (b b^T)_ts, lower halves only.
//
// gram_tiles makes the tiles of one matrix; ghost_norms makes those of the other and multiplies them with the first,
// element by element. Which of a and b goes first does not matter; the wider one should go last, since its columns are
// dealt out to `splits` blocks: the sum is linear in them. Needs ALONG = 1, BM = BN; grams [n, tiles, BM BN] f32.

KERNEL gram_tiles(const element* __restrict__ x, int t, int width, int pitch, float* __restrict__ grams) {
    extern __shared__ __align__(16) u32 stages[];
    int lines = (t + BM - 1) / BM, tiles = lines * (lines + 1) / 2;
    float* to = grams + (long long)blockIdx.x * BM * BN + threadIdx.x;
    gram(x + (long long)(blockIdx.x / tiles) * t * pitch, pitch, t, corner_of(blockIdx.x % tiles), width, stages,
         [&](bool first, const float (&acc)[ACCUMULATORS]) {
#pragma unroll
             for (int e = 0; e < ACCUMULATORS; ++e) to[e * THREADS] = acc[e] + (first ? 0.0f : to[e * THREADS]);
         });
}

// parts [2, n, tiles, splits] are shares of the sum, then of the sum of its terms' sizes, in f64: where a sum is below 1/64 of
// its sizes too many digits may have gone (ghost_flags). Sizes of shares are at least the size of the whole.
KERNEL ghost_norms(const element* __restrict__ x, const float* __restrict__ grams, int n, int t, int width, int pitch, int splits, double* __restrict__ parts) {
    extern __shared__ __align__(16) u32 stages[];
    __shared__ double sums[THREADS / 32];
    int lines = (t + BM - 1) / BM, tiles = lines * (lines + 1) / 2, tile = blockIdx.x / splits;
    Corner at = corner_of(tile % tiles);
    const float* other = grams + (long long)tile * BM * BN + threadIdx.x;
    int share = ((width + splits - 1) / splits + BK - 1) / BK * BK, from = min(blockIdx.x % splits * share, width);
    double sum = 0.0, size = 0.0;
    gram(x + (long long)(tile / tiles) * t * pitch + from, pitch, t, at, min(share, width - from), stages,
         [&](bool, const float (&acc)[ACCUMULATORS]) {
#pragma unroll
             for (int e = 0; e < ACCUMULATORS; e += 16) {
                 float part = 0.0f, whole = 0.0f;
#pragma unroll
                 for (int k = e; k < e + 16; ++k) {
                     float term = acc[k] * other[k * THREADS];
                     part += term, whole += fabsf(term);
                 }
                 sum += part, size += whole;
             }
         });
    double twice = at.row != at.col ? 2.0 : 1.0;
    sum = tile_sum(sum * twice, sums);
    size = tile_sum(size * twice, sums);
    if (threadIdx.x != 0) return;
    parts[blockIdx.x] = sum;
    parts[(long long)n * tiles * splits + blockIdx.x] = size;
}

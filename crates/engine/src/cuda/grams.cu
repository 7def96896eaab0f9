// Squared norms of many parameters' G_i = sum_t b_it a_it^T by Gram matrices: sum_st (a_is a_it) (b_is b_it), without writing a
// Gram matrix. Linear maps whose gradients are larger than their Gram matrices, all in one launch: one map alone has too few
// pieces for all multiprocessors. TF32, on Hopper's tensor cores; the twin of op/per_example/ghost.rs.
//
// A piece is 128 rows of both matrices of an example by 128 columns (on the diagonal) or 256, of the lower half; what
// lies off the diagonal counts twice. A block of two warpgroups makes the piece of a a^T, puts it aside, makes that of b b^T
// and multiplies them. WIDE: pieces may have 256 columns; without it every example has at most 128 rows. STAGES
// slabs of rows and columns are on their way or read at a time.
//
// Tensor cores cut sums off at every step, which showed 2^-24 of the sum a step of eight where it shows most (all numbers
// positive). After LONG numbers a sum is put aside, to which the next is added in f32, to nearest.

#undef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS, WIDE ? 1 : 2)
#define COLUMNS (WIDE ? 256 : 128)
#define LONG 4096
#define TURN (LONG / DEPTH)
// The pieces of an example are to be no further apart than this many steps: what one reads the others find in the cache.
#define APART 8
// Slabs of a stage: columns, and with WIDE rows.
#define STAGE (SLAB * (WIDE ? 3 : 1))

// A parameter: its factors' addresses, distances of rows and widths, rows of an example, its first piece, and `gram_norms`'s slack.
struct Map {
    const float* a;
    i64 a_row, d;
    const float* b;
    i64 b_row, p, t, first;
    double slack;
};

// Where a piece lies: its rows are block `row` of 128, its columns blocks `column` and, if wide, the next.
struct Place {
    int row, column;
    bool wide;
};

// Piece `k` of the lower half of `blocks`: row by row from the last, in each from the left. The first takes longest.
__device__ __forceinline__ Place place(int k, int blocks) {
    int row = blocks - 1;
    for (; k >= row / 2 + 1; --row) k -= row / 2 + 1;
    return {row, 2 * k, 2 * k < row};
}
__device__ __forceinline__ int pieces(int t) {
    int blocks = (t + ROWS - 1) / ROWS, half = blocks / 2;
    return blocks % 2 ? (half + 1) * (half + 1) : half * (half + 1);
}

// The first piece of an example says how far it is, the others wait for it: it was begun before them, and waits for nobody.
__device__ __forceinline__ void keep_pace(volatile int* pace, bool leads, int step) {
    if (leads) *pace = step;
    else
        while (*pace + APART < step) __nanosleep(100);
}

// The accumulators are put aside, or added to what is there.
template <int N> __device__ __forceinline__ void put(float* aside, float (&acc)[N], bool add) {
    await_products<0>();
    hold(acc);
#pragma unroll
    for (int e = 0; e < N; ++e) {
        float* to = aside + e * THREADS + threadIdx.x;
        *to = add ? *to + acc[e] : acc[e];
    }
}

// The piece of the two Gram matrices at `place` of an example whose factors begin at `a` and `b`: the sum of their
// products, and the sum of the roots of products on the diagonal. `aside` has room for two pieces.
template <int N>
__device__ __forceinline__ double2 piece(const Map& map, const float* a, const float* b, Place at, float* stages, float* aside,
                                         int* pace, bool leads) {
    float acc[N / 2];
    int first = ((int)map.d + DEPTH - 1) / DEPTH, steps = first + ((int)map.p + DEPTH - 1) / DEPTH;
    // Rows are among the columns where the piece ends on the diagonal.
    int apart = N == 128 ? 0 : at.column + 1 == at.row ? 1 : 2;
    auto load = [&](int step) {
        if (step < steps) {
            bool left = step < first;
            int from = DEPTH * (left ? step : step - first), numbers = (int)(left ? map.d : map.p) - from;
            i64 row = left ? map.a_row : map.b_row;
            float* stage = stages + step % STAGES * STAGE;
            const float* x = (left ? a : b) + from;
            fill_slab(stage, x + at.column * ROWS * row, row, (int)map.t - at.column * ROWS, numbers);
            if (N == 256) fill_slab(stage + SLAB, x + (at.column + 1) * ROWS * row, row, (int)map.t - (at.column + 1) * ROWS, numbers);
            if (apart == 2) fill_slab(stage + 2 * SLAB, x + at.row * ROWS * row, row, (int)map.t - at.row * ROWS, numbers);
        }
        commit_copies();
    };
    int half = threadIdx.x / 128;
    float* other = aside + ROWS * COLUMNS;
    for (int step = 0; step < STAGES - 2; ++step) load(step);
    for (int step = 0; step < steps; ++step) {
        await_copies<STAGES - 3>();
        if (WIDE && threadIdx.x == 0 && step % 4 == 0) keep_pace(pace, leads, step);
        __syncthreads();
        // Both warpgroups are done with the step before the last, whose place this takes.
        load(step + STAGES - 2);
        int since = step < first ? step : step - first;
        if (since % TURN == 0 && step > 0) put(step > first ? other : aside, acc, (step > first ? since : step) > TURN);
        const float* stage = stages + step % STAGES * STAGE;
        u64 rows = slab_at(stage + apart * SLAB + half * SLAB / 2), columns = slab_at(stage);
        hold(acc);
        begin_products();
#pragma unroll
        for (int k = 0; k < DEPTH / 8; ++k) multiply(acc, rows + 2 * k, columns + 2 * k, k > 0 || since % TURN != 0);
        commit_products();
        hold(acc);
        await_products<1>();
    }
    await_products<0>();
    hold(acc);
    if (WIDE && threadIdx.x == 0 && leads) keep_pace(pace, true, steps + APART);
    bool more = steps - first > TURN;
    double sum = 0.0, twice = 0.0, size = 0.0;
    int lane = threadIdx.x % 32, row = at.row * ROWS + threadIdx.x / 32 * 16 + lane / 4, column = at.column * ROWS + lane % 4 * 2;
#pragma unroll
    for (int e = 0; e < N / 2; ++e) {
        int place = e * THREADS + threadIdx.x;
        double product = (double)aside[place] * (more ? other[place] + acc[e] : acc[e]);
        (at.column + e / 64 == at.row ? sum : twice) += product;
        if (row + e % 4 / 2 * 8 == column + e / 4 * 8 + e % 2) size += sqrt(fmax(product, 0.0));
    }
    return make_double2(sum + 2.0 * twice, size);
}

// parts[piece] for all pieces of all maps, which blocks take one after the other. `taken` (one) and `paces` (one a piece) are
// 0 before; `aside` has room for two times ROWS by COLUMNS numbers a block.
KERNEL grams(const Map* __restrict__ maps, int count, int all, u32* __restrict__ taken, int* __restrict__ paces,
             float* __restrict__ aside, double2* __restrict__ parts) {
    extern __shared__ float shared[];
    __shared__ u32 mine;
    float* stages = (float*)(((u64)shared + 1023) / 1024 * 1024);
    aside += (i64)blockIdx.x * 2 * ROWS * COLUMNS;
    for (;;) {
        __syncthreads();
        if (threadIdx.x == 0) mine = atomicAdd(taken, 1);
        __syncthreads();
        int k = mine;
        if (k >= all) return;
        int m = 0;
        while (m + 1 < count && maps[m + 1].first <= k) ++m;
        Map map = maps[m];
        int each = pieces((int)map.t), local = k - (int)map.first;
        Place at = place(local % each, ((int)map.t + ROWS - 1) / ROWS);
        int* pace = paces + (k - local % each);
        bool leads = local % each == 0;
        const float *a = map.a + local / each * map.t * map.a_row, *b = map.b + local / each * map.t * map.b_row;
#if WIDE
        double2 sums = at.wide ? piece<256>(map, a, b, at, stages, aside, pace, leads)
                                 : piece<128>(map, a, b, at, stages, aside, pace, leads);
#else
        double2 sums = piece<128>(map, a, b, at, stages, aside, pace, leads);
#endif
        double sum = block_sum(sums.x), size = block_sum(sums.y);
        if (threadIdx.x == 0) parts[k] = make_double2(sum, size);
    }
}

// Upper bounds of squared norms `[count, n]` from the pieces' parts, as `gram_norms` of per_example.cu.
KERNEL norms_of_grams(const Map* __restrict__ maps, int count, i64 n, const double2* __restrict__ parts,
                      double* __restrict__ out, double unit, double middle) {
    i64 at = THREAD;
    if (at >= count * n) return;
    Map map = maps[at / n];
    int each = pieces((int)map.t);
    const double2* part = parts + map.first + at % n * each;
    double sum = 0.0, size = 0.0;
    for (int k = 0; k < each; ++k) sum += part[k].x, size += part[k].y;
    double square = sum + map.slack * size * size;
    double norm = middle * sqrt(square < 0.0 ? 0.0 : square) + unit * size;
    out[at] = norm * norm;
}

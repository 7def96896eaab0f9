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

// Piece `k` of the lower half of `blocks`: row by row from the last, in each from the left. The longest first.
__device__ __forceinline__ Place place(int k, int blocks) {
    int row = blocks - 1;
    for (; k >= row / 2 + 1; --row) k -= row / 2 + 1;
    return {row, 2 * k, 2 * k < row};
}
__device__ __forceinline__ int pieces(int t) {
    int blocks = (t + ROWS - 1) / ROWS, half = blocks / 2;
    return blocks % 2 ? (half + 1) * (half + 1) : half * (half + 1);
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

// The sum of products of numbers put aside (two parts if `more`) with the accumulators, off the diagonal twice, and of the
// roots of those on it. Sixteen products at a time are added in f32.
template <int N>
__device__ __forceinline__ double2 sums(const float (&acc)[N], const float* aside, const float* other, bool more, Place at) {
    int lane = threadIdx.x % 32, row = at.row * ROWS + threadIdx.x / 32 * 16 + lane / 4, column = at.column * ROWS + lane % 4 * 2;
    double sum = 0.0, size = 0.0;
#pragma unroll
    for (int e = 0; e < N; e += 16) {
        float part = 0.0f;
#pragma unroll
        for (int i = e; i < e + 16; ++i) {
            float left = aside[i * THREADS + threadIdx.x], right = acc[i];
            if (more) right += other[i * THREADS + threadIdx.x];
            part = fmaf(left, right, part);
            if (row + i % 4 / 2 * 8 == column + i / 4 * 8 + i % 2) size += sqrtf(fmaxf(left * right, 0.0f));
        }
        sum += at.column + e / 64 == at.row ? part : 2.0 * part;
    }
    return make_double2(sum, size);
}

// The piece of the two Gram matrices at `at` of an example whose factors begin at `a` and `b`: the sum of their products, and
// the sum of the roots of products on the diagonal. `aside` has room for two pieces.
template <int N>
__device__ __forceinline__ double2 piece(const Map& map, const float* a, const float* b, Place at, float* stages, float* aside) {
    constexpr int SLABS = N / 128 == 1 ? 1 : 3;
    float acc[N / 2], *other = aside + ROWS * COLUMNS;
    int d = (int)map.d, p = (int)map.p, first = (d + DEPTH - 1) / DEPTH, steps = first + (p + DEPTH - 1) / DEPTH;
    // Where rows are: among the columns, where the piece ends on the diagonal.
    int rows = N == 128 ? 0 : at.column + 1 == at.row ? 1 : 2, half = threadIdx.x / 128;
    int blocks[SLABS];
#pragma unroll
    for (int s = 0; s < SLABS; ++s) blocks[s] = (s == 2 ? at.row : at.column + s) * ROWS;
    Lines<SLABS> lines;
    lines.start(a, map.a_row, d, blocks, (int)map.t);
    auto load = [&](int step) {
        if (step == first) lines.start(b, map.b_row, p, blocks, (int)map.t);
        if (step < steps) lines.copy(stages + step % STAGES * STAGE, rows + 1);
        commit_copies();
    };
    for (int step = 0; step < STAGES - 2; ++step) load(step);
    for (int step = 0; step < steps; ++step) {
        await_copies<STAGES - 3>();
        __syncthreads();
        int since = step < first ? step : step - first;
        if (since % TURN == 0 && step > 0) put(step > first ? other : aside, acc, (step > first ? since : step) > TURN);
        const float* stage = stages + step % STAGES * STAGE;
        u64 left = slab_at(stage + rows * SLAB + half * SLAB / 2), right = slab_at(stage);
        hold(acc);
        begin_products();
#pragma unroll
        for (int k = 0; k < DEPTH / 8; ++k) multiply(acc, left + 2 * k, right + 2 * k, k > 0 || since % TURN != 0);
        commit_products();
        // Both warpgroups are done with the step before the last, whose place this takes.
        load(step + STAGES - 2);
        await_products<1>();
    }
    await_products<0>();
    hold(acc);
    return sums(acc, aside, other, steps - first > TURN, at);
}

// parts[piece] for all pieces of all maps, which blocks take one after the other (`taken` is 0 before). `aside` has room for two times ROWS by COLUMNS numbers a block.
KERNEL grams(const Map* __restrict__ maps, int count, int all, u32* __restrict__ taken, float* __restrict__ aside,
             double2* __restrict__ parts) {
    extern __shared__ float shared[];
    __shared__ u32 next;
    float* stages = (float*)(((u64)shared + 1023) / 1024 * 1024);
    aside += (i64)blockIdx.x * 2 * ROWS * COLUMNS;
    for (;;) {
        __syncthreads();
        if (threadIdx.x == 0) next = atomicAdd(taken, 1);
        __syncthreads();
        // From the last: a model's head, whose pieces take longest, is last of its maps.
        int k = all - 1 - (int)next;
        if (k < 0) return;
        int m = 0;
        while (m + 1 < count && maps[m + 1].first <= k) ++m;
        Map map = maps[m];
        int each = pieces((int)map.t), local = k - (int)map.first;
        Place at = place(local % each, ((int)map.t + ROWS - 1) / ROWS);
        const float *a = map.a + local / each * map.t * map.a_row, *b = map.b + local / each * map.t * map.b_row;
#if WIDE
        double2 mine = at.wide ? piece<256>(map, a, b, at, stages, aside)
                                 : piece<128>(map, a, b, at, stages, aside);
#else
        double2 mine = piece<128>(map, a, b, at, stages, aside);
#endif
        double sum = block_sum(mine.x), size = block_sum(mine.y);
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

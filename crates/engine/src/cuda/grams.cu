// Squared norms of many parameters' G_i = sum_t b_it a_it^T by Gram matrices: sum_st (a_is a_it) (b_is b_it), without writing a
// Gram matrix. Linear maps whose gradients are larger than their Gram matrices, all in one launch: one map alone has too few
// pieces for all multiprocessors. TF32 or bf16, on Hopper's tensor cores; the twin of op/per_example/ghost.rs.
//
// An example's matrices are cut into squares of SPAN rows and columns, and these into parts of 64 by 64, of which those on the diagonal and below
// it are made; what lies below counts twice. CLUSTER blocks side by side make a square, GROUPS warpgroups each. One: a square on the diagonal is all
// there is. Two: below the diagonal a block has 128 of the rows. Four: an example is one square, whose rows are read once, and a warpgroup makes three
// parts (`Plan`). One warp has slabs copied, STAGES of them at a time. A block makes its part of a a^T, puts it aside, makes that of b b^T and multiplies them.
//
// Tensor cores cut sums off at every step, which showed 2^-24 of the sum a step of eight where it shows most (all numbers
// positive). After LONG numbers a sum is put aside, to which the next is added in f32, to nearest. What is allowed for that:
// op/per_example/margins.rs.

#define GROUPS (CLUSTER == 4 ? 3 : 2)
#define WARPS (4 * GROUPS)
#define THREADS (128 * GROUPS)
#define LONG 4096
#define TURN (LONG / DEPTH)
#define STRIP (64 * ROW_WORDS)
// Accumulators of a thread.
#define NUMBERS (CLUSTER == 4 ? 96 : 64 * CLUSTER)
#define SPAN (128 * CLUSTER)
// Words of a stage: a square's columns, and of two blocks below the diagonal 128 of its rows; of four those strips that a block needs.
#define STAGE ((CLUSTER == 4 ? 7 : CLUSTER == 2 ? 6 : 2) * STRIP)

// A parameter: its factors, their widths, rows of an example, its first part, what rounding may take from its norms, and where these go.
struct Map {
    Boxed a, b;
    i64 d, p, t, first;
    Margins margins;
    double* norms;
};

// What a block makes next: a square of an example of a map, by its row and column of squares, and where the parts go.
struct Item {
    u32 map, example, row, column, part, unused;
};

// What four blocks make of eight strips of 64 rows (op/per_example/grams/plan.rs): each warpgroup's left factor and its columns, which are three
// strips, by their places in a stage, and which of these parts are on the diagonal (`left | columns << 8 | diagonal << 16`); what each block has
// copied, to which place of which blocks (`strip | place << 8 | blocks << 16`), and how many strips come to it.
struct Plan {
    u32 shares[4][3], copies[4][4], strips[4];
};

// Parts of an example: those of all warps of each block for every square.
__device__ __forceinline__ int parts_of(i64 t) {
    int squares = (int)((t + SPAN - 1) / SPAN);
    return WARPS * CLUSTER * (squares * (squares + 1) / 2);
}

// Upper bounds of squared norms, `[n]` for each of `count` parameters, from the pieces' parts: a warp makes one.
KERNEL norms_of_grams(const Map* __restrict__ maps, int count, i64 n, const double2* __restrict__ parts) {
    i64 at = THREAD / 32;
    if (at >= count * n) return;
    const Map& map = maps[at / n];
    int each = parts_of(map.t);
    const double2* part = parts + 3 * (map.first + at % n * each);
    Gram gram = {};
    for (int k = threadIdx.x % 32; k < each; k += 32) add_part(gram, part + 3 * k);
    gram = gathered(gram, [](double x) { return warp_sum(x); });
    double norm = gram_norm(map.margins, gram);
    if (threadIdx.x % 32 == 0) map.norms[at % n] = norm * norm;
}

// Slabs on their way and read, round and round, and the barriers that tell of each that it is there and that it may be written.
struct Ring {
    u32* stages;
    u64 *there, *free;
    int stage;
    u32 parity;
    __device__ __forceinline__ u32* slab() { return stages + stage * STAGE; }
    __device__ __forceinline__ void next() {
        if (++stage == STAGES) stage = 0, parity ^= 1;
    }
    // A warpgroup is done with a stage, here and where other blocks' copies go.
    __device__ __forceinline__ void release(int done) {
        if (threadIdx.x % 128 < CLUSTER) arrive_at(free + done, threadIdx.x % 128);
    }
};

// Has the slabs of an item copied.
__device__ __forceinline__ void copy_item(const Map& map, Item item, Ring& ring, int rank, const Plan* plan) {
    see(&map.a), see(&map.b);
    int example = (int)item.example;
    for (int factor = 0; factor < 2; ++factor) {
        const Boxed* matrix = factor ? &map.b : &map.a;
        int width = (int)(factor ? map.p : map.d);
        for (int x = 0; x < width; x += DEPTH, ring.next()) {
            u32* slab = ring.slab();
            u64* there = ring.there + ring.stage;
            await(ring.free + ring.stage, ring.parity ^ 1);
#if CLUSTER == 1
            arrive_expecting(there, 4 * STRIP * 2);
            copy_box(slab, matrix, x, 0, example, there);
#elif CLUSTER == 2
            bool below = item.row != item.column;
            arrive_expecting(there, 4 * STRIP * (below ? 6 : 4));
            copy_box(slab + 2 * STRIP * rank, matrix, x, item.column * SPAN + 128 * rank, example, there, 3);
            if (below) copy_box(slab + 4 * STRIP, matrix, x, item.row * SPAN + 128 * rank, example, there);
#else
            arrive_expecting(there, 4 * STRIP * plan->strips[rank]);
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                u32 copy = plan->copies[rank][k];
                if (copy >> 16) copy_box_once(slab + STRIP * (copy >> 8 & 255), matrix, x, 64 * (copy & 255), example, there, copy >> 16);
            }
#endif
        }
    }
}

// The products of the next `count` slabs, from 0: of 64 rows with 2 N, `left` and `columns` words behind the stage's first.
template <int N> __device__ __forceinline__ void multiply_slabs(float (&acc)[N], Ring& ring, int left, int columns, int count) {
    int before = 0;
    for (int step = 0; step < count; ++step) {
        await(ring.there + ring.stage, ring.parity);
        u64 a = slab_at(ring.slab() + left), b = slab_at(ring.slab() + columns);
        begin_products();
#pragma unroll
        for (int k = 0; k < STEPS; ++k) multiply(acc, a + 2 * k, b + 2 * k, k + step > 0);
        commit_products();
        await_products<1>();
        if (step > 0) ring.release(before);
        before = ring.stage;
        ring.next();
    }
    await_products<0>();
    hold(acc);
    ring.release(before);
}

// The accumulators are put aside, or added to what is there.
template <int N> __device__ __forceinline__ void put(float4* aside, float (&acc)[N], bool add) {
#pragma unroll
    for (int e = 0; e < N; e += 4) {
        float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (add) x = aside[e / 4 * THREADS];
        aside[e / 4 * THREADS] = make_float4(x.x + acc[e], x.y + acc[e + 1], x.z + acc[e + 2], x.w + acc[e + 3]);
    }
}

// What numbers put aside (two parts if `more`) and the accumulators tell. Bit k of `diagonal`, and of WHERE, which tells where there may be one, is the k-th 64 columns' on
// the diagonal; all others count twice. Sixteen products at a time are added in f32.
template <int WHERE, int N>
__device__ __forceinline__ Gram sums(const float (&acc)[N], const float4* aside, const float4* other, bool more, int diagonal) {
    int lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16 + lane / 4;
    Gram gram = {};
#pragma unroll
    for (int e = 0; e < N; e += 16) {
        bool on = (WHERE & diagonal) >> e / 32 & 1;
        float part = 0.0f, lefts = 0.0f, rights = 0.0f;
#pragma unroll
        for (int i = e; i < e + 16; i += 4) {
            float4 x = aside[i / 4 * THREADS], y = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (more) y = other[i / 4 * THREADS];
            float left[4] = {x.x, x.y, x.z, x.w}, right[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                float whole = right[k] + acc[i + k];
                part = fmaf(left[k], whole, part);
                lefts = fmaf(left[k], left[k], lefts), rights = fmaf(whole, whole, rights);
                if (on && row + k / 2 * 8 == i % 32 / 4 * 8 + lane % 4 * 2 + k % 2) add_diagonal(gram, left[k], whole);
            }
        }
        gram.sum += on ? part : 2.0 * part;
        gram.squares_a += on ? lefts : 2.0 * lefts, gram.squares_b += on ? rights : 2.0 * rights;
    }
    return gram;
}

// A warpgroup's part of an item: 64 rows, `left` strips behind a stage's first, by 2 N rows, `columns` behind it; `diagonal` and WHERE are as in `sums`.
// `aside` has room for two parts. `all` are registers for the largest part.
template <int WHERE, int N>
__device__ __forceinline__ Gram piece(float (&all)[NUMBERS], const Map& map, Ring& ring, int left, int columns, int diagonal, float4* aside) {
    float(&acc)[N] = *(float(*)[N])all;
    float4* other = aside + NUMBERS / 4 * THREADS;
    int d = (int)((map.d + DEPTH - 1) / DEPTH), p = (int)((map.p + DEPTH - 1) / DEPTH);
    left *= STRIP, columns *= STRIP;
    for (int from = 0; from < d; from += TURN) {
        multiply_slabs(acc, ring, left, columns, min(TURN, d - from));
        put(aside, acc, from > 0);
    }
    for (int from = 0; from < p; from += TURN) {
        multiply_slabs(acc, ring, left, columns, min(TURN, p - from));
        if (from + TURN < p) put(other, acc, from > 0);
    }
    return sums<WHERE>(acc, aside, other, p > TURN, diagonal);
}

// A warpgroup's part of an item.
__device__ __forceinline__ Gram part_of(float (&acc)[NUMBERS], const Map& map, Item item, Ring& ring, int rank, const Plan* plan, float4* aside) {
    int group = threadIdx.x / 128;
#if CLUSTER == 4
    u32 share = plan->shares[rank][group];
    return piece<7, 96>(acc, map, ring, share & 255, share >> 8 & 255, share >> 16, aside);
#else
    // On the diagonal a short strip and a long one go to a block.
#if CLUSTER == 2
    bool diagonal = item.row == item.column;
    int strip = group ? 3 - rank : rank;
    if (!diagonal || strip == 3) return piece<8, 128>(acc, map, ring, diagonal ? 3 : 4 + group, 0, diagonal ? 8 : 0, aside);
    if (strip == 2) return piece<4, 96>(acc, map, ring, 2, 0, 4, aside);
#else
    int strip = group;
#endif
    if (strip == 1) return piece<2, 64>(acc, map, ring, 1, 0, 2, aside);
    return piece<1, 32>(acc, map, ring, 0, 0, 1, aside);
#endif
}

#undef KERNEL
#define KERNEL extern "C" __global__ void __cluster_dims__(CLUSTER) __launch_bounds__(THREADS + (CLUSTER > 1 ? 128 : 32), CLUSTER > 1 ? 1 : 2)

// parts[item.part, warp] for the items of each block, which are those from `starts[block]` on. `aside` has room for 2 times NUMBERS numbers a thread.
KERNEL grams(const Map* __restrict__ maps, const u64* __restrict__ starts, const Item* __restrict__ items, const Plan* __restrict__ plan,
             float4* __restrict__ aside, double2* __restrict__ parts) {
    extern __shared__ u32 shared[];
    __shared__ u64 barriers[2 * STAGES];
    Ring ring = {(u32*)(((u64)shared + 1023) / 1024 * 1024), barriers, barriers + STAGES, 0, 0};
    int rank = CLUSTER > 1 ? (int)rank_in_cluster() : 0;
    if (threadIdx.x == 0) {
        for (int k = 0; k < STAGES; ++k) start_barrier(ring.there + k, 1), start_barrier(ring.free + k, GROUPS * CLUSTER);
        show_barriers();
    }
    __syncthreads();
    if (CLUSTER > 1) meet_cluster();
    const u64* list = starts + blockIdx.x / CLUSTER;
    u32 from = (u32)list[0], to = (u32)list[1];
    if (threadIdx.x >= THREADS) {
#if CLUSTER == 2
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
#elif CLUSTER == 4
        asm volatile("setmaxnreg.dec.sync.aligned.u32 32;");
#endif
        if (threadIdx.x == THREADS) for (u32 k = from; k < to; ++k) copy_item(maps[items[k].map], items[k], ring, rank, plan);
    } else {
#if CLUSTER == 2
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
#elif CLUSTER == 4
        asm volatile("setmaxnreg.inc.sync.aligned.u32 160;");
#endif
        float acc[NUMBERS] = {};
        aside += (i64)blockIdx.x * (NUMBERS / 2) * THREADS + threadIdx.x;
        for (u32 k = from; k < to; ++k) {
            Gram mine = part_of(acc, maps[items[k].map], items[k], ring, rank, plan, aside);
            mine = gathered(mine, [](double x) { return warp_sum(x); });
            if (threadIdx.x % 32 == 0) put_part(mine, parts + 3 * (WARPS * (CLUSTER * items[k].part + rank) + threadIdx.x / 32));
        }
    }
    // Nobody leaves while another block may still write here.
    __syncwarp();
    if (CLUSTER > 1) meet_cluster();
}

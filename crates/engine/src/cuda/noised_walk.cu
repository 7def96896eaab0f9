// Steps out of sums that lie on several GPUs, behind their noise: one pass, in which each GPU has a part of the numbers and writes it
// on all.
//
// # Why this is private
//
// Claim: if `noisy`, what is written depends on the sum of the summands and its noise alone: number `i` with normal `i`, added once.
// Argument: a number is in one GPU's part, and there one thread adds the summands up, adds the normal of its place, and steps; nothing
// else of the summands is written. Normals are `normals.cuh`'s, sums and steps are rounded as where they are passes of their own.

#ifndef GPUS
#define GPUS 1
#endif

// A tensor: where it begins in the step, where its numbers are kept rounded to bf16 on this GPU, if not null, and its places on
// all GPUs, this one's first.
struct Row {
    i64 start;
    bf16* rounded;
    float* w[GPUS];
};

// Whether four numbers from `i` on are one tensor's, `row`, and aligned there.
__device__ __forceinline__ bool is_whole(const Row* row, i64 i, i64 to) {
    return i + 3 < min(to, row[1].start) && (i - row->start) % 4 == 0;
}

// `f(row, k)` for each number `i + k` of four that is before `to`, with its tensor.
template <class F> __device__ __forceinline__ void one_by_one(const Row* row, i64 i, i64 to, F f) {
    for (int k = 0; k < 4 && i + k < to; ++k) {
        while (i + k >= row[1].start) ++row;
        f(*row, k);
    }
}

// Asks for a copy in shared memory, which is there after `wait_for_copies`.
template <int BYTES> __device__ __forceinline__ void ask(void* to, const float* from) {
    u32 at = (u32)__cvta_generic_to_shared(to);
    if (BYTES == 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
    else asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(at), "l"(from) : "memory");
}
__device__ __forceinline__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

__device__ __forceinline__ void write_weights(const Row* row, i64 i, i64 to, float4 v) {
    if (is_whole(row, i, to)) {
        i64 at = i - row->start;
#pragma unroll
        for (int gpu = 0; gpu < GPUS; ++gpu) store4(row->w[gpu] + at, v);
        if (row->rounded) store4(row->rounded + at, v);
        return;
    }
    const float w[4] = {v.x, v.y, v.z, v.w};
    one_by_one(row, i, to, [&](const Row& row, int k) {
        i64 at = i + k - row.start;
        for (int gpu = 0; gpu < GPUS; ++gpu) row.w[gpu][at] = w[k];
        if (row.rounded) row.rounded[at] = w[k];
    });
}

// Asks for four numbers from `i` on of every summand, 512 numbers apart, and for the weights before them.
__device__ __forceinline__ void ask_for_four(const float* const* summands, const Row* row, i64 i, i64 to, float4* sums, float4* weights) {
    if (is_whole(row, i, to)) {
#pragma unroll
        for (int gpu = 0; gpu < GPUS; ++gpu) ask<16>(sums + 128 * gpu, summands[gpu] + i);
        return ask<16>(weights, row->w[0] + (i - row->start));
    }
    one_by_one(row, i, to, [&](const Row& row, int k) {
        for (int gpu = 0; gpu < GPUS; ++gpu) ask<4>((float*)(sums + 128 * gpu) + k, summands[gpu] + i + k);
        ask<4>((float*)weights + k, row.w[0] + (i + k - row.start));
    });
}

// The tensor that has number `i`, of `count`.
__device__ __forceinline__ const Row* row_of(const Row* rows, int count, i64 i) {
    int low = 0, high = count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (rows[middle].start <= i) low = middle;
        else high = middle - 1;
    }
    return rows + low;
}

// Where in shared memory a warp keeps fours of its 512 normals, of which each lane made sixteen: in turned order, so that neither who
// writes them nor who reads them meets others in a bank.
__device__ __forceinline__ int turned(int four) { return four ^ (four >> 3 & 3); }

// `w += by (sum + deviation normal)` for the numbers `from` (a multiple of 512) to `to`, 512 a warp; without the normals if not
// `noisy`. `table` has the summands' addresses, one for each GPU, and then `count + 1` rows. What is read is asked for first, and comes while
// normals are made. Shared memory: `2 + GPUS` times 2 KiB a warp.
KERNEL noised_walk(u64 key0, u64 key1, u64 key2, u64 key3, u64 nonce, float deviation, u32 noisy, const u64* table, int count,
                   double by, i64 from, i64 to) {
    extern __shared__ float4 shared[];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float4 *normals = shared + warp * 128 * (2 + GPUS), *weights = normals + 128, *sums = weights + 128;
    const i64 first = from + ((i64)blockIdx.x * (blockDim.x / 32) + warp) * 512;
    if (first >= to) return;
    const float* const* summands = (const float* const*)table;
    const Row* rows[4] = {row_of((const Row*)(table + GPUS), count, first)};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        const i64 i = first + 128 * k + 4 * lane;
        if (k > 0) rows[k] = rows[k - 1];
        while (i < to && i >= rows[k][1].start) ++rows[k];
        ask_for_four(summands, rows[k], i, to, sums + 32 * k + lane, weights + 32 * k + lane);
    }
    if (noisy) {
        float made[16];
        block_of_normals(Stream{{key0, key1, key2, key3}, nonce}, first / 16 + lane, made);
#pragma unroll
        for (int k = 0; k < 4; ++k)
            normals[turned(4 * lane + k)] = make_float4(made[4 * k], made[4 * k + 1], made[4 * k + 2], made[4 * k + 3]);
        __syncwarp();
    }
    // Each lane reads what it asked for itself.
    wait_for_copies();
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        const int four = 32 * k + lane;
        float4 s = sums[four], w = weights[four];
#pragma unroll
        for (int gpu = 1; gpu < GPUS; ++gpu) {
            float4 t = sums[128 * gpu + four];
            s.x += t.x, s.y += t.y, s.z += t.z, s.w += t.w;
        }
        if (noisy) {
            float4 z = normals[turned(four)];
            s.x = fmaf(deviation, z.x, s.x), s.y = fmaf(deviation, z.y, s.y);
            s.z = fmaf(deviation, z.z, s.z), s.w = fmaf(deviation, z.w, s.w);
        }
        w.x += (float)(s.x * by), w.y += (float)(s.y * by), w.z += (float)(s.z * by), w.w += (float)(s.w * by);
        write_weights(rows[k], first + 4 * four, to, w);
    }
}

// Products of a warpgroup's 64 rows on Hopper's tensor cores, both factors read from shared memory.
//
// A slab is 128 rows of 32 numbers (128 bytes); the eight 16-byte places of a row are permuted by the row's number, as the
// tensor cores expect, so that neither writing nor reading a column of places meets in a bank. Numbers are f32, of which
// the last 13 bits are ignored (TF32).

#define THREADS 256
#define ROWS 128
#define DEPTH 32
#define SLAB (ROWS * DEPTH)

__device__ __forceinline__ void copy_whole(u32 to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
// `bytes` of 16, then zeros.
__device__ __forceinline__ void copy_part(u32 to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

// A matrix's rows on their way into slabs, DEPTH numbers of each at a time: what this thread copies, which is the same place of
// every 32nd row of up to SLABS blocks of ROWS rows.
template <int SLABS> struct Lines {
    // Of the thread's first row of each block; bytes to its next row.
    const char* at[SLABS];
    i64 apart;
    // A bit for each of the thread's rows that are there, and the numbers that are left from its place.
    u32 there;
    int left;

    // Rows of `width` numbers, `row` apart, which begin at multiples of 16 bytes; blocks begin at rows `blocks`, and there are `rows`
    // rows in all.
    __device__ __forceinline__ void start(const float* x, i64 row, int width, const int (&blocks)[SLABS], int rows) {
        int place = threadIdx.x % 8, first = threadIdx.x / 8;
        apart = 4 * (THREADS / 8) * row, left = width - 4 * place, there = 0;
#pragma unroll
        for (int s = 0; s < SLABS; ++s) {
            at[s] = (const char*)(x + (blocks[s] + first) * row + 4 * place);
#pragma unroll
            for (int k = 0; k < 4; ++k) there |= (u32)(blocks[s] + first + k * (THREADS / 8) < rows) << (4 * s + k);
        }
    }

    // Copies the next numbers to `count` slabs; what is not there becomes 0.
    __device__ __forceinline__ void copy(float* slabs, int count) {
        int first = threadIdx.x / 8;
        u32 to = (u32)__cvta_generic_to_shared(slabs + first * DEPTH + 4 * (threadIdx.x % 8 ^ first % 8));
        bool whole = left >= 4 && there == (1u << 4 * SLABS) - 1;
        int bytes = 4 * min(max(left, 0), 4);
#pragma unroll
        for (int s = 0; s < SLABS; ++s) {
            if (s == 2 && count == 2) break;
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                u32 slot = to + 4 * (s * SLAB + k * (THREADS / 8) * DEPTH);
                if (whole) copy_whole(slot, at[s] + k * apart);
                else copy_part(slot, at[s] + k * apart, there >> (4 * s + k) & 1 ? bytes : 0);
            }
            at[s] += 4 * DEPTH;
        }
        left -= DEPTH;
    }
};
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// All but the last N groups of this thread's copies are there, for the tensor cores too.
template <int N> __device__ __forceinline__ void await_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// How the tensor cores are told of a slab: its address, eight rows are 1024 bytes, places are permuted over 128 bytes.
__device__ __forceinline__ u64 slab_at(const float* slab) {
    u32 at = (u32)__cvta_generic_to_shared(slab);
    return (u64)((at & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

#define FOUR(c, i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3])
#define SIXTEEN(c, i) FOUR(c, i), FOUR(c, i + 4), FOUR(c, i + 8), FOUR(c, i + 12)
#define NAMES_64                                                                                                       \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "   \
    "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "    \
    "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define NAMES_128                                                                                                      \
    NAMES_64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, "   \
    "%84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, "    \
    "%105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, "      \
    "%123, %124, %125, %126, %127"

// acc (+)= a b^T for 64 rows at `a` and 128 or 256 at `b`, eight numbers deep; `add` is 0 for the first. A warp has 16 of the rows, as
// every m64 product of this kind: number e of a thread is in row 16 warp + lane / 4 + e % 4 / 2 * 8, column
// e / 4 * 8 + lane % 4 * 2 + e % 2.
__device__ __forceinline__ void multiply(float (&c)[64], u64 a, u64 b, int add) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32.tf32 " NAMES_64 "}, %64, %65, p, 1, 1;\n}\n"
                 : SIXTEEN(c, 0), SIXTEEN(c, 16), SIXTEEN(c, 32), SIXTEEN(c, 48)
                 : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply(float (&c)[128], u64 a, u64 b, int add) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n256k8.f32.tf32.tf32 " NAMES_128 "}, %128, %129, p, 1, 1;\n}\n"
                 : SIXTEEN(c, 0), SIXTEEN(c, 16), SIXTEEN(c, 32), SIXTEEN(c, 48), SIXTEEN(c, 64), SIXTEEN(c, 80),
                   SIXTEEN(c, 96), SIXTEEN(c, 112)
                 : "l"(a), "l"(b), "r"(add));
}
// Nothing that touches accumulators is moved across: they belong to the tensor cores meanwhile.
template <int N> __device__ __forceinline__ void hold(float (&c)[N]) {
#pragma unroll
    for (int e = 0; e < N; ++e) asm volatile("" : "+f"(c[e])::"memory");
}
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// All but the last N groups of this warpgroup's products are made.
template <int N> __device__ __forceinline__ void await_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

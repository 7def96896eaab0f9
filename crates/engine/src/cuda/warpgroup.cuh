// Products of a warpgroup's 64 rows on Hopper's tensor cores, both factors read from shared memory.
//
// A slab is 128 rows of 32 numbers (128 bytes); the eight 16-byte places of a row are permuted by the row's number, as the
// tensor cores expect, so that neither writing nor reading a column of places meets in a bank. Numbers are f32, of which
// the last 13 bits are ignored (TF32).

#define THREADS 256
#define ROWS 128
#define DEPTH 32
#define SLAB (ROWS * DEPTH)

// Copies up to ROWS rows of up to DEPTH numbers, `row` apart, into a slab; what is not there becomes 0. Rows begin at multiples of
// 16 bytes.
__device__ __forceinline__ void fill_slab(float* slab, const float* x, i64 row, int rows, int numbers) {
    int place = threadIdx.x % 8, first = threadIdx.x / 8, left = min(max(numbers - 4 * place, 0), 4);
    u32 to = (u32)__cvta_generic_to_shared(slab + first * DEPTH + 4 * (place ^ first % 8));
#pragma unroll
    for (int k = 0; k < ROWS; k += THREADS / 8) {
        int bytes = first + k < rows ? 4 * left : 0;
        const float* from = bytes > 0 ? x + (first + k) * row + 4 * place : x;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to + 4 * k * DEPTH), "l"(from), "r"(bytes) : "memory");
    }
}
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

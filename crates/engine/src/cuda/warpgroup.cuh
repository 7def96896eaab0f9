// Products of a warpgroup's 64 rows on Hopper's tensor cores, both factors read from shared memory.
//
// A slab is rows of 128 bytes; the eight 16-byte places of a row are permuted by the row's number, as the
// tensor cores expect and the copy engine writes (`boxes.cuh`), so that reading a column of places does not meet in a bank. Numbers are bf16, or f32,
// of which the last 13 bits are ignored (TF32).

// Words and numbers of a slab's row, and products of 32 bytes of two rows, which are made in one go.
#define ROW_WORDS 32
#define DEPTH (128 / (int)sizeof(number))
#define STEPS 4

// How the tensor cores are told of a slab: its address, eight rows are 1024 bytes, places are permuted over 128 bytes.
__device__ __forceinline__ u64 slab_at(const u32* slab) {
    u32 at = (u32)__cvta_generic_to_shared(slab);
    return (u64)((at & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

#define EIGHT(c, i)                                                                                                    \
    "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]), "+f"(c[i + 6]), "+f"(c[i + 7])
#define OF_32(c, i) EIGHT(c, i), EIGHT(c, i + 8), EIGHT(c, i + 16), EIGHT(c, i + 24)
#define NAMES_32                                                                                                       \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "    \
    "%24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_64                                                                                                       \
    NAMES_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, "   \
    "%52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define NAMES_96                                                                                                       \
    NAMES_64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, "   \
    "%84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define NAMES_128                                                                                                      \
    NAMES_96 ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, "     \
    "%113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

// acc (+)= a b^T for 64 rows at `a` and `columns` rows at `b`, 32 bytes deep; `add` is 0 for the first. A warp has 16 of the rows, as
// every m64 product of this kind: number e of a thread is in row 16 warp + lane / 4 + e % 4 / 2 * 8, column
// e / 4 * 8 + lane % 4 * 2 + e % 2.
#define MULTIPLY_AS(kind, turned, columns, names, a_name, b_name, add_name, ...)                                       \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_name ", 0;\n"                                                 \
                 "wgmma.mma_async.sync.aligned.m64n" columns kind " {" names "}, " a_name ", " b_name ", p, 1, 1" turned  \
                 ";\n}\n"                                                                                               \
                 : __VA_ARGS__                                                                                         \
                 : "l"(a), "l"(b), "r"(add))
#define MULTIPLY(numbers, ...)                                                                                         \
    __device__ __forceinline__ void multiply(float (&c)[numbers], u64 a, u64 b, int add) {                             \
        if constexpr (sizeof(number) == 2) MULTIPLY_AS("k16.f32.bf16.bf16", ", 0, 0", __VA_ARGS__);                     \
        else MULTIPLY_AS("k8.f32.tf32.tf32", "", __VA_ARGS__);                                                         \
    }
MULTIPLY(32, "64", NAMES_32, "%32", "%33", "%34", OF_32(c, 0))
MULTIPLY(64, "128", NAMES_64, "%64", "%65", "%66", OF_32(c, 0), OF_32(c, 32))
MULTIPLY(96, "192", NAMES_96, "%96", "%97", "%98", OF_32(c, 0), OF_32(c, 32), OF_32(c, 64))
MULTIPLY(128, "256", NAMES_128, "%128", "%129", "%130", OF_32(c, 0), OF_32(c, 32), OF_32(c, 64), OF_32(c, 96))

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

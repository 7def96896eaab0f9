// Products of a warpgroup's 64 rows of bf16 on Hopper's tensor cores, sums in f32: what `fragments.cuh` does for a warp's sixteen.
#if WARPGROUPS

// How the tensor cores are told of rows of bf16 in a panel: their address, and once for all of a kind the bytes from one panel to the
// next (where a product takes several); eight rows are 16 PANEL bytes.
__device__ __forceinline__ u32 place_of(const bf16* rows) { return (shared_address(rows) & 0x3ffff) >> 4; }
template <int NEXT> __device__ __forceinline__ u64 panel_at(u32 place, int numbers) {
    u64 panel;
    asm("mov.b64 %0, {%1, %2};" : "=l"(panel) : "r"((place + numbers / TOGETHER) | (u32)(NEXT / TOGETHER) << 16), "n"(PANEL | (PANEL == 64 ? 1u : 2u) << 30));
    return panel;
}

#define OF_16(c, i) EIGHT(c, i), EIGHT(c, i + 8)
#define NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define NAMES_48                                                                                                       \
    NAMES_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"

MULTIPLY(16, "32", NAMES_16, "%16", "%17", "%18", OF_16(c, 0))

// c += a b for 16 rows of `columns` numbers at b, with a's fragments in registers.
#define MULTIPLY_COLUMNS(numbers, columns, names, n0, n1, n2, n3, n4, ...)                                             \
    __device__ __forceinline__ void multiply_columns(float (&c)[numbers], const u32* a, u64 b) {                       \
        asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" names "}, {" n0 ", " n1 ", " n2    \
                     ", " n3 "}, " n4 ", 1, 1, 1, 1;\n"                                                                \
                     : __VA_ARGS__                                                                                     \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                            \
    }
MULTIPLY_COLUMNS(16, "32", NAMES_16, "%16", "%17", "%18", "%19", "%20", OF_16(c, 0))
MULTIPLY_COLUMNS(32, "64", NAMES_32, "%32", "%33", "%34", "%35", "%36", OF_32(c, 0))
MULTIPLY_COLUMNS(48, "96", NAMES_48, "%48", "%49", "%50", "%51", "%52", OF_32(c, 0), OF_16(c, 32))
MULTIPLY_COLUMNS(64, "128", NAMES_64, "%64", "%65", "%66", "%67", "%68", OF_32(c, 0), OF_32(c, 32))

// Products are asked for in groups, which come in order.
__device__ __forceinline__ void start_products() { begin_products(); }
__device__ __forceinline__ void end_products() { commit_products(); }
// Waits until all groups but the last LEFT are there, which these are the sums of.
template <int LEFT, class... C> __device__ __forceinline__ void need(C&... sums) {
    (hold(sums), ...);
    await_products<LEFT>();
    (hold(sums), ...);
}

// Begins c = a b^T: 64 rows of a, in a tile of M, by 8 N rows of b, in one of R, both along their width. A thread has of its warp's 16
// rows what `fragments.cuh` gives it.
template <int M, int R, int N> __device__ __forceinline__ void along(float (&c)[4 * N], const bf16* a, const bf16* b) {
    u32 left = place_of(a), right = place_of(b);
#pragma unroll
    for (int at = 0; at < WIDTH; at += 16) {
        int panel = at / PANEL, inside = at % PANEL;
        multiply(c, panel_at<8>(left, panel * M * PANEL + inside), panel_at<8>(right, panel * R * PANEL + inside), at > 0);
    }
}

// Begins o += p b for 8 N rows of b.
template <int R, int N> __device__ __forceinline__ void across(float (&o)[WIDTH / 2], const Factor<N, bf16>& p, const bf16* b) {
    u32 right = place_of(b);
#pragma unroll
    for (int k = 0; k < N / 2; ++k) multiply_columns(o, p.x + 4 * k, panel_at<R * PANEL>(right, 16 * k * PANEL));
}
#endif

// Images in shared memory, a few rows at a time, for convolutions whose patches are never formed: every tap of the kernel
// reads the rows in its own place.
//
// A program is made for one convolution: images [IN_C, IN_H, IN_W], kernel KH by KW, strides SH, SW, padding PH, PW (at
// most 4), outputs [OUT_C, OUT_H, OUT_W]; ALIGNED where IN_W and OUT_W are multiples of 4. A block of WARPS warps works on
// ROWS rows of positions at a time, each rounded up to a multiple of 8.

#define THREADS (32 * WARPS)
#define TAPS (KH * KW)
#undef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void copy16(void* to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes));
}
__device__ __forceinline__ void copy4(void* to, const void* from, bool present) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(present ? 4 : 0));
}
__device__ __forceinline__ void copy8(void* to, const void* from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes));
}
// Numbers that are copied together.
constexpr int PIECE = sizeof(number) == 2 && IN_W % 8 == 0 && OUT_W % 8 == 0 ? 8 : 4;
// `left` (0 to PIECE) numbers, then zeros.
__device__ __forceinline__ void copy_piece(float* to, const float* from, const float* anywhere, int left) {
#if ALIGNED
    copy16(to, left > 0 ? from : anywhere, 4 * left);
#else
#pragma unroll
    for (int e = 0; e < 4; ++e) copy4(to + e, e < left ? from + e : anywhere, e < left);
#endif
}
__device__ __forceinline__ void copy_piece(bf16* to, const bf16* from, const bf16* anywhere, int left) {
#if ALIGNED
    if (PIECE == 8) copy16(to, left > 0 ? from : anywhere, 2 * left);
    else copy8(to, left > 0 ? from : anywhere, 2 * left);
#else
#pragma unroll
    for (int e = 0; e < PIECE; ++e) to[e].bits = e < left ? from[e].bits : 0;
#endif
}
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

constexpr int SPAN = (OUT_W + 7) / 8 * 8, LINES = (ROWS - 1) * SH + KH, BANDS = (OUT_H + ROWS - 1) / ROWS;
// Places of a line whose first pixel is at place `left`, a multiple of which they are: pixels and borders that positions see, and `more`.
constexpr int line_of(int left, int more) {
    int seen = (SPAN - 1) * SW + KW - PW + more;
    return (left + (IN_W > seen ? IN_W : seen) + left - 1) / left * left;
}

// Borders stay zero: only pixels are copied.
template <int WORDS> __device__ __forceinline__ void clear_stages(float* stages) {
    for (int at = threadIdx.x; at < WORDS / 4; at += THREADS) ((float4*)stages)[at] = make_float4(0, 0, 0, 0);
    __syncthreads();
}

// COUNT lines of PLACES places of some words are dealt out to THREADS threads, `dealt` to each: `copy(line, place, slot)`.
constexpr int lanes_of(int places) { return places < THREADS ? places : THREADS; }
template <int COUNT, int PLACES> constexpr int dealt() {
    constexpr int LANES = lanes_of(PLACES), EACH = THREADS / LANES;
    return (PLACES + LANES - 1) / LANES * ((COUNT + EACH - 1) / EACH);
}
template <int COUNT, int PLACES, class Copy> __device__ __forceinline__ void deal(const Copy& copy) {
    constexpr int LANES = lanes_of(PLACES), EACH = THREADS / LANES;
    int first = threadIdx.x / LANES;
#pragma unroll
    for (int turn = 0; turn < (PLACES + LANES - 1) / LANES; ++turn) {
        int place = threadIdx.x % LANES + turn * LANES;
#pragma unroll
        for (int line = 0; line < COUNT; line += EACH)
            if (first < EACH && place < PLACES && line + first < COUNT)
                copy(line + first, place, turn * ((COUNT + EACH - 1) / EACH) + line / EACH);
    }
}

// The pixels that ROWS rows of positions from `first` on see, of COUNT channels from `k` on, PITCH apart, in lines of LINE from
// place LEFT on; channels that are not there are zeros, and so is everything where `present` is not.
template <int COUNT, int PITCH, int LEFT, int LINE, class T>
__device__ __forceinline__ void fill_pixels(T* to, const T* x, int k, int first, bool present = true) {
    constexpr int PIECES = (IN_W + PIECE - 1) / PIECE;
    const T* pixels = x + (k * IN_H + first * SH - PH) * IN_W;
    deal<COUNT, LINES * PIECES>([&](int channel, int place, int) {
        int y = place / PIECES, col = PIECE * (place % PIECES);
        bool inside = present && (u32)(first * SH - PH + y) < (u32)IN_H && (IN_C % COUNT == 0 || k + channel < IN_C);
        copy_piece(to + channel * PITCH + y * LINE + LEFT + col, pixels + (channel * IN_H + y) * IN_W + col, x,
                   inside ? min(IN_W - col, PIECE) : 0);
    });
}

// c += a b for 16 x 8 by 8 x 8 elements of TF32, or 16 x 16 by 16 x 8 of bf16, in PAIRS.
template <bool PAIRS = sizeof(number) == 2> __device__ __forceinline__ void mma(float* c, const u32* a, const u32* b) {
    if (PAIRS)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

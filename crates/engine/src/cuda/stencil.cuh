// Gradients of a convolution's kernel with patches that are never formed: an image's rows lie in shared memory once, and every
// tap of the kernel reads them in its own place.
//
// A warp makes 16 MI outputs by 8 channels by all KH KW taps; a block is WARPS_M by WARPS_C warps. The inner dimension is
// positions: `r` rows of them at a time, each rounded up to a multiple of 8 (zeros in b). Strides SH, SW; padding of at most 4.
// Arrays are f32. PRECISION: 0 f32, as three TF32 products of high and low parts; 1 TF32, the last 13 bits are ignored.
// Sums are those of tensor cores: after s steps of 8 products right to s 2^-22 of the sum of their sizes.

#define BM (16 * MI * WARPS_M)
#define BC (8 * WARPS_C)
#define THREADS (32 * WARPS_M * WARPS_C)
#define TAPS (KH * KW)
#define ACCUMULATORS (4 * MI * TAPS)
#define LEFT 4
#undef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void copy16(void* to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes));
}
__device__ __forceinline__ void copy4(void* to, const void* from, bool present) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(present ? 4 : 0));
}
// `left` (0 to 4) floats, then zeros.
__device__ __forceinline__ void copy_four(float* to, const float* from, const float* anywhere, int left) {
#if ALIGNED
    copy16(to, left > 0 ? from : anywhere, 4 * left);
#else
#pragma unroll
    for (int e = 0; e < 4; ++e) copy4(to + e, e < left ? from + e : anywhere, e < left);
#endif
}
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// Shapes of one convolution and of its tiles in shared memory.
struct Stencil {
    int c, h, w, ph, pw, oh, ow, p, r;
    int span, rows, pitch, a_pitch, x_pitch, stage;
    __device__ Stencil(int c, int h, int w, int ph, int pw, int oh, int ow, int p, int r)
        : c(c), h(h), w(w), ph(ph), pw(pw), oh(oh), ow(ow), p(p), r(r) {
        span = (ow + 7) / 8 * 8;
        rows = (r - 1) * SH + KH;
        pitch = (max(LEFT + w, LEFT - pw + (span - 1) * SW + KW) + 3) / 4 * 4;
        // An odd multiple of 4 words: eight lines at four places in 32 banks.
        a_pitch = r * span + 4;
        x_pitch = (rows * pitch) | 4;
        stage = BM * a_pitch + BC * x_pitch;
    }
    __device__ int steps() const { return (oh + r - 1) / r; }
};

// Borders stay zero: only pixels are copied.
__device__ __forceinline__ void clear_stages(const Stencil& s, float* stages) {
    for (int at = threadIdx.x; at < 2 * s.stage; at += THREADS) stages[at] = 0.0f;
    __syncthreads();
}

// Rows `first` .. `first + r` of positions of outputs `m` .. of b, and the pixels that they see in channels `k` .. of x.
__device__ __forceinline__ void fill(const Stencil& s, float* stage, const float* x, const float* b, int m, int k, int first) {
    int chunks = s.r * s.span / 4, each = THREADS / chunks, chunk = threadIdx.x % chunks, line = threadIdx.x / chunks;
    int row = first + 4 * chunk / s.span, col = 4 * chunk % s.span, left = row < s.oh ? min(max(s.ow - col, 0), 4) : 0;
    if (line < each)
        for (; line < BM; line += each)
            copy_four(stage + line * s.a_pitch + 4 * chunk, b + ((long long)(m + line) * s.oh + row) * s.ow + col, b, m + line < s.p ? left : 0);
    float* pixels = stage + BM * s.a_pitch;
    chunks = (s.w + 3) / 4, each = THREADS / chunks, chunk = threadIdx.x % chunks, line = threadIdx.x / chunks;
    int channel = line / s.rows, y = line % s.rows, on = each / s.rows, up = each % s.rows;
    if (line < each)
        for (; line < BC * s.rows; line += each) {
            int at = first * SH - s.ph + y;
            bool inside = k + channel < s.c && (u32)at < (u32)s.h;
            copy_four(pixels + channel * s.x_pitch + y * s.pitch + LEFT + 4 * chunk, x + ((long long)(k + channel) * s.h + at) * s.w + 4 * chunk, x,
                      inside ? min(s.w - 4 * chunk, 4) : 0);
            channel += on, y += up;
            if (y >= s.rows) y -= s.rows, ++channel;
        }
}

__device__ __forceinline__ void mma(float* c, const u32* a, const u32* b) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The high part of x as TF32; what is left of it, to nearest (what is not a number is so in the high part already).
__device__ __forceinline__ u32 high(float x) { return PRECISION == 0 ? __float_as_uint(x) & 0xffffe000u : __float_as_uint(x); }
__device__ __forceinline__ u32 low(float x) { return __float_as_uint(x - __uint_as_float(high(x))) + 0x1000u; }

// acc (of one 16 x 8 part) += b x^T. In f32 the parts of a step are added apart, and then to the rest, to nearest.
__device__ __forceinline__ void multiply(float* acc, const float* left, const float* right) {
    u32 a[4], b[2] = {high(right[0]), high(right[1])};
#pragma unroll
    for (int e = 0; e < 4; ++e) a[e] = high(left[e]);
#if PRECISION == 0
    float step[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    u32 less[4] = {low(left[0]), low(left[1]), low(left[2]), low(left[3])}, rest[2] = {low(right[0]), low(right[1])};
    mma(step, less, b), mma(step, a, rest), mma(step, a, b);
#pragma unroll
    for (int e = 0; e < 4; ++e) acc[e] += step[e];
#else
    mma(acc, a, b);
#endif
}

// One thread's share of b at eight positions.
__device__ __forceinline__ void load(float (&left)[MI][4], const float* a, int pitch) {
#pragma unroll
    for (int i = 0; i < MI; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) left[i][e] = a[(16 * i + e % 2 * 8) * pitch + e / 2 * 4];
}

// acc += b x^T over one stage, eight positions at a time; the next share of b is on its way meanwhile (after the last one it is
// whatever lies behind, and not used).
__device__ __forceinline__ void multiply(const Stencil& s, float (&acc)[ACCUMULATORS], const float* stage) {
    int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    const float* a = stage + (warp / WARPS_C * 16 * MI + group) * s.a_pitch + member;
    const float* x = stage + BM * s.a_pitch + (warp % WARPS_C * 8 + group) * s.x_pitch + LEFT - s.pw + member * SW;
    int steps = s.r * s.span / 8, col = 0;
    float even[MI][4], odd[MI][4];
    auto taps = [&](const float (&left)[MI][4]) {
#pragma unroll
        for (int tap = 0; tap < TAPS; ++tap) {
            const float* at = x + tap / KW * s.pitch + tap % KW;
            float right[2] = {at[0], at[4 * SW]};
#pragma unroll
            for (int i = 0; i < MI; ++i) multiply(acc + 4 * (i * TAPS + tap), left[i], right);
        }
        col += 8, x += 8 * SW;
        if (col == s.span) col = 0, x += SH * s.pitch - s.span * SW;
    };
    load(even, a, s.a_pitch);
    for (int step = 0; step < steps; step += 2, a += 16) {
        load(odd, a + 8, s.a_pitch);
        taps(even);
        if (step + 1 == steps) break;
        load(even, a + 16, s.a_pitch);
        taps(odd);
    }
}

__device__ __forceinline__ void clear(float (&acc)[ACCUMULATORS]) {
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; ++e) acc[e] = 0.0f;
}

// Makes the gradients of examples `from` .. `to`, one after the other, in `acc`, and hands over each: `take(i)`.
template <class Take>
__device__ __forceinline__ void stream(const Stencil& s, float* stages, const float* x, const float* b, int m, int k, int from, int to,
                                       float (&acc)[ACCUMULATORS], const Take& take) {
    clear_stages(s, stages);
    int steps = s.steps(), ahead = from, ahead_step = 0, stage = 0;
    auto next = [&]() {
        if (ahead < to)
            fill(s, stages + stage * s.stage, x + (long long)ahead * s.c * s.h * s.w, b + (long long)ahead * s.p * s.oh * s.ow, m, k, ahead_step * s.r);
        commit();
        if (++ahead_step == steps) ahead_step = 0, ++ahead;
        stage ^= 1;
    };
    next();
    for (int i = from; i < to; ++i) {
        for (int step = 0; step < steps; ++step) {
            next();
            wait<1>();
            __syncthreads();
            multiply(s, acc, stages + stage * s.stage);
            __syncthreads();
        }
        take(i);
        clear(acc);
    }
}

// Writes the block's part of a gradient [p, c, KH, KW] whose outputs begin at `m` and channels at `k`.
__device__ __forceinline__ void write(const Stencil& s, const float (&acc)[ACCUMULATORS], float* to, int m, int k) {
    int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; ++e) {
        int row = m + warp / WARPS_C * 16 * MI + e / 4 / TAPS * 16 + group + e % 4 / 2 * 8;
        int channel = k + warp % WARPS_C * 8 + 2 * member + e % 2;
        if (row < s.p && channel < s.c) to[((long long)row * s.c + channel) * TAPS + e / 4 % TAPS] = acc[e];
    }
}

// Gradients of a convolution's kernel: images as pixels.cuh has them.
//
// A warp makes 16 MI outputs by 8 channels by all taps; a block is WARPS_M by WARPS_C warps. The inner dimension is
// positions (zeros in b beyond a row's end).
// PRECISION: 0 f32, as three TF32 products of high and low parts; 1 TF32, the last 13 bits are ignored. Tensor cores add
// exact products in f32 and truncate: after s steps of 8 products an element is right to s 2^-21 of the sum of their
// sizes, in TF32; in f32 the sum of steps is rounded to nearest.

#define BM (16 * MI * WARPS_M)
#define BC (8 * WARPS_C)
#define ACCUMULATORS (4 * MI * TAPS)

// An odd multiple of 4 words: eight lines at four places in 32 banks.
constexpr int POSITIONS = ROWS * SPAN, B_PITCH = POSITIONS + 4, X_PITCH = LINES * LINE | 4;
constexpr int STAGE = BM * B_PITCH + BC * X_PITCH;
constexpr int ACROSS = (IN_C + BC - 1) / BC, TILES = ACROSS * ((OUT_C + BM - 1) / BM);

// Rows `first` .. `first + ROWS` of positions of outputs `m` .. of b, and what they see of channels `k` .. of x.
__device__ __forceinline__ void fill(float* stage, const float* x, const float* b, int m, int k, int first) {
    const float* from = b + (m * OUT_H + first) * OUT_W;
    deal<BM, POSITIONS / 4>([&](int line, int place) {
        int row = 4 * place / SPAN, col = 4 * place % SPAN, left = first + row < OUT_H ? min(max(OUT_W - col, 0), 4) : 0;
        bool all = OUT_C % BM == 0 || m + line < OUT_C;
        copy_four(stage + line * B_PITCH + 4 * place, from + (line * OUT_H + row) * OUT_W + col, b, all ? left : 0);
    });
    fill_pixels<BC, X_PITCH>(stage + BM * B_PITCH, x, k, first);
}

// The high part of x as TF32; what is left of it, to nearest (what is not a number is so in the high part already).
__device__ __forceinline__ u32 high(float x) {
    return PRECISION == 0 ? __float_as_uint(x) & 0xffffe000u : __float_as_uint(x);
}
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
__device__ __forceinline__ void load(float (&left)[MI][4], const float* b) {
#pragma unroll
    for (int i = 0; i < MI; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) left[i][e] = b[(16 * i + e % 2 * 8) * B_PITCH + e / 2 * 4];
}

// acc += b x^T at eight positions.
__device__ __forceinline__ void taps(float (&acc)[ACCUMULATORS], const float (&left)[MI][4], const float* x) {
#pragma unroll
    for (int tap = 0; tap < TAPS; ++tap) {
        const float* at = x + tap / KW * LINE + tap % KW;
        float right[2] = {at[0], at[4 * SW]};
#pragma unroll
        for (int i = 0; i < MI; ++i) multiply(acc + 4 * (i * TAPS + tap), left[i], right);
    }
}

// acc += b x^T over one stage; the next share of b is on its way meanwhile (after the last one it is whatever lies
// behind, and not used).
__device__ __forceinline__ void multiply(float (&acc)[ACCUMULATORS], const float* stage) {
    int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    const float* b = stage + (warp / WARPS_C * 16 * MI + group) * B_PITCH + member;
    const float* x = stage + BM * B_PITCH + (warp % WARPS_C * 8 + group) * X_PITCH + LEFT - PW + member * SW;
    float even[MI][4], odd[MI][4];
    load(even, b);
    // Where a place lies: rows of SPAN positions are lines SH LINE apart.
    auto place = [&](int step) { return x + step * 8 / SPAN * SH * LINE + step * 8 % SPAN * SW; };
#pragma unroll 2
    for (int step = 0; step + 1 < POSITIONS / 8; step += 2, b += 16) {
        load(odd, b + 8);
        taps(acc, even, place(step));
        load(even, b + 16);
        taps(acc, odd, place(step + 1));
    }
    if (POSITIONS / 8 % 2 == 1) taps(acc, even, place(POSITIONS / 8 - 1));
}

__device__ __forceinline__ void clear(float (&acc)[ACCUMULATORS]) {
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; ++e) acc[e] = 0.0f;
}

// Makes the gradients of examples `from` .. `to`, one after the other, in `acc`, and hands over each: `take(i)`.
template <class Take>
__device__ __forceinline__ void stream(float* stages, const float* x, const float* b, int m, int k, int from, int to,
                                       float (&acc)[ACCUMULATORS], const Take& take) {
    clear_stages<2 * STAGE>(stages);
    int ahead = from, ahead_step = 0, stage = 0;
    auto next = [&]() {
        if (ahead < to)
            fill(stages + stage * STAGE, x + (long long)ahead * (IN_C * IN_H * IN_W),
                 b + (long long)ahead * (OUT_C * OUT_H * OUT_W), m, k, ahead_step * ROWS);
        commit();
        if (++ahead_step == STEPS) ahead_step = 0, ++ahead;
        stage ^= 1;
    };
    next();
    for (int i = from; i < to; ++i) {
        for (int step = 0; step < STEPS; ++step) {
            next();
            wait<1>();
            __syncthreads();
            multiply(acc, stages + stage * STAGE);
            __syncthreads();
        }
        take(i);
        clear(acc);
    }
}

// Writes the block's part of a gradient [OUT_C, IN_C, KH, KW] whose outputs begin at `m` and channels at `k`.
__device__ __forceinline__ void write(const float (&acc)[ACCUMULATORS], float* to, int m, int k) {
    int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; ++e) {
        int row = m + warp / WARPS_C * 16 * MI + e / 4 / TAPS * 16 + group + e % 4 / 2 * 8;
        int channel = k + warp % WARPS_C * 8 + 2 * member + e % 2;
        if (row < OUT_C && channel < IN_C) to[(row * IN_C + channel) * TAPS + e / 4 % TAPS] = acc[e];
    }
}

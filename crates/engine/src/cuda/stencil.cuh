// Gradients of a convolution's kernel: images as pixels.cuh has them.
//
// A warp makes 16 MI outputs by 8 channels by all taps; a block is WARPS_M by WARPS_C warps. The inner dimension is
// positions (zeros in b beyond a row's end).
// Numbers of f32 by PRECISION: 0 f32, as three TF32 products of high and low parts; 1 TF32, the last 13 bits are ignored.
// Numbers of bf16 are multiplied as they are, two neighbouring positions a word. Tensor cores add exact products in f32 and
// truncate: after s steps of 8 products (16 in bf16) an element is right to s 2^-21 of the sum of their sizes; in f32 the sum of
// steps is rounded to nearest.

#define BM (16 * MI * WARPS_M)
#define BC (8 * WARPS_C)
#define ACCUMULATORS (4 * MI * TAPS)

// A step is eight words of positions: PER_WORD times eight.
constexpr int PER_WORD = 4 / sizeof(number), STEP = 8 * PER_WORD;
constexpr int LEFT = 4 * PER_WORD, LINE = line_of(LEFT, PER_WORD - 1);
// An odd multiple of 4 words: eight lines at four places in 32 banks.
constexpr int POSITIONS = (ROWS * SPAN + STEP - 1) / STEP * STEP, B_PITCH = POSITIONS / PER_WORD + 4, X_PITCH = LINES * LINE / PER_WORD | 4;
constexpr int STAGE = BM * B_PITCH + BC * X_PITCH;
constexpr int ACROSS = (IN_C + BC - 1) / BC, TILES = ACROSS * ((OUT_C + BM - 1) / BM);

// Rows `first` .. `first + ROWS` of positions of outputs `m` .. of b, and what they see of channels `k` .. of x.
__device__ __forceinline__ void fill(float* stage, const number* x, const number* b, int m, int k, int first) {
    const number* from = b + (m * OUT_H + first) * OUT_W;
    number* to = (number*)stage;
    deal<BM, POSITIONS / PIECE>([&](int line, int place, int) {
        int row = PIECE * place / SPAN, col = PIECE * place % SPAN;
        int left = row < ROWS && first + row < OUT_H ? min(max(OUT_W - col, 0), PIECE) : 0;
        bool all = OUT_C % BM == 0 || m + line < OUT_C;
        copy_piece(to + line * B_PITCH * PER_WORD + PIECE * place, from + (line * OUT_H + row) * OUT_W + col, b, all ? left : 0);
    });
    fill_pixels<BC, X_PITCH * PER_WORD, LEFT, LINE>((number*)(stage + BM * B_PITCH), x, k, first);
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
__device__ __forceinline__ void multiply(float* acc, const u32* left, const u32* right) { mma(acc, left, right); }

// One thread's share of b in one step.
template <class Word> __device__ __forceinline__ void load(Word (&left)[MI][4], const Word* b) {
#pragma unroll
    for (int i = 0; i < MI; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) left[i][e] = b[(16 * i + e % 2 * 8) * B_PITCH + e / 2 * 4];
}

// Where eight positions lie: rows of SPAN positions are lines SH LINE apart.
__device__ __forceinline__ int place(int eight) { return eight * 8 / SPAN * SH * LINE + eight * 8 % SPAN * SW; }

// What positions of step `step` see at a tap: one thread's, and four words of positions on.
__device__ __forceinline__ void see(float (&right)[2], const float* x, int step, int tap) {
    const float* at = x + place(step) + tap / KW * LINE + tap % KW;
    right[0] = at[0], right[1] = at[4 * SW];
}
// Two neighbouring positions' pixels, `offset` after an even place.
__device__ __forceinline__ u32 two(const bf16* x, int offset) {
    const u32* word = (const u32*)(x + offset / 2 * 2);
    if (SW == 1) return offset % 2 == 0 ? word[0] : __byte_perm(word[0], word[1], 0x5432);
    if (SW == 2) return __byte_perm(word[0], word[1], offset % 2 == 0 ? 0x5410 : 0x7632);
    return x[offset].bits | (u32)x[offset + SW].bits << 16;
}
__device__ __forceinline__ void see(u32 (&right)[2], const bf16* x, int step, int tap) {
    int offset = LEFT - PW + tap / KW * LINE + tap % KW;
    // The last step's second half may not be there; it meets zeros.
    right[0] = two(x + place(2 * step), offset), right[1] = two(x + (2 * step + 1 < ROWS * SPAN / 8 ? place(2 * step + 1) : 0), offset);
}

// acc += b x^T in one step.
template <class Word> __device__ __forceinline__ void taps(float (&acc)[ACCUMULATORS], const Word (&left)[MI][4], const number* x, int step) {
#pragma unroll
    for (int tap = 0; tap < TAPS; ++tap) {
        Word right[2];
        see(right, x, step, tap);
#pragma unroll
        for (int i = 0; i < MI; ++i) multiply(acc + 4 * (i * TAPS + tap), left[i], right);
    }
}

// What registers hold of factors: a number of f32, or two of bf16.
template <class T> struct InRegisters { typedef float word; };
template <> struct InRegisters<bf16> { typedef u32 word; };
typedef InRegisters<number>::word word;

// acc += b x^T over one stage; the next share of b is on its way meanwhile (after the last one it is whatever lies
// behind, and not used).
__device__ __forceinline__ void multiply(float (&acc)[ACCUMULATORS], const float* stage) {
    constexpr int COUNT = POSITIONS / STEP;
    int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    const word* b = (const word*)stage + (warp / WARPS_C * 16 * MI + group) * B_PITCH + member;
    const number* x = (const number*)(stage + BM * B_PITCH + (warp % WARPS_C * 8 + group) * X_PITCH) + member * PER_WORD * SW;
    if (PER_WORD == 1) x += LEFT - PW;
    word even[MI][4], odd[MI][4];
    load(even, b);
#pragma unroll 2
    for (int step = 0; step + 1 < COUNT; step += 2, b += 16) {
        load(odd, b + 8);
        taps(acc, even, x, step);
        load(even, b + 16);
        taps(acc, odd, x, step + 1);
    }
    if (COUNT % 2 == 1) taps(acc, even, x, COUNT - 1);
}

__device__ __forceinline__ void clear(float (&acc)[ACCUMULATORS]) {
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; ++e) acc[e] = 0.0f;
}

// Makes the gradients of examples `from` .. `to`, one after the other, in `acc`, and hands over each: `take(i)`.
template <class Take>
__device__ __forceinline__ void stream(float* stages, const number* x, const number* b, int m, int k, int from, int to,
                                       float (&acc)[ACCUMULATORS], const Take& take) {
    clear_stages<2 * STAGE>(stages);
    int ahead = from, ahead_step = 0, stage = 0;
    auto next = [&]() {
        if (ahead < to)
            fill(stages + stage * STAGE, x + (long long)ahead * (IN_C * IN_H * IN_W),
                 b + (long long)ahead * (OUT_C * OUT_H * OUT_W), m, k, ahead_step * ROWS);
        commit();
        if (++ahead_step == BANDS) ahead_step = 0, ++ahead;
        stage ^= 1;
    };
    next();
    for (int i = from; i < to; ++i) {
        for (int step = 0; step < BANDS; ++step) {
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

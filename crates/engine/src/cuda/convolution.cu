// Convolutions by tensor cores, from images as pixels.cuh has them: y = f(w * x + shift), channels and rows as they lie.
//
// A warp makes 16 MI outputs by 8 NI positions; a block is WARPS_M by WARPS_N warps, which share ROWS rows of positions of
// IMAGES images. The inner dimension is taps by channels, eight words of them DEEP times at a time: a word is a channel of f32, or
// two neighbouring channels of bf16, which meet on their way to shared memory. Factors of f32 are TF32: weights to nearest, of
// pixels the last 13 bits are ignored; factors of bf16 are as they lie, weights to nearest. Sums are f32.
//
// NARROW: of so few channels that most of eight would not be there, the inner dimension is taps: four neighbours of a row at a time
// (KW is a multiple of four), all of them in one go, as words of f32 whatever images are stored as.
//
// UP = 2: the input gradient of a convolution with stride 2, of CELLS_H by CELLS_W weights and borders BORDER_H, BORDER_W, as in
// octets.cu: a position makes UP by UP pixels of gradients [FULL_C, FULL_H, FULL_W], each weight goes into one of them, the window
// (KH, KW, PH, PW) is what a position sees, and x are the output's gradients. Of a warp's 16 MI outputs each sixteen are one of the
// pixels of sixteen channels.

#ifndef NARROW
#define NARROW 0
#endif
#ifndef UP
#define UP 1
#endif
#define BM (16 * MI * WARPS_M)

constexpr int PER_WORD = NARROW ? 1 : 4 / sizeof(number), WORDS = NARROW ? IN_C : 8 * DEEP, DEPTH = WORDS * PER_WORD;
constexpr int LEFT = 4, LINE = line_of(LEFT, 0);
// Four channels at eight places in 32 banks, where strides allow it.
constexpr int X_PITCH = (LINES * LINE + 23) / 32 * 32 + 8, IMAGE = WORDS * X_PITCH;
// Products of eight words.
constexpr int STEPS = NARROW ? IN_C * TAPS / 8 : TAPS;
constexpr int PARTS = STEPS * 128, WEIGHTS = DEEP * BM / 16 * PARTS, STAGE = WEIGHTS + IMAGES * IMAGE;
constexpr int PIECES = ROWS * SPAN / 8, COLUMNS = IMAGES * PIECES;
constexpr int CHUNKS = (IN_C + DEPTH - 1) / DEPTH, DOWN = (OUT_C + BM - 1) / BM;

#if UP == 1
// The weight of an output, a channel and a tap; zero where one is not there. `turned` weights [c, o, taps] are those of the input
// gradient of a convolution with stride 1: both axes reversed.
__device__ __forceinline__ float weight(const float* w, u32 turned, int output, int channel, int tap) {
    if (output >= OUT_C || channel >= IN_C) return 0.0f;
    return turned ? w[(channel * OUT_C + output) * TAPS + TAPS - 1 - tap] : w[(output * IN_C + channel) * TAPS + tap];
}
// Whether sixteen of a warp's outputs have a weight for a tap.
__device__ constexpr bool goes(int, int) { return true; }
#else
// The row (or column) of the weight that goes into pixel `pixel` of those that a position makes, from what it sees at `seen`.
__device__ constexpr int cell_of(int pixel, int seen, int border, int padding) { return pixel + border - UP * (seen - padding); }
__device__ constexpr bool goes(int pixel, int tap) {
    int r = cell_of(pixel / UP, tap / KW, BORDER_H, PH), s = cell_of(pixel % UP, tap % KW, BORDER_W, PW);
    return r >= 0 && r < CELLS_H && s >= 0 && s < CELLS_W;
}
// The weight, of [IN_C, FULL_C, CELLS_H, CELLS_W], of a pixel of an output, a channel and what is seen; zero where one is not there.
__device__ __forceinline__ float weight(const float* w, u32, int output, int channel, int tap) {
    int o = output / BM * 16 + output % 16, pixel = output / 16 % (UP * UP);
    if (o >= FULL_C || channel >= IN_C || !goes(pixel, tap)) return 0.0f;
    int r = cell_of(pixel / UP, tap / KW, BORDER_H, PH), s = cell_of(pixel % UP, tap % KW, BORDER_W, PW);
    return w[((channel * FULL_C + o) * CELLS_H + r) * CELLS_W + s];
}
#endif

// Weights in the order in which threads want them: parts of 16 outputs by 8 words of channels, `to` [chunks of 8, outputs / 16,
// taps, 32, 4]; NARROW ones of 16 outputs by two fours of taps. Thread by thread, one word each.
KERNEL arrange_weights(const float* __restrict__ w, u32* __restrict__ to, u32 turned) {
    int at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= CHUNKS * DEEP * DOWN * BM * STEPS * 8) return;
    int e = at % 4, lane = at / 4 % 32, tap = at / 128 % STEPS, part = at / PARTS;
    int output = part % (DOWN * BM / 16) * 16 + lane / 4 + e % 2 * 8, channel = part / (DOWN * BM / 16) * 8 + lane % 4 + e / 2 * 4;
    if (NARROW) {
        int four = 2 * tap + e / 2;
        channel = four / (TAPS / 4), tap = four % (TAPS / 4) * 4 + lane % 4;
    }
    if (PER_WORD == 2) {
        to[at] = pack(weight(w, turned, output, 2 * channel, tap), weight(w, turned, output, 2 * channel + 1, tap));
        return;
    }
    u32 bits = __float_as_uint(weight(w, turned, output, channel, tap));
    if ((bits & 0x7f800000u) != 0x7f800000u) bits = bits + 0x1000u & ~0x1fffu;
    to[at] = bits;
}

// The weights of a chunk, on their way to a stage.
__device__ __forceinline__ void fill_weights(float* stage, const float* weights, int m, int chunk) {
    constexpr int FOURS = BM / 16 * PARTS / 4;
    float4* to = (float4*)stage;
    const float4* from = (const float4*)weights + (chunk * DEEP * DOWN + m) * FOURS;
#pragma unroll
    for (int deep = 0; deep < DEEP; ++deep)
        for (int at = threadIdx.x; at < FOURS; at += THREADS) copy16(to + deep * FOURS + at, from + deep * DOWN * FOURS + at, 16);
}

// Where an image of the block's begins; the first one's place where it is not there.
template <class T> __device__ __forceinline__ const T* image_at(const T* x, int n, int image) {
    return x + (long long)(image < n ? image : 0) * (IN_C * IN_H * IN_W);
}

// Pixels of f32, which are copied behind the scenes.
struct Copied {
    __device__ __forceinline__ void fetch(float* stage, const float* x, int n, int image, int chunk, int first) {
#pragma unroll
        for (int i = 0; i < IMAGES; ++i)
            fill_pixels<DEPTH, X_PITCH, LEFT, LINE>(stage + i * IMAGE, image_at(x, n, image + i), chunk * DEPTH, first, image + i < n);
    }
    __device__ __forceinline__ void store(float*) {}
};

// Pixels of bf16, held in registers until two channels' are put side by side.
struct Paired {
    static constexpr int FOURS = (IN_W + 3) / 4;
    uint2 held[IMAGES][dealt<8 * DEEP, LINES * FOURS>()][2];

    // Four pixels of a channel; zeros where they are not there.
    __device__ __forceinline__ uint2 four(const bf16* from, int left) {
        if (left <= 0) return make_uint2(0, 0);
#if ALIGNED
        return *(const uint2*)from;
#else
        u32 x[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) x[e] = e < left ? from[e].bits : 0;
        return make_uint2(x[0] | x[1] << 16, x[2] | x[3] << 16);
#endif
    }
    __device__ __forceinline__ void fetch(float*, const bf16* x, int n, int image, int chunk, int first) {
#pragma unroll
        for (int i = 0; i < IMAGES; ++i) {
            const bf16* pixels = image_at(x, n, image + i) + (chunk * DEPTH * IN_H + first * SH - PH) * IN_W;
            deal<8 * DEEP, LINES * FOURS>([&](int pair, int place, int slot) {
                int y = place / FOURS, col = 4 * (place % FOURS);
                bool inside = image + i < n && (u32)(first * SH - PH + y) < (u32)IN_H;
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    int channel = 2 * pair + e;
                    bool there = inside && (IN_C % DEPTH == 0 || chunk * DEPTH + channel < IN_C);
                    held[i][slot][e] = four(pixels + (channel * IN_H + y) * IN_W + col, there ? IN_W - col : 0);
                }
            });
        }
    }
    __device__ __forceinline__ void store(float* stage) {
#pragma unroll
        for (int i = 0; i < IMAGES; ++i)
            deal<8 * DEEP, LINES * FOURS>([&](int pair, int place, int slot) {
                uint2 low = held[i][slot][0], high = held[i][slot][1];
                uint4 both = make_uint4(__byte_perm(low.x, high.x, 0x5410), __byte_perm(low.x, high.x, 0x7632),
                                        __byte_perm(low.y, high.y, 0x5410), __byte_perm(low.y, high.y, 0x7632));
                *(uint4*)(stage + i * IMAGE + pair * X_PITCH + place / FOURS * LINE + LEFT + 4 * (place % FOURS)) = both;
            });
    }
};

// Pixels of bf16, as words of f32: all of them are there.
struct Widened {
    __device__ __forceinline__ void fetch(float* stage, const bf16* x, int n, int image, int, int first) {
#pragma unroll
        for (int i = 0; i < IMAGES; ++i) {
            const bf16* pixels = image_at(x, n, image + i) + (first * SH - PH) * IN_W;
            deal<WORDS, LINES * IN_W>([&](int channel, int place, int) {
                int y = place / IN_W, col = place % IN_W;
                bool inside = image + i < n && (u32)(first * SH - PH + y) < (u32)IN_H;
                stage[i * IMAGE + channel * X_PITCH + y * LINE + LEFT + col] = inside ? (float)pixels[(channel * IN_H + y) * IN_W + col] : 0.0f;
            });
        }
    }
    __device__ __forceinline__ void store(float*) {}
};

template <class T> struct Pixels { typedef Copied way; };
#if NARROW
template <> struct Pixels<bf16> { typedef Widened way; };
#else
template <> struct Pixels<bf16> { typedef Paired way; };
#endif

// Where the first and the second four of a step's eight words lie, from a position's place on.
__device__ constexpr int four_at(int step, int second) {
    if (!NARROW) return step / KW * LINE + step % KW + second * 4 * X_PITCH;
    int four = 2 * step + second;
    return four / (TAPS / 4) * X_PITCH + four % (TAPS / 4) / (KW / 4) * LINE + four % (KW / 4) * 4;
}

// acc += w x for eight words of channels and all taps; `at` are the places of the warp's positions in `x`.
__device__ __forceinline__ void multiply(float (&acc)[MI][NI][4], const float* weights, const float* x, const int (&at)[NI]) {
#pragma unroll
    for (int step = 0; step < STEPS; ++step) {
        u32 b[NI][2];
#pragma unroll
        for (int j = 0; j < NI; ++j)
            b[j][0] = __float_as_uint(x[at[j] + four_at(step, 0)]), b[j][1] = __float_as_uint(x[at[j] + four_at(step, 1)]);
#pragma unroll
        for (int i = 0; i < MI; ++i) {
            if (!goes(i, step)) continue;
            uint4 v = *(const uint4*)(weights + i * PARTS + step * 128);
            u32 a[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
            for (int j = 0; j < NI; ++j) mma<PER_WORD == 2>(acc[i][j], a, b[j]);
        }
    }
}

__device__ __forceinline__ void store2(float* to, float low, float high) { *(float2*)to = make_float2(low, high); }
__device__ __forceinline__ void store2(bf16* to, float low, float high) { *(u32*)to = pack(low, high); }

// The image and the row and column of a thread's first of two positions: of an eighth of the warp's; whether they are there.
struct Spot {
    int image, row, col;
    bool there;
    __device__ __forceinline__ Spot(int n, int image, int column, int first) {
        int piece = column % PIECES;
        this->image = image + column / PIECES, row = first + 8 * piece / SPAN, col = 8 * piece % SPAN + 2 * (threadIdx.x % 4);
        there = column < COLUMNS && this->image < n && row < OUT_H;
    }
};

#if UP == 1
// Adds the shift, applies the activation and writes one warp's outputs.
__device__ __forceinline__ void finish(const float (&acc)[MI][NI][4], const float* shift, number* y, int n, int image, int output,
                                       int column, int first) {
    int group = threadIdx.x % 32 / 4;
#pragma unroll
    for (int i = 0; i < MI; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            int o = output + 16 * i + 8 * half + group;
            if (o >= OUT_C) continue;
            float s = shift ? shift[o] : 0.0f;
#pragma unroll
            for (int j = 0; j < NI; ++j) {
                Spot spot(n, image, column + j, first);
                if (!spot.there) continue;
                int col = spot.col;
                number* to = y + (((long long)spot.image * OUT_C + o) * OUT_H + spot.row) * OUT_W + col;
                float low = activation(acc[i][j][2 * half] + s), high = activation(acc[i][j][2 * half + 1] + s);
                if (OUT_W % 2 == 0) {
                    if (col < OUT_W) store2(to, low, high);
                } else {
                    if (col < OUT_W) to[0] = low;
                    if (col + 1 < OUT_W) to[1] = high;
                }
            }
        }
}
#else
// Writes the pixels of one warp's positions: four of a line at a time.
__device__ __forceinline__ void finish(const float (&acc)[MI][NI][4], const float*, number* y, int n, int image, int output, int column,
                                       int first) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        int o = output / BM * 16 + 8 * half + threadIdx.x % 32 / 4;
        if (o >= FULL_C) continue;
#pragma unroll
        for (int j = 0; j < NI; ++j) {
            Spot spot(n, image, column + j, first);
            if (!spot.there) continue;
            int col = UP * spot.col;
#pragma unroll
            for (int a = 0; a < UP; ++a) {
                int line = UP * spot.row + a;
                if (line >= FULL_H) continue;
                number* to = y + (((long long)spot.image * FULL_C + o) * FULL_H + line) * FULL_W + col;
                const float *left = acc[UP * a][j] + 2 * half, *right = acc[UP * a + 1][j] + 2 * half;
                float4 four = make_float4(left[0], right[0], left[1], right[1]);
                if (FULL_W % 4 == 0) {
                    if (col < FULL_W) store4(to, four);
                } else {
                    if (col < FULL_W) to[0] = four.x;
                    if (col + 1 < FULL_W) to[1] = four.y;
                    if (col + 2 < FULL_W) to[2] = four.z;
                    if (col + 3 < FULL_W) to[3] = four.w;
                }
            }
        }
    }
}
#endif

// One block for every BM outputs of every ROWS rows of every IMAGES images; `weights` are arranged.
KERNEL convolution(const number* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ shift, number* __restrict__ y,
                   int n) {
    extern __shared__ __align__(16) float stages[];
    int m = blockIdx.x % DOWN, first = blockIdx.x / DOWN % BANDS * ROWS, image = blockIdx.x / (DOWN * BANDS) * IMAGES;
    int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    int column = warp % WARPS_N * NI, output = warp / WARPS_N * 16 * MI;
    int at[NI];
#pragma unroll
    for (int j = 0; j < NI; ++j) {
        int here = column + j < COLUMNS ? column + j : 0, piece = here % PIECES;
        at[j] = here / PIECES * IMAGE + 8 * piece / SPAN * SH * LINE + (8 * piece % SPAN + group) * SW + LEFT - PW + member * (NARROW ? 1 : X_PITCH);
    }
    float acc[MI][NI][4] = {};
    clear_stages<IMAGES * IMAGE>(stages + WEIGHTS);
    clear_stages<IMAGES * IMAGE>(stages + STAGE + WEIGHTS);
    Pixels<number>::way pixels;
    fill_weights(stages, weights, m, 0);
    pixels.fetch(stages + WEIGHTS, x, n, image, 0, first);
    commit();
    pixels.store(stages + WEIGHTS);
    for (int chunk = 0; chunk < CHUNKS; ++chunk) {
        float* next = stages + (chunk + 1) % 2 * STAGE;
        if (chunk + 1 < CHUNKS) {
            fill_weights(next, weights, m, chunk + 1);
            pixels.fetch(next + WEIGHTS, x, n, image, chunk + 1, first);
        }
        commit();
        wait<1>();
        __syncthreads();
        const float* stage = stages + chunk % 2 * STAGE;
#pragma unroll
        for (int deep = 0; deep < DEEP; ++deep)
            multiply(acc, stage + (deep * BM / 16 + output / 16) * PARTS + threadIdx.x % 32 * 4, stage + WEIGHTS + deep * 8 * X_PITCH, at);
        if (chunk + 1 < CHUNKS) pixels.store(next + WEIGHTS);
        __syncthreads();
    }
    finish(acc, shift, y, n, image, m * BM + output, column, first);
}

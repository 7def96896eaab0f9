// Convolutions by tensor cores, from images as pixels.cuh has them: y = f(w * x + shift), channels and rows as they lie.
//
// A warp makes 16 MI outputs by 8 NI positions; a block is WARPS_M by WARPS_N warps, which share ROWS rows of positions of
// IMAGES images. The inner dimension is taps by channels, 8 DEEP of them at a time. Factors are TF32: weights to nearest,
// of pixels the last 13 bits are ignored; sums are f32. ACTIVATION: 0 none, 1 max(x, 0), 2 tanh.

#define BM (16 * MI * WARPS_M)

#if ACTIVATION == 1
__device__ __forceinline__ float activation(float x) { return x < 0.0f ? 0.0f : x; }
#elif ACTIVATION == 2
__device__ __forceinline__ float activation(float x) { return tanhf(x); }
#else
__device__ __forceinline__ float activation(float x) { return x; }
#endif

// Four channels at eight places in 32 banks, where strides allow it.
constexpr int X_PITCH = (LINES * LINE + 23) / 32 * 32 + 8, IMAGE = 8 * DEEP * X_PITCH;
constexpr int PARTS = TAPS * 128, WEIGHTS = DEEP * BM / 16 * PARTS, STAGE = WEIGHTS + IMAGES * IMAGE;
constexpr int PIECES = ROWS * SPAN / 8, COLUMNS = IMAGES * PIECES;
constexpr int CHUNKS = (IN_C + 8 * DEEP - 1) / (8 * DEEP), DOWN = (OUT_C + BM - 1) / BM;

// Weights in the order in which threads want them: parts of 16 outputs by 8 channels, `to` [chunks of 8, outputs / 16, taps,
// 32, 4]; outputs and channels that are not there are zeros. `turned` weights [c, o, taps] are those of the input gradient
// of a convolution with stride 1: both axes reversed. Thread by thread, one number each.
KERNEL arrange_weights(const float* __restrict__ w, float* __restrict__ to, u32 turned) {
    int at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= CHUNKS * DEEP * DOWN * BM * TAPS * 8) return;
    int e = at % 4, lane = at / 4 % 32, tap = at / 128 % TAPS, part = at / PARTS;
    int output = part % (DOWN * BM / 16) * 16 + lane / 4 + e % 2 * 8, channel = part / (DOWN * BM / 16) * 8 + lane % 4 + e / 2 * 4;
    float x = 0.0f;
    if (output < OUT_C && channel < IN_C)
        x = turned ? w[(channel * OUT_C + output) * TAPS + TAPS - 1 - tap] : w[(output * IN_C + channel) * TAPS + tap];
    u32 bits = __float_as_uint(x);
    if ((bits & 0x7f800000u) != 0x7f800000u) bits = bits + 0x1000u & ~0x1fffu;
    to[at] = __uint_as_float(bits);
}

__device__ __forceinline__ void fill(float* stage, const float* x, const float* weights, int n, int image, int m, int chunk, int first) {
    constexpr int FOURS = BM / 16 * PARTS / 4;
    float4* to = (float4*)stage;
    const float4* from = (const float4*)weights + (chunk * DEEP * DOWN + m) * FOURS;
#pragma unroll
    for (int deep = 0; deep < DEEP; ++deep)
        for (int at = threadIdx.x; at < FOURS; at += THREADS) copy16(to + deep * FOURS + at, from + deep * DOWN * FOURS + at, 16);
#pragma unroll
    for (int i = 0; i < IMAGES; ++i) {
        bool present = image + i < n;
        const float* of = x + (long long)(present ? image + i : 0) * (IN_C * IN_H * IN_W);
        fill_pixels<8 * DEEP, X_PITCH>(stage + WEIGHTS + i * IMAGE, of, chunk * 8 * DEEP, first, present);
    }
}

// acc += w x for eight channels and all taps; `at` are the places of the warp's positions in `x`.
__device__ __forceinline__ void multiply(float (&acc)[MI][NI][4], const float* weights, const float* x, const int (&at)[NI]) {
#pragma unroll
    for (int tap = 0; tap < TAPS; ++tap) {
        u32 b[NI][2];
#pragma unroll
        for (int j = 0; j < NI; ++j) {
            const float* from = x + at[j] + tap / KW * LINE + tap % KW;
            b[j][0] = __float_as_uint(from[0]), b[j][1] = __float_as_uint(from[4 * X_PITCH]);
        }
#pragma unroll
        for (int i = 0; i < MI; ++i) {
            uint4 v = *(const uint4*)(weights + i * PARTS + tap * 128);
            u32 a[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
            for (int j = 0; j < NI; ++j) mma(acc[i][j], a, b[j]);
        }
    }
}

// Adds the shift, applies the activation and writes one warp's outputs.
__device__ __forceinline__ void finish(const float (&acc)[MI][NI][4], const float* shift, float* y, int n, int image, int output,
                                       int column, int first) {
    int group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < MI; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            int o = output + 16 * i + 8 * half + group;
            if (o >= OUT_C) continue;
            float s = shift ? shift[o] : 0.0f;
#pragma unroll
            for (int j = 0; j < NI; ++j) {
                int piece = (column + j) % PIECES, of = image + (column + j) / PIECES;
                int row = first + 8 * piece / SPAN, col = 8 * piece % SPAN + 2 * member;
                if (column + j >= COLUMNS || of >= n || row >= OUT_H) continue;
                float* to = y + (((long long)of * OUT_C + o) * OUT_H + row) * OUT_W + col;
                float low = activation(acc[i][j][2 * half] + s), high = activation(acc[i][j][2 * half + 1] + s);
                if (OUT_W % 2 == 0) {
                    if (col < OUT_W) *(float2*)to = make_float2(low, high);
                } else {
                    if (col < OUT_W) to[0] = low;
                    if (col + 1 < OUT_W) to[1] = high;
                }
            }
        }
}

// One block for every BM outputs of every ROWS rows of every IMAGES images; `weights` are arranged.
KERNEL convolution(const float* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ shift, float* __restrict__ y,
                   int n) {
    extern __shared__ __align__(16) float stages[];
    int m = blockIdx.x % DOWN, first = blockIdx.x / DOWN % STEPS * ROWS, image = blockIdx.x / (DOWN * STEPS) * IMAGES;
    int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    int column = warp % WARPS_N * NI, output = warp / WARPS_N * 16 * MI;
    int at[NI];
#pragma unroll
    for (int j = 0; j < NI; ++j) {
        int here = column + j < COLUMNS ? column + j : 0, piece = here % PIECES;
        at[j] = here / PIECES * IMAGE + 8 * piece / SPAN * SH * LINE + (8 * piece % SPAN + group) * SW + LEFT - PW + member * X_PITCH;
    }
    float acc[MI][NI][4] = {};
    clear_stages<IMAGES * IMAGE>(stages + WEIGHTS);
    clear_stages<IMAGES * IMAGE>(stages + STAGE + WEIGHTS);
    fill(stages, x, weights, n, image, m, 0, first);
    commit();
    for (int chunk = 0; chunk < CHUNKS; ++chunk) {
        if (chunk + 1 < CHUNKS) fill(stages + (chunk + 1) % 2 * STAGE, x, weights, n, image, m, chunk + 1, first);
        commit();
        wait<1>();
        __syncthreads();
        const float* stage = stages + chunk % 2 * STAGE;
#pragma unroll
        for (int deep = 0; deep < DEEP; ++deep)
            multiply(acc, stage + (deep * BM / 16 + output / 16) * PARTS + threadIdx.x % 32 * 4, stage + WEIGHTS + deep * 8 * X_PITCH, at);
        __syncthreads();
    }
    finish(acc, shift, y, n, image, m * BM + output, column, first);
}

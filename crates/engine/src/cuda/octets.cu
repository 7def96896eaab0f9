// Convolutions of bf16 by Hopper's warpgroup products: y = f(w * x + shift), channels and rows as they lie.
//
// In shared memory eight channels of a pixel lie side by side (16 bytes, a place), places of a line one after the other, OCTETS octets of
// channels one after the other: a matrix of the tensor cores, eight positions by eight channels, is eight places wherever it begins, so
// that every tap reads the same pixels, some places further on. With a horizontal stride SW a line is SW parts, of every SW-th pixel each.
//
// A strip is eight columns of ROWS rows (4, 8 or 16; OUT_W is a multiple of 8, OUT_H of ROWS); a warpgroup makes 64 outputs of all
// strips of ROWS rows of IMAGES images. The inner dimension is taps by channels, OCTETS times eight of them at a time; pixels are
// held in registers until eight channels' are put side by side, weights (to nearest) come from the caches. Sums are f32.
//
// UP = 2: the input gradient of a convolution with stride 2, of CELLS_H by CELLS_W weights and borders BORDER_H, BORDER_W. A position
// makes UP by UP pixels, and each weight goes into one of them; the window (KH, KW, PH, PW) is what a position sees, and x are
// the output's gradients.

#ifndef UP
#define UP 1
#define CELLS_H KH
#define CELLS_W KW
#define BORDER_H PH
#define BORDER_W PW
#endif
#define CELLS (CELLS_H * CELLS_W)

constexpr int EIGHTS = OUT_W / 8, PAIRS = (IN_W + 1) / 2;
constexpr int REACH = (OUT_W - 1) * SW + KW, WIDTH = REACH > PW + 2 * PAIRS ? REACH : PW + 2 * PAIRS;
// Places of a part of a line, of a line, and of an octet.
constexpr int PART = (WIDTH + SW - 1) / SW, PLACES = SW * PART, PLANE = IMAGES * LINES * PLACES;

// Pixels on their way, of channels from `k` on and of what ROWS rows of positions from `first` on see: two neighbouring ones of eight
// channels a slot. What is not there is zeros.
struct Octets {
    u32 held[dealt<OCTETS, IMAGES * LINES * PAIRS>()][8];

    __device__ __forceinline__ u32 two(const bf16* from, int left) {
        if (left <= 0) return 0;
        if (IN_W % 2 == 0) return *(const u32*)from;
        return from[0].bits | (left > 1 ? (u32)from[1].bits << 16 : 0);
    }
    __device__ __forceinline__ void fetch(const bf16* x, int n, int image, int k, int first) {
        deal<OCTETS, IMAGES * LINES * PAIRS>([&](int octet, int place, int slot) {
            int line = place / PAIRS, y = first * SH - PH + line % LINES, col = 2 * (place % PAIRS), of = image + line / LINES;
            int channel = k + 8 * octet;
            bool inside = of < n && (u32)y < (u32)IN_H;
            const bf16* from = x + (((long long)(inside ? of : 0) * IN_C + channel) * IN_H + (inside ? y : 0)) * IN_W + col;
#pragma unroll
            for (int e = 0; e < 8; ++e) {
                bool there = inside && (IN_C % (8 * OCTETS) == 0 || channel + e < IN_C);
                held[slot][e] = two(from + e * IN_H * IN_W, there ? IN_W - col : 0);
            }
        });
    }
    __device__ __forceinline__ uint4 side_by_side(const u32 (&x)[8], u32 which) {
        return make_uint4(__byte_perm(x[0], x[1], which), __byte_perm(x[2], x[3], which), __byte_perm(x[4], x[5], which),
                          __byte_perm(x[6], x[7], which));
    }
    __device__ __forceinline__ void store(uint4* stage) {
        deal<OCTETS, IMAGES * LINES * PAIRS>([&](int octet, int place, int slot) {
            uint4* line = stage + octet * PLANE + place / PAIRS * PLACES;
            int col = PW + 2 * (place % PAIRS);
            line[col % SW * PART + col / SW] = side_by_side(held[slot], 0x5410);
            line[(col + 1) % SW * PART + (col + 1) / SW] = side_by_side(held[slot], 0x7632);
        });
        // The tensor cores see what was written.
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
};

// How the tensor cores are told of places: from `at` on, octets PLANE apart, rows of positions SH lines.
__device__ __forceinline__ u64 places_at(const uint4* at) {
    return (u64)((shared_address(at) & 0x3ffff) >> 4) | (u64)PLANE << 16 | (u64)(SH * PLACES) << 32;
}
// Of what a tap sees, the first of it.
__device__ __forceinline__ int seen_at(int r, int s) { return r * PLACES + s % SW * PART + s / SW; }

constexpr int STRIPS = IMAGES * EIGHTS, COLUMNS = 8 * ROWS, STAGE = OCTETS * PLANE, DEEP = OCTETS / 2;
constexpr int SLICES = (IN_C + 15) / 16, CHUNKS = (SLICES + DEEP - 1) / DEEP, DOWN = (OUT_C + 63) / 64, TURNS = DEEP * CELLS;

// Which of UP pixels a weight goes into, and where the position sees what it is multiplied with.
__device__ constexpr int pixel_of(int cell, int border) { return UP == 1 ? 0 : ((cell - border) % UP + UP) % UP; }
__device__ constexpr int seen_from(int cell, int border, int padding) {
    return UP == 1 ? cell : (pixel_of(cell, border) + border - cell) / UP + padding;
}

// The weight of an output, a channel and a tap; zero where one is not there. `turned` weights [c, o, taps] are those of an input
// gradient, with stride 1 both axes reversed.
__device__ __forceinline__ float weight(const float* w, u32 turned, int output, int channel, int tap) {
    if (output >= OUT_C || channel >= IN_C) return 0.0f;
    return turned ? w[(channel * OUT_C + output) * CELLS + (UP == 1 ? CELLS - 1 - tap : tap)] : w[(output * IN_C + channel) * CELLS + tap];
}

// Weights in the order in which a warpgroup wants them: `to` [outputs / 64, chunks, sixteens of channels, taps, 128, 4], two
// channels a word. Thread by thread, one word each.
KERNEL arrange_octets(const float* __restrict__ w, u32* __restrict__ to, u32 turned) {
    int at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= DOWN * CHUNKS * TURNS * 512) return;
    int e = at % 4, thread = at / 4 % 128, tap = at / 512 % CELLS, slice = at / (512 * CELLS) % (CHUNKS * DEEP);
    int output = at / (512 * TURNS * CHUNKS) * 64 + thread / 32 * 16 + thread % 32 / 4 + e % 2 * 8;
    int channel = 16 * slice + thread % 4 * 2 + e / 2 * 8;
    to[at] = pack(weight(w, turned, output, channel, tap), weight(w, turned, output, channel + 1, tap));
}

// acc += w x^T for 64 outputs, sixteen channels deep, weights in registers. Number e of a thread is of output
// 16 warp + lane / 4 + e % 4 / 2 * 8, row e / 4, column lane % 4 * 2 + e % 2 of the strip.
#define NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define STRIP(columns, numbers, names, a_names, b_name, add_name, ...)                                                 \
    __device__ __forceinline__ void multiply(float (&c)[numbers], const uint4& a, u64 b) {                             \
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_name ", 0;\n"                                             \
                     "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" names "}, {" a_names "}, "       \
                     b_name ", p, 1, 1, 0;\n}\n"                                                                       \
                     : __VA_ARGS__                                                                                     \
                     : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "l"(b), "r"(1));                                        \
    }
STRIP("32", 16, NAMES_16, "%16, %17, %18, %19", "%20", "%21", EIGHT(c, 0), EIGHT(c, 8))
STRIP("64", 32, NAMES_32, "%32, %33, %34, %35", "%36", "%37", OF_32(c, 0))
STRIP("128", 64, NAMES_64, "%64, %65, %66, %67", "%68", "%69", OF_32(c, 0), OF_32(c, 32))

typedef float Strip[COLUMNS / 2];
typedef Strip Sums[UP * UP * STRIPS];

// Four lanes' words [lane, 4] turned round: [4, lane].
__device__ __forceinline__ uint4 turned(uint4 w) {
    bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
    u32 a = __shfl_xor_sync(0xffffffffu, odd ? w.x : w.y, 1), b = __shfl_xor_sync(0xffffffffu, odd ? w.z : w.w, 1);
    w = odd ? make_uint4(a, w.y, b, w.w) : make_uint4(w.x, a, w.z, b);
    a = __shfl_xor_sync(0xffffffffu, upper ? w.x : w.z, 2), b = __shfl_xor_sync(0xffffffffu, upper ? w.y : w.w, 2);
    return upper ? make_uint4(a, b, w.z, w.w) : make_uint4(w.x, w.y, a, b);
}

#if UP == 1
// Adds the shift, applies the activation and writes; four eights that follow each other in memory at a time.
__device__ __forceinline__ void finish(const Sums& acc, const float* shift, bf16* y, int n, int image, int output,
                                       int first) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        int o = output + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + 8 * half;
        float s = shift && o < OUT_C ? shift[o] : 0.0f;
#pragma unroll
        for (int i = 0; i < IMAGES; ++i) {
            bf16* to = y + (((long long)(image + i) * OUT_C + o) * OUT_H + first) * OUT_W;
#pragma unroll
            for (int eight = 0; eight < ROWS * EIGHTS; eight += 4) {
                u32 w[4];
#pragma unroll
                for (int k = 0; k < 4; ++k) {
                    const float* from = acc[i * EIGHTS + (eight + k) % EIGHTS] + (eight + k) / EIGHTS * 4 + 2 * half;
                    w[k] = pack(activation(from[0] + s), activation(from[1] + s));
                }
                uint4 whole = turned(make_uint4(w[0], w[1], w[2], w[3]));
                if (o < OUT_C && image + i < n) *(uint4*)(to + 8 * (eight + threadIdx.x % 4)) = whole;
            }
        }
    }
}

#else
// Writes the pixels of positions: four of a line at a time.
__device__ __forceinline__ void finish(const Sums& acc, const float*, bf16* y, int n, int image, int output, int first) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        int o = output + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + 8 * half;
#pragma unroll
        for (int j = 0; j < STRIPS; ++j) {
            int of = image + j / EIGHTS, col = UP * (j % EIGHTS * 8 + threadIdx.x % 4 * 2);
            if (o >= OUT_C || of >= n) continue;
            bf16* to = y + (((long long)of * OUT_C + o) * OUT_H + first) * UP * (OUT_W * UP) + col;
#pragma unroll
            for (int line = 0; line < ROWS * UP; ++line) {
                const float *left = acc[line % UP * UP * STRIPS + j] + line / UP * 4 + 2 * half, *right = acc[(line % UP * UP + 1) * STRIPS + j] + line / UP * 4 + 2 * half;
                *(uint2*)(to + line * OUT_W * UP) = make_uint2(pack(left[0], right[0]), pack(left[1], right[1]));
            }
        }
    }
}
#endif

// One block for every 64 outputs of every ROWS rows of every IMAGES images; `weights` are arranged, with two taps' room behind them.
KERNEL convolve_octets(const bf16* __restrict__ x, const uint4* __restrict__ weights, const float* __restrict__ shift, bf16* __restrict__ y,
              int n) {
    extern __shared__ __align__(128) uint4 places[];
    int m = blockIdx.x % DOWN, first = blockIdx.x / DOWN % BANDS * ROWS, image = blockIdx.x / (DOWN * BANDS) * IMAGES;
    weights += (long long)m * (CHUNKS * TURNS * 128) + threadIdx.x;
    Sums acc = {};
    Octets octets;
    octets.fetch(x, n, image, 0, first);
    clear_stages<8 * STAGE>((float*)places);
    octets.store(places);
    // The weights of two turns are on their way while one is multiplied; a third's may still be read.
    uint4 a[3] = {weights[0], weights[128]};
    weights += 256;
#pragma unroll 1
    for (int chunk = 0; chunk < CHUNKS; ++chunk) {
        __syncthreads();
        if (chunk + 1 < CHUNKS) octets.fetch(x, n, image, 8 * OCTETS * (chunk + 1), first);
        const uint4* stage = places + chunk % 2 * STAGE;
#pragma unroll
        for (int turn = 0; turn < TURNS; ++turn) {
            int tap = turn % CELLS, r = tap / CELLS_W, s = tap % CELLS_W;
            const uint4* at = stage + turn / CELLS * 2 * PLANE + seen_at(seen_from(r, BORDER_H, PH), seen_from(s, BORDER_W, PW));
            Strip* pixels = acc + (pixel_of(r, BORDER_H) * UP + pixel_of(s, BORDER_W)) * STRIPS;
            begin_products();
#pragma unroll
            for (int j = 0; j < STRIPS; ++j)
                multiply(pixels[j], a[turn % 3], places_at(at + j / EIGHTS * LINES * PLACES + j % EIGHTS * 8));
            commit_products();
            await_products<1>();
            a[(turn + 2) % 3] = weights[128 * turn];
        }
        if (chunk + 1 < CHUNKS) octets.store(places + (chunk + 1) % 2 * STAGE);
        await_products<0>();
        weights += 128 * TURNS;
        // Moved within registers, two alone would have every product wait, says the compiler.
        uint4 next = TURNS > 2 ? a[TURNS % 3] : weights[-256], after = TURNS > 2 ? a[(TURNS + 1) % 3] : weights[-128];
        a[0] = next, a[1] = after;
    }
#pragma unroll
    for (int j = 0; j < UP * UP * STRIPS; ++j) hold(acc[j]);
    finish(acc, shift, y, n, image, 64 * m, first);
}

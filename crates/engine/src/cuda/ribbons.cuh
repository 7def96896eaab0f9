// Gradients of a convolution's kernel by Hopper's warpgroup products, of images and output gradients in bf16: images as octets.cuh has
// them.
//
// A block makes 64 outputs by BC channels by all taps; each of its KH warpgroups makes one row of taps. The inner dimension is
// positions, sixteen at a time, in two eights of columns: two of a row, or of two rows where there is but one. Both factors
// are multiplied as they are stored; the tensor cores add exact products in f32 and truncate.

#define BM 64
#define BC (8 * OCTETS)
#define NUMBERS (BC / 2)
#define ACCUMULATORS (KW * NUMBERS)

// Eights of positions of an image in a stage; an eight of 64 outputs of b takes one place more than it has.
constexpr int COUNT = ROWS * EIGHTS, B_PITCH = BM + 1, B_PLACES = IMAGES * COUNT * B_PITCH, STAGE = B_PLACES + OCTETS * PLANE;
constexpr int ACROSS = (IN_C + BC - 1) / BC, TILES = ACROSS * ((OUT_C + BM - 1) / BM);

// acc += b x^T for 64 outputs, sixteen positions deep, b in registers. Number e of a thread is of output
// 16 warp + lane / 4 + e % 4 / 2 * 8, channel e / 4 * 8 + lane % 4 * 2 + e % 2.
__device__ __forceinline__ void multiply(float (&c)[16], const u32 (&a)[4], u64 b) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %21, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, "
                 "%13, %14, %15}, {%16, %17, %18, %19}, %20, p, 1, 1, 1;\n}\n"
                 : EIGHT(c, 0), EIGHT(c, 8)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(1));
}

// The output gradients of rows `first` .. `first + ROWS` of images from `image` on, outputs from `m` on, on their way.
__device__ __forceinline__ void fill(uint4* stage, const bf16* b, int image, int to, int m, int first) {
    deal<BM, IMAGES * COUNT>([&](int line, int place, int) {
        int of = image + place / COUNT, eight = place % COUNT;
        bool there = of < to && (OUT_C % BM == 0 || m + line < OUT_C) && (OUT_H % ROWS == 0 || first + eight / EIGHTS < OUT_H);
        const bf16* from = b + (((long long)of * OUT_C + m + line) * OUT_H + first) * OUT_W + 8 * eight;
        copy16(stage + place * B_PITCH + line, there ? from : b, there ? 16 : 0);
    });
}

// One thread's share of b at two eights.
__device__ __forceinline__ void load(u32 (&a)[4], const uint4* b, int eight) {
    const u32* at = (const u32*)(b + eight * B_PITCH + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4) + threadIdx.x % 4;
#pragma unroll
    for (int e = 0; e < 4; ++e) a[e] = at[(e / 2 * B_PITCH + e % 2 * 8) * 4];
}

// acc += b x^T over one image of a stage.
__device__ __forceinline__ void multiply(float (&acc)[KW][NUMBERS], const uint4* stage, int image) {
    const uint4 *b = stage + image * COUNT * B_PITCH, *x = stage + B_PLACES + image * LINES * PLACES + threadIdx.x / 128 * PLACES;
    u32 a[2][4];
    load(a[0], b, 0);
#pragma unroll
    for (int step = 0; step < COUNT / 2; ++step) {
        const uint4* at = x + 2 * step / EIGHTS * SH * PLACES + 2 * step % EIGHTS * 8;
        begin_products();
#pragma unroll
        for (int s = 0; s < KW; ++s) multiply(acc[s], a[step % 2], places_at(at + seen_at(0, s), EIGHTS == 1 ? SH * PLACES : 8, PLANE));
        commit_products();
        await_products<1>();
        if (step + 1 < COUNT / 2) load(a[(step + 1) % 2], b, 2 * step + 2);
    }
    await_products<0>();
}

__device__ __forceinline__ void clear(float (&acc)[KW][NUMBERS]) {
#pragma unroll
    for (int s = 0; s < KW; ++s)
#pragma unroll
        for (int e = 0; e < NUMBERS; ++e) acc[s][e] = 0.0f;
}

// Makes the gradients of examples `from` .. `to`, one after the other, in `acc`, and hands over each: `take(i)`. STEPS stages make
// IMAGES examples.
template <class Take>
__device__ __forceinline__ void stream(uint4* stages, const bf16* x, const bf16* b, int m, int k, int from, int to,
                                       float (&acc)[KW][NUMBERS], const Take& take) {
    Octets octets;
    int ahead = from, ahead_step = 0, stage = 0;
    auto fetch = [&](int at) {
        if (ahead >= to) return;
        fill(stages + at * STAGE, b, ahead, to, m, ahead_step * ROWS);
        octets.fetch(x, to, ahead, k, ahead_step * ROWS);
    };
    auto store = [&](int at) {
        if (ahead >= to) return;
        octets.store(stages + at * STAGE + B_PLACES);
        if (++ahead_step == STEPS) ahead_step = 0, ahead += IMAGES;
    };
    clear_stages<8 * STAGE>((float*)stages);
    fetch(0), store(0);
    for (int i = from; i < to; i += IMAGES)
        for (int step = 0; step < STEPS; ++step, stage ^= 1) {
            commit(), wait<0>();
            __syncthreads();
            fetch(stage ^ 1);
            commit();
#pragma unroll 1
            for (int image = 0; image < IMAGES && i + image < to; ++image) {
                multiply(acc, stages + stage * STAGE, image);
#pragma unroll
                for (int s = 0; s < KW; ++s) hold(acc[s]);
                if (step + 1 == STEPS) take(i + image), clear(acc);
            }
            store(stage ^ 1);
        }
}

// The output and channel of accumulator `e` of a tap.
__device__ __forceinline__ int output_of(int e) { return threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4 + e % 4 / 2 * 8; }
__device__ __forceinline__ int channel_of(int e) { return e / 4 * 8 + threadIdx.x % 4 * 2 + e % 2; }

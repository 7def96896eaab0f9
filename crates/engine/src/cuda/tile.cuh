// Tiles of matrix products: from device memory through shared memory into accumulators in registers.
//
// A block of WARPS_M x WARPS_N warps makes BM x BN elements of A B^T, each warp WM x WN of them, LINE words or BK lines of
// the inner dimension at a time. Operands arrive as they lie in memory:
//   ALONG = 1   lines are rows of A (and of B), the inner dimension is contiguous     (patches)
//   ALONG = 0   lines are steps of the inner dimension, rows of A lie across          (gradients of linear maps)
// PRECISION: 0 f32 by fused multiply-add; 1 TF32 (of operands, in f32, tensor cores ignore the last 13 bits: whoever wants
// them rounded to nearest rounds them where they are made); 2 bf16. Tensor cores add exact products in f32 and truncate: after s steps of 8 (TF32) or 16 (bf16) products an element is right to s 2^-22 of the
// sum of its products' sizes.
// Which element an accumulator belongs to is row_of and col_of; sums of squares need not know.

#undef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)

#if PRECISION == 2
typedef unsigned short element;
#define PER_WORD 2
#else
typedef float element;
#define PER_WORD 1
#endif

#define BM (WM * WARPS_M)
#define BN (WN * WARPS_N)
#define THREADS (32 * WARPS_M * WARPS_N)
#define ACCUMULATORS (WM * WN / 32)

#if ALONG
#define BK (LINE * PER_WORD)
#define A_WORDS (BM * LINE)
#define B_WORDS (BN * LINE)
#else
// Eight words (four for bf16, whose matrices are read 16 bytes a line) beyond the tile keep its lines in different banks.
#define A_PITCH (BM / PER_WORD + 8 / PER_WORD)
#define B_PITCH (BN / PER_WORD + 8 / PER_WORD)
#define A_WORDS (BK * A_PITCH)
#define B_WORDS (BK * B_PITCH)
#endif
#define STAGE_WORDS (A_WORDS + B_WORDS)

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Copies 16 or 4 bytes to shared memory behind the scenes; `bytes` of them from `from`, zeros for the rest.
__device__ __forceinline__ void copy16(void* to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes));
}
__device__ __forceinline__ void copy4(void* to, const void* from, bool present) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(present ? 4 : 0));
}
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT> __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory"); }

// Where 16 bytes of a line lie. Along: swizzled, so that neither eight lines at one place nor two lines at four places share
// banks. Across: padded.
#if ALONG
__device__ __forceinline__ int place(int line, int chunk) {
#if LINE == 32
    return line * 32 + 4 * (chunk ^ ((line & 1) << 2 | (line >> 1 & 3)));
#else
    return line * 16 + 4 * (chunk ^ (line >> 1 & 3));
#endif
}
#endif

// Fills `lines` lines of `width` elements from `from` with pitch `pitch`: those below `present_lines` and `present_width`,
// zeros beyond. ALIGNED: `from` and `pitch` are multiples of 16 bytes.
template <int LINES, int WIDTH, int PITCH>
__device__ __forceinline__ void fill_lines(u32* tile, const element* from, long long pitch, int present_lines, int present_width) {
    constexpr int EACH = 4 * PER_WORD;
    constexpr int CHUNKS = WIDTH / EACH;
#if ALIGNED
    if (LINES * CHUNKS % THREADS == 0 && THREADS % CHUNKS == 0 && present_lines >= LINES && present_width >= WIDTH) {
        const element* source = from + threadIdx.x / CHUNKS * pitch + threadIdx.x % CHUNKS * EACH;
#pragma unroll
        for (int turn = 0; turn < LINES * CHUNKS / THREADS; ++turn, source += THREADS / CHUNKS * pitch) {
            int line = threadIdx.x / CHUNKS + turn * (THREADS / CHUNKS), chunk = threadIdx.x % CHUNKS;
#if ALONG
            copy16(tile + place(line, chunk), source, 16);
#else
            copy16(tile + line * PITCH + 4 * chunk, source, 16);
#endif
        }
        return;
    }
#endif
#pragma unroll
    for (int turn = 0; turn < (LINES * CHUNKS + THREADS - 1) / THREADS; ++turn) {
        int at = threadIdx.x + turn * THREADS, line = at / CHUNKS, chunk = at % CHUNKS;
        if (LINES * CHUNKS % THREADS != 0 && at >= LINES * CHUNKS) break;
#if ALONG
        u32* to = tile + place(line, chunk);
#else
        u32* to = tile + line * PITCH + 4 * chunk;
#endif
        int left = line < present_lines ? min(max(present_width - chunk * EACH, 0), EACH) : 0;
        const element* source = left > 0 ? from + line * pitch + chunk * EACH : from;
#if ALIGNED
        copy16(to, source, left * (int)sizeof(element));
#elif PRECISION == 2
#pragma unroll
        for (int e = 0; e < EACH; ++e) ((element*)to)[e] = e < left ? source[e] : (element)0;
#else
#pragma unroll
        for (int e = 0; e < EACH; ++e) copy4(to + e, e < left ? source + e : from, e < left);
#endif
    }
}

// Runs `use(step, stage)` for every step while `fill(step, stage)` is ahead of it by STAGES - 1 steps.
template <class Fill, class Use>
__device__ __forceinline__ void pipeline(int steps, const Fill& fill, const Use& use) {
#pragma unroll
    for (int s = 0; s < STAGES - 1; ++s) {
        if (s < steps) fill(s, s);
        commit();
    }
    int stage = 0, free = STAGES - 1;
    for (int s = 0; s < steps; ++s) {
        wait<STAGES - 2>();
        __syncthreads();
        if (s + STAGES - 1 < steps) fill(s + STAGES - 1, free);
        commit();
        use(s, stage);
        stage = stage + 1 == STAGES ? 0 : stage + 1;
        free = free + 1 == STAGES ? 0 : free + 1;
    }
    wait<0>();
    __syncthreads();
}

__device__ __forceinline__ int lane() { return threadIdx.x & 31; }
__device__ __forceinline__ int warp_m() { return threadIdx.x / 32 / WARPS_N; }
__device__ __forceinline__ int warp_n() { return threadIdx.x / 32 % WARPS_N; }

__device__ __forceinline__ void load4(u32* to, const u32* from) {
    uint4 v = *(const uint4*)from;
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}

// c += a b^T for 16 x 8 elements.
__device__ __forceinline__ void mma(float* c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
#if PRECISION == 2
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
#endif
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

#if PRECISION == 0
constexpr int TM = WM / 8, TN = WN / 4;

#if ALONG
// Row `lane / 4 + 8 i` by column `lane % 4 + 4 j`.
__device__ __forceinline__ void multiply(float (&acc)[ACCUMULATORS], const u32* a, const u32* b) {
    int m = warp_m() * WM + lane() / 4, n = warp_n() * WN + lane() % 4;
#pragma unroll
    for (int chunk = 0; chunk < LINE / 4; ++chunk) {
        u32 x[TM][4];
#pragma unroll
        for (int i = 0; i < TM; ++i) load4(x[i], a + place(m + 8 * i, chunk));
#pragma unroll
        for (int j = 0; j < TN; ++j) {
            u32 y[4];
            load4(y, b + place(n + 4 * j, chunk));
#pragma unroll
            for (int k = 0; k < 4; ++k)
#pragma unroll
                for (int i = 0; i < TM; ++i)
                    acc[i * TN + j] = fmaf(__uint_as_float(x[i][k]), __uint_as_float(y[k]), acc[i * TN + j]);
        }
    }
}
__device__ __forceinline__ int row_of(int at) { return warp_m() * WM + lane() / 4 + 8 * (at / TN); }
__device__ __forceinline__ int col_of(int at) { return warp_n() * WN + lane() % 4 + 4 * (at % TN); }
#else
// Fours of rows by fours of columns.
__device__ __forceinline__ void multiply(float (&acc)[ACCUMULATORS], const u32* a, const u32* b) {
    a += warp_m() * WM + lane() / 4 * 4, b += warp_n() * WN + lane() % 4 * 4;
#pragma unroll 4
    for (int k = 0; k < BK; ++k) {
        u32 x[TM], y[TN];
#pragma unroll
        for (int i = 0; i < TM; i += 4) load4(x + i, a + k * A_PITCH + 8 * i);
#pragma unroll
        for (int j = 0; j < TN; j += 4) load4(y + j, b + k * B_PITCH + 4 * j);
#pragma unroll
        for (int i = 0; i < TM; ++i)
#pragma unroll
            for (int j = 0; j < TN; ++j)
                acc[i * TN + j] = fmaf(__uint_as_float(x[i]), __uint_as_float(y[j]), acc[i * TN + j]);
    }
}
__device__ __forceinline__ int row_of(int at) { return warp_m() * WM + at / TN / 4 * 32 + lane() / 4 * 4 + at / TN % 4; }
__device__ __forceinline__ int col_of(int at) { return warp_n() * WN + at % TN / 4 * 16 + lane() % 4 * 4 + at % TN % 4; }
#endif

#else
constexpr int MI = WM / 16, NI = WN / 8;

// What a warp's tensor-core products of one step are made of, in the registers that they take it from.
struct Step {
    u32 x[MI][4], y[NI][2];
};

#if ALONG || PRECISION == 2
__device__ __forceinline__ void load_matrices(u32* r, const void* from) {
#if ALONG
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
#endif
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(from)));
}
#endif

#if ALONG
constexpr int STEPS = LINE / 8;
__device__ __forceinline__ void load(Step& s, const u32* a, const u32* b, int step) {
    int matrix = lane() / 8, line = lane() % 8, m = warp_m() * WM + matrix % 2 * 8 + line, n = warp_n() * WN + matrix / 2 * 8 + line;
#pragma unroll
    for (int i = 0; i < MI; ++i) load_matrices(s.x[i], a + 16 * i * LINE + place(m, 2 * step + matrix / 2));
#pragma unroll
    for (int j = 0; j < NI; j += 2) load_matrices(s.y[j], b + 8 * j * LINE + place(n, 2 * step + matrix % 2));
}
#elif PRECISION == 2
constexpr int STEPS = BK / 16;
__device__ __forceinline__ void load(Step& s, const u32* a, const u32* b, int step) {
    int matrix = lane() / 8, line = lane() % 8 + 16 * step;
    const element* la = (const element*)a + (matrix / 2 * 8 + line) * 2 * A_PITCH + warp_m() * WM + matrix % 2 * 8;
    const element* lb = (const element*)b + (matrix % 2 * 8 + line) * 2 * B_PITCH + warp_n() * WN + matrix / 2 * 8;
#pragma unroll
    for (int i = 0; i < MI; ++i) load_matrices(s.x[i], la + 16 * i);
#pragma unroll
    for (int j = 0; j < NI; j += 2) load_matrices(s.y[j], lb + 8 * j);
}
#else
constexpr int STEPS = BK / 8;
// Two neighbouring rows are one thread's: rows may be dealt out in any order.
__device__ __forceinline__ void load(Step& s, const u32* a, const u32* b, int step) {
    int group = lane() / 4, line = lane() % 4 + 8 * step;
    a += line * A_PITCH + warp_m() * WM + 2 * group, b += line * B_PITCH + warp_n() * WN + group;
#pragma unroll
    for (int i = 0; i < MI; ++i) {
        uint2 near = *(const uint2*)(a + 16 * i), far = *(const uint2*)(a + 4 * A_PITCH + 16 * i);
        s.x[i][0] = near.x, s.x[i][1] = near.y, s.x[i][2] = far.x, s.x[i][3] = far.y;
    }
#pragma unroll
    for (int j = 0; j < NI; ++j) s.y[j][0] = b[8 * j], s.y[j][1] = b[8 * j + 4 * B_PITCH];
}
#endif

// acc += a b^T over one stage; the next step is on its way from shared memory while one is multiplied.
__device__ __forceinline__ void multiply(float (&acc)[ACCUMULATORS], const u32* a, const u32* b) {
    Step steps[2];
    load(steps[0], a, b, 0);
#pragma unroll
    for (int k = 0; k < STEPS; ++k) {
        if (k + 1 < STEPS) load(steps[(k + 1) % 2], a, b, k + 1);
        Step& s = steps[k % 2];
#pragma unroll
        for (int i = 0; i < MI; ++i)
#pragma unroll
            for (int j = 0; j < NI; ++j)
                mma(acc + 4 * (i * NI + j), s.x[i][0], s.x[i][1], s.x[i][2], s.x[i][3], s.y[j][0], s.y[j][1]);
    }
}

__device__ __forceinline__ int row_of(int at) {
    int slot = lane() / 4, half = at % 4 / 2;
    return warp_m() * WM + at / 4 / NI * 16 + (ALONG || PRECISION == 2 ? slot + 8 * half : 2 * slot + half);
}
__device__ __forceinline__ int col_of(int at) { return warp_n() * WN + at / 4 % NI * 8 + lane() % 4 * 2 + at % 2; }
#endif

__device__ __forceinline__ void clear(float (&acc)[ACCUMULATORS]) {
#pragma unroll
    for (int i = 0; i < ACCUMULATORS; ++i) acc[i] = 0.0f;
}

// The sum over the block, at thread 0. `shared` has room for one double a warp.
__device__ __forceinline__ double tile_sum(double x, double* shared) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    __syncthreads();
    if (lane() == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    double sum = 0.0;
    if (threadIdx.x == 0)
        for (int w = 0; w < THREADS / 32; ++w) sum += shared[w];
    return sum;
}

// The sum of squares of all accumulators: sixteen at a time in f32, the rest in f64.
__device__ __forceinline__ double squares(const float (&acc)[ACCUMULATORS]) {
    double sum = 0.0;
#pragma unroll
    for (int i = 0; i < ACCUMULATORS; i += 16) {
        float part = 0.0f;
#pragma unroll
        for (int e = 0; e < 16; ++e) part = fmaf(acc[i + e], acc[i + e], part);
        sum += part;
    }
    return sum;
}

// Writes a tile whose first element is (row, col) of the matrix `to` [p, d].
__device__ __forceinline__ void write_tile(const float (&sum)[ACCUMULATORS], float* to, int row, int col, int p, int d) {
#pragma unroll
    for (int e = 0; e < ACCUMULATORS; ++e) {
        int r = row + row_of(e), c = col + col_of(e);
        if (r < p && c < d) to[(long long)r * d + c] = sum[e];
    }
}

// Rows of heads in shared memory, as attention's kernels hold them and stream them past, and what a warp does with its sixteen rows.
//
// HEAD is a head's width, WIDTH that rounded up to what products take at a time (at most 128); CAUSAL: whether a position sees itself and
// those before it only; WARPGROUPS: whether products are those of Hopper's warpgroups.

#define ROWS 128
#define THREADS 256
// Tiles that are held of what streams past.
#define STAGES 2
// Numbers in 16 bytes.
constexpr int TOGETHER = 16 / sizeof(number);

// A tile of N rows is TILE(N) numbers. TEAM of its rows are multiplied together; those from `row` on begin at STRIP(row), and 16 bytes of
// a row are at spot<N>(row, place).
#if WARPGROUPS
// Panels of 32 or 64 columns; the places of a panel's row are permuted by the row's number, as the tensor cores expect.
#define TEAM 64
#define PANEL (WIDTH % 64 ? 32 : 64)
#define TILE(n) ((n) * WIDTH)
#define STRIP(row) ((row) * PANEL)
template <int N> __device__ __forceinline__ int spot(int row, int place) {
    int panel = place / (PANEL / 8), turn = PANEL == 64 ? row % 8 : row / 2 % 4;
    return (panel * N + row) * PANEL + (place % (PANEL / 8) ^ turn) * 8;
}
#else
#define TEAM 16
// Beyond WIDTH, so that eight rows at one place do not share banks, nor every other of eight at eight places.
#define PITCH (WIDTH + TOGETHER)
#define TILE(n) ((n) * PITCH)
#define STRIP(row) ((row) * PITCH)
template <int N> __device__ __forceinline__ int spot(int row, int place) { return row * PITCH + place * TOGETHER; }
#endif
#define SCALE (1.0f / sqrtf((float)HEAD))
#define HIDDEN (-INFINITE)
#define LOG2E 1.4426950408889634f

__device__ __forceinline__ int group() { return threadIdx.x % 32 / 4; }
__device__ __forceinline__ int member() { return threadIdx.x % 4; }

// The first of `rows` rows that a team of threads has, two threads a row; the same for all of a warp, and known to be.
__device__ __forceinline__ int turn(int rows) { return __shfl_sync(0xffffffffu, threadIdx.x / (2 * rows), 0) * rows; }

// One head of one example: where its rows are, and who looks at whom.
struct Head {
    int t, pitch;
    const number *q, *k, *v;
    const u32* present;
    __device__ __forceinline__ bool has(int key) const { return key < t && (!present || present[key]); }
};

__device__ __forceinline__ Head head_of(const number* qkv, const u32* present, int t, int heads, int at) {
    int d = heads * HEAD;
    const number* q = qkv + (i64)(at / heads) * t * 3 * d + at % heads * HEAD;
    return {t, 3 * d, q, q + d, q + 2 * d, present ? present + (i64)(at / heads) * t : nullptr};
}

// Which of N keys from `from` on a thread's two queries see: asked for elements of accumulators (`along`).
template <int N> struct Sight {
    u32 there[N / 32];
    int last[2];
    __device__ __forceinline__ Sight(const Head& head, int from, const int (&query)[2]) {
#pragma unroll
        for (int i = 0; i < N / 32; ++i)
            there[i] = __ballot_sync(0xffffffffu, head.has(from + 32 * i + threadIdx.x % 32)) >> 2 * member();
#pragma unroll
        for (int r = 0; r < 2; ++r) last[r] = CAUSAL ? query[r] - from - 2 * member() : N;
    }
    __device__ __forceinline__ bool sees(int e) const {
        int key = e / 4 * 8 + e % 2;
        return (there[key / 32] >> key % 32 & 1) && key <= last[e / 2 % 2];
    }
};

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT> __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory"); }
// The first `left` of SIZE bytes, and zeros.
template <int SIZE> __device__ __forceinline__ void copy(void* to, const void* from, int left) {
    if (SIZE == 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(left));
    else asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(from), "n"(SIZE), "r"(left));
}

// Rows `from` .. `from + N` of a head, zeros for rows beyond t, columns beyond the width, and rows that are not present.
template <int N> __device__ __forceinline__ void fill_rows(number* tile, const number* rows, int pitch, int from, int t, const u32* present) {
    constexpr int PLACES = WIDTH / TOGETHER, WORD = 4 / (int)sizeof(number);
#pragma unroll
    for (int step = 0; step < N * PLACES; step += THREADS) {
        // Threads that are a whole number of rows have the same column in every turn.
        bool same = THREADS % PLACES == 0;
        int at = threadIdx.x + (same ? 0 : step), line = at / PLACES + (same ? step / PLACES : 0), place = at % PLACES;
        if (N * PLACES % THREADS != 0 && line >= N) break;
        int row = from + line, left = min(HEAD - place * TOGETHER, TOGETHER);
        if (row >= t || (present && !present[row])) left = 0;
        number* to = tile + spot<N>(line, place);
        const number* source = rows + (i64)row * pitch + place * TOGETHER;
        if (HEAD % TOGETHER == 0) copy<16>(to, source, left > 0 ? 16 : 0);
        else if (HEAD % WORD == 0) {
#pragma unroll
            for (int e = 0; e < TOGETHER; e += WORD) copy<4>(to + e, source + e, e < left ? 4 : 0);
        } else {
            for (int e = 0; e < TOGETHER; ++e) to[e] = e < left ? source[e] : number(0.0f);
        }
    }
}

// Streams stages `first` .. `last` of SIZE bytes past the block, STAGES of them held: `fill(tile, stage)`, then `use(tile, stage)`.
template <int SIZE, class Fill, class Use>
__device__ __forceinline__ void stream(int first, int last, void* stages, const Fill& fill, const Use& use) {
    auto stage = [&](int tile) { return (number*)((char*)stages + (tile - first) % STAGES * SIZE); };
    auto ask = [&](int tile) {
        if (tile < last) fill(tile, stage(tile));
        commit();
    };
#pragma unroll
    for (int ahead = 0; ahead < STAGES - 1; ++ahead) ask(first + ahead);
    for (int tile = first; tile < last; ++tile) {
        wait<STAGES - 2>();
#if WARPGROUPS
        // What was copied is seen by the tensor cores.
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
        // Everybody's copies are there, and nobody uses the stage before this one any more.
        __syncthreads();
        ask(tile + STAGES - 1);
        use(tile, stage(tile));
    }
}

__device__ __forceinline__ void write_pair(float* to, float first, float second) { *(float2*)to = make_float2(first, second); }
__device__ __forceinline__ void write_pair(bf16* to, float first, float second) { *(u32*)to = pack(first, second); }

// Writes the warp's 16 rows of accumulators, times a factor for the upper and one for the lower eight.
__device__ __forceinline__ void write_rows(const float (&o)[WIDTH / 2], float upper, float lower, number* to, int pitch, int row, int t) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        int at = row + group() + 8 * half;
        if (at >= t) continue;
        float factor = half ? lower : upper;
        number* line = to + (i64)at * pitch + 2 * member();
#pragma unroll
        for (int j = 0; j < WIDTH / 8; ++j) {
            int left = HEAD - 8 * j - 2 * member();
            float first = o[4 * j + 2 * half] * factor, second = o[4 * j + 2 * half + 1] * factor;
            if (HEAD % 2 == 0 && left >= 2) write_pair(line + 8 * j, first, second);
            else if (left >= 1) {
                line[8 * j] = first;
                if (left >= 2) line[8 * j + 1] = second;
            }
        }
    }
}

// 2^x, to two units in the last place.
__device__ __forceinline__ float power(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

template <int N> __device__ __forceinline__ void clear(float (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = 0.0f;
}

// Of the four threads that share a row of accumulators.
template <class F> __device__ __forceinline__ float quad_reduce(float x, F f) {
    x = f(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return f(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

// The exponential as the product with the values takes it, so that weights sum to one; bf16 is nearest on either side.
__device__ __forceinline__ float weight(float x) {
    return PRECISION == 0 || sizeof(number) == 2 ? x : __uint_as_float(__float_as_uint(x) & 0xffffe000u);
}

// The 8 N columns that `along` leaves, as a left factor of numbers. Two of bf16 beside each other are a word of an operand.
template <int N, class T> struct Factor;
template <int N> struct Factor<N, float> {
    float x[4 * N];
    __device__ __forceinline__ Factor(const float (&p)[4 * N]) {
#pragma unroll
        for (int e = 0; e < 4 * N; ++e) x[e] = p[e];
    }
};
template <int N> struct Factor<N, bf16> {
    u32 x[2 * N];
    __device__ __forceinline__ Factor(const float (&p)[4 * N]) {
#pragma unroll
        for (int e = 0; e < 2 * N; ++e) {
            x[e] = pack(p[2 * e], p[2 * e + 1]);
#if WARPGROUPS
            // Made before products that read it begin.
            asm volatile("" : "+r"(x[e])::"memory");
#endif
        }
    }
};

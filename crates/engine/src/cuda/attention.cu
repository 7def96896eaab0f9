// Self-attention of several heads without scores in memory, forward and backward (Dao 2023, arXiv 2307.08691); the twin of
// op/attention.rs, whose masks and kept sums it has.
//
// A block of eight warps holds ROWS rows of one head, sixteen a warp, and streams the rows of the other side past them,
// two stages ahead. The backward is two kernels, one that holds keys and one that holds queries: scores are made twice and
// nothing is added across blocks, so gradients do not depend on the order of blocks.
//
// WIDTH is the head's width, rounded up to a multiple of 32 (at most 128). PRECISION: 0 f32, as three TF32 products of high and
// low parts; 1 TF32 (the last 13 bits of operands are ignored). Sums are in f32.

#define ROWS 128
#define THREADS 256
#undef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
// Beyond WIDTH, so that eight rows at one place do not share banks, nor every other of eight at eight places.
#define PITCH (WIDTH + 4)
// Rows that stream past at a time, forward and backward.
#define SEEN 64
#ifndef SHARED
#define SHARED 32
#endif
#ifndef BLOCKS
#define BLOCKS (WIDTH <= 64 ? 2 : 1)
#endif
#define HIDDEN __int_as_float(0xff800000)  // minus infinity
#define LOG2E 1.4426950408889634f

// One head of one example: where its rows are, and who looks at whom.
struct Head {
    int t, width, pitch;
    const float *q, *k, *v;
    const u32* present;
    bool causal;
    float scale;
    __device__ bool visible(int query, int key) const {
        return key < t && (!causal || key <= query) && (!present || present[key]);
    }
};

__device__ __forceinline__ Head head_of(const float* qkv, const u32* present, int t, int heads, int width, int causal, int at) {
    int d = heads * width;
    const float* q = qkv + (long long)(at / heads) * t * 3 * d + at % heads * width;
    return {t, width, 3 * d, q, q + d, q + 2 * d, present ? present + (long long)(at / heads) * t : nullptr, causal != 0, 1.0f / sqrtf((float)width)};
}

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT> __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory"); }

// Rows `from` .. `from + N` of a head, zeros for rows beyond t, columns beyond the width, and rows that are not present.
template <int N>
__device__ __forceinline__ void fill_rows(float* tile, const float* rows, int pitch, int from, int t, int width, const u32* present) {
    bool wide = width % 4 == 0;
    for (int at = threadIdx.x; at < N * (WIDTH / 4); at += THREADS) {
        int row = from + at / (WIDTH / 4), col = at % (WIDTH / 4) * 4;
        float* to = tile + at / (WIDTH / 4) * PITCH + col;
        int left = row < t && (!present || present[row]) ? min(max(width - col, 0), 4) : 0;
        const float* source = left > 0 ? rows + (long long)row * pitch + col : rows;
        if (wide) {
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(source), "r"(4 * left));
        } else {
#pragma unroll
            for (int e = 0; e < 4; ++e)
                asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to + e)),
                             "l"(e < left ? source + e : rows), "r"(e < left ? 4 : 0));
        }
    }
}

__device__ __forceinline__ int group() { return threadIdx.x % 32 / 4; }
__device__ __forceinline__ int member() { return threadIdx.x % 4; }

__device__ __forceinline__ void mma(float* c, const u32* a, const u32* b) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// An operand of N words, ready for the tensor cores: what the first part leaves goes into a second one.
template <int N> struct Operand {
    u32 high[N];
#if PRECISION == 0
    u32 low[N];
#endif
    __device__ __forceinline__ void set(int i, float x) {
#if PRECISION == 0
        high[i] = __float_as_uint(x) & 0xffffe000u;
        // To nearest; what is not a number is so in the high part already.
        low[i] = __float_as_uint(x - __uint_as_float(high[i])) + 0x1000u;
#else
        high[i] = __float_as_uint(x);
#endif
    }
};

__device__ __forceinline__ void multiply(float* c, const Operand<4>& a, const Operand<2>& b) {
#if PRECISION == 0
    mma(c, a.low, b.high), mma(c, a.high, b.low);
#endif
    mma(c, a.high, b.high);
}

// Four 8 x 4 parts of a tile: lane `l` names row `l % 8` of part `l / 8` and gets one word of every part.
__device__ __forceinline__ void load_parts(u32* r, const float* from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(from)));
}

// c += a b^T: 16 rows of a by 8 N rows of b, both along their width. c[4 j + e] is row `group + 8 (e / 2)`, column
// `8 j + 2 member + e % 2`.
template <int N> __device__ __forceinline__ void along(float (&c)[4 * N], const float* a, const float* b) {
    int part = threadIdx.x % 32 / 8, row = threadIdx.x % 8;
    a += (part % 2 * 8 + row) * PITCH + part / 2 * 4, b += (part / 2 * 8 + row) * PITCH + part % 2 * 4;
#pragma unroll
    for (int at = 0; at < WIDTH; at += 8) {
        u32 words[4];
        load_parts(words, a + at);
        Operand<4> x;
#pragma unroll
        for (int e = 0; e < 4; ++e) x.set(e, __uint_as_float(words[e]));
#pragma unroll
        for (int j = 0; j < N; j += 2) {
            u32 pair[4];
            load_parts(pair, b + 8 * j * PITCH + at);
#pragma unroll
            for (int s = 0; s < 2; ++s) {
                Operand<2> y;
                y.set(0, __uint_as_float(pair[2 * s])), y.set(1, __uint_as_float(pair[2 * s + 1]));
                multiply(c + 4 * (j + s), x, y);
            }
        }
    }
}

// o += p b: p as `along` leaves it, 8 N rows of b. o[4 j + e] is row `group + 8 (e / 2)`, column `8 j + 2 member + e % 2`.
template <int N> __device__ __forceinline__ void across(float (&o)[WIDTH / 2], const float (&p)[4 * N], const float* b) {
    b += 2 * member() * PITCH + group();
#pragma unroll
    for (int k = 0; k < N; ++k, b += 8 * PITCH) {
        // A thread's two neighbouring rows of b take the places of rows four apart.
        Operand<4> x;
        x.set(0, p[4 * k]), x.set(1, p[4 * k + 2]), x.set(2, p[4 * k + 1]), x.set(3, p[4 * k + 3]);
#pragma unroll
        for (int j = 0; j < WIDTH / 8; ++j) {
            Operand<2> y;
            y.set(0, b[8 * j]), y.set(1, b[PITCH + 8 * j]);
            multiply(o + 4 * j, x, y);
        }
    }
}

// Writes the warp's 16 rows of accumulators, times a factor for the upper and one for the lower eight.
__device__ __forceinline__ void write_rows(const float (&o)[WIDTH / 2], float upper, float lower, float* to, int pitch, int row, int t, int width) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        int at = row + group() + 8 * half;
        if (at >= t) continue;
        float factor = half ? lower : upper;
        float* line = to + (long long)at * pitch + 2 * member();
#pragma unroll
        for (int j = 0; j < WIDTH / 8; ++j) {
            int left = width - 8 * j - 2 * member();
            float first = o[4 * j + 2 * half] * factor, second = o[4 * j + 2 * half + 1] * factor;
            if (width % 2 == 0 && left >= 2) *(float2*)(line + 8 * j) = make_float2(first, second);
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

// The exponential as the product with the values takes it, so that weights sum to one.
__device__ __forceinline__ float weight(float x) { return PRECISION == 0 ? x : __uint_as_float(__float_as_uint(x) & 0xffffe000u); }

__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// Streams tiles `first` .. `last` of N rows of two arrays past the block: `use(tile, one, other)`.
template <int N, class Fill, class Use>
__device__ __forceinline__ void stream(int first, int last, float* stages, const Fill& fill, const Use& use) {
    if (first < last) fill(first, stages, stages + N * PITCH);
    commit();
    for (int tile = first; tile < last; ++tile) {
        float* next = stages + (tile + 1 - first) % 2 * 2 * N * PITCH;
        float* now = stages + (tile - first) % 2 * 2 * N * PITCH;
        if (tile + 1 < last) fill(tile + 1, next, next + N * PITCH);
        commit();
        wait<1>();
        __syncthreads();
        use(tile, now, now + N * PITCH);
        __syncthreads();
    }
}

// y [n, t, d] and sums [n, heads, 2, t]: every query's largest score, and one over the sum of exponentials; 0 where it sees nobody.
// One block for every ROWS queries of every head, the last queries (which see most) first.
KERNEL attention_forward(const float* __restrict__ qkv, const u32* __restrict__ present, int n, int t, int heads, int width, int causal, float* __restrict__ y, float* __restrict__ sums) {
    extern __shared__ __align__(16) float tiles[];
    int blocks = (t + ROWS - 1) / ROWS, at = blockIdx.x % (n * heads), first = (blocks - 1 - blockIdx.x / (n * heads)) * ROWS;
    Head head = head_of(qkv, present, t, heads, width, causal, at);
    float* mine = tiles + threadIdx.x / 32 * 16 * PITCH;
    int row = first + threadIdx.x / 32 * 16, query[2] = {row + group(), row + group() + 8};
    fill_rows<ROWS>(tiles, head.q, head.pitch, first, t, width, nullptr);
    float out[WIDTH / 2], top[2] = {HIDDEN, HIDDEN}, sum[2] = {0.0f, 0.0f};
    clear(out);
    // Scores are kept as products; powers of two of `unit` times them are the exponentials.
    float unit = head.scale * LOG2E;
    auto fill = [&](int tile, float* k, float* v) {
        fill_rows<SEEN>(k, head.k, head.pitch, tile * SEEN, t, width, head.present);
        fill_rows<SEEN>(v, head.v, head.pitch, tile * SEEN, t, width, head.present);
    };
    int end = causal ? min(first + ROWS, t) : t;
    stream<SEEN>(0, (end + SEEN - 1) / SEEN, tiles + ROWS * PITCH, fill, [&](int tile, const float* k, const float* v) {
        if (causal && tile * SEEN > row + 15) return;
        float s[SEEN / 2];
        clear(s);
        along<SEEN / 8>(s, mine, k);
        if (head.present || tile * SEEN + SEEN > (causal ? row + 1 : t)) {
#pragma unroll
            for (int e = 0; e < SEEN / 2; ++e)
                if (!head.visible(query[e / 2 % 2], tile * SEEN + e / 4 * 8 + 2 * member() + e % 2)) s[e] = HIDDEN;
        }
        float base[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            float high = top[r];
#pragma unroll
            for (int e = 2 * r; e < SEEN / 2; e += 4) high = fmaxf(high, fmaxf(s[e], s[e + 1]));
            high = quad_max(high);
            base[r] = high == HIDDEN ? 0.0f : high * unit;
            float shrink = power(top[r] * unit - base[r]);
            sum[r] *= shrink, top[r] = high;
#pragma unroll
            for (int e = 2 * r; e < WIDTH / 2; e += 4) out[e] *= shrink, out[e + 1] *= shrink;
        }
#pragma unroll
        for (int e = 0; e < SEEN / 2; ++e) {
            s[e] = weight(power(fmaf(s[e], unit, -base[e / 2 % 2])));
            sum[e / 2 % 2] += s[e];
        }
        across<SEEN / 8>(out, s, v);
    });
    float scale[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        sum[r] = quad_sum(sum[r]);
        bool blind = sum[r] == 0.0f;
        scale[r] = blind ? 0.0f : 1.0f / sum[r];
        if (member() == 0 && query[r] < t) {
            sums[(long long)at * 2 * t + query[r]] = blind ? 0.0f : top[r] * head.scale;
            sums[((long long)at * 2 + 1) * t + query[r]] = scale[r];
        }
    }
    int d = heads * width;
    write_rows(out, scale[0], scale[1], y + (long long)(at / heads) * t * d + at % heads * width, d, row, t, width);
}

// terms [n, heads, t, 2]: what the exponent of every query's weights is shifted by (in powers of two; infinite where it sees nobody), and
// the inner product of its output and its gradient, which is the mean that softmax's gradient subtracts. One warp a query.
KERNEL attention_terms(const float* __restrict__ dy, const float* __restrict__ y, const float* __restrict__ sums, int n, int t, int heads, int width, float* __restrict__ terms) {
    long long at = (blockIdx.x * (long long)blockDim.x + threadIdx.x) / 32;
    if (at >= (long long)n * t * heads) return;
    float mean = 0.0f;
    for (int c = threadIdx.x % 32; c < width; c += 32) mean = fmaf(dy[at * width + c], y[at * width + c], mean);
#pragma unroll
    for (int step = 16; step > 0; step /= 2) mean += __shfl_xor_sync(0xffffffffu, mean, step);
    if (threadIdx.x % 32 != 0) return;
    long long row = at / heads, head = row / t * heads + at % heads, query = row % t;
    const float* kept = sums + head * 2 * t + query;
    ((float2*)terms)[head * t + query] = make_float2(kept[0] * LOG2E - log2f(kept[t]), mean);
}

// The parts of dqkv [n, t, 3 d] that belong to keys and values. One block for every ROWS keys of every head.
KERNEL attention_backward_keys(const float* __restrict__ dy, const float* __restrict__ qkv, const float* __restrict__ terms, const u32* __restrict__ present, int n, int t, int heads, int width, int causal, float* __restrict__ dqkv) {
    extern __shared__ __align__(16) float tiles[];
    int at = blockIdx.x % (n * heads), first = blockIdx.x / (n * heads) * ROWS, d = heads * width;
    Head head = head_of(qkv, present, t, heads, width, causal, at);
    const float* outer = dy + (long long)(at / heads) * t * d + at % heads * width;
    const float2* term = (const float2*)terms + (long long)at * t;
    float unit = head.scale * LOG2E;
    float *keys = tiles + threadIdx.x / 32 * 16 * PITCH, *values = keys + ROWS * PITCH;
    int row = first + threadIdx.x / 32 * 16;
    fill_rows<ROWS>(tiles, head.k, head.pitch, first, t, width, head.present);
    fill_rows<ROWS>(tiles + ROWS * PITCH, head.v, head.pitch, first, t, width, head.present);
    float dk[WIDTH / 2], dv[WIDTH / 2];
    clear(dk), clear(dv);
    auto fill = [&](int tile, float* q, float* g) {
        fill_rows<SHARED>(q, head.q, head.pitch, tile * SHARED, t, width, nullptr);
        fill_rows<SHARED>(g, outer, d, tile * SHARED, t, width, nullptr);
    };
    int begin = causal ? first / SHARED : 0;
    stream<SHARED>(begin, (t + SHARED - 1) / SHARED, tiles + 2 * ROWS * PITCH, fill, [&](int tile, const float* q, const float* g) {
        if (causal && tile * SHARED + SHARED <= row) return;
        float p[SHARED / 2], ds[SHARED / 2];
        clear(p), clear(ds);
        along<SHARED / 8>(p, keys, q);
        along<SHARED / 8>(ds, values, g);
        bool some = head.present || row + 16 > t || (causal && row + 15 > tile * SHARED);
#pragma unroll
        for (int e = 0; e < SHARED / 2; ++e) {
            int query = tile * SHARED + e / 4 * 8 + 2 * member() + e % 2, key = row + group() + 8 * (e / 2 % 2);
            float2 its = query < t ? term[query] : make_float2(-HIDDEN, 0.0f);
            p[e] = power(fmaf(p[e], unit, -its.x));
            if (some && !head.visible(query, key)) p[e] = 0.0f;
            ds[e] = p[e] * (ds[e] - its.y);
        }
        across<SHARED / 8>(dv, p, g);
        across<SHARED / 8>(dk, ds, q);
    });
    float* to = dqkv + (long long)(at / heads) * t * 3 * d + at % heads * width;
    write_rows(dk, head.scale, head.scale, to + d, 3 * d, row, t, width);
    write_rows(dv, 1.0f, 1.0f, to + 2 * d, 3 * d, row, t, width);
}

// The part of dqkv [n, t, 3 d] that belongs to queries. One block for every ROWS queries of every head, the last first.
KERNEL attention_backward_queries(const float* __restrict__ dy, const float* __restrict__ qkv, const float* __restrict__ terms, const u32* __restrict__ present, int n, int t, int heads, int width, int causal, float* __restrict__ dqkv) {
    extern __shared__ __align__(16) float tiles[];
    int blocks = (t + ROWS - 1) / ROWS, at = blockIdx.x % (n * heads), first = (blocks - 1 - blockIdx.x / (n * heads)) * ROWS, d = heads * width;
    Head head = head_of(qkv, present, t, heads, width, causal, at);
    const float* outer = dy + (long long)(at / heads) * t * d + at % heads * width;
    float *queries = tiles + threadIdx.x / 32 * 16 * PITCH, *grads = queries + ROWS * PITCH;
    int row = first + threadIdx.x / 32 * 16, query[2] = {row + group(), row + group() + 8};
    fill_rows<ROWS>(tiles, head.q, head.pitch, first, t, width, nullptr);
    fill_rows<ROWS>(tiles + ROWS * PITCH, outer, d, first, t, width, nullptr);
    float shift[2], mean[2], unit = head.scale * LOG2E;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        float2 its = query[r] < t ? ((const float2*)terms)[(long long)at * t + query[r]] : make_float2(-HIDDEN, 0.0f);
        shift[r] = its.x, mean[r] = its.y;
    }
    float dq[WIDTH / 2];
    clear(dq);
    auto fill = [&](int tile, float* k, float* v) {
        fill_rows<SHARED>(k, head.k, head.pitch, tile * SHARED, t, width, head.present);
        fill_rows<SHARED>(v, head.v, head.pitch, tile * SHARED, t, width, head.present);
    };
    int end = causal ? min(first + ROWS, t) : t;
    stream<SHARED>(0, (end + SHARED - 1) / SHARED, tiles + 2 * ROWS * PITCH, fill, [&](int tile, const float* k, const float* v) {
        if (causal && tile * SHARED > row + 15) return;
        float p[SHARED / 2], ds[SHARED / 2];
        clear(p), clear(ds);
        along<SHARED / 8>(p, queries, k);
        along<SHARED / 8>(ds, grads, v);
        bool some = head.present || tile * SHARED + SHARED > (causal ? row + 1 : t);
#pragma unroll
        for (int e = 0; e < SHARED / 2; ++e) {
            int r = e / 2 % 2;
            ds[e] = power(fmaf(p[e], unit, -shift[r])) * (ds[e] - mean[r]);
            if (some && !head.visible(query[r], tile * SHARED + e / 4 * 8 + 2 * member() + e % 2)) ds[e] = 0.0f;
        }
        across<SHARED / 8>(dq, ds, k);
    });
    write_rows(dq, head.scale, head.scale, dqkv + (long long)(at / heads) * t * 3 * d + at % heads * width, 3 * d, row, t, width);
}

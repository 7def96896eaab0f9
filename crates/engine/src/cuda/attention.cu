// Self-attention of several heads without scores in memory, forward and backward (Dao 2023, arXiv 2307.08691); the twin of
// op/attention.rs, whose masks and kept sums it has.
//
// A block of eight warps holds ROWS rows of one head, sixteen a warp, and streams the rows of the other side past them,
// some stages ahead. In the backward there are blocks that hold keys and blocks that hold queries: scores are made twice and
// nothing is added across blocks, so gradients do not depend on the order of blocks.
//
// Rows are those of `heads.cuh`, products those of `fragments.cuh` or, of bf16 on Hopper, of `teams.cuh`.

#undef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
// Blocks that a multiprocessor has registers for.
#define BLOCKS (WIDTH > 64 ? 1 : WIDTH == 32 && WARPGROUPS ? 3 : 2)
// Rows that stream past at a time, forward and backward.
#define SEEN 64
#define SHARED (WARPGROUPS ? 64 : 32)
// Queries, of those, that keys are multiplied with at a time: what registers have room for.
#define BESIDE (WIDTH > 64 ? SHARED : 32)
// Threads that share a query's inner product.
#define LANES (sizeof(number) == 2 ? 8 : 32)
// Bytes of a stage of two tiles of N rows.
#define PAIR(N) (2 * TILE(N) * (int)sizeof(number))

// A block's head and its ROWS rows, counted from the first or from the last: those first that see most.
struct Share {
    int head, from_start, from_end;
};
__device__ __forceinline__ Share share_of(int block, int heads, int t) {
    int part = block / heads;
    return {block % heads, part * ROWS, (t + ROWS - 1) / ROWS * ROWS - ROWS - part * ROWS};
}

// y [n, t, d] and sums [n, heads, 2, t]: every query's largest score, and one over the sum of exponentials; 0 where it sees nobody.
// One block for every ROWS queries of every head, the last queries (which see most) first.
KERNEL attention_forward(const number* __restrict__ qkv, const u32* __restrict__ present, int n, int t, int heads, number* __restrict__ y, float* __restrict__ sums) {
    extern __shared__ __align__(1024) number tiles[];
    Share share = share_of(blockIdx.x, n * heads, t);
    int at = share.head, first = share.from_end;
    Head head = head_of(qkv, present, t, heads, at);
    int row = first + turn(16), team = first + turn(TEAM), query[2] = {row + group(), row + group() + 8};
    number* mine = tiles + STRIP(team - first);
    fill_rows<ROWS>(tiles, head.q, head.pitch, first, t, nullptr);
    float out[WIDTH / 2], top[2] = {HIDDEN, HIDDEN}, sum[2] = {0.0f, 0.0f};
    clear(out);
    // Scores are kept as products; powers of two of `unit` times them are the exponentials.
    float unit = SCALE * LOG2E;
    auto fill = [&](int tile, number* stage) {
        fill_rows<SEEN>(stage, head.k, head.pitch, tile * SEEN, t, head.present);
        fill_rows<SEEN>(stage + TILE(SEEN), head.v, head.pitch, tile * SEEN, t, head.present);
    };
    int end = CAUSAL ? min(first + ROWS, t) : t;
    stream<PAIR(SEEN)>(0, (end + SEEN - 1) / SEEN, tiles + TILE(ROWS), fill, [&](int tile, const number* k) {
        if (CAUSAL && tile * SEEN >= team + TEAM) return;
        float s[SEEN / 2];
        start_products();
        along<ROWS, SEEN, SEEN / 8>(s, mine, k);
        end_products();
        need<0>(s);
        if (present || tile * SEEN + SEEN > (CAUSAL ? row + 1 : t)) {
            Sight<SEEN> sight(head, tile * SEEN, query);
#pragma unroll
            for (int e = 0; e < SEEN / 2; ++e)
                if (!sight.sees(e)) s[e] = HIDDEN;
        }
        float base[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            float high = top[r];
#pragma unroll
            for (int e = 2 * r; e < SEEN / 2; e += 4) high = fmaxf(high, fmaxf(s[e], s[e + 1]));
            high = quad_reduce(high, [](float a, float b) { return fmaxf(a, b); });
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
        Factor<SEEN / 8, number> weights(s);
        start_products();
        across<SEEN, SEEN / 8>(out, weights, k + TILE(SEEN));
        end_products();
        need<0>(out);
    });
    float scale[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        sum[r] = quad_reduce(sum[r], [](float a, float b) { return a + b; });
        bool blind = sum[r] == 0.0f;
        scale[r] = blind ? 0.0f : 1.0f / sum[r];
        if (member() == 0 && query[r] < t) {
            sums[(i64)at * 2 * t + query[r]] = blind ? 0.0f : top[r] * SCALE;
            sums[((i64)at * 2 + 1) * t + query[r]] = scale[r];
        }
    }
    int d = heads * HEAD;
    write_rows(out, scale[0], scale[1], y + (i64)(at / heads) * t * d + at % heads * HEAD, d, row, t);
}

__device__ __forceinline__ float inner(u32 a, u32 b) {
    float2 x = unpack(a), y = unpack(b);
    return fmaf(x.x, y.x, x.y * y.y);
}
// A lane's part of the inner product of two rows.
__device__ __forceinline__ float inner(const float* a, const float* b, int lane) {
    float sum = 0.0f;
    for (int c = lane; c < HEAD; c += LANES) sum = fmaf(a[c], b[c], sum);
    return sum;
}
__device__ __forceinline__ float inner(const bf16* a, const bf16* b, int lane) {
    float sum = 0.0f;
    if (HEAD % 8 == 0) {
        for (int c = 8 * lane; c < HEAD; c += 8 * LANES) {
            uint4 x = *(const uint4*)(a + c), y = *(const uint4*)(b + c);
            sum += inner(x.x, y.x) + inner(x.y, y.y) + (inner(x.z, y.z) + inner(x.w, y.w));
        }
    } else {
        for (int c = lane; c < HEAD; c += LANES) sum = fmaf(a[c], b[c], sum);
    }
    return sum;
}

// terms [n, heads, 2, t]: what the exponent of every query's weights is shifted by (in powers of two; infinite where it sees nobody), and
// the inner product of its output and its gradient, which is the mean that softmax's gradient subtracts. LANES threads a query.
KERNEL attention_terms(const number* __restrict__ dy, const number* __restrict__ y, const float* __restrict__ sums, int n, int t, int heads, float* __restrict__ terms) {
    u32 at = THREAD / LANES, lane = threadIdx.x % LANES, count = (u32)n * t * heads;
    // Threads beyond the last query help to add, and write nothing.
    bool some = at < count;
    u32 row = at / heads, head = row / t * heads + at % heads;
    i64 place = (i64)head * 2 * t + row % t;
    float top = some ? sums[place] : 0.0f, scale = some ? sums[place + t] : 0.0f;
    float mean = some ? inner(dy + (i64)at * HEAD, y + (i64)at * HEAD, lane) : 0.0f;
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2) mean += __shfl_xor_sync(0xffffffffu, mean, step);
    if (!some || lane != 0) return;
    terms[place] = top * LOG2E - log2f(scale), terms[place + t] = mean;
}

// The parts of dqkv that belong to ROWS keys and values of a head.
__device__ __forceinline__ void backward_keys(Share share, number* tiles, const number* __restrict__ dy, const number* __restrict__ qkv, const float* __restrict__ terms, const u32* __restrict__ present, int t, int heads, number* __restrict__ dqkv) {
    int at = share.head, first = share.from_start, d = heads * HEAD;
    Head head = head_of(qkv, present, t, heads, at);
    const number* outer = dy + (i64)(at / heads) * t * d + at % heads * HEAD;
    const float* term = terms + (i64)at * 2 * t;
    float unit = SCALE * LOG2E;
    int row = first + turn(16), team = first + turn(TEAM), earliest[2];
    number *keys = tiles + STRIP(team - first), *values = keys + TILE(ROWS);
    // The first query that sees a key.
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        int key = row + group() + 8 * r;
        earliest[r] = !head.has(key) ? 0x7fffffff : CAUSAL ? key : 0;
    }
    fill_rows<ROWS>(tiles, head.k, head.pitch, first, t, head.present);
    fill_rows<ROWS>(tiles + TILE(ROWS), head.v, head.pitch, first, t, head.present);
    float dk[WIDTH / 2], dv[WIDTH / 2];
    clear(dk), clear(dv);
    auto fill = [&](int tile, number* stage) {
        fill_rows<SHARED>(stage, head.q, head.pitch, tile * SHARED, t, nullptr);
        fill_rows<SHARED>(stage + TILE(SHARED), outer, d, tile * SHARED, t, nullptr);
        // Rows of zeros beyond t add nothing, whatever their terms.
        int query = tile * SHARED + threadIdx.x % SHARED;
        if (threadIdx.x < 2 * SHARED) copy<4>((float*)(stage + 2 * TILE(SHARED)) + threadIdx.x, term + threadIdx.x / SHARED * t + query, query < t ? 4 : 0);
    };
    int begin = CAUSAL ? first / SHARED : 0;
    stream<PAIR(SHARED) + 1024>(begin, (t + SHARED - 1) / SHARED, tiles + 2 * TILE(ROWS), fill, [&](int tile, const number* stage) {
#pragma unroll 1
        for (int part = 0; part < SHARED; part += BESIDE) {
            const int from = tile * SHARED + part;
            if (CAUSAL && from + BESIDE <= team) continue;
            const number *q = stage + STRIP(part), *g = q + TILE(SHARED);
            // For each pair of queries that are this thread's.
            const float2* shift = (const float2*)(stage + 2 * TILE(SHARED)) + part / 2 + member();
            const float2* mean = shift + SHARED / 2;
            float p[BESIDE / 2], ds[BESIDE / 2];
            start_products();
            along<ROWS, SHARED, BESIDE / 8>(p, keys, q);
            end_products();
            along<ROWS, SHARED, BESIDE / 8>(ds, values, g);
            end_products();
            need<1>(p);
#pragma unroll
            for (int e = 0; e < BESIDE / 2; e += 4) {
                float2 its = shift[e];
                p[e] = power(fmaf(p[e], unit, -its.x)), p[e + 1] = power(fmaf(p[e + 1], unit, -its.y));
                p[e + 2] = power(fmaf(p[e + 2], unit, -its.x)), p[e + 3] = power(fmaf(p[e + 3], unit, -its.y));
            }
            if (present || row + 16 > t || (CAUSAL && row + 15 > from)) {
#pragma unroll
                for (int e = 0; e < BESIDE / 2; ++e)
                    if (from + 2 * member() + e / 4 * 8 + e % 2 < earliest[e / 2 % 2]) p[e] = 0.0f;
            }
            need<0>(ds);
#pragma unroll
            for (int e = 0; e < BESIDE / 2; e += 4) {
                float2 its = mean[e];
                ds[e] = p[e] * (ds[e] - its.x), ds[e + 1] = p[e + 1] * (ds[e + 1] - its.y);
                ds[e + 2] = p[e + 2] * (ds[e + 2] - its.x), ds[e + 3] = p[e + 3] * (ds[e + 3] - its.y);
            }
            Factor<BESIDE / 8, number> weights(p), slopes(ds);
            start_products();
            across<SHARED, BESIDE / 8>(dv, weights, g);
            across<SHARED, BESIDE / 8>(dk, slopes, q);
            end_products();
            need<0>(dv, dk);
        }
    });
    number* to = dqkv + (i64)(at / heads) * t * 3 * d + at % heads * HEAD;
    write_rows(dk, SCALE, SCALE, to + d, 3 * d, row, t);
    write_rows(dv, 1.0f, 1.0f, to + 2 * d, 3 * d, row, t);
}

// The part of dqkv that belongs to ROWS queries of a head.
__device__ __forceinline__ void backward_queries(Share share, number* tiles, const number* __restrict__ dy, const number* __restrict__ qkv, const float* __restrict__ terms, const u32* __restrict__ present, int t, int heads, number* __restrict__ dqkv) {
    int at = share.head, first = share.from_end, d = heads * HEAD;
    Head head = head_of(qkv, present, t, heads, at);
    const number* outer = dy + (i64)(at / heads) * t * d + at % heads * HEAD;
    int row = first + turn(16), team = first + turn(TEAM), query[2] = {row + group(), row + group() + 8};
    number *queries = tiles + STRIP(team - first), *grads = queries + TILE(ROWS);
    fill_rows<ROWS>(tiles, head.q, head.pitch, first, t, nullptr);
    fill_rows<ROWS>(tiles + TILE(ROWS), outer, d, first, t, nullptr);
    float shift[2], mean[2], unit = SCALE * LOG2E;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const float* term = terms + (i64)at * 2 * t + query[r];
        shift[r] = query[r] < t ? term[0] : INFINITE, mean[r] = query[r] < t ? term[t] : 0.0f;
    }
    float dq[WIDTH / 2];
    clear(dq);
    auto fill = [&](int tile, number* stage) {
        fill_rows<SHARED>(stage, head.k, head.pitch, tile * SHARED, t, head.present);
        fill_rows<SHARED>(stage + TILE(SHARED), head.v, head.pitch, tile * SHARED, t, head.present);
    };
    int end = CAUSAL ? min(first + ROWS, t) : t;
    stream<PAIR(SHARED)>(0, (end + SHARED - 1) / SHARED, tiles + 2 * TILE(ROWS), fill, [&](int tile, const number* k) {
        if (CAUSAL && tile * SHARED >= team + TEAM) return;
        float p[SHARED / 2], ds[SHARED / 2];
        start_products();
        along<ROWS, SHARED, SHARED / 8>(p, queries, k);
        end_products();
        along<ROWS, SHARED, SHARED / 8>(ds, grads, k + TILE(SHARED));
        end_products();
        need<1>(p);
#pragma unroll
        for (int e = 0; e < SHARED / 2; ++e) p[e] = power(fmaf(p[e], unit, -shift[e / 2 % 2]));
        need<0>(ds);
#pragma unroll
        for (int e = 0; e < SHARED / 2; ++e) ds[e] = p[e] * (ds[e] - mean[e / 2 % 2]);
        if (present || tile * SHARED + SHARED > (CAUSAL ? row + 1 : t)) {
            Sight<SHARED> sight(head, tile * SHARED, query);
#pragma unroll
            for (int e = 0; e < SHARED / 2; ++e)
                if (!sight.sees(e)) ds[e] = 0.0f;
        }
        Factor<SHARED / 8, number> slopes(ds);
        start_products();
        across<SHARED, SHARED / 8>(dq, slopes, k);
        end_products();
        need<0>(dq);
    });
    write_rows(dq, SCALE, SCALE, dqkv + (i64)(at / heads) * t * 3 * d + at % heads * HEAD, 3 * d, row, t);
}

#undef BLOCKS
#define BLOCKS (WIDTH > 64 ? 1 : 2)
// dqkv [n, t, 3 d]. Two blocks for every ROWS positions of every head: one of keys and one of queries.
KERNEL attention_backward(const number* __restrict__ dy, const number* __restrict__ qkv, const float* __restrict__ terms, const u32* __restrict__ present, int n, int t, int heads, number* __restrict__ dqkv) {
    extern __shared__ __align__(1024) number tiles[];
    Share share = share_of(blockIdx.x / 2, n * heads, t);
    if (blockIdx.x % 2 == 0) backward_keys(share, tiles, dy, qkv, terms, present, t, heads, dqkv);
    else backward_queries(share, tiles, dy, qkv, terms, present, t, heads, dqkv);
}

// Norms and weighted sums of per-example gradients. Squares are summed in f64.

// Squared norms of rows `[n, p]` in `gridDim.y` pieces each: `parts[n, pieces]`.
KERNEL square_rows(const number* g, double* parts, i64 p) {
    i64 piece = (p + gridDim.y - 1) / gridDim.y, from = blockIdx.y * piece, to = min(p, from + piece);
    const number* row = g + blockIdx.x * p;
    double sum = 0.0;
    for (i64 j = from + threadIdx.x; j < to; j += blockDim.x) sum += (double)row[j] * row[j];
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x * gridDim.y + blockIdx.y] = sum;
}
// Inner products of rows `[n, p]` with rows `stride` apart (0: one vector for all), in pieces.
KERNEL dot_rows(const number* g, const float* v, double* parts, i64 p, i64 stride) {
    i64 piece = (p + gridDim.y - 1) / gridDim.y, from = blockIdx.y * piece, to = min(p, from + piece);
    const number* row = g + blockIdx.x * p;
    const float* other = v + blockIdx.x * stride;
    double sum = 0.0;
    for (i64 j = from + threadIdx.x; j < to; j += blockDim.x) sum += (double)row[j] * other[j];
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x * gridDim.y + blockIdx.y] = sum;
}
// Sums of `parts` `[n, pieces]`: a warp makes one.
KERNEL sum_parts(const double* parts, double* out, i64 n, int pieces) {
    i64 i = THREAD / 32;
    if (i >= n) return;
    double sum = 0.0;
    for (int k = threadIdx.x % 32; k < pieces; k += 32) sum += parts[i * pieces + k];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) out[i] = sum;
}

// Per example and piece of rows of the Gram matrices `left` and `right` `[n, t, t]`: what they tell. They are symmetric: what is below the
// diagonal counts twice. A warp takes a row.
KERNEL gram_parts(const float* left, const float* right, double2* parts, int t) {
    int lane = threadIdx.x & 31, warps = blockDim.x >> 5, step = gridDim.y * warps;
    Gram gram = {};
    auto add = [&](double x, double y, double times) {
        gram.sum += times * (x * y), gram.squares_a += times * (x * x), gram.squares_b += times * (y * y);
    };
    for (int row = blockIdx.y * warps + (threadIdx.x >> 5); row < t; row += step) {
        i64 first = ((i64)blockIdx.x * t + row) * t;
        const float *x = left + first, *y = right + first;
        int whole = t % 4 == 0 ? row / 4 * 4 : 0;
        for (int k = 4 * lane; k < whole; k += 128) {
            float4 v = load4(x + k), w = load4(y + k);
            add(v.x, w.x, 2.0), add(v.y, w.y, 2.0), add(v.z, w.z, 2.0), add(v.w, w.w, 2.0);
        }
        for (int k = whole + lane; k < row; k += 32) add(x[k], y[k], 2.0);
        if (lane == 0) add(x[row], y[row], 1.0), add_diagonal(gram, x[row], y[row]);
    }
    gram = gathered(gram, [](double x) { return block_sum(x); });
    if (threadIdx.x == 0) put_part(gram, parts + 3 * ((i64)blockIdx.x * gridDim.y + blockIdx.y));
}
// Squared upper bounds of norms, from `pieces` parts each.
KERNEL gram_norms(const double2* parts, double* out, i64 n, int pieces, const Margins* margins) {
    i64 i = THREAD;
    if (i >= n) return;
    Gram gram = {};
    for (int k = 0; k < pieces; ++k) add_part(gram, parts + 3 * (i * pieces + k));
    double norm = gram_norm(*margins, gram);
    out[i] = norm * norm;
}
// The cross terms of a table that is used twice: `2 sum_st r[s, ids_t] cross[s, t]`, and the sizes of `e`. Rows of `r` are `v` numbers apart,
// those of `e` `e_row`.
KERNEL tied_parts(const float* cross, const number* r, const number* e, const u32* ids, double* parts, int t, int v, int d, int e_row) {
    i64 i = blockIdx.x;
    double sum = 0.0, size = 0.0;
    for (i64 k = threadIdx.x; k < (i64)t * t; k += blockDim.x)
        sum += 2.0 * cross[i * t * t + k] * r[(i * t + k / t) * v + ids[i * t + k % t]];
    for (int s = threadIdx.x; s < t; s += blockDim.x) {
        double square = 0.0;
        for (int j = 0; j < d; ++j) square += (double)e[(i * t + s) * e_row + j] * e[(i * t + s) * e_row + j];
        size += sqrt(square);
    }
    sum = block_sum(sum), size = block_sum(size);
    if (threadIdx.x == 0) parts[2 * i] = sum, parts[2 * i + 1] = size;
}
// As `gram_norms`, from the parts of the product, of the cross terms and the scattered squares, by sizes alone. All three are of the
// numbers that the sum is made of, before it rounds any: `middle` is 1.
KERNEL tied_norms(const double2* grams, const double* crosses, const double* scattered, double* out, i64 n, int pieces, const Margins* margins) {
    i64 i = THREAD;
    if (i >= n) return;
    Gram gram = {};
    for (int k = 0; k < pieces; ++k) add_part(gram, grams + 3 * (i * pieces + k));
    const Margins& m = *margins;
    double all = gram.size + crosses[2 * i + 1], square = gram.sum + crosses[2 * i] + scattered[i] + m.slack * all * all;
    double norm = m.middle * sqrt(at_least_nothing(square)) + (m.share_a + m.share_b + m.unit) * all;
    out[i] = norm * norm;
}

// `out[j] += sum_i weights[i] g[i, j]`, where numbers of a row are `[taps, p / taps]` and of `out` `[p / taps, taps]`. Rows of weight
// exactly 0 are skipped, whatever they hold. Blocks of 32 columns by 32 groups of examples.
KERNEL sum_rows(const number* g, const float* weights, float* out, int n, i64 p, int taps) {
    __shared__ float parts[32][33];
    int lane = threadIdx.x & 31, group = threadIdx.x >> 5;
    i64 column = (i64)blockIdx.x * 32 + lane;
    float sum = 0.0f;
    if (column < p) {
#pragma unroll 8
        for (int i = group; i < n; i += 32) {
            float w = weights[i], x = g[i * p + column];
            sum += w != 0.0f ? w * x : 0.0f;
        }
    }
    parts[group][lane] = sum;
    __syncthreads();
    if (group != 0 || column >= p) return;
    for (int k = 1; k < 32; ++k) sum += parts[k][lane];
    out[column % (p / taps) * taps + column / (p / taps)] += sum;
}
// The same for gradients in bf16 of an even length, a word of two columns a lane: blocks of 64 columns.
KERNEL sum_rows_in_pairs(const u32* g, const float* weights, float* out, int n, i64 p, int taps) {
    __shared__ float2 parts[32][33];
    int lane = threadIdx.x & 31, group = threadIdx.x >> 5;
    i64 pair = (i64)blockIdx.x * 32 + lane, pairs = p / 2;
    float2 sum = make_float2(0.0f, 0.0f);
    if (pair < pairs) {
#pragma unroll 8
        for (int i = group; i < n; i += 32) {
            float w = weights[i];
            float2 x = unpack(g[i * pairs + pair]);
            sum.x += w != 0.0f ? w * x.x : 0.0f, sum.y += w != 0.0f ? w * x.y : 0.0f;
        }
    }
    parts[group][lane] = sum;
    __syncthreads();
    if (group > 1) return;
    // Of the pair's two columns one a warp.
    i64 column = 2 * pair + group;
    if (pair >= pairs) return;
    float all = 0.0f;
    for (int k = 0; k < 32; ++k) all += group == 0 ? parts[k][lane].x : parts[k][lane].y;
    out[column % (p / taps) * taps + column / (p / taps)] += all;
}
// The same for few rows: a column a thread.
KERNEL sum_few_rows(const number* g, const float* weights, float* out, int n, i64 p, int taps) {
    i64 column = THREAD;
    if (column >= p) return;
    float sum = 0.0f;
#pragma unroll 8
    for (int i = 0; i < n; ++i) {
        float w = weights[i], x = g[i * p + column];
        sum += w != 0.0f ? w * x : 0.0f;
    }
    out[column % (p / taps) * taps + column / (p / taps)] += sum;
}
// The same for many gradients, a block for some columns of one: `sum_pieces` those of few rows, `sum_many` those of many, with the
// additions of `sum_few_rows` and `sum_rows`, onto what is there or instead of it. `half` tells of gradients in bf16.
struct Piece {
    u64 g;
    const float* weights;
    float* out;
    u32 n;
    unsigned short columns, half;
    i64 p;
};
template <class T> __device__ __forceinline__ float sum_of_column(const Piece& piece, int column, int first, int step) {
    const T* g = (const T*)piece.g + column;
    float sum = 0.0f;
#pragma unroll 8
    for (int i = first; i < piece.n; i += step) {
        float w = piece.weights[i], x = g[i * piece.p];
        sum += w != 0.0f ? w * x : 0.0f;
    }
    return sum;
}
__device__ __forceinline__ float sum_of_column(const Piece& piece, int column, int first, int step) {
    return piece.half ? sum_of_column<bf16>(piece, column, first, step) : sum_of_column<float>(piece, column, first, step);
}
KERNEL sum_pieces(const Piece* __restrict__ pieces, int onto) {
    Piece piece = pieces[blockIdx.x];
    if (threadIdx.x >= piece.columns) return;
    float sum = sum_of_column(piece, threadIdx.x, 0, 1);
    piece.out[threadIdx.x] = onto ? piece.out[threadIdx.x] + sum : sum;
}
// Blocks of 32 columns by 32 groups of examples.
KERNEL sum_many(const Piece* __restrict__ pieces, int onto) {
    __shared__ float parts[32][33];
    Piece piece = pieces[blockIdx.x];
    int column = threadIdx.x & 31, group = threadIdx.x >> 5;
    float sum = column < piece.columns ? sum_of_column(piece, column, group, 32) : 0.0f;
    parts[group][column] = sum;
    __syncthreads();
    if (group != 0 || column >= piece.columns) return;
    for (int k = 1; k < 32; ++k) sum += parts[k][column];
    piece.out[column] = onto ? piece.out[column] + sum : sum;
}
// Each of `n` rows `[taps, len]` as `[len, taps]`.
KERNEL taps_last(const float* x, float* y, i64 n, i64 len, int taps) {
    i64 at = THREAD, row = at / (len * taps), k = at % (len * taps);
    if (row < n) y[at] = x[row * len * taps + k % taps * len + k / taps];
}

// x to the nearest number of TF32; what is not a number or too large for one stays what it is.
__device__ __forceinline__ float nearest(float x) {
    float y = __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u);
    return fabsf(x) < INFINITE ? y : x;
}

// Numbers of 16 bytes.
#define EACH (16 / (int)sizeof(number))

// Weighs EACH numbers; see `weigh_rows`.
__device__ __forceinline__ void weigh(const number* __restrict__ x, number* __restrict__ y, float w, bool round) {
#pragma unroll
    for (int k = 0; k < EACH; k += 4) {
        float4 v = load4(x + k);
        if (w == 0.0f) v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        v.x *= w, v.y *= w, v.z *= w, v.w *= w;
        if (round) v = make_float4(nearest(v.x), nearest(v.y), nearest(v.z), nearest(v.w));
        store4(y + k, v);
    }
}

// `y[i] = weights[i] x[i]` for rows of `len`, rounded to TF32 if `round`, and to what is stored; 0 where the weight is 0. There, numbers that are
// not finite become 0 in the rows of `other` too: nothing times nothing is nothing. (Other forms that
// `other` was copied to do not learn of it, nor need they: whoever reads them gives those rows the weight 0.) Blocks of 256 threads, for each row in stretches of 4 KiB.
KERNEL weigh_rows(const number* __restrict__ x, const float* weights, number* __restrict__ y, i64 len, number* other, i64 other_len, int round) {
    float w = weights[blockIdx.x];
    i64 step = (i64)gridDim.y * 256 * EACH, first = ((i64)blockIdx.y * 256 + threadIdx.x) * EACH;
    x += blockIdx.x * len, y += blockIdx.x * len, other += blockIdx.x * other_len;
    if (len % EACH == 0) {
#pragma unroll 4
        for (i64 j = first; j < len; j += step) weigh(x + j, y + j, w, round);
    } else {
        for (i64 j = first; j < len; j += step)
            for (i64 k = j; k < min(len, j + EACH); ++k) {
                float v = w == 0.0f ? 0.0f : w * x[k];
                y[k] = round ? nearest(v) : v;
            }
    }
    if (w != 0.0f) return;
    for (i64 j = first; j < other_len; j += step)
        for (i64 k = j; k < min(other_len, j + EACH); ++k)
            if (!(fabsf(other[k]) < INFINITE)) other[k] = 0.0f;
}

// The squared norm of row `i` of a matrix at `at`, by a warp.
template <class T> __device__ __forceinline__ double row_square_of(u64 at, i64 length, i64 i) {
    const T* row = (const T*)at + i * length;
    double sum = 0.0;
#pragma unroll 4
    for (i64 j = threadIdx.x & 31; j < length; j += 32) sum += (double)row[j] * row[j];
    return warp_sum(sum);
}
__device__ __forceinline__ double row_square(u64 at, i64 length, i64 i, bool half) {
    return half ? row_square_of<bf16>(at, length, i) : row_square_of<float>(at, length, i);
}

// The sum of `count` parts, by a warp.
__device__ __forceinline__ double sum_of(const double* parts, i64 count) {
    double sum = 0.0;
    for (i64 k = threadIdx.x & 31; k < count; k += 32) sum += parts[k];
    return warp_sum(sum);
}

// Squared norms of examples over several parameters: `out[i, group]` sums those of the table's parameters, `[count, 5]`: an
// address and a length of rows, another address and length, a group, to which 2^32 is added if the first rows are bf16, and 2^33 if the other
// ones are. With the largest length of all the address is that of squares in parts, as many for each example as the other length says,
// `[n, parts]`; with a second address it is an outer product's factor. A block makes an example, a warp a parameter. With `curves` the
// examples' weights are made of them too.
KERNEL total_norms(const u64* table, int count, double* out, int groups, const double* curves, i64 present, double tiny) {
    extern __shared__ double values[];
    i64 i = blockIdx.x;
    for (int k = threadIdx.x >> 5; k < count; k += blockDim.x >> 5) {
        const u64* entry = table + 5 * k;
        double value = entry[1] == ~0ull ? sum_of((const double*)entry[0] + i * entry[3], entry[3]) : row_square(entry[0], entry[1], i, entry[4] >> 32 & 1);
        if (entry[2] != 0) value *= row_square(entry[2], entry[3], i, entry[4] >> 33);
        if ((threadIdx.x & 31) == 0) values[k] = value;
    }
    __syncthreads();
    for (int group = threadIdx.x >> 5; group < groups; group += blockDim.x >> 5) {
        double sum = 0.0;
        for (int k = threadIdx.x & 31; k < count; k += 32) sum += (int)(u32)table[5 * k + 4] == group ? values[k] : 0.0;
        sum = warp_sum(sum);
        if ((threadIdx.x & 31) == 0) out[i * groups + group] = sum;
    }
    if (!curves) return;
    __syncthreads();
    if (threadIdx.x == 0) weigh_example(out + i * groups, curves, i, i < present, groups, tiny);
}

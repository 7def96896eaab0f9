// Norms and weighted sums of per-example gradients. Squares are summed in f64.

// Squared norms of rows `[n, p]` in `gridDim.y` pieces each: `parts[n, pieces]`.
KERNEL square_rows(const float* g, double* parts, i64 p) {
    i64 piece = (p + gridDim.y - 1) / gridDim.y, from = blockIdx.y * piece, to = min(p, from + piece);
    const float* row = g + blockIdx.x * p;
    double sum = 0.0;
    for (i64 j = from + threadIdx.x; j < to; j += blockDim.x) sum += (double)row[j] * row[j];
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x * gridDim.y + blockIdx.y] = sum;
}
// Inner products of rows `[n, p]` with rows `stride` apart (0: one vector for all), in pieces.
KERNEL dot_rows(const float* g, const float* v, double* parts, i64 p, i64 stride) {
    i64 piece = (p + gridDim.y - 1) / gridDim.y, from = blockIdx.y * piece, to = min(p, from + piece);
    const float *row = g + blockIdx.x * p, *other = v + blockIdx.x * stride;
    double sum = 0.0;
    for (i64 j = from + threadIdx.x; j < to; j += blockDim.x) sum += (double)row[j] * other[j];
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x * gridDim.y + blockIdx.y] = sum;
}
// Sums of `parts` `[n, pieces]`.
KERNEL sum_parts(const double* parts, double* out, i64 n, int pieces) {
    i64 i = THREAD;
    if (i >= n) return;
    double sum = 0.0;
    for (int k = 0; k < pieces; ++k) sum += parts[i * pieces + k];
    out[i] = sum;
}

// `|a_i|^2 |b_i|^2`: gradients that are one outer product.
KERNEL single_norms(const float* a, const float* b, double* out, int d, int p) {
    const float *x = a + (i64)blockIdx.x * d, *y = b + (i64)blockIdx.x * p;
    double left = 0.0, right = 0.0;
    for (int j = threadIdx.x; j < d; j += blockDim.x) left += (double)x[j] * x[j];
    for (int j = threadIdx.x; j < p; j += blockDim.x) right += (double)y[j] * y[j];
    left = block_sum(left), right = block_sum(right);
    if (threadIdx.x == 0) out[blockIdx.x] = left * right;
}

// Per example and piece of rows of the Gram matrices `left` and `right` `[n, t, t]`: the sum of their products, and the sum
// of the roots of products on the diagonal.
KERNEL gram_parts(const float* left, const float* right, double* parts, int t) {
    i64 first = (i64)blockIdx.x * t * t;
    int rows = (t + gridDim.y - 1) / gridDim.y, from = blockIdx.y * rows, to = min(t, from + rows);
    double sum = 0.0, size = 0.0;
    for (i64 k = (i64)from * t + threadIdx.x; k < (i64)to * t; k += blockDim.x) {
        double product = (double)left[first + k] * right[first + k];
        sum += product;
        if (k / t == k % t) size += sqrt(fmax(product, 0.0));
    }
    sum = block_sum(sum), size = block_sum(size);
    if (threadIdx.x != 0) return;
    double* part = parts + 2 * ((i64)blockIdx.x * gridDim.y + blockIdx.y);
    part[0] = sum, part[1] = size;
}
// The squared upper bound of a norm from `n^2` (right to `slack s^2`) and the sum `s` of the sizes of its terms, each of
// which rounding may move by `unit`: `(sqrt(n^2 + slack s^2) + unit s)^2`. A NaN stays one.
KERNEL gram_norms(const double* parts, double* out, i64 n, int pieces, double slack, double unit) {
    i64 i = THREAD;
    if (i >= n) return;
    double sum = 0.0, size = 0.0;
    for (int k = 0; k < pieces; ++k) sum += parts[2 * (i * pieces + k)], size += parts[2 * (i * pieces + k) + 1];
    double square = sum + slack * size * size;
    double norm = sqrt(square < 0.0 ? 0.0 : square) + unit * size;
    out[i] = norm * norm;
}
// The cross terms of a table that is used twice: `2 sum_st r[s, ids_t] cross[s, t]`, and the sizes of `e`.
KERNEL tied_parts(const float* cross, const float* r, const float* e, const u32* ids, double* parts, int t, int v, int d) {
    i64 i = blockIdx.x;
    double sum = 0.0, size = 0.0;
    for (i64 k = threadIdx.x; k < (i64)t * t; k += blockDim.x)
        sum += 2.0 * cross[i * t * t + k] * r[(i * t + k / t) * v + ids[i * t + k % t]];
    for (int s = threadIdx.x; s < t; s += blockDim.x) {
        double square = 0.0;
        for (int j = 0; j < d; ++j) square += (double)e[(i * t + s) * d + j] * e[(i * t + s) * d + j];
        size += sqrt(square);
    }
    sum = block_sum(sum), size = block_sum(size);
    if (threadIdx.x == 0) parts[2 * i] = sum, parts[2 * i + 1] = size;
}
// As `gram_norms`, from the parts of the product, of the cross terms and the scattered squares.
KERNEL tied_norms(const double* grams, const double* crosses, const double* scattered, double* out, i64 n, int pieces,
                  double slack, double unit) {
    i64 i = THREAD;
    if (i >= n) return;
    double sum = crosses[2 * i] + scattered[i], size = 0.0;
    for (int k = 0; k < pieces; ++k) sum += grams[2 * (i * pieces + k)], size += grams[2 * (i * pieces + k) + 1];
    double all = size + crosses[2 * i + 1], square = sum + slack * all * all;
    double norm = sqrt(square < 0.0 ? 0.0 : square) + unit * size;
    out[i] = norm * norm;
}

// `out[j] += sum_i weights[i] g[i, j]`. Rows of weight exactly 0 are skipped, whatever they hold. Blocks of 64 columns by 8
// groups of examples.
KERNEL sum_rows(const float* g, const float* weights, float* out, int n, i64 p) {
    __shared__ float parts[8][64];
    i64 column = (i64)blockIdx.x * 64 + (threadIdx.x & 63);
    int group = threadIdx.x >> 6;
    float sum = 0.0f;
    if (column < p) {
#pragma unroll 4
        for (int i = group; i < n; i += 8) {
            float w = weights[i];
            if (w != 0.0f) sum += w * g[i * p + column];
        }
    }
    parts[group][threadIdx.x & 63] = sum;
    __syncthreads();
    if (group != 0 || column >= p) return;
    for (int k = 1; k < 8; ++k) sum += parts[k][threadIdx.x];
    out[column] += sum;
}

// `y[i] = weights[i] x[i]` for rows of `len`; 0 where the weight is 0.
KERNEL weigh_rows(const float* x, const float* weights, float* y, i64 n, i64 len) {
    i64 i = 4 * THREAD;
    if (len % 4 == 0 && i + 3 < n) {
        float w = weights[i / len];
        float4 v = *(const float4*)(x + i);
        if (w == 0.0f) v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        v.x *= w, v.y *= w, v.z *= w, v.w *= w;
        *(float4*)(y + i) = v;
        return;
    }
    for (i64 k = i; k < min(n, i + 4); ++k) {
        float w = weights[k / len];
        y[k] = w == 0.0f ? 0.0f : w * x[k];
    }
}
// Numbers that are not finite become 0 in rows of weight 0: nothing times nothing is nothing.
KERNEL silence(float* x, const float* weights, i64 len) {
    if (weights[blockIdx.x] != 0.0f) return;
    float* row = x + blockIdx.x * len;
    for (i64 j = (i64)blockIdx.y * blockDim.x + threadIdx.x; j < len; j += (i64)gridDim.y * blockDim.x)
        if (!(fabsf(row[j]) < INFINITE)) row[j] = 0.0f;
}

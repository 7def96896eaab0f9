// Gradients whose rows are added at ids: embeddings. Nothing is added by atomics, so sums have one order.

// Positions `s` from `at` on with the id of `at`, found in the order of their numbers, as many at a time as a block has threads.
// The block leaves at once if an earlier position of the range has the same id.
template <class F> __device__ void each_of_id(const u32* ids, i64 from, i64 at, i64 to, F add) {
    __shared__ int found[1024];
    __shared__ int counts[32];
    u32 id = ids[at];
    int seen = 0;
#pragma unroll 8
    for (i64 s = from + threadIdx.x; s < to; s += blockDim.x)
        if (ids[s] == id) seen |= s < at ? 2 : s > at;
    if (__syncthreads_or(seen & 2)) return;
    // Most ids are there once.
    if (!__syncthreads_or(seen)) {
        if (threadIdx.x == 0) found[0] = 0;
        __syncthreads();
        add(at, found, 1);
        return;
    }
    for (i64 chunk = at; chunk < to; chunk += blockDim.x) {
        bool mine = chunk + threadIdx.x < to && ids[chunk + threadIdx.x] == id;
        int count = __syncthreads_count(mine);
        if (count == 0) continue;
        u32 ballot = __ballot_sync(0xffffffffu, mine);
        if (threadIdx.x % 32 == 0) counts[threadIdx.x / 32] = __popc(ballot);
        __syncthreads();
        if (mine) {
            int before = __popc(ballot & ((1u << threadIdx.x % 32) - 1));
            for (int warp = 0; warp < threadIdx.x / 32; ++warp) before += counts[warp];
            found[before] = threadIdx.x;
        }
        __syncthreads();
        add(chunk, found, count);
    }
}

// Squared norms of each example's gradient in parts, `[n, t]`: that of the row of each position's id, at its first position. Of several rows a
// `share` of their sizes counts, too: what rounding may add to their weighed sum (`allowance.rs`).
KERNEL scatter_norm_parts(const u32* ids, const number* b, double* parts, int t, int d, double share) {
    i64 at = blockIdx.x, first = at / t * t;
    if (threadIdx.x == 0) parts[at] = 0.0;
    double square = 0.0;
    bool here = false;
    for (int column = 0; column < d; column += blockDim.x) {
        int j = column + threadIdx.x;
        float sum = 0.0f, size = 0.0f;
        int rows = 0;
        each_of_id(ids, first, at, first + t, [&](i64 chunk, const int* found, int count) {
            here = true;
            rows += count;
            for (int k = 0; k < count && j < d; ++k) {
                float x = b[(chunk + found[k]) * d + j];
                sum += x;
                size += fabsf(x);
            }
        });
        double whole = fabs((double)sum) + (rows > 1 ? share * size : 0.0);
        square += whole * whole;
    }
    square = block_sum(square);
    if (threadIdx.x == 0 && here) parts[at] = square;
}

// `out[id] += sum of weights[i] b[i, t]` over all positions of that id. Examples of weight 0 are left out.
KERNEL scatter_sum(const u32* ids, const number* b, const float* weights, float* out, i64 positions, int t, int d) {
    i64 at = blockIdx.x;
    for (int column = 0; column < d; column += blockDim.x) {
        int j = column + threadIdx.x;
        float* to = out + (i64)ids[at] * d + j;
        float sum = 0.0f;
        bool here = false;
        each_of_id(ids, 0, at, positions, [&](i64 chunk, const int* found, int count) {
            here = true;
            for (int k = 0; k < count && j < d; ++k) {
                float w = weights[(chunk + found[k]) / t];
                if (w != 0.0f) sum += w * b[(chunk + found[k]) * d + j];
            }
        });
        if (here && j < d) *to += sum;
    }
}

// Every example's gradient multiplied out, into zeros `[n, v, d]`.
KERNEL scatter_rows(const u32* ids, const number* b, float* rows, int t, int v, int d) {
    i64 at = blockIdx.x, first = at / t * t;
    for (int column = 0; column < d; column += blockDim.x) {
        int j = column + threadIdx.x;
        float sum = 0.0f;
        bool here = false;
        each_of_id(ids, first, at, first + t, [&](i64 chunk, const int* found, int count) {
            here = true;
            for (int k = 0; k < count && j < d; ++k) sum += b[(chunk + found[k]) * d + j];
        });
        if (here && j < d) rows[(at / t * v + ids[at]) * d + j] += sum;
    }
}

// `<G_i, direction>`, `[n]`.
KERNEL scatter_dot(const u32* ids, const number* b, const float* direction, double* out, int t, int d) {
    i64 first = (i64)blockIdx.x * t;
    double sum = 0.0;
    for (i64 k = threadIdx.x; k < (i64)t * d; k += blockDim.x)
        sum += (double)b[first * d + k] * direction[(i64)ids[first + k / d] * d + k % d];
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// Means within an example, and back. Empty positions are not counted.

// What position `s` of example `i` counts for.
__device__ float share(const u32* present, i64 i, int t, int s, int count) {
    if (!present) return 1.0f / t;
    return present[i * t + s] ? 1.0f / max(count, 1) : 0.0f;
}
__device__ int counted(const u32* present, i64 i, int t) {
    int count = 0;
    if (present)
        for (int s = 0; s < t; ++s) count += present[i * t + s] != 0;
    return count;
}

// `[n, t, d]` to `[n, d]`. A block makes 32 columns of an example, by eight stretches of positions.
KERNEL mean_positions(const number* x, const u32* present, number* y, int t, int d) {
    __shared__ float parts[8][32];
    i64 i = blockIdx.x;
    int own = threadIdx.x & 31, column = blockIdx.y * 32 + own, stretch = threadIdx.x >> 5, count = counted(present, i, t);
    float sum = 0.0f;
    if (column < d) {
#pragma unroll 4
        for (int s = stretch; s < t; s += 8) {
            float by = share(present, i, t, s, count);
            // Whatever an empty position holds is left out.
            sum += by > 0.0f ? x[(i * t + s) * d + column] * by : 0.0f;
        }
    }
    parts[stretch][own] = sum;
    __syncthreads();
    if (stretch != 0 || column >= d) return;
    for (int k = 1; k < 8; ++k) sum += parts[k][own];
    y[i * d + column] = sum;
}
// A block makes a position.
KERNEL mean_positions_backward(const number* dy, const u32* present, number* dx, int t, int d) {
    i64 i = blockIdx.x / t;
    float by = share(present, i, t, blockIdx.x % t, counted(present, i, t));
    dy += i * d, dx += (i64)blockIdx.x * d;
    for (int j = threadIdx.x; j < d; j += blockDim.x) dx[j] = by > 0.0f ? dy[j] * by : 0.0f;
}

// `[rows, area]` to `[rows]`. A warp makes a mean.
KERNEL mean_last(const number* x, number* y, i64 rows, int area) {
    i64 row = THREAD >> 5;
    int lane = threadIdx.x & 31;
    if (row >= rows) return;
    float sum = 0.0f;
    for (int j = lane; j < area; j += 32) sum += x[row * area + j];
    sum = warp_sum(sum);
    if (lane == 0) y[row] = sum * (1.0f / area);
}
KERNEL mean_last_backward(const number* dy, number* dx, i64 n, int area) {
    i64 at = THREAD;
    if (at < n) dx[at] = dy[at / area] * (1.0f / area);
}

// Flags `[n, t]` of which each text's first is set, or its last that is `present` (all are if null). A block makes a text.
KERNEL one_position(const u32* present, u32* one, int t, int last) {
    __shared__ int chosen;
    i64 first = (i64)blockIdx.x * t;
    if (threadIdx.x == 0) chosen = last ? -1 : 0;
    __syncthreads();
    if (last)
        for (int s = threadIdx.x; s < t; s += blockDim.x)
            if (!present || present[first + s]) atomicMax(&chosen, s);
    __syncthreads();
    for (int s = threadIdx.x; s < t; s += blockDim.x) one[first + s] = s == chosen;
}

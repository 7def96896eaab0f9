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

// `[n, t, d]` to `[n, d]`. A thread makes a column.
KERNEL mean_positions(const number* x, const u32* present, number* y, i64 n, int t, int d) {
    i64 at = THREAD;
    if (at >= n * d) return;
    i64 i = at / d;
    int count = counted(present, i, t);
    float sum = 0.0f;
    for (int s = 0; s < t; ++s) {
        float by = share(present, i, t, s, count);
        if (by > 0.0f) sum += x[(i * t + s) * d + at % d] * by;
    }
    y[at] = sum;
}
KERNEL mean_positions_backward(const number* dy, const u32* present, number* dx, i64 n, int t, int d) {
    i64 at = THREAD;
    if (at >= n * t * d) return;
    i64 i = at / ((i64)t * d);
    float by = share(present, i, t, at / d % t, counted(present, i, t));
    dx[at] = by > 0.0f ? dy[i * d + at % d] * by : 0.0f;
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

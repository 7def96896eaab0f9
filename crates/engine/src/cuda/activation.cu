// Shifts and the activation behind them in one pass. ACTIVATION: 0 none, 1 max(x, 0), 2 tanh.

#if ACTIVATION == 1
__device__ __forceinline__ float forward(float x) { return x < 0.0f ? 0.0f : x; }
__device__ __forceinline__ float backward(float y, float dy) { return y <= 0.0f ? 0.0f : dy; }
#elif ACTIVATION == 2
__device__ __forceinline__ float forward(float x) { return tanh_of(x); }
__device__ __forceinline__ float backward(float y, float dy) { return dy * (1.0f - y * y); }
#else
__device__ __forceinline__ float forward(float x) { return x; }
__device__ __forceinline__ float backward(float, float dy) { return dy; }
#endif

// `y[r] = f(x[r] + shift)` for rows of `width`, `pitch` apart; a block takes a stretch of one row, a thread four columns where rows allow it.
KERNEL shift_rows(const number* x, number* y, i64 pitch, const float* shift, int width) {
    x += blockIdx.x * pitch, y += blockIdx.x * pitch;
    int j = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
    if (width % 4 == 0 && pitch % 4 == 0 && j < width && ((u64)shift & 15) == 0) {
        float4 v = load4(x + j), s = load4(shift + j);
        v.x = forward(v.x + s.x), v.y = forward(v.y + s.y), v.z = forward(v.z + s.z), v.w = forward(v.w + s.w);
        store4(y + j, v);
        return;
    }
    for (int k = j; k < min(j + 4, width); ++k) y[k] = forward(x[k] + shift[k]);
}

// `y[i, c] = f(x[i, c] + shift[c])` for `rows` rows of `area` positions, of which `channels` belong to an example; a null shift
// is none. A warp takes a row.
KERNEL shift_channels(const number* x, number* y, const float* shift, i64 rows, int channels, int area) {
    i64 row = THREAD >> 5;
    int lane = threadIdx.x & 31;
    if (row >= rows) return;
    float s = shift ? shift[row % channels] : 0.0f;
    x += row * area, y += row * area;
    if (area % 4 != 0) {
        for (int j = lane; j < area; j += 32) y[j] = forward(x[j] + s);
        return;
    }
#pragma unroll 4
    for (int j = 4 * lane; j < area; j += 128) {
        float4 v = load4(x + j);
        v.x = forward(v.x + s), v.y = forward(v.y + s), v.z = forward(v.z + s), v.w = forward(v.w + s);
        store4(y + j, v);
    }
}

// Back through `y = f(..)`: `dx`, and its sums over each row of `area` positions, `[rows]`.
KERNEL shift_channels_backward(const number* y, const number* dy, number* dx, float* sums, i64 rows, int area) {
    i64 row = THREAD >> 5;
    int lane = threadIdx.x & 31;
    if (row >= rows) return;
    y += row * area, dy += row * area, dx += row * area;
    float sum = 0.0f;
    if (area % 4 != 0) {
        for (int j = lane; j < area; j += 32) sum += dx[j] = backward(y[j], dy[j]);
    } else {
#pragma unroll 4
        for (int j = 4 * lane; j < area; j += 128) {
            float4 v = load4(y + j), g = load4(dy + j);
            g.x = backward(v.x, g.x), g.y = backward(v.y, g.y), g.z = backward(v.z, g.z), g.w = backward(v.w, g.w);
            store4(dx + j, g);
            sum += (g.x + g.y) + (g.z + g.w);
        }
    }
    sum = warp_sum(sum);
    if (lane == 0) sums[row] = sum;
}

// What every program has in front. All tensors are contiguous f32, row major.
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
#define KERNEL extern "C" __global__ void
#define INFINITE __int_as_float(0x7f800000)
#define NOT_A_NUMBER __int_as_float(0x7fc00000)
// This thread's number among all threads of a one-dimensional grid.
#define THREAD ((i64)blockIdx.x * blockDim.x + threadIdx.x)

// Of a warp, to all of its lanes; in a fixed order.
template <class T, class F> __device__ __forceinline__ T warp_reduce(T x, F f) {
    for (int half = 16; half > 0; half >>= 1) x = f(x, __shfl_xor_sync(0xffffffffu, x, half));
    return x;
}
template <class T> __device__ __forceinline__ T warp_sum(T x) {
    return warp_reduce(x, [](T a, T b) { return a + b; });
}

// Of a block of whole warps, to all of its threads; in a fixed order. NaN-free reductions only need `f` to be associative.
template <class T, class F> __device__ __forceinline__ T block_reduce(T x, T zero, F f) {
    __shared__ T parts[32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    x = warp_reduce(x, f);
    __syncthreads();
    if (lane == 0) parts[warp] = x;
    __syncthreads();
    x = lane < warps ? parts[lane] : zero;
    return warp_reduce(x, f);
}
template <class T> __device__ __forceinline__ T block_sum(T x) {
    return block_reduce(x, T(0), [](T a, T b) { return a + b; });
}
// The larger of two numbers; a NaN never wins.
__device__ __forceinline__ float block_max(float x) {
    return block_reduce(x, -INFINITE, [](float a, float b) { return b > a ? b : a; });
}

// `y[i] = f(x[i])`, four at a time.
template <class F> __device__ __forceinline__ void map1(const float* x, float* y, i64 n, F f) {
    i64 i = 4 * THREAD;
    if (i + 3 < n) {
        float4 v = *(const float4*)(x + i);
        v.x = f(v.x), v.y = f(v.y), v.z = f(v.z), v.w = f(v.w);
        *(float4*)(y + i) = v;
        return;
    }
    for (; i < n; ++i) y[i] = f(x[i]);
}
// `z[i] = f(x[i], y[i])`, four at a time.
template <class F> __device__ __forceinline__ void map2(const float* x, const float* y, float* z, i64 n, F f) {
    i64 i = 4 * THREAD;
    if (i + 3 < n) {
        float4 v = *(const float4*)(x + i), w = *(const float4*)(y + i);
        v.x = f(v.x, w.x), v.y = f(v.y, w.y), v.z = f(v.z, w.z), v.w = f(v.w, w.w);
        *(float4*)(z + i) = v;
        return;
    }
    for (; i < n; ++i) z[i] = f(x[i], y[i]);
}

// What every program has in front. Tensors are contiguous and row major; activations and their gradients are of type `number`, all
// else f32.
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
#define KERNEL extern "C" __global__ void

// The first half of an f32: stored, never reckoned with.
struct bf16 {
    unsigned short bits;
    bf16() = default;
    // To nearest, ties to even.
    __device__ __forceinline__ bf16(float x) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
    __device__ __forceinline__ operator float() const { return __uint_as_float((u32)bits << 16); }
};
#ifndef NUMBER
#define NUMBER float
#endif
typedef NUMBER number;
// Whether results are about to lose two thirds of their digits.
constexpr bool ROUNDED = sizeof(number) == 2;

// To 2^-20 where that is more than will be kept.
__device__ __forceinline__ float exp_of(float x) { return ROUNDED ? __expf(x) : expf(x); }
// To 2^-11 where it will be rounded to 2^-8.
__device__ __forceinline__ float tanh_of(float x) {
    if (!ROUNDED) return tanhf(x);
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Four numbers at a multiple of their size.
__device__ __forceinline__ float4 load4(const float* x) { return *(const float4*)x; }
__device__ __forceinline__ void store4(float* x, float4 v) { *(float4*)x = v; }
__device__ __forceinline__ float2 unpack(u32 pair) { return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)); }
// Two numbers of bf16, to nearest; the first in the low half.
__device__ __forceinline__ u32 pack(float low, float high) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
__device__ __forceinline__ float4 load4(const bf16* x) {
    uint2 v = *(const uint2*)x;
    float2 a = unpack(v.x), b = unpack(v.y);
    return make_float4(a.x, a.y, b.x, b.y);
}
__device__ __forceinline__ void store4(bf16* x, float4 v) { *(uint2*)x = make_uint2(pack(v.x, v.y), pack(v.z, v.w)); }
// Whether fours of numbers from here on can be read so.
template <class T> __device__ __forceinline__ bool in_fours(const T* x) { return ((u64)x & (4 * sizeof(T) - 1)) == 0; }
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

// As many numbers as 16 bytes hold, at a multiple of that.
template <class T> struct Many {
    static constexpr int COUNT = 16 / sizeof(T);
    float4 of[COUNT / 4];
};
__device__ __forceinline__ Many<float> load_many(const float* x) { return {load4(x)}; }
__device__ __forceinline__ void store_many(float* x, Many<float> v) { store4(x, v.of[0]); }
__device__ __forceinline__ Many<bf16> load_many(const bf16* x) {
    uint4 v = *(const uint4*)x;
    float2 a = unpack(v.x), b = unpack(v.y), c = unpack(v.z), d = unpack(v.w);
    return {make_float4(a.x, a.y, b.x, b.y), make_float4(c.x, c.y, d.x, d.y)};
}
__device__ __forceinline__ void store_many(bf16* x, Many<bf16> v) {
    float4 a = v.of[0], b = v.of[1];
    *(uint4*)x = make_uint4(pack(a.x, a.y), pack(a.z, a.w), pack(b.x, b.y), pack(b.z, b.w));
}

// `y[i] = f(x[i])`, 16 bytes of numbers a thread.
template <class T, class F> __device__ __forceinline__ void map1(const T* x, T* y, i64 n, F f) {
    constexpr int COUNT = Many<T>::COUNT;
    i64 i = COUNT * THREAD;
    if (i + COUNT <= n) {
        Many<T> all = load_many(x + i);
#pragma unroll
        for (float4& v : all.of) v.x = f(v.x), v.y = f(v.y), v.z = f(v.z), v.w = f(v.w);
        store_many(y + i, all);
        return;
    }
    for (; i < n; ++i) y[i] = f(x[i]);
}
// `z[i] = f(x[i], y[i])`, 16 bytes of numbers a thread.
template <class T, class F> __device__ __forceinline__ void map2(const T* x, const T* y, T* z, i64 n, F f) {
    constexpr int COUNT = Many<T>::COUNT;
    i64 i = COUNT * THREAD;
    if (i + COUNT <= n) {
        Many<T> all = load_many(x + i), others = load_many(y + i);
#pragma unroll
        for (int k = 0; k < COUNT / 4; ++k) {
            float4 &v = all.of[k], w = others.of[k];
            v.x = f(v.x, w.x), v.y = f(v.y, w.y), v.z = f(v.z, w.z), v.w = f(v.w, w.w);
        }
        store_many(z + i, all);
        return;
    }
    for (; i < n; ++i) z[i] = f(x[i], y[i]);
}

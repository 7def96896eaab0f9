// sizes[i] = sum_t |a_it| |b_it| for a [n, t, d] and b [n, t, p]: no gradient's norm is larger, and rounding errors of products
// are bounded in it. One block of 256 threads an example; in f64. Needs PRECISION as tile.cuh does.

#if PRECISION == 2
typedef unsigned short element;
__device__ __forceinline__ float number(element x) { return __uint_as_float((u32)x << 16); }
#else
typedef float element;
__device__ __forceinline__ float number(element x) { return x; }
#endif

__device__ __forceinline__ double row_square(const element* x, int len) {
    double sum = 0.0;
    for (int k = threadIdx.x % 32; k < len; k += 32) sum += (double)number(x[k]) * number(x[k]);
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    return sum;
}

KERNEL product_sizes(const element* __restrict__ a, const element* __restrict__ b, int t, int d, int p, int lda, int ldb, double* __restrict__ sizes) {
    __shared__ double sums[8];
    long long i = blockIdx.x;
    double sum = 0.0;
    for (int s = threadIdx.x / 32; s < t; s += 8)
        sum += sqrt(row_square(a + (i * t + s) * lda, d) * row_square(b + (i * t + s) * ldb, p));
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x != 0) return;
    sum = 0.0;
    for (int w = 0; w < 8; ++w) sum += sums[w];
    sizes[i] = sum;
}

// Shares of squared norms, added in a fixed order. One warp an example; nothing depends on which block came first.

__device__ __forceinline__ double row_sum(const double* parts, int count) {
    double sum = 0.0;
    for (int k = threadIdx.x & 31; k < count; k += 32) sum += parts[k];
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    return sum;
}

// out[i] = (add ? out[i] : 0) + sum_k parts[i, k], for examples whose flag is set (all where `only` is null).
KERNEL norms_of_parts(const double* __restrict__ parts, int n, int count, int add,
                                          const u32* __restrict__ only, double* __restrict__ out) {
    int i = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
    if (i >= n || (only && !only[i])) return;
    double sum = row_sum(parts + (long long)i * count, count);
    if ((threadIdx.x & 31) == 0) out[i] = (add ? out[i] : 0.0) + sum;
}

// out += the sum of `splits` arrays of `len` elements, in their order.

KERNEL sum_of_parts(const float* __restrict__ parts, int splits, long long len, float* __restrict__ out) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= len) return;
    float sum = out[at];
    for (int s = 0; s < splits; ++s) sum += parts[s * len + at];
    out[at] = sum;
}

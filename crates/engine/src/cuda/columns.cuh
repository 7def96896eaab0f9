// Sums over the positions of an example, `[n, t, d]` to `[n, d]`: a block of 512 threads takes 128 bytes of columns of one example, eight
// threads a position, 16 bytes of numbers each.
#define COLUMNS (8 * Many<number>::COUNT)

__device__ __forceinline__ int own_column() { return Many<number>::COUNT * (threadIdx.x & 7); }
__device__ __forceinline__ int own_position() { return threadIdx.x >> 3; }
#define POSITIONS 64

__device__ __forceinline__ void add_many(Many<number>& sum, const Many<number>& v) {
#pragma unroll
    for (int k = 0; k < v.COUNT / 4; ++k) {
        float4& s = sum.of[k];
        s.x += v.of[k].x, s.y += v.of[k].y, s.z += v.of[k].z, s.w += v.of[k].w;
    }
}

// Writes the sums of what the block's threads added up to `out`, of which `columns` are there. All threads come here.
__device__ void write_column_sums(Many<number> sums, float* out, int columns) {
    __shared__ float parts[16][COLUMNS];
    float* of = (float*)sums.of;
    // Over the four positions that a warp has side by side.
#pragma unroll
    for (int k = 0; k < sums.COUNT; ++k)
        for (int far = 8; far < 32; far *= 2) of[k] += __shfl_xor_sync(0xffffffffu, of[k], far);
    __syncthreads();
    if ((threadIdx.x & 31) < 8) {
#pragma unroll
        for (int k = 0; k < sums.COUNT / 4; ++k) store4(&parts[threadIdx.x >> 5][own_column() + 4 * k], sums.of[k]);
    }
    __syncthreads();
    if (threadIdx.x >= min(COLUMNS, columns)) return;
    float sum = 0.0f;
    for (int k = 0; k < 16; ++k) sum += parts[k][threadIdx.x];
    out[threadIdx.x] = sum;
}

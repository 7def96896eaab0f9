// Normals and words of a stream (`normals.cuh`), written or added to what is there.

// The part of `out` `[len]` that normals `16 at` to `16 at + 15` have, the first of which is for element `first`, which may be below 0.
__device__ __forceinline__ void add_block(const Stream& stream, u64 at, u32 add, long long first, long long len, float scale,
                                          float* __restrict__ out) {
    float normals[16];
    block_of_normals(stream, at, normals);
    float* to = out + first;
    if (first >= 0 && first + 16 <= len && (u64)to % 16 == 0) {
#pragma unroll
        for (int k = 0; k < 16; k += 4) {
            float4 v = add ? *(float4*)(to + k) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            v.x = fmaf(scale, normals[k], v.x), v.y = fmaf(scale, normals[k + 1], v.y);
            v.z = fmaf(scale, normals[k + 2], v.z), v.w = fmaf(scale, normals[k + 3], v.w);
            *(float4*)(to + k) = v;
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < 16; ++k)
        if (first + k >= 0 && first + k < len) to[k] = fmaf(scale, normals[k], add ? to[k] : 0.0f);
}

// out[k] = add out[k] + scale normal(from + k) for k < len; `add` is 1 or 0. A thread for each block of sixteen that has a part in
// it, blocks from / 16 .. (from + len - 1) / 16, or fewer threads that go on to others.
KERNEL add_normals(u64 key0, u64 key1, u64 key2, u64 key3, u64 nonce, u32 add, u64 from, long long len, float scale,
                   float* __restrict__ out) {
    const Stream stream{{key0, key1, key2, key3}, nonce};
    long long thread = blockIdx.x * (long long)blockDim.x + threadIdx.x, all = gridDim.x * (long long)blockDim.x;
    for (; thread * 16 - (long long)(from % 16) < len; thread += all)
        add_block(stream, from / 16 + thread, add, thread * 16 - (long long)(from % 16), len, scale, out);
}

// out[k] = word(from + k) for k < len. A thread for each block of eight that has a part in it.
KERNEL fill_words(u64 key0, u64 key1, u64 key2, u64 key3, u64 nonce, u64 from, long long len, u64* __restrict__ out) {
    long long thread = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    long long first = thread * 8 - (long long)(from % 8);
    if (first >= len) return;
    unsigned x[16];
    cipher_block(Stream{{key0, key1, key2, key3}, nonce}, from / 8 + thread, x);
#pragma unroll
    for (int k = 0; k < 8; ++k)
        if (first + k >= 0 && first + k < len) out[first + k] = x[2 * k] | (u64)x[2 * k + 1] << 32;
}

// Row `r` of `mask` is 0 where a word of the stream, from number `starts[r]` on, is below `below`, else 1. One thread for
// each of the `width / 8 + 2` blocks that may have a part in a row.
KERNEL flip_coins(u64 key0, u64 key1, u64 key2, u64 key3, u64 nonce, const u64* __restrict__ starts, u64 below, long long rows, long long width, number* __restrict__ mask) {
    long long blocks = width / 8 + 2, thread = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (thread >= rows * blocks) return;
    long long row = thread / blocks;
    u64 start = starts[row], at = start / 8 + thread % blocks;
    unsigned x[16];
    cipher_block(Stream{{key0, key1, key2, key3}, nonce}, at, x);
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        long long column = (long long)(8 * at + k - start);
        if (column >= 0 && column < width) mask[row * width + column] = (x[2 * k] | (u64)x[2 * k + 1] << 32) < below ? 0.0f : 1.0f;
    }
}

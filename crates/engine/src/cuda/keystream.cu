// ChaCha20 (RFC 8439, 64-bit counter and nonce): the words of the privacy crate's streams, and normals from them.

__device__ __forceinline__ void quarter(u32& a, u32& b, u32& c, u32& d) {
    a += b, d = __funnelshift_l(d ^ a, d ^ a, 16);
    c += d, b = __funnelshift_l(b ^ c, b ^ c, 12);
    a += b, d = __funnelshift_l(d ^ a, d ^ a, 8);
    c += d, b = __funnelshift_l(b ^ c, b ^ c, 7);
}
// The block of key stream: eight words of 64 bits, low halves first.
__device__ void chacha_block(const u32* key, u64 nonce, u64 counter, u32* out) {
    u32 start[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
#pragma unroll
    for (int k = 0; k < 8; ++k) start[4 + k] = key[k];
    start[12] = (u32)counter, start[13] = (u32)(counter >> 32), start[14] = (u32)nonce, start[15] = (u32)(nonce >> 32);
    u32 x[16];
#pragma unroll
    for (int k = 0; k < 16; ++k) x[k] = start[k];
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        quarter(x[0], x[4], x[8], x[12]), quarter(x[1], x[5], x[9], x[13]);
        quarter(x[2], x[6], x[10], x[14]), quarter(x[3], x[7], x[11], x[15]);
        quarter(x[0], x[5], x[10], x[15]), quarter(x[1], x[6], x[11], x[12]);
        quarter(x[2], x[7], x[8], x[13]), quarter(x[3], x[4], x[9], x[14]);
    }
#pragma unroll
    for (int k = 0; k < 16; ++k) out[k] = x[k] + start[k];
}
__device__ __forceinline__ u64 word(const u32* block, int k) { return block[2 * k] | (u64)block[2 * k + 1] << 32; }
// The top 53 bits, in [0, 1).
__device__ __forceinline__ double uniform(u64 word) { return (double)(word >> 11) * 0x1p-53; }

#define KEY u64 k0, u64 k1, u64 k2, u64 k3
#define UNPACK {(u32)k0, (u32)(k0 >> 32), (u32)k1, (u32)(k1 >> 32), (u32)k2, (u32)(k2 >> 32), (u32)k3, (u32)(k3 >> 32)}

// `out[j] += by normal(j)` for the stream's normals from number 0 on; Box and Muller in f64, rounded once. A thread makes the
// eight of a block.
KERNEL add_normals(float* out, double by, KEY, u64 nonce, i64 n) {
    i64 block = THREAD;
    if (8 * block >= n) return;
    const u32 key[8] = UNPACK;
    u32 bits[16];
    chacha_block(key, nonce, block, bits);
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) {
        i64 at = 8 * block + 2 * pair;
        double radius = sqrt(-2.0 * log(uniform(word(bits, 2 * pair)) + 0x1p-53)), sine, cosine;
        sincospi(2.0 * uniform(word(bits, 2 * pair + 1)), &sine, &cosine);
        if (at < n) out[at] += (float)((float)(radius * cosine) * by);
        if (at + 1 < n) out[at + 1] += (float)((float)(radius * sine) * by);
    }
}

// The stream's words from number `from` on, a thread for each.
KERNEL stream_words(u64* out, KEY, u64 nonce, u64 from, i64 n) {
    i64 i = THREAD;
    if (i >= n) return;
    const u32 key[8] = UNPACK;
    u32 bits[16];
    chacha_block(key, nonce, (from + i) / 8, bits);
    u64 found = 0;
#pragma unroll
    for (int k = 0; k < 8; ++k)
        if ((from + i) % 8 == k) found = word(bits, k);
    out[i] = found;
}

// Row `r` of `mask` is 0 where a word of the stream, from number `starts[r]` on, is below `below`, else `rest`. A thread makes
// those of one block of key stream.
KERNEL flip_coins(float* mask, const u64* starts, KEY, u64 nonce, u64 below, float rest, i64 rows, i64 width) {
    i64 blocks = width / 8 + 2, at = THREAD;
    if (at >= rows * blocks) return;
    i64 row = at / blocks;
    u64 start = starts[row], block = start / 8 + at % blocks;
    const u32 key[8] = UNPACK;
    u32 bits[16];
    chacha_block(key, nonce, block, bits);
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        i64 column = (i64)(8 * block + k - start);
        if (column >= 0 && column < width) mask[row * width + column] = word(bits, k) < below ? 0.0f : rest;
    }
}

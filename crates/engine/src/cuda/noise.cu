// Normals of a ChaCha20 stream: element `index` is the one that the CPU's stream has there (privacy/src/random).
//
// A thread makes one block of the cipher: eight words of 64 bits, four pairs of normals. Word `i` is 64 bits of key stream at
// position `2 i` (64-bit counter and nonce); words `2k`, `2k + 1` make normals `2k`, `2k + 1` (Box & Muller 1958).
//
// # Why this is private
//
// Claim: the words are the CPU's, bit by bit; the normals are the CPU's to 1e-6.
// Argument: radii are made in f32 from all 53 bits, near 1 from the exact complement, to 2e-7 of their size; beyond 4.5,
// where that would exceed 1e-6, in f64. Which pairs are made again depends on secret words, and so does timing, by
// parts in a thousand of launches that make thousands of pairs; whoever can see it sits on the machine and sees the key.

// 256 bits of key and 64 of nonce, least significant first.
struct Stream {
    u64 key[4], nonce;
};

__device__ __forceinline__ unsigned half_of(u64 x, int half) { return (unsigned)(x >> 32 * half); }

__device__ __forceinline__ unsigned turn(unsigned x, int bits) { return __funnelshift_l(x, x, bits); }

// Additions on the multiplier's pipe (`one` is 1, unknown to the compiler), since xor and turns fill the other.
__device__ __forceinline__ unsigned sum(unsigned x, unsigned y, unsigned one) {
#ifdef PLAIN_ADDS
    return x + y;
#else
    unsigned z;
    asm("mad.lo.u32 %0, %1, %2, %3;" : "=r"(z) : "r"(x), "r"(one), "r"(y));
    return z;
#endif
}

__device__ __forceinline__ void quarter_round(unsigned& a, unsigned& b, unsigned& c, unsigned& d, unsigned one) {
    a = sum(a, b, one), d = turn(d ^ a, 16);
    c = sum(c, d, one), b = turn(b ^ c, 12);
    a = sum(a, b, one), d = turn(d ^ a, 8);
    c = sum(c, d, one), b = turn(b ^ c, 7);
}

// Block `at` of the key stream (RFC 8439, section 2.3, with the original's 64-bit counter).
__device__ __forceinline__ void cipher_block(const Stream& stream, u64 at, unsigned one, unsigned (&x)[16]) {
    const unsigned constants[4] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = constants[i];
#pragma unroll
    for (int i = 0; i < 8; ++i) x[4 + i] = half_of(stream.key[i / 2], i % 2);
    x[12] = (unsigned)at, x[13] = (unsigned)(at >> 32), x[14] = half_of(stream.nonce, 0), x[15] = half_of(stream.nonce, 1);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        quarter_round(x[0], x[4], x[8], x[12], one), quarter_round(x[1], x[5], x[9], x[13], one);
        quarter_round(x[2], x[6], x[10], x[14], one), quarter_round(x[3], x[7], x[11], x[15], one);
        quarter_round(x[0], x[5], x[10], x[15], one), quarter_round(x[1], x[6], x[11], x[12], one);
        quarter_round(x[2], x[7], x[8], x[13], one), quarter_round(x[3], x[4], x[9], x[14], one);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] += constants[i];
#pragma unroll
    for (int i = 0; i < 8; ++i) x[4 + i] += half_of(stream.key[i / 2], i % 2);
    x[12] += (unsigned)at, x[13] += (unsigned)(at >> 32), x[14] += half_of(stream.nonce, 0), x[15] += half_of(stream.nonce, 1);
}

// -2 ln u for u = (hi 2^21 + lo + 1) / 2^53, to a unit in the last place.
__device__ __forceinline__ float minus_two_ln(unsigned hi, unsigned lo) {
    float u = fmaf((float)hi, 2.3283064365386963e-10f, (float)(lo + 1) * 1.1102230246251565e-16f);
    float rest = fmaf((float)~hi, 2.3283064365386963e-10f, (float)(0x1fffffu - lo) * 1.1102230246251565e-16f);
    int exponent = (__float_as_int(u) - 0x3f2aaaab) & (int)0xff800000;
    // From 2/3 on the logarithm is made from 1 - u, which has all its digits.
    bool near = hi >= 0xaaaaaaabu;
    float m = near ? -rest : __int_as_float(__float_as_int(u) - exponent) - 1.0f;
    float power = near ? 0.0f : (float)exponent * 1.1920928955078125e-7f;
    float s = m * m;
    float r = fmaf(-0.130310059f, s, -0.121483512f), t = fmaf(0.140869141f, s, 0.139814854f);
    r = fmaf(r, s, -0.166846126f), t = fmaf(t, s, 0.200120345f);
    r = fmaf(r, s, -0.249996200f);
    r = fmaf(t, m, r), r = fmaf(r, m, 0.333331972f), r = fmaf(r, m, -0.5f);
    r = fmaf(r, s, m);
    return -2.0f * fmaf(power, 0.693147182f, r);
}

// The pair of one radius beyond 4.5, in f64.
__device__ __noinline__ float2 far_pair(unsigned hi, unsigned lo, unsigned turn_hi, unsigned turn_lo) {
    double u = ((double)hi * 2097152.0 + (double)lo + 1.0) * 1.1102230246251565e-16;
    double turns = ((double)turn_hi * 2097152.0 + (double)turn_lo) * 1.1102230246251565e-16;
    double s, c, radius = sqrt(-2.0 * log(u));
    sincospi(2.0 * turns, &s, &c);
    return make_float2((float)(radius * c), (float)(radius * s));
}

// sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v) from two words.
__device__ __forceinline__ float2 pair_of_normals(const unsigned* x) {
    unsigned lo = x[0] >> 11, hi = x[1];
    if (hi < 172000u) return far_pair(hi, lo, x[3], x[2] >> 11);
    float square = fmaxf(minus_two_ln(hi, lo), 1e-37f), reciprocal = rsqrtf(square), radius = square * reciprocal;
    radius = fmaf(fmaf(-radius, radius, square), 0.5f * reciprocal, radius);
    // The nearest quarter of the circle, and the rest of the angle.
    unsigned quarter = (x[3] + 0x20000000u) >> 30;
    float angle = (float)(int)__funnelshift_l(x[2], x[3], 2) * 3.6572952e-10f, z = angle * angle;
    float sine = fmaf(fmaf(fmaf(2.86567956e-6f, z, -1.98559923e-4f), z, 8.33338592e-3f), z, -1.66666672e-1f);
    sine = fmaf(sine * z, angle, angle);
    float cosine = fmaf(fmaf(fmaf(2.44677067e-5f, z, -1.38877297e-3f), z, 4.16666567e-2f), z, -0.5f);
    cosine = fmaf(cosine, z, 1.0f);
    float c = quarter & 1 ? -sine : cosine, s = quarter & 1 ? cosine : sine;
    radius = quarter & 2 ? -radius : radius;
    return make_float2(radius * c, radius * s);
}

// The part of `out` `[len]` that block `at` of the cipher makes, from number `first` on, which may be below 0.
__device__ __forceinline__ void add_block(const Stream& stream, u64 at, u32 one, u32 add, long long first, long long len, float scale,
                                          float* __restrict__ out) {
    unsigned x[16];
    cipher_block(stream, at, one, x);
    float normals[8];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        float2 pair = pair_of_normals(x + 4 * k);
        normals[2 * k] = pair.x, normals[2 * k + 1] = pair.y;
    }
    float* to = out + first;
    if (first >= 0 && first + 8 <= len && (u64)to % 16 == 0) {
#pragma unroll
        for (int k = 0; k < 8; k += 4) {
            float4 v = add ? *(float4*)(to + k) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            v.x = fmaf(scale, normals[k], v.x), v.y = fmaf(scale, normals[k + 1], v.y);
            v.z = fmaf(scale, normals[k + 2], v.z), v.w = fmaf(scale, normals[k + 3], v.w);
            *(float4*)(to + k) = v;
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < 8; ++k)
        if (first + k >= 0 && first + k < len) to[k] = fmaf(scale, normals[k], add ? to[k] : 0.0f);
}

// out[k] = add out[k] + scale normal(from + k) for k < len; `one` is 1, `add` 1 or 0. A thread for each block of eight that has a part in it,
// blocks from / 8 .. (from + len - 1) / 8, or fewer threads that go on to others.
KERNEL add_normals(u64 key0, u64 key1, u64 key2, u64 key3, u64 nonce, u32 one, u32 add, u64 from, long long len, float scale,
                   float* __restrict__ out) {
    const Stream stream{{key0, key1, key2, key3}, nonce};
    long long thread = blockIdx.x * (long long)blockDim.x + threadIdx.x, all = gridDim.x * (long long)blockDim.x;
    for (; thread * 8 - (long long)(from % 8) < len; thread += all)
        add_block(stream, from / 8 + thread, one, add, thread * 8 - (long long)(from % 8), len, scale, out);
}

// out[k] = word(from + k) for k < len; threads as for add_normals.
KERNEL fill_words(u64 key0, u64 key1, u64 key2, u64 key3, u64 nonce, u32 one, u64 from, long long len, u64* __restrict__ out) {
    long long thread = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    long long first = thread * 8 - (long long)(from % 8);
    if (first >= len) return;
    unsigned x[16];
    cipher_block(Stream{{key0, key1, key2, key3}, nonce}, from / 8 + thread, one, x);
#pragma unroll
    for (int k = 0; k < 8; ++k)
        if (first + k >= 0 && first + k < len) out[first + k] = x[2 * k] | (u64)x[2 * k + 1] << 32;
}

// Row `r` of `mask` is 0 where a word of the stream, from number `starts[r]` on, is below `below`, else `rest`. One thread for
// each of the `width / 8 + 2` blocks that may have a part in a row.
KERNEL flip_coins(u64 key0, u64 key1, u64 key2, u64 key3, u64 nonce, u32 one, const u64* __restrict__ starts, u64 below, float rest, long long rows, long long width, float* __restrict__ mask) {
    long long blocks = width / 8 + 2, thread = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (thread >= rows * blocks) return;
    long long row = thread / blocks;
    u64 start = starts[row], at = start / 8 + thread % blocks;
    unsigned x[16];
    cipher_block(Stream{{key0, key1, key2, key3}, nonce}, at, one, x);
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        long long column = (long long)(8 * at + k - start);
        if (column >= 0 && column < width) mask[row * width + column] = (x[2 * k] | (u64)x[2 * k + 1] << 32) < below ? 0.0f : rest;
    }
}

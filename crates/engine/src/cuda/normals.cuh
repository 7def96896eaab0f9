// Normals and words of a ChaCha20 stream: element `index` is the one that the CPU's stream has there (privacy/src/random).
//
// A thread makes one block of the cipher: eight words of 64 bits, or eight pairs of normals (Box & Muller 1958). Word `i` is 64 bits
// of key stream at position `2 i` (64-bit counter and nonce); normals `2k`, `2k + 1` are made of word `k` of those from block 2^61 on,
// and where its radius is rare (privacy/src/random/bulk.rs) of the first bits of block 2^63 + k besides.
//
// # Why this is private
//
// Claim: words and normals are the CPU's, bit by bit.
// Argument: every operation on floats is one that IEEE 754 rounds exactly, written out so that none is contracted, in the CPU's
// order; the root is `sqrt.rn` for what is neither tiny nor huge, as the compiler makes it. Which pairs take more bits depends on
// secret words, and so does timing, by parts in a hundred of launches that make thousands of pairs; whoever can see it sits on the
// machine and sees the key.

// 256 bits of key and 64 of nonce, least significant first.
struct Stream {
    u64 key[4], nonce;
};

__device__ __forceinline__ unsigned half_of(u64 x, int half) { return (unsigned)(x >> 32 * half); }

__device__ __forceinline__ unsigned turn(unsigned x, int bits) { return __funnelshift_l(x, x, bits); }

__device__ __forceinline__ void quarter_round(unsigned& a, unsigned& b, unsigned& c, unsigned& d) {
    a += b, d = turn(d ^ a, 16);
    c += d, b = turn(b ^ c, 12);
    a += b, d = turn(d ^ a, 8);
    c += d, b = turn(b ^ c, 7);
}

// Block `at` of the key stream (RFC 8439, section 2.3, with the original's 64-bit counter), with so many of its ten double rounds written
// out.
template <int UNROLLED = 10> __device__ __forceinline__ void cipher_block(const Stream& stream, u64 at, unsigned (&x)[16]) {
    const unsigned constants[4] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = constants[i];
#pragma unroll
    for (int i = 0; i < 8; ++i) x[4 + i] = half_of(stream.key[i / 2], i % 2);
    x[12] = (unsigned)at, x[13] = (unsigned)(at >> 32), x[14] = half_of(stream.nonce, 0), x[15] = half_of(stream.nonce, 1);
#pragma unroll UNROLLED
    for (int round = 0; round < 10; ++round) {
        quarter_round(x[0], x[4], x[8], x[12]), quarter_round(x[1], x[5], x[9], x[13]);
        quarter_round(x[2], x[6], x[10], x[14]), quarter_round(x[3], x[7], x[11], x[15]);
        quarter_round(x[0], x[5], x[10], x[15]), quarter_round(x[1], x[6], x[11], x[12]);
        quarter_round(x[2], x[7], x[8], x[13]), quarter_round(x[3], x[4], x[9], x[14]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] += constants[i];
#pragma unroll
    for (int i = 0; i < 8; ++i) x[4 + i] += half_of(stream.key[i / 2], i % 2);
    x[12] += (unsigned)at, x[13] += (unsigned)(at >> 32), x[14] += half_of(stream.nonce, 0), x[15] += half_of(stream.nonce, 1);
}

// Radius words below `TAIL`, and `CENTRE` many next to the end, are divided further.
constexpr unsigned TAIL = 1 << 19, CENTRE = 1 << 16;

// -2 ln u where 2^bits u is `cells`, or, of the upper half, which counts as negative numbers, 2^bits more.
__device__ __forceinline__ float square_of_radius(float cells, int bits) {
    bool near = cells < 0.0f;
    // The exponent, as a float by way of the last digits of 2^23.
    float exponent = __int_as_float(__funnelshift_r(__float_as_int(cells), 0x4b000000 >> 9, 23));
    float mantissa = __int_as_float((__float_as_int(cells) & 0x7fffff) | 0x3f800000);
    float x = near ? __fmul_rn(cells, -__int_as_float((128 - bits) << 23)) : __fsub_rn(2.0f, mantissa);
    float halves = near ? 0.0f : __fsub_rn(8388608.0f + (float)(bits + 126), exponent);
    float r = 0.003405158f;
    r = fmaf(r, x, -0.00967363f), r = fmaf(r, x, 0.015397896f), r = fmaf(r, x, -0.009254197f), r = fmaf(r, x, 0.010627131f);
    r = fmaf(r, x, 0.010992159f), r = fmaf(r, x, 0.03148358f), r = fmaf(r, x, 0.08331581f), r = fmaf(r, x, 0.25000045f);
    return fmaf(halves, 1.38629436f, fmaf(__fmul_rn(x, x), r, x));
}

// Of the middle of the word's cell of 2^32.
__device__ __forceinline__ float square_of_whole(unsigned word) {
    return square_of_radius(__fadd_rn((float)(int)word, 0.5f), 32);
}

// Of the cell's part that `more` says.
__device__ __forceinline__ float square_of_divided(unsigned word, unsigned more) {
    return square_of_radius(__fadd_rn(__ll2float_rn((i64)((u64)word << 32 | more)), 0.5f), 64);
}

// A pair of normals from the square of their radius and a turn: a quarter, and the cell of it as a signed number.
__device__ __forceinline__ float2 pair_of_normals(float square, unsigned turn) {
    float reciprocal = rsqrtf(square), root = __fmul_rn(square, reciprocal);
    float radius = fmaf(fmaf(-root, root, square), __fmul_rn(0.5f, reciprocal), root);
    float x = fmaf((float)(int)(turn << 2), 3.6572952e-10f, 7.3145904e-10f), z = __fmul_rn(x, x);
    float sine = fmaf(fmaf(-0.00019518791f, z, 0.008332192f), z, -0.16666655f);
    sine = fmaf(__fmul_rn(z, sine), x, x);
    float cosine = fmaf(fmaf(fmaf(2.443067e-5f, z, -0.0013887301f), z, 0.041666646f), z, -0.5f);
    cosine = fmaf(cosine, z, 1.0f);
    bool odd = turn & 0x40000000u;
    radius = __int_as_float(__float_as_int(radius) ^ (int)(turn & 0x80000000u));
    return make_float2(__fmul_rn(radius, odd ? -sine : cosine), __fmul_rn(radius, odd ? cosine : sine));
}

// The squares of the radii of the block's eight pairs, of which the first is pair `first`, from its words `x`.
__device__ __forceinline__ void squares_of_radii(const Stream& stream, u64 first, const unsigned (&x)[16], float (&square)[8]) {
    unsigned least = ~0u;
#pragma unroll
    for (int k = 0; k < 8; ++k) square[k] = square_of_whole(x[2 * k]), least = min(least, x[2 * k] + CENTRE);
    if (least >= TAIL + CENTRE) return;
    unsigned left = 0;
#pragma unroll
    for (int k = 0; k < 8; ++k) left |= (unsigned)(x[2 * k] + CENTRE < TAIL + CENTRE) << k;
    for (; left; left &= left - 1) {
        int which = __ffs(left) - 1;
        unsigned more[16], word = 0;
        cipher_block<1>(stream, (1ull << 63) + first + which, more);
#pragma unroll
        for (int k = 0; k < 8; ++k) word = k == which ? x[2 * k] : word;
        float divided = square_of_divided(word, more[0]);
#pragma unroll
        for (int k = 0; k < 8; ++k) square[k] = k == which ? divided : square[k];
    }
}

// Normals `16 at` to `16 at + 15`.
__device__ __forceinline__ void block_of_normals(const Stream& stream, u64 at, float (&normals)[16]) {
    unsigned x[16];
    cipher_block(stream, (1ull << 61) + at, x);
    float square[8];
    squares_of_radii(stream, 8 * at, x, square);
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        float2 pair = pair_of_normals(square[k], x[2 * k + 1]);
        normals[2 * k] = pair.x, normals[2 * k + 1] = pair.y;
    }
}

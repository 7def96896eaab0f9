// Pixels of bf16 in shared memory as Hopper's warpgroup products take them, behind pixels.cuh.
//
// Eight channels of a pixel lie side by side (16 bytes, a place), places of a line one after the other, OCTETS octets of channels one after the
// other: a matrix of the tensor cores, eight positions by eight channels, is eight places wherever it begins, so that every tap
// reads the same pixels, some places further on. With a horizontal stride SW a line is SW parts, of every SW-th pixel each.
// IMAGES images lie one after the other in an octet; OUT_W is a multiple of 8.

constexpr int EIGHTS = OUT_W / 8, PAIRS = (IN_W + 1) / 2;
constexpr int REACH = (OUT_W - 1) * SW + KW, WIDTH = REACH > PW + 2 * PAIRS ? REACH : PW + 2 * PAIRS;
// Places of a part of a line, of a line, and of an octet.
constexpr int PART = (WIDTH + SW - 1) / SW, PLACES = SW * PART, PLANE = IMAGES * LINES * PLACES;

// Pixels on their way, of channels from `k` on and of what ROWS rows of positions from `first` on see: two neighbouring ones of eight
// channels a slot, held in registers until they are put side by side. What is not there is zeros.
struct Octets {
    u32 held[dealt<OCTETS, IMAGES * LINES * PAIRS>()][8];

    __device__ __forceinline__ u32 two(const bf16* from, int left) {
        if (left <= 0) return 0;
        if (IN_W % 2 == 0) return *(const u32*)from;
        return from[0].bits | (left > 1 ? (u32)from[1].bits << 16 : 0);
    }
    __device__ __forceinline__ void fetch(const bf16* x, int n, int image, int k, int first) {
        deal<OCTETS, IMAGES * LINES * PAIRS>([&](int octet, int place, int slot) {
            int line = place / PAIRS, y = first * SH - PH + line % LINES, col = 2 * (place % PAIRS), of = image + line / LINES;
            int channel = k + 8 * octet;
            bool inside = of < n && (u32)y < (u32)IN_H;
            const bf16* from = x + (((long long)(inside ? of : 0) * IN_C + channel) * IN_H + (inside ? y : 0)) * IN_W + col;
#pragma unroll
            for (int e = 0; e < 8; ++e) {
                bool there = inside && (IN_C % (8 * OCTETS) == 0 || channel + e < IN_C);
                held[slot][e] = two(from + e * IN_H * IN_W, there ? IN_W - col : 0);
            }
        });
    }
    __device__ __forceinline__ uint4 side_by_side(const u32 (&x)[8], u32 which) {
        return make_uint4(__byte_perm(x[0], x[1], which), __byte_perm(x[2], x[3], which), __byte_perm(x[4], x[5], which),
                          __byte_perm(x[6], x[7], which));
    }
    __device__ __forceinline__ void store(uint4* stage) {
        deal<OCTETS, IMAGES * LINES * PAIRS>([&](int octet, int place, int slot) {
            uint4* line = stage + octet * PLANE + place / PAIRS * PLACES;
            int col = PW + 2 * (place % PAIRS);
            line[col % SW * PART + col / SW] = side_by_side(held[slot], 0x5410);
            line[(col + 1) % SW * PART + (col + 1) / SW] = side_by_side(held[slot], 0x7632);
        });
        // The tensor cores see what was written.
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
};

// How the tensor cores are told of places: from `at` on; the octets (or eights of positions) that are added up `deep` places apart,
// those that are results `wide` places.
__device__ __forceinline__ u64 places_at(const uint4* at, int deep, int wide) {
    return (u64)(((u32)__cvta_generic_to_shared(at) & 0x3ffff) >> 4) | (u64)deep << 16 | (u64)wide << 32;
}
// Of what a tap sees, the first of it.
__device__ __forceinline__ int seen_at(int r, int s) { return r * PLACES + s % SW * PART + s / SW; }

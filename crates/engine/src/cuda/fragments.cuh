// Products of a warp's sixteen rows on tensor cores, sums in f32: of f32 numbers (PRECISION 0, as three TF32 products of high and low
// parts; 1, TF32: the last 13 bits of factors are ignored) or of bf16 ones. Factors are rows in shared memory (`heads.cuh`).

#if !WARPGROUPS
// Products are made at once (on Hopper: `teams.cuh`).
__device__ __forceinline__ void start_products() {}
__device__ __forceinline__ void end_products() {}
template <int LEFT, class... C> __device__ __forceinline__ void need(C&...) {}

// Four 8 x 16 byte parts of a tile: lane `l` names row `l % 8` of part `l / 8` and gets one word of every part.
__device__ __forceinline__ void load_parts(u32* r, const number* from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(from)));
}
// The same of transposed parts of 8 x 8 bf16 numbers.
__device__ __forceinline__ void load_turned(u32* r, const bf16* from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(from)));
}

__device__ __forceinline__ void mma(float* c, const u32* a, const u32* b) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_bf16(float* c, const u32* a, const u32* b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// An operand of N words of f32, ready for the tensor cores: what the first part leaves goes into a second one.
template <int N> struct Operand {
    u32 high[N];
#if PRECISION == 0
    u32 low[N];
#endif
    __device__ __forceinline__ void set(int i, float x) {
#if PRECISION == 0
        high[i] = __float_as_uint(x) & 0xffffe000u;
        // To nearest; what is not a number is so in the high part already.
        low[i] = __float_as_uint(x - __uint_as_float(high[i])) + 0x1000u;
#else
        high[i] = __float_as_uint(x);
#endif
    }
};

__device__ __forceinline__ void multiply(float* c, const Operand<4>& a, const Operand<2>& b) {
#if PRECISION == 0
    mma(c, a.low, b.high), mma(c, a.high, b.low);
#endif
    mma(c, a.high, b.high);
}

// c += a b^T of fragments as they were loaded.
__device__ __forceinline__ void multiply_loaded(float* c, const u32* a, const u32* b, const float*) {
    Operand<4> x;
    Operand<2> y;
#pragma unroll
    for (int e = 0; e < 4; ++e) x.set(e, __uint_as_float(a[e]));
#pragma unroll
    for (int e = 0; e < 2; ++e) y.set(e, __uint_as_float(b[e]));
    multiply(c, x, y);
}
__device__ __forceinline__ void multiply_loaded(float* c, const u32* a, const u32* b, const bf16*) { mma_bf16(c, a, b); }

// c = a b^T: 16 rows of a, in a tile of M, by 8 N rows of b, in one of R, both along their width. c[4 j + e] is row
// `group + 8 (e / 2)`, column `8 j + 2 member + e % 2`.
template <int M, int R, int N> __device__ __forceinline__ void along(float (&c)[4 * N], const number* a, const number* b) {
    clear(c);
    int part = threadIdx.x % 32 / 8, row = threadIdx.x % 8;
    a += (part % 2 * 8 + row) * PITCH + part / 2 * TOGETHER, b += (part / 2 * 8 + row) * PITCH + part % 2 * TOGETHER;
#pragma unroll
    for (int at = 0; at < WIDTH; at += 2 * TOGETHER) {
        u32 words[4];
        load_parts(words, a + at);
#pragma unroll
        for (int j = 0; j < N; j += 2) {
            u32 pair[4];
            load_parts(pair, b + 8 * j * PITCH + at);
            multiply_loaded(c + 4 * j, words, pair, b), multiply_loaded(c + 4 * j + 4, words, pair + 2, b);
        }
    }
}

// o += p b for 8 N rows of b. o[4 j + e] is row `group + 8 (e / 2)`, column `8 j + 2 member + e % 2`.
template <int R, int N> __device__ __forceinline__ void across(float (&o)[WIDTH / 2], const Factor<N, float>& p, const float* b) {
    b += 2 * member() * PITCH + group();
#pragma unroll
    for (int k = 0; k < N; ++k, b += 8 * PITCH) {
        // A thread's two neighbouring rows of b take the places of rows four apart.
        Operand<4> x;
        x.set(0, p.x[4 * k]), x.set(1, p.x[4 * k + 2]), x.set(2, p.x[4 * k + 1]), x.set(3, p.x[4 * k + 3]);
#pragma unroll
        for (int j = 0; j < WIDTH / 8; ++j) {
            Operand<2> y;
            y.set(0, b[8 * j]), y.set(1, b[PITCH + 8 * j]);
            multiply(o + 4 * j, x, y);
        }
    }
}
template <int R, int N> __device__ __forceinline__ void across(float (&o)[WIDTH / 2], const Factor<N, bf16>& p, const bf16* b) {
    int part = threadIdx.x % 32 / 8, row = threadIdx.x % 8;
    b += (part % 2 * 8 + row) * PITCH + part / 2 * 8;
#pragma unroll
    for (int k = 0; k < N; k += 2, b += 16 * PITCH) {
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j += 2) {
            u32 pair[4];
            load_turned(pair, b + 8 * j);
            mma_bf16(o + 4 * j, p.x + 2 * k, pair), mma_bf16(o + 4 * j + 4, p.x + 2 * k, pair + 2);
        }
    }
}
#endif

// Rows that a warp holds in registers: at most 128 FOURS numbers, a multiple of 4.

struct Held {
    float4 of[FOURS];
};

__device__ __forceinline__ int held_at(int k) { return 4 * ((int)(threadIdx.x & 31) + 32 * k); }

// A row of `len` numbers; what is beyond it counts as 0.
template <class T> __device__ __forceinline__ void load(Held& to, const T* from, int len) {
#pragma unroll
    for (int k = 0; k < FOURS; ++k) to.of[k] = held_at(k) < len ? load4(from + held_at(k)) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
}
// A row that will be read later is on its way meanwhile, without registers to wait in.
template <class T> __device__ __forceinline__ void ask_for(const T* row, int len) {
#pragma unroll
    for (int k = 0; k < FOURS; ++k)
        if (held_at(k) < len) asm volatile("prefetch.global.L2 [%0];" ::"l"(row + held_at(k)));
}
template <class T> __device__ __forceinline__ void store(const Held& from, T* to, int len) {
#pragma unroll
    for (int k = 0; k < FOURS; ++k)
        if (held_at(k) < len) store4(to + held_at(k), from.of[k]);
}

// Adds a row, rounding once more: not as part of a product before.
template <class T> __device__ __forceinline__ void add_row(Held& x, const T* row, int len) {
#pragma unroll
    for (int k = 0; k < FOURS; ++k) {
        if (held_at(k) >= len) break;
        float4 &v = x.of[k], w = load4(row + held_at(k));
        v.x = __fadd_rn(v.x, w.x), v.y = __fadd_rn(v.y, w.y), v.z = __fadd_rn(v.z, w.z), v.w = __fadd_rn(v.w, w.w);
    }
}

// `f` of every number that is there, which may change it.
template <class F> __device__ __forceinline__ void each(Held& x, int len, F f) {
#pragma unroll
    for (int k = 0; k < FOURS; ++k) {
        if (held_at(k) >= len) break;
        float4& v = x.of[k];
        f(v.x), f(v.y), f(v.z), f(v.w);
    }
}
template <class F> __device__ __forceinline__ void each2(Held& x, Held& y, int len, F f) {
#pragma unroll
    for (int k = 0; k < FOURS; ++k) {
        if (held_at(k) >= len) break;
        float4 &v = x.of[k], &w = y.of[k];
        f(v.x, w.x), f(v.y, w.y), f(v.z, w.z), f(v.w, w.w);
    }
}

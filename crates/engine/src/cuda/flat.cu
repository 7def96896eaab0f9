// Long vectors: sums, steps, norms.

// `a += by b`, in f64 before it is rounded.
KERNEL add_scaled(float* a, const float* b, double by, i64 n) {
    map2(a, b, a, n, [=](float a, float b) { return a + (float)(b * by); });
}
KERNEL scale(float* a, double by, i64 n) {
    map1(a, a, n, [=](float a) { return (float)(a * by); });
}
// `a = keep a + by b`.
KERNEL blend(float* a, const float* b, float keep, float by, i64 n) {
    map2(a, b, a, n, [=](float a, float b) { return keep * a + by * b; });
}
// `a = keep a + by b^2`.
KERNEL blend_square(float* a, const float* b, float keep, float by, i64 n) {
    map2(a, b, a, n, [=](float a, float b) { return keep * a + by * b * b; });
}
// Adam's step from its two means: `-rate m / (root sqrt(v) + eps)`.
KERNEL adam_step(const float* m, const float* v, float* step, float rate, float root, float eps, i64 n) {
    map2(m, v, step, n, [=](float m, float v) { return -rate * m / (sqrtf(v) * root + eps); });
}

// Sums of squares of pieces of 16384, `[pieces]`.
KERNEL square_pieces(const float* x, double* out, i64 n) {
    double sum = 0.0;
    i64 from = (i64)blockIdx.x * 16384, to = min(n, from + 16384);
    for (i64 i = from + threadIdx.x; i < to; i += blockDim.x) sum += (double)x[i] * x[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// 1 where one of the first `present` numbers is finite, else 0.
KERNEL finite_flags(const float* x, float* flags, i64 present, i64 n) {
    i64 i = THREAD;
    if (i < n) flags[i] = i < present && fabsf(x[i]) < INFINITE ? 1.0f : 0.0f;
}
// `w += step`, which begins anywhere.
KERNEL walk(float* w, const float* step, i64 n) {
    i64 i = THREAD;
    if (i < n) w[i] += step[i];
}
// `w += by (step + size plus)`, where `plus` may be null, for tensors whose addresses and places in the step stand in `table`, `[count + 1, 2]`; in f64 before it is
// rounded. A block takes `block` numbers.
KERNEL walk_all(const u64* table, int count, const float* step, double by, const float* plus, double size, int block, i64 n) {
    i64 from = (i64)blockIdx.x * block, to = min(n, from + block);
    int low = 0, high = count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if ((i64)table[2 * middle + 1] <= from) low = middle;
        else high = middle - 1;
    }
#pragma unroll 4
    for (i64 i = from + threadIdx.x; i < to; i += blockDim.x) {
        float d = plus ? step[i] + (float)(plus[i] * size) : step[i];
        d = (float)(d * by);
        while (i >= (i64)table[2 * low + 3]) ++low;
        ((float*)table[2 * low])[i - (i64)table[2 * low + 1]] += d;
    }
}

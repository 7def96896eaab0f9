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
// A tensor's place: its address, where it begins in the step, and where its numbers are kept rounded to bf16, if not null.
struct Place {
    float* w;
    i64 start;
    bf16* rounded;
};
// `w += by (step + size plus)`, where `plus` may be null, for tensors whose places stand in `table`, `[count + 1]`; in f64 before it
// is rounded. A block takes `block` numbers, a multiple of four; a thread four of them where they are one tensor's and aligned.
KERNEL walk_all(const Place* table, int count, const float* step, double by, const float* plus, double size, int block, i64 n) {
    i64 from = (i64)blockIdx.x * block, to = min(n, from + block);
    int low = 0, high = count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (table[middle].start <= from) low = middle;
        else high = middle - 1;
    }
    auto moved = [=](float w, float step) { return w + (float)(step * by); };
    auto with = [=](float step, float plus) { return step + (float)(plus * size); };
#pragma unroll 2
    for (i64 i = from + 4 * threadIdx.x; i < to; i += 4 * blockDim.x) {
        while (i >= table[low + 1].start) ++low;
        Place place = table[low];
        i64 at = i - place.start;
        if (i + 3 < min(to, table[low + 1].start) && at % 4 == 0 && in_fours(step) && in_fours(plus)) {
            float4 w = load4(place.w + at), s = load4(step + i);
            if (plus) {
                float4 p = load4(plus + i);
                s.x = with(s.x, p.x), s.y = with(s.y, p.y), s.z = with(s.z, p.z), s.w = with(s.w, p.w);
            }
            w.x = moved(w.x, s.x), w.y = moved(w.y, s.y), w.z = moved(w.z, s.z), w.w = moved(w.w, s.w);
            store4(place.w + at, w);
            if (place.rounded) store4(place.rounded + at, w);
            continue;
        }
        int own = low;
        for (i64 j = i; j < min(to, i + 4); ++j) {
            while (j >= table[own + 1].start) ++own;
            at = j - table[own].start;
            float w = moved(table[own].w[at], plus ? with(step[j], plus[j]) : step[j]);
            table[own].w[at] = w;
            if (table[own].rounded) table[own].rounded[at] = w;
        }
    }
}

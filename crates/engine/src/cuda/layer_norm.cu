// Layer and root-mean-square normalisation that reads everything once: a warp makes a row, which it holds in registers. For rows of at
// most 128 FOURS numbers, multiples of 4, and scales and shifts at multiples of 16 bytes; normalise.cu has the rest.

// `x` becomes `x scale + shift`, column by column; a null shift is none.
__device__ __forceinline__ void affine(Held& x, const float* scale, const float* shift, int d) {
    Held s;
    load(s, scale, d);
    each2(x, s, d, [](float& a, float& b) { a *= b; });
    if (!shift) return;
    load(s, shift, d);
    each2(x, s, d, [](float& a, float& b) { a += b; });
}

// `xhat = (x - mean) / sqrt(variance + eps)`, `y = gamma xhat + beta`; with a null `beta`, `xhat = x / sqrt(mean(x^2) + eps)`.
KERNEL norm_held(const number* x, const float* gamma, const float* beta, float eps, number* y, number* xhat, float* rstd, i64 rows,
                 int d) {
    i64 row = THREAD >> 5, at = row * d;
    if (row >= rows) return;
    Held v;
    load(v, x + at, d);
    float sum = 0.0f, square = 0.0f;
    if (beta) each(v, d, [&](float& a) { sum += a; });
    float mean = beta ? warp_sum(sum) / d : 0.0f;
    each(v, d, [&](float& a) { a -= mean, square += a * a; });
    float scale = 1.0f / sqrtf(warp_sum(square) / d + eps);
    each(v, d, [&](float& a) { a *= scale; });
    store(v, xhat + at, d);
    affine(v, gamma, beta, d);
    store(v, y + at, d);
    if ((threadIdx.x & 31) == 0) rstd[row] = scale;
}

// `dx = rstd (g - mean(g) - xhat mean(g xhat)) + sum` with `g = gamma dy`; without `centred` there is no `mean(g)`, and a null `sum` is
// none.
KERNEL norm_held_backward(const number* dy, const float* gamma, const number* xhat, const float* rstd, const number* sum, number* dx,
                          i64 rows, int d, int centred) {
    i64 row = THREAD >> 5, at = row * d;
    if (row >= rows) return;
    Held g, h;
    load(g, dy + at, d), load(h, xhat + at, d);
    if (sum) ask_for(sum + at, d);
    affine(g, gamma, nullptr, d);
    float total = 0.0f, slope = 0.0f;
    each2(g, h, d, [&](float& a, float& b) { total += a, slope += a * b; });
    float mean = centred ? warp_sum(total) / d : 0.0f, along = warp_sum(slope) / d, scale = rstd[row];
    each2(g, h, d, [&](float& a, float& b) { a = scale * (a - mean - b * along); });
    if (sum) add_row(g, sum + at, d);
    store(g, dx + at, d);
}

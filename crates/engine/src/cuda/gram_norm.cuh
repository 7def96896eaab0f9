// The norm that is reported for a sum of outer products, from what its Gram matrices tell: op/per_example/margins.rs, which says why.

// What rounding may have taken.
struct Margins {
    double middle, share_a, share_b, unit, slack, off_a, off_b, sums, least;
};

// Of Gram matrices A and B: the sum of products of their elements, of roots of products on the diagonals, of squares of either's, and
// either's trace.
struct Gram {
    double sum, size, squares_a, squares_b, trace_a, trace_b;
};

// A sum of squares and products: rounding may leave less than nothing of it, which is nothing; minus infinity is what overflowed, and
// infinite. A NaN stays one.
__device__ __forceinline__ double at_least_nothing(double square) { return square < 0.0 && square > -INFINITE ? 0.0 : fabs(square); }

__device__ __forceinline__ double gram_norm(const Margins& m, const Gram& g) {
    double a = sqrt(g.squares_a) + m.least, b = sqrt(g.squares_b) + m.least, off_a = m.off_a * g.trace_a, off_b = m.off_b * g.trace_b;
    double square = g.sum + fmin(m.slack * g.size * g.size, off_a * b + off_b * a + off_a * off_b + m.sums * a * b);
    double moved_a = fmin(g.size, sqrt(g.trace_a * (b + off_b))), moved_b = fmin(g.size, sqrt(g.trace_b * (a + off_a)));
    return m.middle * sqrt(at_least_nothing(square)) + m.share_a * moved_a + m.share_b * moved_b + m.unit * g.size;
}

// Parts of a Gram, three pairs of numbers each.
__device__ __forceinline__ void add_part(Gram& g, const double2* part) {
    g.sum += part[0].x, g.size += part[0].y, g.squares_a += part[1].x, g.squares_b += part[1].y;
    g.trace_a += part[2].x, g.trace_b += part[2].y;
}
__device__ __forceinline__ void put_part(const Gram& g, double2* part) {
    part[0] = make_double2(g.sum, g.size), part[1] = make_double2(g.squares_a, g.squares_b);
    part[2] = make_double2(g.trace_a, g.trace_b);
}
// The sum of a Gram's numbers over whatever `sum` sums.
template <class F> __device__ __forceinline__ Gram gathered(Gram g, F sum) {
    return {sum(g.sum), sum(g.size), sum(g.squares_a), sum(g.squares_b), sum(g.trace_a), sum(g.trace_b)};
}

// An element of both diagonals; each counts as FLOOR, 2^-90, at least.
#define FLOOR 8.077936e-28f
__device__ __forceinline__ void add_diagonal(Gram& g, float a, float b) {
    a = fmaxf(a, FLOOR), b = fmaxf(b, FLOOR);
    g.size += sqrtf(a) * sqrtf(b), g.trace_a += a, g.trace_b += b;
}

// The norm that is reported for a sum of outer products, from what its Gram matrices tell: op/per_example/margins.rs, which says why.

// What rounding may have taken. Without a `share` only sizes tell.
struct Margins {
    double slack, unit, middle, share, left, right, sums, least, weighs_left;
};

// Of Gram matrices A and B: the sum of products of their elements, of roots of products on the diagonals; where `share` is wanted
// those of squares of either's, and either's trace.
struct Gram {
    double sum, size, squares_a, squares_b, trace_a, trace_b;
};

// A NaN stays one.
__device__ __forceinline__ double gram_norm(const Margins& m, const Gram& g) {
    double terms = m.slack * g.size * g.size;
    if (m.share == 0.0) {
        double square = g.sum + m.slack * g.size * g.size;
        return m.middle * sqrt(square < 0.0 ? 0.0 : square) + m.unit * g.size;
    }
    double a = sqrt(g.squares_a) + m.least, b = sqrt(g.squares_b) + m.least;
    double off_a = m.left * g.trace_a, off_b = m.right * g.trace_b;
    double square = g.sum + fmin(terms, off_a * b + off_b * a + off_a * off_b + m.sums * a * b);
    double moved = m.weighs_left != 0.0 ? g.trace_a * (b + off_b) : g.trace_b * (a + off_a);
    return sqrt(square < 0.0 ? 0.0 : square) + m.share * fmin(g.size, sqrt(moved)) + m.unit * g.size;
}

// Parts of a Gram: `plane` numbers behind sums and sizes are squares, and behind these traces.
__device__ __forceinline__ void add_part(Gram& g, const double2* part, i64 plane, bool all) {
    g.sum += part->x, g.size += part->y;
    if (!all) return;
    g.squares_a += part[plane].x, g.squares_b += part[plane].y;
    g.trace_a += part[2 * plane].x, g.trace_b += part[2 * plane].y;
}
__device__ __forceinline__ void put_part(const Gram& g, double2* part, i64 plane, bool all) {
    part[0] = make_double2(g.sum, g.size);
    if (!all) return;
    part[plane] = make_double2(g.squares_a, g.squares_b), part[2 * plane] = make_double2(g.trace_a, g.trace_b);
}

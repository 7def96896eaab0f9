// Weights of examples as closed forms of their norms, held to bounds: see op/curve.rs, whose arithmetic this is, operation by
// operation and without fused additions.

// The weight at a norm: `curve` is `threshold, below, scale, most, slope, shift, soft`.
__device__ __forceinline__ double weight_at(const double* curve, double norm) {
    if (norm <= curve[0]) return curve[1];
    double soft = curve[6] > 0.0 ? __ddiv_rn(curve[6], __dadd_rn(norm, curve[6])) : 0.0;
    double below = __dadd_rn(__dadd_rn(__dmul_rn(curve[4], norm), curve[5]), soft);
    if (below == 0.0) return curve[3] < INFINITE ? curve[3] : 0.0;
    double weight = __ddiv_rn(curve[2], below);
    return weight < curve[3] ? weight : curve[3];
}

// The weights of example `i`, whose squared norms are `squares` `[groups]`. `curves` has nine numbers a group: seven of the curve,
// the bound, and the address of the group's weights, `[n]`. No weight is above `bound / max(norm, tiny)`; all of an example are 0
// where one of its norms or weights is not finite, and where it is not `present`. Rounded down.
__device__ __forceinline__ void weigh_example(const double* squares, const double* curves, i64 i, bool present, int groups, double tiny) {
    bool finite = present;
    for (int g = 0; g < groups; ++g) {
        double norm = sqrt(squares[g]), weight = weight_at(curves + 9 * g, norm);
        finite = finite && norm < INFINITE && fabs(weight) < INFINITE;
    }
    for (int g = 0; g < groups; ++g) {
        double norm = sqrt(squares[g]), weight = weight_at(curves + 9 * g, norm);
        double most = __ddiv_rn(curves[9 * g + 7], norm > tiny ? norm : tiny);
        weight = weight > 0.0 ? weight : 0.0;
        ((float*)(u64)__double_as_longlong(curves[9 * g + 8]))[i] = finite ? __double2float_rd(weight < most ? weight : most) : 0.0f;
    }
}

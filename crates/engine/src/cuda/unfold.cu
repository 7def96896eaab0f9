// Images as matrices of patches, and back.

#define WINDOW int h, int w, int oh, int ow, int kh, int kw, int sh, int sw, int ph, int pw

// `cols[i, (c, r, s), (y, x)] = x[i, c, y sh + r - ph, x sw + s - pw]`, 0 beyond the border. A thread makes a cell.
KERNEL unfold_images(const float* x, float* cols, i64 n, int c, WINDOW) {
    i64 at = THREAD;
    if (at >= n) return;
    int area = oh * ow, position = at % area;
    i64 rest = at / area;
    int patch = rest % (c * kh * kw);
    i64 image = rest / (c * kh * kw);
    int s = patch % kw, r = patch / kw % kh, channel = patch / (kw * kh);
    int row = position / ow * sh + r - ph, column = position % ow * sw + s - pw;
    bool inside = row >= 0 && row < h && column >= 0 && column < w;
    cols[at] = inside ? x[((image * c + channel) * h + row) * w + column] : 0.0f;
}

// Weights `[o, c, cells]` with channels swapped and both axes turned round: `[c, o, cells]`.
KERNEL turn_weights(const float* w, float* turned, int n, int o, int c, int cells) {
    int at = (int)THREAD;
    if (at >= n) return;
    int cell = at % cells, output = at / cells % o, channel = at / (cells * o);
    turned[at] = w[(output * c + channel) * cells + cells - 1 - cell];
}

// The adjoint: a thread gathers for a pixel, window cells in row-major order.
KERNEL fold_images(const float* cols, float* x, i64 n, int c, WINDOW) {
    i64 at = THREAD;
    if (at >= n) return;
    int column = at % w, row = at / w % h, channel = at / (w * h) % c, area = oh * ow;
    i64 image = at / ((i64)w * h * c);
    const float* from = cols + (image * c + channel) * kh * kw * area;
    float sum = 0.0f;
    for (int r = 0; r < kh; ++r) {
        int y = row + ph - r;
        if (y < 0 || y % sh || y / sh >= oh) continue;
        for (int s = 0; s < kw; ++s) {
            int z = column + pw - s;
            if (z < 0 || z % sw || z / sw >= ow) continue;
            sum += from[(r * kw + s) * area + y / sh * ow + z / sw];
        }
    }
    x[at] = sum;
}

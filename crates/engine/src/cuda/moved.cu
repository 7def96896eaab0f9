// Copies of images, moved and mirrored.
struct Move { int down, right; u32 mirrored; };

// Where the number at `at` comes from, of `len` in a row; below 0 for a zero.
__device__ __forceinline__ int from(int at, int by, int len, bool reflected) {
    at += by;
    if (at >= 0 && at < len) return at;
    if (!reflected) return -1;
    return at < 0 ? -at : 2 * (len - 1) - at;
}

// `[n, c, h, w]` to `[n * each, c, h, w]`, a thread a pixel.
KERNEL moved(const float* x, const Move* moves, float* y, i64 n, int c, int h, int w, int each, bool reflected) {
    i64 at = THREAD;
    if (at >= n) return;
    int column = at % w, line = at / w % h;
    i64 plane = at / w / h, copy = plane / c;
    Move by = moves[copy];
    int i = from(line, by.down, h, reflected), j = from(by.mirrored ? w - 1 - column : column, by.right, w, reflected);
    y[at] = i < 0 || j < 0 ? 0.0f : x[((copy / each * c + plane % c) * h + i) * w + j];
}

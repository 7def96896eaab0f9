// Sliding windows: maxima and means. A thread makes an output, or gathers for an input.

#define WINDOW int h, int w, int oh, int ow, int kh, int kw, int sh, int sw, int ph, int pw

// The first of equal pixels wins, a NaN wins over numbers. `argmax` may be null. `I`: as for max_pool_back.
template <class I> __device__ __forceinline__ void max_pool(const number* x, number* y, u32* argmax, I at, WINDOW) {
    int j = at % ow, i = at / ow % oh;
    const number* plane = x + (i64)(at / (ow * oh)) * (h * w);
    float best = -INFINITE;
    u32 where = 0;
    bool first = true;
    for (int r = max(i * sh - ph, 0); r < min(i * sh - ph + kh, h); ++r)
        for (int c = max(j * sw - pw, 0); c < min(j * sw - pw + kw, w); ++c) {
            float v = plane[r * w + c];
            if (first || v > best || v != v) best = v, where = r * w + c, first = false;
        }
    y[at] = best;
    if (argmax) argmax[at] = where;
}
KERNEL max_pool_forward(const number* x, number* y, u32* argmax, i64 n, WINDOW) {
    i64 at = THREAD;
    if (at >= n) return;
    if (n < 1ll << 32) max_pool<u32>(x, y, argmax, at, h, w, oh, ow, kh, kw, sh, sw, ph, pw);
    else max_pool<i64>(x, y, argmax, at, h, w, oh, ow, kh, kw, sh, sw, ph, pw);
}

// The positions of windows along one axis that hold a pixel: from `first` to `last`.
__device__ int first_window(int pixel, int k, int s, int p) { return max((pixel + p - k) / s + (pixel + p >= k ? 1 : 0), 0); }
__device__ int last_window(int pixel, int s, int p, int count) { return min((pixel + p) / s, count - 1); }

// `I` holds the numbers of elements: 32 bits where they are enough, which divide four times as fast.
template <class I> __device__ __forceinline__ void max_pool_back(const number* dy, const u32* argmax, number* dx, I at, WINDOW) {
    int c = at % w, r = at / w % h;
    I plane = at / (w * h);
    u32 me = r * w + c;
    float sum = 0.0f;
    for (int i = first_window(r, kh, sh, ph); i <= last_window(r, sh, ph, oh); ++i)
        for (int j = first_window(c, kw, sw, pw); j <= last_window(c, sw, pw, ow); ++j) {
            I window = (plane * oh + i) * ow + j;
            if (argmax[window] == me) sum += dy[window];
        }
    dx[at] = sum;
}
KERNEL max_pool_backward(const number* dy, const u32* argmax, number* dx, i64 n, WINDOW) {
    i64 at = THREAD;
    if (at >= n) return;
    if (n < 1ll << 32) max_pool_back<u32>(dy, argmax, dx, at, h, w, oh, ow, kh, kw, sh, sw, ph, pw);
    else max_pool_back<i64>(dy, argmax, dx, at, h, w, oh, ow, kh, kw, sh, sw, ph, pw);
}

// For windows side by side that leave nothing out: a thread writes the pixels of a window. At most 2^32 - 1 windows.
KERNEL max_pool_backward_apart(const number* dy, const u32* argmax, number* dx, i64 n, int oh, int ow, int kh, int kw) {
    if (THREAD >= n) return;
    u32 at = THREAD, j = at % ow, line = at / ow, i = line % oh, w = ow * kw, where = argmax[at];
    float slope = dy[at];
    number* plane = dx + (i64)(line / oh) * (oh * kh) * w;
    for (int r = 0; r < kh; ++r)
        for (int c = 0; c < kw; ++c) {
            u32 pixel = (i * kh + r) * w + j * kw + c;
            plane[pixel] = pixel == where ? slope : 0.0f;
        }
}

KERNEL avg_pool_forward(const number* x, number* y, i64 n, WINDOW) {
    i64 at = THREAD;
    if (at >= n) return;
    int j = at % ow, i = at / ow % oh;
    const number* plane = x + at / (ow * oh) * (h * w);
    float sum = 0.0f;
    for (int r = max(i * sh - ph, 0); r < min(i * sh - ph + kh, h); ++r)
        for (int c = max(j * sw - pw, 0); c < min(j * sw - pw + kw, w); ++c) sum += plane[r * w + c];
    y[at] = sum / (kh * kw);
}

KERNEL avg_pool_backward(const number* dy, number* dx, i64 n, WINDOW) {
    i64 at = THREAD;
    if (at >= n) return;
    int c = at % w, r = at / w % h;
    i64 plane = at / (w * h);
    float sum = 0.0f;
    for (int i = first_window(r, kh, sh, ph); i <= last_window(r, sh, ph, oh); ++i)
        for (int j = first_window(c, kw, sw, pw); j <= last_window(c, sw, pw, ow); ++j) sum += dy[(plane * oh + i) * ow + j];
    dx[at] = sum / (kh * kw);
}

// The patches of an image as lines of a tile, read in place: line (c, r, s) holds x[c, i sh + r - ph, j sw + s - pw] for
// positions (i, j), and zeros where that lies in the border. Needs ALONG = 1.

struct Window {
    int c, h, w;    // image
    int kh, kw;     // kernel
    int sh, sw;     // stride
    int ph, pw;     // padding
    int oh, ow;     // positions
};

// Where line `first + l` begins in the image, and its row and column in the kernel (16 bits each).
__device__ __forceinline__ void find_lines(int2* lines, const Window& window, int first) {
    int cells = window.kh * window.kw;
    for (int l = threadIdx.x; l < BN; l += THREADS) {
        int c = (first + l) / cells, cell = (first + l) % cells, r = cell / window.kw, s = cell % window.kw;
        // Beyond the last line every position is in the border.
        lines[l] = c < window.c ? make_int2((c * window.h + r) * window.w + s, r | s << 16) : make_int2(0, 0x7fff);
    }
}

// Whether positions are the image's pixels, whose lines are copied as they are.
__device__ __forceinline__ bool plain(const Window& w) {
    return w.kh * w.kw == 1 && w.sh * w.sw == 1 && w.ph + w.pw == 0;
}

// Where the patch of a position begins.
struct Corner {
    int top, left, base;
    __device__ __forceinline__ Corner(const Window& window, int at) {
        int i = at / window.ow, j = at - i * window.ow;
        top = i < window.oh ? i * window.sh - window.ph : 0x10000, left = j * window.sw - window.pw, base = top * window.w + left;
    }
    // Whether it has a line's pixel.
    __device__ __forceinline__ bool sees(const Window& window, int2 where) const {
        int row = top + (where.y & 0xffff), column = left + (where.y >> 16);
        return (u32)row < (u32)window.h && (u32)column < (u32)window.w;
    }
};

// Fills a tile of BN lines with positions `from` .. `from + BK` of the image x: a word of each line a thread.
__device__ __forceinline__ void fill_patches(u32* tile, const element* x, const int2* lines, const Window& window, int from) {
    constexpr int WORDS = BK / PER_WORD, STEP = THREADS / WORDS;
    int word = threadIdx.x % WORDS;
    Corner first(window, from + word * PER_WORD), second(window, from + word * PER_WORD + PER_WORD - 1);
#pragma unroll 8
    for (int turn = 0; turn < BN / STEP; ++turn) {
        int line = threadIdx.x / WORDS + turn * STEP;
        int2 where = lines[line];
        bool inside = first.sees(window, where);
        u32* to = tile + place(line, word / 4) + word % 4;
#if PRECISION == 2
        u32 low = inside ? x[first.base + where.x] : 0, high = second.sees(window, where) ? x[second.base + where.x] : 0;
        *to = low | high << 16;
#else
        copy4(to, inside ? x + (first.base + where.x) : x, inside);
#endif
    }
}

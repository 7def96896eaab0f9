// Gram matrices of rows, in tiles of their lower halves: tile `k` of `lines (lines + 1) / 2` is (row, col) with col <= row.

// Steps after which accumulators of the tensor cores are emptied, which bounds what truncation can take: 64 steps of 8.
#define CHUNK (512 / LINE)

struct Corner {
    int row, col;
};

__device__ __forceinline__ Corner corner_of(int tile) {
    int line = 0;
    while ((line + 1) * (line + 2) / 2 <= tile) ++line;
    return {line * BM, (tile - line * (line + 1) / 2) * BN};
}

// Runs over `width` columns of rows `row..` and `col..` of one example, [t, .] with this pitch, and hands over the accumulators
// after every CHUNK steps: `take(first, accumulators)`.
template <class Take>
__device__ __forceinline__ void gram(const element* x, int pitch, int t, Corner at, int width, u32* stages, Take take) {
    float acc[ACCUMULATORS];
    clear(acc);
    int steps = (width + BK - 1) / BK;
    bool two = at.row != at.col;
    auto fill = [&](int step, int stage) {
        u32* to = stages + stage * STAGE_WORDS;
        int from = step * BK;
        fill_lines<BM, BK, 0>(to, x + (long long)at.row * pitch + from, pitch, t - at.row, width - from);
        if (two) fill_lines<BN, BK, 0>(to + A_WORDS, x + (long long)at.col * pitch + from, pitch, t - at.col, width - from);
    };
    pipeline(steps, fill, [&](int step, int stage) {
        const u32* from = stages + stage * STAGE_WORDS;
        multiply(acc, from, two ? from + A_WORDS : from);
        if ((step + 1) % CHUNK != 0 && step + 1 != steps) return;
        take(step < CHUNK, acc);
        clear(acc);
    });
}

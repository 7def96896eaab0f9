// Tokens to rows of a table. A block makes a position.

// Ids from floats: anything but a whole number below `v` becomes 0, and its row NaN. Rows of id `padding` are 0 (none if
// `padding` is negative); `present` (may be null) says which are not.
KERNEL look_up(const float* x, const float* table, number* y, u32* ids, u32* present, int v, int d, i64 padding) {
    i64 at = blockIdx.x;
    float token = x[at];
    bool valid = token >= 0.0f && token < (float)v && floorf(token) == token;
    u32 id = valid ? (u32)token : 0;
    bool empty = (i64)id == padding;
    for (int j = threadIdx.x; j < d; j += blockDim.x)
        y[at * d + j] = empty ? 0.0f : valid ? table[(i64)id * d + j] : NOT_A_NUMBER;
    if (threadIdx.x != 0) return;
    ids[at] = id;
    if (present) present[at] = !empty;
}

// Rows as they are, and of id `padding` 0.
KERNEL silence_rows(const number* dy, number* dx, const u32* ids, int d, u32 padding) {
    i64 first = (i64)blockIdx.x * d;
    bool empty = ids[blockIdx.x] == padding;
    if (dy == dx && !empty) return;
    for (int j = threadIdx.x; j < d; j += blockDim.x) dx[first + j] = empty ? 0.0f : (float)dy[first + j];
}

// Rows times numbers of their own; a weight of exactly 0 makes a row 0, whatever it holds.
KERNEL share_rows(const number* x, number* y, const float* weights, i64 n, i64 width) {
    i64 at = THREAD;
    if (at >= n) return;
    float weight = weights[at / width];
    y[at] = weight == 0.0f ? 0.0f : weight * (float)x[at];
}

// Rows of a table of floats.
KERNEL gather_floats(const float* table, const u32* who, float* out, i64 n, int width) {
    i64 at = THREAD;
    if (at < n) out[at] = table[(i64)who[at / width] * width + at % width];
}
// Rows of a table of bytes, each read through the values of its channel, `[channels, 256]`.
KERNEL gather_bytes(const unsigned char* table, const float* values, const u32* who, float* out, i64 n, int width, int plane) {
    i64 at = THREAD;
    if (at >= n) return;
    int j = at % width;
    out[at] = values[j / plane * 256 + table[(i64)who[at / width] * width + j]];
}
// Rows of `from` columns with `to - from` zeros behind.
KERNEL pad_rows(const number* x, number* y, i64 n, int from, int to) {
    i64 at = THREAD;
    if (at >= n) return;
    int j = at % to;
    y[at] = j < from ? (float)x[at / to * from + j] : 0.0f;
}

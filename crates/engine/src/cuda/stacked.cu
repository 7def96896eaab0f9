// Images `[n each, c, h, w]` every so many lines in `[n, c, lines, w]`, with zeros between. `area` are the numbers of one channel of an image, `pitch` those from
// the top of one to the top of the next, `whole` those of a channel of the stack. A block copies one channel of one image, and makes
// the zeros behind it: to the next image, or to the end.
KERNEL stacked(const number* x, number* y, int each, int c, int area, int pitch, int whole) {
    int k = blockIdx.x % each, plane = blockIdx.x / each;
    int room = k + 1 < each ? pitch : whole - k * pitch;
    x += (((i64)(plane / c) * each + k) * c + plane % c) * area, y += (i64)plane * whole + k * pitch;
    if (area % 4 == 0 && room % 4 == 0 && in_fours(x) && in_fours(y)) {
        for (int j = 4 * threadIdx.x; j < room; j += 4 * blockDim.x)
            store4(y + j, j < area ? load4(x + j) : make_float4(0.0f, 0.0f, 0.0f, 0.0f));
        return;
    }
    for (int j = threadIdx.x; j < room; j += blockDim.x) y[j] = j < area ? x[j] : number(0.0f);
}

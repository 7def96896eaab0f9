// Images `[n each, c, h, w]` every `step` lines in `[n, c, lines, w]`, with zeros between; a thread a number of the latter.
KERNEL stacked(const number* x, number* y, i64 count, int each, int c, int h, int w, int step, int lines) {
    i64 at = THREAD;
    if (at >= count) return;
    int column = at % w, line = at / w % lines, image = line / step;
    i64 plane = at / w / lines;
    line -= image * step;
    bool there = image < each && line < h;
    y[at] = there ? x[(((plane / c * each + image) * c + plane % c) * h + line) * w + column] : number(0.0f);
}

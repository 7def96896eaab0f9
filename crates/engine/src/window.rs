//! The sliding window of convolutions and pools.

/// Size, step and zero border of a window that slides over an image; every pair is (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Steps between neighbouring positions.
    pub stride: [usize; 2],
    /// Border added on each side.
    pub padding: [usize; 2],
}

impl Window {
    /// Number of positions (vertical, horizontal) on an image of `h` x `w`: `floor((h + 2 padding - kernel) / stride) + 1`.
    ///
    /// `None` when the window does not fit, or when kernel or stride is 0.
    #[must_use]
    pub fn output(&self, h: usize, w: usize) -> Option<(usize, usize)> {
        Some((self.along(0, h)?, self.along(1, w)?))
    }

    /// Number of cells of the window.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Positions along one axis (0 vertical, 1 horizontal) of `len` pixels.
    fn along(&self, axis: usize, len: usize) -> Option<usize> {
        let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
        let room = (len + 2 * self.padding[axis]).checked_sub(kernel)?;
        (kernel > 0 && stride > 0).then(|| room / stride + 1)
    }

    /// As [`Window::output`].
    ///
    /// # Panics
    /// If the window does not fit.
    pub(crate) fn fit(&self, h: usize, w: usize) -> (usize, usize) {
        let fit = self.output(h, w);
        assert!(fit.is_some(), "{self:?} does not fit on an image of {h} x {w}");
        fit.unwrap_or((0, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn counts_positions() {
        let window = Window { kernel: [8, 4], stride: [2, 2], padding: [3, 0] };
        assert_eq!(window.output(28, 13), Some((14, 5)));
        assert_eq!(window.output(1, 13), None);
        assert_eq!(Window { stride: [0, 1], ..window }.output(28, 13), None);
        assert_eq!(Window { kernel: [0, 1], ..window }.output(28, 13), None);
    }
}

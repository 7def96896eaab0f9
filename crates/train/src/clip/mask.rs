//! Which coordinates are left in: masks by rank, and random ones. Not a rule.
use super::{ClipRule, Frame, flat};
use crate::{
    each::Each,
    grads::{Grads, Layout},
    state::State,
};
use privacy::Stream;
use std::sync::Arc;

/// Ones for the `keep` largest of `scores`, among equals the earlier ones, and zeros for the others.
pub(super) fn largest(scores: &[f64], keep: usize) -> Vec<f32> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    let mut mask = vec![0.0; scores.len()];
    order.iter().take(keep).for_each(|i| mask[*i] = 1.0);
    mask
}

/// Uniform scores from public coins, for a random mask.
pub(super) fn random(stream: &Stream, n: usize) -> Vec<f64> {
    (0..n as u64).map(|i| stream.uniform(i)).collect()
}

/// The mask as a frame.
pub(super) fn frame(layout: &Arc<Layout>, mask: Vec<f32>) -> Frame {
    Frame::scale(Grads::new(layout, mask), None)
}

/// Flat clipping of what a mask leaves in. `draw` makes the mask of a step, if it is a new one.
pub(super) struct Masked<D> {
    pub bound: f64,
    pub frame: Frame,
    pub draw: D,
}

impl<D: Send + Sync> State for Masked<D> {}

impl<D: FnMut(u64) -> Option<Frame> + Send + Sync> ClipRule for Masked<D> {
    fn begin(&mut self, step: u64) {
        if let Some(frame) = (self.draw)(step) {
            self.frame = frame;
        }
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.bound; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &[self.bound])
    }
    fn frame(&self) -> Option<&Frame> {
        Some(&self.frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_mask() {
        let theta = [0.5f64, -0.1, 0.03, -0.9, 0.2, 0.0].map(f64::abs);
        assert_eq!(largest(&theta, 3), [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        assert_eq!(largest(&[1.0; 4], 2), [1.0, 1.0, 0.0, 0.0], "the lower index wins");
    }
}

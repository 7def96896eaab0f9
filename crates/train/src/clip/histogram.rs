//! A noisy histogram of gradient norms, which the DC-SGD rules read. Not a rule.
use super::{ClipRule, News, Price, Question, SideNoise, flat, threshold::Threshold};
use crate::{
    each::Each,
    grads::Grads,
    state::{State, Visit},
};

/// Bins of a histogram, as published.
pub(super) const BINS: usize = 20;

/// What a histogram says of the next bound, and of the width of bins for the next one.
pub(super) trait Reading: Send + Sync {
    /// `counts` are noisy, of bins of `width`; `bound` is the one that examples were clipped at.
    fn next(&self, counts: &[f64], width: f64, bound: f64, news: &News) -> (f64, f64);
}

/// Flat clipping at a bound that follows a histogram.
pub(super) struct Histogram<R> {
    pub threshold: Threshold,
    pub width: f64,
    pub noise: SideNoise,
    pub reading: R,
}

impl<R> State for Histogram<R> {
    fn state(&mut self, visit: &mut Visit) {
        self.threshold.state(visit);
        visit.number("width", &mut self.width);
    }
}

impl<R: Reading> ClipRule for Histogram<R> {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.threshold.now; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &[self.threshold.now])
    }
    fn ask(&self) -> Option<Question> {
        Some(Question { width: BINS, price: Price::Apart { bound: 1.0, noise: self.noise } })
    }
    fn answer(&self, norms: Each) -> Each {
        let width = self.width;
        norms.map_rows(BINS, move |norm, bins| bins[((norm[0] / width) as usize).min(BINS - 1)] = 1.0)
    }
    fn restore(&self, mean: Grads) -> Grads {
        self.threshold.rescale(mean)
    }
    fn learn(&mut self, news: &News) {
        if let Some(counts) = news.answer {
            let (bound, width) = self.reading.next(counts, self.width, self.threshold.now, news);
            self.threshold.follow(bound);
            self.width = if width.is_finite() && width > 0.0 { width } else { self.width };
        }
    }
}

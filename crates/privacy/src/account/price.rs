//! What an accountant answers: epsilon, and what is known of it besides.

use serde::{Deserialize, Serialize};

/// An epsilon, how sharp it is, and what to know about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// The claim: an upper bound on the true epsilon, unless [`Price::estimate`]. Never negative, never not a number; it
    /// may be infinite.
    pub epsilon: f64,
    /// A lower bound on the true epsilon of the events as priced, where the accountant proves one.
    pub lower: Option<f64>,
    /// The upper bound that goes with `lower`.
    pub upper: Option<f64>,
    /// Whether this is an estimate and no bound.
    pub estimate: bool,
    /// Remarks, in words.
    pub notes: Vec<String>,
}

impl Price {
    /// An upper bound, and no more.
    pub fn bound(epsilon: f64) -> Self {
        Price { epsilon, ..Price::default() }
    }

    /// A proven interval.
    pub fn interval(lower: f64, upper: f64) -> Self {
        Price { epsilon: upper, lower: Some(lower), upper: Some(upper), ..Price::default() }
    }

    /// An estimate, which is no bound.
    pub fn estimate(epsilon: f64) -> Self {
        Price { epsilon, estimate: true, ..Price::default() }
    }

    /// The same with one more remark.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// The same without what is no number and what is negative: unknown upper bounds become infinite, unknown lower
    /// bounds zero. An infinite epsilon gets a remark.
    pub(crate) fn sound(mut self) -> Self {
        self.epsilon = above(self.epsilon);
        self.upper = self.upper.map(above);
        self.lower = self.lower.map(|x| x.max(0.0).min(self.epsilon));
        if self.epsilon.is_infinite() && self.notes.is_empty() {
            self.notes.push("epsilon is infinite: something was released without enough noise for this delta".into());
        }
        self
    }
}

/// A sound upper bound.
fn above(epsilon: f64) -> f64 {
    if epsilon.is_nan() { f64::INFINITY } else { epsilon.max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_price_is_nonsense() {
        let price = Price::interval(f64::NAN, f64::NAN).sound();
        assert_eq!((price.epsilon, price.lower, price.upper), (f64::INFINITY, Some(0.0), Some(f64::INFINITY)));
        assert_eq!(price.notes.len(), 1);
        assert_eq!(Price::interval(-1.0, -0.5).sound(), Price::interval(0.0, 0.0));
        assert!(Price::estimate(2.0).estimate && !Price::bound(2.0).estimate);
        assert_eq!(Price::bound(1.0).note("a").notes, ["a"]);
    }
}

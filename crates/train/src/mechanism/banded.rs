//! Banded Toeplitz matrix factorisation: each step's noise partly takes back that of the steps before it.
//!
//! Source: Choquette-Choo et al. 2023, arXiv 2306.08153; the coefficients are the best ones for prefix sums (Fichtenberger,
//! Henzinger & Upadhyay 2023), cut to `bands` and scaled to length one. With at most as many bands as an epoch has steps, the
//! price is that of one Gaussian release an epoch. Memory: `bands - 1` points.
//! Noise of neighbouring steps is negatively correlated: a momentum or a rate that changes within a few steps undoes some
//! of that.
//!
//! # Why this is private
//! *Claim.* The noise is that of the strategy that is charged.
//! *Argument.* [`privacy::Correlated`] makes it from white noise; the door checks how soon examples come back.
//! *Tests.* `correlated::tests` of the privacy crate; `mechanism/tests.rs`.
use super::{Noise, Stretch, gaussian::white};
use crate::grads::Grads;
use privacy::{Correlated, Mechanism, Strategy};
use serde::{Deserialize, Serialize};

/// `{ mechanism = "banded", bands = 8 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Banded {
    /// Steps over which noise is correlated; 1 is independent noise.
    pub bands: u64,
}

impl Noise for Banded {
    fn prepare(&self, noise_multiplier: f64, stretch: &Stretch) -> Result<Box<dyn Mechanism<Grads>>, String> {
        if self.bands == 0 {
            return Err("bands = 0: must be at least 1".into());
        }
        let separation = stretch.period()?;
        let strategy = Strategy::banded(self.bands, stretch.rounds, stretch.participations(separation), separation);
        strategy.square()?;
        Ok(Box::new(Correlated::new(strategy, noise_multiplier, stretch.first, Box::new(white))))
    }
}

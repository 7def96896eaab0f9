//! Noise mechanisms: shapes of unit noise. None of them ever sees a secret, and none decides how much: the ledger
//! multiplies unit noise by the multiplier it charges and the bound it was promised.
//!
//! A new mechanism is one file and one word in the list below.
#[cfg(test)]
mod tests;

use crate::{grads::Grads, registry::registry};
use privacy::Mechanism;

registry! {
    /// A mechanism as a configuration names it: `{ mechanism = "gaussian" }`.
    MechanismConfig by "mechanism" as Noise:
    gaussian::Gaussian = "gaussian", "independent Gaussian noise in every step (Abadi et al. 2016)";
    tree::Tree = "tree", "noise of a binary tree over the steps, DP-FTRL's (Kairouz et al. 2021)";
    banded::Banded = "banded", "banded Toeplitz matrix factorisation (Choquette-Choo et al. 2023)";
}

/// The stretch of a run that a mechanism makes noise for. All of it is public.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Its first step: 0, or where a run was taken up by another key.
    pub first: u64,
    /// How many steps.
    pub rounds: u64,
    /// Steps after which an example comes back, if it does so in order.
    pub bins: Option<u64>,
}

impl Stretch {
    /// The rounds after which examples come back, or why correlated noise needs to know.
    ///
    /// # Errors
    /// If they come back when they like.
    pub fn period(&self) -> Result<u64, String> {
        self.bins.ok_or_else(|| {
            "correlated noise is priced for examples that come back in order: set train.sampling = \"balls-in-bins\"".into()
        })
    }

    /// Rounds in which one example may take part.
    pub fn participations(&self, period: u64) -> u64 {
        self.rounds.div_ceil(period.max(1))
    }
}

/// What a mechanism's configuration can do: make the mechanism once the noise multiplier is known.
pub trait Noise: Send + Sync {
    /// The mechanism, with noise of `noise_multiplier` times the sensitivity of one share.
    ///
    /// # Errors
    /// Which setting makes no sense, or does not go with the sampling.
    fn prepare(&self, noise_multiplier: f64, stretch: &Stretch) -> Result<Box<dyn Mechanism<Grads>>, String>;
}

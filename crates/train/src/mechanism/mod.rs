//! Noise mechanisms: shapes of unit noise. None of them ever sees a secret, and none decides how much: the ledger
//! multiplies unit noise by the multiplier it charges and the bound it was promised.
//!
//! A new mechanism is one file and one word in the list below.
use crate::{grads::Grads, registry::registry};
use privacy::Mechanism;

registry! {
    /// A mechanism as a configuration names it: `{ mechanism = "gaussian" }`.
    MechanismConfig by "mechanism" as Noise:
    gaussian::Gaussian = "gaussian", "independent Gaussian noise in every step (Abadi et al. 2016)";
}

/// What a mechanism's configuration can do: make the mechanism once the noise multiplier is known.
pub trait Noise: Send + Sync {
    /// The mechanism, with noise of `noise_multiplier` times the sensitivity.
    fn with_multiplier(&self, noise_multiplier: f64) -> Box<dyn Mechanism<Grads>>;
}

//! Tree aggregation: the noise of DP-FTRL (Kairouz et al. 2021, arXiv 2103.00039).
//!
//! The noise of all steps so far grows with the logarithm of their number and not with its root: no amplification by
//! sampling is needed for it. Gradients go to any update; with `sgd` this is DP-FTRL with restarts.
//! One tree an epoch of `n` batches costs `epochs * ceil(log2(n + 1))` in units of `1 / (2 z^2)` of zCDP; one tree for the whole
//! run is cheaper for few epochs of many batches and dearer for many of few. `reduced` estimates each node from all nodes
//! below it (Honaker 2015) and costs nothing.
//!
//! # Why this is private
//! *Claim.* The noise is that of the strategy that is charged.
//! *Argument.* [`privacy::Correlated`] makes it from white noise; the door checks that the draws fit the trees.
//! *Tests.* `correlated::tests` of the privacy crate; `mechanism/tests.rs`.
use super::{Noise, Stretch, gaussian::white};
use crate::grads::Grads;
use privacy::{Correlated, Mechanism, Strategy};
use serde::{Deserialize, Serialize};

/// When a tree ends and the next begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// After every epoch: no example is in one tree twice.
    #[default]
    Epoch,
    /// Never.
    Never,
}

fn yes() -> bool {
    true
}

/// `{ mechanism = "tree", restart = "epoch" }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// When a tree ends and the next begins.
    #[serde(default)]
    pub restart: Restart,
    /// Whether noise is estimated from all nodes.
    #[serde(default = "yes")]
    pub reduced: bool,
}

impl Noise for Tree {
    fn prepare(&self, noise_multiplier: f64, stretch: &Stretch) -> Result<Box<dyn Mechanism<Grads>>, String> {
        let batches = stretch.period()?;
        let epochs = stretch.participations(batches);
        let strategy = match self.restart {
            Restart::Epoch => Strategy::Tree { rounds: vec![batches], epochs },
            Restart::Never => Strategy::TreeOfEpochs { batches, epochs, completed: false },
        };
        strategy.square()?;
        let noise = Correlated::new(strategy, noise_multiplier, stretch.first, Box::new(white));
        Ok(Box::new(if self.reduced { noise.reduced() } else { noise }))
    }
}

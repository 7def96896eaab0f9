//! The algorithm: draw, look at each example, clip, sum, release, step.
//!
//! # Why this is private
//! *Claim.* After `T` steps the weights are a function of public values and of `T` releases, each of which is in the
//! ledger with the noise that was really added.
//! *Argument.* `step` is the whole algorithm. Examples leave the draw as secrets; the only bounded thing made of them is
//! what `clip::contribute` summed; the only way from there to the weights is `Round::release`, which charges and noises.
//! The normaliser is a public constant, never the size of a lot. An empty lot is a step like any other. Ordinary
//! training is the same page with `reveal` for `release`: the ledger then says that everything was shown.
//! *Tests.* `a_rehearsal_writes_the_runs_ledger`, `chunks_change_nothing`, `an_empty_lot_is_a_step`,
//! `ordinary_training_costs_everything`; neighbouring data sets with the same key in `tests/neighbours.rs`.
use crate::{
    clip::{self, ClipRule, Lot},
    data::Examples,
    grads::Grads,
    layer::Coins,
    model::{Model, Weights},
    tap::Taps,
    update::Update,
};
use privacy::{Key, Ledger, LedgerError, Mechanism, Poisson, Secret, Sum};
use std::sync::Arc;

/// How a sum over a lot becomes something to learn from.
pub enum Method {
    /// Clipped by a rule, then noised by a mechanism and charged.
    Private {
        /// The clip rule.
        rule: Box<dyn ClipRule>,
        /// The noise.
        mechanism: Box<dyn Mechanism<Grads>>,
    },
    /// NOT PRIVATE: the plain sum, shown to the world. For baselines.
    Ordinary,
}

/// Everything one step of training needs.
pub struct Trainer {
    /// What is trained.
    pub model: Arc<Model>,
    /// Its weights.
    pub weights: Weights,
    /// The people.
    pub data: Secret<Arc<Examples>>,
    /// Who takes part in a step.
    pub sampler: Poisson,
    /// How sums are released.
    pub method: Method,
    /// What is made of a released gradient, link by link; the last gives the step.
    pub chain: Vec<Box<dyn Update>>,
    /// Where the coins of dropout come from.
    pub key: Arc<Key>,
    /// The book of costs.
    pub ledger: Ledger,
    /// Examples held in memory at once. Changes nothing but memory and time.
    pub chunk: usize,
    /// Sums are divided by this: the expected lot size, from the configuration.
    pub normaliser: f64,
    /// Steps made.
    pub step: u64,
}

impl Trainer {
    /// One step of training.
    ///
    /// # Errors
    /// If the ledger cannot be written; then nothing was released and the weights are as before.
    pub fn step(&mut self) -> Result<(), LedgerError> {
        // On a thread of the pool: from outside, every parallel loop would wake one up and wait for it.
        rayon::scope(|_| self.step_here())
    }

    fn step_here(&mut self) -> Result<(), LedgerError> {
        let layout = self.weights.layout().clone();
        let draw = self.sampler.draw(self.step);

        let look = |who| look(&self.model, &self.weights, &self.data, &self.key, self.step, who);
        let taps = draw.chunks(self.chunk).map(look);
        let released = match &mut self.method {
            Method::Private { rule, mechanism } => {
                let lots = taps.map(|taps| clip::contribute(&**rule, &layout, taps));
                let lot = lots.reduce(Lot::merge).unwrap_or_else(|| Lot::empty(&**rule, &layout));
                self.ledger.open(&draw).release(lot.sum, &mut **mechanism)?
            }
            Method::Ordinary => {
                let sums = taps.map(|taps| taps.map(|taps| clip::plain_sum(&taps)));
                let sum = sums.reduce(Secret::merge).unwrap_or_else(|| Secret::new(Grads::zeros(&layout)));
                sum.reveal(&mut self.ledger, "gradients, for ordinary training")?
            }
        };
        let mean = released.map(|sum| sum.scale(1.0 / self.normaliser));

        let (chain, weights) = (&mut self.chain, &self.weights);
        let here = || weights.point();
        let step = mean.map(|g| chain.iter_mut().fold(g, |g, link| link.update(g, &here)));
        self.weights.walk(step);
        self.step += 1;
        Ok(())
    }
}

/// The drawn examples' gradients at `weights`.
fn look(
    model: &Model,
    weights: &Weights,
    data: &Secret<Arc<Examples>>,
    key: &Arc<Key>,
    step: u64,
    who: Secret<Vec<usize>>,
) -> Secret<Taps> {
    who.join(data.as_ref()).map(|(who, data)| {
        let batch = data.gather(&who);
        model.taps_with(weights, batch, Coins { key: key.clone(), step, who })
    })
}

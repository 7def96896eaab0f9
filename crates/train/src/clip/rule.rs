//! What a clip rule is: settings that [`Prepare`] for a run, and a [`ClipRule`] that proposes weights.
use super::{Crowds, Frame, Grouping, Question};
use crate::{
    each::Each,
    grads::{Grads, Layout},
    look::Look,
    state::State,
};
use engine::op::Curve;
use privacy::Key;
use std::{path::PathBuf, sync::Arc};

/// The public numbers of a run, which a rule may build on.
#[derive(Clone)]
pub struct Setting {
    /// The parameters; without any numbers in a rehearsal.
    pub layout: Arc<Layout>,
    /// How many numbers are trained, in a rehearsal too.
    pub parameters: usize,
    /// Standard deviation of the noise over the bound: of everything that a step releases, together.
    pub noise_multiplier: f64,
    /// Expected lot size.
    pub lot: f64,
    /// Probability with which an example takes part in a step.
    pub sample_rate: f64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Where masks and directions that are drawn come from. Not the run's own key: whoever has that can subtract the noise of
    /// the release.
    pub key: Arc<Key>,
    /// Where relative paths of files start.
    pub root: PathBuf,
}

impl Setting {
    /// Steps in an epoch, at least 1: what the data are expected to be gone through once in.
    pub fn steps_per_epoch(&self) -> f64 {
        if self.sample_rate > 0.0 { (1.0 / self.sample_rate).max(1.0) } else { 1.0 }
    }
}

/// What a rule's settings can do. A [`ClipRule`] that is its own settings gets this for nothing.
pub trait Prepare: Send + Sync {
    /// Whether the settings make sense; says which does not.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
    /// What the settings claim of what they name, and nothing here can check, in sentences of the privacy statement.
    fn claims(&self) -> Vec<String> {
        Vec::new()
    }
    /// The rule, or which setting does not fit this run.
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String>;
}

impl<T: ClipRule + Clone + 'static> Prepare for T {
    fn check(&self) -> Result<(), String> {
        ClipRule::check(self)
    }
    fn prepare(&self, _: &Setting) -> Result<Box<dyn ClipRule>, String> {
        Ok(Box::new(self.clone()))
    }
}

/// What was released in a step.
pub struct News<'a> {
    /// The step.
    pub step: u64,
    /// The mean gradient, in the model's coordinates.
    pub gradient: &'a Grads,
    /// The sum of answers, if the rule asked.
    pub answer: Option<&'a [f64]>,
    /// The expected lot size: what the gradient was divided by, and the answer was not.
    pub lot: f64,
    /// Standard deviation of the noise on each coordinate of the framed sum, before any division.
    pub deviation: f64,
}

/// Proposes a weight for each example. Only `bounds` and `weigh` are needed.
///
/// Secrets come by `&self` and one example at a time; what is handed to `&mut self` is released or public. What a rule
/// remembers, its [`State`] shows.
pub trait ClipRule: State + Send + Sync {
    /// Whether its settings make sense; says which does not.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
    /// Over what norms are taken.
    fn grouping(&self) -> Grouping {
        Grouping::Model
    }
    /// How far one example may move each group of the sum, in L2: one entry for each of `groups`.
    fn bounds(&self, groups: usize) -> Vec<f64>;
    /// Weights `[n, groups]` for norms `[n, groups]`; after the norms come inner products with [`ClipRule::directions`].
    fn weigh(&self, norms: Each) -> Each;

    /// What [`ClipRule::weigh`] is, norm by norm, where that is a closed form and inner products have no part in it: a curve for
    /// each group. A GPU then makes the weights itself, held to the bounds.
    fn curves(&self, groups: usize) -> Option<Vec<Curve>> {
        let _ = groups;
        None
    }

    /// The coordinates in which gradients are measured, summed and noised.
    fn frame(&self) -> Option<&Frame> {
        None
    }
    /// Whether the frame has more coordinates in one step than in another: noise that is correlated over steps does not fit then.
    fn reshapes(&self) -> bool {
        false
    }
    /// Public directions whose inner products with each gradient the rule wants to see.
    fn directions(&self) -> &[Grads] {
        &[]
    }
    /// What else the rule wants to know about the lot. Must not change during a run, but for an answer's bound.
    fn ask(&self) -> Option<Question> {
        None
    }
    /// Each example's answer, `[n, width]`, from its norms `[n, groups]`. Called if there is a question.
    fn answer(&self, norms: Each) -> Each {
        norms
    }
    /// Where gradients are taken, and how they are blended.
    fn looks(&self) -> Vec<Look> {
        Look::here()
    }
    /// Crowds whose mean gradients are clipped in the place of single examples'. One example moves the sum by twice the
    /// bounds then.
    fn crowds(&self) -> Option<Crowds> {
        None
    }
    /// Whether what is cut off an example's gradient is kept, secretly, and added to its next one.
    fn remembers(&self) -> bool {
        false
    }
    /// How much louder than planned the noise of this step is: public, and charged as it is.
    fn loudness(&self) -> f64 {
        1.0
    }

    /// Told the public starting weights, which it may change, before the first step of all.
    fn start(&mut self, weights: &mut Grads) {
        let _ = weights;
    }
    /// Told that step `step` begins.
    fn begin(&mut self, step: u64) {
        let _ = step;
    }
    /// The released mean, made ready for the updates: in the model's coordinates already.
    fn restore(&self, mean: Grads) -> Grads {
        mean
    }
    /// Learns from what was released: the only way in which data reach a rule's state.
    fn learn(&mut self, news: &News) {
        let _ = news;
    }
    /// Told the step that the weights took in the end.
    fn moved(&mut self, step: &Grads) {
        let _ = step;
    }
    /// The step that the updates made, held to where the rule allows moves.
    fn confine(&self, step: Grads) -> Grads {
        step
    }
}

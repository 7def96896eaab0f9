//! From a released gradient to a step. Filters and optimizers are the same thing: links of a chain.
//!
//! Everything here is post-processing of released values: it costs no privacy and may do as it likes with them.
//! A new update is one file and one word in the list below; a learning rate that can follow a schedule is a [`Rate`].
#[cfg(test)]
mod absorbed;
mod rate;
#[cfg(test)]
mod tests;

use crate::{grads::Grads, look::Look, registry::registry, state::State};
use privacy::Stream;
pub use rate::{Auto, Rate, Schedule, Scheduled};

registry! {
    /// An update as a configuration names it: `{ update = "adam", learning_rate = 0.001 }`.
    UpdateConfig by "update" as Prepare:
    sgd::Sgd = "sgd", "gradient descent with momentum, Nesterov's too, and weight decay";
    adam::Adam = "adam", "Adam (Kingma & Ba 2015), weight decay added to the gradient";
    adam_w::AdamW = "adamw", "Adam with decoupled weight decay (Loshchilov & Hutter 2019)";
    adam_bc::AdamBc = "adam-bc", "Adam without the noise's share in the second moment (Tang et al. 2024)";
    lamb::Lamb = "lamb", "Adam's direction at the scale of each parameter (You et al. 2020)";
    adagrad::Adagrad = "adagrad", "steps over the root of all squared gradients (Duchi et al. 2011)";
    swan::Swan = "swan", "normalised and whitened gradients of matrices, without state (Ma et al. 2024)";
    sgld::Sgld = "sgld", "Langevin dynamics at a chosen temperature (Welling & Teh 2011, Knolle et al. 2021)";
    doppler::Doppler = "doppler", "a low-pass filter of gradients, before another link (Zhang et al. 2024)";
    disk::Disk = "disk", "a Kalman filter of gradients that looks ahead, before another link (Zhang et al. 2025)";
    extrapolation::Extrapolation = "extrapolation", "gradients taken ahead of the weights, before another link (Lin et al. 2020)";
    ema::Ema = "ema", "evaluates and saves a moving average of the weights (De et al. 2022)";
}

/// What an update's configuration can do: check itself and make the link.
pub trait Prepare: Send + Sync {
    /// The link, or which setting makes no sense.
    fn prepare(&self) -> Result<Box<dyn Update>, String>;

    /// The learning rate, if it has one.
    fn rate(&self) -> Option<&Rate> {
        None
    }
}

/// What a link may know besides the gradient. All of it is public.
pub struct Now<'a> {
    /// The step being made, from 0.
    pub step: u64,
    /// Steps planned.
    pub steps: u64,
    /// The rate of whoever has `learning_rate = "auto"`.
    pub tuned: f64,
    /// Standard deviation of the noise on each coordinate of what is handed from link to link. A link that changes it
    /// says so here.
    pub noise: f64,
    /// Where the weights are; copied out only for a link that asks.
    pub weights: &'a dyn Fn() -> Grads,
    /// Random numbers of this step for a link that adds noise of its own. Not the key: whoever has that can subtract the
    /// noise of the release.
    pub stream: &'a Stream,
}

/// One link: takes what the link before it made of the released gradient. What it remembers, its [`State`] shows.
pub trait Update: State + Send {
    /// `g` is the mean gradient or what an earlier link made of it; the last link returns the step that is ADDED to the
    /// weights.
    fn update(&mut self, g: Grads, now: &mut Now) -> Grads;

    /// Where the next gradients are to be taken, and how they are blended, before anything is clipped.
    fn looks(&self) -> Vec<Look> {
        Look::here()
    }

    /// Told the step that the whole chain made, which the weights have taken, and where they are now; copied out only for
    /// a link that asks.
    fn moved(&mut self, step: &Grads, weights: &dyn Fn() -> Grads) {
        let _ = (step, weights);
    }

    /// Weights to evaluate and to save in the place of the last ones.
    fn average(&self) -> Option<&Grads> {
        None
    }
}

/// A setting within `range`, or an error that names it.
pub(crate) fn within(
    name: &str,
    value: f64,
    range: impl std::ops::RangeBounds<f64> + std::fmt::Debug,
) -> Result<f64, String> {
    if value.is_finite() && range.contains(&value) {
        Ok(value)
    } else {
        Err(format!("{name} = {value} is outside {range:?}"))
    }
}

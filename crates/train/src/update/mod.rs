//! From a released gradient to a step. Filters and optimizers are the same thing: links of a chain.
//!
//! Everything here is post-processing of released values: it costs no privacy and may do as it likes with them.
//! A new update is one file and one word in the list below.
#[cfg(test)]
mod tests;

use crate::{grads::Grads, look::Look, registry::registry, state::State};

registry! {
    /// An update as a configuration names it: `{ update = "adam", learning_rate = 0.001 }`.
    UpdateConfig by "update" as Prepare:
    sgd::Sgd = "sgd", "gradient descent with momentum, Nesterov's too, and weight decay";
    adam::Adam = "adam", "Adam (Kingma & Ba 2015), weight decay added to the gradient";
    adam_w::AdamW = "adamw", "Adam with decoupled weight decay (Loshchilov & Hutter 2019)";
}

/// What an update's configuration can do: check itself and make the link.
pub trait Prepare: Send + Sync {
    /// The link, or which setting makes no sense.
    fn prepare(&self) -> Result<Box<dyn Update>, String>;
}

/// Where the weights are; copied out only for a link that asks.
pub type Here<'a> = &'a dyn Fn() -> Grads;

/// One link: takes what the link before it made of the released gradient. What it remembers, its [`State`] shows.
pub trait Update: State + Send {
    /// `g` is the mean gradient or what an earlier link made of it, `here` the weights; the last link returns the step
    /// that is ADDED to the weights.
    fn update(&mut self, g: Grads, here: Here) -> Grads;
    /// Where the next gradients are to be taken, and how they are blended, before anything is clipped.
    fn looks(&self) -> Vec<Look> {
        Look::here()
    }
    /// Told the step that the whole chain made, which the weights have taken.
    fn moved(&mut self, step: &Grads) {
        let _ = step;
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

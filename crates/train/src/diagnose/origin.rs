//! Where the weights that are looked at come from, and what they may tell of the people they were trained on.
//!
//! # Why this is private
//! *Claim.* No page calls itself made from public data that is made at weights which private data shaped without noise.
//! *Argument.* Gradients of public examples are a function of the weights. Those trained here have the price of their ledger, those of a run what its
//! statement says, and of a file nothing is known; an infinite price, a fixed seed and ordinary training are told at the head of the page, in
//! `diagnose.json` and on the terminal.
//! *Tests.* `where_weights_come_from_is_told`, and `tests/diagnose.rs` of the command.
use super::{Ask, DiagnoseError};
use crate::{
    config::{Config, Mode},
    plan,
    report::{self, Verdict, words},
};
use privacy::Ledger;

/// Where weights come from.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "weights")]
pub enum Origin {
    /// They are those that training starts from.
    Start,
    /// They were trained with clipping and noise, and cost this much.
    Private {
        /// Their price.
        epsilon: f64,
        /// At this delta.
        delta: f64,
    },
    /// They were trained without clipping and noise, or what they were trained with was shown.
    Shown,
    /// They were trained with noise that whoever knows the seed can subtract.
    Seeded,
    /// They lay in files that say nothing of it.
    Unknown,
}

impl Origin {
    /// Of weights that this configuration leads to, if that costs `epsilon`.
    pub(super) fn of(config: &Config, epsilon: f64) -> Origin {
        let (noised, delta) = (config.privacy.mode == Mode::Private, config.privacy.delta);
        Origin::judged(Verdict::worst(noised, config.train.seed.is_some(), epsilon, delta), epsilon, delta)
    }

    fn judged(verdict: Verdict, epsilon: f64, delta: f64) -> Origin {
        match verdict {
            Verdict::Private | Verdict::Weak => Origin::Private { epsilon, delta },
            Verdict::Seeded => Origin::Seeded,
            Verdict::Unbounded | Verdict::Ordinary => Origin::Shown,
        }
    }

    /// Of weights that were trained with this ledger.
    pub(super) fn charged(config: &Config, ledger: &Ledger) -> Result<Origin, DiagnoseError> {
        let epsilon = plan::spent(config, ledger).map_err(DiagnoseError::Ask)?;
        Ok(Origin::of(config, epsilon))
    }

    /// Of weights that were asked for by file, or by the run that left them.
    pub(super) fn left(ask: &Ask) -> Result<Origin, DiagnoseError> {
        let Some(folder) = &ask.run else { return Ok(Origin::Unknown) };
        let record = report::read(folder)?;
        Ok(Origin::judged(record.verdict(), record.statement.epsilon, record.statement.delta))
    }

    /// The headline of a page of public examples, and how loud it is.
    pub(super) fn headline(&self) -> (&'static str, &'static str) {
        match self {
            Origin::Start | Origin::Private { .. } => ("calm", "Made from public data"),
            Origin::Shown => ("red", "NOT PRIVATE: public data, seen by a model that was trained without privacy"),
            Origin::Seeded => ("red", "NOT PRIVATE: public data, seen by a model whose noise has a fixed seed"),
            Origin::Unknown => ("amber", "Made from public data, and from weights of which nothing is known"),
        }
    }

    /// What a reader must know about the weights.
    pub fn sentence(&self) -> String {
        match self {
            Origin::Start => "The weights are those that training starts from.".into(),
            Origin::Private { epsilon, delta } => {
                let (epsilon, delta) = (words::bound(*epsilon), words::bound(*delta));
                format!("The weights were trained privately: epsilon = {epsilon} at delta = {delta}, and what is said here costs nothing beyond.")
            }
            Origin::Shown => "The weights were trained on private data without noise: all that is said here tells of these data, and no epsilon covers it.".into(),
            Origin::Seeded => "The weights were trained on private data with noise of a fixed seed: whoever knows the seed can subtract it.".into(),
            Origin::Unknown => "The weights come from files that say nothing of the data they were trained on: what is said here is as private as they are.".into(),
        }
    }
}

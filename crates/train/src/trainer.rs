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
    auto_rate::AutoRate,
    clip::{self, ClipRule, Lot, Noise, Residuals},
    data::Examples,
    grads::Grads,
    layer::Coins,
    look::{self, Look},
    model::{Model, Weights},
    pieces,
    state::{State, Visit},
    tap::Taps,
    team::Team,
    update::{Now, Update},
    world::World,
};
use engine::{Device, DeviceError};
use privacy::{Draw, Key, Ledger, LedgerError, Privatized, Purpose, Sampler, Secret, Sum};
use std::{borrow::Cow, sync::Arc};

/// How a sum over a lot becomes something to learn from.
pub enum Method {
    /// Clipped by a rule, then noised by a mechanism and charged.
    Private {
        /// The clip rule.
        rule: Box<dyn ClipRule>,
        /// The noise.
        noise: Noise,
        /// What the rule remembers of each example, if it remembers anything.
        residuals: Option<Secret<Residuals>>,
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
    pub sampler: Box<dyn Sampler>,
    /// How sums are released.
    pub method: Method,
    /// What is made of a released gradient, link by link; the last gives the step.
    pub chain: Vec<Box<dyn Update>>,
    /// The learning rate that finds itself, if one does.
    pub auto: Option<AutoRate>,
    /// The devices that share a lot out.
    pub team: Team,
    /// Where the coins of dropout come from.
    pub key: Arc<Key>,
    /// The book of costs.
    pub ledger: Ledger,
    /// Examples held in memory at once. Changes nothing but memory and time.
    pub chunk: usize,
    /// Sums are divided by this: the expected lot size, from the configuration.
    pub normaliser: f64,
    /// Steps planned.
    pub steps: u64,
    /// Steps made.
    pub step: u64,
}

/// What one step looks at: public numbers around secret people.
pub struct Scene<'a> {
    /// The model.
    pub model: &'a Model,
    /// Where it stands.
    pub weights: &'a Weights,
    /// The people.
    pub data: &'a Secret<Arc<Examples>>,
    /// Those who take part.
    pub draw: &'a Draw,
    /// Examples held in memory at once.
    pub chunk: usize,
    /// The step.
    pub step: u64,
    /// What sums are divided by.
    pub lot: f64,
    key: &'a Arc<Key>,
}

impl Scene<'_> {
    /// The gradients of some of those who take part, at `weights`, which are the scene's on whatever device; with room for so many
    /// rows.
    fn taps(&self, weights: &Weights, looks: &[Look], who: (Secret<Vec<usize>>, usize)) -> Secret<Taps> {
        let coins = |who| Coins { key: self.key.clone(), step: self.step, who };
        look::at(self.model, weights, looks, self.data, coins, who)
    }
}

/// `look`, at one of `several` pieces: on a GPU it is launched by itself, since the next piece asks for the same.
fn by_itself<T>(weights: &Weights, several: bool, look: impl FnOnce() -> T) -> T {
    match weights.layout().device() {
        Device::Cuda(gpu) if several => gpu.in_one_go(look),
        _ => look(),
    }
}

/// What the next step depends on, besides the weights and the key.
impl State for Trainer {
    fn state(&mut self, visit: &mut Visit) {
        visit.count("step", &mut self.step);
        if let Method::Private { rule, .. } = &mut self.method {
            visit.part("clip", &mut **rule);
        }
        self.auto.iter_mut().for_each(|auto| visit.part("auto", auto));
        self.chain.iter_mut().enumerate().for_each(|(k, link)| visit.part(&format!("update.{k}"), &mut **link));
    }
}

impl Trainer {
    /// One step of training.
    ///
    /// # Errors
    /// If the ledger cannot be written; then nothing was released and the weights are as before.
    pub fn step(&mut self) -> Result<(), LedgerError> {
        // On a thread of the pool: from outside, every parallel loop would wake one up and wait for it. What a GPU does is asked
        // for from here: a small step takes no longer than waking a thread.
        match self.weights.layout().device() {
            Device::Cpu => rayon::scope(|_| self.step_here()),
            Device::Cuda(gpu) if self.team.is_alone() => gpu.in_one_go(|| self.step_here()),
            Device::Cuda(_) => self.step_here(),
        }
    }

    fn step_here(&mut self) -> Result<(), LedgerError> {
        let (looks, factor) = (self.looks(), self.ledger.neighbouring().factor());
        let draw = self.sampler.draw(self.step);
        let Trainer {
            model,
            weights,
            data,
            method,
            chain,
            auto,
            team,
            key,
            ledger,
            chunk,
            normaliser,
            steps,
            step,
            ..
        } = self;
        let tuned = auto.as_ref().map_or(0.0, AutoRate::rate);
        let auto = auto.as_mut().filter(|auto| auto.is_due(*step));
        let scene = Scene { model, weights, data, key, draw: &draw, chunk: *chunk, step: *step, lot: *normaliser };
        // A stream lends its key: that of an update's is not the one that noise is made by.
        let (point, stream) = (|| scene.weights.point(), scene.key.apart().stream(Purpose::Update, scene.step, 0));
        let mut chained = |mean: Privatized<Grads>, noise| {
            let mut now = Now { step: scene.step, steps: *steps, tuned, noise, weights: &point, stream: &stream };
            mean.map(|g| chain.iter_mut().fold(g, |g, link| link.update(g, &mut now)))
        };

        let layout = scene.weights.layout().clone();
        let piece = scene.model.piece(scene.chunk, layout.device());
        let together = (scene.chunk / piece).max(1);
        let step = match method {
            Method::Private { rule, noise, residuals } => {
                rule.begin(scene.step);
                let mut round = ledger.open(&draw);
                let early = noise.ahead(&**rule, &round, &layout);
                let lots = team.each(scene.weights, &draw, piece, |weights, share| {
                    let (rule, layout) = (&**rule, weights.layout());
                    let room = if clip::weighs_there(rule, layout) { piece } else { 0 };
                    let several = share.len() > 1;
                    let one = |who| {
                        let see = || scene.taps(weights, &looks, (who, room));
                        by_itself(weights, several, || clip::contribute(rule, layout, see(), residuals.as_ref()))
                    };
                    pieces::merged(share, together, &one, &Lot::merge).unwrap_or_else(|| Lot::empty(rule, layout))
                });
                let lot = team.merge(lots);
                let lot = lot.close(&**rule, &layout);
                let deviation = noise.deviation(&**rule, round.sensitivity(&lot.sum), scene.step) / scene.lot;
                let about = (scene.step, scene.lot);
                let mean = lot.release(&mut **rule, noise, residuals, (&mut round, early), &layout, about)?;
                let step = chained(mean, deviation).map(|step| rule.confine(step));
                match auto {
                    None => step,
                    Some(auto) => auto.follow(step, &scene, &mut round, factor)?,
                }
            }
            Method::Ordinary => {
                let sums = team.each(scene.weights, &draw, piece, |weights, share| {
                    let room = if weights.layout().device() == Device::Cpu { 0 } else { piece };
                    let several = share.len() > 1;
                    let see = |who| scene.taps(weights, &looks, (who, room)).map(|taps| clip::plain_sum(&taps));
                    let one = |who| by_itself(weights, several, || see(who));
                    let sum = pieces::merged(share, together, &one, &Secret::merge);
                    sum.unwrap_or_else(|| Secret::new(Grads::zeros(weights.layout())))
                });
                let sum = team.merge_plain(sums);
                let sum = sum.reveal(ledger, "gradients, for ordinary training")?;
                let step = chained(sum.map(|sum| sum.scale(1.0 / scene.lot)), 0.0);
                match auto {
                    None => step,
                    Some(auto) => auto.follow_shown(step, &scene, ledger)?,
                }
            }
        };
        self.take(step);
        Ok(())
    }

    /// Trains with other processes from here on, each of which has a trainer like this one.
    ///
    /// # Errors
    /// If one of them was lost or has other weights, or if the clip rule needs a lot's examples in one place.
    pub fn join(&mut self, world: World) -> Result<(), DeviceError> {
        self.team = std::mem::replace(&mut self.team, Team::alone()).among(world, &self.weights)?;
        match &self.method {
            Method::Private { rule, .. } => self.team.suits(&**rule),
            Method::Ordinary => Ok(()),
        }
    }

    /// Takes a step, and tells the rule and the updates.
    fn take(&mut self, step: Privatized<Grads>) {
        self.team.agree(step.get());
        self.weights.walk(&step);
        let (taken, point) = (step.get(), || self.weights.point());
        self.chain.iter_mut().for_each(|link| link.moved(taken, &point));
        if let Method::Private { rule, .. } = &mut self.method {
            rule.moved(taken);
        }
        self.step += 1;
    }

    /// Weights to evaluate and to save: the last ones, or an average of released ones that a link keeps.
    pub fn shown(&self) -> Cow<'_, Weights> {
        let average = self.chain.iter().rev().find_map(|link| link.average());
        average.map_or(Cow::Borrowed(&self.weights), |point| Cow::Owned(Weights::from_point(point)))
    }

    /// Where this step's gradients are taken: as the updates say, and around each of these places as the rule says.
    fn looks(&self) -> Vec<Look> {
        let chain = self.chain.iter().fold(Look::here(), |looks, link| look::both(&looks, &link.looks()));
        match &self.method {
            Method::Private { rule, .. } => look::both(&chain, &rule.looks()),
            Method::Ordinary => chain,
        }
    }

    /// How far one example may move the clipped sum as the rule stands now; none in ordinary training.
    pub fn bound(&self) -> Option<f64> {
        match &self.method {
            Method::Private { rule, .. } => Some(clip::sensitivity(&**rule, self.weights.layout())),
            Method::Ordinary => None,
        }
    }

    /// The standard deviation of the noise on the clipped sum as the rule stands now; none in ordinary training.
    pub fn deviation(&self) -> Option<f64> {
        let sensitivity = self.bound()? * (1.0 + clip::ROUNDING) * self.ledger.neighbouring().factor();
        match &self.method {
            Method::Private { rule, noise, .. } => Some(noise.deviation(&**rule, sensitivity, self.step)),
            Method::Ordinary => None,
        }
    }
}

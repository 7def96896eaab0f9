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
//! `ordinary_training_costs_everything_and_learns`; neighbouring data sets with the same key in `tests/neighbours.rs`.
use crate::{
    audit::Planted,
    augment::Augment,
    auto_rate::AutoRate,
    clip::{self, ClipRule, Lot, Noise, Residuals},
    data::Examples,
    grads::Grads,
    look::{self, Chance, Look},
    model::{Model, Weights},
    pieces,
    state::{State, Visit},
    tap::Taps,
    team::{Share, Team},
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
    /// Records held in memory at once, or one person's if those are more. Changes nothing but memory and time.
    pub chunk: usize,
    /// Records, or copies of them, that each unit of a draw takes the place of: 1 where units are examples that are looked at once.
    pub places: usize,
    /// How records are altered, if they are.
    pub augment: Option<Augment>,
    /// Sums are divided by this: the expected lot size, from the configuration.
    pub normaliser: f64,
    /// Steps planned.
    pub steps: u64,
    /// Steps made.
    pub step: u64,
    /// Made-up people among the others, in an audit.
    pub(crate) planted: Option<Planted>,
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
    /// Examples, or people, held in memory at once.
    pub chunk: usize,
    /// The step.
    pub step: u64,
    /// What sums are divided by.
    pub lot: f64,
    chance: Chance<'a>,
    /// The places where gradients are taken.
    looks: Vec<Look>,
    /// Examples that one thread or GPU looks at in one go.
    piece: usize,
    planted: Option<&'a Planted>,
}

/// What is known of the gradients of a share before they are made.
struct Wanted {
    /// They are added up where they are made: every piece has room for the same number of rows.
    filled: bool,
    /// The norms of just these will be asked for.
    measured: bool,
}

impl Scene<'_> {
    /// The randomness of this step's looks.
    pub(crate) fn chance(&self) -> Chance<'_> {
        self.chance
    }

    /// What `make` makes of the gradients of a share of those who take part, piece by piece, merged; none where there is no piece.
    /// They are taken at `weights`, which are the scene's on whatever device.
    fn gather<T: Send>(
        &self,
        (weights, share): (&Weights, Share),
        wanted: &Wanted,
        make: impl Fn(Secret<Taps>) -> T + Sync,
        merge: impl Fn(T, T) -> T + Sync,
    ) -> Option<T> {
        let (several, room) = (share.len() > 1, if wanted.filled { self.piece } else { 0 });
        let chance = self.chance();
        let see = |who| look::at(self.model, weights, &self.looks, self.data, chance, (who, room), wanted.measured);
        let one = |who| by_itself(weights, several, || make(see(who)));
        pieces::merged(share, (self.chunk / self.piece).max(1), &one, &merge)
    }

    fn clipped(
        &self,
        (weights, share): (&Weights, Share),
        rule: &dyn ClipRule,
        residuals: Option<&Secret<Residuals>>,
    ) -> Lot {
        let layout = weights.layout();
        let measured = rule.frame().is_none() && residuals.is_none();
        let wanted = Wanted { filled: clip::weighs_there(rule, layout), measured };
        let make = |taps| clip::contribute(rule, layout, taps, residuals);
        let Some(planted) = self.planted else {
            let lot = self.gather((weights, share), &wanted, make, Lot::merge);
            return lot.unwrap_or_else(|| Lot::empty(rule, layout));
        };
        // More chunks of the same lot, clipped by the same rule.
        let (others, made_up) = planted.tell_apart(share, self.piece);
        let one = |who| make(planted.taps(who, rule, layout, self.step));
        let lot = self.gather((weights, others), &wanted, make, Lot::merge);
        let more = pieces::merged(made_up, (self.chunk / self.piece).max(1), &one, &Lot::merge);
        lot.into_iter().chain(more).reduce(Lot::merge).unwrap_or_else(|| Lot::empty(rule, layout))
    }

    fn plain(&self, (weights, share): (&Weights, Share)) -> Secret<Grads> {
        let wanted = Wanted { filled: weights.layout().device() != Device::Cpu, measured: false };
        let make = |taps: Secret<Taps>| taps.map(|taps| clip::plain_sum(&taps));
        let sum = self.gather((weights, share), &wanted, make, Secret::merge);
        sum.unwrap_or_else(|| Secret::new(Grads::zeros(weights.layout())))
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

/// What the ledger calls a step of ordinary training.
pub(crate) const ORDINARY: &str = "gradients, for ordinary training";

/// Refuses a rule that remembers something of examples where these are not drawn each by a coin of its own: what is remembered of some would tell
/// of others.
fn may_remember(rule: &dyn ClipRule, draw: &Draw) -> Result<(), LedgerError> {
    match rule.remembers() && !draw.sampling().is_independent() {
        true => Err(LedgerError::Remembered { sampling: draw.sampling().clone() }),
        false => Ok(()),
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
        let tuned = self.auto.as_ref().map_or(0.0, AutoRate::rate);
        let auto = self.auto.as_mut().filter(|auto| auto.is_due(self.step));
        let layout = self.weights.layout().clone();
        // Of whole people.
        let units = |records: usize| (records / self.places).max(1);
        let piece = units(self.model.piece(self.chunk, layout.device()));
        let scene = Scene {
            model: &self.model,
            weights: &self.weights,
            data: &self.data,
            draw: &draw,
            chunk: units(self.chunk),
            step: self.step,
            lot: self.normaliser,
            chance: Chance { key: &self.key, step: self.step, augment: self.augment.as_ref() },
            looks,
            piece,
            planted: self.planted.as_ref(),
        };
        // A stream lends its key: that of an update's is not the one that noise is made by.
        let (point, stream) = (|| scene.weights.point(), self.key.apart().stream(Purpose::Update, scene.step, 0));
        let mut chained = |mean: Privatized<Grads>, noise| {
            let mut now = Now { step: scene.step, steps: self.steps, tuned, noise, weights: &point, stream: &stream };
            mean.map(|g| self.chain.iter_mut().fold(g, |g, link| link.update(g, &mut now)))
        };

        let step = match &mut self.method {
            Method::Private { rule, noise, residuals } => {
                may_remember(&**rule, &draw)?;
                rule.begin(scene.step);
                let mut round = self.ledger.open(&draw);
                let lots = self.team.each(scene.weights, &draw, piece, |weights, share| {
                    scene.clipped((weights, share), &**rule, residuals.as_ref())
                });
                let lot = self.team.merge(lots).close(&**rule, &layout);
                let deviation = noise.deviation(&**rule, round.sensitivity(&lot.sum), scene.step) / scene.lot;
                let mean = lot.release(&mut **rule, noise, residuals, &mut round, &layout, (scene.step, scene.lot))?;
                let step = chained(mean, deviation).map(|step| rule.confine(step));
                match auto {
                    None => step,
                    Some(auto) => auto.follow(step, &scene, &mut round, factor)?,
                }
            }
            Method::Ordinary => {
                let sums = self.team.each(scene.weights, &draw, piece, |weights, share| scene.plain((weights, share)));
                let sum = self.team.merge_plain(sums);
                let sum = sum.reveal(&mut self.ledger, ORDINARY)?;
                let step = chained(sum.map(|sum| sum.scale(1.0 / scene.lot)), 0.0);
                match auto {
                    None => step,
                    Some(auto) => auto.follow_shown(step, &scene, &mut self.ledger)?,
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
        self.team.walk(&mut self.weights, &step);
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
        average.map_or(Cow::Borrowed(&self.weights), |point| Cow::Owned(self.weights.at(point)))
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
            // After the last step there is no noise any more.
            Method::Private { rule, noise, .. } => {
                Some(noise.deviation(&**rule, sensitivity, self.step.min(self.steps.saturating_sub(1))))
            }
            Method::Ordinary => None,
        }
    }
}

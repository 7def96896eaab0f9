//! The public numbers of a run, settled before any example is looked at: sample rate, steps, normaliser, noise.
//!
//! # Why this is private
//! *Claim.* Nothing here depends on the data, and the noise is enough for the budget.
//! *Argument.* Rates and steps come from the configuration and the DECLARED number of examples. The noise multiplier is
//! calibrated by rehearsal: the trainer's own `step`, on nobody's data, writes the ledger that is priced, so plan and
//! run cannot drift apart; and calibration returns the side of the bracket that meets the budget.
//! *Test.* `a_rehearsal_writes_the_runs_ledger`.
use crate::{
    auto_rate::AutoRate,
    clip::{self, ClipRule, Noise, Setting},
    config::{Config, Mode},
    data::{Examples, Targets},
    mechanism::Stretch,
    model::{Model, Weights},
    team::Team,
    trainer::{Method, Trainer},
    update::Rate,
};
use privacy::{CalibrateError, Event, Key, Ledger, LedgerError, Price, Secret, account};
use std::{ops::Range, sync::Arc};

/// What a run is going to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Number of examples, as declared.
    pub examples: usize,
    /// Probability with which an example takes part in a step.
    pub sample_rate: f64,
    /// Expected lot size: what sums are divided by.
    pub lot: f64,
    /// Steps.
    pub steps: u64,
    /// Standard deviation of the noise over the clip bound; 0 in ordinary training.
    pub noise_multiplier: f64,
    /// What the whole run costs; infinite in ordinary training.
    pub epsilon: f64,
    /// The step at which correlated noise begins: 0, or where the run was taken up by another key.
    pub first: u64,
}

/// A run that cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Public numbers that do not go together.
    #[error("{0}")]
    Numbers(String),
    /// The budget cannot be met.
    #[error("privacy.epsilon: {0}")]
    Budget(String),
    /// The clip rule's side release leaves no noise for the gradient.
    #[error("clip: {0}")]
    Share(String),
    /// A rehearsal cannot be priced.
    #[error("the run cannot be priced: {0}")]
    Price(String),
}

impl Plan {
    /// Settles the numbers for `examples` declared examples.
    ///
    /// # Errors
    /// If the lot is larger than the data, or if no noise meets the budget (says what could be met).
    pub fn new(config: &Config, model: &Arc<Model>, examples: usize) -> Result<Plan, PlanError> {
        Plan::after(config, model, examples, &Ledger::new(config.privacy.neighbouring))
    }

    /// As [`Plan::new`], after what `paid` says was spent on the same data: epsilon is that of both together.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn after(config: &Config, model: &Arc<Model>, examples: usize, paid: &Ledger) -> Result<Plan, PlanError> {
        let plan = Plan::noiseless(config, examples)?;
        let fits = config.train.augment.map_or(Ok(()), |augment| augment.check(model.input()));
        fits.map_err(PlanError::Numbers)?;
        match config.privacy.mode {
            Mode::Ordinary => Ok(plan),
            Mode::Private => plan.with_noise(config, model, paid),
        }
    }

    /// The numbers that noise does not enter.
    pub(crate) fn noiseless(config: &Config, examples: usize) -> Result<Plan, PlanError> {
        let n = examples as f64;
        let lot = config.train.lot.unwrap_or_else(|| config.train.sample_rate.unwrap_or(1.0) * n);
        if lot > n {
            return Err(PlanError::Numbers(format!("train.lot = {lot} is more than the {examples} declared examples")));
        }
        let settled = config.train.sampling.get().lot(lot, examples);
        let sample_rate = config.train.sample_rate.filter(|_| settled == lot).unwrap_or(settled / n);
        let lot = settled;
        let steps = match (config.train.steps, config.train.epochs) {
            (Some(steps), _) => steps,
            (None, epochs) => (epochs.unwrap_or(1.0) / sample_rate).ceil().max(1.0) as u64,
        };
        Ok(Plan { examples, sample_rate, lot, steps, noise_multiplier: 0.0, epsilon: f64::INFINITY, first: 0 })
    }

    fn with_noise(self, config: &Config, model: &Arc<Model>, paid: &Ledger) -> Result<Plan, PlanError> {
        let p = &config.privacy;
        let price = |noise_multiplier: f64| Plan { noise_multiplier, ..self }.price(config, model, paid);
        if let Some(noise_multiplier) = p.noise_multiplier {
            return Ok(Plan { noise_multiplier, epsilon: price(noise_multiplier)?, ..self });
        }
        let found = privacy::noise_multiplier(p.epsilon.unwrap_or(1.0), |z| shared(price(z)));
        let before =
            if paid.entries().is_empty() { "" } else { "after what the run that model.weights comes from spent: " };
        let found = found.map_err(|e| unmet(e, before))?;
        if found.epsilon == 0.0 {
            price(found.noise_multiplier)?;
        }
        Ok(Plan { noise_multiplier: found.noise_multiplier, epsilon: found.epsilon, ..self })
    }

    /// What this plan costs, on top of what was paid.
    fn price(&self, config: &Config, model: &Arc<Model>, paid: &Ledger) -> Result<f64, PlanError> {
        let ledger = self.rehearse_on(config, model, 0..self.steps, paid.imagine(), Arc::new(Key::from_seed(0)))?;
        spent(config, &ledger).map_err(PlanError::Price)
    }

    /// What is left of this plan after `step` steps and `spent`: with the noise that it had if that still keeps the
    /// budget, and otherwise, after a crash whose lost steps were paid for, with as much more as keeps it.
    ///
    /// # Errors
    /// If no noise in the steps that are left keeps the budget.
    pub fn rest(
        self,
        config: &Config,
        model: &Arc<Model>,
        step: u64,
        paid: &Ledger,
        key: &Arc<Key>,
    ) -> Result<Plan, PlanError> {
        let whole = |noise_multiplier: f64| -> Result<f64, PlanError> {
            let plan = Plan { noise_multiplier, ..self };
            let ledger = plan.rehearse_on(config, model, step..self.steps, paid.imagine(), key.clone())?;
            spent(config, &ledger).map_err(PlanError::Price)
        };
        let kept = whole(self.noise_multiplier)?;
        let budget = config.privacy.epsilon.filter(|_| config.privacy.mode == Mode::Private);
        if budget.is_none_or(|budget| kept <= budget.max(self.epsilon)) {
            return Ok(Plan { epsilon: kept, ..self });
        }
        let found = privacy::noise_multiplier(budget.unwrap_or(kept), |z| shared(whole(z)));
        let found = found.map_err(|e| unmet(e, "after what was spent: "))?;
        Ok(Plan { noise_multiplier: found.noise_multiplier, epsilon: found.epsilon, ..self })
    }

    /// The ledger of this plan, written by the trainer itself on nobody's data.
    ///
    /// # Errors
    /// If the configuration cannot be turned into a trainer.
    pub fn rehearse(&self, config: &Config, model: &Arc<Model>) -> Result<Ledger, PlanError> {
        self.rehearse_until(config, model, self.steps)
    }

    /// As [`Plan::rehearse`], stopped before step `until`: correlated noise is still that of all planned steps.
    ///
    /// # Errors
    /// As [`Plan::rehearse`].
    pub fn rehearse_until(&self, config: &Config, model: &Arc<Model>, until: u64) -> Result<Ledger, PlanError> {
        let ledger = Ledger::new(config.privacy.neighbouring);
        self.rehearse_on(config, model, 0..until.min(self.steps), ledger, Arc::new(Key::from_seed(0)))
    }

    /// As [`Plan::rehearse`], of these steps, by this key and in this ledger.
    fn rehearse_on(
        &self,
        config: &Config,
        model: &Arc<Model>,
        steps: Range<u64>,
        ledger: Ledger,
        key: Arc<Key>,
    ) -> Result<Ledger, PlanError> {
        let nobody = nobody()?;
        let weights = Weights::hollow(model.layout());
        let mut trainer = self.trainer(config, model, weights, nobody, 0, key, ledger)?;
        trainer.step = steps.start;
        // On a thread of the pool: to wake one up takes longer than a step of nobody.
        rayon::scope(|_| {
            while trainer.step < steps.end {
                trainer.step().map_err(|e: LedgerError| match e {
                    LedgerError::Remembered { .. } => {
                        PlanError::Numbers(format!("clip: `{}`: {e}", config.clip.name()))
                    }
                    _ => PlanError::Price(e.to_string()),
                })?;
            }
            Ok(trainer.ledger)
        })
    }

    /// A trainer that carries this plan out on the first `rows` examples of `data`, or people where it is [by person](Examples::by_person).
    ///
    /// # Errors
    /// If a setting of the update or the sampler makes no sense, if there are not so many rows, or if the ledger charges under
    /// another neighbouring relation than the configuration promises.
    #[allow(clippy::too_many_arguments)]
    pub fn trainer(
        &self,
        config: &Config,
        model: &Arc<Model>,
        weights: Weights,
        data: impl Into<Arc<Examples>>,
        rows: usize,
        key: Arc<Key>,
        ledger: Ledger,
    ) -> Result<Trainer, PlanError> {
        let data = data.into();
        fits(config, rows, &data, &ledger)?;
        let sampling = config.train.sampling.get();
        let sampler = sampling.sampler(rows, self.examples, self.lot, key.clone());
        let sampler = sampler.map_err(|e| PlanError::Numbers(format!("train.sampling: {e}")))?;
        let chain = config.update.iter().map(|u| u.get().prepare().map_err(|e| format!("update `{}`: {e}", u.name())));
        let chain = chain.collect::<Result<_, _>>().map_err(PlanError::Numbers)?;
        let mut weights = weights;
        let method = match config.privacy.mode {
            Mode::Ordinary => Method::Ordinary,
            Mode::Private => self.private(config, model, &mut weights, &key)?,
        };
        let auto = self.auto(config)?;
        let augment = config.train.augment;
        let places = data.places() * augment.map_or(1, |augment| augment.multiplicity);
        let data = Secret::new(data);
        let (model, chunk, normaliser, steps) = (model.clone(), config.train.chunk, self.lot, self.steps);
        Ok(Trainer {
            model,
            weights,
            data,
            sampler,
            method,
            chain,
            auto,
            team: Team::alone(),
            key,
            ledger,
            chunk,
            places,
            augment,
            normaliser,
            steps,
            step: 0,
            planted: None,
        })
    }

    /// The learning rate that finds itself, if an update asks for one.
    fn auto(&self, config: &Config) -> Result<Option<AutoRate>, PlanError> {
        let rates = config.update.iter().filter_map(|update| update.get().rate());
        let asked: Vec<_> = rates.filter_map(Rate::auto).collect();
        let multiplier = self.noise_multiplier / config.privacy.neighbouring.factor();
        match asked[..] {
            [] => Ok(None),
            [one] => Ok(Some(AutoRate::new(one, multiplier))),
            _ => Err(PlanError::Numbers("update: only one learning rate can find itself".into())),
        }
    }

    /// The rule and the noise of its releases, which together cost what this plan's multiplier does. The rule may change
    /// the starting weights.
    fn private(
        &self,
        config: &Config,
        model: &Model,
        weights: &mut Weights,
        key: &Arc<Key>,
    ) -> Result<Method, PlanError> {
        let setting = Setting {
            layout: weights.layout().clone(),
            parameters: model.layout().len(),
            noise_multiplier: self.noise_multiplier,
            lot: self.lot,
            sample_rate: self.sample_rate,
            steps: self.steps,
            key: Arc::new(key.apart()),
            root: config.root.clone(),
        };
        let mut rule = config.clip.get().prepare(&setting).map_err(|e| PlanError::Numbers(format!("clip: {e}")))?;
        weights.start(|point| rule.start(point));
        clip::check(&*rule, weights.layout()).map_err(|e| PlanError::Numbers(format!("clip: {e}")))?;
        if rule.remembers() && config.train.checkpoint_every.is_some() {
            return Err(PlanError::Numbers(format!(
                "train.checkpoint_every: what `{}` remembers of examples is secret, so that no checkpoint can hold it: leave it out",
                config.clip.name()
            )));
        }
        let (gradient, answer) = clip::share(&*rule, self.noise_multiplier).map_err(PlanError::Share)?;
        let factor = config.privacy.neighbouring.factor();
        let bins = config.train.sampling.get().bins(self.lot, self.examples);
        let stretch = Stretch { first: self.first, rounds: self.steps.saturating_sub(self.first), bins };
        let mechanism = config.mechanism.get().prepare(gradient / factor, &stretch);
        let wrong = |e| PlanError::Numbers(format!("mechanism `{}`: {e}", config.mechanism.name()));
        let mechanism = mechanism.map_err(wrong)?;
        if !matches!(mechanism.event(0), Event::Gaussian { .. }) {
            alike(&*rule).map_err(|why| {
                let (rule, mechanism) = (config.clip.name(), config.mechanism.name());
                PlanError::Numbers(format!(
                    "clip: `{rule}` {why}, and the noise of `{mechanism}` is correlated over steps: use mechanism = \"gaussian\""
                ))
            })?;
        }
        Ok(Method::Private { rule, noise: Noise { mechanism, answer: answer / factor }, residuals: None })
    }
}

/// Whether all that a rule releases in a step is one vector, of one size in every step.
fn alike(rule: &dyn ClipRule) -> Result<(), &'static str> {
    match (rule.ask(), rule.reshapes()) {
        (Some(_), _) => Err("releases more than gradients"),
        (None, true) => Err("measures gradients by more numbers in one step than in another"),
        (None, false) => Ok(()),
    }
}

/// Why no noise keeps the budget. A plan that could not be priced at all keeps its own words.
fn unmet(error: CalibrateError<PlanError>, when: &str) -> PlanError {
    match error {
        CalibrateError::Price(plan) => plan,
        other => PlanError::Budget(format!("{when}{other}")),
    }
}

/// Noise that a side release cannot share is no plan; called cheap, it ends the search where there still is one.
fn shared(price: Result<f64, PlanError>) -> Result<f64, PlanError> {
    match price {
        Err(PlanError::Share(_)) => Ok(0.0),
        priced => priced,
    }
}

/// Refuses rows that are not there, and a book that is kept by another promise.
fn fits(config: &Config, rows: usize, data: &Examples, ledger: &Ledger) -> Result<(), PlanError> {
    let (promised, kept) = (config.privacy.neighbouring, ledger.neighbouring());
    if promised != kept {
        return Err(PlanError::Numbers(format!(
            "privacy.neighbouring is {promised:?}, but the ledger charges under {kept:?}: make it with the configuration's"
        )));
    }
    match rows <= data.units() {
        true => Ok(()),
        false => Err(PlanError::Numbers("more rows, or people, to train on than the data hold".into())),
    }
}

/// A data set of nobody.
pub(crate) fn nobody() -> Result<Examples, PlanError> {
    let nobody = Targets::Values { width: 1, data: Vec::new() };
    Examples::from_floats(Vec::new(), vec![1], nobody, Vec::new()).map_err(|e| PlanError::Numbers(e.to_string()))
}

/// What `ledger` has cost so far by the configured accountant.
///
/// # Errors
/// As [`price`].
pub fn spent(config: &Config, ledger: &Ledger) -> Result<f64, String> {
    price(config, ledger).map(|price| price.epsilon)
}

/// The same, with what the accountant says of it.
///
/// # Errors
/// If the accountant cannot price an event, or can only estimate what it costs.
pub fn price(config: &Config, ledger: &Ledger) -> Result<Price, String> {
    let accountant = account::by_name(&config.privacy.accountant);
    let accountant = accountant.ok_or_else(|| format!("no accountant is called `{}`", config.privacy.accountant))?;
    let price = accountant.report(ledger, config.privacy.delta).map_err(|e| e.to_string())?;
    if price.estimate {
        return Err(format!(
            "privacy.accountant = \"{}\" gives an estimate here, and no guarantee: choose another, such as \"{}\" (`secateur \
             account` prices a ledger with any of them)",
            accountant.name(),
            account::DEFAULT
        ));
    }
    Ok(price)
}

//! An attack on the privacy of a configuration: does anything show, in what is released, who was there?
//!
//! An [`Audit`] trains the configuration as it is: its data, rule, mechanism, sampling, updates, device. Some people give place to
//! *canaries*, made-up public examples, each of which is there or not by a fair coin. From what the run releases, the auditor guesses coins.
//! More right guesses than the claimed epsilon allows refute it (`privacy::audit`): then the implementation or the claim is broken. Fewer
//! refute nothing, and prove nothing: another attack might do better.
//!
//! ```
//! use train::{audit::{Audit, AttackConfig}, config::Config};
//!
//! let set = ["train.steps=20".to_owned(), "privacy.epsilon=4.0".to_owned()];
//! let config = Config::read("quick", "", &set)?; // the default: the Adult census
//! let audit = Audit { canaries: 500, ..Audit::default() };
//! let mut run = audit.prepare(config, ".".as_ref(), None, false)?;
//! // Here `run.trainer()` may be given a rule, a mechanism or a sampler of one's own.
//! let finding = run.attack(|_, _| true)?;
//! assert!(!finding.is_broken() && finding.attacks[0].proven <= finding.epsilon);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why this is private
//! *Claim.* An audit costs what the run costs, and no more.
//! *Argument.* It is the run: each release is charged in the ledger before it is made. Attacks get released numbers, final weights, and
//! people who are made up. Who was planted is chosen by coins that the data have no part in. The real people whom canaries displace are the last
//! rows of the data, whoever they are. The folder has a ledger and no weights: these have canaries in them.
//! *Tests.* `audit::tests`.
mod finding;
mod listener;
mod page;
mod planted;
#[cfg(test)]
mod tests;

use crate::{
    config::{Config, Mode},
    data::{Batch, Examples},
    plan::Plan,
    registry::registry,
    report,
    run::{self, Run, RunError},
    trainer::Trainer,
};
pub use finding::{Counts, Finding, Proof};
pub use page::html;
pub(crate) use planted::Planted;
use privacy::{Key, Neighbouring, Purpose};
use std::{path::Path, path::PathBuf, sync::Arc};

/// What an audit writes besides the ledger and the configuration.
pub(crate) const FILES: [&str; 2] = ["audit.json", "audit.html"];

registry! {
    /// An attack as it is named: `gradient`.
    AttackConfig by "attack" as Attack:
    gradient::Gradient = "gradient", "gradients along coordinates of their own, told by every release: the strongest there is";
    input::Input = "input", "public examples with a wrong target, told by the final model's loss alone";
}

impl AttackConfig {
    /// The attack of this name.
    ///
    /// # Errors
    /// If there is none: which there are.
    pub fn named(name: &str) -> Result<AttackConfig, String> {
        let read = toml::Value::String(name.to_owned()).try_into();
        read.map_err(|e: toml::de::Error| e.to_string().trim_end().to_owned())
    }
}

/// What canaries are planted among.
pub struct Field {
    /// The people.
    people: Arc<Examples>,
    /// Those that are declared public.
    public: Option<Arc<Examples>>,
    /// The coins: whether each canary is there.
    coins: Arc<[bool]>,
    /// Whether neighbours differ in what one person is, so that there is somebody in any case.
    replaced: bool,
    /// Randomness of the auditor's own.
    key: Arc<Key>,
}

/// A way of telling who was there.
pub trait Attack: Send + Sync {
    /// Its canaries.
    ///
    /// # Errors
    /// What they need and is not there.
    fn plant(&self, field: &Field) -> Result<Box<dyn Canaries>, String>;

    /// What the auditor sees, what a canary's score is, and what is not tried so: sentences for the page.
    fn sees(&self) -> &'static str;
}

/// Canaries of one attack in one run.
pub trait Canaries: Send {
    /// The rows of those who are there, for the data set; asked for once.
    fn rows(&mut self) -> Option<Batch>;

    /// Told before the first step of the trainer, whose data hold the rows from number `first` on and which draws each at this rate.
    ///
    /// # Errors
    /// Why this trainer cannot be attacked so.
    fn settle(&mut self, trainer: &mut Trainer, first: usize, rate: f64) -> Result<(), String> {
        let _ = (trainer, first, rate);
        Ok(())
    }

    /// A number for each canary, larger the more it seems to have been there.
    fn scores(&self, trainer: &Trainer) -> Vec<f64>;
}

/// What to try.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Canaries of each attack.
    pub canaries: usize,
    /// Coins that each attack guesses; by default about six times the root of the number of canaries.
    pub guesses: Option<usize>,
    /// The attacks, all on one run.
    pub attacks: Vec<AttackConfig>,
    /// How often a true claim may be refuted by bad luck.
    pub significance: f64,
}

impl Default for Audit {
    fn default() -> Self {
        Audit { canaries: 1000, guesses: None, attacks: vec![AttackConfig::Gradient(Gradient {})], significance: 0.05 }
    }
}

/// An audit that makes no sense, or a run that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// What was asked for does not go together.
    #[error("{0}")]
    Ask(String),
    /// The run.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// A run that is ready to be attacked: nothing has been spent.
pub struct Audited {
    run: Run,
    coins: Vec<Arc<[bool]>>,
    canaries: Vec<Box<dyn Canaries>>,
    firsts: Vec<usize>,
    audit: Audit,
    folder: Option<PathBuf>,
}

impl Audit {
    /// Guesses of each attack.
    pub fn guesses(&self) -> usize {
        let few = (6.0 * (self.canaries as f64).sqrt()).round() as usize;
        self.guesses.unwrap_or(few).min(self.canaries)
    }

    fn check(&self, config: &Config) -> Result<(), String> {
        let twice = |(k, attack): (usize, &AttackConfig)| self.attacks[..k].contains(attack);
        match self {
            _ if config.privacy.mode == Mode::Ordinary => {
                Err("privacy.mode = \"ordinary\" claims nothing that could be audited: set it to \"private\"".into())
            }
            _ if config.data.promise().person.is_some() => Err(
                "data.person: canaries are single records; audit a copy of the configuration without data.person and data.per_person"
                    .into(),
            ),
            Audit { canaries: 0 | 1, .. } => Err("--canaries: at least 2; a thousand or more prove something".into()),
            Audit { guesses: Some(guesses), canaries, .. } if *guesses < 2 || guesses > canaries => {
                Err(format!("--guesses {guesses}: from 2 to the {canaries} canaries that there are"))
            }
            Audit { significance, .. } if !(*significance > 0.0 && *significance < 0.5) => {
                Err(format!("--significance {significance}: above 0 and below 0.5"))
            }
            Audit { attacks, .. } if attacks.is_empty() => Err("--attack: name one at least".into()),
            Audit { attacks, .. } if attacks.iter().enumerate().any(twice) => Err("--attack: each one once".into()),
            _ => Ok(()),
        }
    }

    /// Reads the data, plants canaries, settles the numbers, and claims the folder of results, as [`Run::prepare`] does.
    ///
    /// # Errors
    /// As [`Run::prepare`], and what of the audit makes no sense, by its name on the command line.
    pub fn prepare(
        &self,
        config: Config,
        root: &Path,
        folder: Option<&Path>,
        force: bool,
    ) -> Result<Audited, AuditError> {
        self.check(&config).map_err(AuditError::Ask)?;
        let key = Arc::new(match config.train.seed {
            Some(seed) => Key::from_seed(seed).apart(),
            None => Key::from_os().map_err(RunError::from)?,
        });
        let replaced = config.privacy.neighbouring == Neighbouring::ReplaceOne;
        let (mut coins, mut canaries, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
        let run = Run::prepare_planted(config, root, (folder, force), |ground| {
            let keep = self.keep(ground)?;
            let (mut rows, mut next) = (Vec::new(), keep);
            for (k, attack) in self.attacks.iter().enumerate() {
                let own = self.coins(&key, k);
                let (people, public) = (ground.people.clone(), ground.public.clone());
                let field = Field { people, public, coins: own.clone(), replaced, key: key.clone() };
                let mut sown = attack.get().plant(&field)?;
                firsts.push(next);
                let batch = sown.rows();
                next += batch.as_ref().map_or(0, |batch| batch.n);
                rows.extend(batch);
                coins.push(own);
                canaries.push(sown);
            }
            Ok((keep, rows))
        })?;
        let folder = folder.map(Path::to_owned);
        Ok(Audited { run, coins, canaries, firsts, audit: self.clone(), folder })
    }

    /// How many people stay.
    fn keep(&self, ground: &run::Field) -> Result<usize, String> {
        let (people, planted) = (ground.declared, self.canaries * self.attacks.len());
        if planted > people / 2 {
            return Err(format!(
                "--canaries {}: canaries take the places of people, and the {people} declared ones have room for {} at most in {} attack(s)",
                self.canaries,
                people / 2 / self.attacks.len(),
                self.attacks.len()
            ));
        }
        Ok(ground.people.len().saturating_sub(planted))
    }

    fn coins(&self, key: &Key, attack: usize) -> Arc<[bool]> {
        let stream = key.stream(Purpose::Audit, 0, attack as u8);
        (0..self.canaries as u64).map(|k| stream.word(k) & 1 == 1).collect()
    }
}

impl Audited {
    /// The public numbers of the run.
    pub fn plan(&self) -> &Plan {
        &self.run.plan
    }

    /// What the user should know before starting.
    pub fn warnings(&self) -> &[String] {
        &self.run.warnings
    }

    /// The trainer, for whoever wants to see another rule, mechanism or sampler attacked under the configuration's claim. The last rows of its data
    /// are canaries.
    pub fn trainer(&mut self) -> &mut Trainer {
        self.run.trainer()
    }

    /// Trains, guesses, and writes what came of it. `watch` is told of each step and of how many there are, and ends training by `false`;
    /// what is found is then of the steps that were made.
    ///
    /// # Errors
    /// If the run cannot be attacked so, the ledger or a result cannot be written, or what was done cannot be priced.
    pub fn attack(mut self, watch: impl FnMut(u64, u64) -> bool) -> Result<Finding, AuditError> {
        let rate = self.run.plan.sample_rate;
        if !self.run.plan.epsilon.is_finite() {
            return Err(AuditError::Ask(
                "an infinite epsilon claims nothing that could be audited: raise the noise".into(),
            ));
        }
        for (canaries, first) in self.canaries.iter_mut().zip(&self.firsts) {
            canaries.settle(self.run.trainer(), *first, rate).map_err(AuditError::Ask)?;
        }
        self.run.steps_alone(watch)?;
        let scores = self.canaries.iter().map(|canaries| canaries.scores(self.run.trainer())).collect();
        let finding = finding::of(&self.run, &self.audit, &self.coins, scores)?;
        self.folder.as_deref().map_or(Ok(()), |folder| write(folder, &finding))?;
        Ok(finding)
    }
}

fn write(folder: &Path, finding: &Finding) -> Result<(), RunError> {
    let json = serde_json::to_vec_pretty(finding).map_err(|e| RunError::Look(e.to_string()))?;
    for (name, bytes) in FILES.iter().zip([json, html(finding).into_bytes()]) {
        let path = folder.join(name);
        report::write_atomically(&path, &bytes).map_err(|source| RunError::Write { path, source })?;
    }
    Ok(())
}

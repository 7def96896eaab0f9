//! The fixed workloads that speed is measured on: six networks, each on made-up data of its shape.
//!
//! They are ordinary configurations (`assets/workloads`), and the step that is timed is the trainer's own: who takes
//! part (everybody: the rate is 1), gradients, clipping at 1, noise of multiplier 1, plain gradient descent. What other
//! libraries' benchmarks leave out of a step (drawing, gathering the batch, the ledger) is in it here.
use crate::{
    config::{Config, ConfigError, Mode},
    data::{DataError, Examples, Targets},
    model::{Model, ModelError, Weights},
    plan::{Plan, PlanError},
    team::Team,
    trainer::Trainer,
};
use privacy::{Key, Ledger, Purpose};
use std::sync::Arc;

/// What its inputs and targets are like.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Made {
    /// Uniform numbers, and one of so many classes.
    Numbers { classes: u32 },
    /// Token ids below this, and the token that follows each.
    Tokens { vocabulary: u32 },
}

/// A network and the shape of its data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Workload {
    /// `W1` to `W6`.
    pub name: &'static str,
    /// Examples in a step on a processor, unless told otherwise.
    pub batch: usize,
    /// Examples in a step on a GPU, unless told otherwise.
    pub gpu_batch: usize,
    config: &'static str,
    input: &'static [usize],
    made: Made,
}

macro_rules! config {
    ($name:literal) => {
        include_str!(concat!("../assets/workloads/", $name, ".toml"))
    };
}

/// All of them.
pub const ALL: [Workload; 6] = [
    Workload {
        name: "W1",
        batch: 1024,
        gpu_batch: 1024,
        config: config!("w1"),
        input: &[108],
        made: Made::Numbers { classes: 2 },
    },
    Workload {
        name: "W2",
        batch: 512,
        gpu_batch: 512,
        config: config!("w2"),
        input: &[1, 28, 28],
        made: Made::Numbers { classes: 10 },
    },
    Workload {
        name: "W3",
        batch: 128,
        gpu_batch: 1024,
        config: config!("w3"),
        input: &[3, 32, 32],
        made: Made::Numbers { classes: 10 },
    },
    Workload {
        name: "W4",
        batch: 8,
        gpu_batch: 64,
        config: config!("w4"),
        input: &[128, 384],
        made: Made::Numbers { classes: 10 },
    },
    Workload {
        name: "W5",
        batch: 1,
        gpu_batch: 16,
        config: config!("w5"),
        input: &[512],
        made: Made::Tokens { vocabulary: 50257 },
    },
    Workload {
        name: "W6",
        batch: 16,
        gpu_batch: 256,
        config: config!("w6"),
        input: &[3, 32, 32],
        made: Made::Numbers { classes: 10 },
    },
];

/// A workload that cannot be set up: a fault of this program, not of its user.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Its network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its numbers.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Its device.
    #[error(transparent)]
    Device(#[from] engine::DeviceError),
    /// Its examples have no length.
    #[error("{0} is not a workload of texts: it has no length to change")]
    Length(&'static str),
}

impl Workload {
    /// The workload of this name, in either case.
    pub fn by_name(name: &str) -> Option<Workload> {
        ALL.into_iter().find(|w| w.name.eq_ignore_ascii_case(name))
    }

    /// What it is, in a line.
    pub fn title(&self) -> &'static str {
        self.config.lines().find_map(|l| l.strip_prefix("title = \"")).map_or("", |t| t.trim_end_matches('"'))
    }

    /// The configuration of one step on `batch` examples, with changes such as `clip.rule=auto-s`.
    ///
    /// # Errors
    /// If a change makes no sense.
    pub fn config(&self, mode: Mode, set: &[String]) -> Result<Config, ConfigError> {
        let mode = if mode == Mode::Private { "private" } else { "ordinary" };
        let all = ["train.sample_rate=1.0", "train.steps=1", "privacy.noise_multiplier=1.0"];
        let mut all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        all.push(format!("privacy.mode={mode}"));
        all.push("update=[{ update = \"sgd\", learning_rate = 0.1 }]".into());
        all.extend(set.iter().cloned());
        Config::read(self.name, self.config, &all)
    }

    /// A trainer whose every step has all of `batch` made-up examples.
    ///
    /// # Errors
    /// If `config` is not [`Workload::config`]'s.
    pub fn trainer(&self, config: &Config, batch: usize) -> Result<Trainer, WorkloadError> {
        self.trainer_of(config, batch, None)
    }

    /// As [`Workload::trainer`], on texts of another `length` where the workload is one of texts.
    ///
    /// # Errors
    /// As [`Workload::trainer`], and where there are no texts.
    pub fn trainer_of(&self, config: &Config, batch: usize, length: Option<usize>) -> Result<Trainer, WorkloadError> {
        let mut input = self.input.to_vec();
        match (self.length(), length) {
            (Some(_), Some(length)) => input[0] = length,
            (None, Some(_)) => return Err(WorkloadError::Length(self.name)),
            (_, None) => {}
        }
        let devices = config.train.open_devices()?;
        let mut data = self.data(batch, &input)?;
        let model = Arc::new(Model::build(&config.model, &input, &data.gather(&[]).targets)?);
        let plan = Plan::new(config, &model, batch)?;
        let key = Arc::new(Key::from_seed(1));
        let weights = engine::guard(|| {
            devices.iter().for_each(|device| data.reside(*device));
            Weights::public(model.layout(), &key).to(devices[0])
        })?;
        let ledger = Ledger::new(config.privacy.neighbouring);
        let mut trainer = plan.trainer(config, &model, weights, data, batch, key, ledger)?;
        trainer.team = Team::new(&devices, &trainer.weights)?;
        Ok(trainer)
    }

    /// Tokens of an example, where examples are texts.
    pub fn length(&self) -> Option<usize> {
        matches!(self.name, "W4" | "W5").then(|| self.input[0])
    }

    fn data(&self, batch: usize, input: &[usize]) -> Result<Examples, DataError> {
        let stream = Key::from_seed(0).stream(Purpose::Init, 0, 0);
        let width: usize = input.iter().product();
        let (inputs, targets) = match self.made {
            Made::Numbers { classes } => {
                let names: Vec<String> = (0..classes).map(|c| c.to_string()).collect();
                let labels = (0..batch as u32).map(|i| i % classes).collect();
                let mut inputs = vec![0.0; batch * width];
                stream.fill_uniform(0, &mut inputs);
                (inputs, Targets::Classes { labels, names: names.into() })
            }
            Made::Tokens { vocabulary } => {
                let id = |i: usize| (stream.uniform(i as u64) * f64::from(vocabulary)) as u32;
                let ids: Vec<u32> = (0..batch * (width + 1)).map(id).collect();
                let rows = || ids.chunks(width + 1);
                let inputs = rows().flat_map(|row| &row[..width]).map(|id| *id as f32).collect();
                let next = rows().flat_map(|row| &row[1..]).copied().collect();
                (inputs, Targets::Tokens { width, vocabulary, ids: next })
            }
        };
        Examples::from_floats(inputs, input.to_vec(), targets, vec![])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parameter counts of the peers' benchmark.
    #[test]
    fn sizes_are_the_peers() {
        let sizes = [94_210, 26_010, 550_570, 10_651_402, 163_037_184, 2_748_890];
        for (workload, size) in ALL.into_iter().zip(sizes) {
            if size > 20_000_000 {
                continue; // built, but not worth the memory in a test
            }
            let config = workload.config(Mode::Private, &[]).unwrap();
            let trainer = workload.trainer(&config, 1).unwrap_or_else(|e| panic!("{}: {e}", workload.name));
            assert_eq!(trainer.model.layout().len(), size, "{}", workload.title());
        }
    }
}

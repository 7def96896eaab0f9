//! A run as flags: phases of steps, a sampling scheme, a neighbouring relation.
use crate::number;
use clap::ValueEnum;
use privacy::{Event, Ledger, Neighbouring, Sampling};

/// Which data sets are neighbours.
#[derive(Clone, Copy, ValueEnum)]
pub enum Relation {
    AddRemove,
    ReplaceOne,
}

impl From<Relation> for Neighbouring {
    fn from(relation: Relation) -> Self {
        match relation {
            Relation::AddRemove => Neighbouring::AddRemove,
            Relation::ReplaceOne => Neighbouring::ReplaceOne,
        }
    }
}

/// How examples are chosen for a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scheme {
    Poisson,
    Full,
    TruncatedPoisson(u64),
    FixedSize,
    BallsInBins,
    Shuffled,
}

const SCHEMES: &str = "poisson, full, truncated-poisson:B (B: the largest batch), fixed-size, balls-in-bins, shuffled";

/// A rate that was written with six digits or more is that of the whole number nearest to it.
const ROUNDED: f64 = 0.01;

/// Reads `--sampling`.
pub fn scheme(text: &str) -> Result<Scheme, String> {
    let (name, size) = text.split_once(':').map_or((text, None), |(name, size)| (name, Some(size)));
    match (name, size) {
        ("poisson", None) => Ok(Scheme::Poisson),
        ("full", None) => Ok(Scheme::Full),
        ("fixed-size", None) => Ok(Scheme::FixedSize),
        ("balls-in-bins", None) => Ok(Scheme::BallsInBins),
        ("shuffled", None) => Ok(Scheme::Shuffled),
        ("truncated-poisson", Some(cap)) => {
            number::examples(cap).map(Scheme::TruncatedPoisson).map_err(|e| format!("the largest batch B {e}"))
        }
        _ => Err(format!("expected one of {SCHEMES}")),
    }
}

/// Some steps of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    pub noise_multiplier: f64,
    pub sample_rate: f64,
    pub steps: u64,
}

/// Reads `--phase z=1.1,q=0.01,steps=1000`.
pub fn phase(text: &str) -> Result<Phase, String> {
    let mut phase = (None, None, None);
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or("expected z=..,q=..,steps=..")?;
        match key.trim() {
            "z" => phase.0 = Some(number::multiplier(value).map_err(|e| format!("z {e}"))?),
            "q" => phase.1 = Some(number::rate(value).map_err(|e| format!("q {e}"))?),
            "steps" => phase.2 = Some(number::steps(value).map_err(|e| format!("steps {e}"))?),
            other => return Err(format!("unknown key `{other}`, expected z, q and steps")),
        }
    }
    match phase {
        (Some(noise_multiplier), Some(sample_rate), Some(steps)) => Ok(Phase { noise_multiplier, sample_rate, steps }),
        _ => Err("z, q and steps are all needed: z=1.1,q=0.01,steps=1000".into()),
    }
}

/// How a run is described besides its phases.
#[derive(clap::Args)]
pub struct Setting {
    /// Which data sets are neighbours: of one example more or less, or of one exchanged
    #[arg(long, value_enum, default_value_t = Relation::AddRemove)]
    pub neighbouring: Relation,
    /// How examples are chosen: poisson, full, truncated-poisson:B, fixed-size, balls-in-bins, shuffled
    #[arg(long, value_name = "SCHEME", default_value = "poisson", value_parser = scheme)]
    pub sampling: Scheme,
    /// Number of examples; truncated-poisson and fixed-size need it
    #[arg(long, value_name = "N", value_parser = number::examples, allow_negative_numbers = true)]
    pub examples: Option<u64>,
}

impl Setting {
    /// The ledger of these phases. Noise multipliers are standard deviations of the noise over the clip bound.
    pub fn ledger(&self, phases: &[Phase]) -> Result<Ledger, String> {
        let neighbouring: Neighbouring = self.neighbouring.into();
        let entry = |phase: &Phase| {
            let release = Event::Gaussian { noise_multiplier: phase.noise_multiplier / neighbouring.factor() };
            let sampling = self.sampling(phase.sample_rate)?;
            Ok((Event::Round { sampling, releases: vec![release] }, phase.steps))
        };
        Ok(Ledger::planned(neighbouring, phases.iter().map(entry).collect::<Result<_, String>>()?))
    }

    fn sampling(&self, rate: f64) -> Result<Sampling, String> {
        let examples = || self.examples.ok_or("--sampling truncated-poisson and fixed-size need --examples N");
        // Whole numbers of which none is cheaper than the rate that was asked for, but for its own rounding.
        let rounds = || {
            if rate > 0.0 {
                Ok((1.0 / rate + ROUNDED).floor() as u64)
            } else {
                Err("--sample-rate must be above 0 here")
            }
        };
        Ok(match self.sampling {
            Scheme::Poisson => Sampling::Poisson { rate },
            Scheme::Full => Sampling::Poisson { rate: 1.0 },
            Scheme::TruncatedPoisson(cap) => Sampling::TruncatedPoisson { rate, examples: examples()?, cap },
            Scheme::FixedSize => {
                let examples = examples()?;
                let batch = (rate * examples as f64 - ROUNDED).ceil() as u64;
                Sampling::FixedSize { batch: batch.clamp(u64::from(rate > 0.0), examples), examples }
            }
            Scheme::BallsInBins => Sampling::BallsInBins { bins: rounds()? },
            Scheme::Shuffled => Sampling::Shuffled { batches: rounds()? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_and_schemes_are_read() {
        let read = phase("z=1.5,q=0.01,steps=200").unwrap();
        assert_eq!(read, Phase { noise_multiplier: 1.5, sample_rate: 0.01, steps: 200 });
        assert!(phase("z=1.5,q=2,steps=200").unwrap_err().contains("q must be"));
        assert!(phase("z=1.5").unwrap_err().contains("all needed"));
        assert!(phase("w=1").unwrap_err().contains("unknown key `w`"));
        assert_eq!(scheme("truncated-poisson:300").unwrap(), Scheme::TruncatedPoisson(300));
        assert!(scheme("truncated-poisson:0").unwrap_err().contains("from 1"));
        assert!(scheme("truncated-poisson").unwrap_err().contains("expected one of"));
        assert!(scheme("shuffle").is_err() && scheme("shuffled").is_ok());
    }

    #[test]
    fn schemes_that_need_a_number_of_examples_say_so() {
        let setting = |sampling, examples| Setting { neighbouring: Relation::AddRemove, sampling, examples };
        let phases = [Phase { noise_multiplier: 1.0, sample_rate: 0.01, steps: 3 }];
        assert!(setting(Scheme::FixedSize, None).ledger(&phases).err().unwrap().contains("--examples"));
        let ledger = setting(Scheme::FixedSize, Some(5000)).ledger(&phases).unwrap();
        let Event::Round { sampling, .. } = &ledger.entries()[0].0 else { panic!("a round") };
        assert_eq!(*sampling, Sampling::FixedSize { batch: 50, examples: 5000 });
        let chosen = |scheme, rate| setting(scheme, Some(60_000)).sampling(rate).unwrap();
        let batch = |rate| match chosen(Scheme::FixedSize, rate) {
            Sampling::FixedSize { batch, .. } => batch,
            other => panic!("{other}"),
        };
        assert_eq!([0.0, 1e-9, 0.004_266_67, 0.004_27, 1.0].map(batch), [0, 1, 256, 257, 60_000]);
        for (rate, bins) in [(0.4, 2), (1.0 / 3.0, 3), (0.01, 100), (1.0, 1)] {
            assert_eq!(chosen(Scheme::BallsInBins, rate), Sampling::BallsInBins { bins }, "{rate}");
            assert_eq!(chosen(Scheme::Shuffled, rate), Sampling::Shuffled { batches: bins }, "{rate}");
        }
    }
}

//! What `account` can say besides one run's epsilon: a person with several rows, and the price of choosing the best run.
use crate::price;
use privacy::{Ledger, Price, Trials, account};
use serde_json::{Value, json};

/// Reads `--trials geometric:10`.
pub fn trials(text: &str) -> Result<Trials, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let mean = |text: &str| match text.parse::<f64>() {
        Ok(mean) if mean >= 1.0 && mean.is_finite() => Ok(mean),
        _ => Err("the mean number of trials is a number of at least 1".to_owned()),
    };
    match parts[..] {
        ["geometric", m] => Ok(Trials::NegativeBinomial { shape: 1.0, mean: mean(m)? }),
        ["logarithmic", m] => Ok(Trials::NegativeBinomial { shape: 0.0, mean: mean(m)? }),
        ["poisson", m] => Ok(Trials::Poisson { mean: mean(m)? }),
        ["negative-binomial", shape, m] => match shape.parse::<f64>() {
            Ok(shape) if shape > -1.0 && shape.is_finite() => Ok(Trials::NegativeBinomial { shape, mean: mean(m)? }),
            _ => Err("the shape is a number above -1".into()),
        },
        _ => Err("expected geometric:MEAN, logarithmic:MEAN, poisson:MEAN or negative-binomial:SHAPE:MEAN".into()),
    }
}

/// More questions about the same run.
#[derive(clap::Args)]
pub struct Besides {
    /// Also price somebody who has K rows
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub group: Option<u32>,
    /// Also price publishing the best of a RANDOM number of runs: geometric:MEAN, logarithmic:MEAN, poisson:MEAN,
    /// negative-binomial:SHAPE:MEAN
    #[arg(long, value_name = "DISTRIBUTION", value_parser = trials)]
    pub trials: Option<Trials>,
}

impl Besides {
    /// One row for each question asked: its key in JSON, its words, its price.
    pub fn rows(&self, ledger: &Ledger, delta: f64) -> Vec<(&'static str, String, Result<Price, String>)> {
        let group = self.group.map(|k| ("group", format!("somebody with {k} rows"), group(ledger, k, delta)));
        let tuned = |t: &Trials| {
            ("trials", "the best of the runs".to_owned(), t.price(ledger, delta).map_err(|e| e.to_string()))
        };
        group.into_iter().chain(self.trials.as_ref().map(tuned)).collect()
    }
}

/// Exact where there is a mixture for it, by the generic conversion elsewhere.
fn group(ledger: &Ledger, size: u32, delta: f64) -> Result<Price, String> {
    account::group::price(ledger, size, delta).or_else(|why| {
        let by = account::by_name(account::DEFAULT).ok_or("no such accountant")?;
        let epsilon =
            account::group::generic(size.into(), delta, |delta| by.spent(ledger, delta)).map_err(|e| e.to_string())?;
        Ok(Price::bound(epsilon).note(format!("by the generic conversion: {why}")))
    })
}

/// A row for programs.
pub fn json(price: &Result<Price, String>) -> Value {
    match price {
        Ok(price) => json!({ "epsilon": price::number(price.epsilon), "notes": price.notes }),
        Err(why) => json!({ "epsilon": null, "notes": [why] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_read() {
        assert_eq!(trials("geometric:10").unwrap(), Trials::NegativeBinomial { shape: 1.0, mean: 10.0 });
        assert_eq!(trials("negative-binomial:0.5:10").unwrap(), Trials::NegativeBinomial { shape: 0.5, mean: 10.0 });
        assert_eq!(trials("poisson:3").unwrap(), Trials::Poisson { mean: 3.0 });
        assert!(trials("poisson:0.5").unwrap_err().contains("at least 1"));
        assert!(trials("fixed:10").unwrap_err().contains("geometric"));
    }
}

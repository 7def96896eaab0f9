//! Input canaries: public examples with a target that is not theirs, told by the final model's loss on them (mislabelled examples: Nasr et al.
//! 2021, arXiv 2101.04535; after Jagielski et al. 2020, arXiv 2006.07709). What a stranger could do who has the model and nothing else; weak.
use super::{Attack, Canaries, Field};
use crate::{
    data::{Batch, Examples},
    trainer::Trainer,
};
use privacy::Purpose;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `--attack input`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {}

/// Others whose targets are looked at until one is another than a canary's own.
const TRIES: u64 = 64;

impl Attack for Input {
    fn plant(&self, field: &Field) -> Result<Box<dyn Canaries>, String> {
        let Some(public) = &field.public else {
            return Err(
                "--attack input takes its canaries from public examples, and the configuration names no evaluation \
                        data: name some in [data], or use --attack gradient"
                    .into(),
            );
        };
        let (count, most) = (field.coins.len(), public.len());
        if count > most {
            return Err(format!(
                "--canaries {count}: there are {most} evaluation examples to make input canaries of: ask for {most} at most"
            ));
        }
        let stream = field.key.stream(Purpose::Audit, 1, 0);
        let mut own: Vec<usize> = (0..most).collect();
        for k in 0..count {
            own.swap(k, k + below(stream.uniform(k as u64), most - k));
        }
        own.truncate(count);
        let wrong = |(k, own): (usize, &usize)| {
            let other = |t: u64| below(stream.uniform(count as u64 + k as u64 * TRIES + t), most);
            (0..TRIES).map(other).find(|other| !public.agree(*own, *other)).unwrap_or(*own)
        };
        let wrong: Vec<usize> = own.iter().enumerate().map(wrong).collect();
        Ok(Box::new(Sown { public: public.clone(), own, wrong, coins: field.coins.clone(), replaced: field.replaced }))
    }

    fn sees(&self) -> &'static str {
        "The auditor has the final model alone. A canary's score is its loss, with the sign turned."
    }
}

fn below(uniform: f64, n: usize) -> usize {
    ((uniform * n as f64) as usize).min(n.saturating_sub(1))
}

/// Canaries: whose inputs, and whose targets where the coin says that they are there. Under replace-one the others are there too, with the target
/// that is theirs.
struct Sown {
    public: Arc<Examples>,
    own: Vec<usize>,
    wrong: Vec<usize>,
    coins: Arc<[bool]>,
    replaced: bool,
}

impl Sown {
    fn losses(&self, trainer: &Trainer, targets: &[usize]) -> Vec<f64> {
        let shown = trainer.shown();
        let chunk = trainer.chunk.max(1);
        let pieces = self.own.chunks(chunk).zip(targets.chunks(chunk));
        let losses = pieces.flat_map(|(own, targets)| trainer.model.losses(&shown, self.public.crossed(own, targets)));
        losses.map(f64::from).collect()
    }
}

impl Canaries for Sown {
    fn rows(&mut self) -> Option<Batch> {
        let there = (0..self.own.len()).filter(|k| self.replaced || self.coins[*k]);
        let pairs = there.map(|k| (self.own[k], if self.coins[k] { self.wrong[k] } else { self.own[k] }));
        let (inputs, targets): (Vec<_>, Vec<_>) = pairs.unzip();
        Some(self.public.crossed(&inputs, &targets))
    }

    fn scores(&self, trainer: &Trainer) -> Vec<f64> {
        let mut scores: Vec<f64> = self.losses(trainer, &self.wrong).into_iter().map(|loss| -loss).collect();
        if self.replaced {
            scores.iter_mut().zip(self.losses(trainer, &self.own)).for_each(|(score, loss)| *score += loss);
        }
        scores
    }
}

//! Gradient canaries: people whose gradient is as long as the rule lets it, along coordinates of their own (Nasr et al. 2023,
//! arXiv 2302.07956; many in one run, Steinke et al. 2023, arXiv 2305.08846). The strongest attack there is on the release itself: through the
//! draw, the rule, the cap, the noise, the normaliser. Not through the model: how that makes and measures gradients is
//! not tried.
use super::{
    Attack, Canaries, Field,
    listener::Listener,
    planted::{Aim, Planted},
};
use crate::{
    data::Batch,
    trainer::{Method, Trainer},
};
use privacy::{Key, Neighbouring};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// `--attack gradient`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gradient {}

impl Attack for Gradient {
    fn plant(&self, field: &Field) -> Result<Box<dyn Canaries>, String> {
        let way = |there: &bool| if *there { 1.0 } else { -1.0 };
        let all = field.coins.iter().map(way).enumerate();
        let people: Vec<(usize, f32)> = all.filter(|(_, way)| field.replaced || *way > 0.0).collect();
        let rows = field.people.blank(people.len());
        let scores = Arc::new(Mutex::new(vec![0.0; field.coins.len()]));
        Ok(Box::new(Sown { people, rows: Some(rows), key: field.key.apart(), scores }))
    }

    fn sees(&self) -> &'static str {
        "The auditor sees every release. A canary's score is how much likelier the releases are if it was there, in \
         logarithms. Its gradient is made up: what is tried is all that happens from the rule on, and not how the \
         model makes and measures gradients."
    }
}

struct Sown {
    people: Vec<(usize, f32)>,
    rows: Option<Batch>,
    key: Key,
    scores: Arc<Mutex<Vec<f64>>>,
}

impl Canaries for Sown {
    fn rows(&mut self) -> Option<Batch> {
        self.rows.take()
    }

    fn settle(&mut self, trainer: &mut Trainer, first: usize, rate: f64) -> Result<(), String> {
        let none = || "an audit is of a private run: privacy.mode = \"ordinary\" claims nothing".to_owned();
        let (Some(bound), Some(deviation)) = (trainer.bound(), trainer.deviation()) else { return Err(none()) };
        let Method::Private { rule, .. } = &trainer.method else { return Err(none()) };
        let aim = Arc::new(Aim::new(&**rule, trainer.weights.layout(), self.key.apart()));
        let count = self.scores.lock().unwrap_or_else(PoisonError::into_inner).len();
        // Others who are drawn with a canary, on its coordinate, are as so much more noise.
        let most = (2.0 * aim.room() as f64 / rate * (deviation / bound).powi(2)) as usize;
        if count > most {
            return Err(format!(
                "--canaries {count}: in a model of {} coordinates so many gradient canaries would be each other's noise: ask for {most} at \
                 most, or use --attack input",
                aim.room()
            ));
        }
        let bounds = aim.bounds(&**rule);
        let backwards = trainer.ledger.neighbouring() == Neighbouring::ReplaceOne;
        let listener = Listener::new(aim.clone(), &bounds, (bound / deviation, rate, backwards), self.scores.clone());
        trainer.chain.insert(0, Box::new(listener));
        trainer.planted = Some(Planted { first, people: std::mem::take(&mut self.people), aim });
        Ok(())
    }

    fn scores(&self, _: &Trainer) -> Vec<f64> {
        self.scores.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

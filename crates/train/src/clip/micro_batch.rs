//! Micro-batch clipping: means of small crowds clipped, not single gradients. Charged honestly: sensitivity `2 C`.
//!
//! Source: practice of the field; Ponomareva et al. 2023, arXiv 2303.00654, section 5.6; Wang 2025, arXiv 2408.16204; also the
//! p-averaging of Xiao et al. 2023. A lot falls into `lot / size` crowds; `U = sum_j clip(mean of crowd j, C)`, divided by the
//! number of crowds. One more example can turn its crowd's clipped mean from any vector of length `C` to any other, so the
//! sensitivity is `2 C`: using `z C`, as libraries did, is a multiplier of `z / 2` (q = 0.01, 1000 steps, z = 1.1, delta 1e-5:
//! claimed 1.725, true 12.75). Crowds are a hash of an example's number, so that nobody else changes crowds. Wang's adaptive
//! form normalises by the shortest crowd of the batch, un-noised: it is not private and not offered. Norms of single examples
//! are taken only to leave out what is not finite. Cost class CROWD.
use super::{Bound, ClipRule, Crowds, Prepare, Setting, flat, split};
use crate::{each::Each, grads::Grads, state::State};
use privacy::{Key, Purpose, Sum};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

fn size() -> f64 {
    4.0
}

/// `{ rule = "micro-batch", bound = 1.0, size = 4.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MicroBatch {
    /// `C`: crowds' means longer than this are shortened to it.
    #[serde(default)]
    pub bound: Bound,
    /// Expected number of examples in a crowd, at least 1.
    #[serde(default = "size")]
    pub size: f64,
}

impl Prepare for MicroBatch {
    fn check(&self) -> Result<(), String> {
        (self.size.is_finite() && self.size >= 1.0).then_some(()).ok_or_else(|| "size is at least 1".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let count = (setting.lot / self.size).round().max(1.0);
        Ok(Box::new(Rule { bound: self.bound, count, lot: setting.lot, key: setting.key.clone(), step: 0 }))
    }
}

struct Rule {
    bound: Bound,
    count: f64,
    lot: f64,
    key: Arc<Key>,
    step: u64,
}

impl State for Rule {}

impl ClipRule for Rule {
    fn begin(&mut self, step: u64) {
        self.step = step;
    }
    fn crowds(&self) -> Option<Crowds> {
        Some(Crowds { count: self.count as u64, stream: self.key.stream(Purpose::Permute, self.step, 0) })
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        split(self.bound, groups)
    }
    fn weigh(&self, norms: Each) -> Each {
        let bounds = self.bounds(norms.columns());
        flat::weights(norms, &bounds)
    }
    /// Divides by the number of crowds instead of the lot.
    fn restore(&self, mean: Grads) -> Grads {
        mean.scale(self.lot / self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{contribute, sensitivity, trial::*};
    use super::*;

    fn made() -> Box<dyn ClipRule> {
        rule("rule = \"micro-batch\"\nsize = 2.0")
    }

    /// Numbers of examples that fall into crowd 0, or 1.
    fn members(crowd: u64) -> Vec<usize> {
        let crowds = made().crowds().unwrap();
        (0..50).filter(|n| crowds.stream.word(*n as u64) % crowds.count == crowd).collect()
    }

    #[test]
    fn published_mean() {
        let (zero, one) = (members(0), members(1));
        let who = vec![zero[0], zero[1], one[0], one[1]];
        let rule = made();
        let sum = open(contribute(&*rule, &layout(), taps_of(&T0, who), None), &*rule).sum;
        close(&sum.iter().map(|x| x / 2.0).collect::<Vec<_>>(), &[0.0301335868, 0.6147600521, 0.3077287274], 1e-6);
    }

    /// The specification's witness that one example moves the sum by twice the bound, and that no less is charged.
    #[test]
    fn one_example_turns_its_crowd_around() {
        let (rule, who) = (made(), members(0));
        let rows = [[10.0, 0.0, 0.0], [-30.0, 0.0, 0.0]];
        let of =
            |n: usize| open(contribute(&*rule, &layout(), taps_of(&rows[..n], who[..n].to_vec()), None), &*rule).sum;
        close(&[of(1)[0], of(2)[0]], &[1.0, -1.0], 1e-6);
        assert_eq!(sensitivity(&*rule, &layout()), 2.0);
    }

    /// Crowds that lie in several chunks are whole.
    #[test]
    fn chunks_change_nothing() {
        let rule = made();
        let piece = |rows: &[[f32; 3]], from: usize| {
            contribute(&*rule, &layout(), taps_of(rows, (from..from + rows.len()).collect()), None)
        };
        let whole = open(piece(&T0, 0), &*rule).sum;
        let parts = open(piece(&T0[..1], 0).merge(piece(&T0[1..3], 1)).merge(piece(&T0[3..], 3)), &*rule).sum;
        close(&parts, &whole, 1e-6);
    }
}

//! Error feedback with a memory for each example: what clipping cuts off a gradient is added to the example's next one.
//!
//! Source: the idea of DiceSGD (Zhang, Bu, Wu & Hong 2024, ICLR, arXiv 2311.14632), in the form that is private without further
//! assumptions: `clip(g_i + e_i, C)`, `e_i <- g_i + e_i - clip(g_i + e_i, C)`. Sensitivity `C`: an example's summand is a function
//! of its own data, its own past and released iterates, no longer than `C`; given what was released, a step is still a sampled
//! Gaussian of sensitivity `C` (`clip/mod.rs` has the argument), if everybody is drawn by a coin of his own: in a lot of fixed size somebody's
//! place is somebody else's absence, whose memory would tell of it later, so that such draws are refused. As published the memory is one hidden vector `e` that mixes everybody
//! and is never noised: it differs between neighbours in *every* later step, drawn or not, so that no sampling amplifies
//! it. Honestly charged, its share of 1000 steps costs noise of 63 C2 for a zCDP budget of 0.5, so that a `C2` large enough to
//! remove bias is out of reach by orders of magnitude; the published noise formula assumes bounded gradients, and the authors'
//! code leaves its own correction as a to-do. What this form cannot do: an example whose gradients stay longer than `C`
//! delivers `C` each time, and its memory grows. Memory of `d` numbers for each example that was ever drawn, which is as secret
//! as the gradients: no checkpoint holds it, and a run that is stopped cannot be gone on with. Cost class GRAD.
use super::{Bound, ClipRule, flat, split};
use crate::{each::Each, state::State};
use serde::{Deserialize, Serialize};

/// `{ rule = "dice-sgd", bound = 1.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiceSgd {
    /// `C`.
    #[serde(default)]
    pub bound: Bound,
}

impl State for DiceSgd {}

impl ClipRule for DiceSgd {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        split(self.bound, groups)
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &[self.bound.get()])
    }
    fn remembers(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Residuals, contribute, trial::*};
    use privacy::{Key, Ledger, Neighbouring, Poisson, Sampler, Secret};

    /// `steps` steps on what `rows` says of the step, starting with empty memories; the means.
    fn run(steps: u64, bound: f64, mut rows: impl FnMut(&[f64]) -> Vec<[f32; 3]>) -> Vec<Vec<f64>> {
        let mut rule = rule(&format!("rule = \"dice-sgd\"\nbound = {bound:?}"));
        let mut residuals: Option<Secret<Residuals>> = None;
        let (mut ledger, layout) = (Ledger::new(Neighbouring::AddRemove), layout());
        let (mut x, mut means) = (vec![0.0; 3], Vec::new());
        for t in 0..steps {
            let draw = Poisson::new(0, 0.5, Key::from_seed(1)).unwrap().draw(t);
            let lot = contribute(&*rule, &layout, taps(&rows(&x)), residuals.as_ref()).close(&*rule, &layout);
            let mut noise = super::super::Noise { mechanism: Box::new(Scripted(vec![0.0; 3])), answer: 0.0 };
            let mean = lot.release(&mut *rule, &mut noise, &mut residuals, &mut ledger.open(&draw), &layout, (t, 3.0));
            let mean: Vec<f64> = mean.unwrap().get().flat().iter().map(|x| f64::from(*x)).collect();
            x.iter_mut().zip(&mean).for_each(|(x, m)| *x -= 0.05 * m);
            means.push(mean);
        }
        means.push(x);
        means
    }

    /// A gradient of length 2.5 that comes once: 1, then 1, then 0.5 more of it is delivered.
    #[test]
    fn what_is_cut_off_comes_later() {
        let mut once = vec![[2.5, 0.0, 0.0]];
        let means = run(4, 1.0, |_| std::mem::replace(&mut once, vec![[0.0; 3]]));
        let first: Vec<f64> = means[..4].iter().map(|mean| 3.0 * mean[0]).collect();
        close(&first, &[1.0, 1.0, 0.5, 0.0], 1e-6);
    }

    /// Two examples of Chen et al., a = (-3, -3, 9): with memories for gradients that are longer than the bound now and then
    /// the optimum is found; where they always are, the bias of clipping stays.
    #[test]
    fn bias_goes_only_where_the_bound_can_deliver() {
        let end = |bound: f64| {
            run(4000, bound, |x| [-3.0, -3.0, 9.0].map(|a| [(x[0] - a) as f32, 0.0, 0.0]).to_vec())[4000][0]
        };
        assert!((end(8.5) - 1.0).abs() < 1e-3, "{}", end(8.5));
        assert!(end(1.0) < 0.0, "{}", end(1.0));
    }

    #[test]
    fn nothing_is_remembered_of_what_is_not_finite() {
        let mut bad = vec![[f32::NAN, 0.0, 0.0]];
        let means = run(2, 1.0, |_| std::mem::replace(&mut bad, vec![[0.5, 0.0, 0.0]]));
        close(&[means[0][0], 3.0 * means[1][0]], &[0.0, 0.5], 1e-6);
    }
}

//! Body and tail: two thresholds, and each example's own gradient says which is its.
//!
//! Source: DC-DPSGD (Sha et al. 2024, arXiv 2405.17529), in a form that is private as charged. There the share `t_i =
//! ||V^T g_i||^2 / ||g_i||^2` of each gradient in a few random directions is released with noise, example by example, and the
//! highest `p` of the lot are clipped at `c1`, the rest at `c2`. One noisy number *per example* protects that example alone
//! and shows the lot's size; without it, somebody who joins pushes somebody else from tail to body. Here an example belongs to
//! the tail if its own `t_i` (or norm, for `by = "norm"`) is above a public threshold: nobody else has a say, and nothing is
//! released apart. Sensitivity `c1`, the larger bound, as for flat clipping at `c1`: there is no free lunch. For random `V`
//! the mean of `t_i` is `k / d` whatever the direction, so that the published idea may be a lottery. Cost class DOT.
use super::{Bound, ClipRule, Prepare, Setting, geo_clip_k::orthonormal};
use crate::{each::Each, grads::Grads, state::State};
use privacy::Purpose;
use serde::{Deserialize, Serialize};

/// What tells the tail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The share of the gradient in random directions, over its expected share.
    #[default]
    Trace,
    /// The gradient's norm: the baseline that any split by trace has to beat.
    Norm,
}

fn body() -> f64 {
    0.1
}
fn directions() -> usize {
    16
}
fn threshold() -> f64 {
    2.0
}

/// `{ rule = "body-tail", bound = 1.0, body = 0.1, by = "trace", threshold = 2.0, directions = 16 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyTail {
    /// `c1`, of the tail.
    #[serde(default)]
    pub bound: Bound,
    /// `c2 / c1`, of the body, above 0 and at most 1.
    #[serde(default = "body")]
    pub body: f64,
    /// What tells the tail.
    #[serde(default)]
    pub by: By,
    /// What is above this is tail: the share over `k / d`, or the norm.
    #[serde(default = "threshold")]
    pub threshold: f64,
    /// `k`: random directions.
    #[serde(default = "directions")]
    pub directions: usize,
}

impl Prepare for BodyTail {
    fn check(&self) -> Result<(), String> {
        let fine = self.body > 0.0 && self.body <= 1.0 && self.threshold.is_finite() && self.directions > 0;
        fine.then_some(()).ok_or_else(|| "body is a share, threshold a number, directions at least 1".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let (d, stream) = (setting.layout.len(), setting.key.stream(Purpose::Permute, 0, 4));
        let drawn = |j: usize| {
            let mut v = vec![0.0; d];
            stream.fill_normal_f64((j as u64) << 40, &mut v);
            v
        };
        let count = if self.by == By::Norm { 0 } else { self.directions.min(setting.parameters) };
        let grads = |v: Vec<f64>| Grads::new(&setting.layout, v.into_iter().map(|x| x as f32).collect());
        let directions = orthonormal((0..count).map(drawn).collect(), d).into_iter().map(grads).collect();
        let expected = count as f64 / setting.parameters.max(1) as f64;
        Ok(Box::new(Rule { settings: self.clone(), directions, expected }))
    }
}

struct Rule {
    settings: BodyTail,
    directions: Vec<Grads>,
    expected: f64,
}

impl State for Rule {}

impl ClipRule for Rule {
    fn directions(&self) -> &[Grads] {
        &self.directions
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.settings.bound.get(); groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        let BodyTail { bound, body, by, threshold, .. } = self.settings.clone();
        let (tail, expected) = (bound.get(), self.expected);
        norms.map_rows(1, move |row, weight| {
            let norm = row[0].max(f64::MIN_POSITIVE);
            let share = row[1..].iter().map(|x| (x / norm).powi(2)).sum::<f64>() / expected;
            let told = if by == By::Norm { norm } else { share };
            let bound = if told > threshold { tail } else { tail * body };
            weight[0] = (bound / norm).min(1.0);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::*, *};

    /// V = (e1, e2): shares 1, 1, 0.5556 and 0.8163, of which the first two are tail here. The second is shorter than either
    /// bound, so that the published sum comes out.
    #[test]
    fn published_sum() {
        let grads = |x: [f32; 3]| Grads::new(&layout(), x.to_vec());
        let settings: BodyTail = toml::from_str("bound = 10.0\nthreshold = 1.4").unwrap();
        let directions = vec![grads([1.0, 0.0, 0.0]), grads([0.0, 1.0, 0.0])];
        let rule = Rule { settings, directions, expected: 2.0 / 3.0 };
        close(&sum(&rule, &T0), &[2.7761904762, 4.5523809524, 1.0952380952], 1e-6);
    }

    #[test]
    fn the_tail_by_norm() {
        let rule = rule("rule = \"body-tail\"\nbound = 5.0\nbody = 0.2\nby = \"norm\"\nthreshold = 4.0");
        let want = [3.0 + 0.3 + 1.0 / 3.0 - 30.0 / 7.0, 4.0 - 0.4 + 2.0 / 3.0 + 10.0 / 7.0, 2.0 / 3.0 + 15.0 / 7.0];
        close(&sum(&*rule, &T0), &want, 1e-6);
    }
}

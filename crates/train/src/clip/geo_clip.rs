//! GeoClip: gradients centred, turned and scaled to the geometry of what was released before they are clipped.
//!
//! Source: Gilani, Tasnim, Sankar & Kosut 2025 (NeurIPS), arXiv 2506.06549, Algorithm 1. `omega = M (g - a)`, clipped at `C`,
//! released, and `g~ = M^-1 U / m + a`. `Sigma <- beta2 Sigma + m (1 - beta2) (g~ - a)(g~ - a)^T`, `a <- beta1 a + (1 - beta1) g~`;
//! with `Sigma = V diag(l) V^T`, eigenvalues held between `floor` and `cap`, `M = sqrt(1 / sum sqrt(l)) diag(l^-1/4) V^T` adds
//! least noise under `Tr(M Sigma M^T) <= 1`. Sensitivity `C` in these coordinates, whatever `M` and `a` are: they come from
//! earlier releases. The covariance as published includes the noise's own, and for `d z^2 > m` runs away to `cap`, where the
//! rule is isotropic clipping: `subtract_noise`, on by default, takes `z^2 / m` of `M^-1 M^-T` out first, as AdaCliP does. The
//! published script noises every example apart, and what it prints does not describe it. Matrices of `d` by `d`: for a few
//! hundred parameters; `geoclip-k` is for more. Cost class GRAD.
use super::{Bound, ClipRule, Frame, News, Prepare, Projection, Setting, eigen, flat, threshold::positive};
use crate::{
    each::Each,
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

/// More parameters than this have too large matrices.
const MOST: usize = 1024;

pub(super) fn beta1() -> f64 {
    0.99
}
fn beta2() -> f64 {
    0.999
}
pub(super) fn floor() -> f64 {
    1e-15
}
pub(super) fn cap() -> f64 {
    10.0
}
fn yes() -> bool {
    true
}

/// `{ rule = "geoclip", bound = 1.0, beta1 = 0.99, beta2 = 0.999, floor = 1e-15, cap = 10.0, subtract_noise = true }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeoClip {
    /// `C` in the turned space, where norms are about 1.
    #[serde(default)]
    pub bound: Bound,
    /// Share of the last mean that is kept.
    #[serde(default = "beta1")]
    pub beta1: f64,
    /// Share of the last covariance that is kept.
    #[serde(default = "beta2")]
    pub beta2: f64,
    /// The least eigenvalue.
    #[serde(default = "floor")]
    pub floor: f64,
    /// The most.
    #[serde(default = "cap")]
    pub cap: f64,
    /// Whether the noise's own covariance is taken out.
    #[serde(default = "yes")]
    pub subtract_noise: bool,
}

pub(super) fn check(betas: [f64; 2], floor: f64, cap: f64) -> Result<(), String> {
    positive("floor", floor)?;
    positive("cap", cap)?;
    let fine = betas.iter().all(|b| (0.0..1.0).contains(b)) && floor <= cap;
    fine.then_some(()).ok_or_else(|| "shares that are kept are from 0 to below 1, and floor is at most cap".into())
}

impl Prepare for GeoClip {
    fn check(&self) -> Result<(), String> {
        check([self.beta1, self.beta2], self.floor, self.cap)
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        if setting.parameters > MOST {
            return Err(format!(
                "geoclip keeps a matrix of {0} by {0} numbers, and works for at most {MOST} parameters: use rule = \"geoclip-k\"",
                setting.parameters
            ));
        }
        let d = setting.layout.len();
        let covariance = (0..d * d).map(|i| f64::from(u8::from(i / d == i % d))).collect();
        let mut rule =
            Rule { settings: self.clone(), mean: None, covariance, like: Grads::zeros(&setting.layout), frame: None };
        rule.begin(0);
        Ok(Box::new(rule))
    }
}

struct Rule {
    settings: GeoClip,
    mean: Option<Grads>,
    covariance: Vec<f64>,
    like: Grads,
    frame: Option<(Frame, Turn)>,
}

/// Directions `M` and the way back, one a row.
pub(super) struct Turn {
    pub into: Vec<Vec<f64>>,
    pub back: Vec<Vec<f64>>,
}

impl Turn {
    /// From eigenvalues, already within their limits, and eigenvectors.
    pub fn new(values: &[f64], vectors: Vec<Vec<f64>>) -> Turn {
        let whole: f64 = values.iter().map(|l| l.sqrt()).sum();
        let scaled = |by: f64, v: &Vec<f64>| v.iter().map(|x| x * by).collect::<Vec<f64>>();
        let root = |l: &f64| l.sqrt().sqrt() * whole.sqrt();
        let into = values.iter().zip(&vectors).map(|(l, v)| scaled(root(l).recip(), v)).collect();
        let back = values.iter().zip(&vectors).map(|(l, v)| scaled(root(l), v)).collect();
        Turn { into, back }
    }

    /// The same geometry in other coordinates: turned by the orthogonal `r` `[k, k]`, one row for each old direction.
    ///
    /// Where eigenvalues are equal their vectors are any turn of each other, and which turn they are hangs on the last digit
    /// of what was released. Directions that are turned back towards something fixed do not jump.
    pub fn turned(&self, r: &[Vec<f64>]) -> Turn {
        let turn = |old: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let one = |i: usize| {
                let mut new = vec![0.0; old.first().map_or(0, Vec::len)];
                old.iter().zip(r).for_each(|(v, r)| new.iter_mut().zip(v).for_each(|(n, v)| *n += r[i] * v));
                new
            };
            (0..old.len()).map(one).collect()
        };
        Turn { into: turn(&self.into), back: turn(&self.back) }
    }

    /// As a frame around `mean`, of the shape of `like`.
    pub fn frame(&self, like: &Grads, mean: Option<&Grads>) -> Frame {
        let grads = |v: &Vec<f64>| Grads::new(like.layout(), v.iter().map(|x| *x as f32).collect());
        let (into, back) = (self.into.iter().map(grads).collect(), self.back.iter().map(grads).collect());
        Frame::Project(Projection::new(into, back, mean.cloned()))
    }
}

impl State for Rule {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("mean", &mut self.mean);
        visit.numbers("covariance", &mut self.covariance);
    }
}

impl ClipRule for Rule {
    fn begin(&mut self, _: u64) {
        let d = self.like.flat().len();
        let (values, vectors) = eigen::symmetric(self.covariance.clone(), d);
        let values: Vec<f64> = values.iter().map(|l| l.clamp(self.settings.floor, self.settings.cap)).collect();
        let vectors: Vec<Vec<f64>> = vectors.chunks(d.max(1)).map(<[f64]>::to_vec).collect();
        let turn = Turn::new(&values, vectors.clone()).turned(&vectors);
        self.frame = Some((turn.frame(&self.like, self.mean.as_ref()), turn));
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.settings.bound.get(); groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &[self.settings.bound.get()])
    }
    fn frame(&self) -> Option<&Frame> {
        self.frame.as_ref().map(|(frame, _)| frame)
    }
    fn learn(&mut self, news: &News) {
        let Some((_, turn)) = &self.frame else { return };
        let GeoClip { beta1, beta2, subtract_noise, .. } = self.settings;
        let d = self.like.flat().len();
        let mean = self.mean.get_or_insert_with(|| self.like.clone());
        let gap: Vec<f64> = news.gradient.flat().iter().zip(mean.flat()).map(|(g, a)| f64::from(g - a)).collect();
        let noise = if subtract_noise { news.deviation.powi(2) / news.lot } else { 0.0 };
        for i in 0..d {
            for j in 0..d {
                let own: f64 = turn.back.iter().map(|v| v[i] * v[j]).sum::<f64>() * noise;
                let seen = news.lot * gap[i] * gap[j] - own;
                let kept = &mut self.covariance[i * d + j];
                *kept = beta2 * *kept + (1.0 - beta2) * seen;
            }
        }
        mean.zip_with(news.gradient, |a, g| *a = (beta1 * f64::from(*a) + (1.0 - beta1) * f64::from(g)) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::*, *};

    fn squares(turn: &Turn, i: usize, j: usize) -> f64 {
        turn.into.iter().map(|v| v[i] * v[j]).sum()
    }

    #[test]
    fn published_geometry() {
        let (values, vectors) = eigen::symmetric(vec![2.0, 1.2, 1.2, 1.0], 2);
        let turn = Turn::new(&values, vectors.chunks(2).map(<[f64]>::to_vec).collect());
        let got = [squares(&turn, 0, 0), squares(&turn, 0, 1), squares(&turn, 1, 1)];
        close(&got, &[0.5195644488, -0.3566127743, 0.8167417607], 1e-9);
        let noise: f64 = turn.back.iter().flatten().map(|x| x * x).sum();
        close(&[noise, 2.0 * got[0] + 2.4 * got[1] + got[2]], &[4.4966629547, 1.0], 1e-9);
    }

    /// The specification's batch of two numbers, with a third that is always zero and alone.
    #[test]
    fn published_step() {
        struct Start;
        impl State for Start {
            fn state(&mut self, visit: &mut Visit) {
                visit.grads("mean", &mut Some(Grads::new(&layout(), vec![0.1, -0.2, 0.0])));
                visit.numbers("covariance", &mut vec![2.0, 1.2, 0.0, 1.2, 1.0, 0.0, 0.0, 0.0, 1e-15]);
            }
        }
        let mut rule = rule("rule = \"geoclip\"\nsubtract_noise = false");
        load(&mut *rule, &mut Start);
        rule.begin(0);
        let rows = [[2.0, 1.0, 0.0], [-1.0, 0.5, 0.0], [0.2, 0.1, 0.0]];
        let mean = step(&mut *rule, 0, &rows, &[0.0; 3], 3.0);
        close(&mean, &[0.3718898155, 0.4207588674, 0.0], 1e-6);
        let after = remembered(&mut *rule);
        close(&after["mean"], &[0.1027188982, -0.1937924113, 0.0], 1e-6);
        let c = &after["covariance"];
        close(&[c[0], c[1], c[4]], &[1.9982217722, 1.1993063340, 1.0001560247], 1e-6);
    }

    /// Nothing but noise: as published the eigenvalues run to the cap; with the noise taken out they do not.
    #[test]
    fn noise_does_not_run_away() {
        let largest = |subtract: bool| {
            let mut rule = rule(&format!("rule = \"geoclip\"\nbeta2 = 0.9\nsubtract_noise = {subtract}"));
            let stream = privacy::Key::from_seed(5).stream(privacy::Purpose::Audit, 0, 0);
            for t in 0..60 {
                let noise: Vec<f32> = (0..3).map(|j| stream.normal(3 * t + j) as f32).collect();
                step(&mut *rule, t, &[], &noise, 1.0);
            }
            let c = &remembered(&mut *rule)["covariance"];
            c[0] + c[4] + c[8]
        };
        let (published, mended) = (largest(false), largest(true));
        assert!(published > 10.0 && mended < 0.5 * published, "{published} and {mended}");
    }
}

//! SWAN: gradients of matrices, normalised and whitened, without state.
//!
//! Source: Ma, Gong, Scetbon & Meeds 2024, arXiv 2412.13148. A parameter of two or more axes is a matrix `G` of its first
//! axis by the rest, transposed where that is taller than wide. *GradNorm*: each row less its mean over its deviation.
//! *GradWhitening*: `W = (G G^T)^(-1/2) G` by Newton-Schulz, which sets all singular values to one; rescaled to `||G||_F`,
//! `step = -rate W`. Parameters of one axis are Adam's, and so are those whose name begins with an entry of `adam_for`
//! (the paper names embeddings).
//! Whitening gives a direction of pure noise the same step as one of signal: under privacy use very large lots, or a filter
//! such as `doppler` in front. Work in f64, `m^2 n` a matrix of `m <= n`. Post-processing: costs no privacy.
use super::{Now, Prepare, Rate, Update, adam, adam::Moments, within};
use crate::{
    grads::Grads,
    layer::Parameter,
    state::{State, Visit},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

fn iterations() -> u64 {
    10
}

/// `{ update = "swan", learning_rate = 0.01 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swan {
    /// Step size.
    pub learning_rate: Rate,
    /// Newton-Schulz iterations.
    #[serde(default = "iterations")]
    pub iterations: u64,
    /// Beginnings of names of parameters that Adam takes care of.
    #[serde(default)]
    pub adam_for: Vec<String>,
    /// Step size of Adam, over `learning_rate`.
    #[serde(default = "one")]
    pub adam_share: f64,
}

fn one() -> f64 {
    1.0
}

impl Prepare for Swan {
    fn rate(&self) -> Option<&Rate> {
        Some(&self.learning_rate)
    }

    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        self.learning_rate.check()?;
        within("iterations", self.iterations as f64, 1.0..=100.0)?;
        within("adam_share", self.adam_share, 0.0..)?;
        Ok(Box::new(Link { settings: self.clone(), moments: Moments::new(adam::beta1(), adam::beta2())? }))
    }
}

struct Link {
    settings: Swan,
    /// Adam's, of the parameters that are not whitened; zero elsewhere.
    moments: Moments,
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        self.moments.state(visit);
    }
}

impl Link {
    fn whitens(&self, p: &Parameter) -> bool {
        p.shape.len() > 1 && !self.settings.adam_for.iter().any(|start| p.name.starts_with(start))
    }
}

impl Update for Link {
    fn update(&mut self, mut g: Grads, now: &mut Now) -> Grads {
        let layout = g.layout().clone();
        let whitened: Vec<usize> =
            (0..layout.parameters().len()).filter(|p| self.whitens(&layout.parameters()[*p])).collect();
        let rate = self.settings.learning_rate.at(now);
        let mut done = Vec::with_capacity(whitened.len());
        for p in &whitened {
            let rows = layout.parameters()[*p].shape[0];
            done.push(step(g.parameter(*p), rows, self.settings.iterations));
            g.parameter_mut(*p).fill(0.0);
        }
        let eps = adam::eps() as f32;
        let mut all = self.moments.step(g, -rate * self.settings.adam_share, |v| v.sqrt() + eps);
        for (p, numbers) in whitened.into_iter().zip(done) {
            all.parameter_mut(p).iter_mut().zip(numbers).for_each(|(to, w)| *to = (-rate * w) as f32);
        }
        all
    }
}

/// A matrix by rows.
#[derive(Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    numbers: Vec<f64>,
}

impl Matrix {
    fn transposed(&self) -> Matrix {
        let numbers = (0..self.columns).flat_map(|c| (0..self.rows).map(move |r| self.numbers[r * self.columns + c]));
        Matrix { rows: self.columns, columns: self.rows, numbers: numbers.collect() }
    }

    fn norm(&self) -> f64 {
        self.numbers.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// `self * other^T`.
    fn times_transposed(&self, other: &Matrix) -> Matrix {
        let inner = self.columns.max(1);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let row = |a: &[f64]| other.numbers.chunks(inner).map(|b| dot(a, b)).collect::<Vec<_>>();
        let numbers = self.numbers.par_chunks(inner).flat_map_iter(row).collect();
        Matrix { rows: self.rows, columns: other.rows, numbers }
    }

    fn map(mut self, f: impl Fn(f64) -> f64) -> Matrix {
        self.numbers.iter_mut().for_each(|x| *x = f(*x));
        self
    }
}

/// The whitened, normalised matrix of `rows` rows, in its own orientation. Empty in a rehearsal.
fn step(numbers: &[f32], rows: usize, iterations: u64) -> Vec<f64> {
    let columns = numbers.len() / rows.max(1);
    if columns == 0 {
        return Vec::new();
    }
    let g = Matrix { rows, columns, numbers: numbers.iter().map(|x| f64::from(*x)).collect() };
    if rows <= columns {
        whiten(normalise(g), iterations).numbers
    } else {
        whiten(normalise(g.transposed()), iterations).transposed().numbers
    }
}

/// Each row less its mean, over its deviation.
fn normalise(mut g: Matrix) -> Matrix {
    let n = g.columns as f64;
    for row in g.numbers.chunks_mut(g.columns.max(1)) {
        let mean = row.iter().sum::<f64>() / n;
        row.iter_mut().for_each(|x| *x -= mean);
        let deviation = (row.iter().map(|x| x * x).sum::<f64>() / n).sqrt();
        row.iter_mut().for_each(|x| *x /= deviation.max(1e-8));
    }
    g
}

/// `(G G^T)^(-1/2) G` at the norm of `G`.
fn whiten(g: Matrix, iterations: u64) -> Matrix {
    let (square, norm) = (g.times_transposed(&g), g.norm());
    let scale = square.norm();
    if scale == 0.0 || !scale.is_finite() {
        return g.map(|_| 0.0);
    }
    let mut y = square.map(|x| x / scale);
    let mut z = identity(y.rows);
    for _ in 0..iterations {
        // All of these are polynomials of one symmetric matrix: symmetric, and their products do not depend on order.
        let mut t = z.times_transposed(&y).map(|x| -x);
        (0..t.rows).for_each(|k| t.numbers[k * t.columns + k] += 3.0);
        y = y.times_transposed(&t).map(|x| 0.5 * x);
        z = t.times_transposed(&z).map(|x| 0.5 * x);
    }
    let white = z.times_transposed(&g.transposed());
    let by = norm / white.norm().max(f64::MIN_POSITIVE);
    white.map(|x| x * by)
}

fn identity(n: usize) -> Matrix {
    let numbers = (0..n * n).map(|k| f64::from(u8::from(k / n == k % n))).collect();
    Matrix { rows: n, columns: n, numbers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_matrix() {
        let g = [1.0, 2.0, 3.0, 6.0, 0.0, -1.0, 1.0, 4.0_f32];
        let matrix = Matrix { rows: 2, columns: 4, numbers: g.iter().map(|x| f64::from(*x)).collect() };
        let normal = normalise(matrix);
        let known = [-1.06904497, -0.53452248, 0.0, 1.60356745, -0.53452248, -1.06904497, 0.0, 1.60356745];
        let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far(&normal.numbers, &known) < 1e-8);
        let exact = [-0.78867513, 0.21132487, 0.0, 0.57735027, 0.21132487, -0.78867513, 0.0, 0.57735027];
        let error = |k: u64| {
            let white = whiten(normal.clone(), k);
            let raw = white.norm() / 2f64.sqrt();
            far(&white.map(|x| x / raw).numbers, &exact)
        };
        assert!(error(10) < 1e-8 && error(5) > 1e-3);
        let scaled = step(&g, 2, 10);
        assert!(far(&scaled, &exact.map(|x| 2.0 * x)) < 1e-7, "the rescaling of this matrix is 2");
    }

    #[test]
    fn a_tall_matrix_is_its_transpose_and_zeros_stay_zero() {
        let wide = [1.0, 2.0, 3.0, 6.0, 0.0, -1.0, 1.0, 4.0_f32];
        let tall: Vec<f32> = (0..4).flat_map(|c| [wide[c], wide[4 + c]]).collect();
        let (a, b) = (step(&wide, 2, 8), step(&tall, 4, 8));
        assert!((0..4).all(|c| a[c] == b[2 * c] && a[4 + c] == b[2 * c + 1]));
        assert_eq!(step(&[0.0; 6], 2, 10), [0.0; 6]);
        assert!(step(&[], 3, 10).is_empty());
    }
}

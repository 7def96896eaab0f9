//! The largest curvatures of the loss, and how much of the gradient, of the clipping bias and of noise lies along them.
//!
//! `diagnostics.md`, H1, H2, H6: Hessian-vector products by central differences of gradients, `h = 1e-3 max(1, |w|)`; Lanczos
//! with full re-orthogonalisation; quadrature weights from the first components of the eigenvectors. Isotropic noise has a
//! share of `k/d` along any `k` directions.
use super::{Diagnostic, Finding, Scan, Scene};
use crate::{
    grads::Grads,
    report::plot::{Axis, Layer, Mark, Picture},
};
use privacy::{Purpose, Sum};
use serde_json::json;

/// See the module.
pub struct Hessian;

impl Diagnostic for Hessian {
    fn heading(&self) -> &'static str {
        "Curvature"
    }

    fn dear(&self) -> bool {
        true
    }

    fn find(&self, scene: &Scene, scan: &Scan) -> Option<Finding> {
        let wanted = scene.setting.eigenvalues.min(scan.parameters);
        (wanted > 0).then_some(())?;
        let top = top(scene, wanted);
        let k = top.values.len();
        let bias = scan.contributed.clone().add_scaled(scan.mean.clone(), -1.0);
        let along = |g: &Grads| -> Vec<f64> { top.shares(g) };
        let (signal, bias) = (along(&scan.mean), along(&bias));
        let noise = |k: usize| k as f64 / scan.parameters as f64;
        let largest = top.values.first().copied().unwrap_or(0.0);
        let numbers = json!({
            "eigenvalues": top.values, "smallest_found": top.least, "share_of_mean_gradient": signal, "share_of_clipping_bias": bias,
            "share_of_isotropic_noise": noise(k), "above_1_percent": top.above_a_hundredth(),
            "stable_rank": top.stable_rank(),
        });
        let last = |x: &[f64]| 100.0 * x.last().copied().unwrap_or(0.0);
        Some(Finding {
            name: "hessian",
            numbers,
            words: vec![format!(
                "The largest curvature is {largest:.3}. Along the {k} sharpest directions lie {:.1} % of the mean gradient, {:.1} % of \
                 the clipping bias and {:.3} % of the noise.",
                last(&signal),
                last(&bias),
                100.0 * noise(k)
            )],
            pictures: vec![spectrum(&top.values), shares(&signal, &bias, &noise)],
            table: None,
        })
    }
}

/// Largest eigenvalues, descending, with unit eigenvectors.
pub struct Top {
    /// The eigenvalues.
    pub values: Vec<f64>,
    /// Unit eigenvectors, in the same order.
    pub vectors: Vec<Vec<f64>>,
    /// The smallest Ritz value that was seen.
    pub least: f64,
}

impl Top {
    /// The `wanted` largest eigenvalues of the symmetric operator `product`, seen from `start`, by `2 wanted + 10` steps of
    /// Lanczos; fewer where an invariant subspace ends it.
    pub fn of(product: impl FnMut(&[f64]) -> Vec<f64>, start: Vec<f64>, wanted: usize) -> Top {
        let steps = (2 * wanted + 10).min(start.len());
        let found = lanczos(product, start, steps);
        let (values, vectors) = found.eigen();
        let vector = |k: usize| {
            let mut sum = vec![0.0; found.basis[0].len()];
            for (q, s) in found.basis.iter().zip(&vectors[k]) {
                sum.iter_mut().zip(q).for_each(|(sum, q)| *sum += s * q);
            }
            sum
        };
        let least = values.last().copied().unwrap_or(0.0);
        let kept = wanted.min(values.len());
        Top { vectors: (0..kept).map(vector).collect(), values: values.into_iter().take(kept).collect(), least }
    }

    /// The share of `g`'s energy along the first 1, 2, ... eigenvectors.
    pub fn shares(&self, g: &Grads) -> Vec<f64> {
        let energy: f64 = g.flat().iter().map(|x| f64::from(*x).powi(2)).sum();
        let along = |v: &Vec<f64>| v.iter().zip(g.flat()).map(|(v, x)| v * f64::from(*x)).sum::<f64>().powi(2);
        let mut sum = 0.0;
        self.vectors.iter().map(|v| (sum += along(v), sum / energy.max(f64::MIN_POSITIVE)).1).collect()
    }

    /// How many eigenvalues are above 1 % of the largest.
    pub fn above_a_hundredth(&self) -> usize {
        self.values.iter().filter(|l| **l > 0.01 * self.values[0]).count()
    }

    /// The sum of the positive ones over the largest.
    pub fn stable_rank(&self) -> f64 {
        self.values.iter().filter(|l| **l > 0.0).sum::<f64>() / self.values.first().copied().unwrap_or(0.0)
    }
}

/// Products of the Hessian at `point` with vectors, by central differences of `gradient`.
pub fn products(point: &Grads, gradient: impl Fn(&Grads) -> Grads) -> impl FnMut(&[f64]) -> Vec<f64> {
    let h = 1e-3 * point.norm().max(1.0);
    let point = point.clone();
    move |v: &[f64]| {
        let v = Grads::new(point.layout(), v.iter().map(|x| *x as f32).collect());
        let ahead = gradient(&point.clone().add_scaled(v.clone(), h));
        let behind = gradient(&point.clone().add_scaled(v, -h));
        let pairs = ahead.flat().iter().zip(behind.flat());
        pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)) / (2.0 * h)).collect()
    }
}

fn top(scene: &Scene, wanted: usize) -> Top {
    let point = scene.weights.point();
    let mut start = vec![0.0f32; point.layout().len()];
    scene.setting.key.stream(Purpose::Permute, 0, 3).fill_normal(0, &mut start);
    let start = start.into_iter().map(f64::from).collect();
    Top::of(products(&point, |p| scene.gradient_at(p)), start, wanted)
}

/// A symmetric operator seen from one starting vector.
pub struct Lanczos {
    /// Diagonal of the tridiagonal matrix.
    pub alpha: Vec<f64>,
    /// Its off-diagonal.
    pub beta: Vec<f64>,
    /// Orthonormal rows.
    pub basis: Vec<Vec<f64>>,
}

/// At most `steps` steps of Lanczos with full re-orthogonalisation; fewer when an invariant subspace is found.
pub fn lanczos(mut product: impl FnMut(&[f64]) -> Vec<f64>, start: Vec<f64>, steps: usize) -> Lanczos {
    let mut found = Lanczos { alpha: Vec::new(), beta: Vec::new(), basis: Vec::new() };
    let mut q = unit(start).map(|(q, _)| q);
    while let Some(now) = q.take().filter(|_| found.basis.len() < steps) {
        let mut u = product(&now);
        found.alpha.push(inner(&now, &u));
        found.basis.push(now);
        // Twice is enough (Parlett 1980).
        for _ in 0..2 {
            for b in &found.basis {
                let by = inner(b, &u);
                u.iter_mut().zip(b).for_each(|(u, b)| *u -= by * b);
            }
        }
        let scale = found.alpha.iter().map(|a| a.abs()).fold(1e-300, f64::max);
        if let Some((next, beta)) = unit(u).filter(|(_, beta)| *beta > 1e-10 * scale && found.basis.len() < steps) {
            found.beta.push(beta);
            q = Some(next);
        }
    }
    found
}

impl Lanczos {
    /// Ritz values, descending, and the eigenvectors of the tridiagonal matrix; squares of their first components are
    /// quadrature weights of the spectral density.
    pub fn eigen(&self) -> (Vec<f64>, Vec<Vec<f64>>) {
        let m = self.alpha.len();
        let entry = |i: usize, j: usize| match i.abs_diff(j) {
            0 => self.alpha[i],
            1 => self.beta[i.min(j)],
            _ => 0.0,
        };
        symmetric((0..m).map(|i| (0..m).map(|j| entry(i, j)).collect()).collect())
    }
}

/// Eigenvalues (descending) and unit eigenvectors of a small symmetric matrix, by Jacobi's rotations.
pub fn symmetric(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = a.len();
    let mut v: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let size: f64 = a.iter().flatten().map(|x| x * x).sum();
    for _ in 0..60 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j].powi(2)).sum();
        if off <= 1e-30 * size {
            break;
        }
        (0..n).flat_map(|i| (0..i).map(move |j| (j, i))).for_each(|(p, q)| rotate(&mut a, &mut v, p, q));
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[*j][*j].total_cmp(&a[*i][*i]));
    (order.iter().map(|i| a[*i][*i]).collect(), order.iter().map(|i| v[*i].clone()).collect())
}

/// Makes `a[p][q]` zero, for `p < q`; rows of `v` follow.
fn rotate(a: &mut [Vec<f64>], v: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let t = if theta == 0.0 { 1.0 } else { t };
    let c = (t * t + 1.0).sqrt().recip();
    let s = t * c;
    for row in a.iter_mut() {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
    for rows in [a, v] {
        let (low, high) = rows.split_at_mut(q);
        let pairs = low[p].iter_mut().zip(high[0].iter_mut());
        pairs.for_each(|(x, y)| (*x, *y) = (c * *x - s * *y, s * *x + c * *y));
    }
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn unit(mut v: Vec<f64>) -> Option<(Vec<f64>, f64)> {
    let norm = inner(&v, &v).sqrt();
    v.iter_mut().for_each(|x| *x /= norm);
    (norm > 0.0 && norm.is_finite()).then_some((v, norm))
}

fn spectrum(values: &[f64]) -> Picture {
    let points = values.iter().enumerate().map(|(k, l)| ((k + 1) as f64, *l)).collect();
    Picture {
        title: "Largest eigenvalues of the Hessian".into(),
        x: Axis::new("rank").whole(),
        y: Axis::new("curvature").including(0.0),
        layers: vec![Layer::new("eigenvalues", Mark::Joined, 1, points)],
        marks: Vec::new(),
    }
}

fn shares(signal: &[f64], bias: &[f64], noise: &dyn Fn(usize) -> f64) -> Picture {
    let line = |x: &[f64]| x.iter().enumerate().map(|(k, s)| ((k + 1) as f64, 100.0 * s)).collect::<Vec<_>>();
    let even: Vec<f64> = (1..=signal.len()).map(noise).collect();
    Picture {
        title: "Energy along the sharpest directions".into(),
        x: Axis::new("directions").whole(),
        y: Axis::new("share").unit("%").log(),
        layers: vec![
            Layer::new("gradient", Mark::Line, 1, line(signal)),
            Layer::new("clipping bias", Mark::Dashed, 2, line(bias)),
            Layer::new("noise", Mark::Joined, 3, line(&even)),
        ],
        marks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: [[f64; 3]; 3] = [[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]];

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-7, "{a} is not {b}");
    }

    /// `diagnostics.md`, H2.
    #[test]
    fn the_specifications_matrix() {
        let product = |v: &[f64]| H.iter().map(|row| inner(row, v)).collect();
        let found = lanczos(product, vec![1.0, 0.0, 0.0], 3);
        found.alpha.iter().zip([4.0, 3.0, 2.0]).for_each(|(a, b)| close(*a, b));
        found.beta.iter().zip([1.0, 1.0]).for_each(|(a, b)| close(*a, b));
        let (values, vectors) = found.eigen();
        values.iter().zip([4.732_050_81, 3.0, 1.267_949_19]).for_each(|(a, b)| close(*a, b));
        let weights = vectors.iter().map(|v| v[0] * v[0]);
        weights.zip([0.622_008_47, 0.333_333_33, 0.044_658_2]).for_each(|(a, b)| close(a, b));
    }

    /// `diagnostics.md`, H6.
    #[test]
    fn the_specifications_alignment() {
        let (values, vectors) = symmetric(H.map(|row| row.to_vec()).to_vec());
        close(values[0], 4.732_050_81);
        close(inner(&vectors[0], &[1.0; 3]).powi(2) / 3.0, 0.829_344_62);
    }

    #[test]
    fn an_invariant_subspace_ends_it() {
        let found = lanczos(|v| v.to_vec(), vec![1.0, 2.0, 3.0], 3);
        assert_eq!((found.alpha.len(), found.beta.len()), (1, 0));
        assert!(lanczos(|v| v.to_vec(), vec![0.0; 3], 3).basis.is_empty());
    }
}

//! What clipping does to scalars of an example: its norm, and its inner product with a direction.
//!
//! The formulas of `clipping-01`, section 3 (Chen, Wu, Hong 2020, as re-derived and checked there), which need nothing but
//! norms `n_i` and inner products `<g_i, v>` with the mean gradient `v`.
use super::statistics::{mean, wasserstein};

/// `min(1, c / n)`: by how much flat clipping at `c` shortens a gradient of norm `n`.
pub fn shrink(n: f64, c: f64) -> f64 {
    if n > c { c / n } else { 1.0 }
}

/// The disparity between the law of the gradients and its symmetrisation about the mean, seen by clipping at `c`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Disparity {
    /// The threshold.
    pub c: f64,
    /// Mean of `h_i = <v, clip(g_i, c)>`.
    pub clipped: f64,
    /// Mean of `h'_i = <v, clip(2v - g_i, c)>`: the same, each gradient reflected at the mean.
    pub reflected: f64,
    /// `b_hat`, half their difference. Negative: asymmetry holds descent back.
    pub b: f64,
    /// The standard error of `b_hat`, the mean gradient taken as known.
    pub error: f64,
    /// `W_hat`: the Wasserstein-1 distance that bounds `|b|`.
    pub w: f64,
    /// `P(||xi|| < c/4)`, the share of gradients within a quarter of the threshold of the mean.
    pub close: f64,
    /// `||v|| min(||v||, 3c/4) P(||xi|| < c/4)`: what the theorem guarantees of the symmetrised law.
    pub guaranteed: f64,
}

/// The disparity at `c`, of gradients with these `norms` and inner products `dots` with their mean, of norm `mean_norm`.
pub fn disparity(norms: &[f64], dots: &[f64], mean_norm: f64, c: f64) -> Disparity {
    let square = mean_norm * mean_norm;
    let h: Vec<f64> = norms.iter().zip(dots).map(|(n, dot)| shrink(*n, c) * dot).collect();
    let reflect = |(n, dot): (&f64, &f64)| {
        let norm = (4.0 * square - 4.0 * dot + n * n).max(0.0).sqrt();
        shrink(norm, c) * (2.0 * square - dot)
    };
    let reflected: Vec<f64> = norms.iter().zip(dots).map(reflect).collect();
    let halves: Vec<f64> = h.iter().zip(&reflected).map(|(a, b)| (a - b) / 2.0).collect();
    let both: Vec<f64> = h.iter().chain(&reflected).copied().collect();
    let near = |(n, dot): (&f64, &f64)| (n * n - 2.0 * dot + square).max(0.0).sqrt() < c / 4.0;
    let close = norms.iter().zip(dots).filter(|pair| near(*pair)).count() as f64 / norms.len().max(1) as f64;
    Disparity {
        c,
        clipped: mean(&h),
        reflected: mean(&reflected),
        b: mean(&halves),
        error: super::statistics::deviation(&halves) / (halves.len().max(1) as f64).sqrt(),
        w: wasserstein(&h, &both),
        close,
        guaranteed: mean_norm * mean_norm.min(0.75 * c) * close,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shared batch T0 of the specifications.
    const T0: [[f64; 3]; 4] = [[3.0, 4.0, 0.0], [0.3, -0.4, 0.0], [1.0, 2.0, 2.0], [-6.0, 2.0, 3.0]];

    fn scalars() -> (Vec<f64>, Vec<f64>, f64) {
        let v: Vec<f64> = (0..3).map(|j| T0.iter().map(|g| g[j]).sum::<f64>() / 4.0).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let norms = T0.iter().map(|g| dot(g, g).sqrt()).collect();
        (norms, T0.iter().map(|g| dot(g, &v)).collect(), dot(&v, &v).sqrt())
    }

    #[test]
    fn the_specifications_disparity_of_t0() {
        let (norms, dots, v) = scalars();
        let wanted = [
            (1.0, 0.9446726190476191, 1.302674615100714, -0.17900099802654756, 0.2568718777564244),
            (3.0, 3.277767857142857, 3.7376650425224023, -0.2299485926897724, 0.463561231879403),
        ];
        for (c, h, reflected, b, w) in wanted {
            let got = disparity(&norms, &dots, v, c);
            for (got, wanted) in [(got.clipped, h), (got.reflected, reflected), (got.b, b), (got.w, w)] {
                assert!((got - wanted).abs() < 1e-12, "{got} is not {wanted} at c = {c}");
            }
        }
    }

    #[test]
    fn a_symmetric_law_has_no_disparity() {
        // Points v + xi and v - xi in pairs: reflection maps the sample to itself.
        let v = [0.7, -0.2];
        let xi = [[3.0, 1.0], [0.2, -0.5], [-1.0, 4.0]];
        let all = xi.iter().flat_map(|x| [[v[0] + x[0], v[1] + x[1]], [v[0] - x[0], v[1] - x[1]]]);
        let scalar = |g: [f64; 2]| (g[0].hypot(g[1]), g[0] * v[0] + g[1] * v[1]);
        let (norms, dots): (Vec<f64>, Vec<f64>) = all.map(scalar).unzip();
        let got = disparity(&norms, &dots, v[0].hypot(v[1]), 1.0);
        assert!(got.b.abs() < 1e-15 && got.w < 1e-15, "{got:?}");
    }
}

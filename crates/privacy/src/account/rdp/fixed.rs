//! Batches of a fixed size, drawn without replacement, under replace-one.
//!
//! # Why this is private
//!
//! Claim: [`Fixed::log_moment`] bounds `(a - 1)` times the Rényi divergence of order `a` of one round.
//!
//! Argument: at integer orders it is Wang, Balle & Kasiviswanathan 2019, Theorem 27: for a share `q` of the examples,
//! `1 + q^2 C(a,2) min(4 (e^(r(2)) - 1), 2 e^(r(2))) + sum over j >= 3 of q^j C(a,j) min(4 sqrt(B(j-) B(j+)), 2 e^((j-1) r(j)))`
//! where `r` is the divergence of the whole batch, `B(k) = E (L - 1)^k` of its likelihood ratio and `j-`, `j+` are `j`
//! rounded to even. `B` is integrated by the trapezoid rule: its integrand is entire and not negative at even `k`, so that
//! the error is below `e^-44` and nothing cancels. Between integers the logarithm of the moment is convex, hence below
//! its chord (Corollary 10). Beyond the table the example is in the batch with probability `q`, and joint convexity gives
//! `1 - q + q e^((a-1) r(a))`. (That bound is the smaller one for large `q` too; within the table the theorem stands alone,
//! so that the numbers are those of other libraries.)
//!
//! Checked by: `tests`, `super::reference::fixed_sizes`.

use super::divergence::log_mixture;
use std::f64::consts::{LN_2, PI};

/// Step of the trapezoid rule, in standard deviations: on a line 3 above the real one the integrand is `e^9` larger.
const STEP: f64 = 0.25;

/// One Gaussian release from a batch of fixed size.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    rate: f64,
    z: f64,
    /// For each order from 0, the logarithm of the bound on the moment less 1.
    table: Vec<f64>,
}

impl PartialEq for Fixed {
    fn eq(&self, other: &Fixed) -> bool {
        (self.rate, self.z) == (other.rate, other.z)
    }
}

impl Fixed {
    /// For a share `rate` of the examples and a noise multiplier over the replace-one sensitivity.
    pub(super) fn new(rate: f64, z: f64) -> Self {
        let most = (200.0 * z).clamp(64.0, 1024.0) as usize;
        let terms = terms(rate, z, most);
        let table = (0..=most).map(|order| log_excess(&terms, order)).collect();
        Fixed { rate, z, table }
    }

    /// A bound on `(a - 1)` times the divergence of order `a > 1`.
    pub(super) fn log_moment(&self, order: f64) -> f64 {
        let (below, above) = (order.floor(), order.ceil());
        let Some(upper) = self.table.get(above as usize) else {
            return log_mixture(self.rate, 0.5 * order * (order - 1.0) / (self.z * self.z));
        };
        let (low, high) = (log_1p_exp(self.table[below as usize]), log_1p_exp(*upper));
        low + (order - below) * (high - low)
    }
}

/// `ln(1 + e^x)`.
fn log_1p_exp(x: f64) -> f64 {
    if x > 40.0 { x } else { x.exp().ln_1p() }
}

/// For each `j`, the logarithm of what stands next to `C(a, j)`.
fn terms(rate: f64, z: f64, most: usize) -> Vec<f64> {
    let moments: Vec<f64> = (0..=most / 2 + 1).map(|half| log_even_moment(2 * half, z)).collect();
    let whole = |j: f64| 0.5 * j * (j - 1.0) / (z * z);
    let term = |j: usize| match j {
        0 | 1 => f64::NEG_INFINITY,
        2 => (2.0 * LN_2 + whole(2.0).exp_m1().ln()).min(LN_2 + whole(2.0)),
        _ => (2.0 * LN_2 + 0.5 * (moments[j / 2] + moments[j.div_ceil(2)])).min(LN_2 + whole(j as f64)),
    };
    // Where e^(1/z^2) overflows, the other form is the smaller one.
    (0..=most).map(|j| term(j) + j as f64 * rate.ln()).map(|t| if t.is_nan() { f64::NEG_INFINITY } else { t }).collect()
}

/// The logarithm of `E (L - 1)^k` for even `k`.
fn log_even_moment(k: usize, z: f64) -> f64 {
    let power = k as f64;
    let (from, to) = (-(power.sqrt() + 10.0), power / z + power.sqrt() + 10.0);
    let nodes = ((to - from) / STEP).ceil() as usize;
    let (mut top, mut sum) = (f64::NEG_INFINITY, 0.0);
    for u in (0..=nodes).map(|node| from + STEP * node as f64) {
        let y = u / z - 0.5 / (z * z);
        let log_gap = if y > 40.0 { y } else { y.exp_m1().abs().ln() };
        let value = power * if k == 0 { 0.0 } else { log_gap } - 0.5 * u * u;
        if value > top {
            sum = sum * (top - value).exp() + 1.0;
            top = value;
        } else {
            sum += (value - top).exp();
        }
    }
    top + sum.ln() + STEP.ln() - 0.5 * (2.0 * PI).ln()
}

/// The logarithm of `sum over j of C(order, j) e^term`.
fn log_excess(terms: &[f64], order: usize) -> f64 {
    let mut log_choose = 0.0_f64;
    let mut logs = Vec::with_capacity(order);
    for (j, term) in terms.iter().enumerate().take(order + 1).skip(1) {
        log_choose += ((order - j + 1) as f64 / j as f64).ln();
        logs.push(log_choose + term);
    }
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() { top } else { top + logs.iter().map(|log| (log - top).exp()).sum::<f64>().ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_closed_form() {
        for z in [0.3, 1.0, 4.0, 50.0_f64] {
            let chi = (1.0 / (z * z)).exp_m1();
            assert!((log_even_moment(2, z) / chi.ln() - 1.0).abs() < 1e-12, "{z}");
            // E L^4 - 4 E L^3 + 6 E L^2 - 3, in powers of x = e^(1/z^2) - 1.
            let fourth = chi * chi * (3.0 + 16.0 * chi + 15.0 * chi.powi(2) + 6.0 * chi.powi(3) + chi.powi(4));
            assert!((log_even_moment(4, z) / fourth.ln() - 1.0).abs() < 1e-12, "{z}");
        }
    }

    #[test]
    fn known_divergences() {
        for (rate, z, order, want) in
            [(0.01, 1.0, 2.0, 5.435_086e-4), (0.01, 1.0, 8.0, 2.684_165e-3), (0.1, 2.0, 4.0, 0.024_317_00)]
        {
            let got = Fixed::new(rate, z).log_moment(order) / (order - 1.0);
            assert!((got / want - 1.0_f64).abs() < 1e-6, "{rate} {z} {order}: {got}");
        }
    }
}

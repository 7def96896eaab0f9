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
//! its chord (Corollary 10). At every order the example is in the batch with probability `q`, and joint convexity gives
//! `1 - q + q e^((a-1) r(a))`: it stands alone beyond the table, and is the smaller bound for large `q`. Both grow with `q`,
//! and the second ends at the divergence of everybody: so does the price.
//!
//! Checked by: `tests`, `super::reference::fixed_sizes`.

use super::divergence::log_mixture;
use std::f64::consts::{LN_2, PI};
use std::sync::OnceLock;

/// Step of the trapezoid rule, in standard deviations: on a line 3 above the real one the integrand is `e^9` larger.
const STEP: f64 = 0.25;

/// Noise multipliers below which the moments `E (L - 1)^k` are not integrated.
const LITTLE: f64 = 0.05;

/// One Gaussian release from a batch of fixed size.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    rate: f64,
    z: f64,
    /// For each order from 0, the logarithm of the bound on the moment; found when it is asked for.
    table: Vec<OnceLock<f64>>,
    /// For each `j`, the logarithm of what stands next to `C(order, j)`; likewise.
    terms: Vec<OnceLock<f64>>,
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
        Fixed { rate, z, table: vec![OnceLock::new(); most + 1], terms: vec![OnceLock::new(); most + 1] }
    }

    /// A bound on `(a - 1)` times the divergence of order `a > 1`.
    pub(super) fn log_moment(&self, order: f64) -> f64 {
        let (below, above) = (order.floor(), order.ceil());
        let convex = self.convex(order);
        if above as usize >= self.table.len() {
            return convex;
        }
        let (low, high) = (self.theorem(below as usize), self.theorem(above as usize));
        convex.min(low + (order - below) * (high - low))
    }

    /// The greatest order of the table.
    pub(super) fn last(&self) -> usize {
        self.table.len() - 1
    }

    /// A number that [`Fixed::log_moment`] is at least: the first and the last term of the sum.
    pub(super) fn at_least(&self, order: f64) -> f64 {
        let (below, convex) = (order.floor() as usize, self.convex(order));
        if order.ceil() as usize >= self.table.len() || below < 2 {
            return if below < 2 { 0.0 } else { convex };
        }
        let pairs = (0.5 * below as f64 * (below as f64 - 1.0)).ln();
        convex.min(log_1p_exp(pairs + self.term(2)).max(log_1p_exp(self.term(below))))
    }

    /// The bound by joint convexity.
    fn convex(&self, order: f64) -> f64 {
        log_mixture(self.rate, 0.5 * order * (order - 1.0) / (self.z * self.z))
    }

    /// The theorem's bound at a whole order within the table.
    pub(super) fn theorem(&self, order: usize) -> f64 {
        *self.table[order].get_or_init(|| {
            let mut log_choose = 0.0_f64;
            let mut logs = Vec::with_capacity(order);
            for j in 1..=order {
                log_choose += ((order - j + 1) as f64 / j as f64).ln();
                logs.push(log_choose + self.term(j));
            }
            let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_excess =
                if top.is_infinite() { top } else { top + logs.iter().map(|log| (log - top).exp()).sum::<f64>().ln() };
            log_1p_exp(log_excess)
        })
    }

    /// The logarithm of what stands next to `C(order, j)`.
    fn term(&self, j: usize) -> f64 {
        *self.terms[j].get_or_init(|| {
            let z = self.z;
            let whole = |j: f64| 0.5 * j * (j - 1.0) / (z * z);
            // Under little noise the other form is always the smaller one, and this one would take long.
            let even = |half: usize| if z < LITTLE { f64::INFINITY } else { log_even_moment(2 * half, z) };
            let term = match j {
                0 | 1 => return f64::NEG_INFINITY,
                2 => (2.0 * LN_2 + whole(2.0).exp_m1().ln()).min(LN_2 + whole(2.0)),
                _ => (2.0 * LN_2 + 0.5 * (even(j / 2) + even(j.div_ceil(2)))).min(LN_2 + whole(j as f64)),
            };
            // Where e^(1/z^2) overflows, the other form is the smaller one.
            let term = term + j as f64 * self.rate.ln();
            if term.is_nan() { f64::NEG_INFINITY } else { term }
        })
    }
}

/// `ln(1 + e^x)`.
fn log_1p_exp(x: f64) -> f64 {
    if x > 40.0 { x } else { x.exp().ln_1p() }
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
    fn a_larger_batch_never_costs_less() {
        for (z, order) in [(0.5, 1.3), (1.0, 4.0), (2.0, 2.5), (3.0, 60.2)] {
            let rates = [1e-4, 0.01, 0.2, 0.6, 0.9, 0.9999];
            let mut all: Vec<f64> = rates.iter().map(|rate| Fixed::new(*rate, z).log_moment(order)).collect();
            all.push(0.5 * order * (order - 1.0) / (z * z));
            assert!(all.windows(2).all(|pair| pair[0] <= pair[1] * (1.0 + 1e-12)), "{z} {order}: {all:?}");
        }
    }

    /// Where moments are no longer integrated they were not the smaller form, and tiny multipliers take no time.
    #[test]
    fn little_noise_needs_no_moments() {
        for j in 3..64_usize {
            let z = LITTLE;
            let even = 2.0 * LN_2 + 0.5 * (log_even_moment(2 * (j / 2), z) + log_even_moment(2 * j.div_ceil(2), z));
            assert!(even >= LN_2 + 0.5 * (j * (j - 1)) as f64 / (z * z), "{j}");
        }
        for z in [1e-3, 1e-8, 1e-300] {
            assert!(Fixed::new(0.1, z).log_moment(7.5) > 0.0);
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

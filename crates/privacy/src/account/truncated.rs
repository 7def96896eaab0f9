//! Poisson sampling with a largest batch.
//!
//! # Why this is private
//!
//! Claim: a round of truncated Poisson sampling is dominated by the mixture in [`Truncated`], whose label is known.
//!
//! Argument: whether the *other* examples alone fill the batch has probability `P[Bin(N-1, q) >= cap]`, whatever the
//! example does. If they do not, its coin decides alone, as in Poisson sampling. If they do, then it is kept with probability
//! `r = P[Bin(N, q) > cap] cap / (N P[Bin(N-1, q) >= cap])` and takes another's place, so that the sum moves by twice the
//! bound; opposite shares at twice the distance, `(1-r) N(0) + r N(-2)` against `(1-r) N(0) + r N(2)`, dominate that in both
//! directions and under all relations. (`N q P[Bin(N-1, q) >= cap] = sum over k > cap of k P[Bin(N, q) = k]` is the expected
//! number of examples drawn into full batches, of which `cap` are kept each time.)
//!
//! Places that hold nobody flip coins and are kept like all others (`sample/truncated.rs`), so that `N` is a public constant; that an
//! example removed leaves its place, and lets nobody in, makes the truth smaller than this.
//!
//! Citation: Ganesh 2025, "Accounting for truncated Poisson sampling" (arXiv 2508.15089), as it is implemented in Google's
//! dp-accounting 0.6.0.
//!
//! Checked by: `tests`.

/// What truncation does to a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truncated {
    /// The chance that the other examples alone fill the batch.
    pub chance: f64,
    /// The chance that an example is kept, if they do.
    pub rate: f64,
}

/// The mixture of truncated Poisson sampling, or `None` if no draw can be cut. `rate` is in `[0, 1]`, `cap` positive.
pub fn truncated(rate: f64, examples: u64, cap: u64) -> Option<Truncated> {
    if examples <= cap {
        return None;
    }
    let (n, m) = (examples as f64, cap as f64);
    let log_chance = log_tail(n - 1.0, rate, m);
    let log_kept = log_tail(n, rate, m + 1.0);
    let chance = log_chance.exp();
    let kept = (log_kept - log_chance + m.ln() - n.ln()).exp().min(1.0);
    (chance > 0.0).then_some(Truncated { chance, rate: if kept.is_nan() { 1.0 } else { kept } })
}

/// `ln P[Bin(n, q) >= k]`, for `0 < k <= n`. Summed from its largest term downwards.
fn log_tail(n: f64, q: f64, k: f64) -> f64 {
    if q <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if q >= 1.0 {
        return 0.0;
    }
    let log_mass = |j: f64| {
        libm::lgamma(n + 1.0) - libm::lgamma(j + 1.0) - libm::lgamma(n - j + 1.0) + j * q.ln() + (n - j) * (-q).ln_1p()
    };
    // Downwards from the boundary, or upwards: whichever side is the tail.
    let up = k > n * q;
    let start = if up { k } else { k - 1.0 };
    let (mut sum, mut term, mut j) = (1.0, 1.0, start);
    while term > 1e-20 * sum && (if up { j < n } else { j > 0.0 }) {
        term *= if up { (n - j) / (j + 1.0) * q / (1.0 - q) } else { j / (n - j + 1.0) * (1.0 - q) / q };
        j += if up { 1.0 } else { -1.0 };
        sum += term;
    }
    let log_side = log_mass(start) + sum.ln();
    if up { log_side.min(0.0) } else { (-log_side.exp().min(1.0)).ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{number, relative, table};

    #[test]
    fn tails_by_hand() {
        // Bin(4, 1/2): 1/16, 4/16, 6/16, 4/16, 1/16.
        for (k, want) in [(1.0, 15.0), (2.0, 11.0), (3.0, 5.0), (4.0, 1.0_f64)] {
            assert!((log_tail(4.0, 0.5, k) - (want / 16.0).ln()).abs() < 1e-13, "{k}");
        }
        assert_eq!(truncated(0.1, 10, 10), None);
        assert_eq!(truncated(0.0, 10, 5), None);
        let all = truncated(1.0, 10, 5).unwrap();
        assert!((all.chance - 1.0).abs() < 1e-12 && (all.rate - 0.5).abs() < 1e-12);
    }

    #[test]
    fn reference_chances() {
        let known = truncated(0.01, 10_000, 130).unwrap();
        assert!(relative(known.chance, 0.002_167_898_801_177_491) < 1e-9);
        assert!(relative(known.rate, 0.009_725_380_070_039_754) < 1e-9);
        for case in table("truncated_poisson") {
            let integer = |key: &str| case[key].as_u64().unwrap();
            let got = truncated(number(&case, "sample_rate"), integer("dataset_size"), integer("truncated_batch_size"));
            let want = number(&case, "truncation_probability_given_included");
            let Some(got) = got else {
                assert_eq!(want, 0.0);
                continue;
            };
            assert!(relative(got.chance, want) < 1e-8, "{case}: {got:?}");
            assert!(relative(got.rate, number(&case, "conditional_sampling_probability")) < 1e-8, "{case}: {got:?}");
        }
    }
}

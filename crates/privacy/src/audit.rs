//! What an attack that worked proves: lower bounds on privacy loss, with the stated confidence. A low bound proves nothing.
//!
//! Canaries are put in or left out by fair coins; the auditor, who sees what was released, guesses coins. Right guesses that are
//! too many refute a claim: of many canaries in one run ([`epsilon()`]), or of one canary in many independent runs or steps
//! ([`mu`]).
//!
//! ```
//! // 1000 canaries, 100 guesses of which 95 were right: epsilon is above 2.16 with 95 % confidence.
//! let epsilon = privacy::audit::epsilon(1000, 100, 95, 1e-5, 0.05);
//! assert!((epsilon - 2.165).abs() < 1e-3);
//! ```
//!
//! # Why this is sound
//!
//! Claim: if a mechanism is `(epsilon, delta)`-private, [`epsilon()`] exceeds epsilon with a chance of at most `significance`; if it
//! is `mu`-Gaussian private, [`mu`] exceeds `mu` with a chance of at most `significance`; if no test of membership in either direction beats
//! a trade-off, [`refutes`] says that it is refuted with a chance of at most `significance`.
//!
//! Argument: given the other coins, a guess is right with a chance of at most `e^epsilon / (1 + e^epsilon)`, up to delta, so the
//! number of right guesses is dominated by a binomial one (Steinke, Nasr & Jagielski 2023, arXiv 2305.08846, Theorem 5.2). In
//! independent runs the rates of both errors are below their Clopper-Pearson bounds, each with half the significance, and no
//! test of a `mu`-private mechanism has both rates below the trade-off curve (Dong, Roth & Su 2019; Nasr et al. 2023).
//!
//! For a trade-off, let `p(k)` be the chance that `k` of `n` guesses about `m` canaries are right. Of a canary picked at random, the event that its
//! guess is right, and more than `k` are in all, has the chance `sum of p(j) j/m over j > k`. With its coin turned over and all others as they
//! were, the same outputs are those with a wrong guess about it and one right guess less, `sum of p(j) (n-j)/m over j >= k`; both worlds are as
//! likely, so the trade-off bounds the first by the second (and its mean by concavity). Going down from the number of right guesses that
//! was seen, with as little at each step as the bound allows, the chances add up to more than one if the tail above was `significance` or more
//! (Mahloujifar et al. 2024, arXiv 2410.22235). A canary is in one of two worlds, and coins
//! turn both ways: the trade-off has to hold in both directions, as a [`TradeOff`] does.
//!
//! Checked by: `tests::published_bounds`, `tests::published_error_rates`, `tests::a_true_claim_is_hardly_ever_refuted`,
//! `tests::bounds_of_one_run_by_the_published_recursion`, `tests::a_true_claim_is_hardly_ever_refuted_by_one_run`.

use crate::{TradeOff, account::normal};

/// A chance that is this share of the greatest is nothing.
const FAINT: f64 = 1e-300;

/// A lower bound on epsilon at `delta`, from `right` of `guesses` coins of `canaries` canaries.
///
/// # Panics
/// If more are right than were guessed, or more guessed than there are.
#[must_use]
pub fn epsilon(canaries: u64, guesses: u64, right: u64, delta: f64, significance: f64) -> f64 {
    assert!(right <= guesses && guesses <= canaries, "{right} of {guesses} of {canaries}");
    largest(40.0, |epsilon| p_value(canaries, guesses, right, epsilon, delta) <= significance)
}

/// Whether so many right guesses refute that nobody can do better than `claim`: `right` of `guesses` coins of `canaries` canaries, of one run.
///
/// How many guesses are made is to be settled before the coins are looked at.
///
/// # Panics
/// If more are right than were guessed, or more guessed than there are.
#[must_use]
pub fn refutes(claim: &TradeOff, counts: (u64, u64, u64), significance: f64) -> bool {
    too_many(|found| claim.false_positives(found), counts, significance)
}

/// A lower bound on the `mu` of Gaussian differential privacy, from `right` of `guesses` coins of `canaries` canaries of one run.
///
/// # Panics
/// As [`refutes`].
#[must_use]
pub fn mu_of_one_run(counts: (u64, u64, u64), significance: f64) -> f64 {
    largest(20.0, |mu| too_many(|found| normal::cdf(quantile(found) - mu), counts, significance))
}

/// [`refutes`], for the least chance of a wrong alarm with which a member may be found with some chance.
fn too_many(least: impl Fn(f64) -> f64, (canaries, guesses, right): (u64, u64, u64), significance: f64) -> bool {
    assert!(right <= guesses && guesses <= canaries, "{right} of {guesses} of {canaries}");
    let [m, n, v] = [canaries, guesses, right].map(|count| count as f64);
    let (mut found, mut missed) = (significance * v / m, significance * (n - v) / m);
    for k in (0..right).rev() {
        let more = missed.max(least(found));
        found = (found + k as f64 / (guesses - k) as f64 * (more - missed)).min(1.0);
        missed = more;
        if found + missed > n / m {
            return true;
        }
    }
    false
}

/// The Clopper-Pearson upper bounds on both error rates of `(wrong, all)` guesses of independent runs, each with half the significance.
#[must_use]
pub fn error_rates(without: (u64, u64), with: (u64, u64), significance: f64) -> [f64; 2] {
    [without, with].map(|(wrong, all)| rate(wrong, all, 0.5 * significance))
}

/// A lower bound on the `mu` of Gaussian differential privacy, from `(wrong, all)` guesses of independent runs without the
/// canary, and with it.
///
/// # Panics
/// If more are wrong than there are.
#[must_use]
pub fn mu(without: (u64, u64), with: (u64, u64), significance: f64) -> f64 {
    let [false_positive, false_negative] = error_rates(without, with, significance);
    (quantile(1.0 - false_positive) - quantile(false_negative)).max(0.0)
}

/// The Clopper-Pearson upper bound on a chance of which `hits` of `all` trials fell.
fn rate(hits: u64, all: u64, significance: f64) -> f64 {
    assert!(hits <= all, "{hits} of {all}");
    if hits == all {
        return 1.0;
    }
    // The chance of so few hits is that of as many misses or more.
    largest(1.0, |p| upper_tail(all, (1.0 - p, p), all - hits) > significance)
}

/// The end of the refuted numbers, which begin at 0; found by halving `[0, most]`.
fn largest(most: f64, refuted: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, most);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if refuted(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The chance that so many guesses are right though the claim is true, or an over-estimate of it.
fn p_value(canaries: u64, guesses: u64, right: u64, epsilon: f64, delta: f64) -> f64 {
    let whole = 1.0 + (-epsilon).exp();
    let chances = (whole.recip(), (-epsilon).exp() / whole);
    let beta = upper_tail(guesses, chances, right);
    let mut slope = 0.0_f64;
    tails(guesses, chances, |k, tail| {
        let fewer = right.saturating_sub(k) as f64;
        if k < right {
            slope = slope.max((tail - beta) / fewer);
        }
        // Further down no chance is more than 1.
        k >= right || (1.0 - beta) / fewer > slope
    });
    (beta + 2.0 * canaries as f64 * delta * slope).min(1.0)
}

/// The chance that a binomial number is at least `at`.
fn upper_tail(n: u64, chances: (f64, f64), at: u64) -> f64 {
    let mut last = 0.0;
    tails(n, chances, |k, tail| {
        last = if k >= at { tail } else { last };
        k > at
    });
    last
}

/// Goes through `k` and the chance that a binomial number is at least `k`, with these chances of a one and of a zero, from the
/// greatest that is not next to impossible downwards until none is left, or `each` is false. It takes steps for some forty standard
/// deviations and no room.
fn tails(n: u64, (p, q): (f64, f64), mut each: impl FnMut(u64, f64) -> bool) {
    let up = |k: u64| (n - k) as f64 / (k + 1) as f64 * (p / q);
    let down = |k: u64| k as f64 / (n - k + 1) as f64 * (q / p);
    // From the most likely number to both sides, as shares of its chance.
    let mode = ((n as f64 + 1.0) * p).floor() as u64;
    let (mut whole, mut top, mut share) = (1.0, mode.min(n), 1.0);
    while top < n && share > FAINT {
        share *= up(top);
        top += 1;
        whole += share;
    }
    let (mut k, mut below) = (mode.min(n), 1.0);
    while k > 0 && below > FAINT {
        below *= down(k);
        k -= 1;
        whole += below;
    }
    let mut sum = 0.0;
    for k in (0..=top).rev() {
        sum += share;
        if !each(k, (sum / whole).min(1.0)) || share == 0.0 {
            break;
        }
        share *= if k > 0 { down(k) } else { 0.0 };
    }
}

/// `x` with `Phi(x) = p`.
fn quantile(p: f64) -> f64 {
    match p {
        _ if p <= 1e-300 => f64::NEG_INFINITY,
        _ if p >= 1.0 => f64::INFINITY,
        _ if p <= 0.5 => -normal::upper_quantile(p),
        _ => normal::upper_quantile(1.0 - p),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Purpose};

    /// The specification's table at significance 0.05, for delta = 0 and 1e-5.
    #[test]
    fn published_bounds() {
        let cases = [
            (1000, 100, 95, 2.17243, 2.16518),
            (1000, 100, 100, 3.49297, 3.46538),
            (1000, 1000, 600, 0.29747, 0.29723),
            (5000, 200, 180, 1.79887, 1.78567),
        ];
        for (m, r, v, pure, approximate) in cases {
            for (delta, want) in [(0.0, pure), (1e-5, approximate)] {
                let got = epsilon(m, r, v, delta, 0.05);
                assert!((got - want).abs() < 2e-5, "{m} {r} {v} {delta}: {got}");
            }
        }
    }

    /// The published recursion in Python with its `statistics.NormalDist`, at significance 0.05.
    #[test]
    fn bounds_of_one_run_by_the_published_recursion() {
        let cases = [
            (1000, 1000, 600, 0.163849807896),
            (1000, 1000, 800, 0.575552998744),
            (1000, 200, 180, 0.698201033265),
            (1000, 100, 100, 1.225533452425),
            (5000, 5000, 4000, 0.575661802777),
            (100, 100, 90, 0.841376298713),
        ];
        for (m, r, v, want) in cases {
            let got = mu_of_one_run((m, r, v), 0.05);
            assert!((got - want).abs() < 1e-8, "{m} {r} {v}: {got}");
        }
    }

    /// With the two lines of a pair in the place of a curve, the bound is of the kind of Steinke's, and no less than nine tenths of it.
    #[test]
    fn a_pair_is_refuted_where_the_other_bound_refutes_it() {
        for (m, r, v) in [(1000, 100, 95), (1000, 1000, 600), (5000, 200, 180)] {
            let refuted = |epsilon: f64| refutes(&TradeOff::new(vec![(epsilon, 1e-5)]), (m, r, v), 0.05);
            let (ours, other) = (largest(40.0, refuted), epsilon(m, r, v, 1e-5, 0.05));
            assert!(ours > 0.9 * other && ours < 1.1 * other, "{m} {r} {v}: {ours}, {other}");
        }
    }

    /// As [`a_true_claim_is_hardly_ever_refuted`], of 500 canaries of one run each, 100 guesses.
    #[test]
    fn a_true_claim_is_hardly_ever_refuted_by_one_run() {
        let stream = Key::from_seed(2).stream(Purpose::Audit, 0, 0);
        let audit = |a: u64| {
            let one = |k: u64| (stream.normal(2 * k) + f64::from(u8::from(k.is_multiple_of(2))), k.is_multiple_of(2));
            let mut scores: Vec<_> = (a * 500..(a + 1) * 500).map(one).collect();
            scores.sort_by(|a, b| a.0.total_cmp(&b.0));
            let right = scores[..50].iter().filter(|s| !s.1).chain(scores[450..].iter().filter(|s| s.1)).count();
            mu_of_one_run((500, 100, right as u64), 0.05)
        };
        let bounds: Vec<f64> = (0..200).map(audit).collect();
        assert!(bounds.iter().filter(|bound| **bound > 1.0).count() <= 22);
        let mean = bounds.iter().sum::<f64>() / 200.0;
        assert!(mean > 0.4 && mean < 1.0, "{mean}");
    }

    /// Error rates of an attack, their bounds, and what they prove, at significance 0.05.
    #[test]
    fn published_error_rates() {
        for (hits, all, want) in [(20, 500, 0.06110), (5, 500, 0.02318), (0, 1000, 0.00368), (100, 1000, 0.12029)] {
            let got = rate(hits, all, 0.025);
            assert!((got - want).abs() < 1e-5, "{hits} of {all}: {got}");
        }
        assert!((mu((5, 500), (20, 500), 0.05) - 3.5377).abs() < 1e-4);
        assert_eq!(rate(3, 3, 0.05), 1.0);
    }

    /// Guesses as good as `mu = 1` allows: the bound stays below 1 in nearly all of 200 audits, and comes near it. At
    /// significance 0.05 more than 22 excesses would happen once in ten thousand times if 0.05 were exact.
    #[test]
    fn a_true_claim_is_hardly_ever_refuted() {
        let stream = Key::from_seed(1).stream(Purpose::Audit, 0, 0);
        let wrong =
            |audit: u64| (0..500).filter(|i| stream.uniform(audit * 500 + i) < normal::cdf(-0.5)).count() as u64;
        let bounds: Vec<f64> = (0..200).map(|k| mu((wrong(2 * k), 500), (wrong(2 * k + 1), 500), 0.05)).collect();
        assert!(bounds.iter().filter(|bound| **bound > 1.0).count() <= 22);
        let mean = bounds.iter().sum::<f64>() / 200.0;
        assert!(mean > 0.7 && mean < 1.0, "{mean}");
    }

    /// Chances by hand, and numbers of guesses that no table of chances would fit: there the law of large numbers says all.
    #[test]
    fn any_number_of_guesses() {
        for (at, want) in [(0, 16.0), (1, 15.0), (2, 11.0), (3, 5.0), (4, 1.0)] {
            assert!((upper_tail(4, (0.5, 0.5), at) - want / 16.0).abs() < 1e-15, "{at}");
        }
        let tail = |p: f64, at| upper_tail(1000, (p, 1.0 - p), at);
        assert!(
            (tail(1e-3, 1) - (1.0 - 0.999_f64.powi(1000))).abs() < 1e-12
                && tail(0.5, 999) < 1e-290
                && (tail(0.5, 1) - 1.0).abs() < 1e-12
        );
        let all = 100_000_000;
        let got = epsilon(all, all, 60_000_000, 0.0, 0.05);
        assert!(got < 1.5_f64.ln() && got > 1.5_f64.ln() - 1e-3, "{got}");
        assert!((rate(all / 4, all, 0.05) - 0.25).abs() < 1e-4);
    }

    #[test]
    fn guessing_blindly_proves_nothing() {
        assert_eq!(epsilon(1000, 1000, 500, 0.0, 0.05), 0.0);
        assert_eq!(mu((500, 1000), (500, 1000), 0.05), 0.0);
        assert!(mu((0, 1000), (0, 1000), 0.05) > 5.0);
    }
}

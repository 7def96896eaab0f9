//! Groups: several examples of one person.
//!
//! # Why this is private
//!
//! Claim: [`generic`] bounds the epsilon of `k` examples, given any valid curve of one; [`price`] is an interval around that of the
//! mixture which is exact for Poisson sampling.
//!
//! Argument. *Generic*: `k` steps from neighbour to neighbour multiply the bounds: if one example is `(e, d)`-private,
//! `k` are `(k e, d (e^(k e) - 1)/(e^e - 1))`-private. Among all points of the curve the best is searched; each is valid.
//! *Poisson*: of `k` examples `j` take part with the binomial probability, and their shares move the sum by at most `j`
//! bounds; the pair with all shares pointing one way, `sum of P[Bin(k,q) = j] N(j, z^2)` against `N(0, z^2)`, dominates
//! (Ganesh 2024, Theorem 1).
//!
//! Citation: Vadhan 2017, Lemma 2.2; Ganesh 2024 (arXiv 2401.10294).
//!
//! Checked by: `tests`.

use super::{AccountError, Accountant, Pld, Price, Unpriced};
use crate::{Event, Ledger};

/// The largest group whose mixture is summed.
const MOST: u32 = 4096;

/// Epsilon of groups of `size` examples by privacy loss distributions, as a proven interval: exact mixtures for Gaussian
/// noise on Poisson samples under add/remove, and for what no sampling hides.
///
/// # Errors
/// When delta is not in `(0, 1)`, the group has more than 4096 examples, or something has no such mixture: then [`generic`]
/// still has a price.
pub fn price(ledger: &Ledger, size: u32, delta: f64) -> Result<Price, AccountError> {
    if !(delta > 0.0 && delta < 1.0) {
        return Err(AccountError::Delta(delta));
    }
    let pld = Pld { precision: 2e-5 };
    if size == 0 {
        return Ok(Price::interval(0.0, 0.0));
    }
    let first = || ledger.entries().first().map_or(Event::Revealed { what: String::new() }, |(event, _)| event.clone());
    if size > MOST {
        let why = "the shares of so large a group are not summed one by one; the generic bound still has a price";
        return Err(Unpriced { accountant: pld.name(), event: first(), why }.into());
    }
    let grown = pld.curve(ledger)?.group(size);
    let curve = grown.map_err(|why| Unpriced { accountant: pld.name(), event: first(), why })?;
    Ok(pld.epsilon(&curve, delta).sound())
}

/// Epsilon of `size` examples at this delta in `(0, 1)`, from the epsilon of one example at smaller deltas. Infinite if no
/// delta above `1e-300` is small enough.
///
/// # Errors
/// Whatever `epsilon_of` says.
pub fn generic<E>(size: u64, delta: f64, epsilon_of: impl Fn(f64) -> Result<f64, E>) -> Result<f64, E> {
    if size <= 1 {
        return if size == 0 { Ok(0.0) } else { epsilon_of(delta) };
    }
    let k = size as f64;
    // The logarithm of (e^(k e) - 1)/(e^e - 1).
    let log_steps = |e: f64| {
        if e == 0.0 { k.ln() } else { (k - 1.0) * e + (-(-k * e).exp_m1()).ln() - (-(-e).exp_m1()).ln() }
    };
    let meets = |log_one: f64| -> Result<Option<f64>, E> {
        let epsilon = epsilon_of(log_one.exp())?;
        Ok((log_one + log_steps(epsilon) <= delta.ln()).then_some(epsilon))
    };
    // Downwards in growing steps: some accountants have no answer at the smallest deltas.
    let (mut high, mut step) = (delta.ln(), 4.0);
    let (mut low, mut found) = loop {
        let low = (high - step).max(-690.0);
        if let Some(epsilon) = meets(low)? {
            break (low, epsilon);
        }
        if low <= -690.0 {
            return Ok(f64::INFINITY);
        }
        (high, step) = (low, 1.5 * step);
    };
    while high - low > 1e-8 {
        let middle = 0.5 * (low + high);
        match meets(middle)? {
            Some(epsilon) => (low, found) = (middle, epsilon),
            None => high = middle,
        }
    }
    Ok(k * found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gaussian;
    use crate::reference::{number, relative, table};

    /// The chances that `0, 1, .., size` of as many examples are in a Poisson sample.
    fn weights(rate: f64, size: u32) -> Vec<f64> {
        let n = f64::from(size);
        let mode = ((n + 1.0) * rate).floor().clamp(0.0, n) as usize;
        // From the most likely number to both sides, as shares of its chance: nothing overflows, and what vanishes is nothing.
        let mut all = vec![1.0; size as usize + 1];
        for j in mode + 1..all.len() {
            all[j] = all[j - 1] * ((n - j as f64 + 1.0) / j as f64 * (rate / (1.0 - rate)));
        }
        for j in (0..mode).rev() {
            all[j] = all[j + 1] * ((j as f64 + 1.0) / (n - j as f64) * ((1.0 - rate) / rate));
        }
        let sum: f64 = all.iter().sum();
        all.into_iter().map(|weight| weight / sum).collect()
    }

    /// One step's delta at epsilon, from its definition: the loss grows with the place, so that some threshold is the best.
    fn delta(rate: f64, z: f64, size: u32, epsilon: f64) -> f64 {
        let (chances, far) = (weights(rate, size), f64::from(size) / z + 10.0);
        let above = |t: f64| -> f64 {
            (0_u32..).zip(&chances).map(|(j, w)| w * super::super::normal::cdf(f64::from(j) / z - t)).sum()
        };
        let at = |t: f64| above(t) - epsilon.exp() * super::super::normal::cdf(-t);
        (0..4000).map(|k| at(far * f64::from(k) / 4000.0)).fold(0.0, f64::max)
    }

    /// Where next to nobody stays out, and where the chance of that is no float.
    #[test]
    fn groups_that_are_nearly_always_there() {
        for (rate, z, size) in
            [(0.9, 10.0, 40), (0.9, 20.0, 70), (0.99, 10.0, 30), (0.5, 60.0, 300), (0.5, 100.0, 1000)]
        {
            let releases = vec![Event::Gaussian { noise_multiplier: z }];
            let round = Event::Round { sampling: crate::Sampling::Poisson { rate }, releases };
            let ledger = Ledger::planned(crate::Neighbouring::AddRemove, vec![(round, 1)]);
            let got = price(&ledger, size, 1e-5).unwrap();
            let (below, above) = (delta(rate, z, size, 0.998 * got.epsilon), delta(rate, z, size, 1.002 * got.epsilon));
            assert!(below > 1e-5 && above < 1e-5, "{rate} {z} {size}: {got:?} {below:e} {above:e}");
        }
    }

    #[test]
    fn the_largest_groups_are_left_to_the_generic_way() {
        let ledger =
            Ledger::planned(crate::Neighbouring::AddRemove, vec![(Event::Gaussian { noise_multiplier: 1e6 }, 1)]);
        assert!(price(&ledger, MOST, 1e-5).is_ok());
        assert!(price(&ledger, MOST + 1, 1e-5).unwrap_err().to_string().contains("generic"));
    }

    #[test]
    fn gaussians_by_the_generic_way() {
        let mu = (10.0_f64 / 100.0).sqrt();
        let got = generic::<()>(3, 1e-5, |delta| Ok(gaussian::epsilon(mu, delta))).unwrap();
        assert!(relative(got, 4.266_535_782_402_553) < 1e-6, "{got}");
        // Never below what a group really costs.
        for size in [2, 3, 5, 16] {
            let got = generic::<()>(size, 1e-5, |delta| Ok(gaussian::epsilon(mu, delta))).unwrap();
            assert!(got >= gaussian::epsilon(size as f64 * mu, 1e-5));
        }
        assert_eq!(generic::<()>(1, 1e-5, |_| Ok(2.0)), Ok(2.0));
        assert_eq!(generic::<()>(0, 1e-5, |_| Ok(2.0)), Ok(0.0));
        assert_eq!(generic::<()>(3, 1e-5, |_| Ok(f64::INFINITY)), Ok(f64::INFINITY));
    }

    #[test]
    fn reference_groups() {
        let (mut worst, mut loose) = (0.0_f64, 0.0_f64);
        for case in table("group_privacy") {
            let (z, rate, steps) =
                (number(&case, "noise_multiplier"), number(&case, "sample_rate"), case["steps"].as_u64().unwrap());
            let releases = vec![Event::Gaussian { noise_multiplier: z }];
            let round = Event::Round { sampling: crate::Sampling::Poisson { rate }, releases };
            let ledger = Ledger::planned(crate::Neighbouring::AddRemove, vec![(round, steps)]);
            let (size, delta) = (case["group_size"].as_u64().unwrap(), number(&case, "delta"));
            let (exact, pld) =
                (number(&case["exact_mixture"], "epsilon"), number(&case["pld_mixture_of_gaussians"], "epsilon_upper"));
            let got = price(&ledger, size as u32, delta).unwrap();
            eprintln!("group of {size}: {got:?} against {exact} and {pld}");
            assert!(got.epsilon >= exact - 1e-9 && got.epsilon <= pld + 1e-3 && got.lower.unwrap() <= exact + 1e-9);
            worst = worst.max(got.epsilon - exact);
            let want = number(&case["generic_conversion"], "epsilon");
            let one = |delta| crate::account::Exact.spent(&ledger, delta);
            let got = generic(size, delta, one).unwrap();
            eprintln!("generic: {got} against {want}");
            loose = loose.max(relative(got, want));
        }
        eprintln!("groups: {worst:e} above the exact mixture at most, generic conversion {loose:e} off");
        assert!(loose < 1e-6);
    }

    #[test]
    fn reference_weights() {
        for case in table("group_privacy") {
            let got = weights(number(&case, "sample_rate"), case["group_size"].as_u64().unwrap() as u32);
            for (got, want) in got.iter().zip(case["probabilities"].as_array().unwrap()) {
                assert!(relative(*got, want.as_f64().unwrap()) < 1e-9, "{case}");
            }
        }
    }
}

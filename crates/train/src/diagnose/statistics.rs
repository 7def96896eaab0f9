//! Numbers about numbers: means, quantiles, distances between samples. Everything in f64.

/// The mean; 0 of nothing.
pub fn mean(x: &[f64]) -> f64 {
    if x.is_empty() { 0.0 } else { x.iter().sum::<f64>() / x.len() as f64 }
}

/// The standard deviation with `n` in the denominator.
pub fn deviation(x: &[f64]) -> f64 {
    let m = mean(x);
    mean(&x.iter().map(|x| (x - m).powi(2)).collect::<Vec<_>>()).sqrt()
}

/// In ascending order.
pub fn sorted(x: &[f64]) -> Vec<f64> {
    let mut x = x.to_vec();
    x.sort_unstable_by(f64::total_cmp);
    x
}

/// The `q`-quantile of ascending numbers, linear between order statistics.
pub fn quantile(ascending: &[f64], q: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else { return f64::NAN };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (ascending[at.floor() as usize], ascending[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// The share of numbers for which `is` holds.
pub fn share(x: &[f64], is: impl Fn(f64) -> bool) -> f64 {
    mean(&x.iter().map(|x| f64::from(u8::from(is(*x)))).collect::<Vec<_>>())
}

/// Bars of a histogram with `bins` bins, equal in size on a linear or a logarithmic axis, as shares; the last point only
/// closes the last bar.
pub fn histogram(x: &[f64], bins: usize, log: bool) -> Vec<(f64, f64)> {
    let to = |v: f64| if log { v.max(f64::MIN_POSITIVE).ln() } else { v };
    let back = |u: f64| if log { u.exp() } else { u };
    let usable: Vec<f64> = x.iter().copied().filter(|v| v.is_finite() && (!log || *v > 0.0)).map(to).collect();
    let (low, high) = usable.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    if usable.is_empty() {
        return Vec::new();
    }
    let width = ((high - low) / bins as f64).max(1e-12 * high.abs().max(1.0));
    let mut counts = vec![0usize; bins];
    usable.iter().for_each(|v| counts[(((v - low) / width) as usize).min(bins - 1)] += 1);
    let bar = |(k, c): (usize, &usize)| (back(low + k as f64 * width), *c as f64 / x.len() as f64);
    let end = (back(low + bins as f64 * width), 0.0);
    counts.iter().enumerate().map(bar).chain([end]).collect()
}

/// The Wasserstein-1 distance between two samples on the line: the area between their distribution functions.
pub fn wasserstein(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (sorted(a), sorted(b));
    let (mut i, mut j, mut area) = (0, 0, 0.0);
    let mut from = f64::NEG_INFINITY;
    while i < a.len() || j < b.len() {
        let next = a.get(i).copied().unwrap_or(f64::INFINITY).min(b.get(j).copied().unwrap_or(f64::INFINITY));
        if from.is_finite() {
            area += (next - from) * (i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs();
        }
        while a.get(i).is_some_and(|x| *x <= next) {
            i += 1;
        }
        while b.get(j).is_some_and(|x| *x <= next) {
            j += 1;
        }
        from = next;
    }
    area
}

/// The same between a sample and its own symmetrisation about 0, for ascending numbers: half the mean of
/// `|x_(i) + x_(n+1-i)|`.
pub fn asymmetry(ascending: &[f64]) -> f64 {
    let pairs = ascending.iter().zip(ascending.iter().rev());
    pairs.map(|(a, b)| (a + b).abs()).sum::<f64>() / (2.0 * ascending.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_known_by_hand() {
        assert_eq!(wasserstein(&[0.0, 1.0], &[0.0, 1.0, 0.0, 1.0]), 0.0);
        assert!((wasserstein(&[0.0, 0.0], &[1.0, 3.0]) - 2.0).abs() < 1e-15);
        assert!((wasserstein(&[0.0, 1.0, 5.0], &[5.0, 6.0, 8.0]) - 13.0 / 3.0).abs() < 1e-12);
        // {1, 1, -2} against {1, 1, -2, -1, -1, 2}: by hand 2/3.
        let x = [-2.0, 1.0, 1.0];
        let both: Vec<f64> = x.iter().flat_map(|x| [*x, -*x]).collect();
        assert!((wasserstein(&x, &both) - asymmetry(&x)).abs() < 1e-15);
        assert!((asymmetry(&x) - 2.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn quantiles_and_histograms() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
        let bars = histogram(&[1.0, 1.0, 2.0, 4.0], 2, true);
        assert_eq!(bars.len(), 3);
        assert!((bars[0].1 - 0.5).abs() < 1e-12 && (bars[1].1 - 0.5).abs() < 1e-12 && (bars[1].0 - 2.0).abs() < 1e-9);
        assert!(histogram(&[f64::NAN], 3, false).is_empty());
        assert_eq!((share(&[1.0, -1.0], |x| x > 0.0), mean(&[]), deviation(&[1.0, 3.0])), (0.5, 0.0, 1.0));
    }
}

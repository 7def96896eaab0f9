//! Eigenvalues and eigenvectors of small symmetric matrices. Not a rule.
//!
//! Jacobi's method (Golub & Van Loan 2013, section 8.5): slow for large matrices, short, and exact to the last digits, small
//! eigenvalues included. The rules that use it keep to a few hundred rows.

/// Sweeps before giving up: convergence is quadratic, ten are plenty.
const SWEEPS: usize = 40;

/// Eigenvalues of the symmetric `a` `[n, n]`, row by row, and an eigenvector for each, one a row; in no order.
pub(super) fn symmetric(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut v: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect();
    for _ in 0..SWEEPS {
        let (off, all) = a
            .iter()
            .enumerate()
            .fold((0.0, 0.0), |(off, all), (i, x)| (off + if i / n == i % n { 0.0 } else { x * x }, all + x * x));
        if off <= 1e-30 * all {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut v, n, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), v)
}

/// Makes `a[p, q]` zero.
fn rotate(a: &mut [f64], v: &mut [f64], n: usize, p: usize, q: usize) {
    let x = a[p * n + q];
    if x == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * x);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let t = if theta == 0.0 { 1.0 } else { t };
    let c = (t * t + 1.0).sqrt().recip();
    let s = t * c;
    let turn = |m: &mut [f64], i: usize, j: usize| {
        let (x, y) = (m[i], m[j]);
        (m[i], m[j]) = (c * x - s * y, s * x + c * y);
    };
    for k in 0..n {
        turn(a, k * n + p, k * n + q);
    }
    for k in 0..n {
        turn(a, p * n + k, q * n + k);
        turn(v, p * n + k, q * n + k);
    }
}

#[cfg(test)]
mod tests {
    use super::symmetric;

    #[test]
    fn the_matrix_comes_back() {
        for n in [0usize, 1, 2, 5, 17] {
            let a: Vec<f64> = (0..n * n)
                .map(|i| {
                    let (p, q) = ((i / n).min(i % n), (i / n).max(i % n));
                    ((p * 7 + q * 3) as f64).sin()
                })
                .collect();
            let (values, vectors) = symmetric(a.clone(), n);
            for i in 0..n * n {
                let back: f64 = (0..n).map(|k| values[k] * vectors[k * n + i / n] * vectors[k * n + i % n]).sum();
                assert!((back - a[i]).abs() < 1e-12, "n = {n}");
                let unit: f64 = (0..n).map(|k| vectors[i / n * n + k] * vectors[i % n * n + k]).sum();
                assert!((unit - f64::from(u8::from(i / n == i % n))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn published_eigenvalues() {
        let (mut values, _) = symmetric(vec![2.0, 1.2, 1.2, 1.0], 2);
        values.sort_by(f64::total_cmp);
        assert!((values[0] - 0.2).abs() < 1e-12 && (values[1] - 2.8).abs() < 1e-12);
    }
}

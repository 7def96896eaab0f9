//! exp, tanh and erf as branch-free arithmetic that the compiler turns into vector instructions.
//!
//! Scalar `libm` is 30 to 100 times slower. No fused multiply-add is used, so results are the same on every machine.
//! Error bounds are stated for each function and checked by the tests over the whole range of `f32`. The polynomials
//! are those of Cephes (`expf`, `tanhf`; S. Moshier) and of N. Juffa's `erff`.

/// 1.5 * 2^23: adding it rounds a small float to an integer, which then sits in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `2^i` for `i` in -126..=127.
#[inline(always)]
fn power_of_two(i: i32) -> f32 {
    f32::from_bits((i.wrapping_add(127) << 23) as u32)
}

/// e^x; relative error below 2e-7 where the result is a normal number. Overflows to infinity, underflows gradually to 0;
/// NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let (p, i) = exp_parts(x.clamp(-110.0, 90.0));
    // Two factors, since 2^i itself may lie outside the range of f32. A NaN gives nonsense here, times NaN.
    let half = i >> 1;
    p * power_of_two(half) * power_of_two(i.wrapping_sub(half))
}

/// `p` and `i` with `e^x = p 2^i`.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, i32) {
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let i = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_2e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    (p * (r * r) + r + 1.0, i)
}

/// e^x for `x` that is not positive; relative error below 2e-7, and 0 below -87.7, where the result would not be a normal
/// number. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp_below_zero(x: f32) -> f32 {
    // From -88 on the exponent field is 0, and so is the factor.
    let x = if x < -88.0 { -88.0 } else { x };
    let (p, i) = exp_parts(x);
    p * power_of_two(i)
}

/// tanh x; relative error below 3e-7. Infinities give +-1, NaN stays NaN.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let t = x.abs();
    let s = x * x;
    let p = -5.704_988_7e-3;
    let p = p * s + 2.063_909e-2;
    let p = p * s - 5.373_971_6e-2;
    let p = p * s + 1.333_144_2e-1;
    let p = p * s - 3.333_328e-1;
    let small = p * s * x + x;
    let large = (1.0 - 2.0 / (exp(t + t) + 1.0)).copysign(x);
    if t < 0.625 { small } else { large }
}

/// The error function; relative error below 4e-7. Infinities give +-1, NaN stays NaN.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let t = x.abs().clamp(0.0, 10.0);
    let s = t * t;
    let r = -1.728_534_7e-5 * t + 3.831_971_3e-4;
    let u = -3.883_964_4e-3 * t + 2.425_462_2e-2;
    let r = r * s + u;
    let r = r * t - 1.067_778_8e-1;
    let r = r * t - 6.348_467_e-1;
    let r = r * t - 1.287_175_1e-1;
    let large = (1.0 - exp(r * t - t)).copysign(x);
    let q = -5.967_617e-4;
    let q = q * s + 4.991_194_2e-3;
    let q = q * s - 2.676_813_5e-2;
    let q = q * s + 1.128_199_25e-1;
    let q = q * s - 3.761_253_4e-1;
    let q = q * s + 1.283_791_7e-1;
    if t < 0.927_734_4 { q * x + x } else { large }
}

#[cfg(test)]
mod tests {
    /// erf in f64: its Taylor series below 3, the continued fraction of erfc above.
    fn erf_f64(x: f64) -> f64 {
        let t = x.abs();
        if t < 3.0 {
            let terms = (1..90).scan(t, |power, n| {
                *power *= -t * t / f64::from(n);
                Some(*power / f64::from(2 * n + 1))
            });
            return (t + terms.sum::<f64>()) * std::f64::consts::FRAC_2_SQRT_PI * x.signum();
        }
        let fraction = (1..60).rev().fold(t, |f, k| t + f64::from(k) / 2.0 / f);
        (1.0 - (-t * t).exp() / fraction * std::f64::consts::FRAC_2_SQRT_PI / 2.0) * x.signum()
    }

    /// Every 911th bit pattern: normal, tiny and huge numbers of both signs.
    fn everywhere() -> impl Iterator<Item = f32> {
        (0..=u32::MAX).step_by(911).map(f32::from_bits).filter(|x| x.is_finite())
    }

    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, floor: f64) -> f64 {
        let error = |x: f32| {
            let want = exact(f64::from(x));
            (f64::from(f(x)) - want).abs() / want.abs().max(floor)
        };
        everywhere().map(error).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
    }

    #[test]
    fn error_bounds_hold_everywhere() {
        let tiny = f64::from(f32::MIN_POSITIVE);
        let moderate = |x: f32| if super::exp(x).is_infinite() { f32::MAX } else { super::exp(x) };
        let exp = worst(moderate, |x| x.exp().min(f64::from(f32::MAX)), tiny);
        let tanh = worst(super::tanh, f64::tanh, tiny);
        let erf = worst(super::erf, erf_f64, tiny);
        println!("worst relative errors: exp {exp:.2e} tanh {tanh:.2e} erf {erf:.2e}");
        assert!(exp < 2e-7 && tanh < 3e-7 && erf < 4e-7, "exp {exp:e} tanh {tanh:e} erf {erf:e}");
    }

    #[test]
    fn below_zero_exp_is_the_same_until_it_is_zero() {
        for x in everywhere().filter(|x| *x <= 0.0) {
            let (got, want) = (super::exp_below_zero(x), super::exp(x));
            assert!(if x > -87.3 { got == want } else { got <= want }, "{x}: {got}, {want}");
        }
        assert_eq!((super::exp_below_zero(f32::NEG_INFINITY), super::exp_below_zero(-87.7)), (0.0, 0.0));
        assert!(super::exp_below_zero(f32::NAN).is_nan());
    }

    #[test]
    fn dense_around_zero() {
        let grid = || (-100_000..100_000).map(|i| i as f32 * 1.3e-4);
        for x in grid() {
            assert!((f64::from(super::tanh(x)) - f64::from(x).tanh()).abs() < 1.5e-7, "tanh {x}");
            assert!((f64::from(super::erf(x)) - erf_f64(f64::from(x))).abs() < 2e-7, "erf {x}");
            assert!(super::tanh(x).abs() <= 1.0 && super::erf(x).abs() <= 1.0);
        }
    }

    #[test]
    fn limits() {
        for f in [super::exp, super::tanh, super::erf] {
            assert!(f(f32::NAN).is_nan() && f(-f32::NAN).is_nan());
        }
        assert_eq!((super::exp(f32::INFINITY), super::exp(f32::NEG_INFINITY)), (f32::INFINITY, 0.0));
        assert_eq!((super::exp(0.0), super::exp(100.0), super::exp(-1e30)), (1.0, f32::INFINITY, 0.0));
        for f in [super::tanh, super::erf] {
            assert_eq!((f(f32::INFINITY), f(f32::NEG_INFINITY)), (1.0, -1.0));
            assert_eq!((f(30.0), f(-1e38), f(0.0), f(f32::MAX)), (1.0, -1.0, 0.0, 1.0));
            assert_eq!(f(1e-40) > 0.0, f(1e-40) < 2e-40);
        }
    }
}

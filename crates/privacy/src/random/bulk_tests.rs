//! That bulk normals are normal, also where words are rare. Seeds are fixed; error rates are those over seeds.

use super::*;
use crate::{
    Key, Purpose,
    random::law::{distribution, kolmogorov},
};
use std::f64::consts::PI;

fn sample(count: usize) -> Vec<f64> {
    let mut out = vec![0.0; count];
    Key::from_seed(2024).stream(Purpose::Noise, 0, 0).fill_normal(0, &mut out);
    out.into_iter().map(f64::from).collect()
}

/// The pair of a radius word and an angle word, with the bits that divide it if it is rare.
fn made(radius: u32, turn: u32, more: u32) -> [f32; 2] {
    let word = u64::from(turn) << 32 | u64::from(radius);
    let mut pair = [0.0; 2];
    pairs(&[word], &mut pair);
    if rare(word) { rare_pair(word, more) } else { pair }
}

#[test]
fn normals_pass_kolmogorov_and_smirnov() {
    let sample = sample(2_000_000);
    let (even, odd): (Vec<f64>, Vec<f64>) = sample.as_chunks().0.iter().map(|[x, y]| (*x, *y)).unzip();
    let (distance, halves) = (kolmogorov(sample, distribution), [even, odd].map(|half| kolmogorov(half, distribution)));
    assert!(distance < 1.95 && halves.iter().all(|d| *d < 1.95), "{distance} {halves:?}");
}

#[test]
fn the_first_four_moments_are_right() {
    // Each mean is normal to good accuracy: 4.5 standard errors are exceeded with probability 7e-6.
    let sample = sample(4_000_000);
    let n = sample.len() as f64;
    for (power, mean, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0_f64)] {
        let got = sample.iter().map(|x| x.powi(power)).sum::<f64>() / n;
        let errors = (got - mean).abs() / (variance / n).sqrt();
        assert!(errors < 4.5, "moment {power}: {got}, {errors} standard errors away");
    }
}

#[test]
fn neighbours_are_uncorrelated() {
    // 4.5 standard errors each; lag 1 is mostly the two of a pair, lag 16 the next block, lags 512 and 1024 the next batches.
    let sample = sample(4_000_000);
    for lag in [1, 2, 3, 8, 16, 512, 1024] {
        let pairs = || sample.iter().zip(&sample[lag..]);
        let correlation = pairs().map(|(a, b)| a * b).sum::<f64>() / 4e6;
        let squares = pairs().map(|(a, b)| (a * a - 1.0) * (b * b - 1.0)).sum::<f64>() / 4e6;
        assert!(correlation.abs() < 2.25e-3 && squares.abs() < 4.5e-3, "lag {lag}: {correlation} {squares}");
    }
}

/// Radius and angle of a pair: each of its own law, and each of its cells of 16 by 16 quantiles is hit as often as others.
#[test]
fn radius_and_angle_of_a_pair_are_independent() {
    let sample = sample(4_000_000);
    let both = |[x, y]: &[f64; 2]| ((-0.5 * (x * x + y * y)).exp(), y.atan2(*x) / (2.0 * PI) + 0.5);
    let (uniforms, turns): (Vec<f64>, Vec<f64>) = sample.as_chunks().0.iter().map(both).unzip();
    let mut hits = [0.0; 256];
    let cell = |x: f64| ((16.0 * x) as usize).min(15);
    uniforms.iter().zip(&turns).for_each(|(u, v)| hits[16 * cell(*u) + cell(*v)] += 1.0);
    let mean = uniforms.len() as f64 / 256.0;
    let chi: f64 = hits.iter().map(|n: &f64| (n - mean).powi(2) / mean).sum();
    // 255 degrees of freedom: 330.5 is exceeded with probability 1e-3.
    assert!(chi < 330.5, "{chi}");
    let both = [uniforms, turns].map(|numbers| kolmogorov(numbers, |x| x));
    assert!(both.iter().all(|d| *d < 1.95), "{both:?}");
}

/// Of 2^27 pairs 16384 have a uniform in the tail, 2048 one in the centre. Within the words' cells, too, uniforms lie evenly; that is
/// looked at where f32 normals tell: in the centre, and in 512 pairs of the far tail, to a twelfth of a cell.
#[test]
fn rare_radii_have_the_law_of_the_tail_and_of_the_centre() {
    let stream = Key::from_seed(7).stream(Purpose::Noise, 1, 0);
    let (mut tail, mut centre) = (vec![], vec![]);
    let mut some = vec![0.0; 1 << 20];
    for part in 0..256 {
        stream.fill_normal(part << 20, &mut some);
        for [x, y] in some.as_chunks().0 {
            let half = -0.5 * f64::from(*x).mul_add(f64::from(*x), f64::from(*y).powi(2));
            if half < -13.0 * std::f64::consts::LN_2 {
                tail.push(half.exp());
            } else if half > -2f64.powi(-16) {
                centre.extend(Some(-half.exp_m1()).filter(|lack| *lack < 2f64.powi(-16)));
            }
        }
    }
    // 4.5 deviations.
    assert!(tail.len().abs_diff(16_384) < 576 && centre.len().abs_diff(2048) < 204, "{} {}", tail.len(), centre.len());
    let inside = |uniforms: &[f64]| uniforms.iter().map(|u| (u * 2f64.powi(32)).fract()).collect();
    let far: Vec<f64> = tail.iter().copied().filter(|u| *u < 2f64.powi(-18)).collect();
    let within = [inside(&far), inside(&centre)];
    let whole = [(tail, 13), (centre, 16)].map(|(all, bits)| all.into_iter().map(|u| u * 2f64.powi(bits)).collect());
    for (uniforms, what) in whole.into_iter().chain(within).zip(["tail", "centre", "tail's cells", "centre's cells"]) {
        let distance = kolmogorov(uniforms, |x| x);
        assert!(distance < 1.95, "{what}: {distance}");
    }
}

/// Rare cells are divided evenly, and without a gap or an overlap to the next ones: with the same words in between, radii go on as they
/// would over all of `[0, 1]`.
#[test]
fn divided_cells_lie_where_the_whole_ones_lie() {
    let radius = |word: u32, more: u32| f64::from(made(word, 0, more)[0]);
    let law = |u: f64| (-2.0 * u.ln()).sqrt();
    let near = |got: f64, want: f64| assert!((got - want).abs() <= 3e-7 * want, "{got}, not {want}");
    for word in [0, 1, 2, 77, 12_345, TAIL - 1] {
        for more in [0, 1, 2, 1000, 1 << 16, 1 << 31, u32::MAX - 1, u32::MAX] {
            let part = (f64::from(more) + 0.5) * 2f64.powi(-64);
            near(radius(word, more), law(f64::from(word) * 2f64.powi(-32) + part));
            let lack = f64::from(word) * 2f64.powi(-32) + part;
            if word < CENTRE {
                near(radius(!word, !more), (-2.0 * (-lack).ln_1p()).sqrt());
            }
        }
    }
    // At the seams the last divided cell ends where the first whole one begins.
    let (below, above) = (radius(TAIL - 1, u32::MAX), radius(TAIL, 0));
    assert!(!rare(u64::from(TAIL)) && below >= above && below < above * (1.0 + 2e-7), "{below} {above}");
    let (below, above) = (radius(!CENTRE, 0), radius(!CENTRE + 1, 0));
    assert!(!rare(u64::from(!CENTRE)) && below >= above && below < above * (1.0 + 2e-5), "{below} {above}");
}

#[test]
fn the_tail_reaches_beyond_nine() {
    let [x, y] = made(0, 0, 0);
    assert!(x > 9.4925 && x < 9.4926 && y > 0.0 && y < 1e-8, "{x} {y}");
    let [x, y] = made(u32::MAX, 1 << 31, u32::MAX);
    assert!(x < 0.0 && x > -4e-10 && y < 0.0, "{x} {y}");
    // Of 4e6 normals, 253 and 2.3 are expected beyond 4 and 5.
    let beyond = |t: f64| sample(4_000_000).iter().filter(|x| x.abs() > t).count();
    assert!((180..330).contains(&beyond(4.0)), "{}", beyond(4.0));
    assert!((0..12).contains(&beyond(5.0)));
}

#[test]
fn radius_and_circle_are_right_to_their_bounds() {
    let right = |radius: u32, turn: u32| {
        let (u, lack) = (f64::from(radius) + 0.5, f64::from(!radius) + 0.5);
        let want = if lack < u { -2.0 * (-lack * 2f64.powi(-32)).ln_1p() } else { -2.0 * (u * 2f64.powi(-32)).ln() };
        let got = f64::from(square_of_whole(radius));
        assert!((got - want).abs() <= 2.5e-7 * want, "{radius:#x}: {want}, not {got}");
        // Quarters by the two high bits; of the rest the upper half lies before the quarter's axis.
        let left = f64::from((turn << 2) as i32 >> 2) + 0.5;
        let angle = (f64::from(turn >> 30) + left * 2f64.powi(-30)) * PI / 2.0;
        let [cos, sin] = pair(1.0, turn).map(f64::from);
        assert!((cos - angle.cos()).abs() < 1.2e-7 && (sin - angle.sin()).abs() < 1.2e-7, "{turn:#x}: {cos} {sin}");
        assert!((cos * cos + sin * sin - 1.0).abs() < 2.4e-7);
    };
    // Steps of a prime through all words; both ends, powers of two, halves and eighths, where one formula ends and the next begins.
    (0..u32::MAX).step_by(4099).for_each(|word| right(word, word.wrapping_mul(2_654_435_761)));
    let edges = (0..32).map(|k| 1u32 << k).chain((0..8).map(|k: u32| k << 29)).chain([TAIL, !CENTRE]);
    for edge in edges {
        (-300i32..300).for_each(|step| right(edge.wrapping_add_signed(step), edge.wrapping_add_signed(step)));
    }
}

/// Every 1021st radius word, the middle one of each stretch: no sampling error, only that of the rule of midpoints, which grows with
/// the power.
#[test]
fn an_even_grid_of_words_has_the_moments_of_normals() {
    let mut sums = [0.0; 3];
    let grid = (510..u32::MAX).step_by(1021);
    let count = grid.clone().count() as f64;
    for word in grid {
        let square = f64::from(square_of_whole(word));
        sums.iter_mut().zip(1..).for_each(|(sum, power)| *sum += square.powi(power));
    }
    for ((got, want), error) in sums.into_iter().zip([2.0, 8.0, 48.0]).zip([1e-7, 2e-6, 2e-5]) {
        assert!((got / count / want - 1.0).abs() < error, "{} for {want}", got / count);
    }
}

/// The low half of a word is the radius alone and the high half the turn alone, to the last bit of either.
#[test]
fn no_bit_is_in_both_radius_and_turn() {
    let stream = Key::from_seed(12).stream(Purpose::Noise, 0, 0);
    let normals = |words: &[u64]| {
        let mut out = vec![0.0; 2 * words.len()];
        pairs(words, &mut out);
        out.as_chunks().0.iter().map(|pair: &[f32; 2]| pair.map(f64::from)).collect::<Vec<_>>()
    };
    let mut words = vec![0; 5000];
    stream.fill_words(0, &mut words);
    let with = |flipped: u64| normals(&words.iter().map(|word| word ^ flipped).collect::<Vec<_>>());
    let plain = with(0);
    for bit in 0..32 {
        for ([x, y], [v, w]) in plain.iter().zip(&with(1 << bit)) {
            let (size, across) = (x.hypot(*y) * v.hypot(*w), x * w - y * v);
            assert!(across.abs() <= 1e-6 * size && x * v + y * w > 0.0, "radius bit {bit} turns {x} {y} to {v} {w}");
        }
        for ([x, y], [v, w]) in plain.iter().zip(&with(1 << (32 + bit))) {
            let (before, after) = (x.hypot(*y), v.hypot(*w));
            assert!((before - after).abs() <= 1e-6 * before, "turn bit {bit} takes {before} to {after}");
        }
    }
}

#[test]
fn every_choice_of_instructions_gives_the_same_normals() {
    let stream = Key::from_seed(11).stream(Purpose::Noise, 3, 0);
    let mut words = vec![0; 1002];
    stream.fill_words(0, &mut words);
    // Quarters of the circle, where the reduction changes, and the ends of both.
    words.extend(
        (0..=16).flat_map(|k: u64| [u64::MAX - k, (k << 60).wrapping_sub(1), k << 28, (k << 28).wrapping_sub(1)]),
    );
    words.extend((0..16).flat_map(|k: u64| [k, k << 60]));
    let mut together = vec![0.0; 2 * words.len()];
    pairs(&words, &mut together);
    let single = words.iter().flat_map(|word| pair(square_of_whole(*word as u32), (word >> 32) as u32));
    assert!(together.iter().zip(single).all(|(a, b)| a.to_bits() == b.to_bits()));
    assert_eq!(any_rare(&words), words.iter().any(|word| rare(*word)));
    assert!(any_rare(&[1 << 31, 1 << 31, u64::MAX]) && !any_rare(&[1 << 31, 0xffff_ffff_8000_0000]));
}

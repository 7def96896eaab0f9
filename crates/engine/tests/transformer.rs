//! What is promised of the operations of transformers: empty batches, absent positions, huge scores, NaN that stays where it
//! is, examples that do not mix, the same bits on any number of threads; and the norm of a tied embedding.

use engine::op::per_example::*;
use engine::op::*;
use engine::{Mat, Tensor, Threads, product};

/// Reproducible numbers in -1..1.
fn numbers(shape: &[usize], seed: usize) -> Tensor {
    let number = |i: usize| ((i * 7919 + seed * 131 + 13) % 1009) as f32 / 504.5 - 1.0;
    Tensor::new(shape, (0..shape.iter().product()).map(number).collect())
}

fn ones(shape: &[usize]) -> Tensor {
    Tensor::new(shape, vec![1.0; shape.iter().product()])
}

const HEADS: Attention = Attention { heads: 2, causal: false };
const CAUSAL: Attention = Attention { heads: 2, causal: true };

/// Output and input gradient, one after the other.
fn attend(qkv: &Tensor, dy: &Tensor, how: Attention, present: Option<&[bool]>) -> [Tensor; 2] {
    let present = present.map(Present::from);
    let (y, kept) = attention(qkv, how, present.as_ref());
    let dx = attention_backward(dy, qkv, &kept, how, present.as_ref());
    [y, dx]
}

#[test]
fn empty_batches() {
    let none = |shape: &[usize]| Tensor::zeros([&[0], shape].concat());
    for how in [HEADS, CAUSAL] {
        let [y, dx] = attend(&none(&[5, 12]), &none(&[5, 4]), how, Some(&[]));
        assert_eq!((y.shape(), dx.shape()), (&[0, 5, 4][..], &[0, 5, 12][..]));
        let [y, dx] = attend(&ones(&[2, 0, 12]), &ones(&[2, 0, 4]), how, None);
        assert_eq!((y.shape(), dx.shape()), (&[2, 0, 4][..], &[2, 0, 12][..]));
    }
    let (y, kept) = rms_norm(&none(&[3, 4]), &ones(&[4]), 1e-5);
    assert_eq!(rms_norm_backward(&y, &ones(&[4]), &kept).shape(), [0, 3, 4]);
    assert_eq!(rms_norm_rows(&y, &kept.xhat).shape(), [0, 4]);
    assert_eq!(silu_backward(&silu(&none(&[3])), none(&[3])).shape(), [0, 3]);
    assert!(tied_norms(&[], &none(&[3, 2]), &none(&[3, 2]), &none(&[3, 7])).is_empty());
    assert_eq!(tied_norms(&[], &ones(&[2, 0, 3]), &ones(&[2, 0, 3]), &ones(&[2, 0, 7])), [0.0; 2]);
    let (w, kept) = standardise(&none(&[5]), &none(&[]), 1e-4);
    assert_eq!((w.shape(), standardise_gradient(&mut [], &none(&[]), &kept, 1e-4).len()), (&[0, 5][..], 0));
}

#[test]
fn a_single_position_sees_itself() {
    let qkv = numbers(&[3, 1, 12], 1);
    for how in [HEADS, CAUSAL] {
        let [y, dx] = attend(&qkv, &ones(&[3, 1, 4]), how, None);
        for i in 0..3 {
            assert_eq!(y.row(i), &qkv.row(i)[8..]);
            assert_eq!(dx.row(i), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        }
    }
}

#[test]
fn who_sees_nobody_gets_zeros() {
    let (qkv, dy) = (numbers(&[2, 3, 12], 1), numbers(&[2, 3, 4], 2));
    let [y, dx] = attend(&qkv, &dy, HEADS, Some(&[false, false, false, true, true, true]));
    assert!(y.row(0).iter().chain(dx.row(0)).all(|&x| x == 0.0));
    assert!(y.row(1).iter().chain(dx.row(1)).all(|&x| x.is_finite() && x != 0.0));
    // Causal: the first query of the first example sees nobody, the second itself.
    let [y, dx] = attend(&qkv, &dy, CAUSAL, Some(&[false, true, true, true, true, true]));
    assert!(y.row(0)[..4].iter().chain(&dx.row(0)[..12]).all(|&x| x == 0.0));
    assert_eq!(y.row(0)[4..8], qkv.row(0)[20..24]);
}

#[test]
fn what_is_absent_does_not_matter() {
    let (clean, dy) = (numbers(&[1, 40, 12], 1), numbers(&[1, 40, 4], 2));
    let present: Vec<bool> = (0..40).map(|at| at % 5 != 3).collect();
    let mut bad = clean.clone();
    // Keys and values; the query of an absent position still gets an answer.
    bad.data_mut().chunks_exact_mut(12).skip(3).step_by(5).for_each(|row| row[4..].fill(f32::NAN));
    for how in [HEADS, CAUSAL] {
        assert!(attend(&clean, &dy, how, Some(&present)) == attend(&bad, &dy, how, Some(&present)));
    }
}

#[test]
fn the_future_does_not_matter() {
    let clean = numbers(&[1, 130, 12], 1);
    let mut other = clean.clone();
    other.data_mut()[100 * 12..].iter_mut().for_each(|x| *x = 5.0 - *x);
    let (y, changed) = (attention(&clean, CAUSAL, None).0, attention(&other, CAUSAL, None).0);
    assert_eq!(y.data()[..100 * 4], changed.data()[..100 * 4]);
    assert_ne!(y.data()[100 * 4..101 * 4], changed.data()[100 * 4..101 * 4]);
}

#[test]
fn huge_scores_are_stable() {
    let mut qkv = numbers(&[1, 33, 12], 1);
    qkv.data_mut().chunks_exact_mut(12).for_each(|row| row[..8].iter_mut().for_each(|x| *x *= 1e15));
    for how in [HEADS, CAUSAL] {
        let [y, dx] = attend(&qkv, &ones(&[1, 33, 4]), how, None);
        assert!(y.data().iter().all(|y| y.abs() <= 1.0));
        assert!(dx.data().iter().all(|x| x.is_finite()));
    }
    // Equal scores, however large, are an average.
    qkv.data_mut().chunks_exact_mut(12).for_each(|row| row[..8].fill(1e18));
    let y = attention(&qkv, HEADS, None).0;
    let mean = (0..33).map(|at| qkv.data()[at * 12 + 8]).sum::<f32>() / 33.0;
    assert!((y.data()[0] - mean).abs() < 1e-6);
}

/// Every operation's results, each with one row an example.
fn rows(x: &Tensor, dy: &Tensor, present: &[bool]) -> Vec<Tensor> {
    let (n, gamma) = (x.rows(), numbers(&[12], 3));
    let mut out = Vec::new();
    for how in [HEADS, CAUSAL] {
        out.extend(attend(x, dy, how, Some(present)));
    }
    let (y, kept) = rms_norm(x, &gamma, 1e-5);
    out.extend([rms_norm_backward(&y, &gamma, &kept), rms_norm_rows(&y, &kept.xhat), silu_backward(x, silu(x)), y]);
    let (w, gain) = (numbers(&[4, 12], 4), numbers(&[4], 5));
    let (_, kept) = standardise(&w, &gain, 1e-4);
    let mut by_weight = product_rows(Left::Rows { a: x }, dy);
    for g in by_weight.data_mut().chunks_exact_mut(48) {
        let _ = standardise_gradient(g, &gain, &kept, 1e-4);
    }
    out.push(by_weight);
    let ids: Vec<u32> = (0..n * x.shape()[1]).map(|at| (at % x.shape()[1]) as u32 % 50).collect();
    let logits = linear(x, &numbers(&[50, 12], 6), None);
    let tied = tied_norms(&ids, x, &silu(x), &logits);
    out.push(Tensor::new([n], tied.iter().map(|&x| x as f32).collect::<Vec<_>>()));
    out
}

const N: usize = 5;
const T: usize = 9;

fn inputs() -> (Tensor, Tensor, Vec<bool>) {
    (numbers(&[N, T, 12], 1), numbers(&[N, T, 4], 2), (0..N * T).map(|at| at % 4 != 2).collect())
}

#[test]
fn company_changes_nothing() {
    let (x, dy, present) = inputs();
    let alone = |x: &Tensor, i: usize| Tensor::new([&[1], &x.shape()[1..]].concat(), x.row(i).to_vec());
    let together = rows(&x, &dy, &present);
    for i in 0..N {
        let single = rows(&alone(&x, i), &alone(&dy, i), &present[i * T..(i + 1) * T]);
        for (whole, single) in together.iter().zip(&single) {
            let len = whole.row_len();
            whole.data()[i * len..(i + 1) * len]
                .iter()
                .zip(single.data())
                .for_each(|(a, b)| assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "example {i}: {a}, alone {b}"));
        }
    }
}

#[test]
fn not_a_number_stays_with_its_example() {
    let (x, dy, present) = inputs();
    let mut bad = x.clone();
    // A query, a key and a value of the third example, all present.
    bad.data_mut()[(2 * T + 1) * 12..][..12].fill(f32::NAN);
    for (clean, bad) in rows(&x, &dy, &present).iter().zip(&rows(&bad, &dy, &present)) {
        let len = clean.row_len();
        for i in (0..N).filter(|&i| i != 2) {
            assert_eq!(clean.data()[i * len..(i + 1) * len], bad.data()[i * len..(i + 1) * len]);
        }
        assert!(bad.data()[2 * len..3 * len].iter().any(|x| x.is_nan()));
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (x, dy, present) = inputs();
        let (long, long_dy) = (numbers(&[3, 300, 12], 1), numbers(&[3, 300, 4], 2));
        pool.install(|| (rows(&x, &dy, &present), attend(&long, &long_dy, CAUSAL, None)))
    };
    let one = on(1);
    assert!(one == on(2) && one == on(3));
}

#[test]
fn sinusoidal_positions() {
    let table = sinusoidal(50, 6);
    assert_eq!(table.shape(), [50, 6]);
    assert_eq!(table.row(0), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
    for (column, angle) in [(0, 7.0), (2, 7.0 / 10_000f64.powf(1.0 / 3.0)), (4, 7.0 / 10_000f64.powf(2.0 / 3.0))] {
        assert_eq!((table.row(7)[column], table.row(7)[column + 1]), (angle.sin() as f32, angle.cos() as f32));
    }
    assert_eq!(sinusoidal(2, 3).row(1)[2], (1.0 / 10_000f64.powf(2.0 / 3.0)).sin() as f32);
    assert!(sinusoidal(0, 4).is_empty() && sinusoidal(4, 0).is_empty());
}

/// The worked example of the method's derivation: 6.8125 (rows) + 0.41555 (product) - 0.37 (twice the inner product).
#[test]
fn published_vectors_tied() {
    let e = Tensor::new([1, 3, 2], vec![1.0, 0.0, 0.5, -1.0, 0.25, 2.0]);
    let h = Tensor::new([1, 3, 2], vec![0.2, -0.1, 0.4, 0.3, -0.5, 0.6]);
    let r = vec![0.1, 0.2, -0.7, 0.3, 0.1, -0.6, 0.2, 0.1, 0.1, 0.2, 0.05, 0.05, 0.1, -0.5, 0.3];
    let norm = tied_norms(&[3, 1, 3], &e, &h, &Tensor::new([1, 3, 5], r))[0];
    assert!((6.858_049..6.858_2).contains(&norm), "{norm}");
}

/// The definition: rows added at ids, plus a product.
fn tied_gradient(ids: &[u32], e: &Tensor, h: &Tensor, r: &Tensor, i: usize) -> f64 {
    let (t, d, v) = (e.shape()[1], e.shape()[2], r.shape()[2]);
    let mut gradient = vec![0.0; v * d];
    product(&mut gradient, Mat::new(r.row(i), t, v).t(), Mat::new(h.row(i), t, d), false, Threads::One);
    for (row, &id) in e.row(i).chunks_exact(d).zip(&ids[i * t..]) {
        row.iter().zip(&mut gradient[id as usize * d..]).for_each(|(x, g)| *g += x);
    }
    gradient.iter().map(|&g| f64::from(g).powi(2)).sum()
}

#[test]
fn tied_norms_with_and_without_the_gradient() {
    for (t, d, v) in [(4, 90, 70), (12, 5, 6), (1, 30, 40)] {
        let (e, h, r) = (numbers(&[3, t, d], 1), numbers(&[3, t, d], 2), numbers(&[3, t, v], 3));
        let ids: Vec<u32> = (0..3 * t).map(|at| (at * 7 % 3) as u32).collect();
        for (i, norm) in tied_norms(&ids, &e, &h, &r).iter().enumerate() {
            let want = tied_gradient(&ids, &e, &h, &r, i);
            assert!(*norm >= want * (1.0 - 1e-6) && *norm < want * 1.001, "{norm}, {want}");
        }
    }
}

/// The two uses cancel almost entirely: the terms in f32 would show noise.
#[test]
fn cancelling_uses_do_not_hide_a_norm() {
    let (t, d, v) = (2, 64, 64);
    let h = numbers(&[1, t, d], 1);
    let mut e = h.clone();
    e.data_mut().iter_mut().for_each(|x| *x *= -0.999_99);
    let ids = [3, 5];
    let mut r = Tensor::zeros([1, t, v]);
    ids.iter().enumerate().for_each(|(row, &id)| r.data_mut()[row * v + id as usize] = 1.0);
    let (norm, want) = (tied_norms(&ids, &e, &h, &r)[0], tied_gradient(&ids, &e, &h, &r, 0));
    // Nearly all that is reported beyond it is what rounding may leave of both.
    assert!(want > 0.0 && norm >= want && norm < want * 2.0, "{norm}, {want}");
}

#[test]
fn tokens_that_are_not_counted() {
    let mut logits = numbers(&[3, 2, 5], 1);
    // The second example has no counted token, and the second token of the first is padding: both may be anything.
    logits.data_mut()[5..20].fill(f32::NAN);
    logits.data_mut()[20] = 1e30;
    let (losses, gradient) = token_cross_entropy(logits.clone(), &[2, u32::MAX, u32::MAX, u32::MAX, 0, 1]);
    let (single, row) = cross_entropy(Tensor::new([1, 5], logits.data()[..5].to_vec()), &[2]);
    assert_eq!((losses.data()[0], &gradient.data()[..5]), (single.data()[0], row.data()));
    assert!(losses.data()[1] == 0.0 && gradient.data()[5..25].iter().all(|&g| g == 0.0));
    let (single, row) = cross_entropy(Tensor::new([1, 5], logits.data()[25..].to_vec()), &[1]);
    assert_eq!(losses.data()[2], single.data()[0] / 2.0);
    gradient.data()[25..].iter().zip(row.data()).for_each(|(g, r)| assert_eq!(*g, r / 2.0));
    let (losses, gradient) = token_cross_entropy(Tensor::zeros([0, 2, 5]), &[]);
    assert!(losses.is_empty() && gradient.shape() == [0, 2, 5]);
    logits.data_mut()[21] = f32::NAN;
    let (losses, gradient) = token_cross_entropy(logits.clone(), &[2, u32::MAX, u32::MAX, u32::MAX, 0, 1]);
    assert!(
        losses.data()[0].is_finite()
            && losses.data()[2].is_nan()
            && gradient.data()[..20].iter().all(|g| g.is_finite())
    );
}

#[test]
fn extreme_inputs_of_silu() {
    let x = Tensor::new([7], vec![f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -f32::MAX, 0.0, 100.0, f32::NAN]);
    let (y, dx) = (silu(&x), silu_backward(&x, ones(&[7])));
    assert_eq!(y.data()[..6], [f32::INFINITY, 0.0, f32::MAX, 0.0, 0.0, 100.0]);
    assert_eq!(dx.data()[..6], [1.0, 0.0, 1.0, 0.0, 0.5, 1.0]);
    assert!(y.data()[6].is_nan() && dx.data()[6].is_nan());
}

#[test]
fn equal_weights_standardise_to_zero() {
    let (w, gain) = (ones(&[2, 6]), ones(&[2]));
    let (scaled, kept) = standardise(&w, &gain, 1e-4);
    assert!(scaled.data().iter().all(|&x| x == 0.0) && kept.rstd.data().iter().all(|&r| (r - 100.0).abs() < 1e-3));
    let mut g = numbers(&[2, 6], 1);
    assert_eq!(standardise_gradient(g.data_mut(), &gain, &kept, 1e-4), [0.0; 2]);
    assert!(g.data().iter().all(|g| g.is_finite()));
}

#[test]
#[should_panic(expected = "attention: projections Tensor[2, 3, 12] for 3 heads")]
fn refuses_heads_that_do_not_divide() {
    let _ = attention(&ones(&[2, 3, 12]), Attention { heads: 3, causal: false }, None);
}

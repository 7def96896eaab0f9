//! What the three kinds have in common, by hand-made factors.
use super::*;
use crate::layer::{Init, Parameter};

fn layout(sizes: &[&[usize]]) -> Arc<Layout> {
    let parameter = |(i, shape): (usize, &&[usize])| Parameter::new(&format!("p{i}"), *shape, Init::Constant(0.0));
    Layout::new(sizes.iter().enumerate().map(parameter).collect())
}

fn tensor(shape: &[usize], numbers: &[f32]) -> Tensor {
    Tensor::new(shape.to_vec(), numbers.to_vec())
}

/// The vectors of the specification `efficient-clipping`, G0: linear and embedding.
#[test]
fn published_vectors() {
    let a = tensor(&[1, 2, 3], &[1.0, 0.0, 2.0, -1.0, 1.0, 0.5]);
    let b = tensor(&[1, 2, 2], &[0.5, -1.0, 2.0, 0.25]);
    let mut linear = Product::new(Factor::Rows(a), b);
    assert_eq!(linear.rows().data(), [-1.5, 2.0, 2.0, -1.25, 0.25, -1.875]);
    assert!((linear.norms().to_host()[0] - 15.390625).abs() < 1e-5);
    let mut embedding = Scatter::new(vec![3, 1, 3], tensor(&[1, 3, 2], &[1.0, 0.0, 0.5, -1.0, 0.25, 2.0]), 5);
    // With what rounding may add.
    assert!((6.8125..6.8126).contains(&embedding.norms().to_host()[0]));
}

/// G6: an embedding tied to the output head. The exact norm counts the cross term: 6.85805.
#[test]
fn a_parameter_used_twice_is_measured_whole() {
    let e = tensor(&[1, 3, 2], &[1.0, 0.0, 0.5, -1.0, 0.25, 2.0]);
    let h = tensor(&[1, 3, 2], &[0.2, -0.1, 0.4, 0.3, -0.5, 0.6]);
    let r = tensor(&[1, 3, 5], &[0.1, 0.2, -0.7, 0.3, 0.1, -0.6, 0.2, 0.1, 0.1, 0.2, 0.05, 0.05, 0.1, -0.5, 0.3]);
    let mut taps = Taps::new(1, &layout(&[&[5, 2]]));
    taps.leave(0, || Scatter::new(vec![3, 1, 3], e, 5));
    taps.leave(0, || Product::new(Factor::Rows(h), r));
    let rows = taps.rows();
    assert!((taps.norms(&[0], 1)[0] - 6.85805).abs() < 1e-5);
    assert_eq!(taps.sum(&[1.0], &[0], 1).flat(), rows[0].data());
}

/// The same numbers as one tap, without the table in between.
#[test]
fn tied_tables_are_measured_whole() {
    let e = tensor(&[1, 3, 2], &[1.0, 0.0, 0.5, -1.0, 0.25, 2.0]);
    let h = tensor(&[1, 3, 2], &[0.2, -0.1, 0.4, 0.3, -0.5, 0.6]);
    let r = tensor(&[1, 3, 5], &[0.1, 0.2, -0.7, 0.3, 0.1, -0.6, 0.2, 0.1, 0.1, 0.2, 0.05, 0.05, 0.1, -0.5, 0.3]);
    let mut tied = Tied::new(vec![3, 1, 3], e, h, r);
    assert!((6.85804..6.8582).contains(&tied.norms().to_host()[0]));
    let (rows, mut sum) = (tied.rows(), vec![1.0; 10]);
    tied.sum((&[2.0]).into(), (&mut sum).into());
    sum.iter().zip(rows.row(0)).for_each(|(s, r)| assert!((s - (1.0 + 2.0 * r)).abs() < 1e-6));
    let v: Vec<f32> = (0..10).map(|i| i as f32 - 4.0).collect();
    let dot: f32 = rows.row(0).iter().zip(&v).map(|(r, v)| r * v).sum();
    assert!((tied.dot((&v).into())[0] - f64::from(dot)).abs() < 1e-5);
}

#[test]
fn a_silent_example_adds_nothing() {
    let nan = f32::NAN;
    let mut taps = Taps::new(2, &layout(&[&[2, 2], &[4, 1], &[3]]));
    taps.leave(0, || {
        Product::new(Factor::Rows(tensor(&[2, 1, 2], &[1.0, 2.0, nan, nan])), tensor(&[2, 1, 2], &[1.0, 1.0, nan, 1.0]))
    });
    taps.leave(1, || Scatter::new(vec![0, 3], tensor(&[2, 1, 1], &[5.0, f32::INFINITY]), 4));
    taps.leave(2, || Rows::new(tensor(&[2, 3], &[1.0, 2.0, 3.0, nan, 0.0, 0.0])));
    let sum = taps.sum(&[1.0, 0.0], &[0, 0, 0], 1);
    assert_eq!(sum.flat(), [1.0, 2.0, 1.0, 2.0, 5.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
    assert!(taps.norms(&[0, 0, 0], 1)[1].is_nan() || taps.norms(&[0, 0, 0], 1)[1].is_infinite());
}

#[test]
fn norms_are_taken_by_group() {
    let mut taps = Taps::new(1, &layout(&[&[2], &[1], &[1]]));
    for (p, numbers) in [&[3.0f32, 4.0][..], &[2.0], &[1.0]].into_iter().enumerate() {
        taps.leave(p, || Rows::new(tensor(&[1, numbers.len()], numbers)));
    }
    assert_eq!(taps.norms(&[0, 1, 0], 2), [26.0, 4.0]);
    assert_eq!(taps.sum(&[0.5, 2.0], &[0, 1, 0], 2).flat(), [1.5, 2.0, 4.0, 0.5]);
}

/// Norms that were taken as taps were left belong to those gradients: what is shifted, weighed, replaced or joined is
/// measured again.
#[test]
fn norms_taken_early_are_forgotten_when_gradients_change() {
    let layout = layout(&[&[2]]);
    let rows = |numbers: [f32; 2]| Rows::new(tensor(&[1, 2], &numbers));
    let early = || {
        let mut taps = Taps::new(1, &layout).measured();
        taps.leave(0, || rows([3.0, 4.0]));
        taps
    };
    let norm = |mut taps: Taps| taps.norms(&[0], 1)[0];
    assert!(early().early_squares[0].is_some());
    assert_eq!(norm(early()), 25.0);
    let grads = |numbers: [f32; 2]| Grads::new(&layout, numbers.to_vec());
    let scaling = Arc::new(Scaling::new(grads([2.0, 1.0]), Some(grads([1.0, 0.0]))));
    assert_eq!(norm(early().scaled(&scaling)), 32.0);
    assert_eq!(norm(early().with_rows(&layout, vec![tensor(&[1, 2], &[1.0, 1.0])])), 2.0);
    assert_eq!(norm(Taps::blended(vec![(2.0, early())])), 100.0);
    assert_eq!(norm(Taps::blended(vec![(1.0, early()), (1.0, early())])), 100.0);
    let mut twice = early();
    twice.leave(0, || rows([1.0, 0.0]));
    assert_eq!(norm(twice), 32.0);
}

/// Squares that come with a slope are those of the rows; they reach the layer above by its own input, and nobody else.
#[test]
fn squares_of_an_input_come_from_its_own_layer() {
    let mut taps = Taps::new(2, &layout(&[&[2]])).measured();
    let (y, other) = (tensor(&[2, 2], &[3.0, 4.0, 0.0, 2.0]), tensor(&[2, 2], &[3.0, 4.0, 0.0, 2.0]));
    let dy = || tensor(&[2, 2], &[1.0, 2.0, 5.0, 1.0]);
    let squares = taps.squares_of_input(&other);
    let (slope, of_dy) = taps.slope(Activation::Relu, &y, dy());
    assert_eq!((slope.data(), of_dy.get().cloned()), (&[1.0, 2.0, 0.0, 1.0][..], Some(vec![5.0, 1.0])));
    assert!(squares.get().is_none());
    let squares = taps.squares_of_input(&y);
    let _ = taps.slope(Activation::Relu, &y.clone(), dy());
    assert_eq!(squares.get(), Some(&vec![25.0, 4.0]));
    let mut unmeasured = Taps::new(2, &layout(&[&[2]]));
    assert!(unmeasured.slope(Activation::Relu, &y, dy()).1.get().is_none());
}

#[test]
fn what_nobody_tapped_is_known() {
    let mut taps = Taps::new(0, &layout(&[&[2], &[1]]));
    taps.leave(1, || Rows::new(Tensor::zeros([0, 1])));
    assert_eq!(taps.untapped(), ["p0"]);
}

/// A gradient close to the shift: the closed form cancels to noise, and the rows are taken instead, for norm and sum alike.
#[test]
fn scaled_gradients_that_cancel_are_formed() {
    let (a, b) = ([1.0f32, 2.0, -3.0], [0.5f32, -1.5]);
    let exact: Vec<f32> = b.iter().flat_map(|b| a.iter().map(move |a| a * b)).collect();
    let shift: Vec<f32> = exact.iter().map(|g| g * (1.0 + 1e-5)).collect();
    let product = || Box::new(Product::new(Factor::Rows(tensor(&[1, 1, 3], &a)), tensor(&[1, 1, 2], &b)));
    let grads = |numbers: &[f32]| Grads::new(&layout(&[&[2, 3]]), numbers.to_vec());
    let scaling = |scale: &[f32], shift: &[f32]| Arc::new(Scaling::new(grads(scale), Some(grads(shift))));
    let mut scaled = Scaled::new(product(), scaling(&[2.0; 6], &shift), 0);
    let want: f64 = exact.iter().zip(&shift).map(|(g, a)| (2.0 * f64::from(g - a)).powi(2)).sum();
    assert!((scaled.norms().to_host()[0] / want - 1.0).abs() < 1e-5);
    let mut sum = vec![0.0; 6];
    scaled.sum((&[3.0]).into(), (&mut sum).into());
    sum.iter().zip(exact.iter().zip(&shift)).for_each(|(s, (g, a))| assert_eq!(*s, 3.0 * (2.0 * (g - a))));
    // Far from the shift the closed form holds, a bound of the rows.
    let mut far = Scaled::new(product(), scaling(&[1.0, 0.0, 2.0, 3.0, 0.5, 1.0], &[-0.5; 6]), 0);
    let rows: f64 = far.rows().data().iter().map(|x| f64::from(*x).powi(2)).sum();
    let above = far.norms().to_host()[0] / rows - 1.0;
    assert!((0.0..0.032).contains(&above), "{above}");
    let v: Vec<f32> = (0..6).map(|i| i as f32 - 2.5).collect();
    let dot: f64 = far.rows().data().iter().zip(&v).map(|(x, v)| f64::from(*x) * f64::from(*v)).sum();
    assert!((far.dot((&v).into())[0] - dot).abs() < 1e-5);
}

/// An example's norm is the same to the bit whoever is there beside it, also somebody whose closed form cancels.
#[test]
fn who_cancels_changes_nobody_elses_norm() {
    let a = [[0.3f32, -1.1, 0.7], [1.0, 2.0, -3.0], [0.0, 0.4, 0.9]];
    let b = [[1.5f32, 0.2], [0.5, -1.5], [-0.7, 0.1]];
    let shift: Vec<f32> = b[1].iter().flat_map(|b| a[1].iter().map(move |a| a * b * (1.0 + 1e-5))).collect();
    let grads = |numbers: &[f32]| Grads::new(&layout(&[&[2, 3]]), numbers.to_vec());
    let scaling = Arc::new(Scaling::new(grads(&[2.0, 1.0, 0.5, 1.0, 3.0, 1.0]), Some(grads(&shift))));
    let norms = |who: &[usize]| {
        let [a, b] = [who.iter().flat_map(|i| a[*i]).collect::<Vec<f32>>(), who.iter().flat_map(|i| b[*i]).collect()];
        let product = Product::new(Factor::Rows(tensor(&[who.len(), 1, 3], &a)), tensor(&[who.len(), 1, 2], &b));
        Scaled::new(Box::new(product), scaling.clone(), 0).norms().to_host()
    };
    let all = norms(&[0, 1, 2]);
    assert_eq!([all[0], all[2]], norms(&[0, 2])[..], "beside who cancels and alone");
    assert_eq!(all, [0, 1, 2].map(|i| norms(&[i])[0]));
    assert!(all[1] < 1e-6 * all[0]);
}

/// Random numbers of all sizes, some of them zero.
struct Sizes(u32);

impl Sizes {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 8) / f64::from(1 << 24)
    }
    fn numbers(&mut self, n: usize, spread: f64) -> Vec<f32> {
        let size = 10f64.powf(spread * (2.0 * self.uniform() - 1.0));
        let one = |sizes: &mut Sizes| match sizes.uniform() < 0.1 {
            true => 0.0,
            false => (size * (2.0 * sizes.uniform() - 1.0)) as f32,
        };
        (0..n).map(|_| one(self)).collect()
    }
}

/// Shifted, scaled and clipped, no example of a linear layer moves the sum by more than the bound and its margin, as f64 sees
/// it: 10,000 layers of two examples, whose sides, scales and shifts are of sizes far apart; in a third of them the shift is
/// near one example's gradient, where the closed form cancels.
#[test]
fn no_shift_or_scale_hides_an_examples_length() {
    let mut sizes = Sizes(5);
    for case in 0..10_000 {
        let (d, p) = (1 + case % 5, 1 + case % 3);
        let (a, b) = (sizes.numbers(2 * d, 8.0), sizes.numbers(2 * p, 8.0));
        let (scale, mut shift) = (sizes.numbers(p * d, 4.0), sizes.numbers(p * d, 8.0));
        if case % 3 == 0 {
            let near = 1.0 + 10f32.powi(-(case as i32 % 7));
            (0..p * d).for_each(|j| shift[j] = near * b[j / d] * a[j % d]);
        }
        let grads = |numbers: &[f32]| Grads::new(&layout(&[&[p, d]]), numbers.to_vec());
        let scaling = Arc::new(Scaling::new(grads(&scale), (case % 4 > 0).then(|| grads(&shift))));
        let mut taps = Taps::new(2, &layout(&[&[p, d]]));
        taps.leave(0, || Product::new(Factor::Rows(tensor(&[2, 1, d], &a)), tensor(&[2, 1, p], &b)));
        let mut taps = taps.scaled(&scaling);
        let norms: Vec<f64> = taps.norms(&[0], 1).into_iter().map(f64::sqrt).collect();
        let weights = crate::clip::cap(&[1e300, 1e300], &norms, &[1.0]);
        for i in 0..2 {
            let only: Vec<f32> = (0..2).map(|j| if i == j { weights[i] } else { 0.0 }).collect();
            let moved = taps.sum(&only, &[0], 1).norm();
            assert!(
                moved <= 1.0 + crate::clip::ROUNDING,
                "case {case}, example {i}: {moved} by {weights:?}, {norms:?}"
            );
        }
    }
}

/// What each of `n` examples adds to a sum by itself, clipped at `bound` by its own norm: the longest, over the bound.
fn most_added(mut taps: Taps, n: usize, bound: f64) -> f64 {
    let norms: Vec<f64> = taps.norms(&[0], 1).into_iter().map(f64::sqrt).collect();
    let proposed: Vec<f64> = norms.iter().map(|norm| (bound / norm).min(1.0)).collect();
    let weights = crate::clip::cap(&proposed, &norms, &[bound]);
    let alone = |i: usize| (0..n).map(|j| if i == j { weights[i] } else { 0.0 }).collect::<Vec<f32>>();
    (0..n).map(|i| taps.sum(&alone(i), &[0], 1).norm() / bound).fold(0.0, f64::max)
}

/// A kind of gradient, and how it is left.
type Kind<'a> = (&'a str, &'a dyn Fn(&mut Taps));

/// Linear maps at several positions whose terms cancel but for a rest of the bound's size, in ever larger steps: every product is exact until a
/// weight is multiplied in. In their own coordinates and in scaled ones, by factors, rows at ids and both.
#[test]
fn terms_that_cancel_are_clipped_as_they_are_summed() {
    let (n, bound) = (12, 1e-3);
    for (t, d, p) in [(2, 8, 8), (8, 64, 64), (32, 128, 256), (40, 16, 12)] {
        let mut sizes = Sizes(7);
        let (rest, mut a) = ((bound / 0.7 / (p as f64).sqrt()) as f32, vec![0.0; n * t * d]);
        for (i, rows) in a.chunks_mut(t * d).enumerate() {
            let first: Vec<f32> = (0..d).map(|_| (sizes.uniform() - 0.5) as f32 * 10f32.powi(i as i32 - 3)).collect();
            for (s, row) in rows.chunks_mut(d).enumerate() {
                row.iter_mut().zip(&first).for_each(|(x, y)| *x = if s % 2 == 0 { *y } else { -*y });
                row[0] = if s == 0 { rest } else { 0.0 };
            }
        }
        let (a, b) = (tensor(&[n, t, d], &a), tensor(&[n, t, p], &vec![1.0; n * t * p]));
        let ids: Vec<u32> = (0..n * t).map(|at| (at % t / 2 % 3) as u32).collect();
        let layout = layout(&[&[p, d]]);
        let kinds: [Kind; 4] = [
            ("product", &|taps| taps.leave(0, || Product::new(Factor::Rows(a.clone()), b.clone()))),
            ("rows at ids", &|taps| taps.leave(0, || Scatter::new(ids.clone(), a.clone(), p))),
            ("tied", &|taps| taps.leave(0, || Tied::new(ids.clone(), a.clone(), a.clone(), b.clone()))),
            ("rows", &|taps| taps.leave(0, || Rows::new(tensor(&[n, p * d], &vec![rest; n * p * d])))),
        ];
        for (kind, leave) in kinds {
            let taps = || {
                let mut taps = Taps::new(n, &layout);
                leave(&mut taps);
                taps
            };
            let scale = (0..p * d).map(|j| if j % 7 == 3 { 0.0 } else { 0.5 + (j % 5) as f32 }).collect();
            let scaling = Arc::new(Scaling::new(Grads::new(&layout, scale), None));
            for (where_, taps) in [("plain", taps()), ("scaled", taps().scaled(&scaling))] {
                let added = most_added(taps, n, bound);
                assert!(added <= 1.0 + crate::clip::ROUNDING, "{kind}, {where_}, {t} of {d} by {p}: {added}");
            }
        }
    }
}

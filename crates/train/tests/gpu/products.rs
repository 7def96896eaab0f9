//! Products: linear maps, convolutions, and what is made of per-example gradients.
use crate::{
    Turn, gpu,
    margins::rounded,
    numbers,
    operations::{WINDOWS, squares},
    twins,
};
use engine::{
    Device, Tensor, Window,
    op::{
        self,
        per_example::{self as each, Left},
    },
};

/// Shifts and activations in one pass, on rows and images of even and odd sizes.
#[test]
fn activations_with_their_shifts() {
    use op::Activation::{Relu, Tanh};
    for activation in [Relu, Tanh] {
        for [h, w] in [[5, 7], [12, 11], [2, 2]] {
            twins(&format!("{activation:?} {h}x{w}"), 3e-6, |device| {
                let [x, k, b, dy] =
                    [numbers(&[3, 2, h, w], 1), numbers(&[5, 2, 1, 1], 2), numbers(&[5], 3), numbers(&[3, 5, h, w], 4)]
                        .map(|t| t.to(device));
                let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0, 0] };
                let y = op::conv2d_then(&x, &k, Some(&b), window, Some(activation));
                let (dx, sums) = activation.backward_channels(&y, dy.clone());
                vec![op::conv2d_then(&x, &k, None, window, Some(activation)), activation.backward(&y, dy), y, dx, sums]
            });
        }
        for o in [4, 21] {
            twins(&format!("{activation:?} rows of {o}"), 3e-6, |device| {
                let [x, w, b] = [numbers(&[6, 3], 1), numbers(&[o, 3], 2), numbers(&[o], 3)].map(|t| t.to(device));
                vec![
                    op::linear_then(&x, &w, Some(&b), Some(activation)),
                    op::linear_then(&x, &w, None, Some(activation)),
                ]
            });
        }
    }
}

/// Our own convolution, forward and as an input gradient: many images a block and few, borders, strides, odd sizes.
#[test]
fn convolutions_on_tensor_cores() {
    let Some(turn) = gpu() else { return };
    turn.gpu.set_precision(engine::Precision::Tf32);
    turn.gpu.always_own_convolutions(true);
    for (at, (size @ [_, c, h, w], o, [k, s, p])) in crate::images::SIZES.into_iter().enumerate() {
        let window = Window { kernel: [k, k], stride: [s, s], padding: [p, p] };
        let activation = [Some(op::Activation::Relu), Some(op::Activation::Tanh), None][at % 3];
        crate::twins_on(&turn, &format!("{size:?} to {o}, {window:?}, {activation:?}"), 4e-3, |device| {
            let (oh, ow) = window.output(h, w).unwrap();
            let [x, mut k, b, dy] =
                [numbers(&size, 1), numbers(&[o, c, k, k], 2), numbers(&[o], 3), numbers(&[size[0], o, oh, ow], 4)]
                    .map(|t| t.to(device));
            // Where tanh is not flat and rounding not larger than what it rounds.
            op::scale(&mut k, 0.1);
            let y = op::conv2d_then(&x, &k, Some(&b), window, activation);
            vec![y, op::conv2d_then(&x, &k, None, window, None), op::conv2d_backward(&dy, &k, &size, window)]
        });
    }
    turn.gpu.always_own_convolutions(false);
}

/// Large products of rounded factors with rows of an odd length: by copies, and by rows that are further apart.
#[test]
fn odd_widths() {
    let Some(turn) = gpu() else { return };
    turn.gpu.set_precision(engine::Precision::Tf32);
    crate::twins_on(&turn, "odd", 2e-3, |device| {
        let (x, w) = (numbers(&[3, 350, 128], 1).to(device), numbers(&[4099, 128], 2).to(device));
        let (dy, mut sum) = (numbers(&[3, 350, 4099], 3).to(device), numbers(&[4099 * 128], 4).to(device));
        each::product_sum(Left::Rows { a: &x }, &dy, &[0.5, 1.0, 0.0], &mut sum);
        let norms = squares(each::product_norms(Left::Rows { a: &x }, &dy));
        vec![op::linear(&x, &w, None), op::linear_backward(&dy, &w), sum, norms.reshape([3])]
    });
    // All the way of a language model's head, whose logits are padded.
    crate::twins_on(&turn, "head", 2e-3, |device| {
        let (mut x, mut w, b) = (numbers(&[3, 350, 128], 1), numbers(&[4099, 128], 2), numbers(&[4099], 5).to(device));
        op::scale(&mut w, 0.01);
        op::scale(&mut x, 0.5);
        let (x, w, mut sum) = (x.to(device), w.to(device), numbers(&[4099 * 128], 4).to(device));
        op::scale(&mut sum, 1e-4);
        let logits = op::linear(&x, &w, Some(&b));
        let labels: Vec<u32> = (0..1050).map(|i| if i % 7 == 3 { u32::MAX } else { i * 31 % 4099 }).collect();
        let (losses, dy) = op::token_cross_entropy(logits.clone(), &labels);
        let left = Left::Rows { a: &x };
        let norms = squares(each::product_norms(left, &dy));
        each::product_sum(left, &dy, &[0.5, 1.0, 0.0], &mut sum);
        let rows = op::cross_entropy(op::linear(&x.clone().reshape([1050, 128]), &w, None), &vec![7; 1050]).1;
        vec![losses, norms, sum, op::linear_backward(&dy, &w), op::bias_rows_last(&dy), dy, logits, rows]
    });
}

/// Norms by Gram matrices are upper bounds on a GPU: a little larger.
#[test]
fn products_of_examples() {
    for (t, d, p) in [(1, 40, 30), (6, 40, 90), (30, 9, 13), (5, 64, 64), (80, 120, 33), (90, 64, 100), (70, 36, 1040)]
    {
        twins(&format!("rows {t} {d} {p}"), 1e-4, |device| {
            let (a, b) = (numbers(&[4, t, d], 1).to(device), numbers(&[4, t, p], 2).to(device));
            products(Left::Rows { a: &a }, &b, p * d, device)
        });
    }
    for window in WINDOWS {
        twins(&format!("patches {window:?}"), 1e-5, |device| {
            let (oh, ow) = window.output(8, 9).unwrap();
            let (x, b) = (numbers(&[4, 3, 8, 9], 1).to(device), numbers(&[4, 5, oh, ow], 2).to(device));
            products(Left::Patches { x: &x, window }, &b, 15 * window.cells(), device)
        });
    }
}

/// Gradients that a GPU keeps: of many positions, by both kernels, with sizes that fill no tile.
#[test]
fn gradients_of_many_positions_are_kept() {
    for (c, p, [h, w], [k, s, q]) in [
        (3, 16, [16, 16], [3, 1, 1]),
        (16, 24, [13, 15], [3, 1, 1]),
        (9, 20, [31, 28], [3, 2, 1]),
        (33, 40, [17, 12], [3, 1, 1]),
        (4, 5, [20, 20], [7, 1, 3]),
    ] {
        let window = Window { kernel: [k, k], stride: [s, s], padding: [q, q] };
        twins(&format!("kept {c} to {p}, {window:?}"), 2e-5, |device| {
            let (oh, ow) = window.output(h, w).unwrap();
            let (x, b) = (numbers(&[4, c, h, w], 1).to(device), numbers(&[4, p, oh, ow], 2).to(device));
            let left = Left::Patches { x: &x, window };
            let kept = each::product_norms_kept(left, &b).1;
            assert!(kept.is_some() || device == Device::Cpu);
            products(left, &b, p * c * k * k, device)
        });
    }
    twins("kept rows", 2e-5, |device| {
        let (a, b) = (numbers(&[4, 200, 40], 1).to(device), numbers(&[4, 200, 24], 2).to(device));
        products(Left::Rows { a: &a }, &b, 24 * 40, device)
    });
}

/// Norms by our own Gram matrices, of several maps at once: above those of the gradients in f64, and not far.
#[test]
fn gram_norms_of_several_maps() {
    let Some(turn) = gpu() else { return };
    grams_of(&turn, engine::Precision::Tf32, 1.06);
    grams_of(&turn, engine::Precision::Bf16, 1.12);
}

fn grams_of(turn: &Turn, precision: engine::Precision, most: f64) {
    turn.gpu.set_precision(precision);
    let device = Device::Cuda(turn.gpu);
    let exact = |x: Tensor| if precision == engine::Precision::Bf16 { rounded(x) } else { x };
    let sizes = [
        (5, 40, 60),
        (64, 256, 252),
        (128, 384, 400),
        (129, 512, 300),
        (300, 1000, 640),
        (512, 1024, 1100),
        (640, 2048, 1500),
        (64, 8300, 200),
        (150, 300, 9000),
    ];
    for n in [1, 3] {
        // With a mean, so that what lies off the diagonals counts.
        let shifted = |shape: &[usize], seed| {
            let mut x = numbers(shape, seed);
            x.data_mut().iter_mut().for_each(|x| *x += 0.3);
            exact(x)
        };
        let maps: Vec<[Tensor; 2]> =
            sizes.iter().map(|&(t, d, p)| [shifted(&[n, t, d], 1), shifted(&[n, t, p], 2)]).collect();
        let squares = |on: &[Tensor; 2]| {
            let [a, b] = [0, 1].map(|k| on[k].clone().to(device));
            each::product_squares_kept(Left::Rows { a: &a }, &b).0
        };
        let groups: Vec<usize> = (0..maps.len()).collect();
        let all = each::Squares::total(maps.iter().map(squares).collect(), &groups, n, maps.len());
        for (k, (map, size)) in maps.iter().zip(sizes).enumerate() {
            let alone = squares(map).to_host();
            let formed = each::product_norms(Left::Rows { a: &map[0] }, &map[1]);
            for i in 0..n {
                let (got, want) = (all[i * maps.len() + k].sqrt(), formed[i].sqrt());
                assert_eq!(got, alone[i].sqrt(), "{size:?}, example {i}, alone");
                assert!((want..=want * most).contains(&got), "{precision:?}, {size:?}, example {i}: {got}, {want}");
            }
        }
    }
    // Logits, whose rows are further apart than they are long.
    let [x, w] = [numbers(&[3, 100, 2048], 1), numbers(&[1027, 2048], 2)].map(|x| x.to(device));
    let logits = op::linear(&x, &w, None);
    let got = each::product_norms(Left::Rows { a: &x }, &logits);
    let want = each::product_norms(Left::Rows { a: &x.to_host() }, &logits.to_host());
    for (got, want) in got.iter().zip(want) {
        assert!((1.0..most * most).contains(&(got / want)), "{precision:?}, padded: {got}, {want}");
    }
    // Examples that are not numbers, or too large, are told, and are nobody else's business.
    let (mut a, b) = (exact(numbers(&[4, 160, 512], 1)), exact(numbers(&[4, 160, 512], 2)));
    let clean = each::product_norms(Left::Rows { a: &a }, &b);
    a.data_mut()[160 * 512 + 77] = f32::NAN;
    a.data_mut()[2 * 160 * 512 + 99] = f32::INFINITY;
    let (a, b) = (a.to(device), b.to(device));
    let got = each::product_norms(Left::Rows { a: &a }, &b);
    assert!(!got[1].is_finite() && !got[2].is_finite(), "{got:?}");
    for i in [0, 3] {
        assert!((1.0..most * most).contains(&(got[i] / clean[i])), "{got:?}, {clean:?}");
    }
}

/// Under bf16, of factors that are rounded already: what is not weighed is exact but for f32 sums, what is is within a rounding.
#[test]
fn products_of_rounded_factors() {
    let Some(turn) = gpu() else { return };
    turn.gpu.set_precision(engine::Precision::Bf16);
    for [t, d, p] in [
        [1, 40, 30],
        [6, 40, 90],
        [30, 9, 13],
        [16, 256, 248],
        [90, 64, 104],
        [90, 67, 33],
        [160, 96, 64],
        [512, 45, 77],
    ] {
        let factors = |device| [(d, 1), (p, 2)].map(|(width, seed)| rounded(numbers(&[4, t, width], seed)).to(device));
        let what = format!("{t} {d} {p}");
        crate::twins_on(&turn, &what, 2e-5, |device| {
            let [a, b] = factors(device);
            let (left, v) = (Left::Rows { a: &a }, numbers(&[d * p], 9).to(device));
            vec![each::product_rows(left, &b), squares(each::product_dot(left, &b, &v))]
        });
        crate::twins_on(&turn, &what, 2f64.powi(-8), |device| {
            let [a, b] = factors(device);
            let mut sum = Tensor::zeros_on(device, [d * p]);
            each::product_sum(Left::Rows { a: &a }, &b, &[0.5, 0.0, -1.3, 0.7], &mut sum);
            vec![sum]
        });
        let norms = |device| {
            let [a, b] = factors(device);
            each::product_norms(Left::Rows { a: &a }, &b)
        };
        for (got, want) in norms(Device::Cuda(turn.gpu)).iter().zip(norms(Device::Cpu)) {
            let ratio = (got / want).sqrt();
            assert!((1.0 - 1e-6..1.12).contains(&ratio), "{what}: {ratio}");
        }
    }
    // Rows that are gradients already, and rows at ids.
    let ids: Vec<u32> = (0..40).map(|i| (i * i + i / 10) % 6).collect();
    crate::twins_on(&turn, "rows", 2e-6, |device| {
        let (b, v) = (rounded(numbers(&[4, 10, 33], 1)).to(device), numbers(&[6 * 33], 2).to(device));
        let mut sum = v.clone();
        each::scatter_sum(&ids, &b, &[0.5, 0.0, -1.0, 2.0], &mut sum);
        let norms = squares(each::scatter_norms(&ids, &b));
        vec![norms, squares(each::scatter_dot(&ids, &b, &v)), sum, each::scatter_rows(&ids, &b, 6)]
    });
    for [n, p] in [[70, 300], [5, 12_000]] {
        // What an activation stores is of bf16.
        crate::twins_on(&turn, "stored rows", 2e-6, |device| {
            let identity: Vec<f32> = (0..25).map(|k| if k % 6 == 0 { 1.0 } else { 0.0 }).collect();
            let (g, one) = (rounded(numbers(&[n, p / 5, 5], 1)).to(device), Tensor::new([5, 5], identity).to(device));
            let (g, v) = (op::linear(&g, &one, None), numbers(&[p], 2).to(device));
            let weights: Vec<f32> = (0..n).map(|i| (i % 5) as f32 * 0.3).collect();
            let mut sum = v.clone();
            each::rows_sum(&g, &weights, &mut sum);
            vec![squares(each::rows_norms(&g)), squares(each::rows_dot(&g, &v)), sum, g]
        });
    }
}

/// Norms whose shares are more than a warp takes at once: 36 tiles.
#[test]
fn norms_of_many_tiles() {
    twins("many tiles", 1e-4, |device| {
        let [a, b] = [1, 2].map(|seed| numbers(&[2, 420, 768], seed).to(device));
        vec![squares(each::product_norms(Left::Rows { a: &a }, &b))]
    });
}

fn products(left: Left, b: &Tensor, size: usize, device: Device) -> Vec<Tensor> {
    let weights = [0.5, 0.0, -1.25, 1.0];
    let (norms, kept) = each::product_norms_kept(left, b);
    let mut sum = numbers(&[size], 8).to(device);
    each::product_sum(left, b, &weights, &mut sum);
    let mut again = numbers(&[size], 8).to(device);
    match &kept {
        Some(kept) => kept.sum(&weights, &mut again),
        None => each::product_sum(left, b, &weights, &mut again),
    }
    let mut alone = Tensor::new([size], vec![f32::NAN; size]).to(device);
    each::product_sum_alone(left, b, &weights, &mut alone);
    let v = numbers(&[size], 9).to(device);
    let dot = squares(each::product_dot(left, b, &v));
    let rows = kept.as_ref().map_or_else(|| each::product_rows(left, b), each::Kept::rows);
    let dots = kept.as_ref().map_or_else(|| each::product_dot(left, b, &v), |kept| kept.dot(&v));
    let norms_again = kept.as_ref().map_or_else(|| norms.clone(), |kept| kept.squares().to_host());
    vec![each::product_rows(left, b), squares(norms), sum, again, alone, dot, rows, squares(dots), squares(norms_again)]
}

#[test]
fn rows_and_scattered_rows_of_examples() {
    twins("rows", 2e-6, |device| {
        let (g, v) = (numbers(&[70, 300], 1).to(device), numbers(&[300], 2).to(device));
        let weights: Vec<f32> = (0..70).map(|i| (i % 5) as f32 * 0.3).collect();
        let mut sum = v.clone();
        each::rows_sum(&g, &weights, &mut sum);
        vec![squares(each::rows_norms(&g)), squares(each::rows_dot(&g, &v)), sum]
    });
    let ids: Vec<u32> = (0..40).map(|i| (i * i + i / 10) % 6).collect();
    twins("scatter", 2e-6, |device| {
        let (b, v) = (numbers(&[4, 10, 33], 1).to(device), numbers(&[6 * 33], 2).to(device));
        let mut sum = v.clone();
        each::scatter_sum(&ids, &b, &[0.5, 0.0, -1.0, 2.0], &mut sum);
        let norms = squares(each::scatter_norms(&ids, &b));
        vec![norms, squares(each::scatter_dot(&ids, &b, &v)), sum, each::scatter_rows(&ids, &b, 6)]
    });
    let ids: Vec<u32> = (0..40).map(|i| (i * i + i / 10) % 60).collect();
    for v in [6, 300] {
        let ids: Vec<u32> = ids.iter().map(|id| id % v as u32).collect();
        twins("tied", 1e-3, |device| {
            let [e, h] = [1, 2].map(|seed| numbers(&[4, 10, 33], seed).to(device));
            vec![squares(each::tied_norms(&ids, &e, &h, &numbers(&[4, 10, v], 3).to(device)))]
        });
    }
}

#[test]
fn an_example_of_weight_zero_adds_nothing() {
    twins("silence", 1e-6, |device| {
        let mut all = Vec::new();
        for (t, d, p) in [(1, 4, 6), (1, 6, 4), (3, 40, 40)] {
            let (mut a, mut b) = (numbers(&[2, t, d], 1), numbers(&[2, t, p], 2));
            a.data_mut()[t * d..].fill(f32::NAN);
            b.data_mut()[t * p] = f32::INFINITY;
            let (a, b) = (a.to(device), b.to(device));
            let mut sum = Tensor::zeros([p * d]).to(device);
            each::product_sum(Left::Rows { a: &a }, &b, &[1.5, 0.0], &mut sum);
            let mut alone = Tensor::new([p * d], vec![f32::NAN; p * d]).to(device);
            each::product_sum_alone(Left::Rows { a: &a }, &b, &[1.5, 0.0], &mut alone);
            all.extend([sum, alone]);
        }
        let mut x = numbers(&[2, 2, 4, 4], 1);
        x.data_mut()[32..].fill(f32::NAN);
        let (x, b) = (x.to(device), numbers(&[2, 3, 3, 3], 2).to(device));
        let mut sum = Tensor::zeros([24]).to(device);
        each::product_sum(Left::Patches { x: &x, window: WINDOWS[0] }, &b, &[1.5, 0.0], &mut sum);
        all.push(sum);
        all
    });
}

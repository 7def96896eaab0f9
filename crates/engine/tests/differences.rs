//! Every backward against central differences of a naive forward in f64 that is written here.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use engine::op::*;
use engine::{Tensor, Window};

fn numbers(shape: &[usize], seed: usize) -> Tensor {
    let number = |i: usize| ((i * 7919 + seed * 131 + 13) % 1009) as f32 / 504.5 - 1.0;
    Tensor::new(shape, (0..shape.iter().product()).map(number).collect())
}

fn wide(x: &Tensor) -> Vec<f64> {
    x.data().iter().map(|&x| f64::from(x)).collect()
}

/// `dx` is the gradient at `x` of `<dy, f(x)>`, and `y` is `f(x)`.
fn check(f: impl Fn(&[f64]) -> Vec<f64>, x: &Tensor, y: &Tensor, dy: &Tensor, dx: &Tensor) {
    assert_eq!((x.shape(), y.shape()), (dx.shape(), dy.shape()));
    let (mut at, dy) = (wide(x), wide(dy));
    let value = f(&at);
    assert_eq!(value.len(), y.len());
    value.iter().zip(wide(y)).for_each(|(want, got)| assert!((want - got).abs() < 2e-5, "forward: {got}, {want}"));
    for i in 0..at.len() {
        let mut along = |step: f64| {
            at[i] += step;
            let sum: f64 = f(&at).iter().zip(&dy).map(|(y, dy)| y * dy).sum();
            at[i] -= step;
            sum
        };
        let want = (along(1e-5) - along(-1e-5)) / 2e-5;
        let got = f64::from(dx.data()[i]);
        assert!((want - got).abs() < 3e-5 * want.abs().max(1.0), "gradient {i}: {got}, {want}");
    }
}

#[test]
fn linear_maps() {
    let (x, w, b, dy) = (numbers(&[2, 3, 5], 1), numbers(&[4, 5], 2), numbers(&[4], 3), numbers(&[2, 3, 4], 4));
    let (wf, bf) = (wide(&w), wide(&b));
    let f = |x: &[f64]| {
        let cell = |r: usize, o: usize| bf[o] + (0..5).map(|i| x[r * 5 + i] * wf[o * 5 + i]).sum::<f64>();
        (0..24).map(|at| cell(at / 4, at % 4)).collect()
    };
    check(f, &x, &linear(&x, &w, Some(&b)), &dy, &linear_backward(&dy, &w));
}

/// Every (output, input) pair of one plane, with the cell of the window.
fn pairs(h: usize, w: usize, window: Window) -> Vec<(usize, usize, usize)> {
    let Window { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw] } = window;
    let (oh, ow) = window.output(h, w).unwrap();
    let mut pairs = Vec::new();
    for (out, cell) in (0..oh * ow).flat_map(|out| (0..kh * kw).map(move |cell| (out, cell))) {
        let (y, x) = (out / ow * sh + cell / kw, out % ow * sw + cell % kw);
        if (ph..h + ph).contains(&y) && (pw..w + pw).contains(&x) {
            pairs.push((out, (y - ph) * w + x - pw, cell));
        }
    }
    pairs
}

const WINDOWS: [Window; 5] = [
    Window { kernel: [2, 2], stride: [1, 1], padding: [0, 0] },
    Window { kernel: [2, 2], stride: [2, 2], padding: [0, 0] },
    Window { kernel: [3, 3], stride: [1, 1], padding: [1, 1] },
    Window { kernel: [3, 4], stride: [2, 3], padding: [1, 2] },
    Window { kernel: [1, 6], stride: [3, 2], padding: [0, 3] },
];

#[test]
fn convolutions() {
    for window in WINDOWS {
        let ([kh, kw], (n, c, h, w, o)) = (window.kernel, (2, 2, 5, 6, 3));
        let (oh, ow) = window.output(h, w).unwrap();
        let (x, weight, b) = (numbers(&[n, c, h, w], 1), numbers(&[o, c, kh, kw], 2), numbers(&[o], 3));
        let (dy, wf, bf) = (numbers(&[n, o, oh, ow], 4), wide(&weight), wide(&b));
        let f = |x: &[f64]| {
            let mut y: Vec<f64> = (0..n * o * oh * ow).map(|at| bf[at / (oh * ow) % o]).collect();
            for (out, pixel, cell) in pairs(h, w, window) {
                for (i, to, from) in (0..n * o * c).map(|at| (at / (o * c), at / c % o, at % c)) {
                    y[(i * o + to) * oh * ow + out] +=
                        wf[(to * c + from) * kh * kw + cell] * x[(i * c + from) * h * w + pixel];
                }
            }
            y
        };
        let dx = conv2d_backward(&dy, &weight, x.shape(), window);
        check(f, &x, &conv2d(&x, &weight, Some(&b), window), &dy, &dx);
    }
}

#[test]
fn pools() {
    for window in WINDOWS {
        let (n, c, h, w) = (2, 2, 5, 6);
        let (oh, ow) = window.output(h, w).unwrap();
        let (x, dy) = (numbers(&[n, c, h, w], 1), numbers(&[n, c, oh, ow], 4));
        let fold = |x: &[f64], start: f64, f: fn(f64, f64) -> f64| {
            let mut y = vec![start; n * c * oh * ow];
            for (plane, (out, pixel, _)) in
                (0..n * c).flat_map(|plane| pairs(h, w, window).into_iter().map(move |p| (plane, p)))
            {
                let y = &mut y[plane * oh * ow + out];
                *y = f(*y, x[plane * h * w + pixel]);
            }
            y
        };
        let (y, argmax) = max_pool2d(&x, window);
        check(
            |x| fold(x, f64::NEG_INFINITY, f64::max),
            &x,
            &y,
            &dy,
            &max_pool2d_backward(&dy, &argmax, x.shape(), window),
        );
        let cells = window.cells() as f64;
        let mean = |x: &[f64]| fold(x, 0.0, |a, b| a + b).iter().map(|y| y / cells).collect();
        check(mean, &x, &avg_pool2d(&x, window), &dy, &avg_pool2d_backward(&dy, x.shape(), window));
    }
}

#[test]
fn activations() {
    let (x, dy) = (numbers(&[7, 9], 5), numbers(&[7, 9], 6));
    let mut x = x;
    x.data_mut().iter_mut().enumerate().for_each(|(i, x)| *x = *x * (1 + i % 5) as f32 + 0.01);
    let each = |f: fn(f64) -> f64| move |x: &[f64]| x.iter().map(|&x| f(x)).collect::<Vec<f64>>();
    let y = relu(x.clone());
    check(each(|x| x.max(0.0)), &x, &y, &dy, &relu_backward(&y, dy.clone()));
    let y = tanh(x.clone());
    check(each(f64::tanh), &x, &y, &dy, &tanh_backward(&y, dy.clone()));
    check(each(|x| x / (1.0 + (-x).exp())), &x, &silu(&x), &dy, &silu_backward(&x, dy.clone()));
    for (approximation, f) in [(Approximation::Erf, gelu_erf as fn(f64) -> f64), (Approximation::Tanh, gelu_tanh)] {
        check(each(f), &x, &gelu(&x, approximation), &dy, &gelu_backward(&x, dy.clone(), approximation));
    }
}

fn gelu_erf(x: f64) -> f64 {
    let t = x * FRAC_1_SQRT_2;
    let terms = (1..120).scan(t, |power, n| {
        *power *= -t * t / f64::from(n);
        Some(*power / f64::from(2 * n + 1))
    });
    x / 2.0 * (1.0 + (t + terms.sum::<f64>()) * 2.0 / PI.sqrt())
}

fn gelu_tanh(x: f64) -> f64 {
    x / 2.0 * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

/// Normalised pieces of `len` elements.
fn normalise(x: &[f64], len: usize) -> Vec<f64> {
    let piece = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / len as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / len as f64;
        x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt()).collect::<Vec<f64>>()
    };
    x.chunks(len).flat_map(piece).collect()
}

#[test]
fn layer_norms() {
    for d in [3, 16, 37] {
        let (x, dy) = (numbers(&[2, 2, d], 1), numbers(&[2, 2, d], 2));
        let (gamma, beta) = (numbers(&[d], 3), numbers(&[d], 4));
        let (gf, bf) = (wide(&gamma), wide(&beta));
        let f = |x: &[f64]| normalise(x, d).iter().enumerate().map(|(i, x)| x * gf[i % d] + bf[i % d]).collect();
        let (y, kept) = layer_norm(&x, &gamma, &beta, 1e-5);
        check(f, &x, &y, &dy, &layer_norm_backward(&dy, &gamma, &kept));
        let by_gamma = |g: &[f64]| normalise(&wide(&x), d).iter().enumerate().map(|(i, x)| x * g[i % d]).collect();
        let rows = layer_norm_rows(&dy, &kept.xhat).0;
        let sum = Tensor::new([d], (0..d).map(|j| rows.row(0)[j] + rows.row(1)[j]).collect::<Vec<_>>());
        let y = layer_norm(&x, &gamma, &Tensor::zeros([d]), 1e-5).0;
        check(by_gamma, &gamma, &y, &dy, &sum);
    }
}

#[test]
fn rms_norms() {
    for d in [3, 16, 37] {
        let (x, dy, gamma) = (numbers(&[2, 2, d], 1), numbers(&[2, 2, d], 2), numbers(&[d], 3));
        let gf = wide(&gamma);
        let row = |x: &[f64]| {
            let rstd = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / d as f64 + 1e-5).sqrt();
            x.iter().zip(&gf).map(|(x, g)| x * rstd * g).collect::<Vec<f64>>()
        };
        let (y, kept) = rms_norm(&x, &gamma, 1e-5);
        check(|x| x.chunks(d).flat_map(row).collect(), &x, &y, &dy, &rms_norm_backward(&dy, &gamma, &kept));
    }
}

#[test]
fn standardised_weights() {
    let (w, gain, g) = (numbers(&[3, 2, 2, 5], 1), numbers(&[3], 2), numbers(&[3, 2, 2, 5], 3));
    let (gf, wf) = (wide(&gain), wide(&w));
    let f = |w: &[f64], gain: &[f64]| {
        let row = |(o, w): (usize, &[f64])| {
            let mean = w.iter().sum::<f64>() / 20.0;
            let variance = w.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / 20.0;
            w.iter().map(|w| gain[o] * (w - mean) / (variance * 20.0).max(1e-4).sqrt()).collect::<Vec<f64>>()
        };
        w.chunks(20).enumerate().flat_map(row).collect::<Vec<f64>>()
    };
    let (scaled, kept) = standardise(&w, &gain, 1e-4);
    let mut by_w = g.clone();
    let by_gain = standardise_gradient(by_w.data_mut(), &gain, &kept, 1e-4);
    check(|w| f(w, &gf), &w, &scaled, &g, &by_w);
    check(|gain| f(&wf, gain), &gain, &scaled, &g, &Tensor::new([3], by_gain));
}

/// The definition; `seen(query, key)` says who looks at whom, and who sees nobody gets zeros.
fn attend(x: &[f64], t: usize, heads: usize, seen: impl Fn(usize, usize, usize) -> bool) -> Vec<f64> {
    let (d, n) = (4 * heads, x.len() / (12 * heads * t));
    let mut y = vec![0.0; n * t * d];
    for (i, head, query) in (0..n * heads * t).map(|at| (at / (heads * t), at / t % heads, at % t)) {
        let at = |position: usize, part: usize, j: usize| x[(i * t + position) * 3 * d + part * d + head * 4 + j];
        let score = |key| (0..4).map(|j| at(query, 0, j) * at(key, 1, j)).sum::<f64>() / 2.0;
        let weights: Vec<f64> = (0..t).map(|key| if seen(i, query, key) { score(key).exp() } else { 0.0 }).collect();
        let sum = weights.iter().sum::<f64>();
        for (key, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            (0..4).for_each(|j| y[(i * t + query) * d + head * 4 + j] += weight / sum * at(key, 2, j));
        }
    }
    y
}

#[test]
fn attentions() {
    for (t, heads) in [(1, 2), (7, 3), (19, 1)] {
        let (x, dy) = (numbers(&[2, t, 12 * heads], 1), numbers(&[2, t, 4 * heads], 2));
        // The first causal queries of the second example, and without causality the whole of it, see nobody.
        for present in [None, Some((0..2 * t).map(|at| at % 3 != 1 && at < t + 2).collect::<Vec<bool>>())] {
            for causal in [false, true] {
                let (how, flags) = (Attention { heads, causal }, present.as_deref());
                let seen =
                    |i, query, key| (!causal || key <= query) && flags.is_none_or(|flags: &[bool]| flags[i * t + key]);
                let hidden = flags.map(Present::from);
                let (y, kept) = attention(&x, how, hidden.as_ref());
                let dx = attention_backward(&dy, &x, &kept, how, hidden.as_ref());
                check(|x| attend(x, t, heads, seen), &x, &y, &dy, &dx);
            }
        }
    }
}

#[test]
fn group_norms() {
    let shape = [2, 6, 2, 3];
    for (groups, rectified) in [(1, false), (2, false), (6, false), (2, true), (6, true)] {
        let (x, dy) = (numbers(&shape, 1), numbers(&shape, 2));
        let (gamma, beta) = (numbers(&[6], 3), numbers(&[6], 4));
        let (gf, bf) = (wide(&gamma), wide(&beta));
        let f = |x: &[f64]| {
            let normalised = normalise(x, 36 / groups);
            let scaled = normalised.iter().enumerate().map(|(i, x)| x * gf[i / 6 % 6] + bf[i / 6 % 6]);
            scaled.map(|y| if rectified { y.max(0.0) } else { y }).collect()
        };
        let (y, kept) = group_norm(&x, groups, &gamma, &beta, 1e-5, rectified);
        check(f, &x, &y, &dy, &group_norm_backward(dy.clone(), &gamma, &beta, &kept, rectified).0);
    }
}

#[test]
fn losses() {
    let (x, ones) = (numbers(&[4, 5], 1), Tensor::new([4], vec![1.0; 4]));
    let targets =
        Tensor::new([4, 5], wide(&numbers(&[4, 5], 2)).iter().map(|t| (t / 2.0 + 0.5) as f32).collect::<Vec<_>>());
    let (labels, t) = ([0u32, 4, 2, 2], wide(&targets));
    let rows =
        |f: &dyn Fn(usize, &[f64]) -> f64, x: &[f64]| x.chunks(5).enumerate().map(|(i, x)| f(i, x)).collect::<Vec<_>>();
    let run = |f: &dyn Fn(usize, &[f64]) -> f64, (losses, dx): (Tensor, Tensor)| {
        check(|x| rows(f, x), &x, &losses, &ones, &dx);
    };
    let softmax = |i: usize, x: &[f64]| x.iter().map(|x| x.exp()).sum::<f64>().ln() - x[labels[i] as usize];
    run(&softmax, cross_entropy(x.clone(), &labels));
    let mean = |f: fn(f64, f64) -> f64, i: usize, x: &[f64]| (0..5).map(|j| f(x[j], t[i * 5 + j])).sum::<f64>() / 5.0;
    run(&|i, x| mean(|x, t| (1.0 + x.exp()).ln() - t * x, i, x), sigmoid_cross_entropy(&x, &targets));
    run(&|i, x| mean(|x, t| (x - t).powi(2), i, x), mean_squared_error(&x, &targets));
}

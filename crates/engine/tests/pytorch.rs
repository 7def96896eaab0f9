//! Every operation against PyTorch: outputs, input gradients, per-example parameter gradients.
//!
//! The vectors come from `vectors/make.py`.

use std::collections::BTreeMap;

use engine::op::per_example::{Left, product_rows, scatter_rows, tied_norms};
use engine::op::*;
use engine::{Tensor, Window};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    op: String,
    config: Config,
    tensors: BTreeMap<String, Packed>,
    indices: BTreeMap<String, Vec<u32>>,
}

#[derive(Deserialize)]
struct Packed {
    shape: Vec<usize>,
    data: Vec<f32>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    eps: f32,
    groups: usize,
    heads: usize,
    causal: bool,
}

impl Case {
    fn maybe(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(name).map(|t| Tensor::new(t.shape.clone(), t.data.clone()))
    }

    fn get(&self, name: &str) -> Tensor {
        self.maybe(name).unwrap_or_else(|| panic!("{} has no {name}", self.op))
    }

    fn window(&self) -> Window {
        Window { kernel: self.config.kernel, stride: self.config.stride, padding: self.config.padding }
    }

    /// `got` equals the named tensor to 1e-5 of its largest element.
    fn is(&self, name: &str, got: &Tensor) {
        let want = self.get(name);
        assert_eq!(got.shape(), want.shape(), "{} {name}", self.op);
        let scale = want.data().iter().fold(1e-3f32, |top, v| top.max(v.abs()));
        for (g, w) in got.data().iter().zip(want.data()) {
            assert!((g - w).abs() <= 1e-5 * scale, "{} {name}: {g} is not {w}", self.op);
        }
    }

    /// The bias rows, if there is a bias.
    fn bias(&self, rows: Tensor) {
        if self.maybe("b").is_some() {
            self.is("grad_b", &rows);
        }
    }
}

fn run(case: &Case) {
    match case.op.as_str() {
        "linear" => check_linear(case),
        "conv2d" => check_conv2d(case),
        "relu" | "tanh" | "gelu_erf" | "gelu_tanh" | "silu" => check_activation(case),
        "max_pool2d" | "avg_pool2d" => check_pool(case),
        "layer_norm" => check_layer_norm(case),
        "rms_norm" => check_rms_norm(case),
        "attention" => check_attention(case),
        "standardise" => check_standardise(case),
        "tied" => check_tied(case),
        "group_norm" => check_group_norm(case),
        "embedding" => check_embedding(case),
        _ => check_loss(case),
    }
}

fn check_linear(case: &Case) {
    let [x, w, dy] = ["x", "w", "dy"].map(|name| case.get(name));
    case.is("y", &linear(&x, &w, case.maybe("b").as_ref()));
    case.is("dx", &linear_backward(&dy, &w));
    case.is("grad_w", &product_rows(Left::Rows { a: &x }, &dy));
    case.bias(bias_rows_last(&dy));
}

fn check_conv2d(case: &Case) {
    let ([x, w, dy], window) = (["x", "w", "dy"].map(|name| case.get(name)), case.window());
    case.is("y", &conv2d(&x, &w, case.maybe("b").as_ref(), window));
    case.is("dx", &conv2d_backward(&dy, &w, x.shape(), window));
    case.is("grad_w", &product_rows(Left::Patches { x: &x, window }, &dy));
    case.bias(bias_rows_channels(&dy));
}

fn check_activation(case: &Case) {
    let (x, dy) = (case.get("x"), case.get("dy"));
    let (y, dx) = match case.op.as_str() {
        "relu" => (relu(x.clone()), relu_backward(&relu(x), dy)),
        "tanh" => (tanh(x.clone()), tanh_backward(&tanh(x), dy)),
        "silu" => (silu(&x), silu_backward(&x, dy)),
        "gelu_erf" => (gelu(&x, Approximation::Erf), gelu_backward(&x, dy, Approximation::Erf)),
        _ => (gelu(&x, Approximation::Tanh), gelu_backward(&x, dy, Approximation::Tanh)),
    };
    case.is("y", &y);
    case.is("dx", &dx);
}

fn check_pool(case: &Case) {
    let (x, dy, window) = (case.get("x"), case.get("dy"), case.window());
    if case.op == "avg_pool2d" {
        case.is("y", &avg_pool2d(&x, window));
        return case.is("dx", &avg_pool2d_backward(&dy, x.shape(), window));
    }
    let (y, argmax) = max_pool2d(&x, window);
    case.is("y", &y);
    case.is("y", &max_pool2d_only(&x, window));
    assert_eq!(argmax[..], case.indices["argmax"], "{window:?}");
    case.is("dx", &max_pool2d_backward(&dy, &argmax, x.shape(), window));
}

fn check_layer_norm(case: &Case) {
    let [x, gamma, beta, dy] = ["x", "gamma", "beta", "dy"].map(|name| case.get(name));
    let (y, kept) = layer_norm(&x, &gamma, &beta, case.config.eps);
    case.is("y", &y);
    case.is("dx", &layer_norm_backward(&dy, &gamma, &kept));
    let (gamma_rows, beta_rows) = layer_norm_rows(&dy, &kept.xhat);
    case.is("grad_gamma", &gamma_rows);
    case.is("grad_beta", &beta_rows);
}

fn check_rms_norm(case: &Case) {
    let [x, gamma, dy] = ["x", "gamma", "dy"].map(|name| case.get(name));
    let (y, kept) = rms_norm(&x, &gamma, case.config.eps);
    case.is("y", &y);
    case.is("dx", &rms_norm_backward(&dy, &gamma, &kept));
    case.is("grad_gamma", &rms_norm_rows(&dy, &kept.xhat));
}

fn check_attention(case: &Case) {
    let (qkv, dy) = (case.get("x"), case.get("dy"));
    let how = Attention { heads: case.config.heads, causal: case.config.causal };
    let flags: Vec<bool> = case.indices["present"].iter().map(|&flag| flag == 1).collect();
    let all = flags.iter().all(|&flag| flag);
    for present in [Some(&Present::from(flags)), None].into_iter().take(1 + usize::from(all)) {
        let (y, kept) = attention(&qkv, how, present);
        case.is("y", &y);
        case.is("dx", &attention_backward(&dy, &qkv, &kept, how, present));
    }
}

fn check_standardise(case: &Case) {
    let ([x, w, gain, dy], eps) = (["x", "w", "gain", "dy"].map(|name| case.get(name)), case.config.eps);
    let (scaled, kept) = standardise(&w, &gain, eps);
    case.is("y", &linear(&x, &scaled, None));
    case.is("dx", &linear_backward(&dy, &scaled));
    let mut rows = product_rows(Left::Rows { a: &x }, &dy);
    let len = rows.row_len();
    let by_gain = rows.data_mut().chunks_exact_mut(len).flat_map(|g| standardise_gradient(g, &gain, &kept, eps));
    case.is("grad_gain", &Tensor::new([x.rows(), gain.len()], by_gain.collect::<Vec<_>>()));
    case.is("grad_w", &rows);
}

fn check_tied(case: &Case) {
    let [e, h, r] = ["e", "h", "r"].map(|name| case.get(name));
    // Not below, and above by no more than rounding may add.
    for (norm, want) in tied_norms(&case.indices["ids"], &e, &h, &r).iter().zip(case.get("norms").data()) {
        let want = f64::from(*want);
        assert!(*norm >= want * (1.0 - 1e-6) && *norm <= want * (1.0 + 1e-3), "{norm}, {want}");
    }
}

fn check_group_norm(case: &Case) {
    let [x, gamma, beta, dy] = ["x", "gamma", "beta", "dy"].map(|name| case.get(name));
    let (y, kept) = group_norm(&x, case.config.groups, &gamma, &beta, case.config.eps, false);
    case.is("y", &y);
    let (dx, gamma_rows, beta_rows) = group_norm_backward(dy, &gamma, &beta, &kept, false);
    case.is("dx", &dx);
    case.is("grad_gamma", &gamma_rows);
    case.is("grad_beta", &beta_rows);
}

fn check_embedding(case: &Case) {
    let (table, dy, ids) = (case.get("table"), case.get("dy"), &case.indices["ids"]);
    case.is("y", &embedding(ids, &dy.shape()[..2], &table));
    case.is("grad_table", &scatter_rows(ids, &dy, table.rows()));
}

fn check_loss(case: &Case) {
    let x = case.get("x");
    let (losses, dx) = match case.op.as_str() {
        "cross_entropy" => cross_entropy(x.clone(), &case.indices["labels"]),
        "token_cross_entropy" => token_cross_entropy(x.clone(), &case.indices["labels"]),
        "sigmoid_cross_entropy" => sigmoid_cross_entropy(&x, &case.get("targets")),
        "mean_squared_error" => mean_squared_error(&x, &case.get("targets")),
        other => panic!("no operation {other}"),
    };
    case.is("losses", &losses);
    case.is("dx", &dx);
}

#[test]
fn agrees_with_pytorch() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("vectors/vectors.json")).unwrap();
    assert!(cases.len() >= 57);
    cases.iter().for_each(run);
}

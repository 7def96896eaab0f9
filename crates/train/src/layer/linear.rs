//! Fully connected layer, PyTorch's `nn.Linear`.
use super::{Build, Init, Keep, Layer, Parameter, ShapeError, View, shape};
use crate::tap::{Factor, Product, Rows, Squares, Taps};
use engine::{
    Tensor,
    op::{self, Activation},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

fn yes() -> bool {
    true
}

/// `{ layer = "linear", features = 32, bias = true }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Size of the output.
    pub features: usize,
    /// Whether a bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
}

struct Built {
    inputs: usize,
    features: usize,
    bias: bool,
    output: Vec<usize>,
    activation: Option<Activation>,
}

impl Build for Linear {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let inputs = shape::last("linear", input)?;
        let features = shape::positive("linear", "features", self.features)?;
        let output = [&input[..input.len() - 1], &[features]].concat();
        Ok(Box::new(Built { inputs, features, bias: self.bias, output, activation: None }))
    }
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        let init = Init::pytorch(self.inputs);
        let weight = Parameter::new("weight", [self.features, self.inputs], init);
        let bias = self.bias.then(|| Parameter::new("bias", [self.features], init));
        std::iter::once(weight).chain(bias).collect()
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn absorb(&mut self, activation: Activation) -> bool {
        let free = self.activation.is_none();
        self.activation = self.activation.or(Some(activation));
        free
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let y = op::linear_then(&x, w.get(0), self.bias.then(|| w.get(1)), self.activation);
        keep.push(|| input(w, 0, x));
        if self.activation.is_some() {
            keep.push(|| y.clone());
        }
        y
    }
    fn forward_onto(&self, w: View, x: Tensor, sum: &Tensor, keep: &mut Keep) -> Tensor {
        if self.activation.is_some() {
            return op::add(self.forward(w, x, keep), sum);
        }
        let y = op::linear_onto(&x, w.get(0), self.bias.then(|| w.get(1)), sum);
        keep.push(|| input(w, 0, x));
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let (dy, squares) = match self.activation {
            Some(activation) => taps.slope(activation, &keep.pop(), dy),
            None => (dy, Squares::default()),
        };
        let x: Option<Tensor> = keep.pop();
        let dx = if taps.input_wanted { op::linear_backward(&dy, w.get(0)) } else { Tensor::zeros([dy.rows(), 0]) };
        let bias = if self.bias { w.id(1) } else { None };
        leave_measured(taps, w.id(0), bias, x, (dy, squares));
        dx
    }
}

/// What is kept of a map's input for backward: all of it, or, where the map's matrix (the layer's `k`-th parameter) is frozen, nothing.
pub(super) fn input(w: View, k: usize, x: Tensor) -> Option<Tensor> {
    w.id(k).is_some().then_some(x)
}

/// Leaves the taps of an affine map of the last axis: inputs `x` `[n, .., i]`, if they were kept, gradients of its outputs `dy` `[n, .., o]`.
pub(super) fn leave(taps: &mut Taps, weight: Option<usize>, bias: Option<usize>, x: Option<Tensor>, dy: Tensor) {
    leave_measured(taps, weight, bias, x, (dy, Squares::default()));
}

/// As [`leave`], where the squared norms of the rows of `dy` may be known.
fn leave_measured(
    taps: &mut Taps,
    weight: Option<usize>,
    bias: Option<usize>,
    x: Option<Tensor>,
    (dy, squares): (Tensor, Squares),
) {
    let (n, outputs) = (dy.rows(), dy.shape().last().copied().unwrap_or(1));
    let steps = dy.shape()[1..dy.shape().len() - 1].iter().product::<usize>();
    let of_x = x.as_ref().map(|x| taps.squares_of_input(x)).unwrap_or_default();
    let b = Arc::new(dy.reshape([n, steps, outputs]));
    match bias {
        Some(bias) if steps == 1 => taps.leave(bias, || Rows::shared(b.clone(), squares.clone())),
        Some(bias) => {
            let rows = taps.sums_over_positions(&b);
            taps.leave(bias, || Rows::new(rows));
        }
        None => {}
    }
    let Some(x) = x else { return };
    let inputs = x.shape().last().copied().unwrap_or(1);
    let a = x.reshape([n, steps, inputs]);
    taps.leave(weight, || match bias {
        Some(_) if steps == 1 => Product::of_one_position(a, b, [of_x, squares]),
        _ => Product::new(Factor::Rows(a), b),
    });
}

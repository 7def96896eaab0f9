//! A residual connection: what some layers make of their input, added to it (He et al. 2016, arXiv 1512.03385).
use super::{Build, Keep, Layer, LayerConfig, Parameter, ShapeError, View};
use crate::{model::Sequential, tap::Taps};
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// `{ layer = "residual", layers = [...], shortcut = [...] }`; without `shortcut` the input itself is added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// The layers.
    pub layers: Vec<LayerConfig>,
    /// What the input goes through on the other way, such as a 1 x 1 convolution; by default nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortcut: Vec<LayerConfig>,
}

impl Build for Residual {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let inside = Sequential::build("residual.layers", input, &self.layers)?;
        let shortcut = Sequential::build("residual.shortcut", input, &self.shortcut)?;
        Ok(Box::new(Sum::new(inside, shortcut)?))
    }
}

/// `inside(x) + shortcut(x)`. The inside's parameters keep their names; the shortcut's get `shortcut.` in front.
pub(super) struct Sum {
    inside: Sequential,
    shortcut: Sequential,
    split: usize,
}

impl Sum {
    pub(super) fn new(inside: Sequential, shortcut: Sequential) -> Result<Self, ShapeError> {
        let (a, b) = (inside.output(), shortcut.output());
        if a != b {
            return Err(ShapeError(format!("residual: its layers put out {a:?}, but what is added has {b:?}")));
        }
        let split = inside.parameters().len();
        Ok(Sum { inside, shortcut, split })
    }
    fn parts<'a>(&self, w: View<'a>) -> (View<'a>, View<'a>) {
        (w.part(0..self.split), w.part(self.split..w.len()))
    }
}

impl Layer for Sum {
    fn parameters(&self) -> Vec<Parameter> {
        let short = self.shortcut.parameters().into_iter();
        let short = short.map(|p| Parameter { name: format!("shortcut.{}", p.name), ..p });
        self.inside.parameters().into_iter().chain(short).collect()
    }
    fn output(&self) -> &[usize] {
        self.inside.output()
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (inside, shortcut) = self.parts(w);
        if self.shortcut.is_empty() {
            return self.inside.forward_onto(inside, x.clone(), &x, keep);
        }
        let y = self.inside.forward(inside, x.clone(), keep);
        op::add(y, &self.shortcut.forward(shortcut, x, keep))
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let (inside, shortcut) = self.parts(w);
        if self.shortcut.is_empty() && taps.input_wanted {
            return self.inside.backward_onto(inside, keep, dy.clone(), &dy, taps);
        }
        // The shortcut runs whole even where its result is not wanted: what lies under it on the stack is the inside's.
        let wanted = std::mem::replace(&mut taps.input_wanted, true);
        let short = self.shortcut.backward(shortcut, keep, dy.clone(), taps);
        taps.input_wanted = wanted;
        let dx = self.inside.backward(inside, keep, dy, taps);
        if wanted { op::add(dx, &short) } else { dx }
    }
}

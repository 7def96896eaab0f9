//! Shapes of one example, and what can be wrong with them.
use engine::Window;
use serde::{Deserialize, Serialize};

/// A layer that does not fit its input.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct ShapeError(pub String);

/// One number for both axes (`kernel = 3`) or one each (`kernel = [3, 5]`: height, width).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pair {
    /// The same on both axes.
    Both(usize),
    /// Height, width.
    Each([usize; 2]),
}

impl Pair {
    /// Height, width.
    pub fn get(self) -> [usize; 2] {
        match self {
            Pair::Both(k) => [k, k],
            Pair::Each(k) => k,
        }
    }
}

/// `[channels, height, width]`, or an error that says what came instead.
pub(crate) fn image(layer: &str, input: &[usize]) -> Result<[usize; 3], ShapeError> {
    input.try_into().map_err(|_| {
        ShapeError(format!("{layer} takes examples of shape [channels, height, width], but its input is {input:?}"))
    })
}

/// The last axis, or an error.
pub(crate) fn last(layer: &str, input: &[usize]) -> Result<usize, ShapeError> {
    match input.last() {
        Some(&d) if d > 0 => Ok(d),
        _ => Err(ShapeError(format!("{layer} takes examples with at least one axis, but its input is {input:?}"))),
    }
}

/// The height and width that sliding `window` over `input` gives, or an error.
pub(crate) fn slide(layer: &str, input: [usize; 3], window: Window) -> Result<[usize; 2], ShapeError> {
    if window.kernel.contains(&0) || window.stride.contains(&0) {
        return Err(ShapeError(format!("{layer}: kernel and stride are at least 1")));
    }
    window.output(input[1], input[2]).map(|(h, w)| [h, w]).ok_or_else(|| {
        let [h, w] = [input[1], input[2]];
        ShapeError(format!(
            "{layer}: a kernel of {:?} with padding {:?} does not fit an image of {h} x {w}",
            window.kernel, window.padding
        ))
    })
}

/// A field that counts something is at least 1.
pub(crate) fn positive(layer: &str, field: &str, value: usize) -> Result<usize, ShapeError> {
    if value == 0 { Err(ShapeError(format!("{layer}: {field} is at least 1"))) } else { Ok(value) }
}

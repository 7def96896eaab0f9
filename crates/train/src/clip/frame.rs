//! Frames: the coordinates in which gradients are clipped and noised, built from released and public numbers alone.
//!
//! # Why this is private
//! *Claim.* Clipping in a frame bounds what one example moves the framed sum by, whatever numbers the frame is made of.
//! *Argument.* A frame is data (released or public), not code: what is done with it is written here, once. It maps each
//! example's gradient by itself, before anything is measured; norms, caps, sums and noise all live in its coordinates. The
//! way back is post-processing of the released sum.
//! *Tests.* `frames_are_the_definition`, and `clip/conformance.rs` for every rule with a frame.
use crate::{
    grads::{Grads, Layout},
    layer::{Init, Parameter},
    tap::{Scaling, Taps},
};
use engine::Tensor;
use privacy::Stream;
use rayon::prelude::*;
use std::sync::Arc;

/// The coordinates in which gradients are measured, summed and noised.
pub enum Frame {
    /// Each number shifted and scaled: `scale * (g - shift)`. A scale of 0 leaves a coordinate out.
    Scale(Arc<Scaling>),
    /// A few directions: `<u_j, g - shift>` for each of `into`; and back, `sum_j x_j v_j + shift` for each of `back`.
    Project(Projection),
    /// What lies along a direction of length one as a number of its own, times `scale`, after what is left without it.
    Apart {
        /// The direction.
        direction: Grads,
        /// What its number is multiplied with.
        scale: f64,
    },
    /// Each example's gradient with noise of its own, which buys no privacy: `g + by * zeta`.
    Shake {
        /// Standard deviation of each coordinate.
        by: f64,
        /// Where the noise comes from: element `i` of example `n` is number `n * parameters + i`.
        stream: Stream,
    },
}

/// Few directions instead of many coordinates.
pub struct Projection {
    into: Vec<Grads>,
    back: Vec<Grads>,
    shift: Option<Grads>,
    layout: Arc<Layout>,
}

impl Projection {
    /// From directions and the way back, one for each.
    ///
    /// # Panics
    /// If there are not as many ways back as directions.
    pub fn new(into: Vec<Grads>, back: Vec<Grads>, shift: Option<Grads>) -> Self {
        assert_eq!(into.len(), back.len(), "one way back for each direction");
        let layout = Layout::new(vec![Parameter::new("coordinates", [into.len()], Init::Constant(0.0))]);
        Projection { into, back, shift, layout }
    }

    /// `[n, k]`: each example's coordinates.
    fn enter(&self, taps: &Taps) -> Tensor {
        let (n, k) = (taps.len(), self.into.len());
        let mut out = taps.dots(&self.into);
        if let Some(shift) = &self.shift {
            let constant: Vec<f64> = self.into.iter().map(|u| dot(shift.flat(), u.flat())).collect();
            out.chunks_mut(k.max(1)).for_each(|row| row.iter_mut().zip(&constant).for_each(|(x, c)| *x -= c));
        }
        Tensor::new([n, k], out.into_iter().map(|x| x as f32).collect())
    }

    fn leave(&self, mean: &Grads, model: &Arc<Layout>) -> Grads {
        let mut out = self.shift.clone().unwrap_or_else(|| Grads::zeros(model));
        for (x, direction) in mean.flat().iter().zip(&self.back) {
            out.zip_with(direction, |o, v| *o += x * v);
        }
        out
    }
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

impl Frame {
    /// Coordinates times `scale`, after `shift` was subtracted.
    pub fn scale(scale: Grads, shift: Option<Grads>) -> Frame {
        Frame::Scale(Arc::new(Scaling::new(scale, shift)))
    }

    /// Where framed sums live, for a model of this layout.
    pub fn layout(&self, model: &Arc<Layout>) -> Arc<Layout> {
        match self {
            Frame::Project(projection) => projection.layout.clone(),
            Frame::Apart { .. } => apart(model),
            Frame::Scale(_) | Frame::Shake { .. } => model.clone(),
        }
    }

    /// Each example's gradient in these coordinates.
    ///
    /// # Panics
    /// If the frame is of another layout than the gradients: stretches of one example would be taken for the next one's.
    pub(super) fn enter(&self, taps: Taps) -> Taps {
        let own = match self {
            Frame::Scale(scaling) => Some(scaling.scale().layout()),
            Frame::Apart { direction, .. } => Some(direction.layout()),
            Frame::Project(_) | Frame::Shake { .. } => None,
        };
        assert!(own.is_none_or(|own| own.same_ranges(taps.layout())), "a frame of another layout than the model's");
        match self {
            Frame::Scale(scaling) => taps.scaled(scaling),
            Frame::Project(projection) => {
                let rows = projection.enter(&taps);
                taps.with_rows(&projection.layout, vec![rows])
            }
            Frame::Apart { direction, scale } => split(taps, direction, *scale),
            Frame::Shake { by, stream } => shaken(taps, *by as f32, stream),
        }
    }

    /// A released mean, back in the model's coordinates.
    pub(super) fn leave(&self, mean: Grads, model: &Arc<Layout>) -> Grads {
        match self {
            Frame::Scale(scaling) => scaling.leave(mean),
            Frame::Project(projection) => projection.leave(&mean, model),
            Frame::Apart { direction, scale } => rejoin(&mean, direction, *scale, model),
            Frame::Shake { .. } => mean,
        }
    }
}

/// A model's parameters in one group, and the number along a direction in another.
fn apart(model: &Layout) -> Arc<Layout> {
    let rest = |p: &Parameter| Parameter::new(&format!("rest.{}", p.name.replace('.', "/")), p.shape.clone(), p.init);
    let common = Parameter::new("common.number", [1], Init::Constant(0.0));
    let all = model.parameters().iter().map(rest).chain([common]).collect();
    if model.is_empty() { Layout::new(all).hollow() } else { Layout::new(all) }
}

fn split(taps: Taps, direction: &Grads, scale: f64) -> Taps {
    let (along, mut rows, layout) = (taps.dot(direction), taps.rows(), apart(taps.layout()));
    for (p, rows) in rows.iter_mut().enumerate() {
        let v = direction.parameter(p);
        rows.data_mut().par_chunks_mut(v.len().max(1)).zip(&along).for_each(|(row, by)| {
            row.iter_mut().zip(v).for_each(|(g, v)| *g = (f64::from(*g) - by * f64::from(*v)) as f32);
        });
    }
    rows.push(Tensor::new([along.len(), 1], along.into_iter().map(|x| (scale * x) as f32).collect()));
    taps.with_rows(&layout, rows)
}

/// The way back; what noise put along the direction into the rest is dropped.
fn rejoin(mean: &Grads, direction: &Grads, scale: f64, model: &Arc<Layout>) -> Grads {
    let (rest, common) = mean.flat().split_at(model.len());
    let mut out = Grads::new(model, rest.to_vec());
    let by = common.first().map_or(0.0, |p| f64::from(*p) / scale) - dot(rest, direction.flat());
    out.zip_with(direction, |o, v| *o = (f64::from(*o) + by * f64::from(v)) as f32);
    out
}

/// Each gradient plus `by` times normals that belong to its example's number alone.
fn shaken(taps: Taps, by: f32, stream: &Stream) -> Taps {
    let (mut rows, layout, who) = (taps.rows(), taps.layout().clone(), taps.who.clone());
    for (p, rows) in rows.iter_mut().enumerate() {
        let (width, from) = (layout.range(p).len(), layout.range(p).start as u64);
        if width == 0 {
            continue;
        }
        rows.data_mut().par_chunks_mut(width).zip(&who).for_each(|(row, who)| {
            let mut noise = vec![0.0; width];
            stream.fill_normal((*who as u64).wrapping_mul(layout.len() as u64).wrapping_add(from), &mut noise);
            row.iter_mut().zip(noise).for_each(|(x, z)| *x += by * z);
        });
    }
    taps.with_rows(&layout, rows)
}

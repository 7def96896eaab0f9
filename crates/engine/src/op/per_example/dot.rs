//! Products of every example's gradient with a direction.

use rayon::prelude::*;

use super::factors::{Factors, Left, buffers};
use super::{gpu, inner};
use crate::memory::Scratch;
use crate::{Mat, Part, Tensor, Threads, product};

/// Rows of linear examples that are multiplied together.
const ROWS: usize = 256;

/// `<G_i, v>` for every example, as `sum_t b_it^T V a_it`, without forming any `G_i`; `v` is `[p d]`.
///
/// # Panics
/// If the factors do not fit each other or `v` has another length.
#[must_use]
pub fn product_dot<'a>(left: Left, b: &Tensor, v: impl Into<Part<'a>>) -> Vec<f64> {
    let (factors, v) = (Factors::new(left, b), v.into());
    assert!(v.len() == factors.size(), "a direction of {} elements for {}", v.len(), factors.size());
    if let Some(gpu) = b.gpu() {
        return gpu::dots(gpu, &factors, v);
    }
    let v = v.host();
    match factors.unfolding {
        None => of_rows(&factors, v),
        Some(_) => of_patches(&factors, v),
    }
}

fn of_patches(factors: &Factors, v: &[f32]) -> Vec<f64> {
    let &Factors { n, t, d, p, .. } = factors;
    let examples = (0..n).into_par_iter();
    let scratch = || (buffers(), Scratch::new());
    let dots = examples.map_init(scratch, |(buffers, image), i| {
        let (a, b) = factors.example(i, buffers);
        let image = image.of(p * t);
        product(image, Mat::new(v, p, d), a, false, Threads::One);
        inner(image, b.data)
    });
    dots.collect()
}

/// Groups of examples, so that an example of one row does not become a product of one row.
fn of_rows(factors: &Factors, v: &[f32]) -> Vec<f64> {
    let &Factors { n, t, d, p, a, b, .. } = factors;
    let group = (ROWS / t.max(1)).max(1);
    let mut dots = vec![0.0; n];
    dots.par_chunks_mut(group).enumerate().for_each_init(Scratch::new, |image, (index, dots)| {
        let (from, rows) = (index * group * t, dots.len() * t);
        let image = image.of(rows * p);
        let a = Mat::new(&a.data()[from * d..], rows, d);
        product(image, a, Mat::new(v, p, d).t(), false, Threads::One);
        let b = &b.data()[from * p..];
        for (i, dot) in dots.iter_mut().enumerate() {
            let example = i * t * p..(i + 1) * t * p;
            *dot = inner(&image[example.clone()], &b[example]);
        }
    });
    dots
}

//! Points in parameter space.
use super::*;
use crate::layer::Init;
use privacy::Sum;

fn grads(numbers: &[f32]) -> Grads {
    Grads::new(&Layout::new(vec![Parameter::new("w", [numbers.len()], Init::Constant(0.0))]), numbers.to_vec())
}

/// A scale that is only remembered is seen by whoever looks, and multiplied in once by whoever changes numbers.
#[test]
fn a_remembered_scale_is_never_lost_nor_taken_twice() {
    let halved = || grads(&[2.0, -4.0]).times(0.25).scale(2.0);
    assert_eq!(halved().flat(), [1.0, -2.0]);
    assert_eq!((halved().parameter(0), halved().to_vec()), (&[1.0, -2.0][..], vec![1.0, -2.0]));
    assert_eq!((halved().tensor().data(), halved().part(0).to_vec()), (&[1.0, -2.0][..], vec![1.0, -2.0]));
    assert_eq!((halved().norm(), halved().clone().scale(-2.0).norm()), (5f64.sqrt(), 20f64.sqrt()));
    let change = |f: &dyn Fn(&mut Grads)| {
        let mut g = halved();
        let _ = g.flat();
        f(&mut g);
        (g.flat().to_vec(), g.factors().1)
    };
    assert_eq!(change(&|g| g.flat_mut()[0] += 1.0), (vec![2.0, -2.0], 1.0));
    assert_eq!(change(&|g| g.parameter_mut(0)[1] = 7.0), (vec![1.0, 7.0], 1.0));
    assert_eq!(change(&|g| g.for_each(|x| *x += 1.0)), (vec![2.0, -1.0], 1.0));
    assert_eq!(change(&|g| g.zip_with(&halved(), |a, b| *a += b)), (vec![2.0, -4.0], 1.0));
    assert_eq!(change(&|g| g.blend(&halved(), 3.0, 1.0)), (vec![4.0, -8.0], 1.0));
    assert_eq!(change(&|g| g.blend_square(&halved(), 3.0, 1.0)), (vec![4.0, -2.0], 1.0));
    assert_eq!(halved().add(halved()).flat(), [2.0, -4.0]);
    assert_eq!(halved().add_scaled(halved(), 3.0).flat(), [4.0, -8.0]);
    let (m, v) = (halved(), halved().times(-8.0).add(grads(&[12.0, 0.0])));
    assert_eq!(halved().adam_step(&m, &v, 1.0, 1.0, 0.0).flat(), [-0.5, 0.5]);
}

/// The deviation that a GPU is told is never below the one that was charged, and next to it.
#[test]
fn deviations_are_not_rounded_down() {
    for by in [1.0, 0.1, 1.1 * 0.7, 1e-7, 2.0 / 3.0, f64::from(f32::MAX) * 0.3, 0.0, 5e-42] {
        let told = f64::from(at_least(by));
        assert!((by..=by * (1.0 + 2f64.powi(-22)) + 1e-44).contains(&told), "{by:e}: {told:e}");
    }
}

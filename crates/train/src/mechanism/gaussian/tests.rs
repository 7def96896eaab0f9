//! The noise, and the door that makes it on its way.
use super::*;
use crate::{
    grads::Layout,
    layer::{Init, Parameter},
};
use privacy::{Key, Ledger, Neighbouring, Poisson, Purpose, Sampler, Secret, Sum};

/// White noise that the door makes on its way is, bit for bit, the unit noise that the mechanism makes by itself.
#[test]
fn the_door_adds_the_mechanisms_noise() {
    let layout = Layout::new(vec![Parameter::new("w", [2 * BLOCK + 77], Init::Constant(0.0))]);
    let (key, z, bound) = (Key::from_seed(1), 1.5, 0.25);
    let sum = || Grads::new(&layout, (0..layout.len()).map(|i| (i % 1000) as f32 / 7.0).collect()).times(0.5);
    let draw = Poisson::new(10, 0.5, Key::from_seed(1)).unwrap().draw(3);
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let released = ledger.open(&draw).release(Secret::new(sum()).vouch(bound), &mut *Gaussian::independent(z));
    let unit = Gaussian::independent(z).unit(&Source::first(&key, 3), Grads::zeros(&layout));
    let want = sum().add_scaled(unit, z * bound);
    assert_eq!(released.unwrap().get().flat(), want.flat());
    let moved = want.flat().iter().zip(sum().flat()).filter(|(a, b)| a != b).count();
    assert!(moved > layout.len() * 99 / 100, "{moved} of {} were moved", layout.len());
}

#[test]
fn noise_does_not_depend_on_threads() {
    let layout = Layout::new(vec![Parameter::new("w", [3 * BLOCK + 77], Init::Constant(0.0))]);
    let key = Key::from_seed(1);
    let (source, stream) = (Source::first(&key, 3), key.stream(Purpose::Noise, 3, 0));
    let draw = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut gaussian = Independent { noise_multiplier: 1.0 };
        pool.install(|| gaussian.unit(&source, Grads::zeros(&layout)))
    };
    let (one, many) = (draw(1), draw(4));
    assert_eq!(one.flat(), many.flat());
    for i in [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 76] {
        let mut element = [0.0];
        stream.fill_normal(i as u64, &mut element);
        assert_eq!(one.flat()[i..=i], element, "number {i} is element {i} of the stream");
    }
}

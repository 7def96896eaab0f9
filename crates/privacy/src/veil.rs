//! Numbers behind their noise: they are read with it, or not at all.
//!
//! White noise is a function of its place, so it need not be added where it was charged. A sum of millions of numbers goes
//! through memory once if noise is added to the stretch that somebody is just reading, and three times if it is added before.
//!
//! # Why this is private
//!
//! Claim: whoever has a [`Veiled`] can find out no more than whoever has the same numbers with the noise added.
//!
//! Argument: a [`Veil`] is made by the door alone, with the deviation that was charged, and handed to nobody but the sum that it is
//! for. Numbers that it was laid [over](Veil::over) are in a private field, of a type that is neither printed nor copied; few
//! functions touch them: [`Veiled::read`] and [`Veiled::lift`], which add the noise that belongs to the place, [`Veiled::size`], and
//! [`Veiled::walk`] and [`Veiled::lift_there`], which have a device do so by the cipher and the deviation that were charged.
//! Number `i` meets element `i` of the stream wherever stretches begin and however often they are read, so that reading twice shows
//! the same number twice and never the difference of two noises.
//!
//! Not claimed: that the numbers' own type keeps nothing back when it is handed over, offers every stretch once
//! ([`Vector::each`]), and adds the noise that it is lent ([`OnDevice`]). It had the numbers before. Nor that a sum lays its veil over one
//! vector: over two of them it would be the same noise twice, and their difference would have none. What lies beside a vector takes
//! elements of its own ([`Veil::add`]).
//!
//! Checked by: `tests::what_is_read_is_what_is_lifted`, `tests::a_device_is_lent_what_was_charged`, and the `compile_fail` examples of
//! [`Veiled`]; what a device makes of it by the tests of whoever implements [`OnDevice`].

use crate::Stream;
use std::sync::Arc;

/// A long vector of `f32`, whatever holds it.
pub trait Vector {
    /// How many there are.
    fn size(&self) -> usize;
    /// Copies the numbers from `from` on to `out`.
    fn copy(&self, from: usize, out: &mut [f32]);
    /// `f(place, numbers)` for stretches that together are all numbers, each once, in parallel if it likes.
    fn each(&mut self, f: &(dyn Fn(usize, &mut [f32]) + Sync));
}

/// The cipher that noise is made by, and its standard deviation: lent for one pass over the numbers that it is for.
pub struct Lent<'a> {
    /// The key.
    pub key: &'a [u8; 32],
    /// Which stream of the key.
    pub nonce: u64,
    /// Standard deviation.
    pub deviation: f64,
}

/// A long vector on devices that make the noise themselves, where and when the numbers are used.
pub trait OnDevice {
    /// Numbers that a step can be taken from.
    type Ground<'a>;
    /// The same vector, with element `i` of the noise added to number `i`.
    fn noised(self, noise: Lent) -> Self;
    /// Adds `by` times the numbers, each with its noise, to those on the ground.
    fn walk(&self, noise: Lent, ground: Self::Ground<'_>, by: f64);
}

/// The white noise of one release, with the standard deviation that was charged.
pub struct Veil {
    stream: Arc<Stream>,
    deviation: f64,
}

impl Veil {
    pub(crate) fn new(stream: Stream, deviation: f64) -> Self {
        Veil { stream: Arc::new(stream), deviation }
    }

    /// Puts numbers behind the noise, of which number `i` gets element `i`.
    pub fn over<T>(&self, numbers: T) -> Veiled<T> {
        Veiled { numbers, veil: Veil { stream: self.stream.clone(), deviation: self.deviation } }
    }

    /// Adds the noise from element `from` on: for a few numbers beside a long vector, far from the elements that it has.
    pub fn add(&self, from: u64, numbers: &mut [f64]) {
        let mut unit = vec![0.0; numbers.len()];
        self.stream.fill_normal_f64(from, &mut unit);
        numbers.iter_mut().zip(unit).for_each(|(x, z)| *x += z * self.deviation);
    }

    fn lend<R>(&self, to: impl FnOnce(Lent) -> R) -> R {
        self.stream.lend(|key, nonce| to(Lent { key, nonce, deviation: self.deviation }))
    }

    fn add_to(&self, from: usize, numbers: &mut [f32]) {
        self.stream.add_normal(from as u64, self.deviation, numbers);
    }
}

/// Numbers that are read with their noise, or not at all.
///
/// ```compile_fail,E0616
/// fn peek(sum: &privacy::Veiled<impl privacy::Vector>) -> f32 {
///     let mut first = [0.0];
///     sum.numbers.copy(0, &mut first);
///     first[0]
/// }
/// ```
/// ```compile_fail,E0599
/// use privacy::*;
/// fn twice<T: Vector + Clone>(sum: &Veiled<T>) -> Veiled<T> {
///     Veiled::clone(sum)
/// }
/// ```
pub struct Veiled<T> {
    numbers: T,
    veil: Veil,
}

impl<T: Vector> Veiled<T> {
    /// How many numbers there are.
    pub fn size(&self) -> usize {
        self.numbers.size()
    }

    /// The numbers from `from` on, each with its noise, to `out`.
    pub fn read(&self, from: usize, out: &mut [f32]) {
        self.numbers.copy(from, out);
        self.veil.add_to(from, out);
    }

    /// All numbers, with their noise added where they lie.
    pub fn lift(mut self) -> T {
        self.numbers.each(&|from, numbers| self.veil.add_to(from, numbers));
        self.numbers
    }
}

impl<T: OnDevice> Veiled<T> {
    /// All numbers, with their noise added on the device.
    pub fn lift_there(self) -> T {
        let Veiled { numbers, veil } = self;
        veil.lend(|noise| numbers.noised(noise))
    }

    /// Adds `by` times the numbers, each with its noise, to those on the ground. Walking twice is twice the same step.
    pub fn walk(&self, ground: T::Ground<'_>, by: f64) {
        self.veil.lend(|noise| self.numbers.walk(noise, ground, by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Purpose};

    #[derive(Clone)]
    struct Few(Vec<f32>);
    impl Vector for Few {
        fn size(&self) -> usize {
            self.0.len()
        }
        fn copy(&self, from: usize, out: &mut [f32]) {
            out.copy_from_slice(&self.0[from..from + out.len()]);
        }
        fn each(&mut self, f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
            self.0.chunks_mut(100).enumerate().for_each(|(k, block)| f(100 * k, block));
        }
    }

    /// Stretches of any length from any place, read again and again, are those of the whole, and that is the numbers plus the
    /// stream's normals.
    #[test]
    fn what_is_read_is_what_is_lifted() {
        let stream = || Key::from_seed(5).stream(Purpose::Noise, 9, 2);
        let numbers = Few((0..1000).map(|i| i as f32 / 8.0).collect());
        let veil = Veil::new(stream(), 2.5);
        let (veiled, lifted) = (veil.over(numbers.clone()), veil.over(numbers.clone()).lift().0);
        let mut unit = [0.0; 1000];
        stream().fill_normal(0, &mut unit);
        for (i, ((x, y), z)) in numbers.0.iter().zip(&lifted).zip(unit).enumerate() {
            assert_eq!(*y, x + (f64::from(z) * 2.5) as f32, "number {i}");
        }
        for (from, len) in [(0, 1000), (0, 1), (1, 1), (7, 300), (255, 258), (8, 8), (999, 1), (500, 0)] {
            for _ in 0..2 {
                let mut out = vec![f32::NAN; len];
                veiled.read(from, &mut out);
                assert_eq!(out, lifted[from..from + len], "{len} numbers from {from}");
            }
        }
        assert_eq!((veiled.size(), veiled.lift().0), (1000, lifted));
    }

    impl OnDevice for Few {
        type Ground<'a> = &'a mut Vec<f32>;
        fn noised(mut self, noise: Lent) -> Self {
            let stream = Key::from_seed(5).stream(Purpose::Noise, 9, 2);
            stream.lend(|key, nonce| assert!((key, nonce) == (noise.key, noise.nonce), "another stream"));
            stream.add_normal(0, noise.deviation, &mut self.0);
            self
        }
        fn walk(&self, noise: Lent, ground: &mut Vec<f32>, by: f64) {
            let step = self.clone().noised(noise).0;
            ground.iter_mut().zip(step).for_each(|(w, d)| *w += by as f32 * d);
        }
    }

    /// A device gets the stream and the deviation of the host's noise, each time.
    #[test]
    fn a_device_is_lent_what_was_charged() {
        let numbers = Few((0..100).map(|i| i as f32 / 8.0).collect());
        let veil = Veil::new(Key::from_seed(5).stream(Purpose::Noise, 9, 2), 2.5);
        let want = veil.over(numbers.clone()).lift().0;
        let (veiled, mut ground) = (veil.over(numbers.clone()), vec![0.0; 100]);
        veiled.walk(&mut ground, 1.0);
        assert_eq!(ground, want);
        veiled.walk(&mut ground, -1.0);
        assert_eq!(ground, [0.0; 100]);
        assert_eq!(veiled.lift_there().0, want);
    }

    #[test]
    fn a_few_numbers_get_the_elements_that_were_asked_for() {
        let stream = Key::from_seed(5).stream(Purpose::Noise, 9, 2);
        let mut few = [1.0, 2.0, 3.0];
        Veil::new(Key::from_seed(5).stream(Purpose::Noise, 9, 2), 0.5).add(1 << 48, &mut few);
        let want = [0u64, 1, 2].map(|i| (i + 1) as f64 + stream.normal((1 << 48) + i) * 0.5);
        assert_eq!(few, want);
    }
}

//! The three states of a number: secret, bounded, privatized.
//!
//! # Why this is private
//!
//! Claim: a value of type [`Privatized`] is either the output of a noise mechanism whose cost is already in a ledger, or
//! was revealed with an infinite cost in that ledger, or is a function of such values.
//!
//! Argument: the only constructor of `Privatized` outside its own `map` and `zip` is `Privatized::published`, visible to
//! this crate alone, and called in two places: `Round::release` and [`Secret::reveal`]. `map` and `zip` are
//! post-processing, which costs nothing (Dwork & Roth 2014, Proposition 2.1). A [`Secret`] offers no way to look at it,
//! a [`Bounded`] offers only its public bound, and both are consumed when spent.
//!
//! Not claimed: a closure handed to [`Secret::map`] is trusted not to carry the secret out by a side effect, and the
//! number given to [`Secret::vouch`] is the caller's word. Both are few, and greppable.
//!
//! Checked by: the `compile_fail` examples of the crate page, and `tests::a_look_costs_everything` below.

use crate::{Event, Ledger, LedgerError, Veil};

/// What privacy needs to know about a sum: nothing but its vector-space structure.
pub trait Sum {
    /// The sum of two values of one shape.
    fn add(self, other: Self) -> Self;
    /// Every entry times `by`.
    fn scale(self, by: f64) -> Self;
    /// The same shape with nothing in it. It must not depend on the values of `self`.
    fn blank(&self) -> Self;
    /// `self + by * other`, for types that can do it in one go.
    fn add_scaled(self, other: Self, by: f64) -> Self
    where
        Self: Sized,
    {
        self.add(other.scale(by))
    }
    /// The same with white noise, whose elements are in the place of [`Sum::blank`]'s zeros, as a mechanism that
    /// [is white](crate::Mechanism::is_white) makes them: for types that can put themselves [behind](Veil::over) it, and so
    /// add it as they are read. Others are given back as they are.
    ///
    /// # Errors
    /// The sum itself, with nothing added.
    fn veiled(self, veil: &Veil) -> Result<Self, Self>
    where
        Self: Sized,
    {
        let _ = veil;
        Err(self)
    }
}

impl Sum for f64 {
    fn add(self, other: Self) -> Self {
        self + other
    }
    fn scale(self, by: f64) -> Self {
        self * by
    }
    fn blank(&self) -> Self {
        0.0
    }
}

/// Vectors of one length. Adding two of different lengths keeps the tail of the longer: its partner counts as zeros.
impl Sum for Vec<f64> {
    fn add(self, other: Self) -> Self {
        let (mut long, short) = if self.len() < other.len() { (other, self) } else { (self, other) };
        long.iter_mut().zip(short).for_each(|(a, b)| *a += b);
        long
    }
    fn scale(mut self, by: f64) -> Self {
        self.iter_mut().for_each(|x| *x *= by);
        self
    }
    fn blank(&self) -> Self {
        vec![0.0; self.len()]
    }
}

/// Derived from people, with no guarantee. No `Debug`, no `Clone`, no getter.
///
/// There is no way to turn a `Secret<Result<T, E>>` inside out: which error occurred is itself a fact about people.
#[must_use = "a secret that is dropped was computed for nothing"]
pub struct Secret<T> {
    value: T,
}

impl<T> Secret<T> {
    /// Declares a value secret.
    pub fn new(value: T) -> Self {
        Secret { value }
    }

    /// A function of a secret is a secret. The closure must not carry the value out by a side effect.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Secret<U> {
        Secret::new(f(self.value))
    }

    /// A secret reference to the same value, for a function that only reads.
    pub fn as_ref(&self) -> Secret<&T> {
        Secret::new(&self.value)
    }

    /// Two secrets as one.
    pub fn join<U>(self, other: Secret<U>) -> Secret<(T, U)> {
        Secret::new((self.value, other.value))
    }

    /// The caller's word that one example moves this by at most `bound` in L2, whatever the others are.
    ///
    /// Nothing can check it here: every call is a place to audit. The release refuses a bound that is negative or not
    /// finite.
    pub fn vouch(self, bound: f64) -> Bounded<T> {
        Bounded { sum: self.value, bound }
    }

    /// Looks at a secret: allowed, and the ledger says so for ever, at infinite cost.
    ///
    /// This is also how training without privacy works. `what` names what was looked at, for the report.
    ///
    /// # Errors
    /// When the ledger cannot be written; then nothing leaves.
    pub fn reveal(self, ledger: &mut Ledger, what: &str) -> Result<Privatized<T>, LedgerError> {
        ledger.post(Event::Revealed { what: what.to_owned() })?;
        Ok(Privatized::published(self.value))
    }
}

impl<A, B> Secret<(A, B)> {
    /// One secret pair as two secrets.
    pub fn split(self) -> (Secret<A>, Secret<B>) {
        (Secret::new(self.value.0), Secret::new(self.value.1))
    }
}

impl<T> Secret<Option<T>> {
    /// A secret option as an optional secret. That there is one at all becomes public: use it only where presence does
    /// not depend on the data (as in the first round of a loop).
    pub fn transpose(self) -> Option<Secret<T>> {
        self.value.map(Secret::new)
    }
}

impl<T: Sum> Secret<T> {
    /// The sum of two secrets.
    pub fn merge(self, other: Self) -> Self {
        Secret::new(self.value.add(other.value))
    }
}

/// A secret sum that one example moves by at most `bound` in L2.
#[must_use = "a bounded sum is worth something only once released"]
pub struct Bounded<T> {
    sum: T,
    bound: f64,
}

impl<T> Bounded<T> {
    /// How far one example can move this, in L2. Public: it comes from the configuration.
    pub fn bound(&self) -> f64 {
        self.bound
    }

    pub(crate) fn into_parts(self) -> (T, f64) {
        (self.sum, self.bound)
    }
}

impl<T: Sum> Bounded<T> {
    /// Joins partial sums over *disjoint* examples: a microbatch, or another GPU's share.
    ///
    /// One example is in one part only, so it moves the whole by at most the larger bound. Not a number stays so and
    /// is refused at the release.
    pub fn merge(self, other: Self) -> Self {
        let bound = if self.bound >= other.bound || self.bound.is_nan() { self.bound } else { other.bound };
        Bounded { sum: self.sum.add(other.sum), bound }
    }

    /// Adds a *different* function of the same people: the bounds add (triangle inequality).
    pub fn plus(self, other: Self) -> Self {
        Bounded { sum: self.sum.add(other.sum), bound: self.bound + other.bound }
    }
}

/// What a mechanism returned, or what was revealed: free to log, store, publish or learn from.
#[derive(Clone, Debug)]
pub struct Privatized<T> {
    value: T,
}

impl<T> Privatized<T> {
    /// The one constructor. Called by `Round::release` and `Secret::reveal`, after the charge.
    pub(crate) fn published(value: T) -> Self {
        Privatized { value }
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// The value, owned.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Post-processing: a function of what is public is public.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Privatized<U> {
        Privatized::published(f(self.value))
    }

    /// Two public values as one.
    pub fn zip<U>(self, other: Privatized<U>) -> Privatized<(T, U)> {
        Privatized::published((self.value, other.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Neighbouring;

    #[test]
    fn a_look_costs_everything() {
        let mut ledger = Ledger::new(Neighbouring::AddRemove);
        let seen = Secret::new(3).reveal(&mut ledger, "a norm, for a plot").unwrap();
        assert_eq!(*seen.get(), 3);
        assert_eq!(ledger.entries(), [(Event::Revealed { what: "a norm, for a plot".into() }, 1)]);
        let spent = crate::account::by_name("rdp").unwrap().spent(&ledger, 1e-5);
        assert_eq!(spent, Ok(f64::INFINITY));
    }

    #[test]
    fn merging_takes_the_larger_bound_and_adding_takes_the_sum() {
        let two = |a: f64, b: f64| (Secret::new(1.0).vouch(a), Secret::new(2.0).vouch(b));
        let (a, b) = two(0.5, 2.0);
        assert_eq!(a.merge(b).into_parts(), (3.0, 2.0));
        let (a, b) = two(0.5, 2.0);
        assert_eq!(a.plus(b).into_parts(), (3.0, 2.5));
        for (x, y) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
            let (a, b) = two(x, y);
            assert!(a.merge(b).bound().is_nan());
        }
    }

    #[test]
    fn secrets_are_carried_not_read() {
        let pair = Secret::new(2.0).join(Secret::new(vec![1.0, 2.0]));
        let (scalar, vector) = pair.split();
        assert_eq!(scalar.as_ref().map(|x| *x + 1.0).vouch(1.0).into_parts().0, 3.0);
        assert_eq!(vector.merge(Secret::new(vec![1.0])).vouch(1.0).into_parts().0, [2.0, 2.0]);
        assert!(Secret::new(None::<f64>).transpose().is_none());
    }

    #[test]
    fn post_processing_stays_public() {
        let public = Privatized::published(2.0).map(|x: f64| x * 2.0).zip(Privatized::published("b"));
        assert_eq!(public.into_inner(), (4.0, "b"));
    }
}

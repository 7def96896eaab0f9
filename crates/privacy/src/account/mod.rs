//! Pricing. An accountant prices *one* event; composing and repeating are done here, once.
//!
//! # Why this is private
//!
//! Claim: [`Accountant::spent`] returns an epsilon for which all that the ledger holds is (epsilon, delta)-private under
//! the ledger's relation, if each event's curve is.
//!
//! Argument: curves add under adaptive composition; every entry is priced as often as it was made, and an event that an
//! accountant cannot price is an error, never a zero. Releases from one draw that were all Gaussian are one Gaussian
//! release of the joined vector: scaled to unit noise their sensitivities add in squares, hence
//! `z = (sum z_k^-2)^(-1/2)`, and only then is the draw's amplification taken. Not a number never counts as small: it
//! becomes infinity.
//!
//! Citation: Mironov 2017 (composition of Rényi divergences); for joint releases McMahan et al. 2018, Theorem 1.
//!
//! Checked by: `conformance` below, for every accountant of the list, and `tests::releases_of_one_draw_are_joint`.

mod crowd;
mod fixed_size;
pub mod group;
pub(crate) mod normal;
mod pair;
mod plain;
mod price;
mod scale;
pub(crate) mod truncated;

pub use price::Price;

pub(crate) use pld::Tally as PldTally;
pub use rdp::RdpCurve;
pub(crate) use rdp::convert;
use scale::{Scale, check_sampling, scale};

use crate::{Event, Ledger, Neighbouring, Sampling, season};

/// An event that an accountant has no price for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{accountant} cannot price {event}: {why}")]
pub struct Unpriced {
    /// The accountant's name.
    pub accountant: &'static str,
    /// The event.
    pub event: Event,
    /// The reason, in words.
    pub why: &'static str,
}

/// Why there is no epsilon.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AccountError {
    /// Delta is not a probability short of certainty.
    #[error("delta {0} is not in (0, 1)")]
    Delta(f64),
    /// Epsilon is negative, or not a number.
    #[error("epsilon {0} is not a number >= 0")]
    Epsilon(f64),
    /// The ledger holds an event that this accountant cannot price.
    #[error(transparent)]
    Unpriced(#[from] Unpriced),
}

/// What is known of the privacy of some events together; the default is that of no events at all.
pub trait Curve: Default {
    /// Of these and others, adaptively composed.
    fn plus(self, other: Self) -> Self;
    /// Of these, `n` times over.
    fn times(self, n: u64) -> Self;
}

/// A way to turn events into epsilon. It answers for one event; composition is written here.
pub trait Accountant {
    /// What it knows of some events.
    type Curve: Curve;

    /// Its name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// The curve of one event, or in words why it has none.
    fn of(&self, event: &Event, neighbouring: Neighbouring) -> Result<Self::Curve, &'static str>;

    /// The smallest epsilon it can vouch for at this delta, which is in `(0, 1)`. It may be infinite.
    fn epsilon(&self, curve: &Self::Curve, delta: f64) -> Price;

    /// The smallest delta it can vouch for at this epsilon, `>= 0`. It may be 1.
    fn delta(&self, curve: &Self::Curve, epsilon: f64) -> f64 {
        least_delta(|delta| self.epsilon(curve, delta).epsilon <= epsilon)
    }

    /// The smallest delta it can vouch for at each of these epsilons, `>= 0`.
    fn deltas_of(&self, curve: &Self::Curve, epsilons: &[f64]) -> Vec<f64> {
        epsilons.iter().map(|epsilon| self.delta(curve, *epsilon)).collect()
    }

    /// The curve of one event.
    ///
    /// # Errors
    /// When it has none, saying why.
    fn price(&self, event: &Event, neighbouring: Neighbouring) -> Result<Self::Curve, Unpriced> {
        let unpriced = |why| Unpriced { accountant: self.name(), event: event.clone(), why };
        self.of(event, neighbouring).map_err(unpriced)
    }

    /// The curve of all that a ledger holds.
    ///
    /// # Errors
    /// When the ledger holds something unpriced.
    fn curve(&self, ledger: &Ledger) -> Result<Self::Curve, Unpriced> {
        let mut total = Self::Curve::default();
        let entries = season::settle(ledger.entries()).map_err(|(event, why)| Unpriced {
            accountant: self.name(),
            event,
            why,
        })?;
        for (event, count) in entries.iter().filter(|(_, count)| *count > 0) {
            total = total.plus(self.price(event, ledger.neighbouring())?.times(*count));
        }
        Ok(total)
    }

    /// Epsilon of all that a ledger holds, with what is known of it besides.
    ///
    /// # Errors
    /// When delta is not in `(0, 1)`, or the ledger holds something unpriced.
    fn report(&self, ledger: &Ledger, delta: f64) -> Result<Price, AccountError> {
        if !(delta > 0.0 && delta < 1.0) {
            return Err(AccountError::Delta(delta));
        }
        Ok(self.epsilon(&self.curve(ledger)?, delta).sound())
    }

    /// Epsilon of all that a ledger holds.
    ///
    /// # Errors
    /// As [`Accountant::report`].
    fn spent(&self, ledger: &Ledger, delta: f64) -> Result<f64, AccountError> {
        self.report(ledger, delta).map(|price| price.epsilon)
    }

    /// The privacy curve of all that a ledger holds: a delta for each of these epsilons, all `>= 0`.
    ///
    /// # Errors
    /// When an epsilon is negative or not a number, or the ledger holds something unpriced.
    fn deltas(&self, ledger: &Ledger, epsilons: &[f64]) -> Result<Vec<f64>, AccountError> {
        if let Some(epsilon) = epsilons.iter().find(|epsilon| epsilon.is_nan() || **epsilon < 0.0) {
            return Err(AccountError::Epsilon(*epsilon));
        }
        let curve = self.curve(ledger)?;
        let sound = |delta: f64| if delta.is_nan() { 1.0 } else { delta.clamp(0.0, 1.0) };
        Ok(falling(epsilons, self.deltas_of(&curve, epsilons).into_iter().map(sound).collect()))
    }
}

/// Bounds on delta, none above one at a smaller epsilon: what is enough there is enough beyond.
fn falling(epsilons: &[f64], mut deltas: Vec<f64>) -> Vec<f64> {
    let mut order: Vec<usize> = (0..deltas.len()).collect();
    order.sort_by(|a, b| epsilons[*a].total_cmp(&epsilons[*b]));
    order.windows(2).for_each(|pair| deltas[pair[1]] = deltas[pair[1]].min(deltas[pair[0]]));
    deltas
}

/// The least delta that is enough, by halving in its logarithm; always one that is enough, or 1.
fn least_delta(enough: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (-700.0_f64, 0.0_f64);
    if enough(low.exp()) {
        return low.exp();
    }
    while high - low > 1e-9 {
        let middle = 0.5 * (low + high);
        if enough(middle.exp().min(1.0 - f64::EPSILON)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high.exp()
}

/// The least delta from `low` to `high` that is enough, to a share of 3e-3; 1 where the largest is not. For where delta is only to
/// be had by asking for epsilon again and again.
fn delta_between((low, high): (f64, f64), enough: impl Fn(f64) -> bool) -> f64 {
    // Neither end nor the product of both may vanish: halves of nothing are nothing.
    let (mut low, mut high) = (low.max(f64::MIN_POSITIVE), high.max(f64::MIN_POSITIVE));
    if !(high < 1.0 && enough(high)) {
        return 1.0;
    }
    while high > 1.003 * low {
        let middle = low.sqrt() * high.sqrt();
        *(if enough(middle) { &mut high } else { &mut low }) = middle;
    }
    high
}

/// An [`Accountant`] whose kind of curve is forgotten, so that it can be chosen by name.
pub trait Account: Send + Sync {
    /// Its name.
    fn label(&self) -> &'static str;
    /// Epsilon of all that a ledger holds, with what is known of it besides.
    ///
    /// # Errors
    /// As [`Accountant::report`].
    fn total(&self, ledger: &Ledger, delta: f64) -> Result<Price, AccountError>;
    /// The privacy curve of all that a ledger holds.
    ///
    /// # Errors
    /// As [`Accountant::deltas`].
    fn trade(&self, ledger: &Ledger, epsilons: &[f64]) -> Result<Vec<f64>, AccountError>;
}

impl<A: Accountant + Send + Sync> Account for A {
    fn label(&self) -> &'static str {
        self.name()
    }
    fn total(&self, ledger: &Ledger, delta: f64) -> Result<Price, AccountError> {
        self.report(ledger, delta)
    }
    fn trade(&self, ledger: &Ledger, epsilons: &[f64]) -> Result<Vec<f64>, AccountError> {
        self.deltas(ledger, epsilons)
    }
}

impl dyn Account {
    /// Its name on the command line and in reports.
    pub fn name(&self) -> &'static str {
        self.label()
    }

    /// Epsilon of all that a ledger holds, with what is known of it besides.
    ///
    /// # Errors
    /// When delta is not in `(0, 1)`, or the ledger holds something unpriced.
    pub fn report(&self, ledger: &Ledger, delta: f64) -> Result<Price, AccountError> {
        self.total(ledger, delta)
    }

    /// Epsilon of all that a ledger holds.
    ///
    /// # Errors
    /// As `report`.
    pub fn spent(&self, ledger: &Ledger, delta: f64) -> Result<f64, AccountError> {
        self.total(ledger, delta).map(|price| price.epsilon)
    }

    /// The privacy curve of all that a ledger holds: a delta for each of these epsilons, all `>= 0`.
    ///
    /// # Errors
    /// When an epsilon is negative or not a number, or the ledger holds something unpriced.
    pub fn deltas(&self, ledger: &Ledger, epsilons: &[f64]) -> Result<Vec<f64>, AccountError> {
        self.trade(ledger, epsilons)
    }
}

/// One line an accountant: from it come the module, the name, the help text and the conformance tests.
macro_rules! accountants {
    ($($name:literal => $module:ident :: $Type:ident, $help:literal;)+) => {
        $(mod $module; pub use $module::$Type;)+

        /// The names of all accountants.
        pub fn names() -> Vec<&'static str> {
            vec![$($name),+]
        }

        /// The accountant of this name.
        pub fn by_name(name: &str) -> Option<Box<dyn Account>> {
            match name {
                $($name => Some(Box::<$Type>::default()),)+
                _ => None,
            }
        }

        /// What the accountant of this name does, in one line.
        pub fn help(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some($help),)+
                _ => None,
            }
        }

        #[cfg(test)]
        mod conformance {
            $(mod $module {
                #[test]
                fn conforms() {
                    super::super::conforms::all($name);
                }
            })+
        }
    };
}

/// The accountant to use when none is named.
pub const DEFAULT: &str = "pld";

accountants! {
    "pld" => pld::Pld, "privacy loss distributions: a proven interval around the true epsilon";
    "prv" => prv::Prv, "rounded privacy loss random variables: a proven interval of a width that is chosen beforehand";
    "exact" => exact::Exact, "inversion of the moment generating function: the true value, with an estimated error";
    "rdp" => rdp::Rdp, "Rényi divergences of every real order, converted tightly; an upper bound, some 5-15 % above the truth";
    "gdp" => gdp::Gdp, "exact for Gaussian releases without sampling; sampled rounds are priced as if everyone took part";
    "gdp-clt" => gdp_clt::GdpClt, "the central limit theorem: an estimate below the truth, never a guarantee";
    "zcdp" => zcdp::Zcdp, "zero-concentrated privacy: one number that adds up; sampling is not counted";
}

/// One Gaussian on one Poisson sample: what a round comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sampled {
    rate: f64,
    noise_multiplier: f64,
}

/// The single sampled Gaussian that a round is, or why it is none. A round without releases has infinite noise.
fn sampled_gaussian(event: &Event) -> Result<Sampled, &'static str> {
    match event {
        Event::Gaussian { .. } => Ok(Sampled { rate: 1.0, noise_multiplier: joint(std::slice::from_ref(event))? }),
        Event::Round { sampling: Sampling::Poisson { rate }, releases } => {
            if !(0.0..=1.0).contains(rate) {
                return Err("its sample rate is not in [0, 1]");
            }
            Ok(Sampled { rate: *rate, noise_multiplier: joint(releases)? })
        }
        Event::Revealed { .. } => Ok(Sampled { rate: 1.0, noise_multiplier: 0.0 }),
        Event::Round { .. } => Err("it prices Poisson samples alone"),
        Event::Season { .. } | Event::Prepaid { .. } => Err(scale::TICKET),
        Event::Laplace { .. } | Event::RandomisedResponse { .. } | Event::Exponential { .. } => {
            Err("it prices Gaussian noise alone")
        }
    }
}

/// The noise multiplier of all these releases as one: `(sum z_k^-2)^(-1/2)`.
fn joint(releases: &[Event]) -> Result<f64, &'static str> {
    let mut least = f64::INFINITY;
    let mut multipliers = Vec::with_capacity(releases.len());
    for release in releases {
        let z = match release {
            Event::Gaussian { noise_multiplier } if *noise_multiplier >= 0.0 => *noise_multiplier,
            Event::Gaussian { .. } => return Err("its noise multiplier is negative or not a number"),
            Event::Revealed { .. } => 0.0,
            Event::Round { .. } => return Err("a round inside a round has no meaning"),
            Event::Season { .. } | Event::Prepaid { .. } => return Err(scale::TICKET),
            Event::Laplace { .. } | Event::RandomisedResponse { .. } | Event::Exponential { .. } => {
                return Err("it prices Gaussian noise alone");
            }
        };
        least = least.min(z);
        multipliers.push(z);
    }
    if least == 0.0 || least.is_infinite() {
        return Ok(least);
    }
    // In units of the least, so that no square overflows.
    Ok(least / multipliers.iter().map(|z| (least / z).powi(2)).sum::<f64>().sqrt())
}

#[cfg(test)]
mod conforms;
#[cfg(test)]
mod tests;

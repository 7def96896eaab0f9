//! What was spent: the three states of a number, the one book of costs, and how to price it.
//!
//! A number derived from people is [`Secret`]. Summed so that one person moves it by at most `bound`, it is
//! [`Bounded`]. Noised and charged, it is [`Privatized`]. The only road between the last two is [`Round::release`],
//! which writes the charge into the [`Ledger`] before the number leaves.
//!
//! ```
//! use privacy::{Key, Ledger, Neighbouring, Poisson, Sampler, ScalarGaussian, Secret, account};
//!
//! let mut ledger = Ledger::new(Neighbouring::AddRemove);
//! let sampler = Poisson::new(1000, 0.01, Key::from_seed(7))?;
//! for step in 0..100 {
//!     let draw = sampler.draw(step);
//!     // Each example's share of this sum is at most 1 in absolute value: the caller's word.
//!     let mut sum = Secret::new(0.0_f64);
//!     for chunk in draw.chunks(64) {
//!         sum = sum.merge(chunk.map(|rows| rows.len() as f64));
//!     }
//!     let noisy = ledger.open(&draw).release(sum.vouch(1.0), &mut ScalarGaussian { noise_multiplier: 1.1 })?;
//!     assert!(noisy.get().is_finite());
//! }
//! let accountant = account::by_name("rdp").ok_or("no such accountant")?;
//! let epsilon = accountant.spent(&ledger, 1e-5)?;
//! assert!(epsilon > 0.0 && epsilon < 2.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Pricing a mechanism of your own
//!
//! Nothing has to be released through this crate to be priced by it. Say what was done, as [`Event`]s:
//!
//! 1. *How far can one example move what was computed?* Noise is stated over that distance, under the relation of the
//!    ledger ([`Neighbouring`]): for a sum of shares capped at `C`, Gaussian noise of standard deviation `s` is
//!    [`Event::Gaussian`] with `noise_multiplier: s / C` under add/remove, and `s / (2 C)` under replace-one. Laplace noise
//!    of scale `b` is [`Event::Laplace`] with `b` over the L1 distance. Whatever is purely epsilon-private is dominated by
//!    [`Event::RandomisedResponse`]; a choice whose loss spans at most epsilon is [`Event::Exponential`]. Noise that is
//!    correlated over rounds is one [`Event::Season`].
//! 2. *Who took part?* Everything released from one draw is one [`Event::Round`], with the [`Sampling`] that made the draw.
//!    Releases from one draw priced as if each had its own draw are under-reported: 2.58 for what costs 4.48.
//! 3. *How often?* [`Ledger::planned`] takes events with counts; different phases are different entries. Everything
//!    adds up under adaptive composition.
//!
//! Then choose an [`account`]ant by name, or ask all of them:
//!
//! ```
//! use privacy::{Event, Ledger, Neighbouring, Sampling, account};
//!
//! // 1000 rounds, each on a 1 % Poisson sample: a vector sum capped at 0.5 with noise 0.6, and a count with noise 8.
//! let releases = vec![Event::Gaussian { noise_multiplier: 0.6 / 0.5 }, Event::Gaussian { noise_multiplier: 8.0 }];
//! let round = Event::Round { sampling: Sampling::Poisson { rate: 0.01 }, releases };
//! // Before them, a histogram of everybody with Laplace noise of scale 10.
//! let histogram = Event::Laplace { noise_multiplier: 10.0 };
//! let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(histogram, 1), (round, 1000)]);
//!
//! let price = account::by_name(account::DEFAULT).ok_or("no such accountant")?.report(&ledger, 1e-6)?;
//! assert!(price.epsilon > 1.0 && price.epsilon < 2.0 && !price.estimate);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Price`] says what is claimed (`epsilon`), what is proved (`lower`, `upper`), whether it is an `estimate` and no
//! guarantee, and what else to know (`notes`). An event that an accountant cannot price is an error with a reason
//! ([`Unpriced`]), never a zero. `examples/price_a_ledger.rs` asks every accountant; `docs/accounting.md` says which to
//! believe when.
//!
//! # What does not compile
//!
//! Nobody can make a `Privatized` by hand:
//! ```compile_fail,E0423
//! let forged = privacy::Privatized(3.0);
//! ```
//! ```compile_fail,E0451
//! fn forge(value: f64) -> privacy::Privatized<f64> {
//!     privacy::Privatized { value }
//! }
//! ```
//! A secret has no `Debug`, so it cannot be logged by accident:
//! ```compile_fail,E0277
//! println!("{:?}", privacy::Secret::new(3.0));
//! ```
//! It has no `Clone`, so it cannot be spent once and kept:
//! ```compile_fail,E0599
//! let secret = privacy::Secret::new(3.0);
//! let copy = secret.clone();
//! ```
//! Nor can what is inside be reached:
//! ```compile_fail,E0616
//! let secret = privacy::Secret::new(3.0);
//! let looked = secret.value;
//! ```
//! A bounded sum is spent once; releasing it twice does not compile:
//! ```compile_fail,E0382
//! use privacy::*;
//! fn twice(sum: Bounded<f64>, round: &mut Round, noise: &mut dyn Mechanism<f64>) {
//!     let _ = round.release(sum, noise);
//!     let _ = round.release(sum, noise);
//! }
//! ```
//! A bounded sum comes from `vouch` alone:
//! ```compile_fail,E0451
//! let bounded = privacy::Bounded { sum: 3.0, bound: 0.0 };
//! ```
//! Only a sampler makes a draw, so that the rate in the ledger is the rate that was used:
//! ```compile_fail,E0451
//! use privacy::*;
//! fn forge(key: std::sync::Arc<Key>) -> Draw {
//!     Draw { step: 0, sampling: Sampling::Poisson { rate: 1e-9 }, who: vec![0, 1, 2], key }
//! }
//! ```
//! The size of a draw has no getter:
//! ```compile_fail,E0599
//! fn size(draw: &privacy::Draw) -> usize {
//!     draw.len()
//! }
//! ```
//! A key can be neither printed nor copied:
//! ```compile_fail,E0277
//! println!("{:?}", privacy::Key::from_seed(1));
//! ```
//! ```compile_fail,E0599
//! let copy = privacy::Key::from_seed(1).clone();
//! ```

pub mod account;
pub mod audit;
mod calibrate;
mod correlated;
mod event;
pub mod gaussian;
mod ledger;
mod mechanism;
mod odometer;
mod random;
#[cfg(test)]
mod reference;
mod sample;
mod season;
mod state;
mod trade_off;
mod tuning;
mod veil;

pub use account::{Account, AccountError, Accountant, Curve, Price, Unpriced};
pub use calibrate::{CalibrateError, Calibrated, Found, noise_multiplier, sample_rate, steps};
pub use correlated::{Correlated, White};
pub use event::{Event, Neighbouring, Sampling};
pub use ledger::{Ledger, LedgerError, Round};
pub use mechanism::{Mechanism, ScalarGaussian, Source};
pub use odometer::{Filter, FilterError, Odometer, rounds_left};
pub use random::{Key, KeyError, Purpose, Stream};
pub use sample::{BallsInBins, Draw, FixedSize, Poisson, SampleError, Sampler, Shuffled, TruncatedPoisson};
pub use season::{Strategy, tree_depth};
pub use state::{Bounded, Privatized, Secret, Sum};
pub use trade_off::TradeOff;
pub use tuning::{Trials, TuningError};
pub use veil::{Lent, OnDevice, Vector, Veil, Veiled};

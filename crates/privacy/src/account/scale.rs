//! What one release is, and whether its numbers make sense.

use crate::{Event, Sampling};

/// One release, by its only number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Standard deviation over the L2 sensitivity.
    Gaussian(f64),
    /// Scale over the L1 sensitivity.
    Laplace(f64),
    /// Pure epsilon.
    Response(f64),
    /// Pure epsilon, which is also the range of the loss.
    Exponential(f64),
}

/// The release that this event is, or why it is none. Something revealed is a Gaussian without noise.
pub(super) fn scale(event: &Event) -> Result<Scale, &'static str> {
    let positive = |x: f64, why| if x >= 0.0 { Ok(x) } else { Err(why) };
    const NOISE: &str = "its noise multiplier is negative or not a number";
    const EPSILON: &str = "its epsilon is negative or not a number";
    match event {
        Event::Gaussian { noise_multiplier } => positive(*noise_multiplier, NOISE).map(Scale::Gaussian),
        Event::Laplace { noise_multiplier } => positive(*noise_multiplier, NOISE).map(Scale::Laplace),
        Event::RandomisedResponse { epsilon } => positive(*epsilon, EPSILON).map(Scale::Response),
        Event::Exponential { epsilon } => positive(*epsilon, EPSILON).map(Scale::Exponential),
        Event::Revealed { .. } => Ok(Scale::Gaussian(0.0)),
        Event::Round { .. } => Err("a round inside a round has no meaning"),
        Event::Season { .. } | Event::Prepaid { .. } => Err(TICKET),
    }
}

/// Why a season or its ticket has no price of its own.
pub(super) const TICKET: &str = "seasons and prepaid rounds are settled with the ledger that holds both";

/// Whether the numbers of a sampling make sense, or why not.
pub(super) fn check_sampling(sampling: &Sampling) -> Result<(), &'static str> {
    let rate_is_one =
        |rate: &f64| if (0.0..=1.0).contains(rate) { Ok(()) } else { Err("its sample rate is not in [0, 1]") };
    match sampling {
        Sampling::Poisson { rate } => rate_is_one(rate),
        Sampling::TruncatedPoisson { rate, cap, .. } => {
            rate_is_one(rate)?;
            if *cap > 0 { Ok(()) } else { Err("its largest batch is empty") }
        }
        Sampling::FixedSize { batch, examples } if batch > examples => Err("its batch is larger than the data set"),
        Sampling::BallsInBins { bins: 0 } | Sampling::Shuffled { batches: 0 } => Err("an epoch without a round"),
        Sampling::FixedSize { .. } | Sampling::BallsInBins { .. } | Sampling::Shuffled { .. } => Ok(()),
    }
}

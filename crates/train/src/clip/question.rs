//! What a rule may ask about a lot besides its gradient: a short vector from each example, capped, summed and noised with it.
//!
//! # Why this is private
//! *Claim.* Gradient and answer together cost what the plan's noise multiplier says.
//! *Argument.* Answers come from the same draw as the gradient, so the two are one Gaussian mechanism whose multiplier is
//! `(z_gradient^-2 + z_answer^-2)^(-1/2)`. [`share`] turns that around: the configuration states the total, the question
//! says what the answer gets, and the gradient gets the rest. The ledger writes both into one round and prices them together.
//! An answer that fits into the room that clipping left is part of the same vector as the gradient and costs nothing more.
//! *Tests.* `published_splits_of_noise`, `an_answer_is_capped`, `a_rehearsal_writes_the_runs_ledger`.
use super::ClipRule;

/// A question about a lot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// Numbers in an answer.
    pub width: usize,
    /// What it costs.
    pub price: Price,
}

/// What an answer costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Price {
    /// A release of its own from the same draw.
    Apart {
        /// How long one example's answer may be, in L2; longer ones are shortened.
        bound: f64,
        /// Its noise.
        noise: SideNoise,
    },
    /// Nothing: with its clipped gradient, an example's answer is one vector no longer than the rule's bound; what is too
    /// long is shortened.
    Room,
}

/// How much noise an answer gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SideNoise {
    /// So much that it takes this part of the budget: `z_answer = z / sqrt(share)`.
    Share(f64),
    /// This standard deviation.
    Deviation(f64),
}

/// The noise multipliers, over the bound, of the gradient and of the answer, which together cost what `total` does.
///
/// # Errors
/// If the answer alone costs more than that.
pub fn share(rule: &dyn ClipRule, total: f64) -> Result<(f64, f64), String> {
    let Some(Question { price: Price::Apart { bound, noise }, .. }) = rule.ask() else { return Ok((total, 0.0)) };
    let answer = match noise {
        SideNoise::Share(share) => total / share.sqrt(),
        SideNoise::Deviation(deviation) => deviation / bound,
    };
    if total == 0.0 {
        return Ok((0.0, answer));
    }
    if answer <= total {
        let least = total * bound;
        return Err(format!(
            "the rule's side release alone would cost more than the whole noise multiplier {total:.4} allows: give it a deviation above {least:.4}"
        ));
    }
    Ok(((total.powi(-2) - answer.powi(-2)).powf(-0.5), answer))
}

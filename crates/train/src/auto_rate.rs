//! A learning rate that finds itself by released losses: HyFreeDP, for `learning_rate = "auto"`.
//!
//! Source: Bu & Liu, ICLR 2025, arXiv 2503.00703. Every few steps the drawn examples' losses are taken at `w - e m` for
//! `e = -eta, 0, eta` along the step `-eta m` just made of their gradients; each is cut at `R`, summed and noised. The
//! parabola `L(e) = L_0 - b e + a e^2 / 2` through the three released means has its least at `b / a`, which is the new rate.
//! Ours is the cut, twice the mean loss released last (once that mean, as published, can never rise again, since means of cut
//! losses are below the cut; it moves by a factor of two at most, and while the mean is near it the rate is halved), and what happens where
//! noise hides the parabola. The paper keeps the rate if `a <= 0` or `b <= 0`; noise alone passes
//! that test one time in four, and its `b / a` is below the rate four times in five, so that a rate that starts low never
//! rises. The deviation of the noise is public: a bend that is not above it says that the probes are too close, and the rate
//! grows, unless they go visibly uphill. A new rate is at most four times and at least a quarter of the old.
//! Steps should have a length of their own, as normalised gradients (`auto-s`) and Adam's have: plain descent on raw
//! gradients can run away between two looks.
//!
//! # Why this is private
//! *Claim.* One example moves the three sums by at most `sqrt(3) R` in L2, and they are charged with the gradient of the
//! same draw.
//! *Argument.* An example's loss, cut into `[0, R]` (what is not a number counts as zero), is added once to each sum. `R`, the
//! rate and the places are functions of what was released before. The sums are one release of the round that released the
//! gradient, so that the ledger prices both jointly: `(s_g^-2 + 3 s_l^-2)^(-1/2)` (in the rehearsal too, by whose price the
//! noise is chosen). The paper's text has the loss itself in one place of the fit; only released ones are used here.
//! *Tests.* `the_worked_fit`, `losses_are_cut`; `the_losses_of_a_tuned_rate_are_charged` in `tests/trainer.rs`.
use crate::{
    clip::ROUNDING,
    grads::Grads,
    state::{State, Visit},
    trainer::Scene,
    update::Auto,
};
use privacy::{Bounded, Ledger, LedgerError, Privatized, Round, ScalarGaussian, Secret, Sum};

/// The least and the largest cut of a loss.
const CUT: std::ops::RangeInclusive<f64> = 1e-3..=1e6;
/// The share of the cut above which a mean loss says that most losses were cut.
const FULL: f64 = 0.9;
/// By how much a rate may change at once.
const CHANGE: f64 = 4.0;

/// The rate as it stands.
pub struct AutoRate {
    settings: Auto,
    /// Of each loss sum, over its cut.
    noise: f64,
    rate: f64,
    cut: f64,
}

impl State for AutoRate {
    fn state(&mut self, visit: &mut Visit) {
        visit.number("rate", &mut self.rate);
        visit.number("cut", &mut self.cut);
    }
}

impl AutoRate {
    /// A rate beside gradients whose noise has this multiplier over the sensitivity.
    pub fn new(settings: &Auto, noise_multiplier: f64) -> Self {
        let (noise, rate) = (settings.loss_noise * noise_multiplier, settings.start);
        AutoRate { settings: settings.clone(), noise, rate, cut: settings.cut }
    }

    /// The rate.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Whether losses are looked at in this step.
    pub fn is_due(&self, step: u64) -> bool {
        step.is_multiple_of(self.settings.every.max(1))
    }

    /// The step of a scene, as long as losses of those who took part say. They are released in the `round` of their
    /// gradients. Noise is over cut times `factor`, the ledger's relation's.
    ///
    /// # Errors
    /// If the ledger cannot be written; then nothing was released.
    pub fn follow(
        &mut self,
        step: Privatized<Grads>,
        scene: &Scene,
        round: &mut Round,
        factor: f64,
    ) -> Result<Privatized<Grads>, LedgerError> {
        let losses = self.bounded(self.probe(step.get(), scene));
        Ok(self.learn(step, round.release(losses, &mut self.mechanism())?, scene.lot, factor))
    }

    /// NOT PRIVATE: the same by losses that are shown to the world, for ordinary training.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn follow_shown(
        &mut self,
        step: Privatized<Grads>,
        scene: &Scene,
        ledger: &mut Ledger,
    ) -> Result<Privatized<Grads>, LedgerError> {
        let losses = self.probe(step.get(), scene).reveal(ledger, "losses, for ordinary training")?;
        Ok(self.learn(step, losses, scene.lot, 0.0))
    }

    /// The noise of the three sums as one release: `sqrt(3)` of their cut is their sensitivity.
    fn mechanism(&self) -> ScalarGaussian {
        ScalarGaussian { noise_multiplier: self.noise / 3f64.sqrt() }
    }

    /// The drawn examples' losses before the step, at the weights and after it, each cut and summed.
    fn probe(&self, step: &Grads, scene: &Scene) -> Secret<Vec<f64>> {
        let places = [-1.0, 0.0, 1.0].map(|by| scene.weights.seen_from(&step.clone().scale(by)));
        let sums = scene.draw.chunks(scene.chunk).map(|who| {
            who.join(scene.data.as_ref()).map(|(who, data)| {
                let part = scene.chance().taking_part(data, &who);
                let losses = |place| part.means(scene.model.losses(place, data.gather(&part.records)));
                let sum = |place| total(&losses(place), self.cut);
                places.iter().map(sum).collect()
            })
        });
        sums.reduce(Secret::merge).unwrap_or_else(|| Secret::new(vec![0.0; 3]))
    }

    /// What [`AutoRate::probe`] found, with how far one example moves it.
    fn bounded(&self, sums: Secret<Vec<f64>>) -> Bounded<Vec<f64>> {
        sums.vouch(3f64.sqrt() * self.cut * (1.0 + ROUNDING))
    }

    /// Learns from released sums over lots of about `lot`, and makes the step as long as the new rate says. Noise is over
    /// cut times `factor`, the ledger's relation's.
    fn learn(
        &mut self,
        step: Privatized<Grads>,
        sums: Privatized<Vec<f64>>,
        lot: f64,
        factor: f64,
    ) -> Privatized<Grads> {
        step.zip(sums).map(|(step, sums)| {
            let [before, here, after] = [0, 1, 2].map(|k| sums[k] / lot);
            let deviation = self.noise * factor * self.cut / lot;
            let full = here > FULL * self.cut;
            let change = if full { 0.5 } else { change(before, here, after, deviation) };
            self.rate *= change;
            self.cut = (2.0 * here).clamp(0.5 * self.cut, 2.0 * self.cut).clamp(*CUT.start(), *CUT.end());
            step.scale(change)
        })
    }
}

/// What a rate is multiplied by, from losses before the step, here, and after it, each with noise of this deviation.
fn change(before: f64, here: f64, after: f64, deviation: f64) -> f64 {
    let (slope, bend) = (before - after, before + after - 2.0 * here);
    if bend > 6f64.sqrt() * deviation {
        return (slope / (2.0 * bend)).clamp(1.0 / CHANGE, CHANGE);
    }
    if slope < -2f64.sqrt() * deviation { 1.0 / CHANGE } else { CHANGE }
}

/// The sum of losses, each cut into `[0, cut]`.
fn total(losses: &[f32], cut: f64) -> f64 {
    // The larger of zero and not-a-number is zero.
    losses.iter().map(|loss| f64::from(*loss).max(0.0).min(cut)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_fit() {
        // A rate of 0.05, at which the parabola through 1.3, 1.0, 0.9 has its least.
        assert!((change(1.3, 1.0, 0.9, 0.0) - 1.0).abs() < 1e-12);
        assert!((change(1.2, 1.0, 0.9, 0.0) - 1.5).abs() < 1e-12);
        assert_eq!(change(0.9, 1.0, 1.3, 0.0), 0.25, "uphill");
        assert_eq!(change(1.2, 1.0, 0.8, 1e-3), 4.0, "straight down");
        assert_eq!(change(1.3, 1.0, 0.9, 0.2), 4.0, "hidden in noise");
        assert_eq!(change(0.8, 1.0, 1.2, 0.01), 0.25, "straight up");
        let auto = AutoRate::new(&Auto { loss_noise: 10.0, ..Auto::default() }, 1.0);
        let together = (1.0 + auto.mechanism().noise_multiplier.powi(-2)).powf(-0.5);
        assert!((together - 0.98532928).abs() < 1e-8, "{together}");
    }

    #[test]
    fn losses_are_cut() {
        assert_eq!(total(&[0.5, 2.0, 7.0, f32::NAN, -3.0, f32::INFINITY], 2.0), 6.5);
        assert_eq!(total(&[], 2.0), 0.0);
    }
}

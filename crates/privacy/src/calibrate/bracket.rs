//! Root finding between a number that meets a target and one that does not.

/// A number that was tried, by its logarithm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    pub(super) x: f64,
    pub(super) epsilon: f64,
    /// `ln(epsilon/target)`: at most 0 where the target is met.
    miss: f64,
}

impl Tried {
    pub(super) fn new(x: f64, epsilon: f64, target: f64) -> Self {
        // An epsilon that is not a number meets no target.
        let miss = if epsilon <= target { (epsilon / target).ln().min(0.0) } else { f64::INFINITY };
        let miss = if epsilon > target { (epsilon / target).ln().max(f64::MIN_POSITIVE) } else { miss };
        Tried { x, epsilon, miss }
    }

    pub(super) fn meets(&self) -> bool {
        self.miss <= 0.0
    }
}

/// Two numbers, one on each side of the target.
pub(super) struct Bracket {
    meets: Tried,
    fails: Tried,
    /// How often in a row the same side was replaced: positive for the side that meets the target.
    streak: i32,
    tries: u32,
}

impl Bracket {
    pub(super) fn new(meets: Tried, fails: Tried) -> Self {
        Bracket { meets, fails, streak: 0, tries: 0 }
    }

    /// Replaces one side.
    pub(super) fn take(&mut self, tried: Tried) {
        self.tries += 1;
        if tried.meets() {
            self.streak = self.streak.max(0) + 1;
            self.meets = tried;
            self.fails.miss *= if self.streak > 1 { 0.5 } else { 1.0 };
        } else {
            self.streak = self.streak.min(0) - 1;
            self.fails = tried;
            self.meets.miss *= if self.streak < -1 { 0.5 } else { 1.0 };
        }
    }

    /// The next number to try, strictly inside. Close to an end it is put just so far from it that the bracket closes.
    pub(super) fn next(&self, width: f64) -> f64 {
        let (meets, fails) = (self.meets, self.fails);
        let span = fails.x - meets.x;
        let share = meets.miss / (meets.miss - fails.miss);
        // Every fourth time in the middle, and whenever a secant makes no sense.
        let share = if share.is_finite() && self.tries % 4 != 3 { share } else { 0.5 };
        let least = (0.9 * width / span.abs()).min(0.5);
        meets.x + span * if share < 1.1 * least { least } else { share.min(1.0 - least) }
    }

    /// Narrows the bracket to this width, and returns the end that meets the target.
    pub(super) fn narrow<E>(mut self, width: f64, mut at: impl FnMut(f64) -> Result<Tried, E>) -> Result<Tried, E> {
        while (self.fails.x - self.meets.x).abs() > width {
            let x = self.next(width);
            if x == self.meets.x || x == self.fails.x {
                break;
            }
            self.take(at(x)?);
        }
        Ok(self.meets)
    }
}

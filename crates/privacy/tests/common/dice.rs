//! Random events for the fuzz tests: mostly sensible, sometimes at the ends of what floats hold, seldom nonsense.

use super::{gaussian, laplace};
use privacy::{Event, Sampling, Strategy};

/// SplitMix64 (Steele, Lea & Flood 2014): small, seeded, and good enough to choose with.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Evenly in the logarithm.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        (low.ln() + self.unit() * (high.ln() - low.ln())).exp()
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Mostly sensible, sometimes at the ends of what floats hold, seldom nonsense.
    fn multiplier(&mut self) -> f64 {
        match self.below(100) {
            0 => self.pick(&[f64::NAN, -1.0, f64::INFINITY, 0.0]),
            1 => self.pick(&[1e-300, 1e300, 1e-8, 1e8, f64::MIN_POSITIVE]),
            2..10 => self.between(1e-3, 1e4),
            _ => self.between(0.4, 20.0),
        }
    }

    fn rate(&mut self) -> f64 {
        match self.below(100) {
            0 => self.pick(&[f64::NAN, -0.1, 1.1, 1e-300]),
            1..8 => self.pick(&[0.0, 1.0, 1e-12, 1.0 - 1e-12, 0.5]),
            _ => self.between(1e-5, 1.0).min(1.0),
        }
    }

    fn release(&mut self) -> Event {
        match self.below(40) {
            0..30 => gaussian(self.multiplier()),
            30..34 => laplace(self.multiplier()),
            34..36 => Event::RandomisedResponse { epsilon: self.multiplier() },
            36..38 => Event::Exponential { epsilon: self.multiplier() },
            38 => Event::Round { sampling: Sampling::Poisson { rate: 0.5 }, releases: vec![gaussian(1.0)] },
            _ => Event::Revealed { what: "a number".into() },
        }
    }

    fn sampling(&mut self) -> Sampling {
        match self.below(20) {
            0..14 => Sampling::Poisson { rate: self.rate() },
            14 | 15 => {
                let examples = 1 + self.below(5000);
                Sampling::TruncatedPoisson { rate: self.rate(), examples, cap: self.below(2 * examples) }
            }
            16 | 17 => Sampling::FixedSize { batch: self.below(200), examples: self.below(20_000) },
            18 => Sampling::BallsInBins { bins: self.below(20) },
            _ => Sampling::Shuffled { batches: self.below(20) },
        }
    }

    fn strategy(&mut self) -> Strategy {
        match self.below(3) {
            0 => Strategy::Tree {
                rounds: (0..self.below(4)).map(|_| self.count()).collect(),
                epochs: self.pick(&[1, 1, 2, 7, 0, u64::MAX]),
            },
            1 => Strategy::TreeOfEpochs {
                batches: self.below(40),
                epochs: self.below(12),
                completed: self.below(2) == 0,
            },
            _ => {
                let (bands, rounds) = (self.below(20), self.below(200));
                Strategy::banded(bands, rounds, self.pick(&[0, 1, 3, 20, u64::MAX]), self.below(30))
            }
        }
    }

    /// A season, and rounds that it has paid for, with something else in them or not; seldom more than it paid for.
    pub fn season(&mut self) -> Vec<(Event, u64)> {
        let (strategy, noise_multiplier) = (self.strategy(), self.multiplier());
        let count = self.below(strategy.rounds().clamp(1, 1 << 20) + 2);
        let mut releases = vec![Event::Prepaid { noise_multiplier }];
        if self.below(2) == 0 {
            releases.push(self.release());
        }
        let round = Event::Round { sampling: self.sampling(), releases };
        vec![(Event::Season { strategy, noise_multiplier }, 1), (round, count)]
    }

    pub fn event(&mut self) -> Event {
        match self.below(10) {
            0..7 => {
                let releases = (0..self.pick(&[1, 1, 1, 1, 1, 2, 3, 0])).map(|_| self.release()).collect();
                Event::Round { sampling: self.sampling(), releases }
            }
            _ => self.release(),
        }
    }

    pub fn count(&mut self) -> u64 {
        match self.below(50) {
            0 => self.pick(&[0, u64::MAX, 1 << 40]),
            _ => self.between(1.0, 1e5) as u64,
        }
    }

    pub fn delta(&mut self) -> f64 {
        match self.below(50) {
            0 => self.pick(&[f64::NAN, 0.0, 1.0, -1.0, 1e-300, 0.999_999]),
            1 => self.between(1e-30, 1e-10),
            _ => self.between(1e-10, 0.1),
        }
    }
}

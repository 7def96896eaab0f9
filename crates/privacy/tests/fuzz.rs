//! Random ledgers through every accountant: no panic, nothing that is no number, nothing negative, nothing that falls
//! where it should grow.
//!
//! `SECATEUR_FUZZ=1000000` runs that many ledgers through each accountant that answers in microseconds, and a share of
//! them through the others. `SECATEUR_FUZZ_ONLY=gdp,zcdp` runs those alone.

mod common;

use common::{accountant, gaussian, laplace};
use privacy::{Account, Event, Ledger, Neighbouring, Price, Sampling, account};

/// SplitMix64 (Steele, Lea & Flood 2014): small, seeded, and good enough to choose with.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Evenly in the logarithm.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        (low.ln() + self.unit() * (high.ln() - low.ln())).exp()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
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

    fn event(&mut self) -> Event {
        match self.below(10) {
            0..7 => {
                let releases = (0..self.pick(&[1, 1, 1, 1, 1, 2, 3, 0])).map(|_| self.release()).collect();
                Event::Round { sampling: self.sampling(), releases }
            }
            _ => self.release(),
        }
    }

    fn count(&mut self) -> u64 {
        match self.below(50) {
            0 => self.pick(&[0, u64::MAX, 1 << 40]),
            _ => self.between(1.0, 1e5) as u64,
        }
    }

    fn delta(&mut self) -> f64 {
        match self.below(50) {
            0 => self.pick(&[f64::NAN, 0.0, 1.0, -1.0, 1e-300, 0.999_999]),
            1 => self.between(1e-30, 1e-10),
            _ => self.between(1e-10, 0.1),
        }
    }
}

/// What a case asks; changed in one place it must not cost less.
#[derive(Clone)]
struct Case {
    neighbouring: Neighbouring,
    entries: Vec<(Event, u64)>,
    delta: f64,
}

impl Case {
    fn random(seed: u64) -> Case {
        let mut dice = Dice(seed);
        let neighbouring = dice.pick(&[Neighbouring::AddRemove, Neighbouring::AddRemove, Neighbouring::ReplaceOne]);
        let entries = (0..dice.pick(&[1, 1, 1, 2, 3])).map(|_| (dice.event(), dice.count())).collect();
        Case { neighbouring, entries, delta: dice.delta() }
    }

    fn ask(&self, account: &(dyn Account + 'static)) -> Option<Price> {
        account.report(&Ledger::planned(self.neighbouring, self.entries.clone()), self.delta).ok()
    }

    /// The same, with something that costs no less: more often, more of the data, less noise, a smaller delta.
    fn dearer(&self, how: u64, by: f64) -> Case {
        let mut case = self.clone();
        match how {
            0 => case.entries[0].1 = ((case.entries[0].1 as f64 * (1.0 + by)) as u64).saturating_add(1),
            1 => more_of_the_data(&mut case.entries[0].0, by),
            2 => case.entries.iter_mut().for_each(|(event, _)| less_noise(event, by)),
            _ => case.delta /= 1.0 + by,
        }
        case
    }
}

/// Only for Poisson samples does a higher rate cost more under every bound.
fn more_of_the_data(event: &mut Event, by: f64) {
    if let Event::Round { sampling: Sampling::Poisson { rate }, .. } = event
        && *rate > 0.0
        && *rate <= 1.0
    {
        *rate = (*rate * (1.0 + by)).min(1.0);
    }
}

fn less_noise(event: &mut Event, by: f64) {
    match event {
        Event::Gaussian { noise_multiplier } | Event::Laplace { noise_multiplier } => *noise_multiplier /= 1.0 + by,
        Event::RandomisedResponse { epsilon } | Event::Exponential { epsilon } => *epsilon *= 1.0 + by,
        Event::Round { releases, .. } => releases.iter_mut().for_each(|release| less_noise(release, by)),
        _ => {}
    }
}

fn sound(price: &Price) -> bool {
    let lower = price.lower.unwrap_or(0.0);
    price.epsilon >= 0.0 && lower >= 0.0 && lower <= price.epsilon && price.upper.is_none_or(|x| x == price.epsilon)
}

/// What the price may fall by where it should grow: nothing for those without an interval but rounding, the width of
/// the interval for those with one.
fn may_fall_to(price: &Price) -> f64 {
    let exact = price.epsilon * (1.0 - 1e-6) - 1e-9;
    price.lower.map_or(exact, |lower| lower.min(exact))
}

/// One ledger and four dearer ones. What is wrong, in words.
fn trial(account: &(dyn Account + 'static), seed: u64) -> Result<(), String> {
    let case = Case::random(seed);
    let Some(price) = case.ask(account) else { return Ok(()) };
    let about = || format!("{} seed {seed}: {:?} delta {}", account.name(), case.entries, case.delta);
    if !sound(&price) {
        return Err(format!("{}: {price:?}", about()));
    }
    let mut dice = Dice(!seed);
    for how in 0..4 {
        let other = case.dearer(how, dice.between(1e-3, 3.0));
        let Some(dearer) = other.ask(account) else { continue };
        // An estimate is no guarantee: without sampling, where it is exact, it may be below what it guessed with.
        let falls = !price.estimate && dearer.epsilon < may_fall_to(&price);
        if !sound(&dearer) || falls {
            return Err(format!(
                "{}: {} became {} by {how}: {:?}",
                about(),
                price.epsilon,
                dearer.epsilon,
                other.entries
            ));
        }
    }
    Ok(())
}

/// How many ledgers each accountant gets: those that answer in microseconds all, the others a share.
fn trials(name: &str) -> u64 {
    let long: Option<u64> = std::env::var("SECATEUR_FUZZ").ok().and_then(|text| text.parse().ok());
    let share = match name {
        "gdp" | "gdp-clt" | "zcdp" => 1,
        "rdp" => 10,
        _ => 200,
    };
    long.map_or(2000 / share.min(40), |n| n.div_ceil(share))
}

fn chosen(name: &str) -> bool {
    std::env::var("SECATEUR_FUZZ_ONLY").map_or(true, |only| only.split(',').any(|one| one == name))
}

#[test]
fn random_ledgers_have_sound_prices() {
    let mut wrong = Vec::new();
    for name in account::names().into_iter().filter(|name| chosen(name)) {
        let account = accountant(name);
        let number = trials(name);
        let found: Vec<String> = (0..number).filter_map(|seed| trial(account.as_ref(), seed).err()).collect();
        eprintln!("{name}: {number} ledgers, five questions each, {} wrong", found.len());
        wrong.extend(found.into_iter().take(5));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! Random ledgers through every accountant: no panic, nothing that is no number, nothing negative, nothing that falls
//! where it should grow.
//!
//! `SECATEUR_FUZZ=1000000` asks *each* accountant about that many ledgers, five questions each; `SECATEUR_FUZZ_ONLY=gdp,zcdp`
//! asks those alone; `SECATEUR_FUZZ_FROM=5000` begins at that seed; `SECATEUR_FUZZ_SECONDS=900` stops each accountant after
//! so long. What was asked and what had a price is printed.

mod common;

use common::accountant;
use common::dice::Dice;
use privacy::{Account, Event, Ledger, Neighbouring, Price, Sampling, account};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What a case asks; changed in one place it must not cost less.
#[derive(Clone, Debug)]
struct Case {
    neighbouring: Neighbouring,
    entries: Vec<(Event, u64)>,
    delta: f64,
}

/// How a case may cost more.
const DEARER: [&str; 4] = ["more rounds", "more of the data", "less noise", "a smaller delta"];

impl Case {
    fn random(seed: u64) -> Case {
        let mut dice = Dice(seed);
        let neighbouring = dice.pick(&[Neighbouring::AddRemove, Neighbouring::AddRemove, Neighbouring::ReplaceOne]);
        let mut entries: Vec<_> = (0..dice.pick(&[1, 1, 1, 2, 3])).map(|_| (dice.event(), dice.count())).collect();
        if dice.below(20) == 0 {
            entries.extend(dice.season());
        }
        Case { neighbouring, entries, delta: dice.delta() }
    }

    fn ask(&self, account: &(dyn Account + 'static)) -> Option<Price> {
        account.report(&Ledger::planned(self.neighbouring, self.entries.clone()), self.delta).ok()
    }

    /// The same, with something that costs no less.
    fn dearer(&self, how: usize, by: f64) -> Case {
        let mut case = self.clone();
        match how {
            0 => case.entries[0].1 = ((case.entries[0].1 as f64 * (1.0 + by)) as u64).saturating_add(1),
            1 => more_of_the_data(&mut case.entries[0].0, by),
            2 => case.entries.iter_mut().for_each(|(event, _)| less_noise(event, by)),
            _ => case.delta /= 1.0 + by,
        }
        case
    }

    /// Whether its first event is a round of everybody.
    fn of_everybody(&self) -> bool {
        matches!(self.entries[0].0, Event::Round { sampling: Sampling::Poisson { rate: 1.0 }, .. })
    }
}

/// Truncated draws are left out: where the draw is larger than the cap, a higher rate hides each example better.
fn more_of_the_data(event: &mut Event, by: f64) {
    let Event::Round { sampling, .. } = event else { return };
    match sampling {
        Sampling::Poisson { rate } if *rate > 0.0 && *rate <= 1.0 => *rate = (*rate * (1.0 + by)).min(1.0),
        Sampling::FixedSize { batch, examples } if *batch <= *examples => {
            *batch = ((*batch as f64 * (1.0 + by)) as u64).saturating_add(1).min(*examples);
        }
        Sampling::BallsInBins { bins: rounds } | Sampling::Shuffled { batches: rounds } if *rounds > 1 => {
            *rounds = ((*rounds as f64 / (1.0 + by)) as u64).max(1);
        }
        _ => {}
    }
}

fn less_noise(event: &mut Event, by: f64) {
    match event {
        Event::Gaussian { noise_multiplier }
        | Event::Laplace { noise_multiplier }
        | Event::Season { noise_multiplier, .. }
        | Event::Prepaid { noise_multiplier } => *noise_multiplier /= 1.0 + by,
        Event::RandomisedResponse { epsilon } | Event::Exponential { epsilon } => *epsilon *= 1.0 + by,
        Event::Round { releases, .. } => releases.iter_mut().for_each(|release| less_noise(release, by)),
        Event::Revealed { .. } => {}
    }
}

fn sound(price: &Price) -> bool {
    let lower = price.lower.unwrap_or(0.0);
    price.epsilon >= 0.0 && lower >= 0.0 && lower <= price.epsilon && price.upper.is_none_or(|x| x == price.epsilon)
}

/// What the price may fall to where it should grow: by rounding for those without an interval, into the interval for
/// those with one.
fn may_fall_to(price: &Price) -> f64 {
    let exact = price.epsilon * (1.0 - 1e-6) - 1e-9;
    price.lower.map_or(exact, |lower| lower.min(exact))
}

/// One ledger and four dearer ones: how many had a price, or what is wrong, in words.
fn trial(account: &(dyn Account + 'static), seed: u64) -> Result<u64, String> {
    let case = Case::random(seed);
    let Some(price) = case.ask(account) else { return Ok(0) };
    if !sound(&price) {
        return Err(format!("{} seed {seed}: {price:?} for {case:?}", account.name()));
    }
    let (mut dice, mut answered) = (Dice(!seed), 1);
    for (how, what) in DEARER.iter().enumerate() {
        let other = case.dearer(how, dice.between(1e-3, 3.0));
        let Some(dearer) = other.ask(account) else { continue };
        answered += 1;
        // The estimate by a limit theorem has no use at rate 1, where the truth is known and may be less.
        let known = price.estimate && how == 1 && other.of_everybody();
        let falls = !known && dearer.epsilon < may_fall_to(&price);
        if !sound(&dearer) || falls {
            return Err(format!(
                "{} seed {seed}: {} became {} by {what}: {case:?} and {other:?}",
                account.name(),
                price.epsilon,
                dearer.epsilon
            ));
        }
    }
    Ok(answered)
}

/// A number from the environment.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// How many ledgers an accountant gets when nothing else is asked: as many as fit in a few seconds.
fn few(name: &str) -> u64 {
    match name {
        "gdp" | "gdp-clt" | "zcdp" => 2000,
        "rdp" => 500,
        _ => 50,
    }
}

fn chosen(name: &str) -> bool {
    std::env::var("SECATEUR_FUZZ_ONLY").map_or(true, |only| only.split(',').any(|one| one == name))
}

/// Asks one accountant, and says what is wrong.
fn fuzz(name: &str) -> Vec<String> {
    let account = accountant(name);
    let from = asked("SECATEUR_FUZZ_FROM").unwrap_or(0);
    let number = asked("SECATEUR_FUZZ").unwrap_or(few(name));
    let until = asked("SECATEUR_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut ledgers, mut priced, mut answers, mut wrong) = (0_u64, 0_u64, 0_u64, Vec::new());
    for seed in (from..from.saturating_add(number)).take_while(|_| until.is_none_or(|end| Instant::now() < end)) {
        let found = catch_unwind(AssertUnwindSafe(|| trial(account.as_ref(), seed)));
        ledgers += 1;
        match found.unwrap_or_else(|_| Err(format!("{name} seed {seed}: panics on {:?}", Case::random(seed)))) {
            Ok(answered) => {
                priced += u64::from(answered > 0);
                answers += answered;
            }
            Err(what) => wrong.push(what),
        }
    }
    eprintln!(
        "{name}: {ledgers} ledgers from seed {from}, {priced} with a price, {answers} answers, {} wrong",
        wrong.len()
    );
    wrong
}

#[test]
fn random_ledgers_have_sound_prices() {
    let names = account::names().into_iter().filter(|name| chosen(name));
    let wrong: Vec<String> = names.flat_map(|name| fuzz(name).into_iter().take(20)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

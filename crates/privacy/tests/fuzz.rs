//! Random ledgers through every accountant: no panic, nothing that is no number, nothing negative, nothing that falls
//! where it should grow.
//!
//! | variable | what it says | else |
//! | --- | --- | --- |
//! | `SECATEUR_FUZZ` | how many ledgers *each* accountant is asked about | what fits in a few seconds |
//! | `SECATEUR_FUZZ_ONLY` | accountants, by commas | all |
//! | `SECATEUR_FUZZ_FROM` | the first seed: ranges of seeds can run as processes of their own | 0 |
//! | `SECATEUR_FUZZ_DEARER` | how many of the four dearer ledgers are asked about besides, 1 to 4, in turn | 4 |
//! | `SECATEUR_FUZZ_COARSE` | 1: `pld` 1 % wide, `prv` off by 0.3 or 2 % of epsilon and 1 % of delta | as by default |
//! | `SECATEUR_FUZZ_THREADS` | threads that share the seeds | 1 |
//! | `SECATEUR_FUZZ_SECONDS` | no ledger is begun after so long, for each accountant | no limit |
//!
//! One line an accountant says which seeds were asked, how many had a price, how many answers there were and how many were
//! wrong, which ledger took longest, and which have no answer yet; a line for each wrong one says what is wrong. The test's binary needs no file and no
//! toolchain: `fuzz-* --nocapture` runs anywhere.

mod common;

use common::accountant;
use common::dice::Dice;
use privacy::account::{Pld, Prv};
use privacy::{Account, Event, Ledger, Neighbouring, Price, Sampling, account};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What a case asks; changed in one place it must not cost less.
#[derive(Clone, Debug)]
struct Case {
    neighbouring: Neighbouring,
    entries: Vec<(Event, u64)>,
    delta: f64,
}

/// How long after the time is up what was seen is said although ledgers are without an answer.
const PATIENCE: Duration = Duration::from_secs(4);

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

    /// The same with one round of everything.
    fn once(&self) -> Case {
        let entries = self.entries.iter().map(|(event, count)| (event.clone(), *count.min(&1))).collect();
        Case { entries, ..self.clone() }
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

/// What the price may fall to where it should grow: for those without an interval by rounding and by how closely the best order
/// is sought, into the interval for those with one.
fn may_fall_to(price: &Price) -> f64 {
    let exact = price.epsilon * (1.0 - 1e-5) - 1e-9;
    price.lower.map_or(exact, |lower| lower.min(exact))
}

/// One ledger, one round of each of its events, and some dearer ones: how many had a price, or what is wrong, in words.
fn trial(account: &(dyn Account + 'static), seed: u64, dearer: u64) -> Result<u64, String> {
    let case = Case::random(seed);
    let Some(price) = case.ask(account) else { return Ok(0) };
    if !sound(&price) {
        return Err(format!("{price:?} for {case:?}"));
    }
    let (mut dice, mut answered) = (Dice(!seed), 1);
    // A limit theorem is at home with many rounds.
    if let Some(once) = case.once().ask(account).filter(|_| !price.estimate) {
        answered += 1;
        if !sound(&once) || price.epsilon < may_fall_to(&once) {
            return Err(format!("{} is less than {} for one round of each: {case:?}", price.epsilon, once.epsilon));
        }
    }
    for (how, what) in DEARER.iter().enumerate() {
        let by = dice.between(1e-3, 3.0);
        if (how as u64 + seed) % 4 >= dearer {
            continue;
        }
        let other = case.dearer(how, by);
        let Some(dearer) = other.ask(account) else { continue };
        answered += 1;
        // The estimate by a limit theorem has no use at rate 1, where the truth is known and may be less.
        let known = price.estimate && how == 1 && other.of_everybody();
        let falls = !known && dearer.epsilon < may_fall_to(&price);
        if !sound(&dearer) || falls {
            return Err(format!("{} became {} by {what}: {case:?} and {other:?}", price.epsilon, dearer.epsilon));
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
        "rdp" => 1000,
        _ => 200,
    }
}

/// The accountant of this name, in its coarse form if that was asked for: the same code, but for the sizes of its grids.
fn asked_one(name: &str) -> Box<dyn Account> {
    match (name, asked("SECATEUR_FUZZ_COARSE").unwrap_or(0)) {
        ("pld", 1..) => Box::new(Pld { precision: 0.01 }),
        ("prv", 1..) => Box::new(Prv { eps_error: 0.3, eps_share: 0.02, delta_share: 0.01 }),
        _ => accountant(name),
    }
}

fn chosen(name: &str) -> bool {
    std::env::var("SECATEUR_FUZZ_ONLY").map_or(true, |only| only.split(',').any(|one| one == name))
}

/// What was seen of one accountant.
#[derive(Default)]
struct Seen {
    ledgers: u64,
    priced: u64,
    answers: u64,
    wrong: Vec<String>,
    slowest: (Duration, u64),
    /// Ledgers that are being asked about.
    asking: BTreeSet<u64>,
}

impl Seen {
    fn count(&mut self, name: &str, seed: u64, took: Duration, found: Result<u64, String>) {
        self.asking.remove(&seed);
        self.slowest = self.slowest.max((took, seed));
        self.ledgers += 1;
        match found {
            Ok(answered) => {
                self.priced += u64::from(answered > 0);
                self.answers += answered;
            }
            Err(what) => {
                eprintln!("WRONG {name} seed {seed}: {what}");
                self.wrong.push(format!("{name} seed {seed}: {what}"));
            }
        }
    }

    fn say(&self, name: &str, from: u64) {
        let Seen { ledgers, priced, answers, wrong, slowest: (time, slowest), asking } = self;
        eprintln!(
            "{name}: seeds {from} to {}, {ledgers} ledgers, {priced} with a price, {answers} answers, {} wrong; slowest seed \
             {slowest}, {:.2} s; without an answer yet {asking:?}",
            from + ledgers + asking.len() as u64,
            wrong.len(),
            time.as_secs_f64()
        );
    }
}

/// Asks one accountant, and says what is wrong. Where ledgers take long after the time is up, what was seen is said before.
fn fuzz(name: &str) -> Vec<String> {
    let (account, from) = (asked_one(name), asked("SECATEUR_FUZZ_FROM").unwrap_or(0));
    let end = from.saturating_add(asked("SECATEUR_FUZZ").unwrap_or(few(name)));
    let (dearer, threads) = (asked("SECATEUR_FUZZ_DEARER").unwrap_or(4), asked("SECATEUR_FUZZ_THREADS").unwrap_or(1));
    let until = asked("SECATEUR_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (next, seen) = (AtomicU64::new(from), Mutex::new(Seen::default()));
    let shared = || seen.lock().expect("panics are caught");
    let thread = || {
        while until.is_none_or(|until| Instant::now() < until) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= end {
                break;
            }
            shared().asking.insert(seed);
            let start = Instant::now();
            let found = catch_unwind(AssertUnwindSafe(|| trial(account.as_ref(), seed, dearer)));
            let found = found.unwrap_or_else(|_| Err(format!("panics on {:?}", Case::random(seed))));
            shared().count(name, seed, start.elapsed(), found);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(thread)).collect();
        let mut late = until.map(|until| until + PATIENCE);
        while threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
            if late.take_if(|late| Instant::now() > *late).is_some() {
                shared().say(name, from);
            }
        }
    });
    let seen = seen.into_inner().expect("panics are caught");
    seen.say(name, from);
    seen.wrong
}

#[test]
fn random_ledgers_have_sound_prices() {
    let names = account::names().into_iter().filter(|name| chosen(name));
    let wrong: Vec<String> = names.flat_map(|name| fuzz(name).into_iter().take(20)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Ledgers that once took minutes, had no end, were answered with nothing, or asked for more room than there is.
#[test]
fn ledgers_that_went_wrong_before() {
    let rdp = &[476_690, 494_838, 617_589, 654_147, 691_781, 976_790, 981_933][..];
    let pld = &[121, 135, 152, 156, 171, 286, 793, 40_724, 48_772, 54_168, 56_381, 217_680, 301_441][..];
    for (name, seeds) in [("pld", pld), ("rdp", rdp), ("exact", &[71, 17_896, 52_745])] {
        let account = accountant(name);
        seeds.iter().for_each(|seed| assert!(trial(account.as_ref(), *seed, 4).expect("a sound price") > 0));
    }
}

//! What the book says, on disk and off, whatever happens.

use super::*;
use crate::{Key, Poisson, Privatized, Sampler, ScalarGaussian, Secret, account};
use proptest::prelude::*;
use std::sync::Arc;

/// What a script does: a round with these releases, or a look.
#[derive(Clone, Debug)]
enum Act {
    Round(Vec<f64>),
    Look(&'static str),
}

/// A script that writes down, after each thing that left, how long the file is and what had left by then.
struct Stage {
    ledger: Ledger,
    sampler: Poisson,
    step: u64,
    left: Vec<(u64, Vec<(Event, u64)>)>,
    path: PathBuf,
}

impl Stage {
    fn new(path: PathBuf) -> Self {
        let ledger = Ledger::create(&path, Neighbouring::AddRemove).unwrap();
        let sampler = Poisson::new(10, 0.25, Key::from_seed(1)).unwrap();
        Stage { ledger, sampler, step: 0, left: Vec::new(), path }
    }

    fn note(&mut self) {
        let length = std::fs::metadata(&self.path).unwrap().len();
        self.left.push((length, self.ledger.entries()));
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Look(what) => {
                Secret::new(1.0).reveal(&mut self.ledger, what).unwrap();
            }
            Act::Round(zs) => {
                let draw = self.sampler.draw(self.step);
                self.step += 1;
                for (at, z) in zs.iter().enumerate() {
                    // The round is opened once; its state is noted between releases.
                    if at == 0 {
                        std::mem::forget(self.ledger.open(&draw));
                    }
                    let mut round = Round::new(&mut self.ledger, &draw);
                    let mut noise = ScalarGaussian { noise_multiplier: *z };
                    round.release(Secret::new(0.0).vouch(1.0), &mut noise).unwrap();
                    std::mem::forget(round);
                    self.note();
                }
                self.ledger.seal();
            }
        }
        self.note();
    }
}

/// How much of an event there is: rounds count for all that begin them too.
fn covers(held: &[(Event, u64)], wanted: &[(Event, u64)]) -> bool {
    let mut held = tally(held);
    let mut wanted = tally(wanted);
    wanted.sort_by_key(|(event, _)| std::cmp::Reverse(size(event)));
    wanted.iter().all(|(event, n)| {
        let mut need = *n;
        // The closest first, so that a longer round is not used up for a shorter one.
        held.sort_by_key(|(other, _)| size(other));
        for (_, there) in held.iter_mut().filter(|(other, _)| event.begins(other)) {
            let take = need.min(*there);
            (*there, need) = (*there - take, need - take);
        }
        need == 0
    })
}

fn size(event: &Event) -> usize {
    if let Event::Round { releases, .. } = event { releases.len() } else { 0 }
}

/// The same as a multiset.
fn tally(entries: &[(Event, u64)]) -> Vec<(Event, u64)> {
    let mut all: Vec<(Event, u64)> = Vec::new();
    for (event, n) in entries {
        match all.iter_mut().find(|(other, _)| other == event) {
            Some((_, m)) => *m += n,
            None => all.push((event.clone(), *n)),
        }
    }
    all.sort_by_key(|(event, _)| format!("{event:?}"));
    all
}

fn epsilon(ledger: &Ledger) -> f64 {
    account::by_name("rdp").unwrap().spent(ledger, 1e-5).unwrap()
}

/// Cuts the file at every byte, and checks that what is read holds all that had left when it was that long.
fn check_every_cut(stage: &Stage, bytes: &[u8]) {
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for length in 0..=bytes.len() {
        let left = stage.left.iter().rev().find(|(then, _)| *then <= length as u64).map(|(_, entries)| &entries[..]);
        match line::parse(&bytes[..length]) {
            Err(_) => assert!(length < header && left.unwrap_or(&[]).is_empty(), "cut at {length}"),
            Ok(read) => {
                let whole = bytes[..length].last() == Some(&b'\n');
                assert_eq!(read.torn, !whole, "cut at {length}");
                assert!(covers(&read.entries, left.unwrap_or(&[])), "cut at {length}: {:?}", read.entries);
            }
        }
    }
}

fn perform(acts: &[Act]) {
    let place = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(place.path().join("ledger.jsonl"));
    acts.iter().for_each(|act| stage.act(act));
    let exact = stage.ledger.entries();
    let made = acts.iter().filter(|act| matches!(act, Act::Round(zs) if !zs.is_empty())).count();
    assert_eq!(stage.ledger.rounds(), made as u64);
    // While it runs, the file already holds at least what left.
    let running = std::fs::read(&stage.path).unwrap();
    assert!(covers(&Ledger::read(&stage.path).unwrap().entries(), &exact));
    check_every_cut(&stage, &running);
    // Once closed, it holds exactly that.
    stage.ledger.close().unwrap();
    stage.note();
    let closed = Ledger::read(&stage.path).unwrap();
    assert_eq!(tally(&closed.entries()), tally(&exact));
    assert!(!closed.torn());
    check_every_cut(&stage, &std::fs::read(&stage.path).unwrap());
}

fn act() -> impl Strategy<Value = Act> {
    let round = |zs: &[f64]| Act::Round(zs.to_vec());
    prop_oneof![
        6 => Just(round(&[1.0])),
        4 => Just(round(&[1.0, 8.0])),
        2 => Just(round(&[1.0, 8.0, 2.0])),
        1 => Just(round(&[1.0, 2.0])),
        3 => Just(round(&[3.0])),
        1 => Just(round(&[])),
        1 => Just(Act::Look("loss")),
        1 => Just(Act::Look("norms")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_crash_never_under_reports(acts in prop::collection::vec(act(), 0..24), often in 1usize..4) {
        let acts: Vec<Act> = acts.into_iter().flat_map(|act| vec![act; often]).collect();
        perform(&acts);
    }
}

#[test]
fn long_runs_are_charged_ahead_and_refunded() {
    let long = |zs: &[f64], n: usize| vec![Act::Round(zs.to_vec()); n];
    perform(
        &[
            long(&[1.0], 140),
            long(&[1.0, 5.0], 3),
            long(&[1.0], 20),
            long(&[3.0], 5),
            long(&[1.0], 2),
            vec![Act::Look("loss"); 110],
        ]
        .concat(),
    );
    // The disk is waited for far less often than once a round.
    let place = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(place.path().join("ledger"));
    long(&[1.0, 5.0], 2000).iter().for_each(|act| stage.act(act));
    let lines = std::fs::read_to_string(&stage.path).unwrap().lines().count();
    assert!(lines < 300, "{lines} lines for 2000 rounds");
    let (exact, running) = (stage.ledger.rounds(), Ledger::read(&stage.path).unwrap().rounds());
    assert!(running >= exact && running <= exact + exact / 50 + 1, "{running} charged for {exact}");
}

fn release(ledger: &mut Ledger, sampler: &Poisson, step: u64) -> Result<Privatized<f64>, LedgerError> {
    let draw = sampler.draw(step);
    ledger.open(&draw).release(Secret::new(0.0).vouch(1.0), &mut ScalarGaussian { noise_multiplier: 1.0 })
}

/// One round a step.
fn run(ledger: &mut Ledger, steps: std::ops::Range<u64>) {
    for step in steps {
        release(ledger, &sampler(), step).unwrap();
    }
}

fn sampler() -> Poisson {
    Poisson::new(10, 0.01, Arc::new(Key::from_seed(3))).unwrap()
}

#[test]
fn rounds_are_charged_without_being_asked() {
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    run(&mut ledger, 0..1000);
    assert_eq!(ledger.entries().len(), 1);
    assert_eq!(ledger.rounds(), 1000);
    assert!((epsilon(&ledger) - 2.101_322).abs() < 1e-5);
}

#[test]
fn forgetting_is_not_forgiving() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::create(&path, Neighbouring::AddRemove).unwrap();
    let draw = sampler().draw(0);
    let mut round = ledger.open(&draw);
    round.release(Secret::new(0.0).vouch(1.0), &mut ScalarGaussian { noise_multiplier: 1.0 }).unwrap();
    std::mem::forget(round);
    assert_eq!(ledger.rounds(), 1);
    run(&mut ledger, 1..200);
    assert_eq!(ledger.rounds(), 200);
    std::mem::forget(ledger);
    assert!(Ledger::read(&path).unwrap().rounds() >= 200);
}

#[test]
fn dropping_a_ledger_closes_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::create(&path, Neighbouring::ReplaceOne).unwrap();
    run(&mut ledger, 0..333);
    drop(ledger);
    let read = Ledger::read(&path).unwrap();
    assert_eq!((read.rounds(), read.neighbouring(), read.torn()), (333, Neighbouring::ReplaceOne, false));
}

#[test]
fn a_ledger_is_continued_and_never_overwritten() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::create(&path, Neighbouring::AddRemove).unwrap();
    assert!(matches!(Ledger::create(&path, Neighbouring::AddRemove), Err(LedgerError::Exists { .. })));
    assert!(matches!(Ledger::resume(&path), Err(LedgerError::Busy { .. })));
    run(&mut ledger, 0..100);
    drop(ledger);
    // A crash tears the last line.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(br#"{"charge":{"event":{"rou"#);
    std::fs::write(&path, &bytes).unwrap();
    let mut ledger = Ledger::resume(&path).unwrap();
    assert!(ledger.torn());
    assert_eq!(ledger.rounds(), 100);
    run(&mut ledger, 100..150);
    ledger.close().unwrap();
    release(&mut ledger, &sampler(), 150).unwrap();
    drop(ledger);
    let read = Ledger::read(&path).unwrap();
    assert_eq!((read.rounds(), read.torn()), (151, false));
    assert!(matches!(Ledger::resume(place.path().join("none")), Err(LedgerError::Io { .. })));
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_leaves_when_the_disk_fails() {
    // A write to this device fails for want of space.
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    ledger.book = Some(Book::full());
    assert!(matches!(release(&mut ledger, &sampler(), 0), Err(LedgerError::Io { .. })));
    assert!(matches!(release(&mut ledger, &sampler(), 1), Err(LedgerError::Broken { .. })));
    assert!(matches!(Secret::new(1).reveal(&mut ledger, "x"), Err(LedgerError::Broken { .. })));
    assert!(ledger.close().is_err());
    assert_eq!(ledger.rounds(), 0);
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    ledger.book = Some(Book::full());
    assert!(matches!(Secret::new(1).reveal(&mut ledger, "x"), Err(LedgerError::Io { .. })));
}

const HEADER: &str = r#"{"secateur_ledger":1,"neighbouring":"add-remove"}"#;
const ROUND: &str =
    r#"{"round":{"sampling":{"poisson":{"rate":0.1}},"releases":[{"gaussian":{"noise_multiplier":1.0}}]}}"#;

fn read(lines: &[String]) -> Result<Ledger, LedgerError> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger.jsonl");
    std::fs::write(&path, lines.concat()).unwrap();
    Ledger::read(&path)
}

fn line(kind: &str, count: &str) -> String {
    format!("{{\"{kind}\":{{\"event\":{ROUND},\"count\":{count}}}}}\n")
}

#[test]
fn a_ledger_is_plain_text() {
    let ledger = read(&[format!("{HEADER}\n"), line("charge", "50"), line("refund", "8")]).unwrap();
    assert_eq!((ledger.rounds(), ledger.entries().len(), ledger.torn()), (42, 1, false));
}

#[test]
fn a_bad_line_is_named() {
    let header = || format!("{HEADER}\n");
    let bad: [(Vec<String>, usize); 7] = [
        (vec![header(), "{\"charge\":{\n".into(), line("charge", "1")], 2),
        (vec![header(), line("charge", "1"), line("change", "1"), line("charge", "1")], 3),
        (vec![header(), line("charge", "1"), line("change", "1")], 3),
        (vec![header(), line("charge", "-1")], 2),
        (vec![line("charge", "1")], 1),
        (vec!["{\"secateur_ledger\":2,\"neighbouring\":\"add-remove\"}\n".into()], 1),
        (vec![HEADER.into()], 1),
    ];
    for (lines, at) in bad {
        let error = read(&lines).err().unwrap().to_string();
        assert!(error.contains(&format!("ledger.jsonl:{at}: ")), "{error}");
    }
}

#[test]
fn a_torn_last_line_is_dropped() {
    for torn in [
        r#"{"charge":{"event":"#.to_owned(),
        "\0\0\0".into(),
        "{\"charge\":{\n".into(),
        line("charge", "7")[..120].into(),
    ] {
        let ledger = read(&[format!("{HEADER}\n"), line("charge", "5"), torn]).unwrap();
        assert_eq!((ledger.rounds(), ledger.torn()), (5, true));
    }
}

#[test]
fn a_refund_never_exceeds_its_charge() {
    let header = || format!("{HEADER}\n");
    let error = read(&[header(), line("charge", "5"), line("refund", "3"), line("refund", "3")]).err().unwrap();
    assert!(error.to_string().contains("ledger.jsonl:4: "), "{error}");
    assert!(error.to_string().contains("more than was charged"));
    assert!(read(&[header(), line("refund", "1"), line("charge", "1")]).is_err());
    assert_eq!(read(&[header(), line("charge", "5"), line("refund", "5")]).unwrap().entries(), []);
}

#[test]
fn what_is_read_prices_as_what_was_written() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::create(&path, Neighbouring::AddRemove).unwrap();
    run(&mut ledger, 0..1000);
    ledger.close().unwrap();
    assert_eq!(epsilon(&Ledger::read(&path).unwrap()), epsilon(&ledger));
    let planned = Ledger::planned(Neighbouring::AddRemove, ledger.entries());
    assert_eq!(epsilon(&planned), epsilon(&ledger));
    let _ = Secret::new(1).reveal(&mut ledger, "a test accuracy").unwrap();
    assert_eq!(epsilon(&Ledger::read(&path).unwrap()), f64::INFINITY);
}

proptest! {
    #[test]
    fn events_survive_the_disk(rate in 0.0..=1.0, zs in prop::collection::vec(0.0..1e6, 0..4), what in ".*") {
        let releases = zs.into_iter().map(|noise_multiplier| Event::Gaussian { noise_multiplier }).collect();
        for event in [Event::Round { sampling: Sampling::Poisson { rate }, releases }, Event::Revealed { what }] {
            let text = serde_json::to_string(&event).unwrap();
            prop_assert!(!text.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        }
    }
}

#[test]
fn looks_before_another_key_draws_are_refunded_in_time() {
    // So many looks are charged ahead; what was not used must not be refunded behind the line that another key begins.
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::create(&path, Neighbouring::ReplaceOne).unwrap();
    for _ in 0..101 {
        let _ = Secret::new(1).reveal(&mut ledger, "a loss").unwrap();
    }
    let sampler = crate::BallsInBins::new(10, 2, Key::from_seed(1)).unwrap();
    let sum = Secret::new(0.0).vouch(1.0);
    let _ = ledger.open(&sampler.draw(0)).release(sum, &mut ScalarGaussian { noise_multiplier: 1.0 }).unwrap();
    ledger.close().unwrap();
    let read = Ledger::read(&path).unwrap();
    assert_eq!(read.entries(), ledger.entries());
    assert_eq!(read.entries()[0].1, 101);
}

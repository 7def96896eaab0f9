//! The door.

use super::*;
use crate::{
    BallsInBins, Correlated, Neighbouring, Poisson, Purpose, Sampler, Sampling, ScalarGaussian, Secret, Shuffled,
    Strategy,
};

fn draw(step: u64) -> Draw {
    Poisson::new(100, 0.5, Key::from_seed(1)).unwrap().draw(step)
}

/// A mechanism that says what it is told.
struct Says(Event);
impl Mechanism<f64> for Says {
    fn event(&self, _step: u64) -> Event {
        self.0.clone()
    }
    fn unit(&mut self, _source: &Source, _blank: f64) -> f64 {
        1.0
    }
}

/// Checks that it is shown no secret.
struct Blind;
impl Mechanism<Vec<f64>> for Blind {
    fn event(&self, _step: u64) -> Event {
        Event::Gaussian { noise_multiplier: 0.0 }
    }
    fn unit(&mut self, _source: &Source, blank: Vec<f64>) -> Vec<f64> {
        assert_eq!(blank, [0.0, 0.0]);
        blank
    }
}

#[test]
fn the_noise_charged_is_the_noise_added() {
    for (neighbouring, factor) in [(Neighbouring::AddRemove, 1.0), (Neighbouring::ReplaceOne, 2.0)] {
        let mut ledger = Ledger::new(neighbouring);
        for (step, (z, bound)) in (0..).zip([(1.0, 1.0), (3.0, 0.5), (0.0, 7.0), (2.0, 0.0)]) {
            let mut round = ledger.open(&draw(step));
            let out =
                round.release(Secret::new(10.0).vouch(bound), &mut ScalarGaussian { noise_multiplier: z }).unwrap();
            let unit = Key::from_seed(1).stream(Purpose::Noise, step, 0).normal(0);
            assert_eq!(*out.get(), 10.0 + unit * (z * bound * factor));
            drop(round);
            let (last, _) = ledger.entries().pop().unwrap();
            let releases = vec![Event::Gaussian { noise_multiplier: z }];
            assert_eq!(last, Event::Round { sampling: crate::Sampling::Poisson { rate: 0.5 }, releases });
        }
    }
}

#[test]
fn no_two_releases_share_noise() {
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let mut seen = std::collections::HashSet::new();
    for step in 0..50 {
        let draw = draw(step);
        let mut round = ledger.open(&draw);
        for _ in 0..5 {
            let sum = Secret::new(vec![0.0; 3]).vouch(1.0);
            let out = round.release(sum, &mut ScalarGaussian { noise_multiplier: 1.0 }).unwrap();
            assert!(out.get().iter().all(|x| seen.insert(x.to_bits())), "step {step}");
        }
    }
    assert_eq!(ledger.rounds(), 50);
}

#[test]
fn a_draw_is_released_from_once() {
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let mut release = |draw: &Draw| {
        ledger.open(draw).release(Secret::new(1.0).vouch(1.0), &mut ScalarGaussian { noise_multiplier: 1.0 })
    };
    let first = draw(5);
    release(&first).unwrap();
    assert!(matches!(release(&first), Err(LedgerError::Reused { step: 5 })));
    assert!(matches!(release(&draw(5)), Err(LedgerError::Reused { step: 5 })));
    assert!(matches!(release(&draw(4)), Err(LedgerError::Reused { step: 4 })));
    release(&draw(6)).unwrap();
    // Another key has other noise.
    let other = Poisson::new(100, 0.5, Key::from_seed(1).apart()).unwrap();
    release(&other.draw(5)).unwrap();
    assert_eq!(ledger.rounds(), 3);
}

#[test]
fn a_round_that_released_nothing_may_be_opened_again() {
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let draw = draw(0);
    drop(ledger.open(&draw));
    assert_eq!(ledger.entries(), []);
    ledger.open(&draw).release(Secret::new(1.0).vouch(1.0), &mut ScalarGaussian { noise_multiplier: 1.0 }).unwrap();
    assert_eq!(ledger.rounds(), 1);
}

#[test]
fn what_cannot_be_noised_is_refused() {
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let gaussian = |noise_multiplier| Event::Gaussian { noise_multiplier };
    let mut step = 0;
    let mut release = |bound: f64, event: Event| {
        step += 1;
        ledger.open(&draw(step)).release(Secret::new(1.0).vouch(bound), &mut Says(event)).map(|_| ())
    };
    for bound in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(release(bound, gaussian(1.0)), Err(LedgerError::Bound { .. })));
        assert!(matches!(release(bound, gaussian(0.0)), Err(LedgerError::Bound { .. })));
    }
    assert!(matches!(release(1e300, gaussian(1e300)), Err(LedgerError::Bound { .. })));
    let look = Event::Revealed { what: "x".into() };
    for event in [gaussian(-1.0), gaussian(f64::NAN), gaussian(f64::INFINITY), look] {
        assert!(matches!(release(1.0, event), Err(LedgerError::Mechanism { .. })));
    }
    assert_eq!(ledger.entries(), []);
}

#[test]
fn a_mechanism_sees_no_secret() {
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let out = ledger.open(&draw(0)).release(Secret::new(vec![3.0, 4.0]).vouch(1.0), &mut Blind).unwrap();
    assert_eq!(*out.get(), [3.0, 4.0]);
}

#[test]
fn a_round_has_as_many_releases_as_streams() {
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let draw = draw(0);
    let mut round = ledger.open(&draw);
    let mut release = || round.release(Secret::new(0.0).vouch(1.0), &mut ScalarGaussian { noise_multiplier: 1.0 });
    for _ in 0..256 {
        release().unwrap();
    }
    assert!(matches!(release(), Err(LedgerError::Crowded)));
}

fn season(rounds: u64, bins: u64) -> Event {
    let strategy = Strategy::banded(3, rounds, rounds.div_ceil(bins), bins);
    Event::Season { strategy, noise_multiplier: 2.0 }
}

#[test]
fn a_season_is_bought_once() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::create(&path, Neighbouring::AddRemove).unwrap();
    let sampler = BallsInBins::new(100, 4, Key::from_seed(1)).unwrap();
    // Enough rounds that charges are written ahead, and one more than they come out even for.
    for step in 0..151 {
        let out = ledger.open(&sampler.draw(step)).release(Secret::new(10.0).vouch(0.5), &mut Says(season(151, 4)));
        assert_eq!(*out.unwrap().get(), 10.0 + 2.0 * 0.5, "unit noise of one, scaled by what is charged");
        let on_disk = Ledger::read(&path).unwrap().entries();
        assert_eq!(on_disk[0], (season(151, 4), 1), "paid before the first release");
        let tickets: u64 = on_disk[1..].iter().map(|(_, n)| n).sum();
        assert!((step + 1..=151).contains(&tickets), "{tickets} at {step}: never ahead of what the season holds");
    }
    ledger.close().unwrap();
    let round = Event::Round {
        sampling: Sampling::BallsInBins { bins: 4 },
        releases: vec![Event::Prepaid { noise_multiplier: 2.0 }],
    };
    for entries in [ledger.entries(), Ledger::read(&path).unwrap().entries()] {
        assert_eq!(entries, [(season(151, 4), 1), (round.clone(), 151)]);
    }
    // 38 participations of unit length in a banded matrix of unit columns: a Gaussian at 2 / sqrt(38).
    let gdp = crate::account::by_name("gdp").unwrap();
    let whole = Event::Gaussian { noise_multiplier: 2.0 / 38f64.sqrt() };
    let want = gdp.spent(&Ledger::planned(Neighbouring::AddRemove, vec![(whole, 1)]), 1e-5).unwrap();
    assert!((gdp.spent(&ledger, 1e-5).unwrap() - want).abs() < 1e-9);
}

#[test]
fn a_season_is_of_one_key_and_so_many_rounds() {
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let sampler = |seed| BallsInBins::new(100, 4, Key::from_seed(seed)).unwrap();
    let mut release = |seed, step, event: &Event| {
        ledger.open(&sampler(seed).draw(step)).release(Secret::new(0.0).vouch(1.0), &mut Says(event.clone())).unwrap();
        ledger.entries().iter().filter(|(e, _)| matches!(e, Event::Season { .. })).map(|(_, n)| n).sum::<u64>()
    };
    let short = season(4, 4);
    assert_eq!([release(1, 3, &short), release(1, 4, &short), release(1, 6, &short)], [1, 1, 1]);
    assert_eq!(release(1, 7, &short), 2, "past its last step");
    assert_eq!(release(2, 8, &short), 3, "another key has other noise and other bins");
    assert_eq!(release(2, 9, &season(5, 4)), 4, "another season");
}

#[test]
fn a_season_wants_batches_that_recur() {
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let mut release = |sampler: &dyn Sampler, step, strategy: Strategy| {
        let mut says = Says(Event::Season { strategy, noise_multiplier: 2.0 });
        ledger.open(&sampler.draw(step)).release(Secret::new(0.0).vouch(1.0), &mut says).map(|_| ())
    };
    let refused = |outcome| assert!(matches!(outcome, Err(LedgerError::Season { .. })), "{outcome:?}");
    let bins = BallsInBins::new(100, 4, Key::from_seed(1)).unwrap();
    let banded = |participations, separation| Strategy::banded(2, 8, participations, separation);
    refused(release(&Poisson::new(100, 0.25, Key::from_seed(1)).unwrap(), 0, banded(2, 4)));
    refused(release(&bins, 0, banded(2, 5)));
    refused(release(&bins, 0, banded(1, 4)));
    refused(release(&bins, 0, Strategy::Tree { rounds: vec![5], epochs: 2 }));
    refused(release(&bins, 0, Strategy::Tree { rounds: vec![3], epochs: 2 }));
    refused(release(&bins, 0, Strategy::TreeOfEpochs { batches: 3, epochs: 2, completed: false }));
    refused(release(
        &bins,
        0,
        Strategy::Toeplitz { coefficients: vec![], rounds: 8, participations: 2, separation: 4 },
    ));
    refused(release(
        &bins,
        0,
        Strategy::Toeplitz { coefficients: vec![1.0, 2.0], rounds: 8, participations: 2, separation: 4 },
    ));
    release(&bins, 0, banded(2, 4)).unwrap();
    release(&bins, 1, Strategy::Tree { rounds: vec![1, 3], epochs: 2 }).unwrap();
    let draw = bins.draw(2);
    let mut round = ledger.open(&draw);
    let mut again = || round.release(Secret::new(0.0).vouch(1.0), &mut Says(season(8, 4)));
    again().unwrap();
    assert!(matches!(again(), Err(LedgerError::Season { .. })), "its noise would be used twice");
}

#[test]
fn a_season_goes_on_after_a_stop_for_its_own_key_alone() {
    for (seed, bought) in [(1, 1), (2, 2)] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ledger");
        let release = |ledger: &mut Ledger, seed, step| {
            let sampler = BallsInBins::new(100, 4, Key::from_seed(seed)).unwrap();
            ledger.open(&sampler.draw(step)).release(Secret::new(0.0).vouch(1.0), &mut Says(season(8, 4))).unwrap();
        };
        let mut ledger = Ledger::create(&path, Neighbouring::AddRemove).unwrap();
        (0..5).for_each(|step| release(&mut ledger, 1, step));
        drop(ledger);
        let mut ledger = Ledger::resume(&path).unwrap();
        let mut imagined = ledger.imagine();
        (5..8).for_each(|step| release(&mut imagined, seed, step));
        (5..8).for_each(|step| release(&mut ledger, seed, step));
        assert_eq!(imagined.entries(), ledger.entries());
        let seasons =
            ledger.entries().iter().filter(|(e, _)| matches!(e, Event::Season { .. })).map(|(_, n)| n).sum::<u64>();
        assert_eq!(seasons, bought);
        // Steps that are made again after a crash are not in the price of the first season.
        drop(ledger);
        let mut ledger = Ledger::resume(&path).unwrap();
        (4..8).for_each(|step| release(&mut ledger, 1, step));
        assert!(crate::account::by_name("gdp").unwrap().spent(&ledger, 1e-5).is_ok(), "every round has its ticket");
    }
}

#[test]
fn rounds_that_recur_do_not_go_on_in_another_life() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let live = |ledger: &mut Ledger, seed, steps: u64| {
        let sampler = BallsInBins::new(100, 10, Key::from_seed(seed)).unwrap();
        for step in 0..steps {
            let mut noise = ScalarGaussian { noise_multiplier: 2.0 };
            ledger.open(&sampler.draw(step)).release(Secret::new(0.0).vouch(1.0), &mut noise).unwrap();
        }
    };
    let mut ledger = Ledger::create(&path, Neighbouring::AddRemove).unwrap();
    live(&mut ledger, 1, 5);
    drop(ledger);
    let mut ledger = Ledger::resume(&path).unwrap();
    live(&mut ledger, 2, 5);
    ledger.close().unwrap();
    for ledger in [ledger, Ledger::read(&path).unwrap()] {
        let counts: Vec<u64> = ledger.entries().iter().map(|(_, n)| *n).collect();
        assert_eq!(counts, [5, 5], "ten rounds of one life would hold each example once; these may hold one twice");
    }
}

/// Steps that are left out are no rounds, and the same examples may come back over them: of eight rounds of one bin, each holds the same ones.
#[test]
fn steps_that_are_left_out_hide_nobody() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::create(&path, Neighbouring::AddRemove).unwrap();
    let sampler = BallsInBins::new(100, 8, Key::from_seed(1)).unwrap();
    let release = |ledger: &mut Ledger, step| {
        let mut noise = ScalarGaussian { noise_multiplier: 2.0 };
        ledger.open(&sampler.draw(step)).release(Secret::new(0.0).vouch(1.0), &mut noise).map(|_| ())
    };
    (0..64).step_by(8).for_each(|step| release(&mut ledger, step).unwrap());
    // Those in a row are one run again.
    (57..72).for_each(|step| release(&mut ledger, step).unwrap());
    ledger.close().unwrap();
    let gdp = crate::account::by_name("gdp").unwrap();
    let at_least = |rounds: f64| {
        let event = Event::Gaussian { noise_multiplier: 2.0 / rounds.sqrt() };
        gdp.spent(&Ledger::planned(Neighbouring::AddRemove, vec![(event, 1)]), 1e-5).unwrap()
    };
    for ledger in [ledger, Ledger::read(&path).unwrap()] {
        let counts: Vec<u64> = ledger.entries().iter().map(|(_, n)| *n).collect();
        assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 16]);
        // Whoever is in the first bin was in nine rounds.
        assert!(gdp.spent(&ledger, 1e-5).unwrap() >= at_least(9.0));
    }
}

/// Of as many rounds as an epoch has, from its middle on, one and the same example may be in two.
#[test]
fn shuffled_epochs_are_counted_from_their_beginning() {
    let sampler = Shuffled::new(100, 10, 100, Key::from_seed(1)).unwrap();
    let release = |ledger: &mut Ledger, step| {
        let mut noise = ScalarGaussian { noise_multiplier: 2.0 };
        ledger.open(&sampler.draw(step)).release(Secret::new(0.0).vouch(1.0), &mut noise).map(|_| ())
    };
    let mut ledger = Ledger::new(Neighbouring::ReplaceOne);
    let refused = release(&mut ledger, 5);
    assert!(matches!(refused, Err(LedgerError::Midway { step: 5, batches: 10 })), "{refused:?}");
    assert_eq!(ledger.entries(), []);
    for step in (10..13).chain(25..31) {
        release(&mut ledger, step).unwrap();
    }
    let counts: Vec<u64> = ledger.entries().iter().map(|(_, n)| *n).collect();
    assert_eq!(counts, [3, 6]);
}

/// A season's one charge is for batches of one number: with those of two, an example may come back sooner.
#[test]
fn a_season_is_of_one_way_of_drawing() {
    let key = std::sync::Arc::new(Key::from_seed(1));
    let samplers = [4, 8].map(|bins| BallsInBins::new(100, bins, key.clone()).unwrap());
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    for step in 0..8 {
        let mut says = Says(season(8, 4));
        let draw = samplers[usize::from(step >= 4)].draw(step);
        ledger.open(&draw).release(Secret::new(0.0).vouch(1.0), &mut says).unwrap();
    }
    let seasons =
        ledger.entries().iter().filter(|(event, _)| matches!(event, Event::Season { .. })).map(|(_, n)| n).sum::<u64>();
    assert_eq!(seasons, 2);
}

/// Past its last step a season's noise would go on to be correlated with what it was: two seasons of one tree are not two trees.
#[test]
fn no_noise_of_a_season_is_made_outside_of_it() {
    let strategy = Strategy::TreeOfEpochs { batches: 4, epochs: 1, completed: false };
    let white = Box::new(|stream: &crate::Stream, _: f64| stream.normal(0));
    let mut noise = Correlated::new(strategy, 2.0, 2, white);
    let sampler = BallsInBins::new(100, 4, Key::from_seed(1)).unwrap();
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    for step in 0..9 {
        let outcome = ledger.open(&sampler.draw(step)).release(Secret::new(0.0).vouch(1.0), &mut noise);
        assert_eq!(outcome.is_ok(), (2..6).contains(&step), "step {step}");
    }
}

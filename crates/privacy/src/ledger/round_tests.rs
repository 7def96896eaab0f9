//! The door.

use super::*;
use crate::{Neighbouring, Poisson, ScalarGaussian, Secret, Stream};

fn draw(step: u64) -> Draw {
    Poisson::new(100, 0.5, Key::from_seed(1)).unwrap().draw(step)
}

/// A mechanism that says what it is told.
struct Says(Event);
impl Mechanism<f64> for Says {
    fn event(&self, _step: u64) -> Event {
        self.0.clone()
    }
    fn unit(&mut self, _stream: &Stream, _blank: f64) -> f64 {
        1.0
    }
}

/// Checks that it is shown no secret.
struct Blind;
impl Mechanism<Vec<f64>> for Blind {
    fn event(&self, _step: u64) -> Event {
        Event::Gaussian { noise_multiplier: 0.0 }
    }
    fn unit(&mut self, _stream: &Stream, blank: Vec<f64>) -> Vec<f64> {
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
    let other = Poisson::new(100, 0.5, Key::from_seed(1).epoch(1)).unwrap();
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

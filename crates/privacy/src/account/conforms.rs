//! What every accountant must do, run for each of the list.

use crate::{AccountError, Event, Ledger, Neighbouring, Sampling, account};

fn gaussian(z: f64) -> Event {
    Event::Gaussian { noise_multiplier: z }
}

fn round(rate: f64, multipliers: &[f64]) -> Event {
    let releases = multipliers.iter().map(|z| gaussian(*z)).collect();
    Event::Round { sampling: Sampling::Poisson { rate }, releases }
}

/// Runs the whole list of demands.
pub(super) fn all(name: &str) {
    for neighbouring in [Neighbouring::AddRemove, Neighbouring::ReplaceOne] {
        let spent = |entries: Vec<(Event, u64)>, delta| {
            let accountant = account::by_name(name).unwrap();
            assert_eq!(accountant.name(), name);
            accountant.spent(&Ledger::planned(neighbouring, entries), delta)
        };
        nothing_costs_nothing(spent);
        no_noise_costs_everything(spent);
        nonsense_is_refused(spent);
        without_sampling_it_is_the_gaussian(spent);
        more_rounds_cost_more(spent);
    }
    assert!(account::help(name).is_some_and(|help| !help.is_empty()));
    assert!(account::names().contains(&name));
}

fn nothing_costs_nothing(spent: impl Fn(Vec<(Event, u64)>, f64) -> Result<f64, AccountError>) {
    for entries in [vec![], vec![(round(0.1, &[1.0]), 0)], vec![(round(0.0, &[1.0]), 1000)], vec![(round(0.5, &[]), 7)]]
    {
        assert_eq!(spent(entries, 1e-5), Ok(0.0));
    }
}

fn no_noise_costs_everything(spent: impl Fn(Vec<(Event, u64)>, f64) -> Result<f64, AccountError>) {
    let look = Event::Revealed { what: "a loss".into() };
    for event in [look, gaussian(0.0), round(1e-4, &[0.0]), round(1.0, &[0.0]), round(0.5, &[1.0, 0.0])] {
        assert_eq!(spent(vec![(round(0.01, &[1.0]), 10), (event, 1)], 1e-5), Ok(f64::INFINITY));
    }
}

fn nonsense_is_refused(spent: impl Fn(Vec<(Event, u64)>, f64) -> Result<f64, AccountError>) {
    for delta in [0.0, 1.0, -1.0, 2.0, f64::NAN] {
        let error = spent(vec![(round(0.1, &[1.0]), 1)], delta).unwrap_err();
        assert!(error.to_string().contains("not in (0, 1)"));
    }
    let nested = Event::Round { sampling: Sampling::Poisson { rate: 0.5 }, releases: vec![round(0.5, &[1.0])] };
    for event in [round(0.1, &[-1.0]), round(0.1, &[f64::NAN]), round(1.5, &[1.0]), round(f64::NAN, &[1.0]), nested] {
        assert!(matches!(spent(vec![(event, 1)], 1e-5), Err(AccountError::Unpriced(_))));
    }
}

fn without_sampling_it_is_the_gaussian(spent: impl Fn(Vec<(Event, u64)>, f64) -> Result<f64, AccountError>) {
    let (plain, round) = (spent(vec![(gaussian(10.0), 100)], 1e-5), spent(vec![(round(1.0, &[10.0]), 100)], 1e-5));
    assert_eq!(plain, round);
    // The exact value (Balle & Wang 2018) is a floor, and the plain Gaussian is priced well by all.
    let epsilon = plain.unwrap();
    assert!(epsilon > 4.377_178 && epsilon < 4.377_178 * 1.1, "{epsilon}");
}

fn more_rounds_cost_more(spent: impl Fn(Vec<(Event, u64)>, f64) -> Result<f64, AccountError>) {
    let mut before = 0.0;
    for steps in [1, 10, 100, 1000, 10_000, 10_000_000] {
        let epsilon = match spent(vec![(round(0.01, &[1.0]), steps)], 1e-5) {
            // An accountant may know nothing of sampling, if it says so.
            Err(AccountError::Unpriced(_)) => return,
            epsilon => epsilon.unwrap(),
        };
        assert!(epsilon >= before && epsilon.is_finite(), "{steps} rounds: {epsilon} after {before}");
        before = epsilon;
    }
}

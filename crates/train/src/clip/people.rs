//! Every rule of the list on people with several records: one person, whatever the records, moves a release by at most the bound.
use super::{conformance::*, trial::*, *};
use crate::tap::Rows;
use engine::Tensor;
use rayon::prelude::*;

/// Places of each person.
const EACH: usize = 4;

/// A person's records.
type Person = Vec<[f32; 3]>;

/// Taps of people, as the trainer makes them: places without a share repeat the first record, with nothing in them.
fn people(all: &[Person], who: Vec<usize>) -> Secret<Taps> {
    let places = |person: &Person| -> Vec<([f32; 3], f32)> {
        let share = 1.0 / person.len() as f32;
        (0..EACH).map(|k| person.get(k).map_or(([0.0; 3], 0.0), |g| (g.map(|x| x * share), share))).collect()
    };
    let places: Vec<_> = all.iter().flat_map(places).collect();
    let shares = places.iter().map(|(_, share)| *share).collect();
    let mut taps = Taps::new(all.len(), &layout()).of_people(EACH, shares);
    let n = places.len();
    taps.leave(0, || Rows::new(Tensor::new([n, 2], places.iter().flat_map(|(g, _)| [g[0], g[1]]).collect())));
    taps.leave(1, || Rows::new(Tensor::new([n, 1], places.iter().map(|(g, _)| g[2]).collect())));
    taps.who = who;
    Secret::new(taps)
}

fn lot(rule: &dyn ClipRule, all: &[Person], from: usize) -> Seen {
    open(contribute(rule, &layout(), people(all, (from..from + all.len()).collect()), None), rule)
}

/// Adding a person with any records, and exchanging all of a person's records for others.
#[test]
fn one_person_moves_a_release_by_at_most_the_bound() {
    every().par_iter().for_each(|(text, rule)| {
        let mut coins = Coins::new(5);
        for case in 0..1_000 {
            let person = |coins: &mut Coins| -> Person {
                let mut records = coins.lot();
                records.truncate(EACH);
                records
            };
            let all: Vec<Person> = (0..1 + case % 4).map(|_| person(&mut coins)).collect();
            let with = lot(&**rule, &all, 0);
            let moved = apart(&**rule, &with, &lot(&**rule, &all[1..], 1));
            assert!(moved <= 1.0 + 2e-6, "{text}\ncase {case}: {all:?} moves by {moved} of what is allowed");
            let other: Vec<Person> = [person(&mut coins)].into_iter().chain(all[1..].iter().cloned()).collect();
            let moved = apart(&**rule, &with, &lot(&**rule, &other, 0));
            assert!(moved <= 2.0 + 4e-6, "{text}\ncase {case}: {all:?} for {other:?} moves by {moved}");
        }
    });
}

/// The records of one person are clipped together: opposed ones cancel, and aligned ones count no more than one.
#[test]
fn records_are_clipped_as_one_vector() {
    let rule = rule("rule = \"flat\"\nbound = 1.0");
    let sum = |person: Person| lot(&*rule, &[person], 0).sum;
    assert_eq!(sum(vec![[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0]]), [0.0; 3]);
    assert_eq!(sum(vec![[1.5, 2.0, 0.0], [-1.5, 2.0, 0.0]])[1], 1.0);
    assert_eq!(sum(vec![[0.0, 0.5, 0.0]; 4]), [0.0, 0.5, 0.0]);
}

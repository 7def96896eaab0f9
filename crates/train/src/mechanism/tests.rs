//! Every mechanism of the list.
use super::{MechanismConfig, Stretch};
use crate::{
    grads::{BLOCK, Grads, Layout},
    layer::{Init, Parameter},
};
use privacy::{Event, Key, Source};
use std::sync::Arc;

/// One of each, with settings that use all of it.
const TRIED: &[&str] = &[
    "mechanism = \"gaussian\"",
    "mechanism = \"tree\"",
    "mechanism = \"tree\"\nrestart = \"never\"\nreduced = false",
    "mechanism = \"banded\"\nbands = 3",
];
const STRETCH: Stretch = Stretch { first: 2, rounds: 12, bins: Some(5) };

fn layout(n: usize) -> Arc<Layout> {
    Layout::new(vec![Parameter::new("w", [n], Init::Constant(0.0))])
}

fn noise(config: &str, steps: std::ops::Range<u64>, layout: &Arc<Layout>) -> Vec<Vec<f32>> {
    let config: MechanismConfig = toml::from_str(config).unwrap();
    let mut made = config.get().prepare(1.5, &STRETCH).unwrap();
    let key = Key::from_seed(8);
    steps.map(|step| made.unit(&Source::first(&key, step), Grads::zeros(layout)).flat().to_vec()).collect()
}

#[test]
fn all_mechanisms_are_tried() {
    for entry in MechanismConfig::ENTRIES {
        let named = format!("mechanism = \"{}\"", entry.name);
        assert!(TRIED.iter().any(|config| config.starts_with(&named)), "add `{}` to TRIED", entry.name);
        assert!(!entry.summary.is_empty());
    }
}

#[test]
fn noise_is_a_function_of_key_and_step() {
    let layout = layout(2 * BLOCK + 5);
    for config in TRIED {
        let straight = noise(config, 2..14, &layout);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| noise(config, 2..14, &layout)), straight, "{config}: threads");
        for stop in [3, 8, 13] {
            assert_eq!(noise(config, stop..14, &layout), straight[stop as usize - 2..], "{config}: taken up at {stop}");
        }
        assert!(straight.iter().flatten().all(|x| x.is_finite()));
        assert!(noise(config, 2..14, &layout.hollow()).iter().all(Vec::is_empty), "{config}: a rehearsal");
    }
}

#[test]
fn what_is_charged_is_what_was_asked_for() {
    for config in TRIED {
        let config: MechanismConfig = toml::from_str(config).unwrap();
        let event = config.get().prepare(1.5, &STRETCH).unwrap().event(3);
        match event {
            Event::Gaussian { noise_multiplier } => assert_eq!(noise_multiplier, 1.5),
            Event::Season { noise_multiplier, strategy } => {
                assert!(noise_multiplier == 1.5 && strategy.rounds() >= STRETCH.rounds, "{strategy}");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn correlated_noise_wants_examples_that_come_back_in_order() {
    for config in &TRIED[1..] {
        let config: MechanismConfig = toml::from_str(config).unwrap();
        let error = config.get().prepare(1.0, &Stretch { bins: None, ..STRETCH }).err().unwrap();
        assert!(error.contains("train.sampling"), "{error}");
    }
    let none: MechanismConfig = toml::from_str("mechanism = \"banded\"\nbands = 0").unwrap();
    assert!(none.get().prepare(1.0, &STRETCH).err().unwrap().contains("bands"));
}

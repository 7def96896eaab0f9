//! Every way of sampling of the list.
use super::SamplingConfig;
use privacy::Key;
use std::sync::Arc;

/// One of each.
pub const TRIED: &[&str] = &[
    "sampling = \"poisson\"",
    "sampling = \"truncated-poisson\"\nlargest = 30",
    "sampling = \"fixed-size\"",
    "sampling = \"balls-in-bins\"",
    "sampling = \"shuffled\"",
];

#[test]
fn all_samplings_are_tried_and_mean_the_lot_they_say() {
    for entry in SamplingConfig::ENTRIES {
        let config = TRIED.iter().find(|c| c.starts_with(&format!("sampling = \"{}\"", entry.name)));
        let config: SamplingConfig = toml::from_str(config.unwrap_or_else(|| panic!("add `{}`", entry.name))).unwrap();
        let lot = config.get().lot(18.0, 200);
        assert!((17.0..20.0).contains(&lot), "{}: {lot}", entry.name);
        let sampler = config.get().sampler(200, 200, lot, Arc::new(Key::from_seed(1))).unwrap();
        let drawn: usize = (0..2000)
            .flat_map(|step| {
                sampler.draw(step).chunks(usize::MAX).map(|who| who.map(|who| who.len())).collect::<Vec<_>>()
            })
            .map(count)
            .sum();
        // 2000 lots; the number in a Poisson lot has deviation 4.1, so the mean is within 0.5 by five standard errors.
        assert!((drawn as f64 / 2000.0 - lot).abs() < 0.5, "{}: {drawn}", entry.name);
    }
}

/// What a secret number is, for a test: looked at, in a ledger that is thrown away.
fn count(secret: privacy::Secret<usize>) -> usize {
    let mut ledger = privacy::Ledger::new(privacy::Neighbouring::AddRemove);
    secret.reveal(&mut ledger, "a count, for a test").unwrap().into_inner()
}

#[test]
fn a_word_alone_is_enough() {
    #[derive(serde::Deserialize)]
    struct Holder {
        sampling: SamplingConfig,
    }
    let read = |text: &str| toml::from_str::<Holder>(text).map(|h| h.sampling);
    assert_eq!(read("sampling = \"shuffled\"").unwrap(), read("sampling = { sampling = \"shuffled\" }").unwrap());
    assert!(read("sampling = \"shuffeld\"").unwrap_err().to_string().contains("shuffled"));
    assert!(read("sampling = \"truncated-poisson\"").unwrap_err().to_string().contains("largest"));
    assert!(read("sampling = 3").unwrap_err().to_string().contains("integer"));
}

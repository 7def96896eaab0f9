//! Diagnosing holds one chunk of examples, however many are looked at. One test in a process of its own: it reads the process'
//! peak, which knows nothing of tests.
use std::{fs, path::Path};
use train::{
    config::{Config, DEFAULT},
    diagnose::{Ask, diagnose, source::On},
};

/// The most memory that this process held, in MiB; none where the system does not say.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib >> 10)
}

#[test]
fn memory_does_not_grow_with_the_examples() {
    let layers = "model.layers=[{layer=\"linear\", features=256}, {layer=\"tanh\"}, {layer=\"linear\", features=2}]";
    let config = Config::read("", DEFAULT, &[layers.to_owned(), "train.chunk=16".to_owned()]).unwrap();
    let look = |examples| {
        let ask = Ask {
            checkpoints: Vec::new(),
            steps: Vec::new(),
            examples,
            on: On::Evaluation,
            only: vec!["norms".into()],
            eigenvalues: 0,
            run: None,
            ledger: "nowhere".into(),
        };
        assert_eq!(diagnose(&config, Path::new(""), &ask).unwrap().examples, examples);
        peak()
    };
    // Once before: what the allocator does not give back after data were read is no part of the question.
    look(256);
    let Some((few, many)) = look(256).zip(look(4096)) else { return };
    // Stacked directions, kept with every chunk, made 145 MiB and 786 MiB of it.
    assert!(many < few + 32, "{few} MiB for 256 examples, {many} MiB for 4096");
}

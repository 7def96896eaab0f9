//! Arrays: what NumPy wrote is what is read, and what is refused.
use super::*;
use proptest::prelude::*;
use std::fs;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/data/npy/vectors")
}

fn numbers(array: &Array) -> Vec<f64> {
    (0..array.len()).map(|i| array.number(i)).collect()
}

/// `vectors/make.py`: -6 to 5 as 3 x 2 x 2, in every kind of number, either end first; unsigned ones from 0, booleans their last bit.
#[test]
fn every_kind_of_number_is_read_as_numpy_wrote_it() {
    let ramp: Vec<f64> = (-6..6).map(f64::from).collect();
    for kind in 0..17 {
        let array = Array::read(&vectors().join("kinds.npz"), &format!("k{kind}"), "inputs").unwrap();
        let expected: Vec<f64> = match kind {
            0..=12 => ramp.clone(),
            13..=15 => ramp.iter().map(|x| x + 6.0).collect(),
            _ => ramp.iter().map(|x| x.rem_euclid(2.0)).collect(),
        };
        assert_eq!((array.shape.as_slice(), numbers(&array)), (&[3, 2, 2][..], expected), "{kind}");
    }
    let read = |name: &str| Array::read(&vectors().join(name), "x", "inputs").unwrap();
    assert_eq!(numbers(&read("fortran.npy")), numbers(&read("both.npz")));
    let halves = numbers(&read("halves.npy"));
    assert_eq!(halves[..5], [1.5, -0.0999755859375, 65504.0, 5.960464477539063e-8, f64::INFINITY]);
    assert!(halves[5].is_nan());
}

fn source(text: &str) -> Npy {
    toml::from_str(&format!("train_inputs = 'both.npz'\nexamples = 3\n{text}")).unwrap()
}

#[test]
fn an_archive_is_a_data_set() {
    let npy = source("classes = 3\nmean = [-1.5, 0]\nstd = [1, 2]\n");
    let loaded = npy.load(&vectors()).unwrap();
    assert_eq!((loaded.train.shape(), loaded.train.len(), loaded.declared), (&[2, 2][..], 3, 3));
    let batch = loaded.train.gather(&[0, 2]);
    assert_eq!(batch.inputs, [0.0, 0.25, -0.5, -0.375, 2.0, 2.25, 0.5, 0.625]);
    assert!(matches!(batch.targets, Targets::Classes { labels, .. } if labels == [2, 1]));
    assert_eq!(npy.ask(Path::new(""), &vectors().join("fortran.npy")).unwrap().gather(&[0, 2]).inputs, batch.inputs);
    let npy = source("range = [0, 4]\n");
    let Targets::Values { width: 1, data } = npy.load(&vectors()).unwrap().train.gather(&[0, 1, 2]).targets else {
        panic!()
    };
    assert_eq!((data, npy.answer(0.25)), (vec![0.5, 0.0, 0.25], 1.0));
}

/// Bytes stay bytes and are read as any other numbers.
#[test]
fn bytes_are_numbers() {
    let read = |inputs: &str| {
        let text = format!("train_targets = 'both.npz'\ninputs = '{inputs}'\nclasses = 3\nmean = [2.5]\nstd = [3]\n");
        let npy = Npy { train_inputs: "kinds.npz".into(), ..source(&text) };
        npy.load(&vectors()).unwrap().train.gather(&[0, 1, 2]).inputs
    };
    let (bytes, words) = (read("k13"), read("k14"));
    assert!(bytes.iter().zip(&words).all(|(a, b)| (a - b).abs() < 1e-6), "{bytes:?} {words:?}");
}

/// A file of one array of f32.
fn npy(shape: &str, values: &[f32]) -> Vec<u8> {
    let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = [&b"\x93NUMPY\x01\0"[..], &(head.len() as u16).to_le_bytes(), head.as_bytes()].concat();
    bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

#[test]
fn what_is_wrong_is_named_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |x: Vec<u8>, y: Vec<u8>, keys: &str| {
        fs::write(folder.path().join("x.npy"), x).unwrap();
        fs::write(folder.path().join("y.npy"), y).unwrap();
        let text = format!("train_inputs = 'x.npy'\nexamples = 2\n{keys}");
        toml::from_str::<Npy>(&text).unwrap().load(folder.path()).unwrap_err().to_string()
    };
    let two = || npy("(2, 1)", &[0.0, 1.0]);
    let keys = "train_targets = 'y.npy'\nclasses = 2\n";
    for (x, y, keys, expected) in [
        (two(), npy("(2,)", &[0.0, 777.0]), keys, "y.npy: the target of row 2 is no whole number below `classes = 2`"),
        (two(), npy("(2,)", &[0.5, 1.0]), keys, "y.npy: the target of row 1 is no whole number"),
        (two(), npy("(2,)", &[f32::NAN, 1.0]), keys, "y.npy: the target of row 1 is no whole number"),
        (two(), npy("(2, 2)", &[0.0; 4]), keys, "y.npy: holds several numbers a row"),
        (two(), npy("(3,)", &[0.0; 3]), keys, "y.npy: does not hold as many targets as"),
        (npy("(2, 1)", &[777.0, f32::INFINITY]), two(), keys, "x.npy: row 2 holds a number that is not finite"),
        (npy("(2, 3)", &[0.0; 5]), two(), keys, "x.npy: holds fewer bytes"),
        (npy("(2, 1)", &[0.0; 3]), two(), keys, "x.npy: holds more bytes"),
        (npy("(18446744073709551615, 8)", &[]), two(), keys, "x.npy: holds fewer bytes"),
        (npy("(0, 3)", &[]), two(), keys, "x.npy: holds no rows"),
        (npy("()", &[1.0]), two(), keys, "x.npy: holds no rows"),
        (b"777".to_vec(), two(), keys, "x.npy: is no NumPy array"),
        (two()[..30].to_vec(), two(), keys, "x.npy: ends within its header"),
        (fs::read(vectors().join("objects.npy")).unwrap(), two(), keys, "x.npy: does not hold plain numbers"),
        (fs::read(vectors().join("kinds.npz")).unwrap(), two(), keys, "has no array `x`; name it with `data.inputs`"),
        (two(), two(), "classes = 2\n", "data.train_targets: must be given"),
        (two(), two(), "train_targets = 'y.npy'\n", "data.classes: must be given"),
        (two(), two(), "classes = 2\nrange = [0, 1]\n", "data.range: excludes `classes`"),
        (two(), two(), "range = [1, 0]\n", "data.range: `range` must be two finite numbers"),
        (two(), two(), "classes = 1\n", "data.classes: must be at least 2"),
        (two(), two(), "classes = 2\nclass_names = ['a']\n", "data.class_names: must list"),
        (two(), two(), "train_targets = 'y.npy'\nclasses = 2\nmean = [0, 0]\nstd = [1, 1]\n", "data.mean"),
        (
            two(),
            two(),
            "train_targets = 'y.npy'\nclasses = 2\ntest_inputs = 'x.npy'\ntest_targets = 'y.npy'\n",
            "are the training data",
        ),
    ] {
        let error = refused(x, y, keys);
        assert!(error.contains(expected) && !error.contains("777"), "{expected}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_bytes_panic(which in 0usize..5, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
                      cut in prop::option::of(any::<prop::sample::Index>())) {
        let name = ["kinds.npz", "both.npz", "fortran.npy", "halves.npy", "objects.npy"][which];
        let mut bytes = fs::read(vectors().join(name)).unwrap();
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, bytes).unwrap();
        for name in ["x", "k3"] {
            if let Ok(array) = Array::read(&path, name, "inputs") {
                prop_assert_eq!(numbers(&array).len(), array.shape.iter().product::<usize>());
            }
        }
    }
}

//! IDX files made by hand, every refusal, and the real sets where they are.

use super::*;

fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let bytes = sizes.iter().flat_map(|s| s.to_be_bytes());
    [0, 0, 8, sizes.len() as u8].into_iter().chain(bytes).chain(values.iter().copied()).collect()
}

fn config() -> Idx {
    toml::from_str("train_images = 'i'\ntrain_labels = 'l'\nexamples = 2\nclasses = 3").unwrap()
}

fn load(config: &Idx, images: &[u8], labels: &[u8]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("i"), images).unwrap();
    std::fs::write(folder.path().join("l"), labels).unwrap();
    config.load(folder.path()).map_err(|e| e.to_string().replace(&folder.path().display().to_string(), ""))
}

#[test]
fn images_and_labels_are_read() {
    let images = idx(&[2, 1, 2], &[0, 255, 51, 102]);
    let config = Idx { mean: 0.5, std: 0.5, ..config() };
    let loaded = load(&config, &images, &idx(&[2], &[2, 0])).unwrap();
    let batch = loaded.train.gather(&[0, 1]);
    assert_eq!(batch.shape, [1, 1, 2]);
    assert_eq!(batch.inputs, [-1.0, 1.0, -0.6, -0.2]);
    assert!(matches!(batch.targets, Targets::Classes { labels, names } if labels == [2, 0] && names[2] == "2"));
    assert!(loaded.notes.is_empty() && loaded.evaluation.is_none());
    let twice = Idx { test_images: Some("i".into()), test_labels: Some("l".into()), ..config };
    let error = load(&twice, &images, &idx(&[2], &[2, 0])).unwrap_err();
    assert!(error.contains("are the training data"), "{error}");
    let rows = load(&config_of(3, &["a", "b", "c"]), &idx(&[2, 4], &[0; 8]), &idx(&[2], &[2, 0])).unwrap().train;
    assert_eq!((rows.shape(), rows.class_names().unwrap()[1].as_str()), (&[4][..], "b"));
    let colour = load(&self::config(), &idx(&[2, 3, 1, 1], &[0; 6]), &idx(&[2], &[2, 0])).unwrap().train;
    assert_eq!(colour.shape(), [3, 1, 1]);
}

#[test]
fn images_alone_are_read_to_be_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images");
    let ask = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Idx { mean: 0.5, std: 0.5, ..config() }.ask(Path::new(""), &path).map_err(|e| e.to_string())
    };
    let asked = ask(&idx(&[2, 1, 2], &[0, 255, 51, 102])).unwrap();
    assert_eq!((asked.len(), asked.gather(&[0, 1]).inputs), (2, vec![-1.0, 1.0, -0.6, -0.2]));
    assert!(ask(&idx(&[u32::MAX, 0, 1], &[])).unwrap_err().contains("data.shape"));
    assert!(ask(&idx(&[2], &[1, 2])).unwrap_err().contains("no IDX file of images"));
}

fn config_of(classes: usize, names: &[&str]) -> Idx {
    Idx { classes, class_names: names.iter().map(|n| (*n).to_owned()).collect(), ..config() }
}

#[test]
fn bad_files_are_named() {
    let (images, labels) = (idx(&[2, 1, 1], &[1, 2]), idx(&[2], &[0, 1]));
    let cases = [
        (b"PNG..".to_vec(), labels.clone(), "/i: is no IDX file (wrong first"),
        (vec![], labels.clone(), "/i: is no IDX file (wrong first"),
        ([&[0, 0, 13, 3], &images[4..]].concat(), labels.clone(), "/i: is an IDX file, but not of unsigned"),
        (images[..9].to_vec(), labels.clone(), "/i: ends within its IDX header"),
        (images[..17].to_vec(), labels.clone(), "/i: holds fewer bytes"),
        ([&images[..], &[7]].concat(), labels.clone(), "/i: holds more bytes"),
        (idx(&[u32::MAX, u32::MAX, u32::MAX], &[0; 8]), labels.clone(), "/i: holds fewer bytes"),
        (labels.clone(), images.clone(), "/i: is no IDX file of images"),
        (images.clone(), images.clone(), "/l: is no IDX file of labels"),
        (images.clone(), idx(&[3], &[0, 1, 2]), "/l: does not hold as many labels"),
        (images.clone(), idx(&[2], &[0, 93]), "/l: label 2 is not below `classes = 3`"),
        (idx(&[2, 0, 1], &[]), labels.clone(), "data.shape"),
    ];
    for (images, labels, expected) in cases {
        let error = load(&config(), &images, &labels).unwrap_err();
        assert!(error.contains(expected) && !error.contains("93"), "{expected}: {error}");
    }
}

#[test]
fn bad_declarations_are_named() {
    let (images, labels) = (idx(&[2, 1, 1], &[1, 2]), idx(&[2], &[0, 1]));
    for (config, expected) in [
        (Idx { std: 0.0, ..config() }, "data.std"),
        (Idx { mean: f64::NAN, ..config() }, "data.mean"),
        (Idx { examples: 0, ..config() }, "data.examples"),
        (config_of(1, &[]), "data.classes"),
        (config_of(3, &["a"]), "data.class_names"),
        (Idx { test_images: Some("i".into()), ..config() }, "data.test_images"),
        (Idx { train_images: "none".into(), ..config() }, "--data-dir"),
    ] {
        assert!(load(&config, &images, &labels).unwrap_err().contains(expected), "{expected}");
    }
}

/// Class counts of the training set and its first labels.
fn real(name: &str) -> Option<(Vec<usize>, Vec<u32>, Loaded)> {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("SECATEUR_DATA").map_or_else(|| PathBuf::from(shared), PathBuf::from).join(name);
    if !root.is_dir() {
        eprintln!("skipped: no data at {}", root.display());
        return None;
    }
    let text = "train_images = 'train-images-idx3-ubyte'\ntrain_labels = 'train-labels-idx1-ubyte'\nexamples = 60000\n\
                test_images = 't10k-images-idx3-ubyte'\ntest_labels = 't10k-labels-idx1-ubyte'";
    let loaded = toml::from_str::<Idx>(text).unwrap().load(&root).unwrap();
    let mut counts = vec![0; 10];
    for batch in loaded.train.chunks(6000) {
        let Targets::Classes { labels, .. } = batch.targets else { panic!("classes") };
        labels.iter().for_each(|&l| counts[l as usize] += 1);
    }
    let Targets::Classes { labels, .. } = loaded.train.gather(&(0..10).collect::<Vec<_>>()).targets else { panic!() };
    Some((counts, labels, loaded))
}

#[test]
fn mnist_is_as_published() {
    let Some((counts, first, loaded)) = real("mnist") else { return };
    assert_eq!(counts, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(first, [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    assert_eq!((loaded.train.shape(), loaded.evaluation.unwrap().len()), (&[1, 28, 28][..], 10_000));
    let (sum, n) =
        loaded.train.chunks(1000).flat_map(|b| b.inputs).fold((0.0, 0.0), |(s, n), v| (s + f64::from(v), n + 1.0));
    assert!((sum / n - 0.130_66).abs() < 1e-5);
}

#[test]
fn fashion_mnist_is_as_published() {
    let Some((counts, first, _)) = real("fashion-mnist") else { return };
    assert_eq!((counts, first), (vec![6000; 10], vec![9, 0, 0, 3, 0, 2, 7, 2, 5, 5]));
}

/// What is held out is trained on by nobody, and evaluated on; test files are not even looked for.
#[test]
fn the_last_training_images_can_be_held_out() {
    let (images, labels) = (idx(&[3, 1, 1], &[0, 51, 255]), idx(&[3], &[0, 1, 2]));
    let config =
        Idx { held_out: 1, test_images: Some("absent".into()), test_labels: Some("absent".into()), ..config() };
    let loaded = load(&config, &images, &labels).unwrap();
    let claims = |held_out| Idx { held_out, ..config.clone() }.promise().assumptions;
    let claim = format!("The last 1 images of {}", config.train_images.display());
    assert!(claims(1).iter().any(|text| text.starts_with(&claim) && text.contains("are public")), "{:?}", claims(1));
    assert!(!claims(0).iter().any(|text| text.contains("held out")));
    let held = loaded.evaluation.unwrap().gather(&[0]);
    assert_eq!((loaded.notes.len(), loaded.train.gather(&[0, 1]).inputs), (0, vec![0.0, 0.2]));
    assert!(held.inputs == [1.0] && matches!(held.targets, Targets::Classes { labels, .. } if labels == [2]));
    let error = load(&Idx { held_out: 3, ..config }, &images, &labels).unwrap_err();
    assert!(error.contains("held_out"), "{error}");
}

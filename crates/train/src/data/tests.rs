//! Every source goes through the same list: default or smallest form, round trip, unknown keys.

use super::*;

fn smallest(name: &str) -> String {
    let rest = match name {
        "csv" | "parquet" => {
            "train = 'a.csv'\nexamples = 1\n[[features]]\nname = 'x'\nkind = 'numeric'\nrange = [0, 1]\n\
             [target]\nname = 'y'\nclasses = ['a', 'b']\n"
        }
        "idx" => "train_images = 'a'\ntrain_labels = 'b'\nexamples = 1\n",
        "npy" => "train_inputs = 'x.npy'\ntrain_targets = 'y.npy'\nexamples = 1\nclasses = 2\n",
        "images" => "train = 'a'\nexamples = 1\nclasses = ['a', 'b']\nsize = 8\n",
        "text" => "train = 'a.txt'\nexamples = 1\nrecords = 'lines'\nlength = 4\ntokenizer = 'bytes'\n",
        _ => "",
    };
    format!("source = '{name}'\n{rest}")
}

#[test]
fn every_source_survives_a_round_trip() {
    for crate::registry::Entry { name, summary, .. } in Kind::ENTRIES {
        let config: DataConfig = toml::from_str(&smallest(name)).unwrap();
        assert_eq!(config.0.name(), *name);
        assert!(!summary.is_empty() && config.declared() > 0 && !config.private_files().is_empty());
        let text = toml::to_string(&config).unwrap();
        assert!(text.starts_with(&format!("source = \"{name}\"")), "{text}");
        assert_eq!(toml::from_str::<DataConfig>(&text).unwrap(), config);
    }
}

#[test]
fn every_source_refuses_unknown_keys_and_statistics() {
    for crate::registry::Entry { name, .. } in Kind::ENTRIES {
        let text = smallest(name).replacen('\n', "\nexampels = 3\n", 1);
        let error = toml::from_str::<DataConfig>(&text).unwrap_err().to_string();
        assert!(error.contains("unknown field `exampels`, expected") && error.contains("`examples`"), "{error}");
        let text = smallest(name).replacen('\n', "\nnormalise = 'standard'\n", 1);
        let error = toml::from_str::<DataConfig>(&text).unwrap_err().to_string();
        assert!(error.contains("private rows") && error.contains("range"), "{error}");
    }
}

#[test]
fn the_source_itself_is_checked() {
    let error = |text: &str| toml::from_str::<DataConfig>(text).unwrap_err().to_string();
    assert!(error("source = 'excel'").contains("unknown source `excel`, expected one of `adult`, `csv`"));
    assert!(error("examples = 3").contains("missing field `source`"));
    assert!(error("source = 3").contains("expected one of"));
    assert!(error("source = 'adult'\nexamples = 'many'").contains("expected usize, in `examples`"));
    assert!(error("source = 'adult'\nfeatures = 'raw'").contains("expected `bucketed` or `onehot`"));
    let list = error(
        "source = 'csv'\ntrain = 'a'\nexamples = 1\n[[features]]\nname = 'x'\nkind = 'numeric'\nrange = [0, 'b']",
    );
    assert!(list.contains("feature 1 (`x`): invalid type") && list.contains("in `range`"), "{list}");
    assert_eq!(DataConfig::default().0.name(), "adult");
}

#[test]
fn rows_to_predict_are_read_as_rows_to_train_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    let adult = "|1x3 Cross validator\n25, Private, 226802, 11th, 7, Never-married, Machine-op-inspct, Own-child, Black, Male, 0, 0, 40, \
                 United-States, <=50K.\n";
    std::fs::write(&path, adult).unwrap();
    let config = DataConfig::default();
    let [asked, test] =
        [config.ask(Path::new(""), &path).unwrap(), config.load(Path::new("")).unwrap().evaluation.unwrap()];
    assert_eq!((asked.len(), asked.gather(&[0]).inputs), (1, test.gather(&[0]).inputs));
    std::fs::write(&path, [[9; 3073], [3; 3073]].concat()).unwrap();
    let asked = DataConfig(Kind::Cifar10(Cifar10::default())).ask(Path::new(""), &path).unwrap();
    let batch = asked.gather(&[1]);
    assert_eq!((asked.len(), batch.inputs[0]), (2, ((3.0 / 255.0 - 0.5) / 0.25) as f32));
    assert!(
        matches!(batch.targets, Targets::Classes { labels, .. } if labels == [0]),
        "no answer is taken from the file"
    );
    // As in training, a packed copy serves as well.
    std::fs::rename(&path, path.with_extension("gz")).unwrap();
    assert_eq!(DataConfig(Kind::Cifar10(Cifar10::default())).ask(Path::new(""), &path).unwrap().len(), 2);
    assert!(config.ask(Path::new(""), &folder.path().join("none")).unwrap_err().to_string().contains("no such file"));
}

#[test]
fn a_differing_count_is_noted_without_the_count() {
    let targets = || Targets::Values { width: 1, data: vec![0.0; 777] };
    let some = || Examples::from_floats(vec![0.0; 777], vec![1], targets(), vec![]).unwrap();
    let notes = Loaded::new(some(), None, 800).unwrap().notes;
    assert!(notes.len() == 1 && notes[0].contains("800") && !notes[0].contains("777"), "{notes:?}");
    assert!(Loaded::new(some(), None, 777).unwrap().notes.is_empty());
    assert!(Loaded::new(some(), None, 0).is_err());
}

/// The training rows are no evaluation data, in whatever order they come; some of them with other labels are other rows.
#[test]
fn training_rows_are_not_evaluated_on_in_any_order() {
    let rows = |order: &[usize], labels: &[u32]| {
        let inputs = order.iter().flat_map(|i| [*i as f32, 0.5]).collect();
        let labels = order.iter().map(|i| labels[*i]).collect();
        let targets = Targets::Classes { labels, names: ["a".to_owned(), "b".to_owned()].into() };
        Examples::from_floats(inputs, vec![2], targets, vec![]).unwrap()
    };
    let train = || rows(&[0, 1, 2, 3], &[0, 1, 1, 0]);
    for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
        let refused = Loaded::new(train(), Some(rows(&order, &[0, 1, 1, 0])), 4).unwrap_err().to_string();
        assert!(refused.contains("are the training data"), "{refused}");
    }
    assert!(Loaded::new(train(), Some(rows(&[0, 1, 2, 3], &[0, 1, 1, 1])), 4).is_ok());
    assert!(Loaded::new(train(), Some(rows(&[0, 1, 2, 2], &[0, 1, 1, 0])), 4).is_ok());
    let values = |order: [f32; 2]| {
        let targets = Targets::Values { width: 1, data: order.to_vec() };
        Examples::from_floats(order.to_vec(), vec![1], targets, vec![]).unwrap()
    };
    assert!(Loaded::new(values([1.0, 2.0]), Some(values([2.0, 1.0])), 2).is_err());
}

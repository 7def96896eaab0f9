//! Tiny models that the `transformers` library made, and what PyTorch makes of them one example at a time (`vectors/make.py`).
use super::*;
use crate::{
    checkpoint,
    data::{Batch, Examples},
    model::{Model, Weights},
    run::Beginning,
};
use engine::Tensor;
use privacy::Key;
use serde::Deserialize;
use std::{collections::HashMap, fs, sync::Arc};

const CASES: [&str; 5] = ["gpt2-writes", "gpt2", "bert", "roberta", "distilbert"];

#[derive(Deserialize)]
struct Torch {
    texts: Vec<String>,
    labels: Vec<usize>,
    losses: Vec<f64>,
    logits: Vec<Vec<f64>>,
    norms: Vec<f64>,
}

/// A case in a folder of its own, with its texts.
struct Place {
    top: tempfile::TempDir,
    case: &'static str,
    torch: Torch,
}

impl Place {
    fn new(case: &'static str) -> Place {
        let top = tempfile::tempdir().unwrap();
        let vectors = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/published/vectors")).join(case);
        let read = |name: &str| fs::read(vectors.join(name)).unwrap();
        fs::create_dir(top.path().join("hub")).unwrap();
        [CONFIG, WEIGHTS].iter().for_each(|name| fs::write(top.path().join("hub").join(name), read(name)).unwrap());
        let torch: Torch = serde_json::from_slice(&read("expected.json")).unwrap();
        let rows = torch.texts.iter().zip(&torch.labels);
        let rows: String =
            rows.map(|(text, label)| format!("\"{text}\",{}\n", ["no", "maybe", "yes"][*label])).collect();
        fs::write(top.path().join("t.csv"), format!("text,label\n{rows}")).unwrap();
        Place { top, case, torch }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.top.path().join("hub").join(name)
    }

    /// Changes a key of `config.json`.
    fn say(&self, key: &str, value: serde_json::Value) {
        let mut all: serde_json::Value = serde_json::from_slice(&fs::read(self.file(CONFIG)).unwrap()).unwrap();
        all[key] = value;
        fs::write(self.file(CONFIG), all.to_string()).unwrap();
    }

    fn asked(&self, model: &str) -> Config {
        let target = match self.case {
            "gpt2-writes" => "",
            _ => "target = { name = 'label', classes = ['no', 'maybe', 'yes'] }",
        };
        let text = format!(
            "[data]\nsource = 'text'\ntrain = 't.csv'\nexamples = 4\ntext = 'text'\nlength = 12\ntokenizer = 'bytes'\n{target}\n\
             [train]\nlot = 2\nsteps = 2\n[model]\npublished = 'hub'\n{model}"
        );
        Config::read("t", &text, &[]).unwrap_or_else(|e| panic!("{e}"))
    }

    fn settled(&self, model: &str) -> Result<Config, String> {
        self.asked(model).settled(self.top.path()).map_err(|e| e.to_string())
    }

    fn built(&self, model: &str) -> (Config, Arc<Model>, Examples) {
        let config = self.settled(model).unwrap();
        let loaded = config.data.load(self.top.path()).unwrap();
        let model = Model::of_data(&config.model, &loaded.train).unwrap_or_else(|e| panic!("{}: {e}", self.case));
        (config, Arc::new(model), loaded.train)
    }

    fn start(&self, model: &str) -> Result<(Published, Arc<Model>, Weights, Examples), String> {
        let (config, model, examples) = self.built(model);
        let key = Key::from_seed(7);
        let begun = Beginning::new(&config, self.top.path(), &model, examples.len(), &key);
        let weights = begun.map_err(|e| e.to_string())?.weights;
        Ok((Published::of(&config, self.top.path()).unwrap().unwrap(), model, weights, examples))
    }

    fn error(&self, model: &str) -> String {
        self.start(model).err().unwrap_or_else(|| panic!("{}: this is refused", self.case))
    }
}

fn close(what: &str, got: f64, wanted: f64) {
    assert!((got - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{what}: {got}, and PyTorch says {wanted}");
}

fn batch(examples: &Examples) -> Batch {
    examples.gather(&[0, 1, 2, 3])
}

#[test]
fn outputs_losses_and_norms_are_pytorchs() {
    for case in CASES {
        let place = Place::new(case);
        let (_, model, weights, examples) = place.start("").unwrap();
        let one = batch(&examples);
        let outputs = model.outputs(&weights, Tensor::new([&[4], &one.shape[..]].concat(), one.inputs));
        for (i, (wanted, text)) in place.torch.logits.iter().zip(&place.torch.texts).enumerate() {
            // What is written is told by its sum over the positions of the text.
            let positions = if case.ends_with("writes") { (text.len() + 1).min(12) } else { 1 };
            for (k, wanted) in wanted.iter().enumerate() {
                let got: f64 = (0..positions).map(|at| f64::from(outputs.row(i)[at * wanted_len(&place) + k])).sum();
                close(&format!("{case}, output {k} of text {i}"), got, *wanted);
            }
        }
        let losses = model.losses(&weights, batch(&examples));
        let norms = model.taps(&weights, batch(&examples)).norms(&vec![0; model.layout().parameters().len()], 1);
        for i in 0..4 {
            close(&format!("{case}, loss {i}"), losses[i].into(), place.torch.losses[i]);
            close(&format!("{case}, norm {i}"), norms[i].sqrt(), place.torch.norms[i]);
        }
    }
}

fn wanted_len(place: &Place) -> usize {
    place.torch.logits[0].len()
}

/// A gradient lies in a publisher's file as the weights do.
#[test]
fn sums_of_gradients_are_pytorchs() {
    for case in CASES {
        let place = Place::new(case);
        let (published, model, weights, examples) = place.start("").unwrap();
        let rows = model.taps(&weights, batch(&examples)).rows();
        let sum = |rows: &Tensor, shape: &[usize]| {
            let sum = (0..rows.row_len()).map(|k| (0..4).map(|i| rows.row(i)[k]).sum()).collect();
            Tensor::new(shape.to_vec(), sum)
        };
        let parameters = model.layout().parameters();
        let sums: Vec<Tensor> = parameters.iter().zip(&rows).map(|(p, rows)| sum(rows, &p.shape)).collect();
        let given: HashMap<String, Tensor> = published.names().give(parameters.iter().zip(&sums)).into_iter().collect();
        let vectors = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/published/vectors")).join(case);
        let wanted = checkpoint::read(&vectors.join("gradients.safetensors")).unwrap();
        assert_eq!(given.len(), wanted.len(), "{case}");
        for (name, wanted) in &wanted {
            let got = &given[name];
            assert_eq!(got.shape(), wanted.shape(), "{case}, {name}");
            got.data()
                .iter()
                .zip(wanted.data())
                .for_each(|(a, b)| close(&format!("{case}, {name}"), (*a).into(), (*b).into()));
        }
    }
}

#[test]
fn what_is_left_is_the_file_that_came() {
    for case in CASES {
        let place = Place::new(case);
        let (published, _, weights, _) = place.start("").unwrap();
        let run = place.top.path().join("run");
        fs::write(place.file("tokenizer.json"), "{}").unwrap();
        published.take_back(&run, &weights, &[]).unwrap();
        let left = |name: &str| run.join("published").join(name);
        let [before, after] = [place.file(WEIGHTS), left(WEIGHTS)].map(|path| checkpoint::read(&path).unwrap());
        let mut names: Vec<_> = before.keys().collect();
        names.sort();
        let unseen = |name: &str, at: usize| case == "roberta" && name.contains("position_embeddings") && at < 8;
        for name in names {
            let (before, after) = (&before[name], after.get(name).unwrap_or_else(|| panic!("{case}: {name}")));
            assert_eq!(before.shape(), after.shape(), "{case}: {name}");
            let pairs = before.data().iter().zip(after.data()).enumerate();
            pairs.for_each(|(at, (a, b))| assert!(a == b || unseen(name, at), "{case}: {name}"));
        }
        assert_eq!(before.len(), after.len());
        let read = |path: &Path| -> serde_json::Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        assert_eq!(read(&place.file(CONFIG)), read(&left(CONFIG)), "{case}");
        assert_eq!(fs::read(left("tokenizer.json")).unwrap(), b"{}");
    }
}

/// Files of the publishers' own base models have no prefix, old names for normalisations, buffers, and heads for other questions.
#[test]
fn base_models_are_read_and_their_heads_start_fresh() {
    for (case, heads) in [("gpt2", 1), ("bert", 2), ("roberta", 4), ("distilbert", 4)] {
        let place = Place::new(case);
        let prefix = (KINDS.iter().find(|kind| kind.name == case).unwrap().parts)(
            &About::read(&place.file(CONFIG)).unwrap(),
            &Ask { length: 12, outputs: Some(3) },
        );
        let prefix = prefix.unwrap_or_else(|e| panic!("{e}")).prefix;
        let all = checkpoint::read(&place.file(WEIGHTS)).unwrap();
        let base = |(name, tensor): (String, Tensor)| {
            let name = name.strip_prefix(prefix)?;
            let name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
            Some((name, tensor))
        };
        let mut base: Vec<_> = all.into_iter().filter_map(base).collect();
        let more = match case {
            "gpt2" => ["h.0.attn.bias", "h.1.attn.masked_bias", "lm_head.weight"],
            "bert" => ["embeddings.position_ids", "cls.predictions.bias", "cls.seq_relationship.weight"],
            "roberta" => ["embeddings.position_ids", "lm_head.dense.weight", "roberta.pooler.dense.bias"],
            _ => ["vocab_projector.bias", "vocab_transform.weight", "vocab_layer_norm.bias"],
        };
        base.extend(more.map(|name| (name.to_owned(), Tensor::zeros([1]))));
        fs::write(place.file(WEIGHTS), checkpoint::of_tensors(base, &[]).unwrap()).unwrap();
        let (config, model, _) = place.built("");
        let published = Published::of(&config, place.top.path()).unwrap().unwrap();
        let stored = checkpoint::read_any(&place.file(WEIGHTS)).unwrap().0;
        let layout = model.layout();
        let taken = published.names().take(
            layout.parameters().iter(),
            stored,
            &config.model.fresh,
            Path::new("hub/model.safetensors"),
        );
        let taken = taken.unwrap_or_else(|e| panic!("{case}: {e}"));
        // BERT's pooler is of the base model.
        let fresh: Vec<&String> = taken.fresh.iter().collect();
        assert_eq!(fresh.len(), heads, "{case}: {fresh:?}");
        let remark = taken.remark.unwrap();
        assert!(remark.starts_with("Not in hub/model.safetensors, and so starting fresh: "), "{remark}");
        place.start("").unwrap();
    }
}

#[test]
fn what_does_not_fit_is_named_by_the_publishers_names() {
    let place = Place::new("bert");
    let mut all = checkpoint::read(&place.file(WEIGHTS)).unwrap();
    all.remove("bert.encoder.layer.1.attention.self.key.bias");
    all.remove("bert.embeddings.LayerNorm.weight");
    all.insert("bert.encoder.layer.2.output.dense.bias".into(), Tensor::zeros([8]));
    all.insert("classifier.weight".into(), Tensor::zeros([2, 8]));
    fs::write(place.file(WEIGHTS), checkpoint::of_tensors(all.into_iter().collect(), &[]).unwrap()).unwrap();
    let told = place.error("");
    for what in [
        "`encoder.layer.1.attention.self.key.bias` is not in the file",
        "`embeddings.LayerNorm.weight` is not in the file",
        "`encoder.layer.2.output.dense.bias` [8] has no place in the model",
        "`classifier.weight` has shape [2, 8] in the file, and [3, 8] by config.json and the data",
    ] {
        assert!(told.contains(what), "{what} in {told}");
    }
    let fresh = "fresh = ['classifier.*', '4.*', 'embeddings.LayerNorm.*', 'encoder.layer.2.*']";
    place.start(fresh).unwrap();
}

#[test]
fn a_head_that_is_not_the_table_is_told() {
    let place = Place::new("gpt2-writes");
    let mut all = checkpoint::read(&place.file(WEIGHTS)).unwrap();
    let table = all["transformer.wte.weight"].clone();
    for (copy, fits) in [(table.clone(), true), (Tensor::zeros(table.shape()), false)] {
        all.insert("lm_head.weight".into(), copy);
        let bytes = checkpoint::of_tensors(all.clone().into_iter().collect(), &[]).unwrap();
        fs::write(place.file(WEIGHTS), bytes).unwrap();
        assert_eq!(place.start("").is_ok(), fits);
    }
    assert!(place.error("").contains("`lm_head.weight` differs from `wte.weight`"));
}

#[test]
fn folders_that_cannot_be_read_say_why() {
    let place = Place::new("gpt2");
    let told = || place.settled("").unwrap_err();
    place.say("n_positions", 8.into());
    assert!(told().contains("`n_positions`: data.length = 12, but the model has 8 positions"), "{}", told());
    place.say("n_positions", 16.into());
    place.say("scale_attn_by_inverse_layer_idx", true.into());
    assert!(told().contains("`scale_attn_by_inverse_layer_idx`: true is not built here, only false"));
    place.say("scale_attn_by_inverse_layer_idx", false.into());
    place.say("activation_function", "mish".into());
    assert!(told().contains("`activation_function`: `mish` is not built here"));
    place.say("model_type", "t5".into());
    assert!(told().contains("`t5` is not read; known are gpt2, bert, roberta, distilbert"));
    fs::rename(place.file(WEIGHTS), place.file("pytorch_model.bin")).unwrap();
    place.say("model_type", "gpt2".into());
    place.say("activation_function", "gelu_new".into());
    assert!(told().contains("model.safetensors: there is no such file: pickled weights are not read"), "{}", told());
    fs::write(place.file("model.safetensors.index.json"), "{}").unwrap();
    assert!(told().contains("in several files"));
    fs::write(place.file(CONFIG), "{").unwrap();
    assert!(told().starts_with("model.published = \"hub\": ") && told().contains("hub/config.json: "));
    fs::remove_file(place.file(CONFIG)).unwrap();
    assert!(told().contains("hub/config.json: "));
    let nowhere = place.asked("").settled(Path::new("/nowhere")).unwrap_err().to_string();
    assert!(nowhere.contains("/nowhere/hub: there is no such folder"), "{nowhere}");
    let bert = Place::new("bert");
    let writes = Place { case: "gpt2-writes", ..bert };
    assert!(writes.settled("").unwrap_err().contains("a bert model does not write: give data.target"));
}

/// What a folder is short for is written out, and read again it is the same.
#[test]
fn a_settled_configuration_stays_as_it_is() {
    for case in CASES {
        let place = Place::new(case);
        let settled = place.settled("").unwrap();
        let again = Config::read("t", &settled.to_toml(), &[]).unwrap().settled(place.top.path()).unwrap();
        assert_eq!((settled.difference(&again), settled == again), (None, true), "{case}");
        assert_eq!(settled.model.weights, Some(Start::Public("hub/model.safetensors".into())));
    }
}

/// The tokenizer's file, and the tokens that `config.json` gives a meaning by their ids.
#[test]
fn the_tokenizer_is_the_folders() {
    for (case, writes) in [("gpt2-writes", true), ("bert", false)] {
        let place = Place::new(case);
        let tokens = serde_json::json!({
            "added_tokens": [{ "id": 0, "content": "[PAD]" }, { "id": 1, "content": "<end>" }],
            "model": { "vocab": { "<start>": 2, "a": 3 } }
        });
        let mut config = place.asked("");
        let DataKind::Text(text) = &mut config.data.0 else { panic!("texts") };
        text.tokenizer = toml::from_str("tokenizer = 'published'").unwrap();
        let missing = config.clone().settled(place.top.path()).unwrap_err().to_string();
        assert!(missing.contains("hub/tokenizer.json"), "{missing}");
        fs::write(place.file("tokenizer.json"), tokens.to_string()).unwrap();
        let settled = config.clone().settled(place.top.path()).unwrap();
        let TokenizerConfig::File(file) = &settled.data.as_text().unwrap().tokenizer else { panic!("a file") };
        assert_eq!(file.path, Path::new("hub/tokenizer.json"));
        assert_eq!(file.origin.as_deref(), Some("published with the weights in hub"));
        let marks = writes.then(|| ("<start>".to_owned(), "<end>".to_owned()));
        assert_eq!(file.padding.as_deref(), Some("[PAD]"));
        assert_eq!(file.start.clone().zip(file.end.clone()), marks);
        place.say("pad_token_id", 99.into());
        let unknown = config.settled(place.top.path()).unwrap_err().to_string();
        assert!(unknown.contains("no token has id 99, the `pad_token_id` of config.json"), "{unknown}");
    }
}

/// With the template of the file where texts are classified (`[CLS]`, `[SEP]`), and with marks where they are written; the ids are those of
/// Python's `tokenizers` (`data/text/tokenizer/file/tests.rs`).
#[cfg(feature = "tokenizers")]
#[test]
fn texts_are_read_by_the_folders_tokenizer() {
    let cases: [(_, _, [u8; 12]); 2] = [
        ("bert", "words.json", [2, 5, 41, 35, 30, 33, 3, 0, 0, 0, 0, 0]),
        ("gpt2-writes", "bpe.json", [0, 2, 39, 33, 20, 30, 0, 0, 0, 0, 0, 0]),
    ];
    for (case, file, wanted) in cases {
        let place = Place::new(case);
        let vectors = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/data/text/tokenizer/file/vectors"));
        fs::copy(vectors.join(file), place.file("tokenizer.json")).unwrap();
        if case == "gpt2-writes" {
            // As in GPT-2, the mark between texts fills positions behind them.
            place.say("pad_token_id", serde_json::Value::Null);
            ["bos_token_id", "eos_token_id"].iter().for_each(|key| place.say(key, 0.into()));
        }
        fs::write(place.top.path().join("t.csv"), "text,label\na log on the dog,yes\n").unwrap();
        let mut config = place.asked("");
        let DataKind::Text(text) = &mut config.data.0 else { panic!("texts") };
        text.tokenizer = toml::from_str("tokenizer = 'published'").unwrap();
        let loaded = config.settled(place.top.path()).unwrap().data.load(place.top.path()).unwrap();
        assert_eq!(loaded.train.gather(&[0]).inputs, wanted.map(f32::from), "{case}");
    }
}

/// A whole private run of each kind and way of tuning leaves a folder that begins another.
#[test]
fn runs_leave_what_others_begin_with() {
    let ways =
        ["", "trainable = ['*.bias']", "lora = { rank = 2, targets = ['*.in_proj_weight', '*.linear1.weight'] }"];
    for case in CASES {
        for way in ways {
            let place = Place::new(case);
            let folder = place.top.path().join("run");
            let run = crate::run::Run::prepare(place.asked(way), place.top.path(), Some(&folder), false);
            let outcome = run.unwrap_or_else(|e| panic!("{case}: {e}")).train(&mut ()).unwrap();
            fs::remove_dir_all(place.top.path().join("hub")).unwrap();
            fs::rename(folder.join("published"), place.top.path().join("hub")).unwrap();
            let again = place.error("");
            assert!(again.contains("a private run on t.csv"), "{again}");
            fs::rename(place.top.path().join("t.csv"), place.top.path().join("other.csv")).unwrap();
            let mut config = place.asked("");
            let DataKind::Text(text) = &mut config.data.0 else { panic!("texts") };
            text.train = "other.csv".into();
            let config = config.settled(place.top.path()).unwrap();
            let model =
                Arc::new(Model::of_data(&config.model, &config.data.load(place.top.path()).unwrap().train).unwrap());
            let begun = Beginning::new(&config, place.top.path(), &model, 8, &Key::from_seed(1));
            let weights = begun.unwrap_or_else(|e| panic!("{case}, {way}: {e}")).weights;
            for ((p, a), (_, b)) in weights.merged().zip(outcome.weights.merged()) {
                assert_eq!(a, b, "{case}, {way}: {}", p.name);
            }
        }
    }
}

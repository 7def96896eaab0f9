//! Texts from a file to losses and gradients: against PyTorch on each text alone and without padding; that neither padding nor
//! a neighbour changes anything; whole runs on real data where they are at hand.
use engine::Tensor;
use std::{collections::HashMap, fs, path::PathBuf, sync::Arc};
use train::{
    config::Config,
    data::{DataConfig, Examples, Loaded},
    model::{Model, ModelConfig, Weights},
    run::Run,
};

/// Loss and gradient norm of each row of `ROWS`, by `text_vectors.py`.
const TORCH: [(f64, f64); 5] = [
    (5.73543674, 0.768393414),
    (5.85285744, 1.43156622),
    (5.47628482, 1.06475624),
    (0.0, 0.0), // the prompt fills all positions
    (5.64244621, 0.587918705),
];
const ROWS: &str =
    "prompt,reply\n,héllo\nab,c\nname[X],a long reply\nmuch too long a prompt,x\n,twelve chars and more\n";

const DECODER: &str = r#"layers = [
    { layer = "embedding", vocabulary = 259, features = 4, padding = 0 },
    { layer = "positions", length = 40 },
    { layer = "transformer", layers = 1, heads = 2, hidden = 8, causal = true },
    { layer = "layer_norm" },
    { layer = "linear", features = 259 },
]"#;

fn load(keys: &str, files: &[(&str, &str)]) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
    let config: DataConfig = toml::from_str(&format!("source = 'text'\n{keys}")).unwrap();
    config.load(folder.path()).unwrap_or_else(|e| panic!("{e}"))
}

fn rows(length: usize, text: &str) -> Loaded {
    let keys = format!(
        "train = 't.csv'\nexamples = 5\nprompt = 'prompt'\ntext = 'reply'\nlength = {length}\ntokenizer = 'bytes'"
    );
    load(&keys, &[("t.csv", text)])
}

/// The weights of `text_vectors.py`.
fn weights(model: &Model) -> Weights {
    let named = model.layout().parameters().iter().map(|p| {
        let start: u32 = p.name.bytes().map(u32::from).sum();
        let number = |k: usize| (0.4 * (0.7 * k as f64 + f64::from(start)).sin()) as f32;
        (p.name.clone(), Tensor::new(p.shape.clone(), (0..p.len()).map(number).collect()))
    });
    Weights::from_public(model.layout(), named.collect::<HashMap<_, _>>()).unwrap()
}

fn decoder(examples: &Examples) -> Model {
    let config: ModelConfig = toml::from_str(DECODER).unwrap();
    Model::of_data(&config, examples).unwrap_or_else(|e| panic!("{e}"))
}

/// Each example's loss and gradient norm.
fn measured(examples: &Examples, who: &[usize]) -> Vec<(f64, f64)> {
    let model = decoder(examples);
    let mut taps = model.taps(&weights(&model), examples.gather(who));
    let losses = model.losses(&weights(&model), examples.gather(who));
    let norms = taps.norms(&vec![0; model.layout().parameters().len()], 1);
    losses.iter().zip(norms).map(|(loss, square)| (f64::from(*loss), square.sqrt())).collect()
}

fn close(a: &[(f64, f64)], b: &[(f64, f64)], within: f64) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= within * a.abs().max(b.abs()).max(1e-3);
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a.0, b.0) && near(a.1, b.1))
}

#[test]
fn losses_and_norms_are_pytorchs_on_each_text_alone() {
    let found = measured(&rows(12, ROWS).train, &[0, 1, 2, 3, 4]);
    assert!(close(&found, &TORCH, 2e-5), "{found:?}");
}

#[test]
fn padding_changes_neither_a_loss_nor_a_norm() {
    // The longest row has 33 tokens with its marks.
    let short = rows(33, ROWS).train;
    let alone = measured(&short, &[0, 1, 2, 3, 4]);
    assert!(alone.iter().all(|(loss, norm)| *loss > 0.0 && *norm > 0.0));
    for length in [34, 37, 40] {
        let padded = measured(&rows(length, ROWS).train, &[0, 1, 2, 3, 4]);
        assert!(close(&alone, &padded, 1e-5), "{length}: {alone:?} {padded:?}");
    }
}

#[test]
fn a_neighbour_changes_neither_a_loss_nor_a_norm() {
    let train = rows(20, ROWS).train;
    let together = measured(&train, &[0, 1, 2, 3, 4]);
    (0..5).for_each(|i| assert!(close(&measured(&train, &[i]), &together[i..=i], 1e-5), "example {i}"));
    let others = ROWS.replace("twelve chars and more", "\"quite, another\nneighbour\"").replace("name[X]", "");
    let among = measured(&rows(20, &others).train, &[0, 1, 2, 3, 4]);
    assert!(close(&among[..2], &together[..2], 1e-5), "{among:?} {together:?}");
    assert!(!close(&among[4..], &together[4..], 1e-5));
}

/// Of what a model writes, the loss of a token is over all tokens alike, and bits are over the bytes that were predicted.
#[test]
fn scores_count_tokens_and_bytes() {
    let keys = "train = 't.csv'\ntest = 'e.csv'\nexamples = 5\nprompt = 'prompt'\ntext = 'reply'\nlength = 12\ntokenizer = 'bytes'";
    let loaded = load(keys, &[("t.csv", "prompt,reply\na,b\n"), ("e.csv", ROWS)]);
    let public = loaded.evaluation.unwrap();
    let model = decoder(&public);
    let score = model.score(&weights(&model), &public);
    let tokens = [7.0, 2.0, 5.0, 0.0, 12.0];
    let nats: f64 = TORCH.iter().zip(tokens).map(|((loss, _), count)| loss * count).sum();
    // All of "héllo" (6 bytes) and of "c", and as much of the others as there is room for.
    let bytes = 6.0 + 1.0 + 5.0 + 0.0 + 12.0;
    let near = |a: f64, b: f64| (a - b).abs() < 1e-5 * b;
    assert!(near(score.loss, TORCH.iter().map(|(loss, _)| loss / 5.0).sum()), "{score:?}");
    assert!(near(score.token_loss.unwrap(), nats / 26.0), "{score:?}");
    assert!(near(score.perplexity().unwrap(), (nats / 26.0).exp()), "{score:?}");
    assert!(near(score.bits_per_byte.unwrap(), nats / 2f64.ln() / bytes), "{score:?}");
    assert_eq!(score.accuracy, None);
    assert!(loaded.remarks[0].starts_with("3 of the 5 evaluation texts are longer"), "{:?}", loaded.remarks);
}

#[test]
fn a_bag_of_words_does_not_count_padding() {
    let of = |length: usize| {
        let keys = format!(
            "train = 't.tsv'\nexamples = 2\ndelimiter = '\\t'\nquoting = false\ntext = 'x'\nlength = {length}\n\
             tokenizer = {{ tokenizer = 'hashed-words', vocabulary = 50, runs = 2 }}\ntarget = {{ name = 'y', classes = ['0', '1'] }}"
        );
        let keys = keys.replace("'\\t'", "\"\\t\"");
        let train = load(&keys, &[("t.tsv", "x\ty\na \"fine film \t1\nbad\t0\n")]).train;
        let config = "layers = [{ layer = 'embedding', vocabulary = 50, features = 3, padding = 0 }, { layer = 'mean_over' }, \
                      { layer = 'linear', features = 2 }]";
        let model = Model::of_data(&toml::from_str(config).unwrap(), &train).unwrap();
        let mut taps = model.taps(&weights(&model), train.gather(&[0, 1]));
        let losses = model.losses(&weights(&model), train.gather(&[0, 1]));
        let norms = taps.norms(&[0, 0, 0], 1);
        losses.into_iter().map(f64::from).zip(norms).collect::<Vec<_>>()
    };
    assert!(close(&of(7), &of(30), 1e-6), "{:?} {:?}", of(7), of(30));
}

#[test]
fn a_model_that_does_not_fit_is_told_which_key_to_change() {
    let train = rows(20, ROWS).train;
    let refused = |from: &str, to: &str| {
        let config: ModelConfig = toml::from_str(&DECODER.replace(from, to)).unwrap();
        Model::of_data(&config, &train).err().unwrap_or_else(|| panic!("{to} was taken")).to_string()
    };
    let error = refused("vocabulary = 259", "vocabulary = 128");
    assert!(error.contains("has 259 ids: set model.layers[0].vocabulary = 259"), "{error}");
    assert!(refused("padding = 0", "padding = 7").contains("set model.layers[0].padding = 0"));
    assert!(refused("causal = true", "causal = false").contains("set `causal = true`"));
    assert!(refused("features = 259", "features = 100").contains("features = 259"));
    let head = "{ layer = \"embedding\", vocabulary = 259, features = 4, padding = 0 }";
    assert!(refused(head, "{ layer = \"relu\" }").contains("begin with { layer = \"embedding\", vocabulary = 259"));
    // Behind a text that is written, padding is not looked at, whether the table knows it or not.
    let config: ModelConfig = toml::from_str(&DECODER.replace(", padding = 0", "")).unwrap();
    assert!(Model::of_data(&config, &train).is_ok());
}

fn shared() -> Option<PathBuf> {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("SECATEUR_DATA").map_or_else(|| PathBuf::from(shared), PathBuf::from);
    let there = root.join("sst2/train.tsv.xz").is_file();
    if !there {
        eprintln!("skipped: no sst2/ and others in {} (SECATEUR_DATA names another folder)", root.display());
    }
    there.then_some(root)
}

/// The configurations of this repository load their real files and take a step; numbers are of the data sets' own pages.
#[test]
fn the_configurations_run_on_the_real_files() {
    let Some(root) = shared() else { return };
    for (name, shape, evaluated) in [("sst2", 96, 872), ("e2e", 320, 4672), ("shakespeare", 128, 872)] {
        let path = format!("{}/../../configs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let set = ["train.epochs=0.001", "train.evaluations=1"].map(str::to_owned);
        let config = Config::read(name, &fs::read_to_string(path).unwrap(), &set).unwrap();
        let loaded = config.data.load(&root).unwrap();
        assert_eq!((loaded.train.len(), loaded.train.shape()), (config.data.declared(), &[shape][..]), "{name}");
        assert_eq!(loaded.evaluation.map(|public| public.len()), Some(evaluated), "{name}");
        assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
        let model = Arc::new(Model::of_data(&config.model, &loaded.train).unwrap());
        let batch = loaded.train.gather(&[0, 1, 2]);
        let weights = Weights::public(model.layout(), &privacy::Key::from_seed(1));
        assert!(model.losses(&weights, batch).iter().all(|loss| loss.is_finite() && *loss > 0.0), "{name}");
    }
}

/// Blocks: the unit is said in the statement and warned of, and not that a row is a person.
#[test]
fn a_run_on_blocks_says_its_unit() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("long.txt"), "To be, or not to be, that is the question. ".repeat(20)).unwrap();
    let text = "title = 'blocks'\nupdate = [{ update = 'sgd', learning_rate = 0.1 }]\nclip = { rule = 'flat', bound = 1.0 }\n\
                [data]\nsource = 'text'\ntrain = 'long.txt'\nexamples = 96\nheld_out = 11\nrecords = 'blocks'\nblock = 8\nlength = 8\n\
                tokenizer = 'bytes'\n[privacy]\nnoise_multiplier = 1.0\ndelta = 1e-3\n[train]\nsteps = 2\nlot = 10\nevaluations = 1\n\
                [model]\n";
    let config = Config::read("blocks", &format!("{text}{DECODER}"), &[]).unwrap();
    let run = Run::prepare(config, folder.path(), None, false).unwrap();
    assert!(run.warnings.iter().any(|w| w.contains("one block of 8 characters") && w.contains("not a person")));
    let record = run.train(&mut ()).unwrap().record;
    assert!(record.statement.unit_of_privacy.starts_with("one block of 8 characters"));
    assert!(record.statement.assumptions.iter().any(|a| a.contains("longer than one block")));
    assert!(!record.statement.assumptions.iter().any(|a| a.contains("is one person")));
    assert!(record.summary.evaluation_bits_per_byte.is_some_and(|bits| bits > 1.0 && bits < 9.0));
    let perplexity = record.summary.evaluation_perplexity.unwrap();
    assert!((perplexity.ln() - record.summary.evaluation_token_loss.unwrap()).abs() < 1e-12);
}

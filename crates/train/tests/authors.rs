//! Authors of several texts: whole people are held out, and train a decoder.
use std::fs;
use train::{
    config::Config,
    data::{DataConfig, Examples, Targets},
    run::Run,
};

const TEXTS: &str = "author,text\nann,one\nbob,two\nann,three\ncid,four\nbob,five\ndan,six\ncid,seven\nann,eight\n";

fn texts(keys: &str) -> Result<train::data::Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.csv"), TEXTS).unwrap();
    let text = format!("source = 'text'\ntrain = 't.csv'\nexamples = 2\nlength = 8\ntokenizer = 'bytes'\n{keys}");
    toml::from_str::<DataConfig>(&text).unwrap().load(folder.path()).map_err(|e| e.to_string())
}

/// Held out are whole people, with all of their texts, wherever these stand in the file.
#[test]
fn texts_are_held_out_by_person() {
    let first = |examples: &Examples| -> Vec<u32> {
        let all: Vec<usize> = (0..examples.len()).collect();
        let Targets::Tokens { ids, width, .. } = examples.gather(&all).targets else { panic!("texts") };
        ids.chunks(width).map(|ids| ids[0]).collect()
    };
    let loaded = texts("text = 'text'\nperson = 'author'\nper_person = 2\nheld_out = 2").unwrap();
    let byte = |text: &str| text.bytes().map(|b| u32::from(b) + 3).collect::<Vec<_>>();
    let held = loaded.evaluation.unwrap();
    assert_eq!((loaded.train.units(), first(&loaded.train)), (2, byte("ottfe")));
    assert_eq!((held.units(), first(&held)), (2, byte("fss")));
    assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
    let declared = |keys: &str| {
        let text = format!("source = 'text'\ntrain = 't.csv'\nexamples = 2\nlength = 8\ntokenizer = 'bytes'\n{keys}");
        toml::from_str::<DataConfig>(&text).unwrap().promise().assumptions.concat()
    };
    let told = declared("text = 'text'\nperson = 'author'\nper_person = 2\nheld_out = 2");
    assert!(told.contains("the last 2 values of `author`") && !told.contains("The last 2 records"), "{told}");
    let error = |keys| texts(keys).err().unwrap();
    assert!(error("text = 'text'\nperson = 'author'\nper_person = 2\nheld_out = 4").contains("data.held_out"));
    assert!(error("text = 'text'\nperson = 'author'").contains("data.per_person"));
    assert!(error("records = 'lines'\nperson = 'author'\nper_person = 2").contains("data.person: is for"));
    assert!(error("text = 'text'\nperson = 'writer'\nper_person = 2").contains("no column `writer`"));
}

/// Of texts that a decoder learns to write: by whoever wrote them, a step of the whole run.
#[test]
fn authors_of_several_texts_train_a_decoder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.csv"), TEXTS).unwrap();
    let text = "
        title = \"authors\"
        model = { layers = [{ layer = \"tied_embedding\", vocabulary = 259, features = 4, padding = 0, layers = [{ layer = \"positions\" }, { layer = \
                \"transformer\", layers = 1, heads = 2, hidden = 8, causal = true, dropout = 0.1 }] }] }
        privacy = { epsilon = 2.0, delta = 1e-2 }
        train = { sample_rate = 0.5, steps = 4, seed = 3 }
        [data]
        source = \"text\"
        train = \"t.csv\"
        examples = 3
        held_out = 1
        text = \"text\"
        person = \"author\"
        per_person = 2
        length = 8
        tokenizer = \"bytes\"
    ";
    let config = Config::read("test", text, &[]).unwrap();
    let outcome = Run::prepare(config, folder.path(), None, false).unwrap().train(&mut ()).unwrap();
    assert!(outcome.record.statement.unit_of_privacy.contains("`author`"));
    assert!(outcome.record.summary.evaluation_token_loss.is_some_and(f64::is_finite));
}

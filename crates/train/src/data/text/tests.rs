//! Records, frames and what is refused. Losses and gradients are in `tests/text.rs`.
use super::{super::DataConfig, *};
use proptest::prelude::*;

const TABLE: &str = "train = 't'\nexamples = 2\ntext = 'x'\nlength = 6\ntokenizer = 'bytes'\n";

fn text(keys: &str) -> Text {
    let config: DataConfig = toml::from_str(&format!("source = 'text'\n{keys}")).unwrap_or_else(|e| panic!("{e}"));
    config.as_text().unwrap().clone()
}

fn read(keys: &str, bytes: &[u8]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t"), bytes).unwrap();
    text(keys).load(folder.path()).map_err(|e| e.to_string())
}

/// Inputs and targets of all examples.
fn ids(loaded: &Loaded) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
    let all: Vec<usize> = (0..loaded.train.len()).collect();
    let batch = loaded.train.gather(&all);
    let width = loaded.train.shape()[0];
    let inputs = batch.inputs.chunks(width).map(|row| row.iter().map(|id| *id as u32).collect()).collect();
    let targets = match batch.targets {
        Targets::Tokens { ids, .. } => ids.chunks(width).map(<[u32]>::to_vec).collect(),
        Targets::Classes { labels, .. } => vec![labels],
        Targets::Values { .. } => vec![],
    };
    (inputs, targets)
}

const NO: u32 = Targets::NO_TOKEN;

#[test]
fn a_text_to_write_starts_ends_and_is_padded() {
    let loaded = read(TABLE, b"x\nab\nabcdefgh\n").unwrap();
    let (inputs, targets) = ids(&loaded);
    assert_eq!(inputs, [[2, 100, 101, 0, 0, 0], [2, 100, 101, 102, 103, 104]]);
    assert_eq!(targets, [[100, 101, 1, NO, NO, NO], [100, 101, 102, 103, 104, 105]]);
    assert_eq!(loaded.train.tokens(), Some(Tokens { vocabulary: 259, padding: Some(0), next: true }));
}

#[test]
fn a_prompt_is_read_and_not_predicted() {
    let keys = format!("{TABLE}prompt = 'p'\n");
    let (inputs, targets) = ids(&read(&keys, b"p,x\nab,c\n,d\nabcdefg,h\n").unwrap());
    assert_eq!(inputs, [[100, 101, 2, 102, 0, 0], [2, 103, 0, 0, 0, 0], [100, 101, 102, 103, 104, 105]]);
    assert_eq!(targets, [[NO, NO, 102, 1, NO, NO], [103, 1, NO, NO, NO, NO], [NO; 6]]);
}

#[test]
fn a_text_to_classify_has_no_marks() {
    let keys = format!("{TABLE}target = {{ name = 'y', classes = ['no', 'yes'] }}\n");
    let loaded = read(&keys, b"x,y\nab ,yes\n\"a,\"\"b\",no\n").unwrap();
    assert_eq!(ids(&loaded), (vec![vec![100, 101, 0, 0, 0, 0], vec![100, 47, 37, 101, 0, 0]], vec![vec![1, 0]]));
    assert_eq!(loaded.train.tokens().map(|tokens| tokens.next), Some(false));
}

#[test]
fn lines_and_blocks_are_records() {
    let keys = TABLE.replace("text = 'x'\n", "records = 'lines'\n");
    let (inputs, _) = ids(&read(&keys, b"ab\r\n\n  \nc").unwrap());
    assert_eq!(inputs, [[2, 100, 101, 0, 0, 0], [2, 102, 0, 0, 0, 0]]);
    let keys = TABLE.replace("text = 'x'\n", "records = 'blocks'\nblock = 3\n");
    let (inputs, targets) = ids(&read(&keys, "abcé\n".as_bytes()).unwrap());
    assert_eq!(inputs, [[2, 100, 101, 0, 0, 0], [2, 198, 172, 0, 0, 0]]);
    assert_eq!(targets, [[100, 101, 102, NO, NO, NO], [198, 172, 13, NO, NO, NO]]);
}

#[test]
fn what_is_held_out_is_evaluated_on() {
    let keys = format!("{TABLE}held_out = 1\n");
    let loaded = read(&keys, b"x\na\nb\nlonger than six\n").unwrap();
    assert_eq!((loaded.train.len(), loaded.evaluation.as_ref().map(Examples::len)), (2, Some(1)));
    assert_eq!(loaded.evaluation.unwrap().spelled(), Some(6));
    assert!(loaded.remarks[0].contains("1 of the 1 evaluation texts are longer than `length = 6`"));
    let promise = |keys: &str| text(keys).promise().assumptions;
    assert!(promise(&keys).iter().any(|text| text.starts_with("The last 1 records of") && text.contains("are public")));
    assert!(!promise(TABLE).iter().any(|text| text.contains("held out")));
    assert!(read(&keys, b"x\na\n").unwrap_err().contains("held_out"));
    let keys = format!("{keys}target = {{ name = 'y', classes = ['a', 'b'] }}\n");
    let loaded = read(&keys, b"x,y\na,a\nb,b\nc,b\n").unwrap();
    assert_eq!(ids(&loaded).1, [[0, 1]]);
}

/// Neither that private texts were cut nor how many there are.
#[test]
fn nothing_of_private_texts_is_said() {
    let loaded = read(TABLE, b"x\ntoo long to fit\nalso too long\n").unwrap();
    assert!(loaded.notes.is_empty() && loaded.remarks.is_empty());
    assert_eq!(loaded.train.spelled(), None);
    let loaded = read(TABLE, b"x\ncanary\n").unwrap();
    assert!(loaded.notes.iter().all(|note| !note.contains("canary")) && loaded.notes.len() == 1);
}

#[test]
fn bad_rows_are_named_and_not_shown() {
    let table =
        format!("{TABLE}prompt = 'p'\ntarget = {{ name = 'y', classes = ['0', '1'] }}\n").replace("prompt = 'p'\n", "");
    let error = |bytes: &[u8]| read(&table, bytes).unwrap_err();
    assert!(error(b"canary,y\na,0\n").contains("has no column `x`"));
    assert!(error(b"x,canary\na,0\n").contains("has no column `y`"));
    let empty = error(b"x,y\nok,1\n \t,1\n");
    assert!(empty.contains("t, line 3, column `x`: the text is empty"), "{empty}");
    let latin = error(b"x,y\nok,1\ncanary\xe9,1\n");
    assert!(latin.contains("line 3, column `x`: is not UTF-8") && !latin.contains("canary"), "{latin}");
    let label = error(b"x,y\nok,canary\n");
    assert!(
        label.contains("line 2, column `y`: the cell is none of the declared classes (0, 1)")
            && !label.contains("canary")
    );
    assert!(error(b"x,y\n").contains("holds no texts"));
    let lines = TABLE.replace("text = 'x'\n", "records = 'lines'\n");
    assert!(read(&lines, b"a\nb\xff\n").unwrap_err().contains("t, line 2: is not UTF-8"));
    assert!(read(&lines, b"\n \n").unwrap_err().contains("holds no texts"));
    let blocks = TABLE.replace("text = 'x'\n", "records = 'blocks'\nblock = 3\n");
    assert!(read(&blocks, b"a\nb\nc\xff\n").unwrap_err().contains("line 3: is not UTF-8"));
}

#[test]
fn declarations_that_make_no_sense_are_refused() {
    let error = |keys: &str| read(keys, b"x,y\na,0\n").unwrap_err();
    let rows = |more: &str| error(&format!("{TABLE}{more}"));
    assert!(error(&TABLE.replace("length = 6", "length = 0")).contains("data.length"));
    assert!(error(&TABLE.replace("text = 'x'\n", "")).contains("data.text: must name the column"));
    assert!(rows("records = 'lines'").contains("data.text: is for"));
    assert!(error(&TABLE.replace("text = 'x'\n", "records = 'blocks'\n")).contains("data.block: must be given"));
    assert!(rows("block = 3").contains("data.block: is for"));
    assert!(rows("prompt = 'x'").contains("text's own column"));
    assert!(rows("prompt = 'y'\ntarget = { name = 'y', classes = ['0', '1'] }").contains("data.prompt"));
    assert!(rows("target = { name = 'x', classes = ['0', '1'] }").contains("data.target: is the text's own column"));
    assert!(rows("target = { name = 'y' }").contains("data.target: needs public `classes"));
    assert!(rows("test = 't'\nheld_out = 1").contains("data.held_out: excludes"));
    assert!(rows("test = 't'").contains("the evaluation data are the training data"));
    let words = TABLE.replace("'bytes'", "{ tokenizer = 'hashed-words', vocabulary = 9 }");
    assert!(error(&words).contains("cannot be turned back into a text"));
}

#[test]
fn a_vocabulary_is_never_learnt() {
    for tokenizer in [
        "'bpe'",
        "{ tokenizer = 'wordpiece', vocab_size = 99 }",
        "{ tokenizer = 'file', path = 'x', min_frequency = 2 }",
    ] {
        let keys = format!("source = 'text'\n{}", TABLE.replace("'bytes'", tokenizer));
        let error = toml::from_str::<DataConfig>(&keys).unwrap_err().to_string();
        assert!(error.contains("learnt from private rows") && error.contains("origin"), "{error}");
    }
    let unknown = format!("source = 'text'\n{}", TABLE.replace("'bytes'", "'letters'"));
    assert!(toml::from_str::<DataConfig>(&unknown).unwrap_err().to_string().contains("expected one of `bytes`"));
}

#[test]
fn the_unit_and_the_claims_are_promised() {
    assert_eq!(text(TABLE).promise(), Promise::default());
    let blocks = text(&TABLE.replace("text = 'x'\n", "records = 'blocks'\nblock = 300\n")).promise();
    assert!(blocks.unit.starts_with("one block of 300 characters") && blocks.warnings[0].contains("not a person"));
    let file = "{ tokenizer = 'file', path = 'own.json', origin = 'Wikipedia of 2018' }";
    let file = text(&TABLE.replace("'bytes'", file)).promise();
    assert!(file.assumptions[1].contains("own.json") && file.assumptions[1].contains("Wikipedia of 2018"));
}

proptest! {
    /// Whatever the others are, a record's example is the same; and all that it asks about is its own text and its end.
    #[test]
    fn an_example_depends_on_its_own_record(
        own in "[^,\"\r\n\t\\p{Cc}\\p{Zs}]{1,9}", others in proptest::collection::vec("[a-z]{1,20}", 0..4), length in 1usize..14
    ) {
        let keys = TABLE.replace("length = 6", &format!("length = {length}"));
        let alone = ids(&read(&keys, format!("x\n{own}\n").as_bytes()).unwrap());
        let table: String = others.iter().map(|other| format!("{other}\n")).collect();
        let among = ids(&read(&keys, format!("x\n{table}{own}\n").as_bytes()).unwrap());
        prop_assert_eq!(among.0.last(), alone.0.first());
        prop_assert_eq!(among.1.last(), alone.1.first());
        let asked: Vec<u32> = alone.1[0].iter().copied().filter(|id| *id != NO).collect();
        let whole: Vec<u32> = own.trim_ascii().bytes().map(|byte| u32::from(byte) + 3).chain([1]).take(length).collect();
        prop_assert_eq!(asked, whole);
    }
}

//! What a declaration needs; and with the feature `tokenizers`, the ids of Python's `tokenizers` (`vectors/make.py`).
use super::*;

fn declared(keys: &str) -> File {
    toml::from_str(&format!("path = 'vectors/{keys}")).unwrap_or_else(|e| panic!("{e}"))
}

fn open(keys: &str, writes: bool, length: usize) -> Result<Box<dyn Tokenizer>, String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/data/text/tokenizer/file");
    declared(keys).open(Path::new(root), Asked { writes, length }).map_err(|e| e.to_string())
}

#[test]
fn an_origin_is_needed_and_claimed() {
    for keys in ["bpe.json'", "bpe.json'\norigin = ' '"] {
        let error = open(keys, false, 8).err().unwrap();
        assert!(error.contains("data.tokenizer.origin") && error.contains("private texts"), "{error}");
    }
    let claim = declared("bpe.json'\norigin = 'four sentences'").claim().unwrap();
    assert!(claim.contains("vectors/bpe.json") && claim.ends_with("four sentences."), "{claim}");
}

#[cfg(not(feature = "tokenizers"))]
#[test]
fn a_build_without_the_library_says_how_to_get_it() {
    let error = open("bpe.json'\norigin = 'four sentences'", true, 8).err().unwrap();
    assert!(error.contains("cargo build --release --features tokenizers") && error.contains("`bytes`"), "{error}");
}

#[cfg(feature = "tokenizers")]
mod with_the_library {
    use super::*;
    use crate::data::{DataConfig, Targets};

    const TEXTS: [&str; 4] = ["the cat sat", "a log on the dog", "it's  the end", "zebra"];
    const MARKS: &str = "bpe.json'\norigin = 'four sentences'\nstart = '<|endoftext|>'\nend = '<|endoftext|>'\npadding = '<|endoftext|>'";
    const WORDS: &str = "words.json'\norigin = 'four sentences'";

    fn ids(tokenizer: &dyn Tokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode(text).unwrap().iter().map(|token| token.id).collect()
    }

    #[test]
    fn ids_are_those_of_pythons_tokenizers() {
        let bpe = open(MARKS, true, 8).unwrap();
        let expected: [&[u32]; 4] = [&[19, 29, 32], &[2, 39, 33, 20, 30], &[36, 34, 16, 20, 38], &[5, 2]];
        TEXTS.iter().zip(expected).for_each(|(text, wanted)| assert_eq!(ids(&*bpe, text), wanted, "{text}"));
        let ends: Vec<usize> = bpe.encode(TEXTS[2]).unwrap().iter().map(|token| token.end).collect();
        assert_eq!(ends, [2, 4, 5, 9, 13]);
        let words = open(WORDS, false, 5).unwrap();
        let expected: [&[u32]; 4] =
            [&[2, 30, 32, 36, 3], &[2, 5, 41, 35, 30, 33, 3], &[2, 40, 4, 17, 30, 39, 3], &[2, 1, 3]];
        TEXTS.iter().zip(expected).for_each(|(text, wanted)| assert_eq!(ids(&*words, text), wanted, "{text}"));
        assert_eq!((bpe.vocabulary(), words.vocabulary(), words.padding()), (42, 43, 0));
    }

    #[test]
    fn what_is_cut_keeps_its_template() {
        let words = open(WORDS, false, 5).unwrap();
        let whole = words.encode(TEXTS[1]).unwrap();
        let cut: Vec<u32> = words.shorten(TEXTS[1], whole, 5).unwrap().iter().map(|token| token.id).collect();
        assert_eq!(cut, [2, 5, 41, 35, 3]);
        assert!(open(WORDS, false, 1).err().unwrap().contains("data.length"));
    }

    #[test]
    fn texts_come_back_and_unknown_ids_do_not() {
        let bpe = open(MARKS, true, 8).unwrap();
        assert_eq!(bpe.decode(&[0, 19, 29, 32, 0, 42, u32::MAX]), "the cat sat");
    }

    #[test]
    fn marks_and_padding_are_asked_for() {
        let without = |line: &str| open(&MARKS.replace(line, ""), true, 8).err().unwrap();
        assert!(without("\nstart = '<|endoftext|>'").contains("data.tokenizer.start: must name"));
        assert!(without("\npadding = '<|endoftext|>'").contains("data.tokenizer.padding: must name the token of"));
        let unknown = open(&MARKS.replace("end = '<|endoftext|>'", "end = '</s>'"), true, 8).err().unwrap();
        assert!(unknown.contains("data.tokenizer.end: `</s>` is no token of"), "{unknown}");
        assert!(open("make.py'\norigin = 'x'", false, 8).err().unwrap().contains("is no tokenizer.json"));
        assert!(open("absent.json'\norigin = 'x'", false, 8).err().unwrap().contains("no such data file"));
    }

    /// A mark that pads has a meaning of its own: the model's table must not take it for nothing.
    #[test]
    fn a_source_reads_through_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t.txt"), "the cat sat\na log on the dog\n").unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/data/text/tokenizer/file/vectors/bpe.json");
        let rest = MARKS.split_once('\n').unwrap().1.replace('\n', ", ");
        let keys = format!(
            "source = 'text'\ntrain = 't.txt'\nrecords = 'lines'\nexamples = 2\nlength = 5\n\
             tokenizer = {{ tokenizer = 'file', path = '{path}', {rest} }}"
        );
        let config: DataConfig = toml::from_str(&keys).unwrap();
        let loaded = config.load(folder.path()).unwrap();
        let batch = loaded.train.gather(&[0, 1]);
        assert_eq!(batch.inputs, [0, 19, 29, 32, 0, 0, 2, 39, 33, 20].map(|id: u8| f32::from(id)));
        let Targets::Tokens { ids, vocabulary: 42, .. } = batch.targets else { panic!("tokens") };
        assert_eq!(ids, [19, 29, 32, 0, Targets::NO_TOKEN, 2, 39, 33, 20, 30]);
        let tokens = loaded.train.tokens().unwrap();
        assert_eq!((tokens.padding, tokens.next), (None, true));
    }
}

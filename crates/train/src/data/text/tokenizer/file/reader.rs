//! Reading the file, and using it.
use super::{
    super::{Asked, Marks, Token, Tokenizer},
    DataError, File,
};
use crate::data::file;
use std::path::Path;
use tokenizers::{Encoding, PostProcessor as _, Tokenizer as Made, TruncationParams};

/// What the file describes.
struct Reader {
    made: Made,
    /// The same, cutting texts to the length, so that what its template puts behind a text stays there.
    cutting: Made,
    vocabulary: u32,
    padding: u32,
    marks: Option<Marks>,
    /// Whether the file's own template stands around a text: where texts are classified.
    template: bool,
}

/// Usual names of the token that means nothing.
const PADDING: [&str; 3] = ["<pad>", "[PAD]", "<|pad|>"];

impl File {
    pub(super) fn read(&self, root: &Path, asked: Asked) -> Result<Box<dyn Tokenizer>, DataError> {
        let path = file::find(root, &self.path)?;
        let mut made = Made::from_bytes(file::read(&path)?)
            .map_err(|e| DataError::file(&path, format!("is no tokenizer.json that can be read: {e}")))?;
        let padding = self.padding(&made, &path)?;
        made.with_padding(None);
        let set = |made: &mut Made, truncation| {
            let done = made.with_truncation(truncation).map(|_| ());
            done.map_err(|e| DataError::config("length", format!("does not fit the tokenizer's template: {e}")))
        };
        set(&mut made, None)?;
        let mut cutting = made.clone();
        if !asked.writes {
            let template = made.get_post_processor().map_or(0, |template| template.added_tokens(false));
            if template >= asked.length {
                let problem = format!("must be above the {template} tokens of the tokenizer's template");
                return Err(DataError::config("length", problem));
            }
            set(&mut cutting, Some(TruncationParams { max_length: asked.length, ..TruncationParams::default() }))?;
        }
        let marks = if asked.writes { Some(self.marks(&made, &path)?) } else { None };
        let vocabulary = made.get_vocab(true).into_values().max().map_or(0, |id| id + 1);
        Ok(Box::new(Reader { made, cutting, vocabulary, padding, marks, template: !asked.writes }))
    }

    fn padding(&self, made: &Made, path: &Path) -> Result<u32, DataError> {
        if let Some(name) = &self.padding {
            return id(made, path, "padding", name);
        }
        let own = made.get_padding().map(|own| own.pad_id);
        own.or_else(|| PADDING.iter().find_map(|name| made.token_to_id(name))).ok_or_else(|| {
            let problem = format!(
                "must name the token of {} that fills positions behind a text: none is called {}",
                path.display(),
                PADDING.join(", ")
            );
            DataError::config("tokenizer.padding", problem)
        })
    }

    fn marks(&self, made: &Made, path: &Path) -> Result<Marks, DataError> {
        let mark = |key: &str, name: &Option<String>| {
            let missing = || {
                let problem =
                    "must name the token that stands there, such as \"<|endoftext|>\", as texts are to be written";
                DataError::config(format!("tokenizer.{key}"), problem)
            };
            id(made, path, key, name.as_ref().ok_or_else(missing)?)
        };
        Ok(Marks { start: mark("start", &self.start)?, end: mark("end", &self.end)? })
    }
}

fn id(made: &Made, path: &Path, key: &str, name: &str) -> Result<u32, DataError> {
    let unknown = || {
        let problem = format!("`{name}` is no token of {}", path.display());
        DataError::config(format!("tokenizer.{key}"), problem)
    };
    made.token_to_id(name).ok_or_else(unknown)
}

fn tokens(encoding: &Encoding) -> Vec<Token> {
    let pairs = encoding.get_ids().iter().zip(encoding.get_offsets());
    pairs.map(|(id, (_, end))| Token { id: *id, end: *end }).collect()
}

/// The library's own words may show the text.
fn failed<E>(_: E) -> String {
    "the tokenizer cannot read the text: it has no token for some of it, nor one for what is unknown".into()
}

impl Tokenizer for Reader {
    fn vocabulary(&self) -> u32 {
        self.vocabulary
    }
    fn padding(&self) -> u32 {
        self.padding
    }
    fn marks(&self) -> Option<Marks> {
        self.marks
    }
    fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
        self.made.encode(text, self.template).map(|encoding| tokens(&encoding)).map_err(failed)
    }
    fn shorten(&self, text: &str, _: Vec<Token>, _: usize) -> Result<Vec<Token>, String> {
        self.cutting.encode(text, self.template).map(|encoding| tokens(&encoding)).map_err(failed)
    }
    fn decode(&self, ids: &[u32]) -> String {
        let known: Vec<u32> = ids.iter().copied().filter(|id| *id < self.vocabulary).collect();
        self.made.decode(&known, true).unwrap_or_default()
    }
}

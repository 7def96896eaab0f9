//! From text to a configuration: defaults filled in, changes applied, and errors that say where and what instead.
use super::{Config, DEFAULT};
use toml::{Table, Value};

/// A configuration that cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ConfigError {
    place: String,
    what: String,
}

impl ConfigError {
    pub(crate) fn new(place: &str, what: impl Into<String>) -> Self {
        ConfigError { place: place.into(), what: what.into() }
    }
}

/// Keys of which a user gives one: a default for one must not join a user's other.
const EITHER: [(&str, [&str; 2]); 3] =
    [("privacy", ["epsilon", "noise_multiplier"]), ("train", ["lot", "sample_rate"]), ("train", ["steps", "epochs"])];

/// Sections whose keys have a default each; any other section is the user's or the default's as a whole.
const BY_KEY: [&str; 2] = ["privacy", "train"];

pub(super) fn read(name: &str, text: &str, set: &[String]) -> Result<Config, ConfigError> {
    let mut table = parse(name, text)?;
    fill(&mut table, parse("the default configuration", DEFAULT)?);
    for change in set {
        apply(&mut table, change)?;
    }
    serde_path_to_error::deserialize(Value::Table(table)).map_err(|e| {
        let path = e.path().to_string();
        let ConfigError { place, what } = explain(name, text, &path, e.inner().message());
        match blamed(set, &path, &what) {
            Some(change) => ConfigError::new(&format!("--set {change}"), what),
            None => ConfigError { place, what },
        }
    })
}

/// The change from the command line that an error about `path` is about, and not the file.
fn blamed<'a>(set: &'a [String], path: &str, what: &str) -> Option<&'a String> {
    let section = path.split(['.', '[']).next().unwrap_or_default();
    set.iter().rev().find(|change| {
        let key = change.split('=').next().unwrap_or_default().trim();
        let last = key.rsplit('.').next().unwrap_or_default();
        key == path || (key.starts_with(section) && what.contains(&format!("`{last}`")))
    })
}

fn parse(name: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|e| {
        let line = e.span().map_or(String::new(), |s| format!(":{}", line_of(text, s.start)));
        ConfigError::new(&format!("{name}{line}"), e.message())
    })
}

fn fill(table: &mut Table, defaults: Table) {
    for (section, default) in defaults {
        match (table.get_mut(&section), default) {
            (None, default) => drop(table.insert(section, default)),
            (Some(Value::Table(own)), Value::Table(default)) if BY_KEY.contains(&section.as_str()) => {
                let taken = |key: &str| {
                    EITHER.iter().any(|(s, pair)| {
                        *s == section && pair.contains(&key) && pair.iter().any(|k| own.contains_key(*k))
                    })
                };
                let missing: Vec<_> = default.into_iter().filter(|(k, _)| !own.contains_key(k) && !taken(k)).collect();
                own.extend(missing);
            }
            _ => {}
        }
    }
}

/// Applies `section.key=value`; a value that is not TOML is taken as a string.
fn apply(table: &mut Table, change: &str) -> Result<(), ConfigError> {
    let wrong = |what: &str| ConfigError::new(&format!("--set {change}"), what);
    let (path, value) = change.split_once('=').ok_or_else(|| wrong("expected key=value, such as privacy.epsilon=2"))?;
    let (path, value) = (path.trim(), value.trim());
    let value = format!("v = {value}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    let value = value.unwrap_or_else(|| Value::String(change[change.find('=').unwrap_or(0) + 1..].trim().into()));
    let path = &in_full(table, path);
    let mut keys: Vec<&str> = path.split('.').collect();
    let last = keys.pop().unwrap_or_default();
    let parent = enter(table, &keys);
    let parent = parent.ok_or_else(|| wrong("this key is inside something that is not a section"))?;
    if let Some((_, pair)) = EITHER.iter().find(|(section, pair)| path.starts_with(section) && pair.contains(&last)) {
        pair.iter().for_each(|key| drop(parent.remove(*key)));
    }
    parent.insert(last.into(), value);
    Ok(())
}

/// A key's whole name: `lr` is the learning rate of the first link that has one.
fn in_full(table: &Table, path: &str) -> String {
    if path != "lr" {
        return path.into();
    }
    let links = table.get("update").and_then(Value::as_array);
    let at = links.and_then(|links| links.iter().position(|link| link.get("learning_rate").is_some()));
    at.map_or("update.learning_rate".into(), |at| format!("update.{at}.learning_rate"))
}

/// The table that `keys` lead to; of several links a number picks one, and without a number it is the first.
fn enter<'a>(table: &'a mut Table, keys: &[&str]) -> Option<&'a mut Table> {
    let [key, rest @ ..] = keys else { return Some(table) };
    match table.entry(*key).or_insert(Value::Table(Table::new())) {
        Value::Table(inner) => enter(inner, rest),
        Value::Array(links) => {
            let (at, rest) = match rest {
                [number, rest @ ..] if number.parse::<usize>().is_ok() => (number.parse().ok()?, rest),
                rest => (0, rest),
            };
            enter(links.get_mut(at)?.as_table_mut()?, rest)
        }
        _ => None,
    }
}

/// What other tools call what has another name here, or what is not there for a reason.
const ELSEWHERE: [(&str, &str); 14] = [
    ("batch_size", "the expected number of examples in a step is `lot`"),
    ("max_grad_norm", "the threshold is `bound`"),
    ("l2_norm_clip", "the threshold is `bound`"),
    ("clip_norm", "the threshold is `bound`"),
    ("threshold", "the threshold is `bound`"),
    ("lr", "write `learning_rate`"),
    ("optimizer", "write [[update]], one table for each link"),
    ("optimiser", "write [[update]], one table for each link"),
    ("layers", "layers are a list in [model]"),
    (
        "batch_norm",
        "batch normalisation mixes examples, which private training cannot allow: use `group_norm` or `layer_norm`",
    ),
    ("batch_norm2d", "batch normalisation mixes examples, which private training cannot allow: use `group_norm`"),
    ("dense", "write `linear`"),
    ("excel", "tables are read as text or Parquet: write the rows to CSV, plain, gzip or xz"),
    ("sigma", "the noise is `privacy.noise_multiplier`"),
];

/// What a word is called here, or the nearest of those that are known.
fn instead(word: &str, known: &[&str]) -> String {
    let plain = word.to_ascii_lowercase().replace('-', "_");
    let there = ELSEWHERE.iter().find(|(theirs, _)| *theirs == plain || *theirs.replace('_', "") == plain);
    match (there, nearest(word, known)) {
        (Some((_, ours)), _) => format!(" ({ours})"),
        (None, Some(near)) => format!(" (did you mean `{near}`?)"),
        (None, None) => String::new(),
    }
}

/// Of a message about one feature of a table, ``feature 3 (`age`): ..``, the feature's name and the rest.
fn of_feature(message: &str) -> (Option<&str>, &str) {
    match message.split_once("`): ") {
        Some((head, what)) if head.starts_with("feature ") => (head.split_once('`').map(|(_, name)| name), what),
        _ => (None, message),
    }
}

/// Words of Rust in a message, as a reader of a configuration would say them.
fn plainly(message: &str) -> String {
    let message = message.strip_suffix(", in `features`").unwrap_or(message);
    ["f64", "f32"]
        .iter()
        .fold(message.to_owned(), |text, word| text.replace(&format!("expected {word}"), "expected a number"))
        .replace("expected usize", "expected a whole number")
        .replace("expected u64", "expected a whole number")
        .replace("expected u32", "expected a whole number")
}

/// Adds the line, and the nearest known name where one is unknown.
fn explain(name: &str, text: &str, path: &str, message: &str) -> ConfigError {
    let (feature, what) = of_feature(message);
    let mut quoted = what.split('`').skip(1).step_by(2);
    let unknown = what.starts_with("unknown").then(|| quoted.next()).flatten();
    let known: Vec<&str> = quoted.collect();
    let hint = unknown.map_or(String::new(), |word| instead(word, &known));
    let key = unknown.or_else(|| path.rsplit('.').next()).unwrap_or_default();
    let section = path.split(['.', '[']).next().unwrap_or_default();
    let line = match feature {
        Some(feature) => find_feature(text, feature, unknown),
        None => find(text, section, key),
    };
    let line = line.map_or(String::new(), |line| format!(":{line}"));
    let within = if path == "." || path.is_empty() { String::new() } else { format!("in `{path}`: ") };
    ConfigError::new(&format!("{name}{line}"), format!("{within}{}{hint}", plainly(message)))
}

/// The line on which a feature has its name, or after it the unknown key.
fn find_feature(text: &str, feature: &str, unknown: Option<&str>) -> Option<usize> {
    let named = |line: &str| ['"', '\''].iter().any(|quote| line.contains(&format!("{quote}{feature}{quote}")));
    let from = text.lines().position(named)?;
    let key = |line: &str| unknown.is_some_and(|key| words(line).any(|word| word == key));
    let after = text.lines().skip(from).position(key).unwrap_or(0);
    Some(from + after + 1)
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |k: &&str| strsim::jaro_winkler(word, k);
    let best = known.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(&best) > 0.7).then_some(best)
}

/// The line on which `key` stands, preferably inside `section`.
fn find(text: &str, section: &str, key: &str) -> Option<usize> {
    let heads = |line: &str| {
        line.trim_start().trim_start_matches('[').starts_with(section) && line.trim_start().starts_with('[')
    };
    let from = text.lines().position(heads).unwrap_or(0);
    let has = |line: &str| words(line).any(|word| word == key);
    let after = text.lines().enumerate().skip(from).find(|(_, line)| has(line));
    after.or_else(|| text.lines().enumerate().find(|(_, line)| has(line))).map(|(i, _)| i + 1)
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use crate::{config::Config, update::UpdateConfig};

    /// A file that leaves its data out does not train on the census that is built in.
    #[test]
    fn a_file_says_what_is_trained_on() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("mine.toml");
        std::fs::write(&file, "[train]\nsteps = 4\n").unwrap();
        let refused = Config::open(Some(&file), &[]).unwrap_err().to_string();
        assert!(refused.contains("mine.toml: there is no [data]"), "{refused}");
        assert_eq!(Config::open(Some(&file), &["data.source=adult".into()]).unwrap().train.steps, Some(4));
        Config::open(None, &[]).unwrap();
    }

    #[test]
    fn errors_say_where_and_what_instead() {
        let table = "[data]\nsource = \"csv\"\ntrain = \"t.csv\"\nexamples = 9\n[[data.features]]\nname = \"first\"\nkind = \"numeric\"\n\
                     range = [0, 1]\n[[data.features]]\nname = \"the second\"\nkind = \"numeric\"\nrange = [0, 1]\n\
                     [data.target]\nname = \"y\"\nrange = [0, 1]\n";
        let cases = [
            (
                table.replace(
                    "\"the second\"\nkind = \"numeric\"\nrange = [0, 1]",
                    "\"the second\"\nkind = \"numeric\"",
                ),
                "t:10: in `data`: feature 2 (`the second`): a numeric feature needs a public `range = [lo, hi]`: the smallest and largest value of private rows leak",
            ),
            (
                table.replace("\"the second\"\nkind", "\"the second\"\nbucket = [1]\nkind"),
                "t:11: in `data`: feature 2 (`the second`): unknown field `bucket`",
            ),
            (table.replace("\"the second\"\nkind", "\"the second\"\nbucket = [1]\nkind"), "(did you mean `buckets`?)"),
            (table.replace("csv\"", "excel\""), "t:2: in `data`: unknown source `excel`"),
            (
                table.replace("csv\"", "excel\""),
                "(tables are read as text or Parquet: write the rows to CSV, plain, gzip or xz)",
            ),
            (
                "[privacy]\nepsilon = \"1\"".into(),
                "t:2: in `privacy.epsilon`: invalid type: string \"1\", expected a number",
            ),
            ("[train]\nsteps = \"1\"".into(), "expected a whole number"),
            ("[train]\nbatch_size = 1".into(), "(the expected number of examples in a step is `lot`)"),
            ("[clip]\nrule = \"flat\"\nmax_grad_norm = 1".into(), "(the threshold is `bound`)"),
            ("[optimizer]\nlr = 1".into(), "t:1: in `optimizer`: unknown field `optimizer`"),
            ("[optimizer]\nlr = 1".into(), "(write [[update]], one table for each link)"),
            ("[model]\nlayers = [{ layer = \"BatchNorm\" }]".into(), "(batch normalisation mixes examples, which"),
            ("[model]\nlayers = [{ layer = \"batch-norm\" }]".into(), "(batch normalisation mixes examples, which"),
        ];
        for (text, expected) in cases {
            let error = Config::read("t", &text, &[]).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("in `features`"), "{error}");
        }
        let set = |set: &str| {
            Config::read("t", "[clip]\nrule = \"flat\"\nbound = 1.0\n", &[set.into()]).unwrap_err().to_string()
        };
        for change in ["clip.bound=-1", "clip.bond=1", "train.steps=many"] {
            assert!(set(change).starts_with(&format!("--set {change}: in ")), "{}", set(change));
        }
    }

    /// The keys that are known where `text` has one that is not.
    fn known(text: &str) -> Vec<String> {
        let error = Config::read("t", text, &[]).unwrap_err().to_string();
        let (_, keys) = error.split_once("expected").unwrap_or_else(|| panic!("{error}"));
        keys.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// `docs/configuration.md` names every key of every section, and of every source and kind of feature.
    #[test]
    fn every_key_is_documented() {
        let page = include_str!("../../../../docs/configuration.md");
        let sections = ["", "[privacy]\n", "[train]\n", "[model]\n"];
        let feature = |kind: &str, more: &str| {
            let head =
                "[data]\nsource = \"csv\"\ntrain = \"t\"\nexamples = 1\n[data.target]\nname = \"y\"\nrange = [0, 1]\n";
            format!("{head}[[data.features]]\nname = \"x\"\nkind = \"{kind}\"\n{more}\n")
        };
        let features = [
            feature("numeric", "range = [0, 1]"),
            feature("date", "range = [2020-01-01, 2021-01-01]"),
            feature("categorical", "categories = [\"a\"]"),
            feature("cross", "of = []"),
        ];
        let keys =
            sections.map(String::from).into_iter().chain(features).flat_map(|text| known(&format!("{text}zzz = 1\n")));
        let sources = crate::data::Kind::ENTRIES.iter().flat_map(|source| crate::data::Kind::settings(source.name));
        let all: Vec<String> = keys.chain(sources.map(|(key, _)| key)).collect();
        assert!(all.len() > 50, "{all:?}");
        for key in all {
            let named = [
                format!("`{key}`"),
                format!("`{key} ="),
                format!("[{key}]"),
                format!("data.{key}"),
                format!("{key} ="),
            ];
            assert!(named.iter().any(|form| page.contains(form)), "docs/configuration.md does not name `{key}`");
        }
    }

    #[test]
    fn a_link_is_reached_by_its_number_and_the_first_without_one() {
        let text = "update = [{ update = \"sgd\", learning_rate = 1.0 }, { update = \"ema\", decay = 0.5 }]";
        let read = |set: &str| Config::read("test", text, &[set.to_owned()]);
        let links = |set: &str| read(set).map(|config| config.update).unwrap();
        let [UpdateConfig::Sgd(sgd), UpdateConfig::Ema(ema)] = &links("update.1.decay=0.9")[..] else {
            panic!("two links")
        };
        assert_eq!((ema.decay, &sgd.learning_rate), (0.9, &crate::update::Rate::Constant(1.0)));
        for set in ["update.0.learning_rate=3.0", "update.learning_rate=3.0", "lr=3.0"] {
            let UpdateConfig::Sgd(sgd) = &links(set)[0] else { panic!("{set}") };
            assert_eq!(sgd.learning_rate, crate::update::Rate::Constant(3.0), "{set}");
        }
        let text = "update = [{ update = \"doppler\" }, { update = \"sgd\", learning_rate = 1.0 }]";
        let second = &Config::read("test", text, &["lr=3.0".into()]).unwrap().update[1];
        assert!(matches!(second, UpdateConfig::Sgd(sgd) if sgd.learning_rate == crate::update::Rate::Constant(3.0)));
        assert!(read("update.2.decay=0.9").unwrap_err().to_string().contains("--set update.2.decay"));
    }
}

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
        explain(name, text, &path, e.inner().message())
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

/// Adds the line, and the nearest known name where one is unknown.
fn explain(name: &str, text: &str, path: &str, message: &str) -> ConfigError {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message.contains("unknown").then(|| quoted.next()).flatten();
    let known: Vec<&str> = quoted.collect();
    let near = unknown.and_then(|word| nearest(word, &known));
    let hint = near.map_or(String::new(), |near| format!(" (did you mean `{near}`?)"));
    let key = unknown.or_else(|| path.rsplit('.').next()).unwrap_or_default();
    let section = path.split(['.', '[']).next().unwrap_or_default();
    let line = find(text, section, key).map_or(String::new(), |line| format!(":{line}"));
    let within = if path == "." || path.is_empty() { String::new() } else { format!("in `{path}`: ") };
    ConfigError::new(&format!("{name}{line}"), format!("{within}{message}{hint}"))
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
    let has = |line: &str| line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).any(|word| word == key);
    let after = text.lines().enumerate().skip(from).find(|(_, line)| has(line));
    after.or_else(|| text.lines().enumerate().find(|(_, line)| has(line))).map(|(i, _)| i + 1)
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use crate::{config::Config, update::UpdateConfig};

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

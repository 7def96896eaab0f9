//! Patterns over parameters' names: `*` stands for any letters, none included, and `?` for one.
use serde::{Deserialize, Serialize};

/// Patterns, as a list: a name matches if any of them does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Patterns(pub Vec<String>);

impl Patterns {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
    }

    /// These and some more.
    pub(crate) fn and(&self, more: Vec<String>) -> Patterns {
        Patterns(self.0.iter().cloned().chain(more).collect())
    }

    /// Refuses a pattern that matches none of `names`, which are `what`: it is a slip, and would go unnoticed.
    ///
    /// # Errors
    /// Names the pattern, and the names nearest to it.
    pub fn check(&self, key: &str, what: &str, names: &[&str]) -> Result<(), String> {
        let idle = |pattern: &&String| !names.iter().any(|name| matches(pattern.as_bytes(), name.as_bytes()));
        match self.0.iter().find(idle) {
            None => Ok(()),
            Some(pattern) => {
                Err(format!("{key}: \"{pattern}\" matches none of {what}; nearest: {}", nearest(pattern, names)))
            }
        }
    }
}

/// Greedy matching with one place to come back to: the last `*`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// The names most like `word`, at most so many, in the order of likeness.
pub(super) fn nearest(word: &str, names: &[&str]) -> String {
    const SHOWN: usize = 4;
    let score = |name: &str| strsim::jaro_winkler(word, name);
    let mut sorted: Vec<&str> = names.to_vec();
    sorted.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let shown: Vec<String> = sorted.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if shown.is_empty() { "there are none".into() } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_marks_stand_for_letters() {
        let cases = [
            ("*.bias", "0.bias", true),
            ("*.bias", "layers.3.self_attn.out_proj.bias", true),
            ("*.bias", "bias", false),
            ("*bias", "in_proj_bias", true),
            ("head.*", "head.weight", true),
            ("head.*", "ahead.weight", false),
            ("?.weight", "9.weight", true),
            ("?.weight", "10.weight", false),
            ("*a*b*", "xxaxxabxx", true),
            ("*ab", "aab", true),
            ("**", "", true),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, name, fits) in cases {
            assert_eq!(Patterns(vec![pattern.into()]).matches(name), fits, "{pattern} on {name}");
        }
    }

    /// The definition, by recursion.
    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', rest @ ..] => (0..=name.len()).any(|k| by_definition(rest, &name[k..])),
            [c, rest @ ..] => !name.is_empty() && (*c == b'?' || *c == name[0]) && by_definition(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_it_is_by_definition(pattern in "[ab*?]{0,7}", name in "[ab]{0,9}") {
            let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(matches(pattern, name), by_definition(pattern, name));
        }
    }

    #[test]
    fn an_idle_pattern_is_told_with_what_is_near() {
        let names = ["0.weight", "0.bias", "head.weight"];
        let error = Patterns(vec!["*".into(), "heads.*".into()]).check("model.trainable", "the parameters", &names);
        assert_eq!(
            error.unwrap_err(),
            "model.trainable: \"heads.*\" matches none of the parameters; nearest: `head.weight`, `0.bias`, `0.weight`"
        );
    }
}

//! One list a folder: from one word come the module, the configuration's name, the help line and the tests' list.
//!
//! `registry! { Config by "rule" as Prepare: flat::Flat = "flat", ... }` declares the modules, re-exports the types, and makes
//! an enum `Config` that reads and writes `{ rule = "flat", ...the type's own fields }`. Each type is its own
//! configuration: what serde reads of it is what a user may write, and its first doc line is its help.
use serde::{Serialize, Serializer, de::DeserializeOwned, ser::Error as _};

/// One entry of a list, for help texts: its name in a configuration and what it is, in a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// The word that picks it.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// Who published it; empty in lists that do not say.
    pub source: &'static str,
    /// What it needs of each example's gradient; empty in lists that do not say.
    pub class: &'static str,
}

/// Splits `{ tag = "name", rest.. }` into its name and the rest; `"name"` alone has no rest.
pub(crate) fn untag(value: toml::Value, tag: &str, names: &[&str]) -> Result<(String, toml::Table), String> {
    let mut table = match value {
        toml::Value::Table(table) => table,
        toml::Value::String(name) => return Ok((name, toml::Table::new())),
        other => return Err(format!("expected {{ {tag} = ... }}, not a {}", other.type_str())),
    };
    match table.remove(tag) {
        Some(toml::Value::String(name)) => Ok((name, table)),
        Some(other) => Err(format!("`{tag}` is a {}, expected one of {}", other.type_str(), list(names))),
        None => Err(format!("missing field `{tag}`, expected one of {}", list(names))),
    }
}

/// The error for a name that is not in the list.
pub(crate) fn unknown(tag: &str, name: &str, names: &[&str]) -> String {
    format!("unknown {tag} `{name}`, expected one of {}", list(names))
}

fn list(names: &[&str]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

/// Reads one entry's own fields; an error keeps serde's words and names the key.
pub(crate) fn fields<T: DeserializeOwned>(table: toml::Table) -> Result<T, String> {
    table.try_into().map_err(|e: toml::de::Error| e.to_string().trim_end().replace("\nin `", ", in `"))
}

/// Writes one entry's fields with its name in front.
pub(crate) fn tagged<S: Serializer>(to: S, tag: &str, name: &str, value: &impl Serialize) -> Result<S::Ok, S::Error> {
    let fields = toml::Table::try_from(value).map_err(S::Error::custom)?;
    to.collect_map(std::iter::once((tag.to_owned(), toml::Value::String(name.to_owned()))).chain(fields))
}

macro_rules! registry {
    ($(#[$doc:meta])* $Config:ident by $tag:literal as $Trait:path: $($file:ident :: $Type:ident = $name:literal, $summary:literal $(, $source:literal, $class:literal)?;)*) => {
        $(pub mod $file; pub use $file::$Type;)*

        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $Config { $(#[doc = $summary] $Type($Type)),* }

        impl $Config {
            /// Everything in the list, for help texts and conformance tests.
            pub const ENTRIES: &'static [$crate::registry::Entry] =
                &[$($crate::registry::Entry { name: $name, summary: $summary, source: concat!($($source)?), class: concat!($($class)?) }),*];
            const NAMES: &'static [&'static str] = &[$($name),*];

            /// The word that picks this entry in a configuration.
            pub fn name(&self) -> &'static str {
                match self { $($Config::$Type(_) => $name),* }
            }

            /// The entry itself.
            pub fn get(&self) -> &dyn $Trait {
                match self { $($Config::$Type(entry) => entry),* }
            }

            /// The entry itself, to keep.
            pub fn into_box(self) -> Box<dyn $Trait> {
                match self { $($Config::$Type(entry) => Box::new(entry)),* }
            }
        }

        impl<'de> serde::Deserialize<'de> for $Config {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error;
                let value = toml::Value::deserialize(deserializer)?;
                let (name, rest) = $crate::registry::untag(value, $tag, Self::NAMES).map_err(D::Error::custom)?;
                match name.as_str() {
                    $($name => $crate::registry::fields(rest).map($Config::$Type),)*
                    other => Err($crate::registry::unknown($tag, other, Self::NAMES)),
                }
                .map_err(D::Error::custom)
            }
        }

        impl serde::Serialize for $Config {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $($Config::$Type(value) => $crate::registry::tagged(serializer, $tag, $name, value)),* }
            }
        }
    };
}
pub(crate) use registry;

//! One list a folder: from one word come the module, the configuration's name, the help line and the tests' list.
//!
//! `registry! { Config by "rule" as Prepare: flat::Flat = "flat", ... }` declares the modules, re-exports the types, and makes
//! an enum `Config` that reads and writes `{ rule = "flat", ...the type's own fields }`. Each type is its own
//! configuration: what serde reads of it is what a user may write, and its first doc line is its help. A program's own entry
//! (`Config::own`) goes wherever one of the list does.
use serde::{
    Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Visitor},
    ser::Error as _,
};
use std::{fmt, sync::Arc};

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

/// A setting of an entry: its key, and its default if it has one that is always there.
pub type Setting = (String, Option<toml::Value>);

/// The keys of `T`'s table: whoever reads one says which he is looking for.
pub(crate) fn keys<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    let _there_is_nothing = T::deserialize(Probe(&mut keys));
    keys
}

/// Keeps the names of the fields that are asked for, and has none.
struct Probe<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("there is nothing here"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The settings of the entry `name`, whose keys are `keys`.
pub(crate) fn settings<C: DeserializeOwned + Serialize>(tag: &str, name: &str, keys: &[&str]) -> Vec<Setting> {
    let named = toml::Table::from_iter([(tag.to_owned(), toml::Value::from(name))]);
    let (entry, given) = completed::<C>(named);
    let defaults = entry.and_then(|entry| toml::Table::try_from(&entry).ok()).unwrap_or_default();
    let default = |key: &str| defaults.get(key).filter(|_| !given.contains(&key.to_owned())).cloned();
    keys.iter().map(|key| ((*key).to_owned(), default(key))).collect()
}

/// An entry whose required settings are filled in with something, and which those are.
fn completed<C: DeserializeOwned>(named: toml::Table) -> (Option<C>, Vec<String>) {
    let anything = [toml::Value::from(1), "a".into(), toml::Value::Array(vec![]), toml::Value::Array(vec!["a".into()])];
    let mut given: Vec<(String, usize)> = Vec::new();
    loop {
        let mut table = named.clone();
        table.extend(given.iter().map(|(key, at)| (key.clone(), anything[*at].clone())));
        let error = match C::deserialize(toml::Value::Table(table)) {
            Ok(entry) => return (Some(entry), given.into_iter().map(|(key, _)| key).collect()),
            Err(error) => error.to_string(),
        };
        let missing = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        match (missing, given.last_mut()) {
            (Some(key), _) => given.push((key.to_owned(), 0)),
            (None, Some((_, at))) if *at + 1 < anything.len() => *at += 1,
            (None, _) => return (None, Vec::new()),
        }
    }
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

/// An entry that is in no list: a program's own, and what reports call it.
pub struct Own<T: ?Sized> {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub entry: Arc<T>,
}

impl<T: ?Sized> Clone for Own<T> {
    fn clone(&self) -> Self {
        Own { name: self.name, entry: self.entry.clone() }
    }
}

impl<T: ?Sized> PartialEq for Own<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry)
    }
}

impl<T: ?Sized> fmt::Debug for Own<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Own").field(&self.name).finish()
    }
}

macro_rules! registry {
    ($(#[$doc:meta])* $Config:ident by $tag:literal as $Trait:path: $($file:ident :: $Type:ident = $name:literal, $summary:literal $(, $source:literal, $class:literal)?;)*) => {
        $(pub mod $file; pub use $file::$Type;)*

        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $Config {
            $(#[doc = $summary] $Type($Type),)*
            /// One that is not in the list: see `own`.
            Own($crate::registry::Own<dyn $Trait>),
        }

        impl $Config {
            /// Everything in the list, for help texts and conformance tests.
            pub const ENTRIES: &'static [$crate::registry::Entry] =
                &[$($crate::registry::Entry { name: $name, summary: $summary, source: concat!($($source)?), class: concat!($($class)?) }),*];
            const NAMES: &'static [&'static str] = &[$($name),*];

            /// The settings of the entry of this name, with their defaults.
            pub fn settings(name: &str) -> Vec<$crate::registry::Setting> {
                let keys = match name {
                    $($name => $crate::registry::keys::<$Type>(),)*
                    _ => &[],
                };
                $crate::registry::settings::<Self>($tag, name, keys)
            }

            /// One of a program's own, to be planned, priced and told of as those of the list are. Reports call it `name`, which no file
            /// can pick: a folder of results with it is not gone on with.
            pub fn own(name: &'static str, entry: impl $Trait + 'static) -> Self {
                $Config::Own($crate::registry::Own { name, entry: std::sync::Arc::new(entry) })
            }

            /// The word that picks this entry in a configuration.
            pub fn name(&self) -> &'static str {
                match self { $($Config::$Type(_) => $name,)* $Config::Own(own) => own.name }
            }

            /// The entry itself.
            pub fn get(&self) -> &dyn $Trait {
                match self { $($Config::$Type(entry) => entry,)* $Config::Own(own) => &*own.entry }
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
                match self {
                    $($Config::$Type(value) => $crate::registry::tagged(serializer, $tag, $name, value),)*
                    $Config::Own(own) => $crate::registry::tagged(serializer, $tag, own.name, &toml::Table::new()),
                }
            }
        }
    };
}
pub(crate) use registry;

#[cfg(test)]
mod tests {
    use crate::{clip::ClipConfig, data::Kind, layer::LayerConfig, update::UpdateConfig};
    use toml::Value;

    fn find(settings: Vec<super::Setting>, key: &str) -> Option<Option<Value>> {
        settings.into_iter().find(|(name, _)| name == key).map(|(_, default)| default)
    }

    #[test]
    fn settings_and_defaults_are_told_by_the_entry_itself() {
        assert_eq!(find(ClipConfig::settings("auto-s"), "gamma"), Some(Some(0.01.into())));
        assert_eq!(find(UpdateConfig::settings("adam"), "beta2"), Some(Some(0.999.into())));
        assert_eq!(find(UpdateConfig::settings("adam"), "learning_rate"), Some(None));
        assert_eq!(find(LayerConfig::settings("conv2d"), "channels"), Some(None));
        assert!(find(LayerConfig::settings("conv2d"), "stride").is_some_and(|stride| stride.is_some()));
        assert!(LayerConfig::settings("relu").is_empty());
        assert_eq!(find(Kind::settings("csv"), "examples"), Some(None));
        assert_eq!(super::keys::<crate::layer::Linear>(), ["features", "bias"]);
        for entry in ClipConfig::ENTRIES {
            assert!(find(ClipConfig::settings(entry.name), "bound").is_some(), "{}", entry.name);
        }
    }
}

//! Numbers in JSON that may be infinite.
//!
//! JSON has no infinity and no NaN. They are written as the strings `"inf"`, `"-inf"` and `"nan"`, and read back as
//! such, so that a diverged loss or an unbounded epsilon survives the round trip. Use as `#[serde(with =
//! "super::number")]`.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes a number, or the name of what JSON cannot write.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match name(*value) {
        Some(word) => serializer.serialize_str(word),
        None => serializer.serialize_f64(*value),
    }
}

/// Reads a number or one of the three names.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Either::deserialize(deserializer)?.number()
}

/// The same for a number that may be absent (`null`). Add `#[serde(default)]` to let the key be missing.
pub mod optional {
    use super::{Deserialize, Deserializer, Either, Serialize, Serializer};

    /// A number borrowed for writing.
    #[derive(Serialize)]
    struct Lent<'a>(#[serde(with = "super")] &'a f64);

    /// Writes a number, the name of what JSON cannot write, or `null`.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(Lent).serialize(serializer)
    }

    /// Reads a number, one of the three names, or `null`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Option::<Either>::deserialize(deserializer)?.map(Either::number).transpose()
    }
}

/// What may stand where a number is expected.
#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Number(f64),
    Word(String),
}

impl Either {
    fn number<E: Error>(self) -> Result<f64, E> {
        match self {
            Either::Number(value) => Ok(value),
            Either::Word(word) => {
                value(&word).ok_or_else(|| E::invalid_value(Unexpected::Str(&word), &"a number or \"inf\""))
            }
        }
    }
}

fn name(value: f64) -> Option<&'static str> {
    match value {
        f64::INFINITY => Some("inf"),
        f64::NEG_INFINITY => Some("-inf"),
        _ if value.is_nan() => Some("nan"),
        _ => None,
    }
}

fn value(name: &str) -> Option<f64> {
    match name {
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Pair {
        #[serde(with = "super")]
        must: f64,
        #[serde(with = "super::optional", default)]
        may: Option<f64>,
    }

    fn round_trip(must: f64, may: Option<f64>) -> (String, Pair) {
        let text = serde_json::to_string(&Pair { must, may }).unwrap();
        let pair = serde_json::from_str(&text).unwrap();
        (text, pair)
    }

    #[test]
    fn infinity_is_a_word() {
        let (text, pair) = round_trip(f64::INFINITY, Some(f64::NEG_INFINITY));
        assert_eq!(text, r#"{"must":"inf","may":"-inf"}"#);
        assert_eq!((pair.must, pair.may), (f64::INFINITY, Some(f64::NEG_INFINITY)));
    }

    #[test]
    fn nan_survives() {
        let (_, pair) = round_trip(f64::NAN, Some(f64::NAN));
        assert!(pair.must.is_nan() && pair.may.unwrap().is_nan());
    }

    #[test]
    fn finite_numbers_stay_numbers() {
        let (text, pair) = round_trip(0.1 + 0.2, None);
        assert_eq!(text, r#"{"must":0.30000000000000004,"may":null}"#);
        assert_eq!((pair.must, pair.may), (0.1 + 0.2, None));
    }

    #[test]
    fn whole_numbers_and_missing_keys_are_read() {
        let pair: Pair = serde_json::from_str(r#"{"must":3}"#).unwrap();
        assert_eq!((pair.must, pair.may), (3.0, None));
    }

    #[test]
    fn other_words_are_refused() {
        let error = serde_json::from_str::<Pair>(r#"{"must":"lots"}"#).err().unwrap().to_string();
        assert!(error.contains("lots"), "{error}");
    }
}

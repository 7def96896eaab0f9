//! The table of reference values, for tests.

use serde_json::Value;

/// The cases under this key, or nothing and a word about it.
pub(crate) fn table(key: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference/accounting.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no reference table at {path}");
        return Vec::new();
    };
    serde_json::from_str::<Value>(&text).unwrap()[key].as_array().unwrap().clone()
}

/// A number of a case.
pub(crate) fn number(case: &Value, key: &str) -> f64 {
    case[key].as_f64().unwrap()
}

/// How far apart, as a share.
pub(crate) fn relative(got: f64, want: f64) -> f64 {
    if got == want { 0.0 } else { (got / want - 1.0).abs() }
}

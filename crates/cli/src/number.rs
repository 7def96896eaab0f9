//! Numbers on the command line, each with its range in the error.

fn parse(text: &str, want: &str, fine: impl Fn(f64) -> bool) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if fine(value) => Ok(value),
        Ok(_) => Err(format!("must be {want}")),
        Err(_) => Err(format!("not a number: must be {want}")),
    }
}

/// Delta.
pub fn delta(text: &str) -> Result<f64, String> {
    parse(text, "a number above 0 and below 1", |v| v > 0.0 && v < 1.0)
}

/// A probability of taking part.
pub fn rate(text: &str) -> Result<f64, String> {
    parse(text, "a number from 0 to 1", |v| (0.0..=1.0).contains(&v))
}

/// A noise multiplier.
pub fn multiplier(text: &str) -> Result<f64, String> {
    parse(text, "a finite number of at least 0", |v| v.is_finite() && v >= 0.0)
}

/// An epsilon to aim for.
pub fn epsilon(text: &str) -> Result<f64, String> {
    parse(text, "a finite number above 0", |v| v.is_finite() && v > 0.0)
}

/// A registered accountant.
pub fn accountant(text: &str) -> Result<String, String> {
    let names = privacy::account::names();
    if names.contains(&text) { Ok(text.into()) } else { Err(format!("expected one of {}", names.join(", "))) }
}

/// A registered accountant, or all of them.
pub fn accountant_or_all(text: &str) -> Result<String, String> {
    if text == "all" { Ok(text.into()) } else { accountant(text).map_err(|e| format!("{e}, all")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_said() {
        assert!(delta("1").unwrap_err().contains("below 1"));
        assert!(delta("NaN").is_err() && delta("x").unwrap_err().contains("not a number"));
        assert!(rate("1").is_ok() && rate("0").is_ok() && rate("1.01").is_err() && rate("-0.1").is_err());
        assert!(multiplier("0").is_ok() && multiplier("-1").is_err() && multiplier("inf").is_err());
        assert!(epsilon("0").is_err() && accountant("rdp").is_ok() && accountant("guess").unwrap_err().contains("rdp"));
    }
}

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

/// The width of an interval over epsilon.
pub fn precision(text: &str) -> Result<f64, String> {
    parse(text, "a number from 1e-8 to 0.1", |v| (1e-8..=0.1).contains(&v))
}

/// A number of steps.
pub fn steps(text: &str) -> Result<u64, String> {
    whole(text, 0)
}

/// A number of examples, or of rows.
pub fn examples(text: &str) -> Result<u64, String> {
    whole(text, 1)
}

fn whole(text: &str, least: u64) -> Result<u64, String> {
    let most = u64::MAX;
    let fine = text.parse().ok().filter(|number| *number >= least);
    fine.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
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
        assert!(steps("0").is_ok() && steps("-3").unwrap_err().contains("from 0") && steps("1.5").is_err());
        assert!(examples("0").unwrap_err().contains("from 1") && examples("7") == Ok(7));
        assert!(epsilon("0").is_err() && accountant("rdp").is_ok() && accountant("guess").unwrap_err().contains("rdp"));
    }
}

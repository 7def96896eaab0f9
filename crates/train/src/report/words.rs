//! Numbers as people read them.
//!
//! What a guarantee states is rounded up, never down: a reader who trusts the page must not trust too much.

/// A narrow space that does not break, between groups of digits and before units.
pub const THIN: char = '\u{202f}';

/// A bound (epsilon, delta), to three significant digits, rounded up.
pub fn bound(value: f64) -> String {
    plain(ceil(value, 3))
}

/// A measured or chosen number to `digits` significant digits, rounded to the nearest.
pub fn significant(value: f64, digits: usize) -> String {
    plain(nearest(value, digits))
}

/// A share (0 to 1) as a percentage with one decimal, rounded to the nearest.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}{THIN}%", share * 100.0) } else { plain(share) }
}

/// A share that is a bound, as a percentage to three significant digits, rounded up, at most 100 %.
pub fn percent_bound(share: f64) -> String {
    format!("{}{THIN}%", plain(ceil(share * 100.0, 3).min(100.0)))
}

/// A count with its digits in groups of three.
pub fn count(value: u64) -> String {
    group(&value.to_string())
}

/// Digits in groups of three; numbers below 10 000 stay as they are.
pub fn group(digits: &str) -> String {
    if digits.len() < 5 {
        return digits.to_owned();
    }
    let head = digits.len() % 3;
    let separate = |at: usize| at > 0 && at % 3 == head;
    digits.chars().enumerate().flat_map(|(at, digit)| separate(at).then_some(THIN).into_iter().chain([digit])).collect()
}

/// Seconds as the two largest units that they fill.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    if seconds < 59.95 {
        return format!("{seconds:.1}{THIN}s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes) = (whole / 3600, whole / 60 % 60);
    match hours {
        0 => format!("{minutes}{THIN}min {:02}{THIN}s", whole % 60),
        _ => format!("{}{THIN}h {minutes:02}{THIN}min", count(hours)),
    }
}

/// The shortest way to write a number that reads back the same, with an exponent where that helps.
pub fn plain(value: f64) -> String {
    match value.abs() {
        f64::INFINITY => if value > 0.0 { "∞" } else { "−∞" }.to_owned(),
        size if size.is_nan() => "not a number".to_owned(),
        0.0 => "0".to_owned(),
        size if (1e-3..1e7).contains(&size) => value.to_string(),
        _ => format!("{value:e}"),
    }
}

fn nearest(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits.saturating_sub(1)).parse().unwrap_or(value)
}

/// The smallest number of `digits` significant digits that is not below `value`, but for the noise of binary fractions.
fn ceil(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powi(digits - 1 - value.abs().log10().floor() as i32);
    if !scale.is_normal() {
        return value;
    }
    nearest((value * scale - 1e-6).ceil() / scale, digits.unsigned_abs() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_go_up() {
        let shown: Vec<_> = [0.98, 0.98001, 0.9999, 3.0, 7.995, 123.4, 0.0, f64::INFINITY].map(bound).into();
        assert_eq!(shown, ["0.98", "0.981", "1", "3", "8", "124", "0", "∞"]);
        assert_eq!([1e-5, 1.0 / 60000.0, 1e-320].map(bound), ["1e-5", "1.67e-5", "1e-320"]);
        assert_eq!([0.026_645, 1.0].map(percent_bound), ["2.67\u{202f}%", "100\u{202f}%"]);
    }

    #[test]
    fn measurements_go_to_the_nearest() {
        assert_eq!(significant(0.43127, 3), "0.431");
        assert_eq!(significant(f64::NAN, 3), "not a number");
        assert_eq!(percent(0.98437), "98.4\u{202f}%");
        assert_eq!(significant(-1234567.0, 2), "-1200000");
    }

    #[test]
    fn counts_are_grouped() {
        let shown = [7, 2000, 60_000, 1_234_567].map(|value| count(value).replace(THIN, " "));
        assert_eq!(shown, ["7", "2000", "60 000", "1 234 567"]);
    }

    #[test]
    fn durations_have_two_units() {
        let shown = [0.34, 59.97, 187.2, 8040.0, f64::NAN].map(|value| duration(value).replace(THIN, " "));
        assert_eq!(shown, ["0.3 s", "1 min 00 s", "3 min 07 s", "2 h 14 min", "unknown"]);
    }
}

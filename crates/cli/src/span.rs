//! A time span on the command line.

use std::str::FromStr;
use std::time::Duration;

/// A time span as people write it: `500ms`, `90s`, `10m`, `2h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            other => return Err(format!("`{other}` is no unit of time; use ms, s, m, h or d")),
        };
        let number: u64 =
            number.parse().map_err(|_| format!("`{text}` does not begin with a number"))?;
        let ms = number.checked_mul(unit_ms).ok_or_else(|| format!("`{text}` is too long"))?;
        Ok(Span(Duration::from_millis(ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        let check = |text: &str, ms: u64| {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
        };
        check("500ms", 500);
        check("90s", 90_000);
        check("10m", 600_000);
        check("10min", 600_000);
        check("2h", 7_200_000);
        check("7d", 604_800_000);
        assert!("99999999999999999999s".parse::<Span>().is_err());
        assert!("18446744073709551615d".parse::<Span>().is_err());
    }
}

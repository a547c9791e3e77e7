//! Times as RFC 3339 in UTC with milliseconds.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use wholly_core::time::Timestamp;

const DAY_MS: u64 = 86_400_000;
/// The last millisecond of the year 9999, the last that RFC 3339 can say.
const LAST_MS: u64 = 253_402_300_799_999;

/// A time as v1 spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.0.min(LAST_MS);
        let (year, month, day) = date(ms / DAY_MS);
        let rest = ms % DAY_MS;
        let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
        let (second, ms) = (rest / 1_000 % 60, rest % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// A text that is no time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeError;

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no time as 2026-01-31T12:00:00.000Z")
    }
}

impl std::error::Error for TimeError {}

impl std::str::FromStr for Time {
    type Err = TimeError;

    /// Takes any fraction of a second and cuts it to milliseconds.
    fn from_str(text: &str) -> Result<Time, TimeError> {
        let bytes = text.as_bytes();
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if bytes.len() < 20 || marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
            return Err(TimeError);
        }
        let (year, month, day) = (digits(bytes, 0, 4)?, digits(bytes, 5, 2)?, digits(bytes, 8, 2)?);
        let (hour, minute) = (digits(bytes, 11, 2)?, digits(bytes, 14, 2)?);
        let second = digits(bytes, 17, 2)?;
        let days = days(year, month, day).ok_or(TimeError)?;
        if hour > 23 || minute > 59 || second > 59 || date(days) != (year, month, day) {
            return Err(TimeError);
        }
        let ms = fraction(&bytes[19..])?;
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
        Ok(Time(Timestamp(seconds * 1_000 + ms)))
    }
}

fn digits(bytes: &[u8], at: usize, count: usize) -> Result<u64, TimeError> {
    bytes[at..at + count].iter().try_fold(0, |number, byte| match byte {
        b'0'..=b'9' => Ok(number * 10 + u64::from(byte - b'0')),
        _ => Err(TimeError),
    })
}

/// What follows the seconds: perhaps a fraction, then the Z.
fn fraction(rest: &[u8]) -> Result<u64, TimeError> {
    match rest {
        [b'Z'] => Ok(0),
        [b'.', digits @ .., b'Z'] if !digits.is_empty() && digits.len() <= 9 => {
            if !digits.iter().all(u8::is_ascii_digit) {
                return Err(TimeError);
            }
            let padded = digits.iter().chain(std::iter::repeat(&b'0')).take(3);
            Ok(padded.fold(0, |ms, digit| ms * 10 + u64::from(digit - b'0')))
        }
        _ => Err(TimeError),
    }
}

/// Year, month and day of a day since 1970 (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leaps = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// The day since 1970 of a date (the same source); none before 1970.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year.checked_sub(u64::from(month <= 2))?;
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format_args!("{text:?} {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ms: u64, text: &str) {
        assert_eq!(Time(Timestamp(ms)).to_string(), text);
        assert_eq!(text.parse(), Ok(Time(Timestamp(ms))), "{text}");
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_700_000_000_123, "2023-11-14T22:13:20.123Z");
        check(1_709_164_800_000, "2024-02-29T00:00:00.000Z");
        check(4_107_542_399_999, "2100-02-28T23:59:59.999Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
        check(LAST_MS, "9999-12-31T23:59:59.999Z");
        assert_eq!(Time(Timestamp(u64::MAX)).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn every_day_comes_back() {
        for day in (0..LAST_MS / DAY_MS).step_by(97) {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), Some(day));
        }
    }

    #[test]
    fn fractions_are_cut_and_other_texts_refused() {
        let parse = |text: &str| text.parse::<Time>().map(|time| time.0.0);
        assert_eq!(parse("1970-01-01T00:00:01Z"), Ok(1_000));
        assert_eq!(parse("1970-01-01T00:00:01.5Z"), Ok(1_500));
        assert_eq!(parse("1970-01-01T00:00:01.123999Z"), Ok(1_123));
        for wrong in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00+01:00",
            "1970-01-01 00:00:00.000Z",
            "1969-12-31T23:59:59.000Z",
            "0000-01-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:60:00Z",
            "2023-01-01T00:00:00.Z",
            "2023-01-01T00:00:00.1234567890Z",
            "2o23-01-01T00:00:00Z",
            "2023-01-01T00:00:00.1x3Z",
        ] {
            assert_eq!(parse(wrong), Err(TimeError), "{wrong}");
        }
    }
}

//! When certificates cease to hold, read from their own bytes (X.509 in DER, RFC 5280 part 4.1).

use rustls::pki_types::CertificateDer;

const DAY_S: u64 = 86_400;
/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When each certificate of a file ceases to hold, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expiries(Vec<u64>);

impl Expiries {
    /// Those of these certificates. One that cannot be read is left out: it is not this that
    /// judges whether it holds.
    pub(crate) fn of(certificates: &[CertificateDer<'_>]) -> Expiries {
        Expiries(certificates.iter().filter_map(|certificate| expiry(certificate)).collect())
    }

    /// Up to when all of them hold, as those must that vouch for one another.
    pub fn first(&self) -> Option<u64> {
        self.0.iter().copied().min()
    }

    /// Of those any of which may serve: up to when all hold that hold at this time; where none
    /// does, when the last one ceased to.
    pub fn next(&self, now_s: u64) -> Option<u64> {
        let ahead = self.0.iter().copied().filter(|expiry| *expiry > now_s).min();
        ahead.or_else(|| self.0.iter().copied().max())
    }

    /// These and others.
    pub fn with(mut self, others: &Expiries) -> Expiries {
        self.0.extend(&others.0);
        self
    }
}

/// Up to when a certificate holds.
fn expiry(certificate: &[u8]) -> Option<u64> {
    let (body, _) = value(SEQUENCE, certificate)?;
    let (mut fields, _) = value(SEQUENCE, body)?;
    if fields.first() == Some(&VERSION) {
        fields = next(fields)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields = next(fields)?.2;
    }
    let (validity, _) = value(SEQUENCE, fields)?;
    let (_, _, until) = next(validity)?;
    let (tag, until, _) = next(until)?;
    time(tag, until)
}

/// The first value where it has this tag, and what follows it.
fn value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, value, rest) = next(bytes)?;
    (found == tag).then_some((value, rest))
}

/// The first value: its tag, itself, and what follows it.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, bytes) = bytes.split_first()?;
    let (first, bytes) = bytes.split_first()?;
    let (length, bytes) = match usize::from(*first) {
        short @ 0..0x80 => (short, bytes),
        long => {
            let (digits, bytes) = bytes.split_at_checked(long - 0x80)?;
            let more = |length: usize, digit: &u8| {
                length.checked_mul(256)?.checked_add(usize::from(*digit))
            };
            (digits.iter().try_fold(0, more)?, bytes)
        }
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    Some((*tag, value, rest))
}

/// Seconds since 1970 of `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms that certificates
/// may have.
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"Z")?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = number(digits, 2)?;
            (if year < 50 { 2_000 + year } else { 1_900 + year }, rest)
        }
        GENERALIZED_TIME => number(digits, 4)?,
        _ => return None,
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, rest) = number(rest, 2)?;
    let is_time = (1..=12).contains(&month) && (1..=31).contains(&day) && rest.is_empty();
    if !is_time || year < 1970 {
        return None;
    }
    Some(days(year, month, day) * DAY_S + hour * 3_600 + minute * 60 + second)
}

fn number(digits: &[u8], count: usize) -> Option<(u64, &[u8])> {
    let (number, rest) = digits.split_at_checked(count)?;
    let more = |number: u64, digit: &u8| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    };
    Some((number.iter().try_fold(0, more)?, rest))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that
/// the day a leap year has more is the last of its year.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    year * 365 + leaps + (153 * month + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, Validity};
    use crate::files::certificates;

    #[test]
    fn a_certificate_says_up_to_when_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let known = Authority::new("known");
        let file = folder.path().join("file.pem");
        let check = |text: String, first: u64, (now_s, next): (u64, u64)| {
            std::fs::write(&file, text).unwrap();
            let expiries = Expiries::of(&certificates(&file).unwrap());
            assert_eq!(expiries.first(), Some(first));
            assert_eq!(expiries.next(now_s), Some(next));
        };
        // 2049-12-31T23:59:59Z, 2011-01-01T00:00:00Z.
        let (current, past) = (2_524_607_999, 1_293_840_000);
        let of = |validity| known.issue_for(&["a"], validity).certificate;
        check(of(Validity::Current), current, (0, current));
        check(of(Validity::Past), past, (past, past));
        let both = of(Validity::Current) + &of(Validity::Past) + &known.certificate();
        check(both.clone(), past, (past - 1, past));
        check(both.clone(), past, (past, current));
        check(both, past, (current, current));
        assert_eq!(Expiries::default().first(), None);
        assert_eq!(Expiries::default().next(0), None);
    }

    #[test]
    fn times_are_read_in_both_forms_and_only_these() {
        let check = |tag: u8, text: &str, expected: Option<u64>| {
            assert_eq!(time(tag, text.as_bytes()), expected, "{text}");
        };
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "000229010203Z", Some(951_786_123));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(UTC_TIME, "500101000000Z", None);
        check(GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000));
        check(GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799));
        check(UTC_TIME, "700101000000", None);
        check(UTC_TIME, "7001010000Z", None);
        check(UTC_TIME, "70010100000xZ", None);
        check(UTC_TIME, "701301000000Z", None);
        check(UTC_TIME, "70010100000000Z", None);
        check(GENERALIZED_TIME, "Z", None);
        check(4, "700101000000Z", None);
    }

    #[test]
    fn what_is_no_certificate_has_no_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = Authority::new("known").write(folder.path());
        let whole = certificates(&file).unwrap().remove(0).to_vec();
        let known = expiry(&whole);
        assert!(known.is_some());
        // The time stands in the first half; no prefix of it is read as another.
        for length in 0..whole.len() {
            assert_eq!(expiry(&whole[..length]), None, "{length}");
        }
        for bytes in [&[][..], &[0x30], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0xff]] {
            assert_eq!(expiry(bytes), None, "{bytes:?}");
        }
    }
}

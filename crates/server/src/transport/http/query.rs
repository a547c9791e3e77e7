//! Query parameters: each is known, stands once, and is read by name.

use std::borrow::Cow;
use std::str::FromStr;
use wholly_core::input::Wait;
use wholly_wire::edge::EdgeRejection;
use wholly_wire::words::Spelled;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Query<'a> {
    pairs: Vec<(&'static str, Cow<'a, str>)>,
}

/// For what a request waits that does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitDefault {
    /// For its record alone.
    No,
    /// For the decision.
    Decided,
}

impl<'a> Query<'a> {
    /// Reads the parameters; only those of the route are known.
    pub(super) fn parse(
        text: Option<&'a str>,
        known: &'static [&'static str],
    ) -> Result<Query<'a>, EdgeRejection> {
        let mut query = Query::default();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = known.iter().find(|known| **known == name) else {
                let shown: String = name.chars().take(64).collect();
                let path = format!("query parameter {shown}");
                return Err(EdgeRejection::unknown_field(path, name, known.iter().copied()));
            };
            if query.pairs.iter().any(|(earlier, _)| earlier == name) {
                return Err(EdgeRejection::invalid(
                    *name,
                    "stands twice in the query; once will do",
                ));
            }
            let value = decode(value).ok_or_else(|| {
                EdgeRejection::invalid(*name, "has a wrong percent-encoding; encode it as UTF-8")
            })?;
            query.pairs.push((name, value));
        }
        Ok(query)
    }

    /// The value of a parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_ref())
    }

    /// The value of a parameter as what it names.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, EdgeRejection> {
        let parsed = self
            .text(name)
            .map(|text| text.parse().map_err(|why: T::Err| EdgeRejection::invalid(name, why)));
        parsed.transpose()
    }

    /// The value of a parameter as a number.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>, EdgeRejection> {
        let number = self.text(name).map(|text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let wrong = || EdgeRejection::invalid(name, "must be an integer from 0");
            text.parse().ok().filter(|_| digits).ok_or_else(wrong)
        });
        number.transpose()
    }

    /// The value of a parameter as one of its words.
    pub(super) fn word<T: Spelled>(&self, name: &'static str) -> Result<Option<T>, EdgeRejection> {
        let word = self.text(name).map(|text| {
            let why = || EdgeRejection::invalid(name, format!("is none of {}", T::spellings()));
            T::parse(text).ok_or_else(why)
        });
        word.transpose()
    }

    /// How long to wait, by `wait_ms`; at most the limit.
    pub(super) fn wait_ms(&self, max: u64) -> Result<Option<u64>, EdgeRejection> {
        match self.number("wait_ms")? {
            Some(wait_ms) if wait_ms > max => {
                let why = format!("is over the limit wait_ms_max, which is {max}; ask again after");
                Err(EdgeRejection::invalid("wait_ms", why))
            }
            wait_ms => Ok(wait_ms),
        }
    }

    /// What to wait for, by `wait` and `wait_ms`.
    pub(super) fn wait(&self, default: WaitDefault, max: u64) -> Result<Wait, EdgeRejection> {
        let given = self.wait_ms(max)?;
        let wait_ms = given.unwrap_or(max);
        match (self.text("wait"), default) {
            (Some("ended"), _) => Ok(Wait::Ended { wait_ms }),
            (Some("decided"), _) | (None, WaitDefault::Decided) => Ok(Wait::Decided { wait_ms }),
            (Some("no"), _) => Ok(Wait::No),
            (None, WaitDefault::No) if given.is_some() => {
                Err(EdgeRejection::invalid("wait_ms", "needs wait=decided or wait=ended"))
            }
            (None, WaitDefault::No) => Ok(Wait::No),
            (Some(_), _) => Err(EdgeRejection::invalid("wait", "is none of decided, ended, no")),
        }
    }
}

/// Takes percent-encoding away; none if it is wrong or hides what is not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? * 16 + hex(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

//! What is wrong with JSON, without a word of what it holds.

use serde_json::error::Category;

/// Why a payload or a reply is none of its type.
///
/// Made of an error of `serde_json`, which quotes the value that it does not like: an error ends in
/// a log, a refusal in the answers of a coordinator, and payloads belong in neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at line {line} column {column}")]
pub struct Misfit {
    what: String,
    line: usize,
    column: usize,
}

/// What begins the texts that name the value first, and then what was expected in its place.
const QUOTES: [&str; 5] =
    ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant ", "unknown field "];

impl From<serde_json::Error> for Misfit {
    fn from(error: serde_json::Error) -> Misfit {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let text = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
        let what = match error.classify() {
            Category::Io | Category::Syntax | Category::Eof => text.to_owned(),
            // The names of a type's fields are the type's.
            Category::Data if text.starts_with("missing field ") => text.to_owned(),
            Category::Data => match text.rsplit_once(", expected ") {
                Some((quote, expected)) if QUOTES.iter().any(|begin| quote.starts_with(begin)) => {
                    format!("expected {expected}")
                }
                // A type's own words may have the value anywhere in them.
                Some(_) | None => "a value that its type does not take".to_owned(),
            },
        };
        Misfit { what, line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Deserializer};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Card {
        #[expect(dead_code, reason = "it is only read")]
        number: Number,
        #[expect(dead_code, reason = "it is only read")]
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    enum Kind {
        Debit,
    }

    #[derive(Debug)]
    struct Number;

    impl<'de> Deserialize<'de> for Number {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            match u32::deserialize(deserializer)? {
                1 => Ok(Number),
                other => Err(serde::de::Error::custom(format!("{other}, expected {other}"))),
            }
        }
    }

    fn check(json: &str, expected: &str) {
        let misfit = Misfit::from(serde_json::from_str::<Card>(json).unwrap_err());
        assert_eq!(misfit.to_string(), expected, "{json}");
        for value in ["4711", "secret"] {
            assert!(!format!("{misfit:?}").contains(value), "{misfit:?}");
        }
    }

    #[test]
    fn it_says_what_was_expected_and_not_what_came() {
        check(r#"{"number":"4711"}"#, "expected u32, at line 1 column 16");
        check(r#"{"number":"4711, expected"}"#, "expected u32, at line 1 column 26");
        check(r#"{"number":-4711}"#, "expected u32, at line 1 column 15");
        check(r#"{"number":4711}"#, "a value that its type does not take, at line 1 column 15");
        check(r#"{"number":1}"#, "missing field `kind`, at line 1 column 12");
        check(r#"{"number":1,"kind":"secret"}"#, "expected `Debit`, at line 1 column 27");
        check(r#"{"secret":1}"#, "expected `number` or `kind`, at line 1 column 9");
        check(r#"{"number":1,"kind":"secret"#, "EOF while parsing a string, at line 1 column 26");
        check("secret", "expected value, at line 1 column 1");
        assert!(matches!(serde_json::from_str(r#""Debit""#), Ok(Kind::Debit)));
    }
}

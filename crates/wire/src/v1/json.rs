//! Payloads and replies: JSON that is carried, not looked into.

use serde_json::value::RawValue;
use std::borrow::Cow;
use wholly_core::ids::Body;

/// Deepest nesting of a payload: a participant's parser must be able to follow.
pub const NESTING_MAX: usize = 64;

/// Whether JSON is nested deeper than [`NESTING_MAX`]. What is no JSON must not come here.
pub fn is_too_deep(json: &[u8]) -> bool {
    scan(json).depth_max > NESTING_MAX
}

/// A payload nested deeper than [`NESTING_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooDeep;

/// The same JSON without blanks between its parts, so that a plan written with other blanks is the
/// same plan.
pub(crate) fn compact(value: &RawValue) -> Result<Body, TooDeep> {
    let bytes = value.get().as_bytes();
    let scan = scan(bytes);
    if scan.depth_max > NESTING_MAX {
        return Err(TooDeep);
    }
    if scan.blanks == 0 {
        return Ok(Body::new(bytes));
    }
    let mut compacted = Vec::with_capacity(bytes.len() - scan.blanks);
    let mut place = Place::Between;
    for byte in bytes {
        place = place.after(*byte);
        if place != Place::Between || !byte.is_ascii_whitespace() {
            compacted.push(*byte);
        }
    }
    Ok(Body::new(&compacted))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Between,
    Text,
    Escape,
}

impl Place {
    fn after(self, byte: u8) -> Place {
        match (self, byte) {
            (Place::Between, b'"') | (Place::Escape, _) => Place::Text,
            (Place::Text, b'"') | (Place::Between, _) => Place::Between,
            (Place::Text, b'\\') => Place::Escape,
            (Place::Text, _) => Place::Text,
        }
    }
}

struct Scan {
    depth_max: usize,
    blanks: usize,
}

/// Reads JSON that has been parsed before.
fn scan(bytes: &[u8]) -> Scan {
    let (mut place, mut depth) = (Place::Between, 0_usize);
    let mut scan = Scan { depth_max: 0, blanks: 0 };
    for byte in bytes {
        place = place.after(*byte);
        if place != Place::Between {
            continue;
        }
        match byte {
            b'{' | b'[' => {
                depth += 1;
                scan.depth_max = scan.depth_max.max(depth);
            }
            b'}' | b']' => depth -= 1,
            b' ' | b'\t' | b'\n' | b'\r' => scan.blanks += 1,
            _ => {}
        }
    }
    scan
}

/// Bytes that were kept, as JSON: nothing is null, and what is not JSON becomes a JSON string.
pub fn raw(body: &Body) -> Cow<'_, RawValue> {
    if body.is_empty() {
        return Cow::Borrowed(RawValue::NULL);
    }
    match serde_json::from_slice::<&RawValue>(body.as_bytes()) {
        Ok(value) => Cow::Borrowed(value),
        Err(_) => {
            let text = String::from_utf8_lossy(body.as_bytes());
            Cow::Owned(serde_json::value::to_raw_value(&text).expect("a string is JSON"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, TooDeep>) {
        let value: &RawValue = serde_json::from_str(text).unwrap();
        let seen = compact(value).map(|body| String::from_utf8(body.as_bytes().to_vec()).unwrap());
        assert_eq!(seen, expected.map(str::to_string), "{text}");
        assert_eq!(is_too_deep(text.as_bytes()), expected.is_err(), "{text}");
    }

    #[test]
    fn blanks_go_and_texts_stay() {
        check("null", Ok("null"));
        check("{\"a\":1}", Ok("{\"a\":1}"));
        check("{ \"a b\" :\r\n\t[ 1 , 2 ] }", Ok("{\"a b\":[1,2]}"));
        check(r#"{"a":" \" { [ \\" , "b":" x"}"#, Ok(r#"{"a":" \" { [ \\","b":" x"}"#));
        check(r#"[ "\\" , "a b" ]"#, Ok(r#"["\\","a b"]"#));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        check(&nested(64), Ok(&nested(64)));
        check(&nested(65), Err(TooDeep));
        check(&nested(100_000), Err(TooDeep));
        check(&format!("[{}]", ["[]"; 200].join(",")), Ok(&format!("[{}]", ["[]"; 200].join(","))));
        check(&format!("\"{}\"", "[".repeat(200)), Ok(&format!("\"{}\"", "[".repeat(200))));
    }

    #[test]
    fn what_was_kept_is_json() {
        assert_eq!(raw(&Body::default()).get(), "null");
        assert_eq!(raw(&Body::new(b"{\"a\":1}")).get(), "{\"a\":1}");
        assert_eq!(raw(&Body::new(b"so \"it\" is")).get(), "\"so \\\"it\\\" is\"");
        assert_eq!(raw(&Body::new(b"\xff")).get(), "\"\u{fffd}\"");
    }
}

//! JSON Schema, as far as the description uses it; a keyword that is not known here fails the test.

use serde_json::{Map, Value};

/// What is wrong with a value, and where, if anything. `root` is what references lead into. Fields
/// that an object does not describe are wrong: whatever is answered or accepted is described.
pub fn check(root: &Value, at: &str, value: &Value, schema: &Value) -> Result<(), String> {
    let schema = resolve(root, schema);
    check_keywords(schema);
    if let Some(either) = schema.get("anyOf").and_then(Value::as_array) {
        let tried: Vec<String> =
            either.iter().filter_map(|one| check(root, at, value, one).err()).collect();
        return match tried.len() < either.len() {
            true => Ok(()),
            false => Err(tried.join("; nor ")),
        };
    }
    check_kind(at, value, schema)?;
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        hold(words.contains(value), at, || format!("{value} is none of {words:?}"))?;
    }
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or(i64::MAX);
            hold(bound(schema, "minimum").is_none_or(|min| number >= min), at, || {
                "too small".into()
            })?;
            hold(bound(schema, "maximum").is_none_or(|max| number <= max), at, || "too big".into())
        }
        Value::String(text) => check_text(at, text, schema),
        Value::Array(list) => check_list(root, at, list, schema),
        Value::Object(object) => check_object(root, at, object, schema),
    }
}

/// What a reference leads to; anything else itself.
pub fn resolve<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        None => value,
        Some(reference) => {
            let found = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
            found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
    }
}

/// The kinds that a schema names; none where it takes any.
pub fn kinds(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// Whether a text has the form of a pattern: one class after another, the last one so many times,
/// or somewhere a character that is not blank.
fn has_form(text: &str, pattern: &str) -> bool {
    if pattern == r"\S" {
        return text.contains(|letter: char| !letter.is_whitespace());
    }
    let inner = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
    let mut rest = inner.unwrap_or_else(|| panic!("{pattern} is not read here"));
    let mut letters = text.chars().peekable();
    while !rest.is_empty() {
        let (class, after) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).unwrap();
        let (min, max, after) = match after.strip_prefix('{') {
            None => (1, 1, after),
            Some(counts) => {
                let (counts, after) = counts.split_once('}').unwrap();
                let (min, max) = counts.split_once(',').unwrap();
                (min.parse().unwrap(), max.parse().unwrap(), after)
            }
        };
        let mut count = 0;
        while count < max && letters.next_if(|letter| is_in(class, *letter)).is_some() {
            count += 1;
        }
        if count < min {
            return false;
        }
        rest = after;
    }
    letters.next().is_none()
}

fn is_in(class: &str, letter: char) -> bool {
    let mut rest: &[char] = &class.chars().collect::<Vec<_>>();
    loop {
        rest = match rest {
            [] => return false,
            [from, '-', to, ..] if (*from..=*to).contains(&letter) => return true,
            [_, '-', _, more @ ..] => more,
            [one, ..] if *one == letter => return true,
            [_, more @ ..] => more,
        };
    }
}

const KEYWORDS: &[&str] = &[
    "$ref",
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "properties",
    "required",
    "type",
    "x-maxBytes",
];

fn check_keywords(schema: &Value) {
    for keyword in schema.as_object().unwrap().keys() {
        assert!(KEYWORDS.contains(&keyword.as_str()), "the keyword {keyword} is not checked here");
    }
}

fn hold(is_so: bool, at: &str, why: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(format!("{at}: {}", why())) }
}

fn bound(schema: &Value, keyword: &str) -> Option<i64> {
    schema.get(keyword).map(|value| value.as_i64().unwrap())
}

fn check_kind(at: &str, value: &Value, schema: &Value) -> Result<(), String> {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = kinds(schema);
    hold(kinds.is_empty() || kinds.contains(&kind), at, || format!("is {kind}, not {kinds:?}"))
}

fn check_text(at: &str, text: &str, schema: &Value) -> Result<(), String> {
    let count = i64::try_from(text.chars().count()).unwrap();
    let in_bounds = bound(schema, "minLength").is_none_or(|min| count >= min)
        && bound(schema, "maxLength").is_none_or(|max| count <= max);
    hold(in_bounds, at, || format!("has {count} characters"))?;
    let bytes = i64::try_from(text.len()).unwrap();
    let fits = bound(schema, "x-maxBytes").is_none_or(|max| bytes <= max);
    hold(fits, at, || format!("has {bytes} bytes"))?;
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        hold(has_form(text, pattern), at, || format!("{text:?} is not like {pattern}"))?;
    }
    let is_right = match schema.get("format").and_then(Value::as_str) {
        None => true,
        Some("date-time") => is_time(text),
        Some("uri-reference") => text.starts_with('/') && !text.contains(char::is_whitespace),
        Some(other) => panic!("the format {other} is not checked here"),
    };
    hold(is_right, at, || format!("{text:?} has not the format {}", schema["format"]))
}

/// RFC 3339 in UTC with milliseconds.
fn is_time(text: &str) -> bool {
    let form = "0000-00-00T00:00:00.000Z";
    let fits = |(letter, form): (char, char)| match form {
        '0' => letter.is_ascii_digit(),
        other => letter == other,
    };
    text.len() == form.len() && text.chars().zip(form.chars()).all(fits)
}

fn check_list(root: &Value, at: &str, list: &[Value], schema: &Value) -> Result<(), String> {
    let count = i64::try_from(list.len()).unwrap();
    let in_bounds = bound(schema, "minItems").is_none_or(|min| count >= min)
        && bound(schema, "maxItems").is_none_or(|max| count <= max);
    hold(in_bounds, at, || format!("has {count} items"))?;
    let Some(items) = schema.get("items") else { return Ok(()) };
    list.iter()
        .enumerate()
        .try_for_each(|(place, item)| check(root, &format!("{at}[{place}]"), item, items))
}

fn check_object(
    root: &Value,
    at: &str,
    object: &Map<String, Value>,
    schema: &Value,
) -> Result<(), String> {
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        hold(object.contains_key(name.as_str().unwrap()), at, || format!("lacks {name}"))?;
    }
    let properties = schema.get("properties");
    let others = schema.get("additionalProperties").filter(|others| others.is_object());
    for (name, value) in object {
        let at = format!("{at}.{name}");
        match properties.and_then(|properties| properties.get(name)).or(others) {
            Some(described) => check(root, &at, value, described)?,
            // An object of which nothing is described may hold anything.
            None if properties.is_none() && others.is_none() => {}
            None => return Err(format!("{at} is not described")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_they_are_meant() {
        let name = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$";
        for (text, expected) in [
            ("a", true),
            ("order-4711.2:x_", true),
            ("", false),
            ("-a", false),
            ("a b", false),
            (&"x".repeat(128), true),
            (&"x".repeat(129), false),
        ] {
            assert_eq!(has_form(text, name), expected, "{text}");
        }
        assert!(has_form(" a", r"\S") && !has_form(" \t", r"\S"));
    }

    #[test]
    fn what_differs_from_its_schema_is_found() {
        let root = serde_json::json!({
            "type": "object", "required": ["id"], "additionalProperties": false,
            "properties": {
                "id": {"type": "string", "minLength": 1},
                "at": {"type": "string", "format": "date-time"},
                "count": {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
                "word": {"anyOf": [{"type": "string", "enum": ["yes"]}, {"type": "null"}]},
                "list": {"type": "array", "items": {"type": "boolean"}, "minItems": 1},
            },
        });
        let check = |value: Value, expected: &str| {
            let found = check(&root, "it", &value, &root).err().unwrap_or_default();
            assert_eq!(found.is_empty(), expected.is_empty(), "{value}: {found}");
            assert!(found.contains(expected), "{value}: {found}");
        };
        check(serde_json::json!({"id": "a", "count": 9, "word": "yes", "list": [true]}), "");
        check(serde_json::json!({"id": "a", "count": null, "word": null}), "");
        check(serde_json::json!({"id": "a", "at": "2026-01-02T03:04:05.678Z"}), "");
        check(serde_json::json!({"id": "a", "at": "2026-01-02"}), "it.at");
        check(serde_json::json!({}), "lacks");
        check(serde_json::json!({"id": ""}), "0 characters");
        check(serde_json::json!({"id": 1}), "it.id: is integer");
        check(serde_json::json!({"id": "a", "more": 1}), "it.more is not described");
        check(serde_json::json!({"id": "a", "count": 10}), "too big");
        check(serde_json::json!({"id": "a", "count": -1}), "too small");
        check(serde_json::json!({"id": "a", "count": 1.5}), "is number");
        check(serde_json::json!({"id": "a", "word": "no"}), "is none of");
        check(serde_json::json!({"id": "a", "list": []}), "0 items");
        check(serde_json::json!({"id": "a", "list": [1]}), "it.list[0]");
    }
}

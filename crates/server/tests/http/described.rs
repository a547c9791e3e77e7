//! Holds every answer against the description: nothing undescribed, nothing missing.

use crate::world::Heard;
use serde_json::{Map, Value};
use std::sync::LazyLock;

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(wholly_server::transport::http::OPENAPI).unwrap());

/// Checks the answer to `METHOD /path` against the schema of its status.
pub(crate) fn check(line: &str, heard: &Heard) {
    let (method, target) = line.split_once(' ').unwrap();
    let path = target.split('?').next().unwrap();
    let operation = operation(&method.to_lowercase(), path);
    let problem = resolve(&DESCRIPTION["components"]["responses"]["Problem"]);
    let response = match operation {
        None => problem,
        Some(operation) => {
            let responses = &operation["responses"];
            let status = heard.status.to_string();
            match responses.get(&status) {
                Some(response) => resolve(response),
                None if heard.status < 300 => panic!("{line}: {status} is not described"),
                None => problem,
            }
        }
    };
    let kind = heard.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap();
    let content = response["content"].as_object().unwrap();
    let described = content.get(kind).unwrap_or_else(|| panic!("{line}: {kind} is not described"));
    if kind.ends_with("json") {
        check_value(line, &heard.json(), &described["schema"]);
    }
}

fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    let found = paths.iter().find(|(pattern, _)| {
        let mut pairs = pattern.split('/').zip(path.split('/'));
        pattern.split('/').count() == path.split('/').count()
            && pairs.all(|(pattern, segment)| pattern == segment || pattern.starts_with('{'))
    });
    found.and_then(|(_, methods)| methods.get(method))
}

fn resolve(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        None => value,
        Some(reference) => DESCRIPTION.pointer(&reference[1..]).unwrap(),
    }
}

fn check_value(at: &str, value: &Value, schema: &'static Value) {
    let schema = resolve(schema);
    if let Some(either) = schema.get("anyOf").and_then(Value::as_array) {
        match value.is_null() {
            true => assert!(either.iter().any(|one| one["type"] == "null"), "{at} is null"),
            false => check_value(at, value, &either[0]),
        }
        return;
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        assert!(words.contains(value), "{at}: {value} is no word of {words:?}");
    }
    let Some(kinds) = schema.get("type") else {
        return;
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(list) => {
            for (place, item) in list.iter().enumerate() {
                check_value(&format!("{at}[{place}]"), item, &schema["items"]);
            }
            "array"
        }
        Value::Object(object) => {
            check_object(at, object, schema);
            "object"
        }
    };
    let is_one = |list: &Vec<Value>| list.iter().any(|known| known == kind);
    let is_right = kinds == kind || kinds.as_array().is_some_and(is_one);
    assert!(is_right, "{at} is {kind}, not {kinds}");
}

fn check_object(at: &str, object: &Map<String, Value>, schema: &'static Value) {
    let Some(properties) = schema.get("properties") else {
        return;
    };
    for (name, value) in object {
        let described = properties.get(name);
        let described = described.unwrap_or_else(|| panic!("{at}.{name} is not described"));
        check_value(&format!("{at}.{name}"), value, described);
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(object.contains_key(name.as_str().unwrap()), "{at} lacks {name}");
    }
}

//! Holds every request and answer against the description: nothing undescribed, nothing missing.

use crate::schema;
use serde_json::Value;
use std::sync::LazyLock;
use wholly_wire::problem::row;

/// What the coordinator serves at `/v1/openapi.json`.
pub static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../server/src/transport/http/openapi.json")).unwrap()
});

/// What HTTP itself adds to an answer.
const TRANSPORT: &[&str] = &["connection", "content-length", "content-type", "date"];

/// What is refused before a path is looked at, or because no path is like it.
const WITHOUT_OPERATION: &[&str] = &[
    "route_unknown",
    "method_not_allowed",
    "header_too_large",
    "credential_missing",
    "credential_wrong",
    "host_forbidden",
    "origin_forbidden",
    "field_invalid",
];

/// An answer as it came.
pub struct Came<'a> {
    /// Its status.
    pub status: u16,
    /// Its status line and headers.
    pub head: &'a str,
    /// All that follows.
    pub body: &'a str,
}

/// Checks what was asked and what was answered: status, headers, content type, body and, for a
/// problem, its code; and that nothing was accepted that the description forbids.
///
/// # Panics
/// If anything is not as described.
pub fn check(request: &[u8], came: &Came<'_>) {
    let Ok(request) = std::str::from_utf8(request) else { return };
    let line = request.lines().next().unwrap_or_default();
    let (method, target) = line.trim_end_matches(" HTTP/1.1").split_once(' ').unwrap_or_default();
    // What hyper cannot read it refuses by itself, without a body.
    if came.body.is_empty() && matches!(came.status, 400 | 431) {
        return;
    }
    let target = target
        .strip_prefix("http://")
        .map_or(target, |absolute| absolute.find('/').map_or("/", |at| &absolute[at..]));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let operation = operation(&method.to_lowercase(), path);
    check_answer(&format!("{method} {path}"), operation, came);
    if let (Some(operation), 200..300) = (operation, came.status) {
        let accepted = check_query(operation, query).and_then(|()| check_body(operation, request));
        accepted.unwrap_or_else(|why| panic!("{line} was accepted, and {why}"));
    }
}

/// The operation of a method and a path.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    let found = paths.iter().find(|(pattern, _)| {
        let mut pairs = pattern.split('/').zip(path.split('/'));
        let fits = |pattern: &str, segment: &str| {
            pattern == segment || (pattern.starts_with('{') && !segment.is_empty())
        };
        pattern.split('/').count() == path.split('/').count()
            && pairs.all(|(pattern, segment)| fits(pattern, segment))
    });
    found.and_then(|(_, methods)| methods.get(method))
}

fn resolve(value: &'static Value) -> &'static Value {
    schema::resolve(&DESCRIPTION, value)
}

fn check_answer(line: &str, operation: Option<&'static Value>, came: &Came<'_>) {
    let status = came.status;
    let response = match operation {
        Some(operation) => {
            let responses = &operation["responses"];
            responses.get(status.to_string()).unwrap_or_else(|| {
                assert!(status >= 400, "{line}: {status} is not described");
                &responses["default"]
            })
        }
        None => &DESCRIPTION["components"]["responses"]["Problem"],
    };
    let response = resolve(response);
    check_headers(line, response, came);
    let kind = header(came.head, "content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap();
    let content = response["content"].as_object().unwrap();
    let described = content.get(kind).unwrap_or_else(|| panic!("{line}: {kind} is not described"));
    if kind.ends_with("json") {
        let body: Value = serde_json::from_str(came.body).unwrap();
        schema::check(&DESCRIPTION, line, &body, &described["schema"]).unwrap();
        if status >= 400 {
            check_code(line, operation, status, body["code"].as_str().unwrap());
        }
    }
}

/// A code of the operation's own stands under its status, any other is one that all may answer.
fn check_code(line: &str, operation: Option<&'static Value>, status: u16, code: &str) {
    assert_eq!(row(code).map(|row| row.status), Some(status), "{line}: {code}");
    let Some(operation) = operation else {
        return assert!(WITHOUT_OPERATION.contains(&code), "{line} answered {code}");
    };
    let lists = [&operation["x-problems"], &DESCRIPTION["x-problems"]];
    let mut listed = lists.into_iter().filter_map(Value::as_array).flatten();
    assert!(listed.any(|known| known == code), "{line} answered {code}, which is not described");
}

fn check_headers(line: &str, response: &'static Value, came: &Came<'_>) {
    let described = response["headers"].as_object().unwrap();
    for (name, value) in came.head.lines().filter_map(|line| line.split_once(": ")) {
        let name = name.to_lowercase();
        if TRANSPORT.contains(&name.as_str()) {
            continue;
        }
        let header = described.get(&name);
        let header = header.unwrap_or_else(|| panic!("{line}: the header {name} is not described"));
        let schema = &resolve(header)["schema"];
        let value = typed(value, schema);
        schema::check(&DESCRIPTION, &format!("{line} {name}"), &value, schema).unwrap();
    }
    for (name, known) in described {
        let is_needed = resolve(known)["required"] == true;
        assert!(!is_needed || header(came.head, name).is_some(), "{line}: no header {name}");
    }
}

fn check_query(operation: &'static Value, query: &str) -> Result<(), String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten().map(resolve);
    let known: Vec<_> = parameters.filter(|parameter| parameter["in"] == "query").collect();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let Some(parameter) = known.iter().find(|parameter| parameter["name"] == name) else {
            return Err(format!("the parameter {name} is not described"));
        };
        // Those who send an encoded value test the encoding.
        if !value.contains('%') && !value.is_empty() {
            let schema = schema::resolve(&DESCRIPTION, &parameter["schema"]);
            schema::check(&DESCRIPTION, name, &typed(value, schema), schema)?;
        }
    }
    Ok(())
}

fn check_body(operation: &'static Value, request: &str) -> Result<(), String> {
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    let described = &operation["requestBody"];
    let is_framed = header(head, "transfer-encoding").is_some();
    if is_framed || (described["required"] != true && body.trim().is_empty()) {
        return Ok(());
    }
    let schema = &described["content"]["application/json"]["schema"];
    let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    schema::check(&DESCRIPTION, "the body", &body, schema)
}

/// A header or parameter as the kind that its schema names.
fn typed(text: &str, schema: &Value) -> Value {
    let is_text = schema::kinds(schema).contains(&"string");
    match serde_json::from_str(text) {
        Ok(value) if !is_text => value,
        Ok(_) | Err(_) => text.into(),
    }
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

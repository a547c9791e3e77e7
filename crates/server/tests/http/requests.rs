//! Requests drawn from the description: what it allows is read, what it forbids is refused by name.

use crate::world::{Heard, World};
use serde_json::{Map, Value, json};
use wholly_described::{DESCRIPTION, schema};

/// What a request hears whose form is wrong.
const FORM: &[&str] =
    &["malformed_json", "unknown_field", "field_missing", "field_invalid", "plan_invalid"];

/// A value, and the field that is wrong in it, where one is.
struct Sample {
    value: Value,
    wrong: Option<String>,
}

fn good(value: Value) -> Sample {
    Sample { value, wrong: None }
}

fn bad(value: Value, at: &str) -> Sample {
    Sample { value, wrong: Some(at.to_string()) }
}

/// Any one value that is right.
fn plain(name: &str, schema: &'static Value) -> Value {
    let schema = schema::resolve(&DESCRIPTION, schema);
    if let Some(words) = schema["enum"].as_array() {
        return words[0].clone();
    }
    match schema::kinds(schema).first() {
        Some(&"string") if name == "to" => "stock".into(),
        Some(&"string") => "a".into(),
        Some(&"integer") => schema["minimum"].clone(),
        Some(&"boolean") => false.into(),
        Some(&"array") => json!([plain(name, &schema["items"])]),
        Some(&"object") => {
            let required = schema["required"].as_array().into_iter().flatten();
            let field = |name: &Value| {
                let name = name.as_str().unwrap();
                (name.to_string(), plain(name, &schema["properties"][name]))
            };
            Value::Object(required.map(field).collect())
        }
        _ => json!({"n": [1, "x", null]}),
    }
}

/// Values of a schema, right and wrong; `at` is their path in the body.
fn samples(name: &str, at: &str, schema: &'static Value) -> Vec<Sample> {
    let schema = schema::resolve(&DESCRIPTION, schema);
    let kinds = schema::kinds(schema);
    let mut samples = vec![good(plain(name, schema))];
    let others = [json!(null), json!(true), json!(1.5), json!([[]]), json!({"a": {}})];
    if kinds.is_empty() {
        samples.extend(others.map(good));
        return samples;
    }
    for (other, kind) in others.into_iter().zip(["null", "boolean", "number", "array", "object"]) {
        match kinds.contains(&kind) {
            true if kind == "null" => samples.push(good(other)),
            true => {}
            false => samples.push(bad(other, at)),
        }
    }
    if kinds.contains(&"string") {
        samples.push(bad(7.into(), at));
        samples.extend(texts(at, schema));
    } else {
        samples.push(bad("7".into(), at));
    }
    if let Some(min) = schema["minimum"].as_i64() {
        samples.push(bad((min - 1).into(), at));
    }
    if kinds.contains(&"array") {
        let item = |sample: Sample| Sample { value: json!([sample.value]), wrong: sample.wrong };
        samples.extend(
            self::samples(name, &format!("{at}[0]"), &schema["items"]).into_iter().map(item),
        );
        let empty = json!([]);
        samples.push(if schema.get("minItems").is_some() { bad(empty, at) } else { good(empty) });
    }
    if kinds.contains(&"object") {
        samples.extend(objects(at, schema));
    }
    samples
}

fn texts(at: &str, schema: &'static Value) -> Vec<Sample> {
    if schema.get("enum").is_some() {
        return vec![bad("".into(), at), bad("nonsense".into(), at)];
    }
    let tried = ["", " ", "a", "a b", "\u{e9}", "a.b:c_d-e", "-a"].map(String::from).into_iter();
    let long = [128, 129, 512, 513, 1024, 1025].map(|count| "x".repeat(count));
    // As many bytes as may be in half as many characters, and a character more.
    let wide = [512, 513].map(|count| "\u{e9}".repeat(count));
    let sample = |text: String| {
        let value = Value::from(text);
        let is_right = schema::check(&DESCRIPTION, at, &value, schema).is_ok();
        if is_right { good(value) } else { bad(value, at) }
    };
    tried.chain(long).chain(wide).map(sample).collect()
}

/// Each field in each form, with all that is required beside it; a required one left out; one too
/// many.
fn objects(at: &str, schema: &'static Value) -> Vec<Sample> {
    let base = plain("", schema).as_object().unwrap().clone();
    let path = |name: &str| if at.is_empty() { name.to_string() } else { format!("{at}.{name}") };
    let with = |name: &str, value: Value| {
        let mut object = base.clone();
        object.insert(name.to_string(), value);
        Value::Object(object)
    };
    let mut samples = vec![bad(with("nobody_has_this", 1.into()), &path("nobody_has_this"))];
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let left: Map<String, Value> =
            base.clone().into_iter().filter(|(known, _)| known != name).collect();
        samples.push(bad(left.into(), &path(name)));
    }
    for (name, field) in schema["properties"].as_object().unwrap() {
        for sample in self::samples(name, &path(name), field) {
            samples.push(Sample { value: with(name, sample.value), wrong: sample.wrong });
        }
    }
    samples
}

fn check(line: &str, body: &Value, wrong: Option<&str>, heard: &Heard) {
    let code = heard.code();
    let is_form = FORM.contains(&code.as_str());
    let Some(wrong) = wrong else {
        // A plan may be wrong in more ways than its form.
        let is_refused = is_form && code != "plan_invalid";
        return assert!(!is_refused, "{line} {body} is described, and was refused: {heard:?}");
    };
    let told = heard.json()["field"].as_str().unwrap_or_default().to_string();
    assert!(is_form && heard.status == 400, "{line} {body} was not refused: {heard:?}");
    // A list may be named as a whole, the body as such, and a plan in words.
    let is_named = told == wrong || (!told.is_empty() && wrong.starts_with(&told));
    let is_whole = wrong.is_empty() && told == "the body";
    assert!(is_named || is_whole || code == "plan_invalid", "{line} {body}: {wrong} {heard:?}");
}

#[tokio::test]
async fn what_is_described_is_read_and_all_else_is_refused_by_name() {
    let world = World::start().await;
    let capability = world.begin("open").await;
    let mut counts = [0, 0];
    for (path, methods) in DESCRIPTION["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            if body.is_null() {
                continue;
            }
            for Sample { value, wrong } in samples("", "", body) {
                // Each plan is a transaction of its own.
                let made = format!("made-{}-{}", counts[0], counts[1]);
                let gid = if method == "put" { made.as_str() } else { "open" };
                let line = format!("{} {}", method.to_uppercase(), path.replace("{gid}", gid));
                let headers = [("wholly-capability", capability.as_str())];
                let heard = world.ask(&line, &headers, &value.to_string()).await;
                check(&line, &value, wrong.as_deref(), &heard);
                counts[usize::from(wrong.is_some())] += 1;
            }
        }
    }
    assert!(counts[0] > 100 && counts[1] > 300, "right and wrong: {counts:?}");
}

#[tokio::test]
async fn parameters_are_read_as_described() {
    let world = World::start().await;
    let capability = world.begin("open").await;
    let mut counts = [0, 0];
    for (path, methods) in DESCRIPTION["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let line = format!("{} {}", method.to_uppercase(), path.replace("{gid}", "open"));
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = if body.is_null() { String::new() } else { plain("", body).to_string() };
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters: Vec<&'static Value> =
                parameters.map(|one| schema::resolve(&DESCRIPTION, one)).collect();
            let waits = parameters.iter().any(|parameter| parameter["name"] == "wait");
            for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
                let name = parameter["name"].as_str().unwrap();
                let beside = match name {
                    "wait_ms" if waits => "&wait=ended",
                    "wait" => "&wait_ms=0",
                    _ => "",
                };
                for (value, is_right) in values(&parameter["schema"]) {
                    let is_no = value == "no";
                    let beside = if is_no { "" } else { beside };
                    let line = format!("{line}?{name}={value}{beside}");
                    let headers = [("wholly-capability", capability.as_str())];
                    let heard = world.ask(&line, &headers, &body).await;
                    let names_it = heard.status == 400 && heard.json()["field"] == name;
                    assert_eq!(names_it, !is_right, "{line}: {heard:?}");
                    counts[usize::from(is_right)] += 1;
                }
            }
        }
    }
    assert!(counts[0] > 20 && counts[1] > 20, "wrong and right: {counts:?}");
}

/// Values of a parameter, each with whether it is right; none where any text may be.
fn values(schema: &'static Value) -> Vec<(String, bool)> {
    let schema = schema::resolve(&DESCRIPTION, schema);
    let pairs = |values: &[&str], is_right: bool| -> Vec<(String, bool)> {
        values.iter().map(|value| (value.to_string(), is_right)).collect()
    };
    if let Some(words) = schema["enum"].as_array() {
        let right = words.iter().map(|word| (word.as_str().unwrap().to_string(), true));
        return right.chain(pairs(&["", "nonsense", "7"], false)).collect();
    }
    match schema::kinds(schema).first() {
        Some(&"boolean") => [pairs(&["true", "false"], true), pairs(&["", "1"], false)].concat(),
        Some(&"integer") => {
            let bound = |name: &str| schema[name].as_i64();
            let right = [bound("minimum"), bound("maximum")].into_iter().flatten();
            let wrong = [bound("minimum").map(|min| min - 1), bound("maximum").map(|max| max + 1)];
            let mut values: Vec<_> = right.map(|value| (value.to_string(), true)).collect();
            values.extend(wrong.into_iter().flatten().map(|value| (value.to_string(), false)));
            values.extend(pairs(&["", "x", "1.5"], false));
            values
        }
        Some(&"string") if schema.get("pattern").is_some() => {
            let long = ["x".repeat(128), "x".repeat(129)];
            let right = pairs(&["a", "a.b:c_d-e", &long[0]], true);
            [right, pairs(&["-a", "a/b", &long[1]], false)].concat()
        }
        _ => Vec::new(),
    }
}

//! The table of routes, the query, and the description against both.

use super::query::{Query, WaitDefault};
use super::routes::{Admitted, Body, ROUTES, find};
use super::{OPENAPI, RequestLimits};
use http::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use wholly_core::branch::{Mode, Op, Resolution};
use wholly_core::record::{Cause, Decision, Outcome, PhaseName};
use wholly_wire::headers::AnswerWord;
use wholly_wire::problem::{Retry, TABLE, row};
use wholly_wire::v1::answer::{BranchState, StuckWord, TryWord, What};
use wholly_wire::v1::looking::Asked;
use wholly_wire::v1::request;
use wholly_wire::v1::shape::{Field, Need, Shaped};
use wholly_wire::words::Spelled;

fn check_route(request: &str, expected: &str) {
    let (method, path) = request.split_once(' ').unwrap();
    let seen = match find(&method.parse::<Method>().unwrap(), path) {
        Ok(found) => format!("{:?} {}", found.route.action, found.segment.unwrap_or_default()),
        Err(rejection) => format!("{} {rejection}", rejection.code()),
    };
    assert!(seen.starts_with(expected), "{request}: {seen}");
}

#[test]
fn each_path_has_its_action() {
    check_route("POST /v1/transactions", "Begin ");
    check_route("GET /v1/transactions", "List ");
    check_route("PUT /v1/transactions/order-1", "Submit order-1");
    check_route("GET /v1/transactions/order-1", "Get order-1");
    check_route("GET /v1/transactions/order%2D1", "Get order-1");
    check_route("GET /v1/transactions/a%3Ab", "Get a:b");
    check_route("GET /v1/transactions/commit", "Get commit");
    check_route("POST /v1/transactions/commit/commit", "Commit commit");
    check_route("POST /v1/transactions/g/branches", "Register g");
    check_route("POST /v1/transactions/g/operator-abort", "Operate(Abort) g");
    check_route("GET /v1/transactions/g/history", "History g");
    check_route("GET /v1/problems/gid_taken", "Problem gid_taken");
    check_route("GET /v1", "About ");
}

#[test]
fn odd_paths_are_no_routes() {
    for path in [
        "/",
        "",
        "*",
        "/v1/",
        "/v2",
        "/V1",
        "/v1/transactions/",
        "//v1/transactions",
        "/v1//transactions",
        "/v1/transactions//commit",
        "/v1/transactions/g/",
        "/v1/transactions/g/x",
        "/v1/transactions/a/b/commit",
        "/v1/./transactions",
        "/%76%31",
        "/v1/problems/",
    ] {
        check_route(
            &format!("GET {path}"),
            "route_unknown there is no such path; /v1/openapi.json",
        );
    }
}

#[test]
fn a_wrong_method_hears_the_right_ones() {
    check_route(
        "DELETE /v1/transactions/g",
        "method_not_allowed this path is not for that method; \
        use PUT, GET",
    );
    check_route(
        "PUT /v1/transactions",
        "method_not_allowed this path is not for that method; use \
        POST, GET",
    );
    check_route("GET /v1/transactions/g/commit", "method_not_allowed");
    check_route("OPTIONS /v1/transactions", "method_not_allowed");
    check_route("HEAD /healthz", "method_not_allowed");
    check_route("post /v1/transactions", "method_not_allowed");
}

#[test]
fn a_wrong_encoding_is_told() {
    for segment in ["%", "%2", "%zz", "%ff", "a%C3", "%+1"] {
        let expected = "field_invalid the path has a wrong percent-encoding";
        check_route(&format!("GET /v1/transactions/{segment}"), expected);
    }
    check_route("GET /v1/transactions/a%2Fb", "Get a/b");
}

const KNOWN: &[&str] = &["wait", "wait_ms", "stuck"];

fn check_query(text: &str, default: WaitDefault, expected: &str) {
    let wait = Query::parse(Some(text), KNOWN).and_then(|query| query.wait(default, 30_000));
    let seen = match wait {
        Ok(wait) => format!("{wait:?}"),
        Err(rejection) => format!("{}: {rejection}", rejection.code()),
    };
    assert!(seen.starts_with(expected), "{text}: {seen}");
}

#[test]
fn waiting_is_bounded_and_said_in_words() {
    use WaitDefault::{Decided, No};
    check_query("", No, "No");
    check_query("", Decided, "Decided { wait_ms: 30000 }");
    check_query("wait=no", Decided, "No");
    check_query("wait=ended", No, "Ended { wait_ms: 30000 }");
    check_query("wait=decided&wait_ms=0", No, "Decided { wait_ms: 0 }");
    check_query("wait_ms=5&wait=%65nded", No, "Ended { wait_ms: 5 }");
    check_query("wait_ms=5", Decided, "Decided { wait_ms: 5 }");
    check_query("wait_ms=30000&wait=ended", No, "Ended { wait_ms: 30000 }");
    check_query(
        "wait_ms=30001&wait=ended",
        No,
        "field_invalid: wait_ms is over the limit wait_ms_max",
    );
    check_query("wait_ms=5", No, "field_invalid: wait_ms needs wait=decided or wait=ended");
    for wrong in ["", "-1", "+5", "1.5", "1e3", "99999999999999999999", "5%20"] {
        let text = format!("wait=ended&wait_ms={wrong}");
        check_query(&text, No, "field_invalid: wait_ms must be an integer from 0");
    }
    check_query("wait=later", No, "field_invalid: wait is none of decided, ended, no");
    check_query("wait", No, "field_invalid: wait is none of");
    check_query("wait=no&wait=no", No, "field_invalid: wait stands twice in the query");
    check_query("wait=%zz", No, "field_invalid: wait has a wrong percent-encoding");
    check_query("waitms=5", No, "unknown_field: there is no query parameter waitms; did you mean");
    check_query("x=5&&", No, "unknown_field: there is no query parameter x; leave it out");
    check_query("&&", No, "No");
}

fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn schema(name: &str) -> Value {
    let schemas = &description()["components"]["schemas"];
    schemas.get(name).unwrap_or_else(|| panic!("{name} is not described")).clone()
}

#[test]
fn every_route_is_described_and_everything_described_is_routed() {
    let description = description();
    let mut described = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let routed: BTreeSet<String> =
        ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(routed.len(), ROUTES.len(), "a route stands once");
    assert_eq!(described, routed);
}

#[test]
fn every_parameter_and_body_is_described() {
    let description = description();
    for route in ROUTES {
        let method = route.method.as_str().to_lowercase();
        let operation = &description["paths"][route.path][&method];
        let mut query = BTreeSet::new();
        let mut path = BTreeSet::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = resolve(&description, parameter);
            let name = parameter["name"].as_str().unwrap().to_string();
            match parameter["in"].as_str().unwrap() {
                "query" => drop(query.insert(name)),
                "path" => drop(path.insert(format!("{{{name}}}"))),
                _ => {}
            }
        }
        let parameters = route.parameters.iter().map(|name| name.to_string()).collect();
        assert_eq!(query, parameters, "{method} {}", route.path);
        let in_path = route.path.split('/').filter(|segment| segment.starts_with('{'));
        assert_eq!(path, in_path.map(str::to_string).collect(), "{method} {}", route.path);
        let has_body = operation.get("requestBody").is_some();
        assert_eq!(has_body, route.body == Body::Json, "{method} {}", route.path);
        assert!(operation["responses"]["default"].is_object(), "{method} {}", route.path);
    }
}

/// What no operation answers: the request has none.
const WITHOUT_OPERATION: &[&str] = &["method_not_allowed"];

#[test]
fn every_code_is_described_where_it_is_answered_and_under_its_status() {
    let description = description();
    let codes = |value: &Value| -> Vec<String> {
        let codes = value["x-problems"].as_array().into_iter().flatten();
        codes.map(|code| code.as_str().unwrap().to_string()).collect()
    };
    let by_all = codes(&description);
    let mut described: BTreeSet<String> = by_all.iter().cloned().collect();
    described.extend(WITHOUT_OPERATION.iter().map(|code| code.to_string()));
    for route in ROUTES {
        let method = route.method.as_str().to_lowercase();
        let operation = &description["paths"][route.path][&method];
        let own = codes(operation);
        let statuses: BTreeSet<String> = own
            .iter()
            .map(|code| row(code).unwrap_or_else(|| panic!("there is no code {code}")))
            .map(|row| row.status.to_string())
            .collect();
        let responses = operation["responses"].as_object().unwrap().keys();
        let stated = responses.filter(|status| status.starts_with(['4', '5'])).cloned().collect();
        assert_eq!(statuses, stated, "{method} {}: x-problems and responses", route.path);
        for code in &own {
            assert!(!by_all.contains(code), "{method} {} repeats {code}", route.path);
        }
        described.extend(own);
    }
    let table = TABLE.iter().map(|row| row.code.to_string()).collect();
    assert_eq!(described, table, "codes that operations answer, and codes of the table");
}

fn resolve<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref") {
        None => value,
        Some(reference) => {
            let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
            let found = description.pointer(pointer);
            found.unwrap_or_else(|| panic!("{pointer} leads nowhere"))
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let description = description();
    let mut used = BTreeSet::new();
    let mut left = vec![&description];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(object) => {
                resolve(&description, value);
                if let Some(reference) = object.get("$ref") {
                    used.insert(reference.as_str().unwrap().to_string());
                }
                left.extend(object.values());
            }
            Value::Array(list) => left.extend(list),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for kind in ["schemas", "parameters", "responses"] {
        for name in description["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(used.contains(&reference), "nobody uses {reference}");
        }
    }
}

/// The page of who may ask what; written again when it should say something else.
const IDENTITY: &str = include_str!("../../../../../docs/operate/identity.md");

#[test]
fn the_page_of_roles_says_what_is_so() {
    let mut expected = Vec::new();
    for route in ROUTES {
        let who = match route.action.admitted() {
            Admitted::Anyone => "anyone".to_owned(),
            Admitted::Roles(roles) => {
                assert!(!roles.is_empty(), "{} is for nobody", route.path);
                roles.iter().map(|role| role.spell()).collect::<Vec<_>>().join(", ")
            }
        };
        expected.push(format!("| `{} {}` | {who} |", route.method, route.path));
    }
    let methods = ["| `GET ", "| `POST ", "| `PUT "];
    let is_row = |line: &&str| methods.iter().any(|method| line.starts_with(method));
    let seen: Vec<&str> = IDENTITY.lines().filter(is_row).collect();
    assert_eq!(seen, expected);
}

fn check_request(name: &str, fields: &[Field]) {
    let schema = schema(name);
    let described: BTreeSet<&str> =
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(described, fields.iter().map(|field| field.name).collect(), "{name}");
    let required = schema["required"].as_array().into_iter().flatten();
    let required: BTreeSet<&str> = required.map(|field| field.as_str().unwrap()).collect();
    let needed = fields.iter().filter(|field| field.need == Need::Required);
    assert_eq!(required, needed.map(|field| field.name).collect(), "{name}");
    assert_eq!(schema["additionalProperties"], false, "{name}");
}

#[test]
fn request_bodies_are_described_as_they_are_read() {
    check_request("Begin", request::Begin::FIELDS);
    check_request("Branch", request::Branch::FIELDS);
    check_request("Submit", request::Submit::FIELDS);
    check_request("Step", request::Step::FIELDS);
    check_request("Commit", request::Commit::FIELDS);
    check_request("Abort", request::Abort::FIELDS);
    check_request("RetryRequest", request::Retry::FIELDS);
    check_request("Reasoned", request::Reasoned::FIELDS);
    check_request("Resolve", request::Resolve::FIELDS);
}

fn check_words<T: Spelled>(name: &str) {
    let described: Vec<Value> = schema(name)["enum"].as_array().unwrap().clone();
    let spelled: Vec<Value> = T::ALL.iter().map(|word| word.spell().into()).collect();
    assert_eq!(described, spelled, "{name}");
}

#[test]
fn words_are_described_as_they_are_spelt() {
    check_words::<PhaseName>("State");
    check_words::<Decision>("Decision");
    check_words::<Outcome>("Outcome");
    check_words::<Cause>("Cause");
    check_words::<Mode>("Mode");
    check_words::<Op>("Op");
    check_words::<Resolution>("Resolution");
    check_words::<BranchState>("BranchState");
    check_words::<AnswerWord>("Answer");
    check_words::<TryWord>("TryAnswer");
    check_words::<StuckWord>("StuckWhy");
    check_words::<What>("What");
    check_words::<Asked>("Asked");
    check_words::<Retry>("Retry");
    let codes = &schema("Problem")["properties"]["code"]["enum"];
    let table: Vec<Value> = TABLE.iter().map(|row| row.code.into()).collect();
    assert_eq!(*codes, Value::Array(table));
}

#[test]
fn default_limits_are_those_of_the_design() {
    let limits = RequestLimits::default();
    assert_eq!((limits.body_bytes_max, limits.header_bytes_max), (1_048_576, 16_384));
}

//! OTLP: spans as the JSON of `ExportTraceServiceRequest` (OpenTelemetry protocol 1.x), and what a
//! collector answers.

use super::{About, Span, state_of};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use wholly_core::branch::Mode;
use wholly_core::record::Outcome;
use wholly_wire::words::Spelled;

/// Who sends the spans.
pub(super) struct Resource {
    /// `service.name`.
    pub(super) service: String,
    /// `service.instance.id`: the coordinator's log.
    pub(super) instance: String,
}

/// Kinds of spans, by their numbers.
#[derive(Clone, Copy)]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

const STATUS_ERROR: u8 = 2;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Attributed<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Attributed<'a> {
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<&'a str>,
    flags: u32,
    name: Cow<'a, str>,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: Value<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Value<'a> {
    StringValue(Cow<'a, str>),
    /// 64 bits are a text in this JSON.
    IntValue(String),
}

fn text<'a>(key: &'static str, value: impl Into<Cow<'a, str>>) -> Attribute<'a> {
    Attribute { key, value: Value::StringValue(value.into()) }
}

fn number<'a>(key: &'static str, value: impl Into<u64>) -> Attribute<'a> {
    Attribute { key, value: Value::IntValue(value.into().to_string()) }
}

/// The body of a request that hands these spans over.
pub(super) fn body(resource: &Resource, spans: &[Span]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let request = Request {
        resource_spans: [ResourceSpans {
            resource: Attributed {
                attributes: vec![
                    text("service.name", resource.service.as_str()),
                    text("service.version", version),
                    text("service.instance.id", resource.instance.as_str()),
                ],
            },
            scope_spans: [ScopeSpans {
                scope: Scope { name: "wholly", version },
                spans: spans.iter().map(show).collect(),
            }],
        }],
    };
    serde_json::to_vec(&request).expect("texts and numbers have a JSON form")
}

fn show(span: &Span) -> Shown<'_> {
    let place = span.place.parent;
    let (name, kind, attributes, status) = describe(&span.about);
    Shown {
        trace_id: format!("{:032x}", place.trace()),
        span_id: format!("{:016x}", place.span()),
        parent_span_id: span.parent.map(|parent| format!("{parent:016x}")),
        trace_state: state_of(&span.place),
        flags: u32::from(place.flags()),
        name,
        kind: kind as u8,
        start_time_unix_nano: span.began.to_string(),
        end_time_unix_nano: span.ended.to_string(),
        attributes,
        status,
    }
}

type Described<'a> = (Cow<'a, str>, Kind, Vec<Attribute<'a>>, Option<Status>);

fn describe(about: &About) -> Described<'_> {
    let failed = |is_so: bool| is_so.then_some(Status { code: STATUS_ERROR });
    match about {
        About::Request { method, route, status, gid } => {
            let mut attributes = vec![
                text("http.request.method", *method),
                text("http.route", *route),
                number("http.response.status_code", *status),
            ];
            attributes.extend(gid.as_ref().map(|gid| text("wholly.gid", gid.as_str())));
            let name = format!("{method} {route}").into();
            (name, Kind::Server, attributes, failed(*status >= 500))
        }
        About::Call {
            gid,
            branch,
            operation,
            op,
            destination,
            attempt,
            answer,
            status,
            failure,
        } => {
            let mut attributes = vec![
                text("wholly.gid", gid.as_str()),
                text("wholly.branch", branch.as_str()),
                text("wholly.operation", operation.as_str()),
                text("wholly.op", op.spell()),
                text("wholly.destination", destination.as_str()),
                number("wholly.attempt", *attempt),
                text("wholly.answer", *answer),
                text("http.request.method", "POST"),
            ];
            attributes.extend(status.map(|status| number("http.response.status_code", status)));
            attributes.extend(failure.map(|failure| text("error.type", failure)));
            let name = format!("{operation} {}", op.spell()).into();
            // Neither refused nor working is an error; an answer that proves nothing is.
            (name, Kind::Client, attributes, failed(*answer == "unknown"))
        }
        About::Transaction { gid, name, modes, decision, cause, outcome } => {
            let modes: Vec<&str> = modes.iter().map(|mode: &Mode| mode.spell()).collect();
            let mut attributes = vec![
                text("wholly.gid", gid.as_str()),
                text("wholly.name", name.as_str()),
                text("wholly.modes", modes.join(",")),
                text("wholly.outcome", outcome.spell()),
            ];
            attributes.extend(decision.map(|word| text("wholly.decision", word.spell())));
            attributes.extend(cause.map(|word| text("wholly.cause", word.spell())));
            let is_broken = match outcome {
                Outcome::AsDecided => false,
                Outcome::Mixed | Outcome::Hazard => true,
            };
            (name.as_str().into(), Kind::Internal, attributes, failed(is_broken))
        }
    }
}

/// How many spans a collector says that it did not take, though it took the request.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Response {
        partial_success: Option<Partial>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Partial {
        rejected_spans: Option<serde_json::Value>,
    }
    // Whatever is no such document says nothing of rejected spans.
    let response: Response = serde_json::from_slice(answer).unwrap_or_default();
    let count = response.partial_success.and_then(|partial| partial.rejected_spans);
    match count {
        Some(serde_json::Value::String(text)) => text.parse().unwrap_or(0),
        Some(serde_json::Value::Number(number)) => number.as_u64().unwrap_or(0),
        Some(_) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wholly_wire::trace::TraceContext;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_span_is_spelled_as_collectors_read_it() {
        let span = Span {
            place: TraceContext::parse(Some(PARENT), ["congo=t61"]).unwrap(),
            parent: Some(0xab),
            began: 1_700_000_000_000_000_001,
            ended: 1_700_000_000_000_000_002,
            about: About::Request {
                method: "POST",
                route: "/v1/transactions",
                status: 201,
                gid: Some("order-1".parse().unwrap()),
            },
        };
        let resource = Resource { service: "wholly".into(), instance: "log-1".into() };
        let seen: serde_json::Value = serde_json::from_slice(&body(&resource, &[span])).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let expected = serde_json::json!({"resourceSpans": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "wholly"}},
                {"key": "service.version", "value": {"stringValue": version}},
                {"key": "service.instance.id", "value": {"stringValue": "log-1"}},
            ]},
            "scopeSpans": [{"scope": {"name": "wholly", "version": version}, "spans": [{
                "traceId": "0af7651916cd43dd8448eb211c80319c",
                "spanId": "b7ad6b7169203331",
                "parentSpanId": "00000000000000ab",
                "traceState": "congo=t61",
                "flags": 1,
                "name": "POST /v1/transactions",
                "kind": 2,
                "startTimeUnixNano": "1700000000000000001",
                "endTimeUnixNano": "1700000000000000002",
                "attributes": [
                    {"key": "http.request.method", "value": {"stringValue": "POST"}},
                    {"key": "http.route", "value": {"stringValue": "/v1/transactions"}},
                    {"key": "http.response.status_code", "value": {"intValue": "201"}},
                    {"key": "wholly.gid", "value": {"stringValue": "order-1"}},
                ],
            }]}],
        }]});
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_a_collector_did_not_take_is_read() {
        let check = |answer: &str, expected| assert_eq!(rejected(answer.as_bytes()), expected);
        check("", 0);
        check("{}", 0);
        check(r#"{"partialSuccess":{}}"#, 0);
        check(r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"full"}}"#, 3);
        check(r#"{"partialSuccess":{"rejectedSpans":4}}"#, 4);
        check(r#"{"partialSuccess":{"rejectedSpans":-4}}"#, 0);
        check("<html>", 0);
    }
}

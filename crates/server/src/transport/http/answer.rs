//! From the words of core to HTTP answers: status, headers, body.

use super::super::Refused;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use wholly_core::document::{Arrival, Document, Freshness, Response as Reply};
use wholly_core::ids::Gid;
use wholly_wire::capability::CapabilityKey;
use wholly_wire::edge::EdgeRejection;
use wholly_wire::problem::{CONTENT_TYPE as PROBLEM_TYPE, Problem, Retry};
use wholly_wire::v1::answer::Begun;
use wholly_wire::v1::time::Time;
use wholly_wire::v1::{path, registered, submitted, transaction};

/// A whole answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// When to ask again, in seconds, where a code says later.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// How to say who asks.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"wholly\"");

/// Most documents fit without growing.
const ANSWER_BYTES: usize = 1_024;

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let mut bytes = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut bytes, body).expect("answers of v1 are JSON");
    with(status, "application/json", bytes.into())
}

/// An answer in text.
pub(super) fn text(status: StatusCode, body: String) -> Answer {
    with(status, "text/plain; charset=utf-8", body.into())
}

pub(super) fn with(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The answer to what the coordinator replied.
pub(super) fn reply(reply: &Reply, key: &CapabilityKey) -> Answer {
    match reply {
        Reply::Begun { gid, begun, deadline, freshness } => {
            let capability = key.capability(gid, *begun);
            let body = Begun {
                gid: gid.as_str().into(),
                capability: capability.into(),
                deadline: Time(*deadline),
            };
            located(json(made(*freshness), &body), gid, *freshness)
        }
        Reply::Submitted { document, freshness, arrival } => {
            let capability = key.capability(&document.gid, document.begun);
            let status = match arrival {
                Arrival::Arrived => made(*freshness),
                Arrival::NotYet => StatusCode::ACCEPTED,
            };
            let answer = json(status, &submitted(document, &capability));
            located(answer, &document.gid, *freshness)
        }
        Reply::Registered { branch, answer, mark, freshness } => {
            json(made(*freshness), &registered(branch, answer, mark))
        }
        Reply::Transaction { document, arrival } => shown(document, *arrival),
        Reply::Calls(_) => {
            let internal = Refused::AtEdge(EdgeRejection::Internal);
            problem(&internal, None)
        }
    }
}

fn shown(document: &Document, arrival: Arrival) -> Answer {
    let status = match arrival {
        Arrival::Arrived => StatusCode::OK,
        Arrival::NotYet => StatusCode::ACCEPTED,
    };
    json(status, &transaction(document))
}

fn made(freshness: Freshness) -> StatusCode {
    match freshness {
        Freshness::Created => StatusCode::CREATED,
        Freshness::Repeated => StatusCode::OK,
    }
}

fn located(mut answer: Answer, gid: &Gid, freshness: Freshness) -> Answer {
    match freshness {
        Freshness::Repeated => {}
        Freshness::Created => {
            let path = HeaderValue::try_from(path::transaction(gid));
            answer.headers_mut().insert(LOCATION, path.expect("a gid is ASCII"));
        }
    }
    answer
}

/// The answer to what was refused.
pub(super) fn problem(refused: &Refused, asked: Option<&Gid>) -> Answer {
    let problem = match refused {
        Refused::ByRules(rejection) => Problem::of_rejection(rejection, asked),
        Refused::AtEdge(rejection) => Problem::of_edge(rejection, asked),
    };
    let status = StatusCode::from_u16(problem.status).expect("the table holds statuses");
    let bytes = serde_json::to_vec(&problem).expect("problems are JSON");
    let mut answer = with(status, PROBLEM_TYPE, bytes.into());
    if problem.retry.is(Retry::Later) {
        answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
    }
    if let Refused::AtEdge(EdgeRejection::MethodNotAllowed { allowed }) = refused {
        let allowed = HeaderValue::try_from(allowed).expect("methods are ASCII");
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}

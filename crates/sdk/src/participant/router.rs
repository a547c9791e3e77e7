//! The HTTP side of services: `POST /wholly/{operation}`, as an axum router to be merged.

use super::call::{Call, Parts};
use super::guard::Guard;
use super::service::{Answers, AnyService, unoffered};
use crate::misfit::Misfit;
use crate::trace::Place;
use axum::Router;
use axum::body::{Body as HttpBody, to_bytes};
use axum::extract::{Path, Request};
use axum::response::Response;
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wholly_core::branch::{Answer, Kept};
use wholly_core::ids::{Body, BranchId, Text};
use wholly_wire::credential::Credential;
use wholly_wire::headers::{
    ANSWER, AnswerHeader, AnswerWord, Asked, BodyKind, CALL_PATH, CallHeaders,
};
use wholly_wire::signature::Head;
use wholly_wire::v1::call::{Envelope, RefusalBody};

/// Longest that the body of a call may take to arrive, in milliseconds.
pub const BODY_MS_MAX: u64 = 30_000;
/// Longest deadline that is believed, in milliseconds.
const TIMEOUT_MS_MAX: u64 = 24 * 3_600_000;

/// Operations, each with the service that offers it.
type Table = BTreeMap<String, (String, Arc<dyn Answers>)>;

/// The operations of these services under `/wholly/`, for a router of any state:
/// `Router::new().merge(router([&stock, &orders]))`. Whoever reaches it is believed, which is
/// logged as a warning; [`believing`] asks for signatures.
///
/// # Panics
/// If two services offer one operation.
pub fn router<S, const N: usize>(services: [&dyn AnyService; N]) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    offer(services, None)
}

/// The same; only calls that the coordinator signed for this credential, to one of these services,
/// are believed.
///
/// # Panics
/// If two services offer one operation.
pub fn believing<S, const N: usize>(
    credential: &Credential,
    services: [&dyn AnyService; N],
) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    offer(services, Some(Guard::new(credential)))
}

fn offer<S, const N: usize>(services: [&dyn AnyService; N], guard: Option<Guard>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let mut offered = Offered { table: Table::new(), names: Vec::new(), guard };
    for service in services {
        let (name, operations, answers) = service.parts();
        for operation in operations {
            let here = (name.clone(), answers.clone());
            let before = offered.table.insert(operation.to_string(), here);
            assert!(before.is_none(), "{name} offers {operation}, which another does too");
        }
        offered.names.push(name);
    }
    if offered.guard.is_none() {
        tracing::warn!(
            services = ?offered.names,
            "whoever reaches these services is believed: give the client a credential, or take \
             participant::router::believing, and only calls that the coordinator signed are"
        );
    }
    let offered = Arc::new(offered);
    let route = format!("{CALL_PATH}{{operation}}");
    Router::new().route(
        &route,
        post(move |Path(operation): Path<String>, request: Request| async move {
            serve(&offered, &operation, request).await.unwrap_or_else(NoAnswer::into_response)
        }),
    )
}

/// What is offered here, and who may call it.
struct Offered {
    table: Table,
    /// Of the services.
    names: Vec<String>,
    guard: Option<Guard>,
}

impl Offered {
    /// Whether a call to a service of this name belongs here: to the one that has the operation;
    /// of an operation that nobody has, to any.
    fn is_for(&self, operation: &str, audience: &str) -> bool {
        match self.table.get(operation) {
            Some((name, _)) => name == audience,
            None => self.names.iter().any(|name| name == audience),
        }
    }
}

async fn serve(offered: &Offered, path: &str, request: Request) -> Result<Response, NoAnswer> {
    let (head, body) = request.into_parts();
    let believed = match &offered.guard {
        None => Believed::Whatever,
        Some(guard) => {
            let is_here = |audience: &str| offered.is_for(path, audience);
            let head = guard.check(&head, is_here).map_err(|forged| guard.refuse(&forged))?;
            Believed::Body(guard, head)
        }
    };
    let headers = read_headers(&head.headers)?;
    let asked = headers.asked.clone();
    if asked.operation.as_str() != path {
        let detail = format!("the path asks for {path:?}, the headers for {}", asked.operation);
        return Err(no_answer(StatusCode::BAD_REQUEST, "call_invalid", &detail));
    }
    let Some((_, service)) = offered.table.get(path) else {
        let detail = format!("nobody here offers {path}");
        return match unoffered(asked.op, &detail) {
            Answer::Unknown { .. } => {
                Err(no_answer(StatusCode::NOT_FOUND, "operation_unknown", &detail))
            }
            answer @ (Answer::Done { .. } | Answer::Refused(_) | Answer::Working) => {
                Ok(respond(asked, answer))
            }
        };
    };
    let trace = Place::of(&head.headers);
    let call = read_call(headers, body, service.call_bytes_max(), believed, trace).await?;
    Ok(respond(asked, service.answer(call).await))
}

fn read_headers(headers: &HeaderMap) -> Result<CallHeaders, NoAnswer> {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    CallHeaders::parse(value)
        .map_err(|error| no_answer(StatusCode::BAD_REQUEST, "call_invalid", &error.to_string()))
}

/// Which body is believed.
enum Believed<'a> {
    Whatever,
    /// The one that was signed.
    Body(&'a Guard, Head),
}

async fn read_call(
    headers: CallHeaders,
    body: HttpBody,
    bytes_max: usize,
    believed: Believed<'_>,
    trace: Option<Place>,
) -> Result<Call, NoAnswer> {
    let timeout = Duration::from_millis(headers.timeout_ms.min(TIMEOUT_MS_MAX));
    let deadline = Instant::now() + timeout;
    let arriving = timeout.min(Duration::from_millis(BODY_MS_MAX));
    let bytes = match tokio::time::timeout(arriving, to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            let detail = format!(
                "the body was not read, at most {bytes_max} bytes (call_bytes_max): {error}"
            );
            return Err(no_answer(StatusCode::PAYLOAD_TOO_LARGE, "call_invalid", &detail));
        }
        Err(_) => {
            let detail = "the body did not arrive in time";
            return Err(no_answer(StatusCode::REQUEST_TIMEOUT, "call_invalid", detail));
        }
    };
    match believed {
        Believed::Whatever => {}
        Believed::Body(guard, head) => {
            head.check_body(&bytes).map_err(|forged| guard.refuse(&forged))?;
        }
    }
    let contents = Contents::read(headers.body, &bytes)
        .map_err(|detail| no_answer(StatusCode::BAD_REQUEST, "call_invalid", &detail))?;
    let CallHeaders { asked: Asked { gid, branch, operation, op }, mark, .. } = headers;
    let Contents { payload, reply, replies } = contents;
    Ok(Call::new(Parts {
        gid,
        branch,
        operation,
        op,
        mark,
        payload,
        reply,
        replies,
        deadline,
        trace,
    }))
}

/// What the body of a call holds.
struct Contents {
    payload: Body,
    reply: Option<Body>,
    replies: Vec<(BranchId, Body)>,
}

impl Contents {
    fn read(kind: BodyKind, bytes: &[u8]) -> Result<Self, String> {
        match kind {
            BodyKind::Payload => {
                Ok(Contents { payload: Body::new(bytes), reply: None, replies: Vec::new() })
            }
            BodyKind::Envelope => Contents::of_envelope(bytes),
        }
    }

    fn of_envelope(bytes: &[u8]) -> Result<Self, String> {
        let envelope: Envelope<'_> = serde_json::from_slice(bytes)
            .map_err(|error| format!("no envelope: {}", Misfit::from(error)))?;
        let replies = envelope.replies.iter().map(|(name, reply)| {
            let name = BranchId::new(name).map_err(|error| format!("step {name:?} {error}"))?;
            Ok((name, Body::new(reply.get().as_bytes())))
        });
        Ok(Contents {
            payload: Body::new(envelope.payload.get().as_bytes()),
            reply: envelope.reply.as_ref().map(|reply| Body::new(reply.get().as_bytes())),
            replies: replies.collect::<Result<_, String>>()?,
        })
    }
}

fn respond(asked: Asked, answer: Answer) -> Response {
    let (word, kept, status, body) = match answer {
        Answer::Done { reply, kept } => {
            (AnswerWord::Done, kept, StatusCode::OK, reply.as_bytes().to_vec())
        }
        Answer::Refused(refusal) => {
            let body = problem(refusal.code.as_str(), refusal.detail.as_str());
            (AnswerWord::Refused, refusal.kept, StatusCode::CONFLICT, body)
        }
        Answer::Working => (AnswerWord::Working, Kept::NotKept, StatusCode::TOO_EARLY, Vec::new()),
        Answer::Unknown { detail } => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return no_answer(status, "unknown", detail.as_str()).into_response();
        }
    };
    let header = AnswerHeader { word, asked, kept }.to_string();
    let mut response = json(status, body);
    let header = HeaderValue::from_str(&header).expect("names are visible ASCII");
    response.headers_mut().insert(ANSWER, header);
    response
}

/// A response that is no answer: without its header, it proves nothing, and the call comes again.
pub(super) struct NoAnswer {
    status: StatusCode,
    code: &'static str,
    detail: Text,
}

impl NoAnswer {
    fn into_response(self) -> Response {
        json(self.status, problem(self.code, self.detail.as_str()))
    }
}

pub(super) fn no_answer(status: StatusCode, code: &'static str, detail: &str) -> NoAnswer {
    NoAnswer { status, code, detail: Text::cut(detail) }
}

fn problem(code: &str, detail: &str) -> Vec<u8> {
    let body = RefusalBody { code: code.into(), detail: detail.into() };
    serde_json::to_vec(&body).expect("two texts are JSON")
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(HttpBody::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

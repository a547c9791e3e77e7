//! The one table of routes: method, path, and what each takes.

use http::Method;
use std::borrow::Cow;
use wholly_wire::credential::Role;
use wholly_wire::edge::EdgeRejection;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Begin,
    Submit,
    Register,
    Commit,
    Abort,
    Get,
    History,
    Rows,
    Payloads,
    List,
    Operate(wholly_wire::v1::Operation),
    Status,
    Pause,
    Resume,
    Drain,
    Admit,
    About,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Problem,
}

/// Who may ask, where the coordinator knows who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Whoever reaches the address: nothing of any transaction is told.
    Anyone,
    /// Whoever has a credential of one of these roles.
    Roles(&'static [Role]),
}

impl Action {
    /// Who may ask for it. What is not listed here does not compile; what is no route is denied to
    /// strangers before they hear that it is none.
    pub(super) fn admitted(self) -> Admitted {
        use Role::{Metrics, Operator, Service};
        match self {
            Action::Health | Action::Ready => Admitted::Anyone,
            Action::About | Action::OpenApi | Action::Problem => {
                Admitted::Roles(&[Service, Operator, Metrics])
            }
            Action::Begin | Action::Submit | Action::Register | Action::Commit | Action::Abort => {
                Admitted::Roles(&[Service])
            }
            Action::Get => Admitted::Roles(&[Service, Operator]),
            Action::History | Action::Rows | Action::Payloads | Action::List => {
                Admitted::Roles(&[Operator])
            }
            Action::Operate(_) => Admitted::Roles(&[Operator]),
            Action::Status | Action::Pause | Action::Resume | Action::Drain | Action::Admit => {
                Admitted::Roles(&[Operator])
            }
            Action::Metrics => Admitted::Roles(&[Operator, Metrics]),
        }
    }
}

/// Whether a request has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// JSON.
    Json,
    /// None; if there is one, it is not looked at.
    None,
}

/// What the variable part of a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Transaction,
    Code,
    None,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) method: &'static Method,
    pub(super) path: &'static str,
    pub(super) subject: Subject,
    pub(super) action: Action,
    pub(super) body: Body,
    /// Names of its query parameters.
    pub(super) parameters: &'static [&'static str],
}

const fn get(path: &'static str, action: Action, parameters: &'static [&'static str]) -> Route {
    let (method, body) = (&Method::GET, Body::None);
    Route { method, path, subject: subject(path), action, body, parameters }
}

const fn post(path: &'static str, action: Action, parameters: &'static [&'static str]) -> Route {
    let (method, body) = (&Method::POST, Body::Json);
    Route { method, path, subject: subject(path), action, body, parameters }
}

/// What the braces of a path hold.
const fn subject(path: &str) -> Subject {
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' if bytes[at + 1] == b'g' => return Subject::Transaction,
            b'{' => return Subject::Code,
            _ => at += 1,
        }
    }
    Subject::None
}

const WAIT: &[&str] = &["wait", "wait_ms"];

/// Every route. `{gid}` and `{code}` stand for one segment.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: &Method::PUT,
        path: "/v1/transactions/{gid}",
        subject: Subject::Transaction,
        action: Action::Submit,
        body: Body::Json,
        parameters: WAIT,
    },
    post("/v1/transactions", Action::Begin, &[]),
    post("/v1/transactions/{gid}/branches", Action::Register, &["wait_ms"]),
    post("/v1/transactions/{gid}/commit", Action::Commit, WAIT),
    post("/v1/transactions/{gid}/abort", Action::Abort, WAIT),
    get("/v1/transactions/{gid}", Action::Get, WAIT),
    get("/v1/transactions/{gid}/history", Action::History, &[]),
    get("/v1/transactions/{gid}/rows", Action::Rows, &[]),
    post("/v1/transactions/{gid}/payloads", Action::Payloads, &[]),
    get("/v1/transactions", Action::List, super::list::PARAMETERS),
    post("/v1/transactions/{gid}/retry", operate(wholly_wire::v1::Operation::Retry), &[]),
    post("/v1/transactions/{gid}/park", operate(wholly_wire::v1::Operation::Park), &[]),
    post("/v1/transactions/{gid}/resolve", operate(wholly_wire::v1::Operation::Resolve), &[]),
    post("/v1/transactions/{gid}/operator-abort", operate(wholly_wire::v1::Operation::Abort), &[]),
    post(
        "/v1/transactions/{gid}/operator-commit",
        operate(wholly_wire::v1::Operation::Commit),
        &[],
    ),
    get("/v1/status", Action::Status, &[]),
    post("/v1/destinations/pause", Action::Pause, &[]),
    post("/v1/destinations/resume", Action::Resume, &[]),
    post("/v1/drain", Action::Drain, &[]),
    post("/v1/admit", Action::Admit, &[]),
    get("/v1", Action::About, &[]),
    get("/healthz", Action::Health, &[]),
    get("/readyz", Action::Ready, &[]),
    get("/metrics", Action::Metrics, &[]),
    get("/v1/openapi.json", Action::OpenApi, &[]),
    get("/v1/problems/{code}", Action::Problem, &[]),
];

const fn operate(operation: wholly_wire::v1::Operation) -> Action {
    Action::Operate(operation)
}

/// How a request is counted that matches no route.
pub(super) const UNKNOWN_ROUTE: &str = "none";

/// A route, and its variable segment, decoded.
#[derive(Debug)]
pub(super) struct Matched<'a> {
    pub(super) route: &'static Route,
    pub(super) segment: Option<Cow<'a, str>>,
}

/// The route of a request.
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Result<Matched<'a>, EdgeRejection> {
    let mut allowed: Vec<&str> = Vec::new();
    for route in ROUTES {
        let Some(segment) = matches(route.path, path) else {
            continue;
        };
        if route.method != method {
            allowed.push(route.method.as_str());
            continue;
        }
        let segment = match segment {
            "" => None,
            segment => Some(decode(segment)?),
        };
        return Ok(Matched { route, segment });
    }
    match allowed.is_empty() {
        true => Err(EdgeRejection::RouteUnknown),
        false => Err(EdgeRejection::MethodNotAllowed { allowed: allowed.join(", ") }),
    }
}

/// The text that stands for the variable segment; empty if the pattern has none.
fn matches<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once('{') else {
        return (pattern == path).then_some("");
    };
    let (_, after) = after.split_once('}').expect("braces of patterns are closed");
    let segment = path.strip_prefix(before)?.strip_suffix(after)?;
    (!segment.is_empty() && !segment.contains('/')).then_some(segment)
}

fn decode(segment: &str) -> Result<Cow<'_, str>, EdgeRejection> {
    super::query::decode(segment).ok_or_else(|| {
        EdgeRejection::invalid("the path", "has a wrong percent-encoding; encode it as UTF-8")
    })
}

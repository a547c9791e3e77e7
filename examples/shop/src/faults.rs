//! Faults on demand, outside the business: a layer that breaks calls as a test-control endpoint
//! was told.
//!
//! `POST /faults` takes a [`Fault`]; `GET /faults/{gid}` answers once one of that transaction has
//! struck; `DELETE /faults/{gid}` forgets them and lets go what they hold.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::watch;

/// What is to go wrong, and with which calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Of which transaction.
    pub gid: String,
    /// On which operation.
    pub operation: String,
    /// What is asked of it, as `try`.
    pub op: String,
    /// What goes wrong.
    pub what: What,
    /// With how many calls.
    pub times: u32,
}

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The handler never runs; the answer is a 500.
    Fail,
    /// The handler never runs; the answer is a refusal that nothing keeps.
    Refuse,
    /// The handler runs and commits; the connection dies without a reply.
    LoseReply,
    /// The handler runs so many milliseconds late.
    DelayMs(u64),
    /// The call waits at the door until let go: time to kill somebody.
    HoldBefore,
    /// The handler runs and commits; its reply waits until let go.
    HoldAfter,
    /// The process dies at the door, as by `kill -9`.
    DieBefore,
    /// The handler runs and commits; the process dies before the reply leaves.
    DieAfter,
}

/// A fault as it stands.
struct Rule {
    fault: Fault,
    struck: u32,
}

/// The faults of one service.
#[derive(Clone, Default)]
pub struct Faults {
    rules: watch::Sender<Vec<Rule>>,
}

impl Faults {
    /// Puts the faults before every call of a service, and the endpoint beside them.
    pub fn around(self, service: Router) -> Router {
        let endpoint = Router::new()
            .route("/faults", post(set))
            .route("/faults/{gid}", get(struck).delete(forget))
            .with_state(self.clone());
        service.layer(middleware::from_fn_with_state(self, strike)).merge(endpoint)
    }

    /// Counts the call against the first fault that is meant for it.
    fn draw(&self, headers: &HeaderMap) -> Option<Fault> {
        let mut drawn = None;
        self.rules.send_if_modified(|rules| {
            let rule = rules.iter_mut().find(|rule| rule.strikes(headers));
            if let Some(rule) = rule {
                rule.struck += 1;
                drawn = Some(rule.fault.clone());
            }
            drawn.is_some()
        });
        drawn
    }

    /// Waits until the fault has been forgotten.
    async fn hold(&self, fault: &Fault) {
        let forgotten = |rules: &Vec<Rule>| rules.iter().all(|rule| rule.fault != *fault);
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.rules.subscribe().wait_for(forgotten).await;
    }
}

impl Rule {
    fn strikes(&self, headers: &HeaderMap) -> bool {
        let says = |name: &str, value: &str| headers.get(name).is_some_and(|v| v == value);
        self.struck < self.fault.times
            && says("wholly-gid", &self.fault.gid)
            && says("wholly-operation", &self.fault.operation)
            && says("wholly-op", &self.fault.op)
    }
}

async fn set(State(faults): State<Faults>, Json(fault): Json<Fault>) -> StatusCode {
    faults.rules.send_modify(|rules| rules.push(Rule { fault, struck: 0 }));
    StatusCode::NO_CONTENT
}

async fn struck(State(faults): State<Faults>, Path(gid): Path<String>) -> StatusCode {
    let has = |rules: &Vec<Rule>| rules.iter().any(|r| r.fault.gid == gid && r.struck > 0);
    let _ = faults.rules.subscribe().wait_for(has).await;
    StatusCode::NO_CONTENT
}

async fn forget(State(faults): State<Faults>, Path(gid): Path<String>) -> StatusCode {
    faults.rules.send_modify(|rules| rules.retain(|rule| rule.fault.gid != gid));
    StatusCode::NO_CONTENT
}

async fn strike(State(faults): State<Faults>, call: Request, next: Next) -> Response {
    let Some(fault) = faults.draw(call.headers()) else { return next.run(call).await };
    match &fault.what {
        What::Fail => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        What::Refuse => refusal(call.headers()),
        What::LoseReply => {
            next.run(call).await;
            drop_the_connection()
        }
        What::DelayMs(ms) => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            next.run(call).await
        }
        What::HoldBefore => {
            faults.hold(&fault).await;
            next.run(call).await
        }
        What::HoldAfter => {
            let reply = next.run(call).await;
            faults.hold(&fault).await;
            reply
        }
        What::DieBefore => std::process::abort(),
        What::DieAfter => {
            next.run(call).await;
            std::process::abort()
        }
    }
}

/// Ends the task of this connection, so that the caller sees it close in the middle.
fn drop_the_connection() -> ! {
    std::panic::resume_unwind(Box::new("a reply lost on purpose"))
}

/// A refusal as a participant without a barrier would give it: valid, and not kept.
fn refusal(call: &HeaderMap) -> Response {
    let echo = |name: &str| call.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let answer = format!(
        "refused;gid={};branch={};operation={};op={}",
        echo("wholly-gid"),
        echo("wholly-branch"),
        echo("wholly-operation"),
        echo("wholly-op"),
    );
    let body =
        Json(serde_json::json!({ "code": "broken_on_purpose", "detail": "a fault was set" }));
    (StatusCode::CONFLICT, [("wholly-answer", answer)], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: (&str, &str, &str), call: (&str, &str, &str), expected: &[bool]) {
        let (gid, operation, op) = rule;
        let text = str::to_owned;
        let (gid, operation, op) = (text(gid), text(operation), text(op));
        let fault = Fault { gid, operation, op, what: What::Fail, times: 2 };
        let faults = Faults::default();
        faults.rules.send_modify(|rules| rules.push(Rule { fault, struck: 0 }));
        let mut headers = HeaderMap::new();
        headers.insert("wholly-gid", call.0.parse().unwrap());
        headers.insert("wholly-operation", call.1.parse().unwrap());
        headers.insert("wholly-op", call.2.parse().unwrap());
        let struck: Vec<bool> = expected.iter().map(|_| faults.draw(&headers).is_some()).collect();
        assert_eq!(struck, expected, "{rule:?} {call:?}");
    }

    #[test]
    fn a_fault_strikes_its_own_calls_and_only_so_many() {
        let call = ("order-1", "stock.lock", "try");
        check(call, call, &[true, true, false]);
        check(("order-2", "stock.lock", "try"), call, &[false]);
        check(("order-1", "stock.lock-now", "try"), call, &[false]);
        check(("order-1", "stock.lock", "cancel"), call, &[false]);
    }
}

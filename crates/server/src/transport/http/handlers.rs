//! What each action asks of the coordinator.

use super::super::{Coordinator, Refused};
use super::Api;
use super::answer::{self, Answer};
use super::bodies::Room;
use super::query::{Query, WaitDefault};
use super::routes::Action;
use super::watched::Watched;
use crate::audit::{Act, Deed};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::borrow::Cow;
use std::collections::BTreeMap;
use wholly_core::branch::{BranchSpec, Mode};
use wholly_core::ids::{Destination, Gid, IdempotencyKey, Principal};
use wholly_core::input::{
    Abort, Begin, Commit, GidSource, Operate, Register, Request, Submit, Wait,
};
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;
use wholly_wire::capability::issued_gid;
use wholly_wire::edge::EdgeRejection;
use wholly_wire::headers::{CAPABILITY, IDEMPOTENCY_KEY, TRACEPARENT, TRACESTATE};
use wholly_wire::problem::row;
use wholly_wire::trace::TraceContext;
use wholly_wire::v1::answer::About;
use wholly_wire::v1::{self, Operation};
use wholly_wire::words::Spelled;

/// What a request brings.
pub(super) struct Parts<'a> {
    /// Which transaction, by the path.
    pub(super) gid: Option<Gid>,
    /// The variable segment of the path.
    pub(super) segment: Option<Cow<'a, str>>,
    /// Its headers.
    pub(super) headers: &'a HeaderMap,
    /// Its body.
    pub(super) body: Body,
    /// Who asks.
    pub(super) principal: Principal,
    /// Its place in a trace, and what is told of that.
    pub(super) watched: &'a mut Watched,
}

/// A body and the room that it takes.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) room: Room,
}

impl Parts<'_> {
    fn gid(&self) -> Gid {
        self.gid.clone().expect("the route names a transaction")
    }
}

/// Carries out an action.
pub(super) async fn handle<C: Coordinator>(
    api: &Api<C>,
    action: Action,
    parts: Parts<'_>,
    query: &Query<'_>,
) -> Result<Answer, Refused> {
    let request = match action {
        Action::Begin => api.begin(&parts)?,
        Action::Submit => api.submit(&parts, query)?,
        Action::Register => api.register(&parts, query)?,
        Action::Commit => api.commit(&parts, query)?,
        Action::Abort => api.abort(&parts, query)?,
        Action::Get => Request::Get { gid: parts.gid(), wait: api.wait(query, WaitDefault::No)? },
        Action::Operate(operation) => api.operate(&parts, operation).await?,
        Action::History => return api.history(parts.gid()).await,
        Action::Rows => return api.rows(parts.gid()).await,
        Action::Payloads => return api.payloads(parts.gid(), &parts).await,
        Action::List => return api.list(query).await,
        Action::Status => return Ok(api.status()),
        Action::Pause => return api.pause(&parts).await,
        Action::Resume => return api.resume(&parts).await,
        Action::Drain => return api.drain(&parts).await,
        Action::Admit => return api.admit_again(&parts).await,
        Action::About => return Ok(api.about()),
        Action::Health => return Ok(health()),
        Action::Ready => return api.ready(),
        Action::Metrics => return Ok(api.metrics()),
        Action::OpenApi => {
            let bytes = Bytes::from_static(super::OPENAPI.as_bytes());
            return Ok(answer::with(StatusCode::OK, "application/json", bytes));
        }
        Action::Problem => return problem_page(parts.segment.as_deref().unwrap_or_default()),
    };
    if let Request::Begin(begin) = &request {
        parts.watched.begins(&begin.gid);
    }
    let trace = parts.watched.context();
    // The request has its own copy of what it needs, and may wait for long.
    let Body { bytes, room } = parts.body;
    drop(bytes);
    let reply = api.coordinator.request(request, trace, room.weight()).await?;
    Ok(answer::reply(&reply, api.coordinator.capability_key()))
}

/// It runs, and answers.
pub(super) fn health() -> Answer {
    answer::text(StatusCode::OK, "ok\n".into())
}

impl<C: Coordinator> Api<C> {
    fn begin(&self, parts: &Parts<'_>) -> Result<Request, Refused> {
        let opening = v1::read_begin(&parts.body.bytes)?;
        let key = idempotency_key(parts.headers)?;
        for (at, spec) in opening.branches.iter().enumerate() {
            self.check_destination(&spec.destination, || format!("branches[{at}].to"))?;
        }
        let principal = parts.principal.clone();
        let (gid, source) = match (opening.gid, &key) {
            (Some(gid), _) => (gid, GidSource::Client),
            (None, Some(key)) => {
                let keys = self.coordinator.capability_key();
                (keys.derived_gid(&principal, key), GidSource::Client)
            }
            (None, None) => (random_gid()?, GidSource::Issued),
        };
        Ok(Request::Begin(Begin {
            gid,
            source,
            name: opening.name,
            timeout_ms: opening.timeout_ms,
            key: key.map(|key| (key, opening.digest)),
            branches: opening.branches,
            principal,
        }))
    }

    fn submit(&self, parts: &Parts<'_>, query: &Query<'_>) -> Result<Request, Refused> {
        let plan = v1::read_submit(&parts.body.bytes)?;
        for (at, step) in plan.steps.iter().enumerate() {
            self.check_destination(&step.destination, || format!("steps[{at}].to"))?;
        }
        Ok(Request::Submit(Submit {
            gid: parts.gid(),
            source: GidSource::Client,
            name: plan.name,
            timeout_ms: plan.timeout_ms,
            steps: plan.steps,
            digest: plan.digest,
            principal: parts.principal.clone(),
            wait: self.wait(query, WaitDefault::No)?,
        }))
    }

    fn register(&self, parts: &Parts<'_>, query: &Query<'_>) -> Result<Request, Refused> {
        let begun = self.capability(parts)?;
        let spec: BranchSpec = v1::read_branch(&parts.body.bytes)?;
        self.check_destination(&spec.destination, || "to".to_string())?;
        Ok(Request::Register(Register {
            gid: parts.gid(),
            begun,
            spec,
            wait_ms: query.wait_ms(self.coordinator.limits().wait_ms_max)?,
            principal: parts.principal.clone(),
        }))
    }

    fn commit(&self, parts: &Parts<'_>, query: &Query<'_>) -> Result<Request, Refused> {
        let begun = self.capability(parts)?;
        let votes = v1::read_commit(&parts.body.bytes)?;
        Ok(Request::Commit(Commit {
            gid: parts.gid(),
            begun,
            tried: votes.tried,
            refused: votes.refused,
            wait: self.wait(query, WaitDefault::Decided)?,
            principal: parts.principal.clone(),
        }))
    }

    fn abort(&self, parts: &Parts<'_>, query: &Query<'_>) -> Result<Request, Refused> {
        let begun = self.capability(parts)?;
        let wish = v1::read_abort(&parts.body.bytes)?;
        Ok(Request::Abort(Abort {
            gid: parts.gid(),
            begun,
            reason: wish.reason,
            branch: wish.branch,
            wait: self.wait(query, WaitDefault::Decided)?,
            principal: parts.principal.clone(),
        }))
    }

    /// What is refused afterwards stands in the audit too: it was asked for.
    async fn operate(&self, parts: &Parts<'_>, operation: Operation) -> Result<Request, Refused> {
        let (action, reason) = v1::read_operation(operation, &parts.body.bytes)?;
        let (gid, by) = (parts.gid(), parts.principal.clone());
        let deed = Deed::Operate { gid: gid.clone(), action: action.clone() };
        let act = Act { deed, by: by.clone(), reason: reason.clone() };
        self.coordinator.audit(act).await?;
        Ok(Request::Operate(Operate { gid, action, reason, by }))
    }

    async fn history(&self, gid: Gid) -> Result<Answer, Refused> {
        let records = self.coordinator.history(&gid).await?;
        if records.is_empty() {
            return Err(Rejection::GidUnknown { gid }.into());
        }
        let mut calls = self.calls(vec![gid.clone()]).await?;
        let attempts = calls.remove(&gid).map(|calls| calls.branches).unwrap_or_default();
        Ok(answer::json(StatusCode::OK, &v1::history(&gid, &records, &attempts)))
    }

    fn about(&self) -> Answer {
        let about = About {
            version: env!("CARGO_PKG_VERSION").into(),
            modes: Mode::ALL.iter().map(|mode| (*mode).into()).collect(),
            limits: self.limits_by_name(),
        };
        answer::json(StatusCode::OK, &about)
    }

    fn limits_by_name(&self) -> BTreeMap<Cow<'static, str>, u64> {
        let limits = self.coordinator.limits();
        let count = |count: usize| count as u64;
        let named = [
            ("call_timeout_ms", limits.call_timeout_ms),
            ("backoff_ms", limits.backoff_ms),
            ("backoff_ms_max", limits.backoff_ms_max),
            ("open_timeout_ms", limits.open_timeout_ms),
            ("timeout_ms_max", limits.timeout_ms_max),
            ("retention_ms", limits.retention_ms),
            ("branches_max", count(limits.branches_max)),
            ("reads_max", count(limits.reads_max)),
            ("payload_bytes_max", count(limits.payload_bytes_max)),
            ("reply_bytes_max", count(limits.reply_bytes_max)),
            ("open_max", count(limits.open_max)),
            ("open_bytes_max", count(limits.open_bytes_max)),
            ("destinations_max", count(limits.destinations_max)),
            ("breaker_silent_max", limits.breaker_silent_max),
            ("inbox_max", count(limits.inbox_max)),
            ("lookups_max", count(limits.lookups_max)),
            ("calls_max", count(limits.calls_max)),
            ("destination_calls_max", count(limits.destination_calls_max)),
            ("transaction_waiters_max", count(limits.transaction_waiters_max)),
            ("waiters_max", count(limits.waiters_max)),
            ("wait_ms_max", limits.wait_ms_max),
            ("body_bytes_max", count(self.limits.body_bytes_max)),
            ("header_bytes_max", count(self.limits.header_bytes_max)),
            ("bodies_bytes_max", count(self.limits.bodies_bytes_max)),
            ("connections_max", count(self.limits.connections_max)),
            ("peer_connections_max", count(self.limits.peer_connections_max)),
        ];
        named.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect()
    }

    fn ready(&self) -> Result<Answer, Refused> {
        match self.coordinator.is_ready() {
            true => Ok(answer::text(StatusCode::OK, "ready\n".into())),
            false => Err(Rejection::Starting.into()),
        }
    }

    fn metrics(&self) -> Answer {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        answer::with(StatusCode::OK, kind, self.coordinator.metrics_text().into())
    }

    fn wait(&self, query: &Query<'_>, default: WaitDefault) -> Result<Wait, EdgeRejection> {
        query.wait(default, self.coordinator.limits().wait_ms_max)
    }

    /// The begun that the shown capability names.
    fn capability(&self, parts: &Parts<'_>) -> Result<Timestamp, EdgeRejection> {
        let gid = parts.gid();
        let Some(shown) = parts.headers.get(CAPABILITY) else {
            return Err(EdgeRejection::CapabilityMissing { gid });
        };
        let key = self.coordinator.capability_key();
        let begun = shown.to_str().ok().and_then(|shown| key.verify(&gid, shown).ok());
        begun.ok_or(EdgeRejection::CapabilityWrong { gid })
    }

    pub(super) fn check_destination(
        &self,
        destination: &Destination,
        field: impl FnOnce() -> String,
    ) -> Result<(), EdgeRejection> {
        match self.coordinator.knows_destination(destination) {
            true => Ok(()),
            false => Err(EdgeRejection::DestinationUnknown {
                destination: destination.clone(),
                field: field(),
            }),
        }
    }
}

/// The asker's place in a distributed trace, if he names one.
pub(super) fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let parent = headers.get(TRACEPARENT)?.to_str().ok();
    let states = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok());
    TraceContext::parse(parent, states)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, EdgeRejection> {
    let invalid = |why: String| EdgeRejection::IdempotencyKeyInvalid { why };
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let text = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => return Err(invalid("stands twice".to_string())),
        (Some(value), None) => value.to_str().map_err(|_| invalid("is not ASCII".to_string()))?,
    };
    let key = IdempotencyKey::new(text).map_err(|why| invalid(key_error(&why)))?;
    Ok(Some(key))
}

/// A key may hold more characters than a name.
fn key_error(error: &wholly_core::ids::NameError) -> String {
    use wholly_core::ids::NameError;
    match error {
        NameError::Empty | NameError::TooLong { .. } => error.to_string(),
        NameError::Character { at } => format!("has a blank or control character at byte {at}"),
    }
}

fn random_gid() -> Result<Gid, EdgeRejection> {
    let mut random = [0_u8; 16];
    match getrandom::fill(&mut random) {
        Ok(()) => Ok(issued_gid(random)),
        Err(error) => {
            tracing::error!(%error, "the operating system gives no random numbers");
            Err(EdgeRejection::Internal)
        }
    }
}

fn problem_page(code: &str) -> Result<Answer, Refused> {
    match row(code) {
        Some(row) => Ok(answer::text(StatusCode::OK, row.to_string())),
        None => Err(EdgeRejection::RouteUnknown.into()),
    }
}

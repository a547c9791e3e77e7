//! The call that a handler is serving: its ids, its deadline, the replies it reads.

use crate::error::Failure;
use crate::misfit::Misfit;
use crate::operation::Operation;
use crate::trace::{self, Place};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wholly_core::branch::Op;
use wholly_core::effect::Mark;
use wholly_core::ids::{self, Body, BranchId, Gid};
use wholly_wire::words::Spelled;

tokio::task_local! {
    static CALL: Call;
}

/// The call that this task is serving.
///
/// # Panics
/// Outside of a handler, and in a task that a handler spawned: see [`try_call`].
pub fn call() -> Call {
    try_call().expect("wholly::call() is asked within a participant's handler")
}

/// The call that this task is serving, if it is a participant's handler.
pub fn try_call() -> Option<Call> {
    CALL.try_with(Call::clone).ok()
}

/// One call of an operation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Call {
    parts: Arc<Parts>,
}

/// What a call brings.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) gid: Gid,
    pub(crate) branch: BranchId,
    pub(crate) operation: ids::Operation,
    pub(crate) op: Op,
    pub(crate) mark: Mark,
    pub(crate) payload: Body,
    /// Of its own first op, where the coordinator says it.
    pub(crate) reply: Option<Body>,
    /// Of the steps it reads.
    pub(crate) replies: Vec<(BranchId, Body)>,
    pub(crate) deadline: Instant,
    /// Of this sending.
    pub(crate) trace: Option<Place>,
}

impl Call {
    pub(crate) fn new(parts: Parts) -> Self {
        Call { parts: Arc::new(parts) }
    }

    /// The global transaction.
    pub fn gid(&self) -> &Gid {
        &self.parts.gid
    }

    /// The branch of it that this participant is.
    pub fn branch(&self) -> &BranchId {
        &self.parts.branch
    }

    /// The operation that was called.
    pub fn operation(&self) -> &ids::Operation {
        &self.parts.operation
    }

    /// What is asked of it.
    pub fn op(&self) -> Op {
        self.parts.op
    }

    /// When the caller stops listening, and will ask again. The work goes on nonetheless.
    pub fn deadline(&self) -> Instant {
        self.parts.deadline
    }

    /// Where in a distributed trace the call stands: the span of this sending.
    pub fn trace(&self) -> Option<&Place> {
        self.parts.trace.as_ref()
    }

    /// Time left until the deadline; zero after it.
    pub fn remaining(&self) -> Duration {
        self.parts.deadline.saturating_duration_since(Instant::now())
    }

    /// The idempotency key of this call for another side: the same for every copy of it, and
    /// for no other call. As `gid/branch/op`.
    pub fn key(&self) -> String {
        self.key_of(self.parts.op)
    }

    /// The key that another op of this branch has: a compensation names its action by
    /// `key_of(Op::Action)`.
    pub fn key_of(&self, op: Op) -> String {
        format!("{}/{}/{}", self.parts.gid, self.parts.branch, op.spell())
    }

    /// The reply of an earlier step that this one `reads`, by the step's name.
    pub fn reply<O: Operation>(&self, branch: &str) -> Result<O::Reply, Failure> {
        let found = self.parts.replies.iter().find(|(id, _)| id.as_str() == branch);
        let Some((_, reply)) = found else {
            let (own, gid) = (&self.parts.branch, &self.parts.gid);
            return Err(Failure::new(format!(
                "{own} of {gid} was not given the reply of {branch}: let its step read it, by \
                 .reads([{branch:?}])"
            )));
        };
        parse(reply).map_err(|error| {
            Failure::new(format!("the reply of {branch} is none of {}: {error}", O::NAME))
        })
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Runs a handler's future so that [`call`] finds this call, in the call's trace.
    pub(crate) async fn serve<F: Future>(self, handler: F) -> F::Output {
        let place = self.parts.trace.clone();
        trace::within(place, CALL.scope(self, handler)).await
    }
}

/// Reads JSON; no bytes at all are null.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &Body) -> Result<T, Misfit> {
    let bytes = if body.is_empty() { b"null" } else { body.as_bytes() };
    Ok(serde_json::from_slice(bytes)?)
}

/// Writes JSON; null becomes no bytes at all.
pub(crate) fn print<T: serde::Serialize>(value: &T) -> Result<Body, Misfit> {
    let bytes = serde_json::to_vec(value)?;
    Ok(if bytes == b"null" { Body::default() } else { Body::new(&bytes) })
}

//! Commit and abort: asked for in a task of their own, and followed until they are certain.

use crate::client::api::{Awaited, Said, Told, decided_before, rejected};
use crate::outcome::{BoxError, Error};
use crate::scope::Failing;
use crate::trace;
use crate::transaction::{Open, Wait};
use std::sync::Arc;
use tokio::task::JoinHandle;
use wholly_core::ids::{BranchId, Gid};
use wholly_core::record::{Cause, Decision, Outcome};
use wholly_wire::problem::Retry;
use wholly_wire::v1::answer::Transaction as Document;
use wholly_wire::words::Word;

/// What is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) decision: Decision,
    pub(crate) cause: Cause,
    /// How well it was carried out, where the end was waited for.
    pub(crate) outcome: Option<Outcome>,
}

impl Wait {
    pub(crate) fn awaited(self) -> Awaited {
        match self {
            Wait::Decided => Awaited::Decided,
            Wait::Ended => Awaited::Ended,
        }
    }
}

/// Commits. Whoever drops this future does not stop it.
pub(crate) async fn commit(
    open: Arc<Open>,
    tried: Vec<BranchId>,
    refused: Vec<BranchId>,
    wait: Wait,
) -> Result<Settled, Error> {
    let gid = open.gid.clone();
    let task = open.runtime.clone().spawn(trace::kept(async move {
        let asked = open.client.ask_commit(open.key(), &tried, &refused, wait.awaited()).await;
        let told = match asked {
            Ok(Said::Good(document)) => return follow(&open, document, wait).await,
            Ok(Said::Problem(told)) => told,
            Err(lost) => return Err(unknown(&open.gid, lost)),
        };
        if decided_before(&told.problem).is_some() {
            let document = told.problem.transaction.expect("it was looked at");
            return follow(&open, *document, wait).await;
        }
        let error = rejected(Some(&open.gid), &told.problem);
        match told.problem.retry.known() {
            Some(Retry::Never) if told.proves_nothing_changed() => {
                // The transaction is still open.
                let failing = Failing { reason: error.to_string(), branch: None };
                abort_in_background(open, failing);
                Err(error)
            }
            Some(Retry::Never | Retry::Later | Retry::Now) | None => Err(unknown(&open.gid, error)),
        }
    }));
    finished(gid, task).await
}

/// Aborts. Whoever drops this future does not stop it.
pub(crate) async fn abort(open: Arc<Open>, failing: Failing, wait: Wait) -> Result<Settled, Error> {
    let gid = open.gid.clone();
    let task = open.runtime.clone().spawn(trace::kept(ask_abort(open, failing, wait)));
    finished(gid, task).await
}

/// Aborts without anybody waiting for it.
pub(crate) fn abort_in_background(open: Arc<Open>, failing: Failing) {
    let gid = open.gid.clone();
    open.runtime.clone().spawn(trace::kept(async move {
        if let Err(error) = ask_abort(open, failing, Wait::Decided).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%gid, error, "abort not acknowledged; it follows at the deadline");
        }
    }));
}

async fn ask_abort(open: Arc<Open>, failing: Failing, wait: Wait) -> Result<Settled, Error> {
    let Failing { reason, branch } = failing;
    let asked = open.client.ask_abort(open.key(), &reason, branch.as_ref(), wait.awaited()).await;
    match asked {
        Ok(Said::Good(document)) => follow(&open, document, wait).await,
        Ok(Said::Problem(told)) if decided_before(&told.problem).is_some() => {
            let document = told.problem.transaction.expect("it was looked at");
            follow(&open, *document, wait).await
        }
        Ok(Said::Problem(told)) => Err(rejected_or_unknown(&open.gid, &told)),
        Err(lost) => Err(unknown(&open.gid, lost)),
    }
}

async fn finished(gid: Gid, task: JoinHandle<Result<Settled, Error>>) -> Result<Settled, Error> {
    // A task is only lost with its runtime; then nobody saw the answer.
    task.await.unwrap_or_else(|error| Err(unknown(&gid, error)))
}

/// Asks until what is waited for has come.
async fn follow(open: &Open, document: Document<'static>, wait: Wait) -> Result<Settled, Error> {
    let mut document = document;
    loop {
        if let Some(settled) = read(&open.gid, &document, wait.awaited())? {
            return Ok(settled);
        }
        open.client.pause().await;
        document = ask_again(open, document.decided(), wait).await?;
    }
}

async fn ask_again(
    open: &Open,
    decided: Option<Decision>,
    wait: Wait,
) -> Result<Document<'static>, Error> {
    let error: BoxError = match open.client.ask_document(&open.gid, Some(wait.awaited())).await {
        Ok(Said::Good(document)) => return Ok(document),
        Ok(Said::Problem(told)) => rejected(Some(&open.gid), &told.problem).into(),
        Err(lost) => lost.into(),
    };
    Err(match decided {
        None => unknown(&open.gid, error),
        Some(decision) => {
            Error::EndUnknown { gid: open.gid.clone(), decision, reason: None, source: error }
        }
    })
}

/// What a document settles, if it is enough.
pub(crate) fn read(
    gid: &Gid,
    document: &Document<'_>,
    awaited: Awaited,
) -> Result<Option<Settled>, Error> {
    let cause = document.cause.as_ref().and_then(Word::known).unwrap_or(Cause::Unknown);
    let Some(decision) = document.decided() else {
        return match (&document.decision, document.parked) {
            (Some(other), _) => Err(unknown(gid, format!("{other} is no decision known here"))),
            (None, true) => Err(Error::Parked { gid: gid.clone(), decision: None }),
            (None, false) => Ok(None),
        };
    };
    if let Some((decision, outcome)) = document.ended() {
        return Ok(Some(Settled { decision, cause, outcome: Some(outcome) }));
    }
    match (awaited, document.parked) {
        (Awaited::Decided, _) => Ok(Some(Settled { decision, cause, outcome: None })),
        (Awaited::Ended, false) => Ok(None),
        (Awaited::Ended, true) => Err(Error::Parked { gid: gid.clone(), decision: Some(decision) }),
    }
}

/// A no that may be believed is one; any other leaves open what became of the request.
pub(crate) fn rejected_or_unknown(gid: &Gid, told: &Told) -> Error {
    let error = rejected(Some(gid), &told.problem);
    match told.proves_nothing_changed() {
        true => error,
        false => unknown(gid, error),
    }
}

pub(crate) fn unknown(gid: &Gid, source: impl Into<BoxError>) -> Error {
    Error::Unknown { gid: gid.clone(), source: source.into() }
}

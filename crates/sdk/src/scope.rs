//! The scope of a global transaction: Ok commits; Err, panic and drop abort.

use crate::context;
use crate::deciding::{self, Settled};
use crate::ledger::Verdict;
use crate::outcome::{BoxError, Error, refusal};
use crate::transaction::{Begin, Open, Transaction, Wait};
use std::error::Error as StdError;
use std::sync::Arc;
use wholly_core::ids::{BranchId, Gid};
use wholly_core::record::{Cause, Decision, Outcome};

/// Why a scope gave no value.
pub(crate) enum Unfinished<E> {
    /// It could not begin, or was not committed although its body said Ok.
    Ours(Error),
    /// Its body said Err.
    Theirs { error: E, gid: Gid, settled: Settlement },
}

/// What a body's error means for the coordinator.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    /// For people.
    pub(crate) reason: String,
    /// The branch that was refused, where that was why.
    pub(crate) branch: Option<BranchId>,
}

impl Failing {
    /// Says the error with all its causes, and finds the refusal at its root.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Failing {
        let mut reason = error.to_string();
        let mut link = error.source();
        while let Some(cause) = link {
            reason.push_str(": ");
            reason.push_str(&cause.to_string());
            link = cause.source();
        }
        Failing { reason, branch: refusal(error).map(|(branch, _)| branch.clone()) }
    }

    /// For an error of which nothing is known: the last branch refused, if it was the last called.
    pub(crate) fn unsaid(open: &Open) -> Failing {
        let reason = "the function returned an error".to_owned();
        Failing { reason, branch: open.ledger().refused_last() }
    }
}

/// How an abort that a body asked for came out. It is an abort in any case: the only one who
/// could commit did not, and will not.
#[derive(Debug)]
pub(crate) enum Settlement {
    Aborted(Cause),
    /// Waited for the end, and it was not as decided.
    Differs(Outcome),
    /// Waited for the end, and it could not be learnt.
    EndUnknown {
        decision: Decision,
        source: BoxError,
    },
    /// Waited for the end, and it waits for an operator.
    Parked,
    /// Somebody else who held the capability committed it.
    Committed,
}

impl Settlement {
    /// As the user hears it.
    pub(crate) fn into_error(self, gid: Gid, reason: Option<BoxError>) -> Error {
        let not_as_decided = |decision, outcome, reason| {
            let gid = gid.clone();
            Error::NotAsDecided { gid, decision, outcome, reason }
        };
        match self {
            Settlement::Aborted(cause) => Error::Aborted { gid, cause, reason },
            Settlement::Differs(outcome) => not_as_decided(Decision::Abort, outcome, reason),
            Settlement::EndUnknown { decision, source } => {
                Error::EndUnknown { gid, decision, reason, source }
            }
            Settlement::Parked => Error::Parked { gid, decision: Some(Decision::Abort) },
            Settlement::Committed => Error::Rejected {
                code: "decided".to_owned(),
                detail: "it was committed by another holder of its capability".to_owned(),
                gid: Some(gid),
            },
        }
    }

    fn of(settled: Result<Settled, Error>, wait: Wait) -> Settlement {
        match settled {
            Ok(Settled { decision: Decision::Commit, .. }) => Settlement::Committed,
            Ok(Settled { outcome: Some(outcome @ (Outcome::Mixed | Outcome::Hazard)), .. }) => {
                Settlement::Differs(outcome)
            }
            Ok(Settled { cause, .. }) => Settlement::Aborted(cause),
            Err(Error::Parked { .. }) => Settlement::Parked,
            Err(Error::EndUnknown { decision, source, .. }) => {
                Settlement::EndUnknown { decision, source }
            }
            // No answer to an abort changes nothing: at its deadline it is aborted without us.
            Err(_) if wait == Wait::Decided => Settlement::Aborted(Cause::Initiator),
            Err(Error::Unknown { source, .. }) => {
                Settlement::EndUnknown { decision: Decision::Abort, source }
            }
            Err(error) => {
                Settlement::EndUnknown { decision: Decision::Abort, source: error.into() }
            }
        }
    }
}

/// Runs the body in the transaction that this task carries, else in one that begins here.
pub(crate) async fn run<F, T, E>(
    begin: Begin,
    body: F,
    describe: impl FnOnce(&E) -> Failing,
) -> Result<T, Unfinished<E>>
where
    F: AsyncFnOnce(Transaction) -> Result<T, E>,
{
    match context::current() {
        Some(outer) => join(outer, body, describe).await,
        None => begin_and_run(begin, body, describe).await,
    }
}

async fn begin_and_run<F, T, E>(
    begin: Begin,
    body: F,
    describe: impl FnOnce(&E) -> Failing,
) -> Result<T, Unfinished<E>>
where
    F: AsyncFnOnce(Transaction) -> Result<T, E>,
{
    let wait = begin.waits();
    let transaction = begin.begin().await.map_err(Unfinished::Ours)?;
    let open = transaction.open().clone();
    let guard = AbortOnDrop::new(open.clone());
    let carried = Some(transaction.clone());
    let said = context::within(carried, body(transaction)).await;
    open.ledger().close();
    match said {
        Ok(value) => {
            let verdict = open.ledger().verdict();
            guard.disarm();
            decide(open, verdict, wait).await.map(|()| value).map_err(Unfinished::Ours)
        }
        Err(error) => {
            let mut failing = describe(&error);
            failing.branch = failing.branch.filter(|branch| open.ledger().is_refused(branch));
            guard.disarm();
            let settled = deciding::abort(open.clone(), failing, wait).await;
            let gid = open.gid.clone();
            Err(Unfinished::Theirs { error, gid, settled: Settlement::of(settled, wait) })
        }
    }
}

/// Carries out what follows from an Ok.
async fn decide(open: Arc<Open>, verdict: Verdict, wait: Wait) -> Result<(), Error> {
    let gid = open.gid.clone();
    match verdict {
        Verdict::Commit { tried, refused } => {
            let settled = deciding::commit(open, tried, refused, wait).await?;
            match (settled.decision, settled.outcome) {
                (Decision::Commit, None | Some(Outcome::AsDecided)) => Ok(()),
                (Decision::Abort, None | Some(Outcome::AsDecided)) => {
                    Err(Error::Aborted { gid, cause: settled.cause, reason: None })
                }
                (decision, Some(outcome @ (Outcome::Mixed | Outcome::Hazard))) => {
                    Err(Error::NotAsDecided { gid, decision, outcome, reason: None })
                }
            }
        }
        Verdict::Abort { why } => {
            // The branch is in the text alone: its registration may never have arrived.
            let failing = Failing { reason: why.to_string(), branch: None };
            let settled = Settlement::of(deciding::abort(open, failing, wait).await, wait);
            let settled = match settled {
                // The coordinator heard an initiator's abort; why the initiator asked is ours.
                Settlement::Aborted(Cause::Initiator) => Settlement::Aborted(Cause::Unknown),
                Settlement::Aborted(_)
                | Settlement::Differs(_)
                | Settlement::EndUnknown { .. }
                | Settlement::Parked
                | Settlement::Committed => settled,
            };
            Err(settled.into_error(gid, Some(why)))
        }
    }
}

/// Joins: never commits, and a failure here is one of the whole.
async fn join<F, T, E>(
    outer: Transaction,
    body: F,
    describe: impl FnOnce(&E) -> Failing,
) -> Result<T, Unfinished<E>>
where
    F: AsyncFnOnce(Transaction) -> Result<T, E>,
{
    let open = outer.open().clone();
    let guard = FailOnDrop { open: Some(open.clone()) };
    let said = body(outer).await;
    guard.disarm();
    said.map_err(|error| {
        open.ledger().fail(describe(&error).reason);
        let settled = Settlement::Aborted(Cause::Initiator);
        Unfinished::Theirs { error, gid: open.gid.clone(), settled }
    })
}

fn how_it_went() -> &'static str {
    match std::thread::panicking() {
        true => "the body panicked",
        false => "the body was dropped before its end",
    }
}

/// Aborts in the background when the scope is dropped or panics.
pub(crate) struct AbortOnDrop {
    open: Option<Arc<Open>>,
}

impl AbortOnDrop {
    pub(crate) fn new(open: Arc<Open>) -> Self {
        AbortOnDrop { open: Some(open) }
    }

    /// The scope ended by itself.
    pub(crate) fn disarm(mut self) {
        self.open = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        open.ledger().close();
        let failing = Failing { reason: how_it_went().to_owned(), branch: None };
        deciding::abort_in_background(open, failing);
    }
}

/// Makes the whole an abort when a function that joined is dropped or panics.
struct FailOnDrop {
    open: Option<Arc<Open>>,
}

impl FailOnDrop {
    fn disarm(mut self) {
        self.open = None;
    }
}

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        open.ledger().fail(how_it_went().to_owned());
    }
}

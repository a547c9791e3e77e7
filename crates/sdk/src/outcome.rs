//! What an initiator hears when it is not "committed": what happened, what it means for the data,
//! what to do.

use crate::client::connection::Lost;
use crate::misfit::Misfit;
use std::error::Error as StdError;
use wholly_core::ids::{BranchId, Code, Gid};
use wholly_core::record::{Cause, Decision, Outcome};
use wholly_wire::words::Spelled;

/// Any error of a body: everything that is an error becomes one by `?`.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Why a global transaction, or a call in one, is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It was decided to abort: no branch takes effect; what was done is taken back.
    #[error(
        "{gid} was aborted ({}): nothing of it takes effect, and what its branches did is taken \
         back; to try again, take another gid",
        explain(*cause)
    )]
    Aborted {
        /// Which transaction.
        gid: Gid,
        /// Why.
        cause: Cause,
        /// What the body said, or what made the SDK abort.
        #[source]
        reason: Option<BoxError>,
    },
    /// The commit was asked for, and nobody answered whether it was decided so.
    #[error(
        "whether {gid} was committed is not known: the coordinator did not answer; it will all \
         take effect or none of it, so do nothing by hand and ask later by find({gid})"
    )]
    Unknown {
        /// Which transaction.
        gid: Gid,
        /// What was seen.
        #[source]
        source: BoxError,
    },
    /// It is decided; how it ended could not be learnt.
    #[error(
        "{gid} is decided: {}; how it ended is not known yet, for the coordinator did not answer; \
         the decision stands, ask later by find({gid})",
        decision.spell()
    )]
    EndUnknown {
        /// Which transaction.
        gid: Gid,
        /// What was decided.
        decision: Decision,
        /// What the body said, where it did not say Ok.
        reason: Option<BoxError>,
        /// What was seen.
        #[source]
        source: BoxError,
    },
    /// The gid names another transaction, perhaps an earlier attempt at the same act.
    #[error(
        "{gid} names a transaction already, and nothing was begun; if it is this very act, \
         find({gid}) tells how it ended, else take another gid"
    )]
    AlreadyUsed {
        /// Which gid.
        gid: Gid,
    },
    /// It has ended, and a branch is known or feared to differ from the decision.
    #[error(
        "{gid} was decided ({}) but ended {}: a participant broke its word or an operator said \
         so; compare the books by `wholly tx show {gid}`",
        decision.spell(), outcome.spell()
    )]
    NotAsDecided {
        /// Which transaction.
        gid: Gid,
        /// What was decided.
        decision: Decision,
        /// How it ended: mixed or hazard.
        outcome: Outcome,
        /// What the body said, where it did not say Ok.
        #[source]
        reason: Option<BoxError>,
    },
    /// Nothing more is called before an operator acts.
    #[error(
        "{gid} waits for an operator: a participant refused what it may not refuse, or it was \
         parked; see `wholly tx show {gid}`, then `wholly tx retry` or `wholly tx resolve`"
    )]
    Parked {
        /// Which transaction.
        gid: Gid,
        /// What was decided, where it is.
        decision: Option<Decision>,
    },
    /// A participant said no, for good.
    #[error("{branch} of {gid} was refused ({code}): {detail}; it has no effect")]
    Refused {
        /// In which transaction.
        gid: Gid,
        /// Which branch.
        branch: BranchId,
        /// Why, for programs.
        code: Code,
        /// Why, for people.
        detail: String,
    },
    /// A call stayed without an answer, so its transaction will be aborted.
    #[error(
        "{branch} of {gid} gave no answer: it may have had an effect, so {gid} will be aborted, \
         which takes the effect back"
    )]
    NoAnswer {
        /// In which transaction.
        gid: Gid,
        /// Which branch.
        branch: BranchId,
        /// What was seen.
        #[source]
        source: BoxError,
    },
    /// The coordinator could not be asked, and nothing was called.
    #[error("the coordinator at {url} could not be asked, and nothing was called; try again later")]
    Unreachable {
        /// Its address.
        url: String,
        /// What was seen.
        #[source]
        source: BoxError,
    },
    /// The coordinator said no; nothing was changed by the request, for no answer to it was lost.
    #[error("the coordinator refused ({code}): {detail}")]
    Rejected {
        /// Why, for programs; the page `/v1/problems/{code}` says more.
        code: String,
        /// Why, for people.
        detail: String,
        /// Which transaction, where the request named one.
        gid: Option<Gid>,
    },
    /// No transaction of that gid is known; not final, for its begin may be on its way.
    #[error(
        "no transaction {gid} is known to the coordinator; that is not final, for its begin may \
         be on its way or lost, in which case nothing of it was done"
    )]
    NotFound {
        /// Which gid.
        gid: Gid,
    },
    /// A call outside of any global transaction.
    #[error(
        "{operation} was called outside of a global transaction, and nothing was sent; call it \
         within #[global_transaction] or transaction(..).run(..); a spawned task keeps the \
         transaction by .in_current_transaction()"
    )]
    NoTransaction {
        /// What was called.
        operation: &'static str,
    },
    /// A call after its transaction's body was over.
    #[error("{operation} was called after the body of {gid} was over, and nothing was sent")]
    Over {
        /// Which transaction.
        gid: Gid,
        /// What was called.
        operation: &'static str,
    },
    /// A value that cannot be sent; found before anything was.
    #[error("the {what} {value:?} {why}")]
    Invalid {
        /// What it should be.
        what: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// A payload or a reply does not fit its type.
    #[error("the {what} of {operation} does not fit its type; do caller and callee share it?")]
    Shape {
        /// Payload or reply.
        what: &'static str,
        /// Of which operation.
        operation: &'static str,
        /// What is wrong.
        #[source]
        source: Misfit,
    },
}

fn explain(cause: Cause) -> &'static str {
    match cause {
        Cause::Initiator => "its initiator said so",
        Cause::Refusal => "a participant refused",
        Cause::Unknown => "the answer of a branch was not known when it was to be committed",
        Cause::Deadline => "its time was over",
        Cause::Operator => "an operator said so",
    }
}

impl Error {
    /// Which transaction it is about, where there is one.
    pub fn gid(&self) -> Option<&Gid> {
        match self {
            Error::Aborted { gid, .. }
            | Error::Unknown { gid, .. }
            | Error::EndUnknown { gid, .. }
            | Error::AlreadyUsed { gid }
            | Error::NotAsDecided { gid, .. }
            | Error::Parked { gid, .. }
            | Error::Refused { gid, .. }
            | Error::NoAnswer { gid, .. }
            | Error::NotFound { gid }
            | Error::Over { gid, .. } => Some(gid),
            Error::Rejected { gid, .. } => gid.as_ref(),
            Error::Unreachable { .. }
            | Error::NoTransaction { .. }
            | Error::Invalid { .. }
            | Error::Shape { .. } => None,
        }
    }

    /// The error that the body gave, if it was of this type.
    pub fn reason<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Error::Aborted { reason, .. }
            | Error::NotAsDecided { reason, .. }
            | Error::EndUnknown { reason, .. } => {
                reason.as_deref().and_then(|reason| reason.downcast_ref())
            }
            Error::Unknown { .. }
            | Error::AlreadyUsed { .. }
            | Error::Parked { .. }
            | Error::Refused { .. }
            | Error::NoAnswer { .. }
            | Error::Unreachable { .. }
            | Error::Rejected { .. }
            | Error::NotFound { .. }
            | Error::NoTransaction { .. }
            | Error::Over { .. }
            | Error::Invalid { .. }
            | Error::Shape { .. } => None,
        }
    }

    /// Whether a participant's refusal with this code is what happened, or what led to it.
    pub fn is_refused(&self, code: &str) -> bool {
        refusal(self).is_some_and(|(_, said)| said.as_str() == code)
    }

    /// The code of the refusal that happened, or led to this.
    pub fn refusal(&self) -> Option<&Code> {
        refusal(self).map(|(_, code)| code)
    }

    /// Whether the transaction is certain to have no effect.
    pub fn is_aborted(&self) -> bool {
        matches!(self, Error::Aborted { .. })
    }
}

/// The refusal at the root of an error, however deep the body wrapped it.
pub(crate) fn refusal<'a>(error: &'a (dyn StdError + 'static)) -> Option<(&'a BranchId, &'a Code)> {
    let mut link = Some(error);
    while let Some(error) = link {
        match error.downcast_ref() {
            Some(Error::Refused { branch, code, .. }) => return Some((branch, code)),
            // Its source says why the end is not known, not what led there.
            Some(Error::EndUnknown { reason: Some(reason), .. }) => return refusal(&**reason),
            Some(_) | None => (),
        }
        link = error.source();
    }
    None
}

/// A call that was dropped or stayed unknown, so that a commit became an abort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the call of {branch} was {how}: it may have had an effect or may yet have one, so it cannot \
     be part of a commit"
)]
pub struct Unsettled {
    /// Which branch.
    pub branch: BranchId,
    /// What became of its call.
    pub how: Loss,
}

/// What became of a call whose answer its initiator did not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its future was dropped, or still ran when the body was over.
    Dropped,
    /// Its time was over without an answer.
    Unanswered,
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Loss::Dropped => "dropped before its answer",
            Loss::Unanswered => "not answered",
        })
    }
}

/// A function that joined the transaction failed, so that it cannot commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a function that joined the transaction failed: {why}")]
pub struct JoinedFailed {
    /// What it said.
    pub why: String,
}

pub(crate) fn unreachable(url: &str, lost: Lost) -> Error {
    Error::Unreachable { url: url.to_owned(), source: Box::new(lost) }
}

//! Rejections: what an asker did wrong, or must wait for.

use crate::document::Document;
use crate::ids::{BranchId, Gid};
use crate::plan::PlanError;
use crate::record::Decision;
use alloc::boxed::Box;
use core::fmt;

/// Why a request was not done. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The gid names another transaction.
    GidTaken {
        /// Which.
        gid: Gid,
    },
    /// The idempotency key was used with another body.
    IdempotencyMismatch {
        /// The transaction it belongs to.
        gid: Gid,
    },
    /// The branch was registered otherwise.
    BranchTaken {
        /// Of which transaction.
        gid: Gid,
        /// Which.
        branch: BranchId,
    },
    /// It was decided otherwise, or too early for this.
    Decided {
        /// How it stands.
        document: Box<Document>,
    },
    /// No such transaction is known. Not final: its begin may be on its way.
    GidUnknown {
        /// Which.
        gid: Gid,
    },
    /// The transaction may have ended so long ago that it was forgotten.
    OutcomeForgotten {
        /// Which.
        gid: Gid,
    },
    /// No branch of that name is registered.
    BranchUnknown {
        /// In which transaction.
        gid: Gid,
        /// Which.
        branch: BranchId,
    },
    /// A branch is named both tried and refused.
    BranchContradicted {
        /// Which.
        branch: BranchId,
    },
    /// A plan decides itself: nothing can be registered or committed.
    NotOpen {
        /// Which.
        gid: Gid,
    },
    /// The plan cannot be carried out.
    PlanInvalid(PlanError),
    /// A branch cannot be what it asks to be.
    BranchInvalid {
        /// Which.
        branch: BranchId,
        /// What is wrong.
        why: &'static str,
    },
    /// Over a limit of the request.
    TooLarge {
        /// The limit's name.
        limit: &'static str,
        /// Its value.
        max: u64,
    },
    /// The branch is not stuck, so there is nothing to resolve.
    NotStuck {
        /// Which.
        branch: BranchId,
    },
    /// It has ended, so there is nothing to operate on.
    AlreadyEnded {
        /// Which.
        gid: Gid,
    },
    /// An operator's action cannot be done in this phase.
    WrongPhase {
        /// Which transaction.
        gid: Gid,
        /// What would have to be.
        why: &'static str,
    },
    /// The log was restored from an older copy, and what was decided of this transaction since is
    /// not known: neither a client nor time decides it.
    Unaccounted {
        /// Which.
        gid: Gid,
    },
    /// The records of this gid cannot be read: what it is, and whether it is free, is not known.
    Unreadable {
        /// Which.
        gid: Gid,
    },
    /// As many transactions are open as may be.
    OpenFull {
        /// The limit.
        max: u64,
    },
    /// Open transactions hold as many bytes of payloads and replies as they may.
    OpenBytesFull {
        /// The limit.
        max: u64,
    },
    /// Open transactions name as many destinations as they may.
    DestinationsFull {
        /// The limit.
        max: u64,
    },
    /// As many requests wait for a look-up as may.
    LookupsFull {
        /// The limit.
        max: u64,
    },
    /// As many requests wait for the coordinator's own loop as may.
    InboxFull {
        /// The limit.
        max: u64,
    },
    /// The log is at its limit.
    LogFull,
    /// As many requests wait as may.
    WaitersFull {
        /// The limit's name.
        limit: &'static str,
        /// The limit.
        max: u64,
    },
    /// The coordinator has not finished starting.
    Starting,
    /// The coordinator is being stopped.
    Draining,
}

impl Rejection {
    /// The code a program reads; the table in `wire` gives each its status and page.
    pub fn code(&self) -> &'static str {
        match self {
            Rejection::GidTaken { .. } => "gid_taken",
            Rejection::IdempotencyMismatch { .. } => "idempotency_mismatch",
            Rejection::BranchTaken { .. } => "branch_taken",
            Rejection::Decided { .. } => "decided",
            Rejection::GidUnknown { .. } => "gid_unknown",
            Rejection::OutcomeForgotten { .. } => "unknown",
            Rejection::BranchUnknown { .. } => "branch_unknown",
            Rejection::BranchContradicted { .. } => "branch_contradicted",
            Rejection::NotOpen { .. } => "not_open",
            Rejection::PlanInvalid(_) => "plan_invalid",
            Rejection::BranchInvalid { .. } => "branch_invalid",
            Rejection::TooLarge { .. } => "too_large",
            Rejection::NotStuck { .. } => "not_stuck",
            Rejection::AlreadyEnded { .. } => "already_ended",
            Rejection::WrongPhase { .. } => "wrong_phase",
            Rejection::Unaccounted { .. } => "unaccounted",
            Rejection::Unreadable { .. } => "unreadable",
            Rejection::OpenFull { .. } => "open_full",
            Rejection::OpenBytesFull { .. } => "open_bytes_full",
            Rejection::DestinationsFull { .. } => "destinations_full",
            Rejection::LookupsFull { .. } => "lookups_full",
            Rejection::InboxFull { .. } => "inbox_full",
            Rejection::LogFull => "log_full",
            Rejection::WaitersFull { .. } => "waiters_full",
            Rejection::Starting => "starting",
            Rejection::Draining => "draining",
        }
    }

    /// The transaction it is about, where it is about one.
    pub fn gid(&self) -> Option<&Gid> {
        match self {
            Rejection::GidTaken { gid }
            | Rejection::IdempotencyMismatch { gid }
            | Rejection::BranchTaken { gid, .. }
            | Rejection::GidUnknown { gid }
            | Rejection::OutcomeForgotten { gid }
            | Rejection::BranchUnknown { gid, .. }
            | Rejection::NotOpen { gid }
            | Rejection::AlreadyEnded { gid }
            | Rejection::Unaccounted { gid }
            | Rejection::Unreadable { gid }
            | Rejection::WrongPhase { gid, .. } => Some(gid),
            Rejection::Decided { document } => Some(&document.gid),
            Rejection::BranchContradicted { .. }
            | Rejection::PlanInvalid(_)
            | Rejection::BranchInvalid { .. }
            | Rejection::TooLarge { .. }
            | Rejection::NotStuck { .. }
            | Rejection::OpenFull { .. }
            | Rejection::OpenBytesFull { .. }
            | Rejection::DestinationsFull { .. }
            | Rejection::LookupsFull { .. }
            | Rejection::InboxFull { .. }
            | Rejection::LogFull
            | Rejection::WaitersFull { .. }
            | Rejection::Starting
            | Rejection::Draining => None,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::GidTaken { gid } => write!(
                f,
                "{gid} names another transaction; a gid is not used again, not after an abort \
                 either: take another"
            ),
            Rejection::IdempotencyMismatch { gid } => write!(
                f,
                "this idempotency key began {gid} with another body; send the same body, or take \
                 another key"
            ),
            Rejection::BranchTaken { gid, branch } => write!(
                f,
                "branch {branch} of {gid} was registered with other content; take another name"
            ),
            Rejection::Decided { document } => match document.decision {
                Some(Decision::Commit) => write!(f, "{} is decided: commit", document.gid),
                Some(Decision::Abort) => write!(f, "{} is decided: abort", document.gid),
                None => write!(f, "{} can no longer take this", document.gid),
            },
            Rejection::GidUnknown { gid } => write!(
                f,
                "no transaction {gid} is known; this is not final, its begin may be on its way"
            ),
            Rejection::OutcomeForgotten { gid } => write!(
                f,
                "{gid} may have ended so long ago that its outcome was forgotten, or after the \
                 copy that the coordinator was restored from; ask the participants"
            ),
            Rejection::BranchUnknown { gid, branch } => {
                write!(
                    f,
                    "{gid} has no branch {branch}; its branches are those that were registered"
                )
            }
            Rejection::BranchContradicted { branch } => {
                write!(f, "branch {branch} is named both tried and refused; name it once")
            }
            Rejection::NotOpen { gid } => {
                write!(f, "{gid} is a plan: its steps decide; abort it, or wait for it")
            }
            Rejection::PlanInvalid(why) => write!(f, "the plan cannot be carried out: {why}"),
            Rejection::BranchInvalid { branch, why } => write!(f, "branch {branch}: {why}"),
            Rejection::TooLarge { limit, max } => {
                write!(f, "over the limit {limit}, which is {max}; send less")
            }
            Rejection::NotStuck { branch } => {
                write!(f, "branch {branch} is not stuck; only a stuck branch is resolved by hand")
            }
            Rejection::AlreadyEnded { gid } => write!(f, "{gid} has ended; nothing is left to do"),
            Rejection::WrongPhase { gid, why } => write!(f, "{gid}: {why}"),
            Rejection::Unaccounted { gid } => unaccounted(gid, f),
            Rejection::Unreadable { gid } => unreadable(gid, f),
            Rejection::OpenFull { max } => full(OPEN, *max, f),
            Rejection::OpenBytesFull { max } => full(OPEN_BYTES, *max, f),
            Rejection::DestinationsFull { max } => full(DESTINATIONS, *max, f),
            Rejection::LookupsFull { max } => full(LOOKUPS, *max, f),
            Rejection::InboxFull { max } => full(INBOX, *max, f),
            Rejection::WaitersFull { limit, max } => write!(
                f,
                "as many requests wait as {limit} allows, {max}; ask without waiting, or later"
            ),
            Rejection::LogFull => f.write_str(LOG_FULL),
            Rejection::Starting => f.write_str("the coordinator is starting; try again"),
            Rejection::Draining => f.write_str(DRAINING),
        }
    }
}

const LOG_FULL: &str = "the log is at its limit log_bytes_max, or the disk has less room than \
                        disk_free_bytes_min; try again later, or make room";
const DRAINING: &str = "the coordinator takes no new transactions; it is being drained or stopped";

/// What there is no room for, and the limit that says so.
type Room = (&'static str, &'static str);

const OPEN: Room = ("transactions are open", "open_max");
const OPEN_BYTES: Room = ("bytes of payloads and replies are open", "open_bytes_max");
const DESTINATIONS: Room = ("destinations are named by open transactions", "destinations_max");
const LOOKUPS: Room = ("requests wait for a look-up", "lookups_max");
const INBOX: Room = ("requests wait to be looked at", "inbox_max");

/// What is said where there is no room, and the same request may be done later.
fn full((what, limit): Room, max: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "as many {what} as {limit} allows, {max}; try again later, or raise it")
}

fn unaccounted(gid: &Gid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "the coordinator was restored from an older copy, and what it decided of {gid} since is \
         not known; ask again later"
    )
}

fn unreadable(gid: &Gid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "the records of {gid} cannot be read; restore the data folder from a copy")
}

impl core::error::Error for Rejection {}

//! The faults: what befalls one call on its way.

use std::fmt;
use wholly_core::branch::Op;
use wholly_wire::words::Spelled;

/// What befalls the first sending of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The handler never runs; the call is refused, and nothing keeps the refusal.
    Refuse,
    /// One copy of the call takes effect, another is refused: what was done must be undone.
    RefuseCopy,
    /// The service dies before the handler runs, and is back after two more calls.
    CrashBefore,
    /// The service dies while the handler runs, just before its local transaction is committed.
    CrashMidway,
    /// The effect is committed, the reply lost, and the service dead for two more calls.
    CrashAfter,
    /// The call arrives twice, one after the other.
    Duplicate,
    /// The call arrives again when all later ones have been and the transaction has ended.
    Late,
    /// The handler begins only when the coordinator has given up waiting.
    Slow,
}

impl Fault {
    /// All of them, in the order in which a matrix tries them.
    pub const ALL: [Fault; 8] = [
        Fault::Refuse,
        Fault::RefuseCopy,
        Fault::CrashBefore,
        Fault::CrashMidway,
        Fault::CrashAfter,
        Fault::Duplicate,
        Fault::Late,
        Fault::Slow,
    ];

    /// How a report calls it.
    pub fn words(self) -> &'static str {
        match self {
            Fault::Refuse => "refuse",
            Fault::RefuseCopy => "refuse copy",
            Fault::CrashBefore => "crash before",
            Fault::CrashMidway => "crash midway",
            Fault::CrashAfter => "crash after",
            Fault::Duplicate => "duplicate",
            Fault::Late => "late",
            Fault::Slow => "slow",
        }
    }

    /// Whether a participant may do this to the op at all: only what begins may be refused.
    pub(crate) fn may_strike(self, op: Op) -> bool {
        match (self, op) {
            (Fault::Refuse | Fault::RefuseCopy, Op::Try | Op::Action) => true,
            (
                Fault::Refuse | Fault::RefuseCopy,
                Op::Confirm | Op::Cancel | Op::Compensate | Op::Inspect,
            ) => false,
            (
                Fault::CrashBefore
                | Fault::CrashMidway
                | Fault::CrashAfter
                | Fault::Duplicate
                | Fault::Late
                | Fault::Slow,
                op,
            ) => op != Op::Inspect,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}

/// A call of a transaction, as a report names it: `stock.lock try`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallName {
    pub(crate) branch: String,
    pub(crate) op: Op,
}

impl fmt::Display for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.branch, self.op.spell()))
    }
}

/// A fault that waits for its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strike {
    pub(crate) call: CallName,
    pub(crate) fault: Fault,
}

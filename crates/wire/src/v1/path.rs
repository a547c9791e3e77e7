//! Paths of v1.

use wholly_core::ids::Gid;

/// All transactions.
pub const TRANSACTIONS: &str = "/v1/transactions";

/// How everything stands.
pub const STATUS: &str = "/v1/status";
/// An operator lets a destination rest.
pub const PAUSE: &str = "/v1/destinations/pause";
/// An operator has it called again.
pub const RESUME: &str = "/v1/destinations/resume";
/// An operator lets nothing more begin.
pub const DRAIN: &str = "/v1/drain";
/// An operator lets transactions begin again.
pub const ADMIT: &str = "/v1/admit";

/// What belongs to one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its branches.
    Branches,
    /// The wish to commit.
    Commit,
    /// The wish to abort.
    Abort,
    /// Its records.
    History,
    /// What participants say of its branches.
    Rows,
    /// Its payloads.
    Payloads,
    /// An operator lets stuck branches be called again.
    Retry,
    /// An operator makes every unfinished branch stuck.
    Park,
    /// An operator says how a stuck branch stands.
    Resolve,
    /// An operator aborts what is not decided.
    OperatorAbort,
    /// An operator commits what a restore left undecided.
    OperatorCommit,
}

/// The path of a transaction.
pub fn transaction(gid: &Gid) -> String {
    format!("{TRANSACTIONS}/{gid}")
}

/// The path of something that belongs to a transaction.
pub fn part(gid: &Gid, part: Part) -> String {
    let name = match part {
        Part::Branches => "branches",
        Part::Commit => "commit",
        Part::Abort => "abort",
        Part::History => "history",
        Part::Rows => "rows",
        Part::Payloads => "payloads",
        Part::Retry => "retry",
        Part::Park => "park",
        Part::Resolve => "resolve",
        Part::OperatorAbort => "operator-abort",
        Part::OperatorCommit => "operator-commit",
    };
    format!("{TRANSACTIONS}/{gid}/{name}")
}

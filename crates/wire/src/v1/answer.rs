//! Answer bodies of v1. Clients pass over unknown fields, and an unknown word is never final.

use super::time::Time;
use crate::headers::AnswerWord;
use crate::words::{Word, words};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use wholly_core::branch::{Mode, Op, Resolution};
use wholly_core::record::{Cause, Decision, Outcome, PhaseName};

/// To a begin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begun<'a> {
    /// The id.
    pub gid: Cow<'a, str>,
    /// What register, commit and abort must show.
    pub capability: Cow<'a, str>,
    /// Presumed aborted after this.
    pub deadline: Time,
}

/// To a registration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registered<'a> {
    /// Its name.
    pub branch: Cow<'a, str>,
    /// What is known of its try.
    pub answer: Word<TryWord>,
    /// What the participant said, once done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Cow<'a, RawValue>>,
    /// Why it refused, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal<'a>>,
    /// The value of the header `wholly-mark`, for an initiator that calls by itself.
    pub mark: Cow<'a, str>,
}

/// What is known of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryWord {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
    /// Nothing yet.
    Unknown,
}

words!(TryWord { Done => "done", Refused => "refused", Unknown => "unknown" });

/// A participant's final no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal<'a> {
    /// Why, for programs.
    pub code: Cow<'a, str>,
    /// Why, for people.
    #[serde(default)]
    pub detail: Cow<'a, str>,
    /// Whether it will be said again.
    #[serde(default)]
    pub kept: bool,
}

/// The document of a transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transaction<'a> {
    /// Its id.
    pub gid: Cow<'a, str>,
    /// The kind of transaction.
    pub name: Cow<'a, str>,
    /// Who began it.
    pub principal: Cow<'a, str>,
    /// Where it stands.
    pub state: Word<PhaseName>,
    /// Commit or abort, once decided: the final answer.
    pub decision: Option<Word<Decision>>,
    /// How well it was carried out, once ended.
    pub outcome: Option<Word<Outcome>>,
    /// Why it was decided so.
    pub cause: Option<Word<Cause>>,
    /// The branch that caused it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause_branch: Option<Cow<'a, str>>,
    /// Why, for people; empty if nobody said.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'a, str>,
    /// Whether nothing more is called before an operator acts.
    pub parked: bool,
    /// How many branches are stuck.
    pub stuck: u64,
    /// When it was begun.
    pub begun: Time,
    /// When something was last found.
    pub changed: Time,
    /// When it is aborted or turns back, while that can still happen.
    pub deadline: Option<Time>,
    /// Its branches in order of registration.
    pub branches: Vec<Branch<'a>>,
    /// What abort must show; in answers to a submit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Cow<'a, str>>,
}

impl Transaction<'_> {
    /// The final answer; a word of a later release is not one.
    pub fn decided(&self) -> Option<Decision> {
        self.decision.as_ref().and_then(Word::known)
    }

    /// Decision and outcome, once every branch is where it stays.
    pub fn ended(&self) -> Option<(Decision, Outcome)> {
        let outcome = self.outcome.as_ref().and_then(Word::known)?;
        match self.state.is(PhaseName::Ended) {
            true => Some((self.decided()?, outcome)),
            false => None,
        }
    }
}

/// A branch of a document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Branch<'a> {
    /// Its name.
    pub branch: Cow<'a, str>,
    /// Its rules.
    pub mode: Word<Mode>,
    /// Where its operation is offered.
    pub to: Cow<'a, str>,
    /// What the participant offers.
    pub operation: Cow<'a, str>,
    /// How far it is.
    pub state: Word<BranchState>,
    /// Steps it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Cow<'a, str>>,
    /// Whether it is retried and never undone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub forward: bool,
    /// What the participant said to its try or action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Cow<'a, RawValue>>,
    /// Why it refused its try or action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal<'a>>,
    /// Why it waits for an operator, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck<'a>>,
    /// How it stands in the word of an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Word<Resolution>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How far a branch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchState {
    /// Nothing is known of its try or action.
    Unknown,
    /// Its try or action was done.
    Done,
    /// Its try or action was refused.
    Refused,
    /// It was never called and never will be.
    Untouched,
    /// What its try reserved is used.
    Confirmed,
    /// What its try reserved is released.
    Cancelled,
    /// Its action was taken back.
    Compensated,
    /// An operator said how it stands.
    Resolved,
}

words!(BranchState {
    Unknown => "unknown",
    Done => "done",
    Refused => "refused",
    Untouched => "untouched",
    Confirmed => "confirmed",
    Cancelled => "cancelled",
    Compensated => "compensated",
    Resolved => "resolved",
});

/// Why a branch waits for an operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stuck<'a> {
    /// Refused what may not be refused, or parked.
    pub why: Word<StuckWord>,
    /// What was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Word<Op>>,
    /// What the participant said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal<'a>>,
    /// What the operator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// What the participant's barrier row said since a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Word<RowWord>>,
}

/// What a barrier row said when it was inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowWord {
    /// There is none.
    None,
    /// It is too old to count.
    Stale,
    /// Try or action is done.
    Tried,
    /// Confirmed.
    Confirmed,
    /// Cancelled or compensated after its try or action.
    Cancelled,
    /// Cancelled or compensated before its try or action.
    NullCancelled,
    /// Refused by the business.
    Refused,
}

words!(RowWord {
    None => "none",
    Stale => "stale",
    Tried => "tried",
    Confirmed => "confirmed",
    Cancelled => "cancelled",
    NullCancelled => "null_cancelled",
    Refused => "refused",
});

/// The kinds of being stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StuckWord {
    /// The participant refused what it may not refuse.
    Refused,
    /// An operator parked it.
    Parked,
    /// The log was restored from an older copy, and what was decided since is not known.
    Restored,
}

words!(StuckWord { Refused => "refused", Parked => "parked", Restored => "restored" });

/// A row of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary<'a> {
    /// Its id.
    pub gid: Cow<'a, str>,
    /// The kind of transaction.
    pub name: Cow<'a, str>,
    /// The rules of its branches.
    pub modes: Vec<Word<Mode>>,
    /// Where it stands.
    pub state: Word<PhaseName>,
    /// Commit or abort, once decided.
    pub decision: Option<Word<Decision>>,
    /// How well it was carried out, once ended.
    pub outcome: Option<Word<Outcome>>,
    /// Why it was decided so.
    pub cause: Option<Word<Cause>>,
    /// Whether nothing more is called before an operator acts.
    pub parked: bool,
    /// How many branches are stuck.
    pub stuck: u64,
    /// The first of them, while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_stuck: Option<StuckBranch<'a>>,
    /// Destinations of unfinished branches.
    pub waits_for: Vec<Cow<'a, str>>,
    /// When it was begun.
    pub begun: Time,
    /// When something was last found.
    pub changed: Time,
    /// When it ended.
    pub ended: Option<Time>,
    /// How its calls stand, while it is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call<'a>>,
}

/// A branch that waits for an operator, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StuckBranch<'a> {
    /// Which branch.
    pub branch: Cow<'a, str>,
    /// Why.
    pub stuck: Stuck<'a>,
}

/// How one branch's call stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call<'a> {
    /// Which branch.
    pub branch: Cow<'a, str>,
    /// What is asked.
    pub op: Word<Op>,
    /// Sendings since the coordinator's start.
    pub attempts: u32,
    /// Until the next; none while one is in flight.
    pub next_ms: Option<u64>,
    /// What came of the last one; empty if nothing yet.
    #[serde(default)]
    pub last: Cow<'a, str>,
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct List<'a> {
    /// The rows.
    pub items: Vec<Summary<'a>>,
    /// Where the next page begins; none at the last.
    pub next: Option<Cow<'a, str>>,
}

/// The records of a transaction, as a timeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History<'a> {
    /// Its id.
    pub gid: Cow<'a, str>,
    /// What happened, in order.
    pub records: Vec<Record<'a>>,
    /// How its calls stand, while it is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call<'a>>,
}

/// One thing that happened. Fields that do not belong to it are left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record<'a> {
    /// Its place, from one.
    pub version: u64,
    /// When.
    pub at: Time,
    /// What.
    pub what: Word<What>,
    /// Of which branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Cow<'a, str>>,
    /// Of which branches, where it is about several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Cow<'a, str>>,
    /// Where a registered branch's operation is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Cow<'a, str>>,
    /// What the participant offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Cow<'a, str>>,
    /// The rules of a registered branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Word<Mode>>,
    /// What was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Word<Op>>,
    /// What was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Word<AnswerWord>>,
    /// Sendings it took since the coordinator's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// What the participant said, once done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Cow<'a, RawValue>>,
    /// Why it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal<'a>>,
    /// Commit or abort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Word<Decision>>,
    /// Why it was decided so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Word<Cause>>,
    /// How well it was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Word<Outcome>>,
    /// An operator's word on a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Word<Resolution>>,
    /// When it is aborted or turns back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Cow<'a, str>>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// What a participant's barrier row said since a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Word<RowWord>>,
}

/// The kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The initiator began it.
    Begun,
    /// A plan was handed over.
    Submitted,
    /// Its begin was lost in a crash before anybody was called.
    Lost,
    /// A branch was registered.
    Registered,
    /// A call was answered.
    Answered,
    /// Commit or abort.
    Decided,
    /// A branch waits for an operator.
    Stuck,
    /// An operator let branches be called again.
    Retried,
    /// An operator made every unfinished branch stuck.
    Parked,
    /// An operator said how a branch stands.
    Resolved,
    /// It was found undecided in a log restored from an older copy.
    Restored,
    /// A participant said what its row of a branch says.
    Inspected,
    /// Every branch is where it stays.
    Ended,
}

words!(What {
    Begun => "begun",
    Submitted => "submitted",
    Lost => "lost",
    Registered => "registered",
    Answered => "answered",
    Decided => "decided",
    Stuck => "stuck",
    Retried => "retried",
    Parked => "parked",
    Resolved => "resolved",
    Restored => "restored",
    Inspected => "inspected",
    Ended => "ended",
});

/// To `GET /v1`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About<'a> {
    /// The coordinator's release.
    pub version: Cow<'a, str>,
    /// The modes it knows.
    pub modes: Vec<Word<Mode>>,
    /// Its limits by name.
    pub limits: std::collections::BTreeMap<Cow<'a, str>, u64>,
}

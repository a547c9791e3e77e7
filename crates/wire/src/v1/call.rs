//! Bodies between coordinator and participant.

use super::answer::Refusal;
use crate::words::{Word, words};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The body of a call that brings replies along (`wholly-body: envelope`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope<'a> {
    /// What the operation is given.
    pub payload: Cow<'a, RawValue>,
    /// The reply of the branch's own try or action, where it is known.
    #[serde(default)]
    pub reply: Option<Cow<'a, RawValue>>,
    /// Replies of the steps it reads, by name.
    #[serde(default)]
    pub replies: BTreeMap<Cow<'a, str>, Cow<'a, RawValue>>,
}

/// The body of a refusal: status 409, `wholly-answer: refused`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalBody<'a> {
    /// Why, for programs.
    pub code: Cow<'a, str>,
    /// Why, for people.
    #[serde(default)]
    pub detail: Cow<'a, str>,
}

impl<'a> RefusalBody<'a> {
    /// The refusal, `kept` taken from the header.
    pub fn with_kept(self, kept: bool) -> Refusal<'a> {
        Refusal { code: self.code, detail: self.detail, kept }
    }
}

/// To `inspect`: what the barrier row says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inspected<'a> {
    /// The row's state.
    pub state: Word<RowState>,
    /// The reply it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Cow<'a, RawValue>>,
}

/// States of a barrier row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// There is none.
    None,
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

words!(RowState {
    None => "none",
    Tried => "tried",
    Confirmed => "confirmed",
    Cancelled => "cancelled",
    NullCancelled => "null_cancelled",
    Refused => "refused",
});

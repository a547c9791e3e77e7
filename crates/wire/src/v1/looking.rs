//! What an operator is shown of a transaction beside its document: what participants say of its
//! branches, and its payloads.

use super::answer::RowWord;
use crate::words::{Word, words};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// To `GET /v1/transactions/{gid}/rows`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rows<'a> {
    /// Which transaction.
    pub gid: Cow<'a, str>,
    /// Its branches, in order of registration.
    pub rows: Vec<Row<'a>>,
}

/// What the participant of one branch says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row<'a> {
    /// Which branch.
    pub branch: Cow<'a, str>,
    /// Its destination.
    pub to: Cow<'a, str>,
    /// The operation it offers.
    pub operation: Cow<'a, str>,
    /// How it was asked, and whether it answered.
    pub asked: Word<Asked>,
    /// What its row says, where it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Word<RowWord>>,
    /// For people: why there is no answer; empty if there is one.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub detail: Cow<'a, str>,
}

/// How asking for a row went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It says what its row says.
    Answered,
    /// It keeps no row, so that nobody can tell.
    NotKept,
    /// It refuses to be asked so.
    Refused,
    /// Nothing came back that counts as an answer.
    Unanswered,
    /// It was not asked: an operator lets its destination rest.
    Paused,
    /// It was not asked: its destination had not answered, or took too long before.
    NotAsked,
}

words!(Asked {
    Answered => "answered",
    NotKept => "not_kept",
    Refused => "refused",
    Unanswered => "unanswered",
    Paused => "paused",
    NotAsked => "not_asked",
});

/// To `POST /v1/transactions/{gid}/payloads`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payloads<'a> {
    /// Which transaction.
    pub gid: Cow<'a, str>,
    /// Of each branch that was asked for, in order of registration.
    pub payloads: Vec<Payload<'a>>,
}

/// What one branch's operation is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payload<'a> {
    /// Which branch.
    pub branch: Cow<'a, str>,
    /// How long it is.
    pub bytes: u64,
    /// Itself; absent where all of them are too long for one answer. Asked for by its branch it
    /// comes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub payload: Option<Cow<'a, RawValue>>,
}

/// A payload that is there, `null` included: only one that is absent was left out.
fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'static, RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(|payload| Some(Cow::Owned(payload)))
}

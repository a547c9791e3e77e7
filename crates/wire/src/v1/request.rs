//! Request bodies of v1. Unknown fields are refused; both sides use these structs.

use super::shape::{self, Field, Kind, Shaped, optional, required};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// `POST /v1/transactions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin<'a> {
    /// The kind of transaction.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Its id; issued if not said.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<Cow<'a, str>>,
    /// Presumed aborted after this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Branches declared at once.
    #[serde(
        borrow,
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "shape::objects"
    )]
    pub branches: Vec<Branch<'a>>,
}

/// `POST /v1/transactions/{gid}/branches`, and a branch declared at a begin.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch<'a> {
    /// Its name in the transaction.
    #[serde(borrow)]
    pub branch: Cow<'a, str>,
    /// Its rules: `tcc` or `saga`.
    #[serde(borrow)]
    pub mode: Cow<'a, str>,
    /// Where its operation is offered.
    #[serde(borrow)]
    pub to: Cow<'a, str>,
    /// What the participant offers.
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    /// What the operation is given; null if not said.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'a RawValue>,
    /// Whether the coordinator calls it; else the initiator does.
    #[serde(default, skip_serializing_if = "is_false")]
    pub call: bool,
}

/// `PUT /v1/transactions/{gid}`: a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit<'a> {
    /// The kind of transaction.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// It turns back after this long; never if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What is to be done.
    #[serde(borrow, deserialize_with = "shape::objects")]
    pub steps: Vec<Step<'a>>,
}

/// A step of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step<'a> {
    /// Its name in the plan.
    #[serde(borrow)]
    pub branch: Cow<'a, str>,
    /// Where its operation is offered.
    #[serde(borrow)]
    pub to: Cow<'a, str>,
    /// What the participant offers.
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    /// What the operation is given; null if not said.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'a RawValue>,
    /// Names of the steps it waits for.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Cow<'a, str>>,
    /// Names of the steps whose replies it reads.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Cow<'a, str>>,
    /// Whether it is retried and never undone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub forward: bool,
}

/// `POST /v1/transactions/{gid}/commit`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit<'a> {
    /// Branches whose try the initiator saw done.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Cow<'a, str>>,
    /// Branches that the initiator saw refused.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Cow<'a, str>>,
}

/// `POST /v1/transactions/{gid}/abort`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abort<'a> {
    /// Why, for people.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// The branch that made it so.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Cow<'a, str>>,
}

/// `POST /v1/transactions/{gid}/retry`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry<'a> {
    /// Why; never empty.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// One branch; all if not said.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Cow<'a, str>>,
}

/// `POST /v1/transactions/{gid}/park` and `/operator-abort`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reasoned<'a> {
    /// Why; never empty.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// `POST /v1/destinations/pause` and `/resume`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause<'a> {
    /// Which destination.
    #[serde(borrow)]
    pub destination: Cow<'a, str>,
    /// Why; never empty.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// `POST /v1/transactions/{gid}/resolve`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolve<'a> {
    /// Why; never empty.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// Which branch.
    #[serde(borrow)]
    pub branch: Cow<'a, str>,
    /// How it stands: `applied`, `not_applied` or `unknown`.
    #[serde(borrow)]
    pub resolution: Cow<'a, str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Shaped for Begin<'_> {
    const FIELDS: &'static [Field] = &[
        required("name", Kind::Text),
        optional("gid", Kind::Text),
        optional("timeout_ms", Kind::Number),
        optional("branches", Kind::Objects(<Branch<'static> as Shaped>::FIELDS)),
    ];
}

impl Shaped for Branch<'_> {
    const FIELDS: &'static [Field] = &[
        required("branch", Kind::Text),
        required("mode", Kind::Text),
        required("to", Kind::Text),
        required("operation", Kind::Text),
        optional("payload", Kind::Any),
        optional("call", Kind::Flag),
    ];
}

impl Shaped for Submit<'_> {
    const FIELDS: &'static [Field] = &[
        required("name", Kind::Text),
        optional("timeout_ms", Kind::Number),
        required("steps", Kind::Objects(<Step<'static> as Shaped>::FIELDS)),
    ];
}

impl Shaped for Step<'_> {
    const FIELDS: &'static [Field] = &[
        required("branch", Kind::Text),
        required("to", Kind::Text),
        required("operation", Kind::Text),
        optional("payload", Kind::Any),
        optional("after", Kind::Texts),
        optional("reads", Kind::Texts),
        optional("forward", Kind::Flag),
    ];
}

impl Shaped for Commit<'_> {
    const FIELDS: &'static [Field] =
        &[optional("tried", Kind::Texts), optional("refused", Kind::Texts)];
}

impl Shaped for Abort<'_> {
    const FIELDS: &'static [Field] =
        &[optional("reason", Kind::Text), optional("branch", Kind::Text)];
}

impl Shaped for Retry<'_> {
    const FIELDS: &'static [Field] =
        &[required("reason", Kind::Text), optional("branch", Kind::Text)];
}

impl Shaped for Reasoned<'_> {
    const FIELDS: &'static [Field] = &[required("reason", Kind::Text)];
}

impl Shaped for Pause<'_> {
    const FIELDS: &'static [Field] =
        &[required("destination", Kind::Text), required("reason", Kind::Text)];
}

impl Shaped for Resolve<'_> {
    const FIELDS: &'static [Field] = &[
        required("reason", Kind::Text),
        required("branch", Kind::Text),
        required("resolution", Kind::Text),
    ];
}

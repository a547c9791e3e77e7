//! Bodies between coordinator and participant.

use crate::words::{Word, words};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use wholly_core::branch::{Answer, RowSeen};
use wholly_core::ids::{Body, Text};

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

/// To `inspect`: what the barrier row says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inspected<'a> {
    /// The row's state.
    pub state: Word<RowState>,
    /// The reply it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Cow<'a, RawValue>>,
}

/// The code by which an inspection is refused where no row is kept, so that nobody can ever tell.
pub const NO_ROW_KEPT: &str = "no_row_kept";

/// What the answer to an inspection says of the row. One that says nothing is left as it is, for
/// a row is only believed when it is read.
pub fn row_seen(answer: Answer) -> Result<RowSeen, Answer> {
    let unread = |why: &str| Err(Answer::Unknown { detail: Text::cut(why) });
    match answer {
        Answer::Done { reply, .. } => match serde_json::from_slice(reply.as_bytes()) {
            Ok(inspected) => seen(inspected).ok_or_else(|| Answer::Unknown {
                detail: Text::cut("the inspection answered a state that is not known here"),
            }),
            Err(_) => unread("the inspection was answered without a state"),
        },
        Answer::Refused(refusal) if ["stale", NO_ROW_KEPT].contains(&refusal.code.as_str()) => {
            Ok(RowSeen::Stale)
        }
        Answer::Refused(refusal) => unread(&format!("inspection refused: {}", refusal.code)),
        answer @ (Answer::Working | Answer::Unknown { .. }) => Err(answer),
    }
}

fn seen(inspected: Inspected<'_>) -> Option<RowSeen> {
    let reply = inspected.reply.map(|reply| Body::new(reply.get().as_bytes())).unwrap_or_default();
    Some(match inspected.state.known()? {
        RowState::None => RowSeen::Absent,
        RowState::Tried => RowSeen::Tried { reply },
        RowState::Confirmed => RowSeen::Confirmed { reply },
        RowState::Cancelled => RowSeen::Cancelled { reply },
        RowState::NullCancelled => RowSeen::NullCancelled,
        RowState::Refused => RowSeen::Refused,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use wholly_core::branch::{Kept, Refusal};
    use wholly_core::ids::Code;

    #[test]
    fn a_row_is_believed_when_it_is_read_or_when_nobody_can_ever_read_it() {
        let done =
            |text: &str| Answer::Done { reply: Body::new(text.as_bytes()), kept: Kept::Kept };
        let refused = |code: &str| {
            let (code, detail) = (Code::new(code).unwrap(), Text::default());
            Answer::Refused(Refusal { code, detail, kept: Kept::NotKept })
        };
        let check = |answer: Answer, expected: Option<RowSeen>| {
            assert_eq!(row_seen(answer.clone()).ok(), expected, "{answer:?}");
        };
        let reply = Body::new(b"7");
        check(done("{\"state\":\"none\"}"), Some(RowSeen::Absent));
        check(done("{\"state\":\"tried\",\"reply\":7}"), Some(RowSeen::Tried { reply }));
        check(refused("stale"), Some(RowSeen::Stale));
        check(refused(NO_ROW_KEPT), Some(RowSeen::Stale));
        check(refused("operation_unknown"), None);
        check(done("{\"state\":\"later\"}"), None);
        check(done(""), None);
        check(Answer::Working, None);
    }
}

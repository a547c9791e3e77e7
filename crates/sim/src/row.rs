//! Row: how an inspection is answered on the simulated network, as wire spells it in JSON.

use wholly_core::barrier::{Inspection, State};
use wholly_core::branch::{Answer, Kept, RowSeen};
use wholly_core::ids::{Body, Text};

/// A participant's answer: a byte for the state, then the reply that the row keeps.
pub fn told(found: &Inspection) -> Answer {
    let (state, reply) = match found {
        Inspection::None => (0, None),
        Inspection::Found(State::Tried { reply }) => (1, Some(reply)),
        Inspection::Found(State::Confirmed { reply }) => (2, Some(reply)),
        Inspection::Found(State::Cancelled { reply }) => (3, Some(reply)),
        Inspection::Found(State::NullCancelled) => (4, None),
        Inspection::Found(State::Refused { .. }) => (5, None),
    };
    let mut bytes = vec![state];
    bytes.extend_from_slice(reply.map_or(&[], Body::as_bytes));
    Answer::Done { reply: Body::new(&bytes), kept: Kept::NotKept }
}

/// What an answer says of the row; one that says nothing stays as it is.
pub fn heard(answer: Answer) -> Result<RowSeen, Answer> {
    let unread = || Err(Answer::Unknown { detail: Text::cut("no state") });
    let reply = match answer {
        Answer::Done { reply, .. } => reply,
        Answer::Refused(refusal) if refusal.code.as_str() == "stale" => return Ok(RowSeen::Stale),
        Answer::Refused(_) => return unread(),
        answer @ (Answer::Working | Answer::Unknown { .. }) => return Err(answer),
    };
    let Some((state, kept)) = reply.as_bytes().split_first() else { return unread() };
    let reply = Body::new(kept);
    match state {
        0 => Ok(RowSeen::Absent),
        1 => Ok(RowSeen::Tried { reply }),
        2 => Ok(RowSeen::Confirmed { reply }),
        3 => Ok(RowSeen::Cancelled { reply }),
        4 => Ok(RowSeen::NullCancelled),
        5 => Ok(RowSeen::Refused),
        _ => unread(),
    }
}

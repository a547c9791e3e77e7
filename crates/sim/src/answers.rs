//! Answers that are none: what comes back garbled, from a proxy or from another call, spelled as on
//! the wire and judged as the coordinator judges it.

use crate::chance::Chance;
use crate::network::Letter;
use crate::workloads::operation;
use wholly_core::barrier::{done, refused};
use wholly_core::branch::{Answer, Kept};
use wholly_core::ids::{Body, Code, Text};
use wholly_wire::headers::{AnswerHeader, AnswerWord, Asked, Echo};

/// An answer that says nothing.
pub(crate) fn unknown(detail: &str) -> Answer {
    Answer::Unknown { detail: Text::cut(detail) }
}

/// What a proxy says that never passed the call on, or has lost the answer.
pub(crate) fn of_proxy(letter: &Letter, chance: &mut Chance) -> Answer {
    let status = *chance.pick(&[200, 204, 302, 404, 409, 425, 502, 503, 504]);
    judge(letter, (status, None), &Answer::Working)
}

/// An answer some byte of which was changed, or whose end is missing.
pub(crate) fn garbled(letter: &Letter, answer: &Answer, chance: &mut Chance) -> Answer {
    let Some((status, mut text)) = spell(letter, answer) else { return answer.clone() };
    let at = chance.below(text.len() as u64) as usize;
    match chance.below(3) {
        0 => text.truncate(at),
        1 => text.insert(at, '\u{7f}'),
        _ => {
            let byte = text.as_bytes()[at];
            let other = char::from(b'!' + (byte - b'!' + 1 + chance.below(93) as u8) % 94);
            text.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
        }
    }
    judge(letter, (status, Some(&text)), answer)
}

/// What was said to another call.
pub(crate) fn misaddressed(letter: &Letter, other: &Letter, answer: &Answer) -> Answer {
    match spell(other, answer) {
        Some((status, text)) => judge(letter, (status, Some(&text)), answer),
        None => answer.clone(),
    }
}

/// An answer with the status of another one.
pub(crate) fn contradicted(letter: &Letter, answer: &Answer, chance: &mut Chance) -> Answer {
    let Some((status, text)) = spell(letter, answer) else { return answer.clone() };
    let others = [200, 409, 425, 500, 302].map(|other| if other == status { 404 } else { other });
    judge(letter, (*chance.pick(&others), Some(&text)), answer)
}

fn spell(letter: &Letter, answer: &Answer) -> Option<(u16, String)> {
    let (status, word, kept) = match answer {
        Answer::Done { kept, .. } => (200, AnswerWord::Done, *kept),
        Answer::Refused(refusal) => (409, AnswerWord::Refused, refusal.kept),
        Answer::Working => (425, AnswerWord::Working, Kept::NotKept),
        Answer::Unknown { .. } => return None,
    };
    let Letter { gid, branch, op, .. } = letter;
    let (gid, branch) = (gid.clone(), branch.clone());
    let asked = Asked { gid, branch, operation: operation(), op: *op };
    Some((status, AnswerHeader { word, asked, kept }.to_string()))
}

/// Judges a response as egress does: by the header alone, which must echo the call.
fn judge(letter: &Letter, (status, text): (u16, Option<&str>), said: &Answer) -> Answer {
    let Letter { gid, branch, op, .. } = letter;
    let Some(text) = text else { return unknown("no header") };
    let echo = Echo { gid, branch, operation: &operation(), op: *op };
    let header = match echo.judge(status, text) {
        Ok(header) => header,
        Err(why) => return unknown(&why),
    };
    let answer = match (header.word, said) {
        (AnswerWord::Working, _) => Answer::Working,
        (AnswerWord::Done, Answer::Done { reply, .. }) => done(reply.clone()),
        (AnswerWord::Done, _) => done(Body::default()),
        (AnswerWord::Refused, Answer::Refused(refusal)) => Answer::Refused(refusal.clone()),
        (AnswerWord::Refused, _) => refused(Code::new("refused").expect("a code"), Text::default()),
    };
    match (header.kept, answer) {
        (Kept::NotKept, Answer::Done { reply, .. }) => Answer::Done { reply, kept: Kept::NotKept },
        (Kept::NotKept, Answer::Refused(mut refusal)) => {
            refusal.kept = Kept::NotKept;
            Answer::Refused(refusal)
        }
        (Kept::Kept | Kept::NotKept, answer) => answer,
    }
}

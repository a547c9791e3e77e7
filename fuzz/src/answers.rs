//! What counts as an answer: done and refused only with proof.

use arbitrary::{Arbitrary, Unstructured};
use wholly_core::branch::{Answer, Kept, Op};
use wholly_core::effect::{Call, Mark, Proof};
use wholly_core::ids::{Body, CallId};
use wholly_core::time::Timestamp;
use wholly_server::egress::{Answers, Replies, Rule};
use wholly_server::fuzzing::{Response, judge};
use wholly_wire::v1::is_too_deep;

/// Of the echo, which part is a stranger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
enum Stranger {
    None,
    Gid,
    Branch,
    Operation,
    Op,
}

/// A header `wholly-answer`.
#[derive(Debug, Arbitrary)]
enum Header<'a> {
    Text(&'a [u8]),
    Echo { word: u8, stranger: Stranger, kept: bool, more: &'a str },
}

/// What comes back, and what the configuration says of who sent it.
#[derive(Debug, Arbitrary)]
struct Input<'a> {
    plain: bool,
    replies_kept: bool,
    status: u16,
    known_status: u8,
    headers: Vec<Header<'a>>,
    body: &'a [u8],
}

const STATUSES: [u16; 8] = [200, 201, 204, 301, 404, 409, 425, 500];
const WORDS: [&str; 4] = ["done", "refused", "working", "ok"];

/// Without the echo nothing is done or refused; with it, only what status and body agree to.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let mut rule = Rule::new("http://stock");
    if input.plain {
        rule.answers = Answers::Plain;
    }
    if input.replies_kept {
        rule.replies = Replies::Kept;
    }
    let known = STATUSES.get(usize::from(input.known_status)).copied();
    let status = known.unwrap_or(100 + input.status % 900);
    let texts: Vec<Vec<u8>> = input.headers.iter().map(spelled).collect();
    let answers: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let seen = Response { status, answers, body: input.body };
    let answer = judge(&call(), &rule, &seen);
    let expected = match answer {
        Answer::Done { ref reply, kept } => {
            let json = reply.is_empty() || is_json(reply);
            assert!(json, "a reply is JSON: {seen:?}");
            assert!(!is_too_deep(reply.as_bytes()), "a reply is not too deep");
            Some(("done", (200..300).contains(&status), kept))
        }
        Answer::Refused(ref refusal) => Some(("refused", status == 409, refusal.kept)),
        Answer::Working => {
            assert_eq!(status, 425, "{seen:?}");
            None
        }
        Answer::Unknown { ref detail } => {
            assert!(!detail.is_empty(), "it says what was seen");
            None
        }
    };
    let Some((word, agrees, kept)) = expected else { return };
    assert!(agrees, "{word} with status {status}");
    if !input.plain {
        proven(&input, &seen, word);
    }
    if kept == Kept::Kept && !input.replies_kept {
        let said = seen.answers.iter().any(|text| text.windows(4).any(|part| part == b"kept"));
        assert!(said && !input.plain, "nobody said that it is kept: {seen:?}");
    }
}

/// As whoever the reply is handed on to reads it.
fn is_json(reply: &Body) -> bool {
    serde_json::from_slice::<&serde_json::value::RawValue>(reply.as_bytes()).is_ok()
}

/// Exactly one header, and each part of the echo stands in it as it was asked.
fn proven(input: &Input<'_>, seen: &Response<'_>, word: &str) {
    let sent: Vec<&[u8]> =
        seen.answers.iter().copied().filter(|text| !text.iter().any(|b| is_control(*b))).collect();
    assert_eq!(sent.len(), 1, "one header: {seen:?}");
    let text = std::str::from_utf8(sent[0]).expect("a header that counts is a text");
    let mut parts = text.split(';').map(str::trim);
    assert_eq!(parts.next(), Some(word), "{text}");
    let pairs: Vec<(&str, &str)> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    for (key, value) in [("gid", "g"), ("branch", "b"), ("operation", "stock.lock"), ("op", "try")]
    {
        let found: Vec<_> = pairs.iter().filter(|(name, _)| *name == key).collect();
        assert_eq!(found, [&(key, value)], "{text} of {input:?}");
    }
}

fn is_control(byte: u8) -> bool {
    (byte < 32 && byte != b'\t') || byte == 127
}

fn spelled(header: &Header<'_>) -> Vec<u8> {
    match header {
        Header::Text(text) => text.to_vec(),
        Header::Echo { word, stranger, kept, more } => {
            let word = WORDS[usize::from(*word) % WORDS.len()];
            let other = |part: Stranger| if *stranger == part { "x" } else { "" };
            let kept = if *kept { ";kept" } else { "" };
            let op = if *stranger == Stranger::Op { "confirm" } else { "try" };
            format!(
                "{word};gid=g{};branch=b{};operation=stock.lock{};op={op}{kept}{more}",
                other(Stranger::Gid),
                other(Stranger::Branch),
                other(Stranger::Operation),
            )
            .into_bytes()
        }
    }
}

fn call() -> Call {
    Call {
        id: CallId(1),
        gid: "g".parse().expect("a gid"),
        branch: "b".parse().expect("a name"),
        destination: "stock".parse().expect("a destination"),
        operation: "stock.lock".parse().expect("an operation"),
        op: Op::Try,
        payload: Body::default(),
        replies: Vec::new(),
        reply: None,
        mark: Mark {
            origin: "o".parse().expect("an origin"),
            begun: Timestamp(2),
            limit: Timestamp(1),
        },
        timeout_ms: 1_000,
        attempt: 1,
        proof: Proof::default(),
    }
}

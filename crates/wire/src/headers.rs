//! Headers between coordinator, participants and clients: names, the answer, the mark, a call.

use crate::words::{Spelled, words};
use std::fmt;
use wholly_core::branch::{Kept, Op};
use wholly_core::effect::Mark;
use wholly_core::ids::{BranchId, Gid, Operation, Origin};
use wholly_core::time::Timestamp;

/// Of which transaction a call is.
pub const GID: &str = "wholly-gid";
/// Of which branch a call is.
pub const BRANCH: &str = "wholly-branch";
/// What is asked of the operation.
pub const OP: &str = "wholly-op";
/// What the participant offers.
pub const OPERATION: &str = "wholly-operation";
/// How long the caller waits for the answer.
pub const TIMEOUT_MS: &str = "wholly-timeout-ms";
/// The transaction's place among its peers.
pub const MARK: &str = "wholly-mark";
/// How the body of a call is laid out.
pub const BODY: &str = "wholly-body";
/// A participant's answer.
pub const ANSWER: &str = "wholly-answer";
/// What register, commit and abort must show.
pub const CAPABILITY: &str = "wholly-capability";
/// Makes a begin repeatable.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Which destination a call is for, by its name: what the signature binds it to.
pub const AUDIENCE: &str = "wholly-audience";
/// What the body of a call hashes to (RFC 9530).
pub const CONTENT_DIGEST: &str = "content-digest";
/// Who asks (RFC 7617).
pub const AUTHORIZATION: &str = "authorization";
/// Who vouches for a call (RFC 9421).
pub const SIGNATURE: &str = "signature";
/// What the signature covers (RFC 9421).
pub const SIGNATURE_INPUT: &str = "signature-input";
/// Place in a distributed trace (W3C).
pub const TRACEPARENT: &str = "traceparent";
/// Further matter of the trace (W3C).
pub const TRACESTATE: &str = "tracestate";

/// Under which path a participant offers its operations.
pub const CALL_PATH: &str = "/wholly/";

/// The path at which a destination offers an operation.
pub fn call_path(operation: &Operation) -> String {
    format!("{CALL_PATH}{operation}")
}

/// Why a header is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderError {
    /// Which header.
    pub name: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "header {} {}", self.name, self.why)
    }
}

impl std::error::Error for HeaderError {}

fn wrong(name: &'static str, why: impl Into<String>) -> HeaderError {
    HeaderError { name, why: why.into() }
}

/// What a participant says in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerWord {
    /// It took effect.
    Done,
    /// It has no effect.
    Refused,
    /// It is at it.
    Working,
}

words!(AnswerWord { Done => "done", Refused => "refused", Working => "working" });

/// What was asked of whom; an answer counts only when it echoes this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Of which transaction.
    pub gid: Gid,
    /// Of which branch.
    pub branch: BranchId,
    /// What the participant offers.
    pub operation: Operation,
    /// What is asked of it.
    pub op: Op,
}

/// The header `wholly-answer`: `done;gid=..;branch=..;operation=..;op=..[;kept]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHeader {
    /// The answer.
    pub word: AnswerWord,
    /// What it answers.
    pub asked: Asked,
    /// Whether the same will be answered again.
    pub kept: Kept,
}

impl fmt::Display for AnswerHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Asked { gid, branch, operation, op } = &self.asked;
        write!(f, "{};gid={gid};branch={branch};", self.word.spell())?;
        write!(f, "operation={operation};op={}", op.spell())?;
        match self.kept {
            Kept::Kept => f.write_str(";kept"),
            Kept::NotKept => Ok(()),
        }
    }
}

impl AnswerHeader {
    /// Reads the header. Fields may come in any order; ones that a later release adds are passed
    /// over; one that stands twice is wrong.
    pub fn parse(text: &str) -> Result<AnswerHeader, HeaderError> {
        let (word, rest) = text.split_once(';').unwrap_or((text, ""));
        let word = AnswerWord::parse(word.trim())
            .ok_or_else(|| wrong(ANSWER, format!("begins with none of {}", known_answers())))?;
        let fields = Fields::of(ANSWER, rest)?;
        let asked = Asked {
            gid: fields.parse("gid")?,
            branch: fields.parse("branch")?,
            operation: fields.parse("operation")?,
            op: Op::parse(fields.value("op")?)
                .ok_or_else(|| wrong(ANSWER, format!("has an op that is none of {}", ops())))?,
        };
        let kept = match fields.flag("kept") {
            Some(()) => Kept::Kept,
            None => Kept::NotKept,
        };
        Ok(AnswerHeader { word, asked, kept })
    }
}

/// What an answer must echo, of the call that it answers.
#[derive(Clone, Copy, Debug)]
pub struct Echo<'a> {
    /// Of which transaction.
    pub gid: &'a Gid,
    /// Of which branch.
    pub branch: &'a BranchId,
    /// What the participant offers.
    pub operation: &'a Operation,
    /// What was asked of it.
    pub op: Op,
}

impl Echo<'_> {
    /// Reads the header of an answer with this status; an error says why it proves nothing. The
    /// header must echo the call and agree with the status: a proxy's default page, or an answer
    /// that belongs to another call, proves nothing.
    pub fn judge(&self, status: u16, text: &str) -> Result<AnswerHeader, String> {
        let answer = AnswerHeader::parse(text).map_err(|error| error.to_string())?;
        let asked = &answer.asked;
        if asked.gid != *self.gid
            || asked.branch != *self.branch
            || asked.operation != *self.operation
            || asked.op != self.op
        {
            return Err(format!("header {ANSWER} answers another call: {text}"));
        }
        match answer.word.agrees(status) {
            true => Ok(answer),
            false => {
                let word = answer.word.spell();
                Err(format!("header {ANSWER} says {word}, but the status is {status}"))
            }
        }
    }
}

impl AnswerWord {
    /// Whether an answer with this word may have that HTTP status.
    pub fn agrees(self, status: u16) -> bool {
        match self {
            AnswerWord::Done => (200..300).contains(&status),
            AnswerWord::Refused => status == 409,
            AnswerWord::Working => status == 425,
        }
    }
}

fn known_answers() -> String {
    AnswerWord::spellings()
}

fn ops() -> String {
    Op::spellings()
}

/// Writes the header `wholly-mark`: `origin=..;begun=..;limit=..`.
pub fn print_mark(mark: &Mark) -> String {
    format!("origin={};begun={};limit={}", mark.origin, mark.begun.0, mark.limit.0)
}

/// Reads the header `wholly-mark`.
pub fn parse_mark(text: &str) -> Result<Mark, HeaderError> {
    let fields = Fields::of(MARK, text)?;
    Ok(Mark {
        origin: fields.parse::<Origin>("origin")?,
        begun: Timestamp(fields.parse("begun")?),
        limit: Timestamp(fields.parse("limit")?),
    })
}

/// `key=value` and bare flags, between semicolons.
struct Fields<'a> {
    header: &'static str,
    pairs: Vec<(&'a str, Option<&'a str>)>,
}

/// More fields than any of our headers will ever have.
const FIELDS_MAX: usize = 32;

impl<'a> Fields<'a> {
    fn of(header: &'static str, text: &'a str) -> Result<Self, HeaderError> {
        let mut pairs: Vec<(&str, Option<&str>)> = Vec::with_capacity(6);
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key.trim(), Some(value.trim())),
                None => (part, None),
            };
            if pairs.iter().any(|(earlier, _)| *earlier == key) {
                return Err(wrong(header, format!("names {key:?} twice")));
            }
            if pairs.len() == FIELDS_MAX {
                return Err(wrong(header, format!("has more than {FIELDS_MAX} fields")));
            }
            pairs.push((key, value));
        }
        Ok(Fields { header, pairs })
    }

    fn value(&self, key: &str) -> Result<&'a str, HeaderError> {
        let found = self.pairs.iter().find(|(name, _)| *name == key);
        found
            .and_then(|(_, value)| *value)
            .ok_or_else(|| wrong(self.header, format!("lacks {key}=")))
    }

    fn parse<T: std::str::FromStr<Err: fmt::Display>>(&self, key: &str) -> Result<T, HeaderError> {
        let parsed = self.value(key)?.parse::<T>();
        parsed.map_err(|error| wrong(self.header, format!("has a wrong {key}: {error}")))
    }

    fn flag(&self, key: &str) -> Option<()> {
        let found = self.pairs.iter().find(|(name, _)| *name == key);
        found.map(|_| ())
    }
}

/// How the body of a call is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// The payload as it is.
    Payload,
    /// `{"payload","reply","replies"}`.
    Envelope,
}

words!(BodyKind { Payload => "payload", Envelope => "envelope" });

/// What the headers of a call say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallHeaders {
    /// What is asked of whom.
    pub asked: Asked,
    /// How long the caller waits.
    pub timeout_ms: u64,
    /// The transaction's place among its peers.
    pub mark: Mark,
    /// How the body is laid out.
    pub body: BodyKind,
}

impl CallHeaders {
    /// The headers as names and values.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            (GID, self.asked.gid.to_string()),
            (BRANCH, self.asked.branch.to_string()),
            (OP, self.asked.op.spell().to_string()),
            (OPERATION, self.asked.operation.to_string()),
            (TIMEOUT_MS, self.timeout_ms.to_string()),
            (MARK, print_mark(&self.mark)),
        ];
        match self.body {
            BodyKind::Payload => {}
            BodyKind::Envelope => pairs.push((BODY, self.body.spell().to_string())),
        }
        pairs
    }

    /// Reads the headers; `value` gives one by its name.
    pub fn parse<'a>(
        value: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<CallHeaders, HeaderError> {
        let needed = |name| value(name).ok_or_else(|| wrong(name, "is missing"));
        let op =
            Op::parse(needed(OP)?).ok_or_else(|| wrong(OP, format!("is none of {}", ops())))?;
        let body = match value(BODY) {
            None => BodyKind::Payload,
            Some(text) => BodyKind::parse(text)
                .ok_or_else(|| wrong(BODY, format!("is none of {}", BodyKind::spellings())))?,
        };
        Ok(CallHeaders {
            asked: Asked {
                gid: parsed(GID, needed(GID)?)?,
                branch: parsed(BRANCH, needed(BRANCH)?)?,
                operation: parsed(OPERATION, needed(OPERATION)?)?,
                op,
            },
            timeout_ms: parsed(TIMEOUT_MS, needed(TIMEOUT_MS)?)?,
            mark: parse_mark(needed(MARK)?)?,
            body,
        })
    }
}

fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
    name: &'static str,
    text: &str,
) -> Result<T, HeaderError> {
    text.parse().map_err(|error: T::Err| wrong(name, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_answer(text: &str, expected: &str) {
        let seen = match AnswerHeader::parse(text) {
            Ok(answer) => answer.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(seen.starts_with(expected), "{text}: {seen}");
    }

    #[test]
    fn an_answer_is_read_as_it_is_written_or_refused_by_name() {
        let whole = "done;gid=order-1;branch=stock;operation=stock.lock;op=try";
        check_answer(whole, whole);
        check_answer(&format!("{whole};kept"), &format!("{whole};kept"));
        check_answer("refused;gid=g:1;branch=b;operation=o;op=action;kept", "refused;gid=g:1");
        check_answer("working; op=cancel; gid=g; later=1; branch=b; operation=o", "working;gid=g");
        check_answer("", "header wholly-answer begins with none of done, refused, working");
        check_answer("ok;gid=g", "header wholly-answer begins with none of");
        check_answer("done", "header wholly-answer lacks gid=");
        check_answer("done;gid", "header wholly-answer lacks gid=");
        check_answer("done;gid=a b;branch=b", "header wholly-answer has a wrong gid: has a");
        check_answer("done;gid=g;gid=h", "header wholly-answer names \"gid\" twice");
        check_answer("done;gid=g;branch=b;operation=o;op=do", "header wholly-answer has an op");
        check_answer(&format!("done{}", ";a".repeat(2)), "header wholly-answer names \"a\" twice");
        // The four ids are fields too.
        let more = |count: usize| (4..count).map(|n| format!(";k{n}")).collect::<String>();
        check_answer(&format!("{whole}{}", more(FIELDS_MAX)), whole);
        let above = format!("{whole}{}", more(FIELDS_MAX + 1));
        check_answer(&above, "header wholly-answer has more than 32 fields");
    }

    fn check_mark(text: &str, expected: &str) {
        let seen = match parse_mark(text) {
            Ok(mark) => print_mark(&mark),
            Err(error) => error.to_string(),
        };
        assert!(seen.starts_with(expected), "{text}: {seen}");
    }

    #[test]
    fn a_mark_is_read_as_it_is_written_or_refused_by_name() {
        check_mark("origin=a1;begun=17;limit=0", "origin=a1;begun=17;limit=0");
        check_mark("limit=0;begun=17;origin=a1;more", "origin=a1;begun=17;limit=0");
        check_mark("origin=a1;begun=17", "header wholly-mark lacks limit=");
        check_mark("origin=a1;begun=-1;limit=0", "header wholly-mark has a wrong begun");
        check_mark("origin=;begun=1;limit=0", "header wholly-mark has a wrong origin: is empty");
    }

    fn call() -> CallHeaders {
        CallHeaders {
            asked: Asked {
                gid: "order-1".parse().unwrap(),
                branch: "stock".parse().unwrap(),
                operation: "stock.lock".parse().unwrap(),
                op: Op::Try,
            },
            timeout_ms: 5_000,
            mark: parse_mark("origin=a1;begun=17;limit=3").unwrap(),
            body: BodyKind::Envelope,
        }
    }

    fn check_call(without: &str, instead: Option<&str>, expected: &str) {
        let pairs = call().pairs();
        let value = |name: &str| match name == without {
            true => instead,
            false => pairs.iter().find(|(key, _)| *key == name).map(|(_, text)| text.as_str()),
        };
        let seen = match CallHeaders::parse(value) {
            Ok(read) => format!("{:?}", read.body),
            Err(error) => error.to_string(),
        };
        assert!(seen.starts_with(expected), "{without}: {seen}");
    }

    #[test]
    fn a_call_is_read_as_it_is_written_or_refused_by_name() {
        let pairs = call().pairs();
        let value =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, text)| text.as_str());
        assert_eq!(CallHeaders::parse(value).unwrap(), call());
        check_call(BODY, None, "Payload");
        check_call(BODY, Some("xml"), "header wholly-body is none of payload, envelope");
        for name in [GID, BRANCH, OP, OPERATION, TIMEOUT_MS, MARK] {
            check_call(name, None, &format!("header {name} is missing"));
        }
        check_call(OP, Some("Try"), "header wholly-op is none of try, confirm");
        check_call(TIMEOUT_MS, Some("1s"), "header wholly-timeout-ms invalid digit");
        check_call(GID, Some(""), "header wholly-gid is empty");
    }

    #[test]
    fn an_operation_has_a_path() {
        assert_eq!(call_path(&"stock.lock".parse().unwrap()), "/wholly/stock.lock");
    }
}

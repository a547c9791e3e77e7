//! Asking a participant as a coordinator would, and what counts as its answer.

use crate::complaint::chain;
use crate::http_client::{Ask, Unanswered};
use http::Uri;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wholly_core::branch::{Kept, Op};
use wholly_core::effect::Mark;
use wholly_core::ids::{BranchId, Gid, Operation};
use wholly_core::time::Timestamp;
use wholly_tls::Trust;
use wholly_wire::credential::{Credential, Secret};
use wholly_wire::headers::{self, ANSWER, AnswerHeader, AnswerWord, Asked, BodyKind, CallHeaders};
use wholly_wire::signature::{self, Validity};
use wholly_wire::words::Spelled;

/// Between two copies of a call that was not answered for certain.
const PAUSE: Duration = Duration::from_millis(50);

/// A participant and how long it may take.
#[derive(Clone, Debug)]
pub(crate) struct Participant {
    pub(crate) url: String,
    pub(crate) timeout: Duration,
    /// Whom it must prove to be, within TLS.
    pub(crate) trust: Arc<Trust>,
    /// How long a call is repeated while its answer is working or unknown.
    pub(crate) patience: Duration,
    /// What calls are signed with, where the participant asks for it.
    pub(crate) pen: Option<Pen>,
    /// How bodies are laid out.
    pub(crate) body: BodyKind,
}

/// A credential to sign with, and the name under which the coordinator calls the participant.
#[derive(Clone, Debug)]
pub(crate) struct Pen {
    pub(crate) credential: Credential,
    pub(crate) audience: String,
}

/// How a call is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// As the coordinator does.
    Right,
    /// Not at all.
    Unsigned,
    /// With another secret.
    Stranger,
    /// For another service.
    Elsewhere,
    /// An hour ago.
    Expired,
    /// In an hour.
    Early,
    /// For another op than the one that is asked.
    OtherOp,
    /// For another transaction.
    OtherGid,
    /// For another body.
    OtherBody,
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) gid: Gid,
    pub(crate) branch: BranchId,
    pub(crate) operation: Operation,
    pub(crate) op: Op,
    /// None where a play leaves it out.
    pub(crate) mark: Option<Mark>,
    pub(crate) payload: Value,
    pub(crate) hand: Hand,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    /// None where nothing is known.
    pub(crate) word: Option<AnswerWord>,
    /// Whether the same would be answered again.
    pub(crate) kept: Kept,
    /// The body.
    pub(crate) body: Value,
    /// Why nothing is known.
    why: String,
}

impl Came {
    /// A text of the body.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.body.get(key).and_then(Value::as_str)
    }

    /// In words, for the report.
    pub(crate) fn words(&self) -> String {
        let body = match self.body.is_null() {
            true => String::new(),
            false => format!(" {}", self.body),
        };
        match self.word {
            Some(AnswerWord::Done) => format!("done{body}"),
            Some(AnswerWord::Refused) => format!("refused{body}"),
            Some(AnswerWord::Working) => "working".into(),
            None => format!("no answer ({})", self.why),
        }
    }

    fn unknown(why: impl Into<String>) -> Came {
        Came { word: None, kept: Kept::NotKept, body: Value::Null, why: why.into() }
    }
}

impl Participant {
    /// Sends a call, again while its answer is not certain and there is patience.
    pub(crate) async fn ask(&self, call: &Call) -> Came {
        let began = Instant::now();
        loop {
            let came = self.ask_once(call).await;
            let certain = matches!(came.word, Some(AnswerWord::Done | AnswerWord::Refused));
            if certain || began.elapsed() > self.patience {
                return came;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends a call once.
    pub(crate) async fn ask_once(&self, call: &Call) -> Came {
        match self.request(call).send().await {
            Ok(reply) => {
                let header = reply.headers.get(ANSWER).and_then(|value| value.to_str().ok());
                read(call, reply.status.as_u16(), header, reply.body)
            }
            Err(error) => Came::unknown(chain(&error)),
        }
    }

    /// Sends a call and goes away before it can be answered.
    pub(crate) async fn abandon(&self, call: &Call) -> Result<(), Unanswered> {
        self.request(call).abandon().await
    }

    fn request(&self, call: &Call) -> Ask {
        let url =
            format!("{}{}", self.url.trim_end_matches('/'), headers::call_path(&call.operation));
        let asked = Asked {
            gid: call.gid.clone(),
            branch: call.branch.clone(),
            operation: call.operation.clone(),
            op: call.op,
        };
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let origin = "unmarked".parse().expect("a name");
        let unmarked = Mark { origin, begun: Timestamp(0), limit: Timestamp(0) };
        let mark = call.mark.clone().unwrap_or(unmarked);
        let body = self.body(call);
        let spelled = CallHeaders { asked, timeout_ms, mark, body: self.body };
        let is_marked = call.mark.is_some();
        let mut pairs = spelled.pairs();
        pairs.retain(|(name, _)| is_marked || *name != headers::MARK);
        if let Some(pen) = &self.pen {
            pen.sign(&url, call, (&body, timeout_ms), &mut pairs);
        }
        let ask = Ask::post(url, body).within(self.timeout);
        ask.with(pairs.into_iter()).trusting(&self.trust)
    }

    fn body(&self, call: &Call) -> Value {
        match self.body {
            BodyKind::Payload => call.payload.clone(),
            BodyKind::Envelope => json!({ "payload": call.payload, "reply": null, "replies": {} }),
        }
    }
}

/// Names and values of headers.
type Pairs = Vec<(&'static str, String)>;

impl Pen {
    /// Adds what a signed call carries besides. One without a mark cannot be signed, for the mark
    /// is covered: it is signed as if it had an empty one.
    fn sign(&self, url: &str, call: &Call, sent: (&Value, u64), pairs: &mut Pairs) {
        const HOUR: u64 = 3_600;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (mut audience, mut at, mut body) = (self.audience.clone(), now, sent.0.to_string());
        let mut signed = pairs.clone();
        let mut sign_instead = |name: &str, text: String| {
            for (known, value) in &mut signed {
                if *known == name {
                    value.clone_from(&text);
                }
            }
        };
        let mut key = self.credential.secrets().first().signing_key();
        match call.hand {
            Hand::Right => {}
            Hand::Unsigned => return,
            Hand::Stranger => {
                let other = Secret::new(&"stranger".repeat(8)).expect("it is long enough");
                key = other.signing_key();
            }
            Hand::Elsewhere => audience.push_str("-elsewhere"),
            Hand::Expired => at = now.saturating_sub(HOUR),
            Hand::Early => at = now + HOUR,
            Hand::OtherOp => {
                let other = if call.op == Op::Inspect { Op::Cancel } else { Op::Inspect };
                sign_instead(headers::OP, other.spell().to_owned());
            }
            Hand::OtherGid => sign_instead(headers::GID, format!("{}-2", call.gid)),
            Hand::OtherBody => body.push(' '),
        }
        let path = url.parse::<Uri>().map(|uri| uri.path().to_owned()).unwrap_or_default();
        let more = [
            (headers::AUDIENCE, audience),
            (headers::CONTENT_DIGEST, signature::content_digest(body.as_bytes())),
        ];
        signed.extend(more.clone());
        pairs.extend(more);
        let validity = Validity::of_call(at, sent.1);
        let made = key.sign(self.credential.id().as_str(), validity, |name| match name {
            signature::METHOD => Some("POST".into()),
            signature::PATH => Some(Cow::from(path.as_str())),
            headers::MARK => Some(text_of(&signed, headers::MARK).unwrap_or_default().into()),
            header => text_of(&signed, header).map(Cow::from),
        });
        pairs.push((headers::SIGNATURE_INPUT, made.input));
        pairs.push((headers::SIGNATURE, made.signature));
    }
}

fn text_of<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
}

/// Done and refused count only with the echo, and with a status that says the same.
fn read(call: &Call, status: u16, header: Option<&str>, body: Value) -> Came {
    let Some(header) = header else {
        return Came::unknown(format!("status {status} without the header {ANSWER}"));
    };
    let answer = match AnswerHeader::parse(header) {
        Ok(answer) => answer,
        Err(error) => return Came::unknown(error.to_string()),
    };
    let Asked { gid, branch, operation, op } = &answer.asked;
    let echoes =
        (gid, branch, operation, *op) == (&call.gid, &call.branch, &call.operation, call.op);
    if !echoes {
        return Came::unknown(format!("the header {ANSWER} answers another call: {header}"));
    }
    let agrees = match answer.word {
        AnswerWord::Done => (200..300).contains(&status),
        AnswerWord::Refused => status == 409,
        AnswerWord::Working => status == 425,
    };
    match agrees {
        true => Came { word: Some(answer.word), kept: answer.kept, body, why: String::new() },
        false => Came::unknown(format!("status {status} does not go with {header}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_with_its_echo_and_its_status() {
        let call = Call {
            gid: "g".parse().unwrap(),
            branch: "b".parse().unwrap(),
            operation: "o".parse().unwrap(),
            op: Op::Try,
            mark: None,
            payload: Value::Null,
            hand: Hand::Right,
        };
        let check = |status: u16, header: Option<&str>, expected: &str| {
            let words = read(&call, status, header, Value::Null).words();
            assert!(words.contains(expected), "{status} {header:?}: {words}");
        };
        let echo = "gid=g;branch=b;operation=o;op=try";
        check(200, Some(&format!("done;{echo}")), "done");
        check(204, Some(&format!("done;{echo};kept")), "done");
        check(409, Some(&format!("refused;{echo}")), "refused");
        check(425, Some(&format!("working;{echo}")), "working");
        check(200, None, "without the header");
        check(409, Some(&format!("done;{echo}")), "does not go with");
        check(200, Some(&format!("refused;{echo}")), "does not go with");
        check(200, Some("done;gid=h;branch=b;operation=o;op=try"), "another call");
        check(200, Some("yes"), "begins with none");
    }
}

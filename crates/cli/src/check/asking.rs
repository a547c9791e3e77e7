//! Asking a participant as a coordinator would, and what counts as its answer.

use crate::complaint::chain;
use crate::http_client::{Ask, Unanswered};
use serde_json::Value;
use std::time::{Duration, Instant};
use wholly_core::branch::{Kept, Op};
use wholly_core::effect::Mark;
use wholly_core::ids::{BranchId, Gid, Operation};
use wholly_core::time::Timestamp;
use wholly_wire::headers::{self, ANSWER, AnswerHeader, AnswerWord, Asked, BodyKind, CallHeaders};

/// Between two copies of a call that was not answered for certain.
const PAUSE: Duration = Duration::from_millis(50);

/// A participant and how long it may take.
#[derive(Clone, Debug)]
pub(crate) struct Participant {
    pub(crate) url: String,
    pub(crate) timeout: Duration,
    /// How long a call is repeated while its answer is working or unknown.
    pub(crate) patience: Duration,
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
        let body = match &self.body {
            Value::Null => String::new(),
            body => format!(" {body}"),
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
        let spelled = CallHeaders { asked, timeout_ms, mark, body: BodyKind::Payload };
        let is_marked = call.mark.is_some();
        let pairs = spelled.pairs().into_iter();
        let pairs = pairs.filter(|(name, _)| is_marked || *name != headers::MARK);
        Ask::post(url, call.payload.clone()).within(self.timeout).with(pairs)
    }
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

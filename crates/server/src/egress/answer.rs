//! What counts as an answer: done and refused only with proof, all else is unknown.

use super::connection::Seen;
use super::destinations::{Answers, Replies, Rule};
use http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use wholly_core::branch::{Answer, Kept, Refusal};
use wholly_core::effect::Call;
use wholly_core::ids::{Body, Code, Text};
use wholly_wire::headers::{ANSWER, AnswerWord, Echo};
use wholly_wire::v1;

/// The code of a refusal that gives none.
const CODE_DEFAULT: &str = "refused";

/// Judges a whole answer to a call.
pub(super) fn judge(call: &Call, rule: &Rule, seen: &Seen) -> Answer {
    let judged = match rule.answers {
        Answers::Wholly => judge_wholly(call, rule, seen),
        Answers::Plain => judge_plain(rule, seen),
    };
    judged.unwrap_or_else(|detail| Answer::Unknown { detail: Text::cut(&detail) })
}

/// By the header, which must echo what was asked and agree with the status: a proxy's default
/// page, or an answer that belongs to another call, proves nothing.
fn judge_wholly(call: &Call, rule: &Rule, seen: &Seen) -> Result<Answer, String> {
    let status = seen.head.status;
    // Of two, one is a stranger's, and nothing says which.
    let mut headers = seen.head.headers.get_all(ANSWER).iter();
    let header = match (headers.next(), headers.next()) {
        (Some(header), None) => header,
        (Some(_), Some(_)) => return Err(format!("header {ANSWER} stands twice")),
        (None, _) => {
            let (code, hint) = (status.as_u16(), hint(status));
            return Err(format!("status {code}{hint} without header {ANSWER}"));
        }
    };
    let text = header.to_str().map_err(|_| format!("header {ANSWER} is not ASCII"))?;
    let Call { gid, branch, operation, op, .. } = call;
    let answer = Echo { gid, branch, operation, op: *op }.judge(status.as_u16(), text)?;
    let kept = keeps(rule, answer.kept);
    match answer.word {
        AnswerWord::Done if is_json(&seen.body) => {
            Ok(Answer::Done { reply: followed(Body::new(&seen.body))?, kept })
        }
        AnswerWord::Done => Err("done with a body that is not JSON".to_owned()),
        AnswerWord::Refused => Ok(Answer::Refused(refusal(seen, kept))),
        AnswerWord::Working => Ok(Answer::Working),
    }
}

fn judge_plain(rule: &Rule, seen: &Seen) -> Result<Answer, String> {
    let status = seen.head.status;
    let kept = keeps(rule, Kept::NotKept);
    match status {
        StatusCode::CONFLICT => Ok(Answer::Refused(refusal(seen, kept))),
        StatusCode::TOO_EARLY => Ok(Answer::Working),
        success if success.is_success() => {
            Ok(Answer::Done { reply: followed(plain_reply(seen))?, kept })
        }
        other => Err(format!("status {}{}", other.as_u16(), hint(other))),
    }
}

/// What a status probably says of how this coordinator and the participant are configured.
fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => " (it does not believe who calls; its log says why)",
        redirection if redirection.is_redirection() => " (redirects are not followed)",
        _no_other_status_says_more => "",
    }
}

fn keeps(rule: &Rule, said: Kept) -> Kept {
    match rule.replies {
        Replies::Kept => Kept::Kept,
        Replies::NotKept => said,
    }
}

/// A parser that passes over a text does not look whether it is UTF-8; whoever reads it will.
fn is_json(body: &[u8]) -> bool {
    let is_value = |text| serde_json::from_str::<IgnoredAny>(text).is_ok();
    body.is_empty() || str::from_utf8(body).is_ok_and(is_value)
}

/// A reply that those it is handed on to can parse, as they can a payload.
fn followed(reply: Body) -> Result<Body, String> {
    match v1::is_too_deep(reply.as_bytes()) {
        false => Ok(reply),
        true => Err(format!("done with a body nested deeper than {}", v1::NESTING_MAX)),
    }
}

/// A reply that is no JSON is kept as a JSON string where it is text, else as nothing.
fn plain_reply(seen: &Seen) -> Body {
    if is_json(&seen.body) {
        return Body::new(&seen.body);
    }
    let text = std::str::from_utf8(&seen.body).ok();
    let quoted = text.and_then(|text| serde_json::to_vec(text).ok());
    quoted.map(|bytes| Body::new(&bytes)).unwrap_or_default()
}

/// The reason as the participant gives it; a refusal without one that can be read stands all the
/// same.
fn refusal(seen: &Seen, kept: Kept) -> Refusal {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        code: Option<String>,
        detail: Option<String>,
    }
    let said: Said = serde_json::from_slice(&seen.body).unwrap_or_default();
    let default = || Code::new(CODE_DEFAULT).expect("the default code is a code");
    let code = said.code.as_deref().and_then(|code| Code::new(code).ok()).unwrap_or_else(default);
    Refusal { code, detail: Text::cut(said.detail.as_deref().unwrap_or_default()), kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use wholly_core::branch::Op;
    use wholly_core::effect::{Mark, Proof};
    use wholly_core::ids::{CallId, Origin};
    use wholly_core::time::Timestamp;

    const ECHO: &str = "gid=g;branch=b;operation=stock.lock;op=try";

    fn call() -> Call {
        Call {
            id: CallId(1),
            gid: "g".parse().unwrap(),
            branch: "b".parse().unwrap(),
            destination: "stock".parse().unwrap(),
            operation: "stock.lock".parse().unwrap(),
            op: Op::Try,
            payload: Body::default(),
            replies: Vec::new(),
            reply: None,
            mark: Mark {
                origin: Origin::new("o").unwrap(),
                begun: Timestamp(2),
                limit: Timestamp(1),
            },
            timeout_ms: 1_000,
            attempt: 1,
            proof: Proof::default(),
        }
    }

    /// An answer in a line, as the cases below spell it.
    fn spell(answer: &Answer) -> String {
        let kept = |kept: &Kept| match kept {
            Kept::Kept => " kept",
            Kept::NotKept => "",
        };
        match answer {
            Answer::Done { reply, kept: k } => {
                format!("done {}{}", String::from_utf8_lossy(reply.as_bytes()), kept(k))
            }
            Answer::Refused(refusal) => format!(
                "refused {} {:?}{}",
                refusal.code,
                refusal.detail.as_str(),
                kept(&refusal.kept)
            ),
            Answer::Working => "working".to_owned(),
            Answer::Unknown { detail } => format!("unknown: {}", detail.as_str()),
        }
    }

    fn check(rule: &Rule, status: u16, headers: &[&str], body: &[u8], expected: &str) {
        let mut response = http::Response::builder().status(status);
        for header in headers {
            response = response.header(ANSWER, header.replace('@', ECHO));
        }
        let (head, ()) = response.body(()).unwrap().into_parts();
        let seen = Seen { head, body: Bytes::copy_from_slice(body) };
        let answer = spell(&judge(&call(), rule, &seen));
        assert_eq!(answer, expected, "{status} {headers:?} {}", String::from_utf8_lossy(body));
    }

    #[test]
    fn only_the_echo_of_the_call_is_an_answer() {
        let rule = Rule::new("http://stock");
        let check = |status, header: &str, body: &str, expected: &str| {
            check(&rule, status, &[header], body.as_bytes(), expected);
        };
        check(200, "done;@", "{\"a\":1}", "done {\"a\":1}");
        check(200, "done;@;kept", "7", "done 7 kept");
        check(204, "done;@", "", "done ");
        check(409, "refused;@;kept", r#"{"code":"c","detail":"d"}"#, "refused c \"d\" kept");
        check(409, "refused;@", "", "refused refused \"\"");
        check(409, "refused;@", r#"{"code":"no code","detail":"d"}"#, "refused refused \"d\"");
        check(425, "working;@", "", "working");
        let other = "unknown: header wholly-answer answers another call: done;";
        for echo in [
            "gid=h;branch=b;operation=stock.lock;op=try",
            "gid=g;branch=c;operation=stock.lock;op=try",
            "gid=g;branch=b;operation=stock.free;op=try",
            "gid=g;branch=b;operation=stock.lock;op=confirm",
        ] {
            check(200, &format!("done;{echo}"), "", &format!("{other}{echo}"));
        }
        let differs = "unknown: header wholly-answer says";
        check(500, "done;@", "", &format!("{differs} done, but the status is 500"));
        check(409, "done;@", "", &format!("{differs} done, but the status is 409"));
        check(200, "refused;@", "", &format!("{differs} refused, but the status is 200"));
        check(200, "working;@", "", &format!("{differs} working, but the status is 200"));
        check(200, "done;@", "<html>", "unknown: done with a body that is not JSON");
        check(200, "done;@", "{\"a\":1", "unknown: done with a body that is not JSON");
    }

    /// Kept, it could not be handed on: a compensation would never leave.
    #[test]
    fn a_reply_is_utf8_throughout() {
        let rule = Rule::new("http://stock");
        let not_json = "unknown: done with a body that is not JSON";
        check(&rule, 200, &["done;@"], b"\"\xff\"", not_json);
        check(&rule, 200, &["done;@"], b"{\"a\xc3\":[\"\xed\xa0\x80\"]}", not_json);
        let plain = Rule { answers: Answers::Plain, ..Rule::new("http://stock") };
        check(&plain, 200, &[], b"\"\xff\"", "done ");
    }

    #[test]
    fn without_the_header_nothing_is_known() {
        let rule = Rule::new("http://stock");
        let missing = "without header wholly-answer";
        check(&rule, 200, &[], b"{}", &format!("unknown: status 200 {missing}"));
        check(&rule, 409, &[], b"{}", &format!("unknown: status 409 {missing}"));
        check(&rule, 404, &[], b"{}", &format!("unknown: status 404 {missing}"));
        let redirect = "(redirects are not followed)";
        check(&rule, 302, &[], b"", &format!("unknown: status 302 {redirect} {missing}"));
        let stranger = "(it does not believe who calls; its log says why)";
        check(&rule, 401, &[], b"", &format!("unknown: status 401 {stranger} {missing}"));
    }

    #[test]
    fn of_two_answers_none_is_believed() {
        let rule = Rule::new("http://stock");
        let twice = "unknown: header wholly-answer stands twice";
        check(&rule, 200, &["done;@", "done;@"], b"", twice);
        check(&rule, 409, &["refused;@", "done;gid=h;branch=b;operation=o;op=try"], b"", twice);
    }

    #[test]
    fn a_reply_is_nested_no_deeper_than_a_payload_may_be() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let deeper = "unknown: done with a body nested deeper than 64";
        let rule = Rule::new("http://stock");
        let plain = Rule { answers: Answers::Plain, ..Rule::new("http://stock") };
        for (rule, headers) in [(&rule, &["done;@"][..]), (&plain, &[])] {
            check(rule, 200, headers, nested(64).as_bytes(), &format!("done {}", nested(64)));
            check(rule, 200, headers, nested(65).as_bytes(), deeper);
            check(rule, 200, headers, nested(100_000).as_bytes(), deeper);
        }
    }

    #[test]
    fn a_plain_destination_answers_by_its_status() {
        let rule = Rule { answers: Answers::Plain, ..Rule::new("http://stock") };
        let check = |status, body: &[u8], expected: &str| check(&rule, status, &[], body, expected);
        check(200, b"{\"a\":1}", "done {\"a\":1}");
        check(201, b"", "done ");
        check(200, b"ok", "done \"ok\"");
        check(200, b"\xff\xfe", "done ");
        check(409, br#"{"detail":"no"}"#, "refused refused \"no\"");
        check(425, b"", "working");
        check(302, b"", "unknown: status 302 (redirects are not followed)");
        check(400, b"", "unknown: status 400");
        check(500, b"{}", "unknown: status 500");
    }

    #[test]
    fn a_destination_may_keep_all_its_replies() {
        let kept = Rule { replies: Replies::Kept, ..Rule::new("http://stock") };
        check(&kept, 200, &["done;@"], b"1", "done 1 kept");
        let plain = Rule { answers: Answers::Plain, ..kept };
        check(&plain, 200, &[], b"1", "done 1 kept");
        check(&plain, 409, &[], b"", "refused refused \"\" kept");
    }
}

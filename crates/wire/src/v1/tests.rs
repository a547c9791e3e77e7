//! Golden examples of v1, and what a wrong request hears.

use super::request::{Begin, Branch, Commit, Step, Submit};
use super::*;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use wholly_core::branch::{
    Answer, BranchSpec, Caller, Direction, First, Kept, Mode, Op, Refusal, Resolution, Second,
    Share, Standing, StuckReason,
};
use wholly_core::document::{Document, TryAnswer};
use wholly_core::ids::{Body, BranchIndex, Text};
use wholly_core::input::Action;
use wholly_core::record::{Begun, Cause, Decision, Fact, Outcome, PhaseName, Record, Start};
use wholly_core::time::Timestamp;

const BEGIN: &str = r#"{"name":"place-order","gid":"order-1","timeout_ms":30000,"branches":[
    {"branch":"stock","mode":"tcc","to":"stock","operation":"stock.lock","payload":{"sku": 1}}]}"#;

const PLAN: &str = r#"{"name":"place-order","steps":[
    {"branch":"order","to":"orders","operation":"order.create","payload":{"sku":1}},
    {"branch":"stock","to":"stock","operation":"stock.lock-now","payload":null,
     "after":["order"],"reads":["order"],"forward":false}]}"#;

const BRANCH: &str = r#"{"branch":"stock","mode":"tcc","to":"stock","operation":"stock.lock",
    "payload":[1, 2],"call":true}"#;

/// Reads a body as the kind says and shows what the asker hears.
fn hear(kind: &str, body: &str) -> String {
    let bytes = body.as_bytes();
    let heard = match kind {
        "begin" => read_begin(bytes).map(|_| ()),
        "submit" => read_submit(bytes).map(|_| ()),
        "branch" => read_branch(bytes).map(|_| ()),
        "commit" => read_commit(bytes).map(|_| ()),
        "abort" => read_abort(bytes).map(|_| ()),
        "retry" => read_operation(Operation::Retry, bytes).map(|_| ()),
        "park" => read_operation(Operation::Park, bytes).map(|_| ()),
        "resolve" => read_operation(Operation::Resolve, bytes).map(|_| ()),
        other => panic!("no kind {other}"),
    };
    match heard {
        Ok(()) => "taken".to_string(),
        Err(rejection) => format!("{}: {rejection}", rejection.code()),
    }
}

fn check(kind: &str, body: &str, expected: &str) {
    let heard = hear(kind, body);
    assert!(heard.starts_with(expected), "{kind} {body:.200}: {heard}");
}

#[test]
fn what_is_right_is_taken() {
    check("begin", BEGIN, "taken");
    check("begin", r#"{"name":"n"}"#, "taken");
    check("begin", r#"{"name":"n","gid":null,"timeout_ms":null}"#, "taken");
    check("submit", PLAN, "taken");
    check("branch", BRANCH, "taken");
    check("commit", "", "taken");
    check("commit", " \r\n", "taken");
    check("commit", r#"{"tried":["a"],"refused":["b"]}"#, "taken");
    check("abort", "", "taken");
    check("abort", r#"{"reason":"out of stock","branch":"stock"}"#, "taken");
    check("retry", r#"{"reason":"row restored"}"#, "taken");
    check("resolve", r#"{"reason":"r","branch":"b","resolution":"not_applied"}"#, "taken");
}

#[test]
fn a_list_is_no_object() {
    check("begin", r#"["n"]"#, "field_invalid: the body must be a JSON object");
    check("commit", "[[],[]]", "field_invalid: the body must be a JSON object");
    let branches = r#"{"name":"n","branches":[["b","tcc","stock","o"]]}"#;
    check("begin", branches, "field_invalid: branches[0] must be a JSON object");
    let steps = r#"{"name":"n","steps":[["b","stock","o"]]}"#;
    check("submit", steps, "field_invalid: steps[0] must be a JSON object");
}

#[test]
fn what_is_no_json_is_told_where() {
    check("begin", "{", "malformed_json: the body is not JSON: EOF while parsing");
    check("begin", "name=n", "malformed_json: the body is not JSON: expected");
    check("begin", "{\"name\":\"n\"}}", "malformed_json: the body is not JSON: trailing");
    check("begin", "\u{feff}{}", "malformed_json");
    check("begin", r#"{"name":"a","name":"b"}"#, "malformed_json: the body is not JSON: duplicate");
    check("begin", &"[".repeat(100_000), "malformed_json: the body is not JSON: recursion limit");
    check("begin", &format!("{{\"name\":{}", "[".repeat(100_000)), "malformed_json");
    check("begin", "[]", "field_invalid: the body must be a JSON object");
    check("begin", "null", "field_invalid: the body must be a JSON object");
    assert_eq!(read_begin(b"{\"name\":\"\xff\"}").unwrap_err().code(), "malformed_json");
}

#[test]
fn fields_are_named_with_their_places() {
    check("begin", r#"{"nam":"n"}"#, "unknown_field: there is no nam; did you mean name?");
    check("begin", r#"{"name":"n","color":1}"#, "unknown_field: there is no color; leave it out");
    check("begin", "{}", "field_missing: name is missing; add it");
    check("begin", r#"{"name":5}"#, "field_invalid: name must be a string");
    check("begin", r#"{"name":""}"#, "field_invalid: name is empty");
    check("begin", r#"{"name":"a b"}"#, "field_invalid: name has a character at byte 1");
    check("begin", r#"{"name":"n","gid":"../x"}"#, "field_invalid: gid has a character at byte 0");
    check("begin", r#"{"name":"n","gid":"a\u0000b"}"#, "field_invalid: gid has a character at");
    check("begin", r#"{"name":"n","gid":"größe"}"#, "field_invalid: gid has a character at byte 2");
    let long = format!(r#"{{"name":"{}"}}"#, "n".repeat(129));
    check("begin", &long, "field_invalid: name is longer than 128 bytes");
    check("begin", r#"{"name":"n","timeout_ms":-1}"#, "field_invalid: timeout_ms must be an int");
    check("begin", r#"{"name":"n","timeout_ms":1.5}"#, "field_invalid: timeout_ms must be an int");
    check(
        "begin",
        r#"{"name":"n","branches":{}}"#,
        "field_invalid: branches must be a list of obj",
    );
    check("begin", r#"{"name":"n","branches":null}"#, "field_invalid: branches must be a list");
    let bad = BEGIN.replace("\"to\"", "\"too\"");
    check("begin", &bad, "unknown_field: there is no branches[0].too; did you mean to?");
    let bad = BEGIN.replace("tcc", "xa");
    check("begin", &bad, "field_invalid: branches[0].mode is none of tcc, saga");
    let bad = PLAN.replace("\"forward\":false", "\"forward\":\"no\"");
    check("submit", &bad, "field_invalid: steps[1].forward must be true or false");
    let bad = PLAN.replace("\"after\":[\"order\"]", "\"after\":[\"order\",\"\"]");
    check("submit", &bad, "field_invalid: steps[1].after[1] is empty");
    let bad = PLAN.replace("\"after\":[\"order\"]", "\"after\":\"order\"");
    check("submit", &bad, "field_invalid: steps[1].after must be a list of strings");
    check("submit", r#"{"name":"n"}"#, "field_missing: steps is missing");
    check("submit", r#"{"name":"n","steps":[1]}"#, "field_invalid: steps[0] must be a JSON object");
    let bad = BRANCH.replace("stock.lock", "stock/lock");
    check("branch", &bad, "field_invalid: operation has a character at byte 5");
    let bad = BRANCH.replace("[1, 2]", &format!("{}{}", "[".repeat(65), "]".repeat(65)));
    check("branch", &bad, "field_invalid: payload is nested deeper than 64 levels; flatten it");
    check("commit", r#"{"tried":["a",""]}"#, "field_invalid: tried[1] is empty");
    check("commit", r#"{"tries":[]}"#, "unknown_field: there is no tries; did you mean tried?");
    let long = format!(r#"{{"reason":"{}"}}"#, "r".repeat(1_025));
    check("abort", &long, "field_invalid: reason is longer than 1024 bytes");
}

#[test]
fn an_operator_says_why() {
    check("park", "", "field_missing: reason is missing; add it");
    check("park", r#"{"reason":" "}"#, "field_invalid: reason is empty; say why");
    check(
        "resolve",
        r#"{"reason":"r","branch":"b","resolution":"yes"}"#,
        "field_invalid: resolution is none of applied, not_applied, unknown",
    );
    let (action, reason) =
        read_operation(Operation::Retry, br#"{"reason":" back ","branch":"stock"}"#).unwrap();
    assert_eq!(action, Action::Retry { branch: Some("stock".parse().unwrap()) });
    assert_eq!(reason.as_str(), "back");
    let (action, _) = read_operation(Operation::Abort, br#"{"reason":"r"}"#).unwrap();
    assert_eq!(action, Action::Abort);
}

#[test]
fn requests_become_the_words_of_core() {
    let opening = read_begin(BEGIN.as_bytes()).unwrap();
    assert_eq!(opening.gid.unwrap().as_str(), "order-1");
    assert_eq!(opening.timeout_ms, Some(30_000));
    assert_eq!(opening.branches[0].payload.as_bytes(), b"{\"sku\":1}");
    assert_eq!(opening.branches[0].caller, Caller::Initiator);
    let spec = read_branch(BRANCH.as_bytes()).unwrap();
    assert_eq!((spec.mode, spec.caller), (Mode::Tcc, Caller::Coordinator));
    assert_eq!(spec.payload.as_bytes(), b"[1,2]");
    let plan = read_submit(PLAN.as_bytes()).unwrap();
    assert_eq!(plan.steps[1].after, plan.steps[1].reads);
    assert_eq!(plan.steps[1].payload.as_bytes(), b"null");
    assert_eq!(plan.steps[1].direction, Direction::Reversible);
}

fn plan_digest(text: &str) -> [u8; 32] {
    read_submit(text.as_bytes()).unwrap().digest.0
}

#[test]
fn the_same_plan_has_the_same_digest_however_it_is_written() {
    let digest = plan_digest(PLAN);
    for same in [
        PLAN.replace('\n', "").replace(": ", ":"),
        PLAN.replace("\"payload\":null,", ""),
        PLAN.replace(",\"forward\":false", ""),
        PLAN.replace("\"after\":[\"order\"]", "\"after\":[\"order\",\"order\"]"),
        PLAN.replace("place-order", "place\\u002dorder"),
        PLAN.replace("{\"sku\":1}", "{ \"sku\" : 1 }"),
    ] {
        assert_eq!(plan_digest(&same), digest, "{same}");
    }
    for other in [
        PLAN.replace("place-order", "place-orders"),
        PLAN.replace("\"steps\"", "\"timeout_ms\":1,\"steps\""),
        PLAN.replace("{\"sku\":1}", "{\"sku\":2}"),
        PLAN.replace("\"reads\":[\"order\"],", ""),
        PLAN.replace("\"forward\":false", "\"forward\":true"),
        PLAN.replace("\"to\":\"stock\"", "\"to\":\"stocks\""),
    ] {
        assert_ne!(plan_digest(&other), digest, "{other}");
    }
}

#[test]
fn a_begin_with_another_body_has_another_digest() {
    let digest = |text: &str| read_begin(text.as_bytes()).unwrap().digest;
    assert_eq!(digest(BEGIN), digest(&BEGIN.replace("{\"sku\": 1}", "{\"sku\":1}")));
    for other in [
        BEGIN.replace("\"gid\":\"order-1\",", ""),
        BEGIN.replace("30000", "30001"),
        BEGIN.replace("tcc", "saga"),
        BEGIN.replace("\"payload\"", "\"call\":true,\"payload\""),
    ] {
        assert_ne!(digest(BEGIN), digest(&other), "{other}");
    }
}

#[test]
fn a_client_writes_what_the_coordinator_reads() {
    let payload: Box<RawValue> = to_raw_value(&json!({"sku": 1})).unwrap();
    let step = Step {
        branch: "order".into(),
        to: "orders".into(),
        operation: "order.create".into(),
        payload: Some(&payload),
        after: Vec::new(),
        reads: Vec::new(),
        forward: false,
    };
    let stock = Step {
        branch: "stock".into(),
        to: "stock".into(),
        operation: "stock.lock-now".into(),
        payload: None,
        after: vec!["order".into()],
        reads: vec!["order".into()],
        forward: false,
    };
    let submit = Submit { name: "place-order".into(), timeout_ms: None, steps: vec![step, stock] };
    let text = serde_json::to_string(&submit).unwrap();
    assert_eq!(plan_digest(&text), plan_digest(PLAN), "{text}");
    let branch = Branch {
        branch: "stock".into(),
        mode: "tcc".into(),
        to: "stock".into(),
        operation: "stock.lock".into(),
        payload: Some(&payload),
        call: false,
    };
    let begin = Begin {
        name: "place-order".into(),
        gid: Some("order-1".into()),
        timeout_ms: Some(30_000),
        branches: vec![branch],
    };
    let text = serde_json::to_string(&begin).unwrap();
    assert_eq!(read_begin(text.as_bytes()), read_begin(BEGIN.as_bytes()), "{text}");
    let commit = Commit { tried: vec!["a".into()], refused: Vec::new() };
    assert_eq!(serde_json::to_string(&commit).unwrap(), r#"{"tried":["a"]}"#);
}

fn spec(name: &str, mode: Mode) -> BranchSpec {
    BranchSpec {
        id: name.parse().unwrap(),
        mode,
        destination: name.parse().unwrap(),
        operation: format!("{name}.do").parse().unwrap(),
        payload: Body::new(b"{}"),
        caller: Caller::Coordinator,
        after: Vec::new(),
        reads: Vec::new(),
        direction: Direction::Reversible,
    }
}

fn refusal(kept: Kept) -> Refusal {
    Refusal { code: "out_of_stock".parse().unwrap(), detail: Text::new("none left").unwrap(), kept }
}

fn document() -> Document {
    let mut orders = wholly_core::branch::Branch::new(spec("orders", Mode::Saga));
    orders.first = First::Done { reply: Body::new(b"{\"id\":7}"), kept: Kept::Kept };
    orders.second = Second::Done;
    let mut stock = wholly_core::branch::Branch::new(spec("stock", Mode::Tcc));
    stock.first = First::Refused(refusal(Kept::NotKept));
    stock.spec.after = vec![BranchIndex(0)];
    stock.standing =
        Standing::Stuck(StuckReason::Refused { op: Op::Cancel, refusal: refusal(Kept::Kept) });
    Document {
        gid: "order-1".parse().unwrap(),
        name: "place-order".parse().unwrap(),
        principal: "anonymous".parse().unwrap(),
        begun: Timestamp(0),
        changed: Timestamp(1_500),
        state: PhaseName::Finishing,
        deadline: None,
        decision: Some(Decision::Abort),
        cause: Some(Cause::Refusal),
        cause_branch: Some("stock".parse().unwrap()),
        reason: Text::new("sold out").unwrap(),
        outcome: None,
        parked: true,
        branches: vec![orders, stock],
    }
}

#[test]
fn a_document_is_written_as_the_usage_page_says() {
    let document = document();
    let seen = serde_json::to_value(transaction(&document)).unwrap();
    let expected = json!({
        "gid": "order-1", "name": "place-order", "principal": "anonymous",
        "state": "finishing", "decision": "abort", "outcome": null, "cause": "refusal",
        "cause_branch": "stock", "reason": "sold out", "parked": true, "stuck": 1,
        "begun": "1970-01-01T00:00:00.000Z", "changed": "1970-01-01T00:00:01.500Z",
        "deadline": null,
        "branches": [
            {"branch": "orders", "mode": "saga", "to": "orders", "operation": "orders.do",
             "state": "compensated", "reply": {"id": 7}},
            {"branch": "stock", "mode": "tcc", "to": "stock", "operation": "stock.do",
             "state": "refused", "after": ["orders"],
             "refusal": {"code": "out_of_stock", "detail": "none left", "kept": false},
             "stuck": {"why": "refused", "op": "cancel",
                       "refusal": {"code": "out_of_stock", "detail": "none left", "kept": true}}},
        ],
    });
    assert_eq!(seen, expected);
    let capability = serde_json::to_value(submitted(&document, "1.x")).unwrap();
    assert_eq!(capability["capability"], "1.x");
}

#[test]
fn a_client_reads_documents_of_a_later_release() {
    let mut seen = serde_json::to_value(transaction(&document())).unwrap();
    seen["state"] = Value::from("pondering");
    seen["decision"] = Value::from("postpone");
    seen["mood"] = Value::from("good");
    seen["branches"][0]["state"] = Value::from("floating");
    let read: answer::Transaction<'static> = serde_json::from_str(&seen.to_string()).unwrap();
    assert_eq!((read.decided(), read.ended()), (None, None));
    assert_eq!(read.state.as_str(), "pondering");
    assert_eq!(read.branches[0].state.known(), None);
    assert_eq!(read.branches[0].reply.as_ref().unwrap().get(), "{\"id\":7}");
}

#[test]
fn an_end_is_final_only_when_all_of_it_is_known() {
    let ended = Document { state: PhaseName::Ended, outcome: Some(Outcome::Mixed), ..document() };
    let read = transaction(&ended);
    assert_eq!(read.ended(), Some((Decision::Abort, Outcome::Mixed)));
    assert_eq!(transaction(&document()).ended(), None);
}

fn check_state(first: First, second: Second, share: Share, expected: [&str; 4]) {
    let modes = [Mode::Tcc, Mode::Saga];
    let decisions = [Decision::Commit, Decision::Abort];
    let cases = modes.iter().flat_map(|mode| decisions.iter().map(move |d| (*mode, *d)));
    for ((mode, decision), expected) in cases.zip(expected) {
        let mut document = document();
        let mut branch = wholly_core::branch::Branch::new(spec("b", mode));
        (branch.first, branch.second, branch.share) = (first.clone(), second.clone(), share);
        (document.branches, document.decision) = (vec![branch], Some(decision));
        let seen = transaction(&document).branches[0].state.as_str().to_string();
        assert_eq!(seen, expected, "{mode:?} {decision:?} {first:?} {second:?} {share:?}");
    }
}

#[test]
fn a_branch_has_one_word_for_how_far_it_is() {
    let done = First::Done { reply: Body::default(), kept: Kept::Kept };
    let resolved = Second::Resolved(Resolution::Applied);
    let seen = ["done", "unknown", "done", "unknown"];
    check_state(First::Unknown, Second::Pending, Share::In, seen);
    check_state(First::Unknown, Second::Pending, Share::Untouched, ["untouched"; 4]);
    check_state(First::Unknown, Second::Done, Share::Untouched, ["untouched"; 4]);
    check_state(done.clone(), Second::Pending, Share::In, ["done"; 4]);
    check_state(
        done.clone(),
        Second::Done,
        Share::In,
        ["confirmed", "cancelled", "done", "compensated"],
    );
    check_state(
        done.clone(),
        Second::Done,
        Share::Out,
        ["cancelled", "cancelled", "compensated", "compensated"],
    );
    check_state(First::Refused(refusal(Kept::Kept)), Second::Done, Share::Out, ["refused"; 4]);
    check_state(
        First::Refused(refusal(Kept::NotKept)),
        Second::Done,
        Share::Out,
        ["cancelled", "cancelled", "compensated", "compensated"],
    );
    check_state(done, resolved, Share::In, ["resolved"; 4]);
}

fn check_registered(answer: &TryAnswer, expected: Value) {
    let mark = crate::headers::parse_mark("origin=a;begun=1;limit=0").unwrap();
    let id = "stock".parse().unwrap();
    let text = serde_json::to_string(&registered(&id, answer, &mark)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    serde_json::from_str::<answer::Registered<'static>>(&text).unwrap();
}

#[test]
fn a_registration_is_answered_with_what_is_known_of_its_try() {
    let mark = "origin=a;begun=1;limit=0";
    check_registered(
        &TryAnswer::Done { reply: Body::new(b"7") },
        json!({"branch": "stock", "answer": "done", "reply": 7, "mark": mark}),
    );
    check_registered(
        &TryAnswer::Done { reply: Body::default() },
        json!({"branch": "stock", "answer": "done", "reply": null, "mark": mark}),
    );
    check_registered(
        &TryAnswer::Refused(refusal(Kept::Kept)),
        json!({"branch": "stock", "answer": "refused", "mark": mark,
               "refusal": {"code": "out_of_stock", "detail": "none left", "kept": true}}),
    );
    check_registered(
        &TryAnswer::Unknown,
        json!({"branch": "stock", "answer": "unknown", "mark": mark}),
    );
}

fn records() -> Vec<Record> {
    let by: wholly_core::ids::Principal = "ann".parse().unwrap();
    let reason = Text::new("because").unwrap();
    let begun = Fact::Begun(Begun {
        gid: "order-1".parse().unwrap(),
        name: "place-order".parse().unwrap(),
        begun: Timestamp(5),
        principal: by.clone(),
        start: Start::Open {
            deadline: Timestamp(60_000),
            key: None,
            branches: vec![spec("orders", Mode::Saga)],
        },
    });
    let facts = [
        begun,
        Fact::Registered(spec("stock", Mode::Tcc)),
        Fact::Answered {
            branch: BranchIndex(1),
            op: Op::Try,
            answer: Answer::Done { reply: Body::new(b"[1]"), kept: Kept::Kept },
            attempts: 2,
        },
        Fact::Decided {
            decision: Decision::Commit,
            cause: Cause::Initiator,
            branch: None,
            reason: Text::default(),
            out: vec![BranchIndex(0)],
            untouched: Vec::new(),
        },
        Fact::Stuck {
            branch: BranchIndex(1),
            reason: StuckReason::Refused { op: Op::Confirm, refusal: refusal(Kept::NotKept) },
        },
        Fact::Retried { branches: vec![BranchIndex(1)], by: by.clone(), reason: reason.clone() },
        Fact::Parked { by: by.clone(), reason: reason.clone() },
        Fact::Resolved { branch: BranchIndex(1), resolution: Resolution::Unknown, by, reason },
        Fact::Ended { outcome: Outcome::Hazard },
    ];
    facts.into_iter().map(|fact| Record { at: Timestamp(1_000), fact }).collect()
}

#[test]
fn records_are_told_as_a_timeline() {
    let (gid, records) = ("order-1".parse().unwrap(), records());
    let text = serde_json::to_string(&history(&gid, &records, &[])).unwrap();
    let seen: Value = serde_json::from_str(&text).unwrap();
    let at = "1970-01-01T00:00:01.000Z";
    let refusal = json!({"code": "out_of_stock", "detail": "none left", "kept": false});
    let expected = json!({"gid": "order-1", "records": [
        {"version": 1, "at": at, "what": "begun", "branches": ["orders"], "by": "ann",
         "deadline": "1970-01-01T00:01:00.000Z"},
        {"version": 2, "at": at, "what": "registered", "branch": "stock", "to": "stock",
         "operation": "stock.do", "mode": "tcc"},
        {"version": 3, "at": at, "what": "answered", "branch": "stock", "op": "try",
         "answer": "done", "attempts": 2, "reply": [1]},
        {"version": 4, "at": at, "what": "decided", "decision": "commit", "cause": "initiator",
         "branches": ["orders"]},
        {"version": 5, "at": at, "what": "stuck", "branch": "stock", "op": "confirm",
         "refusal": refusal},
        {"version": 6, "at": at, "what": "retried", "branches": ["stock"], "by": "ann",
         "reason": "because"},
        {"version": 7, "at": at, "what": "parked", "by": "ann", "reason": "because"},
        {"version": 8, "at": at, "what": "resolved", "branch": "stock", "by": "ann",
         "reason": "because", "resolution": "unknown"},
        {"version": 9, "at": at, "what": "ended", "outcome": "hazard"},
    ]});
    assert_eq!(seen, expected);
    let read: answer::History<'static> = serde_json::from_str(&text).unwrap();
    assert_eq!(read.records[2].answer.as_ref().unwrap().as_str(), "done");
}

#[test]
fn an_envelope_is_read_as_it_is_written() {
    let text = r#"{"payload":{"a":1},"reply":null,"replies":{"order":{"id":7}}}"#;
    let envelope: call::Envelope<'static> = serde_json::from_str(text).unwrap();
    assert!(envelope.reply.is_none());
    assert_eq!(envelope.replies["order"].get(), "{\"id\":7}");
    assert_eq!(serde_json::to_string(&envelope).unwrap(), text);
}

#[test]
fn paths_are_those_of_the_usage_page() {
    let gid = "order-1".parse().unwrap();
    assert_eq!(path::transaction(&gid), "/v1/transactions/order-1");
    assert_eq!(path::part(&gid, path::Part::Branches), "/v1/transactions/order-1/branches");
    assert_eq!(
        path::part(&gid, path::Part::OperatorAbort),
        "/v1/transactions/order-1/operator-abort"
    );
}

/// A generator of bits that repeats by its seed (Marsaglia's xorshift, 2003).
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).unwrap()
}

#[test]
fn mutilated_bodies_are_refused_or_taken_and_never_break_anything() {
    let pieces = [
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "-1",
        "1e400",
        "\\u0000",
        "\\ud800",
        " ",
        "true",
        "\"to\"",
        "\"after\":[[",
        "9".repeat(400).leak(),
    ];
    for seed in 1..=4_000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for whole in [BEGIN, PLAN, BRANCH] {
            let mut body = whole.to_string();
            for _ in 0..=next(&mut state) % 4 {
                let at = next(&mut state) % (body.len() + 1);
                let end = (at + next(&mut state) % 6).min(body.len());
                body.replace_range(at..end, pieces[next(&mut state) % pieces.len()]);
            }
            for kind in ["begin", "submit", "branch", "commit", "abort", "resolve"] {
                let heard = hear(kind, &body);
                let code = heard.split(':').next().unwrap();
                let known = code == "taken" || crate::problem::row(code).is_some();
                assert!(known, "seed {seed}: {kind} {body}: {heard}");
            }
        }
    }
}

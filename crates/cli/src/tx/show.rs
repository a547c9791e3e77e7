//! `wholly tx show`: one transaction, its branches, and its records, attempts and replies as a
//! timeline.

use super::list::said;
use super::looking::Looking;
use crate::arguments::Show;
use crate::complaint::Complaint;
use crate::coordinator::{Coordinator, parse};
use crate::table;
use serde_json::json;
use std::time::Duration;
use wholly_core::time::Timestamp;
use wholly_wire::v1::answer::{Branch, History, Record, Refusal, RowWord, Transaction, What};
use wholly_wire::v1::looking::{Asked, Payload, Payloads, Row, Rows};
use wholly_wire::v1::path::{self, Part};
use wholly_wire::v1::request;
use wholly_wire::words::Word;

/// Destinations are asked side by side, each for 15 s at most.
const ASKED_WITHIN: Duration = Duration::from_secs(120);

/// Prints it.
pub(super) async fn run(show: Show) -> Result<(), Complaint> {
    let gid = super::gid(&show.gid)?;
    let looking = Looking::at(&show.reading, show.data.as_deref())?;
    let document = looking.read(&path::transaction(&gid)).await?;
    let history = looking.read(&path::part(&gid, Part::History)).await?;
    let rows = match show.ask {
        true => {
            let path = path::part(&gid, Part::Rows);
            Some(Coordinator::of(&show.reading)?.read_within(&path, ASKED_WITHIN).await?)
        }
        false => None,
    };
    let payloads = match &show.reason {
        Some(reason) => {
            let branch = show.branch.as_deref().map(Into::into);
            let body = request::Retry { reason: reason.as_str().into(), branch };
            let coordinator = Coordinator::of(&show.reading)?;
            Some(coordinator.change(&path::part(&gid, Part::Payloads), &body).await?)
        }
        None => None,
    };
    if show.reading.json {
        let mut shown = json!({ "transaction": document, "history": history });
        for (key, part) in [("rows", rows), ("payloads", payloads)] {
            if let Some(mut part) = part {
                shown[key] = part[key].take();
            }
        }
        say!("{shown}");
        return Ok(());
    }
    let document: Transaction<'static> = parse(document)?;
    let history: History<'static> = parse(history)?;
    say!("{}", render(&document, &history, super::clock()));
    if let Some(rows) = rows {
        say!("\n{}", render_rows(&parse(rows)?));
    }
    if let Some(payloads) = payloads {
        say!("\n{}", render_payloads(&parse(payloads)?));
    }
    Ok(())
}

/// What each participant says of its branch.
fn render_rows(asked: &Rows<'_>) -> String {
    let mut rows = table::table(&["BRANCH", "TO", "ITS PARTICIPANT SAYS"]);
    for row in &asked.rows {
        rows.add_row([row.branch.as_ref(), row.to.as_ref(), &says(row)]);
    }
    table::print(&mut rows)
}

fn says(row: &Row<'_>) -> String {
    let word = row.row.as_ref().map_or("", Word::as_str);
    let text = match row.asked.known() {
        Some(Asked::Answered) => match row.row.as_ref().and_then(Word::known) {
            Some(RowWord::None) => "no row: nothing has arrived, or nothing of it was kept",
            Some(RowWord::Stale) => "too old: its row counts no more",
            Some(RowWord::Tried) => "tried: done, neither confirmed nor taken back",
            Some(RowWord::Confirmed) => "confirmed",
            Some(RowWord::Cancelled) => "cancelled: it was done, and taken back",
            Some(RowWord::NullCancelled) => "cancelled before it was done: nothing took effect",
            Some(RowWord::Refused) => "refused: the business did not want it",
            None => word,
        },
        Some(Asked::NotKept) => "it keeps no rows: nobody can tell",
        Some(Asked::Refused) => "it does not let itself be asked",
        Some(Asked::Unanswered) => "no answer",
        Some(Asked::Paused) => "not asked: its destination is paused",
        Some(Asked::NotAsked) => "not asked: its destination had not answered for another branch",
        None => row.asked.as_str(),
    };
    match row.detail.is_empty() {
        true => text.to_owned(),
        false => format!("{text}: {}", row.detail),
    }
}

fn render_payloads(shown: &Payloads<'_>) -> String {
    let mut text = Vec::new();
    for Payload { branch, bytes, payload } in &shown.payloads {
        text.push(match payload {
            Some(payload) => format!("{branch} ({bytes} bytes): {}", payload.get()),
            None => format!("{branch} ({bytes} bytes): ask for it alone with --branch {branch}"),
        });
    }
    text.join("\n")
}

fn render(document: &Transaction<'_>, history: &History<'_>, clock: Timestamp) -> String {
    let head = head(document, clock);
    format!("{head}\n\n{}\n\n{}", branches(document), timeline(document, history))
}

fn head(document: &Transaction<'_>, clock: Timestamp) -> String {
    let age = table::span(Duration::from_millis(clock.since_ms(document.begun.0)));
    let mut lines = vec![format!(
        "{}  {}  {}, begun {} ({age} ago) by {}",
        document.gid, document.name, document.state, document.begun, document.principal
    )];
    if let Some(decision) = &document.decision {
        let cause = document.cause.as_ref().map_or("-", |cause| cause.as_str());
        let branch = document.cause_branch.as_deref().map(|branch| format!(" of {branch}"));
        let reason = match document.reason.is_empty() {
            true => String::new(),
            false => format!(": {}", document.reason),
        };
        lines.push(format!("decided {decision} ({cause}{}){reason}", branch.unwrap_or_default()));
    }
    if let Some(deadline) = &document.deadline {
        lines.push(format!("deadline {deadline}"));
    }
    if let Some(outcome) = &document.outcome {
        lines.push(format!("outcome {outcome}"));
    }
    if document.parked {
        lines.push("parked: nothing is called before an operator acts".to_owned());
    }
    lines.join("\n")
}

fn branches(document: &Transaction<'_>) -> String {
    let mut rows = table::table(&["BRANCH", "MODE", "STATE", "TO", "OPERATION", "NOTE"]);
    for branch in &document.branches {
        let (mode, state) = (branch.mode.as_str(), branch.state.as_str());
        let (to, operation) = (branch.to.as_ref(), branch.operation.as_ref());
        rows.add_row([branch.branch.as_ref(), mode, state, to, operation, &note(branch)]);
    }
    table::print(&mut rows)
}

fn note(branch: &Branch<'_>) -> String {
    let mut notes = Vec::new();
    if let Some(stuck) = &branch.stuck {
        let op = stuck.op.as_ref().map_or("", |op| op.as_str());
        let refusal = stuck.refusal.as_ref().map(refusal).unwrap_or_default();
        let reason = stuck.reason.as_deref().unwrap_or_default();
        let row = stuck.row.as_ref().map(|row| format!("row: {}", row.as_str()));
        let row = row.unwrap_or_default();
        notes.push(join(&["stuck:", op, stuck.why.as_str(), &refusal, reason, &row]));
    }
    if let Some(resolution) = &branch.resolution {
        notes.push(format!("an operator says {resolution}"));
    }
    if let Some(why) = &branch.refusal {
        notes.push(refusal(why));
    }
    if let Some(reply) = &branch.reply {
        notes.push(table::cut(reply.get(), 60));
    }
    if !branch.after.is_empty() {
        notes.push(format!("after {}", branch.after.join(", ")));
    }
    if branch.forward {
        notes.push("forward only".to_owned());
    }
    notes.join("; ")
}

fn refusal(refusal: &Refusal<'_>) -> String {
    match refusal.detail.is_empty() {
        true => refusal.code.to_string(),
        false => format!("{}: {}", refusal.code, refusal.detail),
    }
}

/// Words that are not empty, one blank between them.
fn join(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn timeline(document: &Transaction<'_>, history: &History<'_>) -> String {
    let mut rows = table::table(&["AT", "AFTER", "WHAT HAPPENED"]);
    for record in &history.records {
        let after = Duration::from_millis(record.at.0.since_ms(document.begun.0));
        rows.add_row([record.at.to_string(), table::span(after), tell(record)]);
    }
    for call in &history.calls {
        let when = match call.next_ms {
            Some(ms) => format!("in {}", table::span(Duration::from_millis(ms))),
            None => "in flight".to_owned(),
        };
        let happens = format!("{} ({} attempts since the start)", said(call), call.attempts);
        rows.add_row(["next".to_owned(), when, happens]);
    }
    table::print(&mut rows)
}

/// A record in words.
fn tell(record: &Record<'_>) -> String {
    let branch = record.branch.as_deref().unwrap_or_default();
    let by = record.by.as_deref().map(|by| format!("by {by}")).unwrap_or_default();
    let reason = record.reason.as_deref().unwrap_or_default();
    let reason = if reason.is_empty() { String::new() } else { format!("“{reason}”") };
    let word = |word: Option<&str>| word.unwrap_or_default().to_owned();
    let op = word(record.op.as_ref().map(|op| op.as_str()));
    let Some(what) = record.what.known() else {
        return join(&[record.what.as_str(), branch, &op, &by, &reason]);
    };
    match what {
        What::Begun => {
            let until = record.deadline.map(|time| format!("deadline {time}")).unwrap_or_default();
            join(&["begun", &by, &until])
        }
        What::Submitted => {
            let steps = record.branches.join(", ");
            let until = record.deadline.map(|time| format!("turns at {time}")).unwrap_or_default();
            join(&["plan submitted", &by, &steps, &until])
        }
        What::Lost => "its begin was lost in a crash, before anybody was called".to_owned(),
        What::Registered => {
            let operation = record.operation.as_deref().unwrap_or_default();
            let mode = word(record.mode.as_ref().map(|mode| mode.as_str()));
            let to = record.to.as_deref().unwrap_or_default();
            join(&[branch, "registered:", &mode, operation, "at", to])
        }
        What::Answered => answered(record, branch, &op),
        What::Decided => {
            let decision = word(record.decision.as_ref().map(|word| word.as_str()));
            let cause = word(record.cause.as_ref().map(|word| word.as_str()));
            let of = if branch.is_empty() { String::new() } else { format!("of {branch}") };
            join(&["decided", &decision, "by", &cause, &of, &reason])
        }
        What::Stuck => {
            let why = record.refusal.as_ref().map(refusal).unwrap_or_default();
            join(&[branch, "is stuck:", &op, &why, &reason])
        }
        What::Retried => join(&["retried", &record.branches.join(", "), &by, &reason]),
        What::Parked => join(&["parked", &by, &reason]),
        What::Resolved => {
            let resolution = word(record.resolution.as_ref().map(|word| word.as_str()));
            join(&[branch, "resolved:", &resolution, &by, &reason])
        }
        What::Restored => {
            "the log was restored from an older copy: what was decided since is not known"
                .to_owned()
        }
        What::Inspected => {
            let row = record.row.as_ref().map_or("not read", |row| row.as_str());
            join(&[branch, "inspected: the participant's row says", row])
        }
        What::Ended => {
            let outcome = word(record.outcome.as_ref().map(|word| word.as_str()));
            join(&["ended:", &outcome])
        }
    }
}

fn answered(record: &Record<'_>, branch: &str, op: &str) -> String {
    let answer = record.answer.as_ref().map_or("answered", |answer| answer.as_str());
    let why = record.refusal.as_ref().map(refusal).unwrap_or_default();
    let reply = record.reply.as_ref().map(|reply| table::cut(reply.get(), 60)).unwrap_or_default();
    let attempts = match record.attempts {
        Some(attempts) if attempts > 1 => format!("(attempt {attempts})"),
        Some(_) | None => String::new(),
    };
    join(&[branch, &format!("{op}:"), answer, &why, &reply, &attempts])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const DAY: &str = "2026-01-01T00:00:0";

    /// Tells one record, its fields beside version, time and kind given as JSON.
    fn check(what: &str, fields: Value, expected: &str) {
        let mut record = json!({ "version": 1, "at": format!("{DAY}0.000Z"), "what": what });
        for (key, value) in fields.as_object().unwrap() {
            record[key] = value.clone();
        }
        let record: Record<'static> = serde_json::from_value(record).unwrap();
        assert_eq!(tell(&record), expected);
    }

    #[test]
    fn every_kind_of_record_is_told() {
        check("begun", json!({ "by": "shop" }), "begun by shop");
        check("submitted", json!({ "branches": ["a", "b"] }), "plan submitted a, b");
        check(
            "inspected",
            json!({ "branch": "stock", "row": "tried" }),
            "stock inspected: the participant's row says tried",
        );
        check(
            "restored",
            json!({}),
            "the log was restored from an older copy: what was decided since is not known",
        );
        check("lost", json!({}), "its begin was lost in a crash, before anybody was called");
        check(
            "registered",
            json!({ "branch": "stock", "mode": "tcc", "operation": "stock.lock", "to": "stock" }),
            "stock registered: tcc stock.lock at stock",
        );
        check(
            "answered",
            json!({ "branch": "stock", "op": "try", "answer": "done", "attempts": 3,
                    "reply": {"warehouse": 7} }),
            "stock try: done {\"warehouse\":7} (attempt 3)",
        );
        check(
            "answered",
            json!({ "branch": "points", "op": "try", "answer": "refused", "attempts": 1,
                    "refusal": { "code": "too_few_points", "detail": "bob has fewer than 60" } }),
            "points try: refused too_few_points: bob has fewer than 60",
        );
        check(
            "decided",
            json!({ "decision": "abort", "cause": "refusal", "branch": "points",
                    "reason": "no points" }),
            "decided abort by refusal of points “no points”",
        );
        check(
            "stuck",
            json!({ "branch": "stock", "op": "cancel", "refusal": { "code": "row_gone" } }),
            "stock is stuck: cancel row_gone",
        );
        check(
            "retried",
            json!({ "branches": ["a"], "by": "ops", "reason": "x" }),
            "retried a by ops “x”",
        );
        check("parked", json!({ "by": "ops", "reason": "look" }), "parked by ops “look”");
        check(
            "resolved",
            json!({ "branch": "a", "resolution": "not_applied", "by": "ops" }),
            "a resolved: not_applied by ops",
        );
        check("ended", json!({ "outcome": "as_decided" }), "ended: as_decided");
        check("of_a_later_release", json!({ "branch": "a" }), "of_a_later_release a");
    }

    #[test]
    fn what_participants_say_stands_beside_each_branch() {
        let check = |asked: &str, row: Value, detail: &str, expected: &str| {
            let row = json!({ "branch": "b", "to": "stock", "operation": "o", "asked": asked,
                              "row": row, "detail": detail });
            assert_eq!(says(&serde_json::from_value(row).unwrap()), expected);
        };
        check("answered", json!("confirmed"), "", "confirmed");
        check("answered", json!("eaten"), "", "eaten");
        let none = "no row: nothing has arrived, or nothing of it was kept";
        check("answered", json!("none"), "", none);
        check("unanswered", json!(null), "connect failed", "no answer: connect failed");
        check("paused", json!(null), "", "not asked: its destination is paused");
        check("of_a_later_release", json!(null), "why", "of_a_later_release: why");
        let payloads = json!({ "gid": "g", "payloads": [
            { "branch": "a", "bytes": 7, "payload": {"n": 1} },
            { "branch": "n", "bytes": 4, "payload": null }, { "branch": "b", "bytes": 9 },
        ] });
        let shown = render_payloads(&serde_json::from_value(payloads).unwrap());
        let expected = "a (7 bytes): {\"n\":1}\nn (4 bytes): null\n\
                        b (9 bytes): ask for it alone with --branch b";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_transaction_is_a_head_its_branches_and_a_timeline() {
        let document = serde_json::from_value(json!({
            "gid": "order-1", "name": "place-order", "principal": "anonymous",
            "state": "finishing", "decision": "abort", "outcome": null, "cause": "refusal",
            "cause_branch": "points", "parked": true, "stuck": 1, "begun": format!("{DAY}0.000Z"),
            "changed": format!("{DAY}1.000Z"), "deadline": null,
            "branches": [{
                "branch": "stock", "mode": "tcc", "to": "stock", "operation": "stock.lock",
                "state": "done", "reply": {"warehouse": 7},
                "stuck": { "why": "refused", "op": "cancel",
                           "refusal": { "code": "row_gone", "detail": "" } },
            }],
        }))
        .unwrap();
        let history = serde_json::from_value(json!({
            "gid": "order-1",
            "records": [{ "version": 1, "at": format!("{DAY}0.004Z"), "what": "begun" }],
            "calls": [{ "branch": "points", "op": "cancel", "attempts": 2, "next_ms": 400,
                        "last": "no answer" }],
        }))
        .unwrap();
        let begun = "2026-01-01T00:00:00.000Z".parse::<wholly_wire::v1::time::Time>().unwrap();
        let text = render(&document, &history, begun.0.plus_ms(5_000));
        let expected = "\
order-1  place-order  finishing, begun 2026-01-01T00:00:00.000Z (5 s ago) by anonymous
decided abort (refusal of points)
parked: nothing is called before an operator acts

BRANCH  MODE  STATE  TO     OPERATION   NOTE
stock   tcc   done   stock  stock.lock  stuck: cancel refused row_gone; {\"warehouse\":7}

AT                        AFTER      WHAT HAPPENED
2026-01-01T00:00:00.004Z  4 ms       begun
next                      in 400 ms  points cancel: no answer (2 attempts since the start)";
        assert_eq!(text, expected);
    }
}

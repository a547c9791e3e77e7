//! `wholly tx list`: a row per transaction, and what it waits for.

use super::looking::Looking;
use crate::arguments::{Filter, List, State};
use crate::complaint::Complaint;
use crate::coordinator::parse;
use crate::http_client::escape;
use crate::table;
use std::time::Duration;
use wholly_core::time::Timestamp;
use wholly_wire::v1::answer::{self, Call, StuckBranch, Summary};
use wholly_wire::v1::path;

/// Short pages that are followed before a list is printed: a filter that matches little makes
/// many, for the coordinator looks at so many rows a page.
const PAGES_MAX: usize = 1_000;

/// Prints one page; for people as many as it takes to have the rows that were asked for.
pub(super) async fn run(list: List) -> Result<(), Complaint> {
    let looking = Looking::at(&list.reading, list.data.as_deref())?;
    let asked = |limit, cursor: Option<&str>| {
        let mut query = query(&list.filter, limit, cursor);
        if let Some(outcome) = &list.outcome {
            query.push_str(&format!("&outcome={}", escape(outcome)));
        }
        query
    };
    let body = looking.read(&asked(list.limit, list.cursor.as_deref())).await?;
    if list.reading.json {
        say!("{body}");
        return Ok(());
    }
    let mut page: answer::List<'static> = parse(body)?;
    for _ in 1..PAGES_MAX {
        let left = list.limit.saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
        let Some(next) = page.next.clone().filter(|_| left > 0) else { break };
        let more = looking.read(&asked(left, Some(&next))).await?;
        let more: answer::List<'static> = parse(more)?;
        page.items.extend(more.items);
        page.next = more.next;
    }
    say!("{}", render(&page, super::clock()));
    Ok(())
}

/// The path of a page.
pub(super) fn query(filter: &Filter, limit: u32, cursor: Option<&str>) -> String {
    let mut query = format!("{}?limit={limit}", path::TRANSACTIONS);
    let mut say = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            query.push_str(&format!("&{key}={}", escape(&value)));
        }
    };
    say("state", filter.state.map(|state| spell(state).to_owned()));
    say("stuck", filter.stuck.then(|| "true".to_owned()));
    say("name", filter.name.clone());
    say("waits_for", filter.waits_for.clone());
    say("older_than_ms", filter.older_than.map(|span| span.0.as_millis().to_string()));
    say("mode", filter.mode.clone());
    say("gid_prefix", filter.gid_prefix.clone());
    say("begun_from", filter.begun_from.clone());
    say("begun_until", filter.begun_until.clone());
    say("cursor", cursor.map(str::to_owned));
    query
}

fn spell(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Forward => "forward",
        State::Finishing => "finishing",
        State::Ended => "ended",
    }
}

fn render(page: &answer::List<'_>, clock: Timestamp) -> String {
    if page.items.is_empty() {
        return "no transaction matches".to_owned();
    }
    let header = ["GID", "NAME", "MODE", "STATE", "SINCE", "ATTEMPTS", "NEXT", "WAITS FOR"];
    let mut rows = table::table(&header);
    for item in &page.items {
        let modes: Vec<&str> = item.modes.iter().map(|mode| mode.as_str()).collect();
        let attempts: u32 = item.calls.iter().map(|call| call.attempts).sum();
        let attempts = if attempts == 0 { "–".to_owned() } else { attempts.to_string() };
        let since = table::span(Duration::from_millis(clock.since_ms(item.begun.0)));
        let (gid, name) = (item.gid.to_string(), item.name.to_string());
        let (state, next) = (state(item), next(item));
        rows.add_row([gid, name, modes.join("+"), state, since, attempts, next, waits_for(item)]);
    }
    let table = table::print(&mut rows);
    match &page.next {
        None => table,
        Some(next) => format!("{table}\n\nmore: --cursor {next}"),
    }
}

fn state(item: &Summary<'_>) -> String {
    match (&item.outcome, &item.decision) {
        (Some(outcome), Some(decision)) if outcome.as_str() != "as_decided" => {
            format!("{} {decision}, {outcome}", item.state)
        }
        (_, Some(decision)) => format!("{} {decision}", item.state),
        (_, None) => item.state.to_string(),
    }
}

/// When the next call leaves.
fn next(item: &Summary<'_>) -> String {
    if item.calls.iter().any(|call| call.next_ms.is_none()) {
        return "in flight".to_owned();
    }
    match item.calls.iter().filter_map(|call| call.next_ms).min() {
        Some(ms) => table::span(Duration::from_millis(ms)),
        None => "–".to_owned(),
    }
}

fn waits_for(item: &Summary<'_>) -> String {
    let mut parts = Vec::new();
    match (&item.first_stuck, item.stuck) {
        (_, 0) => {}
        (None, count) => parts.push(format!("an operator: {count} stuck")),
        (Some(first), 1) => parts.push(format!("stuck: {}", why(first))),
        (Some(first), count) => {
            parts.push(format!("stuck: {} (and {} more)", why(first), count - 1));
        }
    }
    if let Some(call) = item.calls.iter().max_by_key(|call| call.attempts) {
        parts.push(said(call));
    } else if item.stuck == 0 {
        parts.extend(item.waits_for.iter().map(|destination| destination.to_string()));
    }
    if parts.is_empty() { "–".to_owned() } else { table::cut(&parts.join("; "), 80) }
}

/// Why a branch waits for an operator.
fn why(first: &StuckBranch<'_>) -> String {
    let StuckBranch { branch, stuck } = first;
    if let (Some(op), Some(refusal)) = (&stuck.op, &stuck.refusal) {
        let code = &refusal.code;
        return match refusal.detail.is_empty() {
            true => format!("{branch} {op} refused: {code}"),
            false => format!("{branch} {op} refused: {code}, {}", refusal.detail),
        };
    }
    match (&stuck.reason, &stuck.row) {
        (Some(reason), _) => format!("{branch} {}: {reason}", stuck.why),
        (None, Some(row)) => format!("{branch} {}, its row says {row}", stuck.why),
        (None, None) => format!("{branch} {}", stuck.why),
    }
}

/// A call in words.
pub(super) fn said(call: &Call<'_>) -> String {
    match call.last.is_empty() {
        true => format!("{} {}", call.branch, call.op),
        false => format!("{} {}: {}", call.branch, call.op, call.last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Span;
    use serde_json::{Value, json};

    fn item(changes: Value) -> Value {
        let mut item = json!({
            "gid": "order-4711", "name": "place-order", "modes": ["tcc"], "state": "finishing",
            "decision": "abort", "outcome": null, "cause": "refusal", "parked": false, "stuck": 0,
            "waits_for": ["points"], "begun": "1970-01-01T00:00:00.000Z",
            "changed": "1970-01-01T00:00:01.000Z", "ended": null, "calls": [],
        });
        for (key, value) in changes.as_object().unwrap() {
            item[key] = value.clone();
        }
        item
    }

    fn check(items: Value, next: Value, expected: &str) {
        let page = serde_json::from_value(json!({ "items": items, "next": next })).unwrap();
        assert_eq!(render(&page, Timestamp(720_000)), expected);
    }

    #[test]
    fn a_list_says_what_each_waits_for() {
        let call = |next: Value| {
            json!([{"branch": "points", "op": "cancel", "attempts": 31, "next_ms": next,
                    "last": "no answer (timeout)"}])
        };
        let header = "GID         NAME         MODE  STATE            SINCE   ATTEMPTS  NEXT  ";
        let row = "order-4711  place-order  tcc   finishing abort  12 min  ";
        check(json!([]), json!(null), "no transaction matches");
        check(
            json!([item(json!({ "calls": call(json!(40_000)) }))]),
            json!("c1"),
            &format!(
                "{header}WAITS FOR\n{row}31        40 s  points cancel: no answer (timeout)\n\n\
                 more: --cursor c1"
            ),
        );
        check(
            json!([item(json!({ "stuck": 1, "parked": true }))]),
            json!(null),
            &format!("{header}WAITS FOR\n{row}–         –     an operator: 1 stuck"),
        );
        let stuck = |count: u64, stuck: Value, expected: &str| {
            let first = json!({ "branch": "stock", "stuck": stuck });
            let item = item(json!({ "stuck": count, "first_stuck": first }));
            let expected = format!("{header}WAITS FOR\n{row}–         –     stuck: {expected}");
            check(json!([item]), json!(null), &expected);
        };
        let refused = |detail: &str| {
            let refusal = json!({ "code": "row_gone", "detail": detail, "kept": false });
            json!({ "why": "refused", "op": "cancel", "refusal": refusal })
        };
        stuck(1, refused(""), "stock cancel refused: row_gone");
        stuck(1, refused("nobody has it"), "stock cancel refused: row_gone, nobody has it");
        let parked = json!({ "why": "parked", "reason": "look" });
        stuck(3, parked, "stock parked: look (and 2 more)");
        stuck(
            1,
            json!({ "why": "restored", "row": "stale" }),
            "stock restored, its row says stale",
        );
        stuck(1, json!({ "why": "restored" }), "stock restored");
    }

    #[test]
    fn a_filter_becomes_a_query() {
        let filter = Filter {
            stuck: true,
            state: Some(State::Finishing),
            name: Some("place order".to_owned()),
            waits_for: Some("http://127.0.0.1:1".to_owned()),
            older_than: Some(Span(Duration::from_secs(600))),
            ..Filter::default()
        };
        assert_eq!(
            query(&filter, 5, Some("a/b")),
            "/v1/transactions?limit=5&state=finishing&stuck=true&name=place%20order\
             &waits_for=http%3A%2F%2F127.0.0.1%3A1&older_than_ms=600000&cursor=a%2Fb"
        );
        assert_eq!(query(&Filter::default(), 50, None), "/v1/transactions?limit=50");
        let filter = Filter {
            mode: Some("saga".to_owned()),
            gid_prefix: Some("order-".to_owned()),
            begun_from: Some("2026-01-31T12:00:00Z".to_owned()),
            begun_until: Some("2026-02-01T00:00:00Z".to_owned()),
            ..Filter::default()
        };
        assert_eq!(
            query(&filter, 1, None),
            "/v1/transactions?limit=1&mode=saga&gid_prefix=order-\
             &begun_from=2026-01-31T12%3A00%3A00Z&begun_until=2026-02-01T00%3A00%3A00Z"
        );
    }
}

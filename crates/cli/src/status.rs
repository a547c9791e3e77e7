//! `wholly status`: backlog, what is stuck, version.

use crate::arguments::{Filter, Reading, State};
use crate::complaint::Complaint;
use crate::coordinator::{Coordinator, parse};
use crate::destination;
use crate::table;
use crate::tx;
use serde_json::{Value, json};
use std::time::Duration;
use wholly_wire::v1::answer::{About, List};
use wholly_wire::v1::path;
use wholly_wire::v1::standing::Status;

/// How many of a kind are looked at; what is beyond is said as "or more".
const COUNTED_MAX: u32 = 100;

/// The kinds that are counted.
const KINDS: [(&str, &str); 4] = [
    ("open", "the initiator will decide"),
    ("forward", "the steps will decide"),
    ("finishing", "the decision is being carried out"),
    ("stuck", "waits for an operator: wholly tx list --stuck"),
];

/// How many of a kind there are, as far as was counted.
struct Count {
    kind: &'static str,
    meaning: &'static str,
    count: usize,
    more: bool,
    oldest_ms: Option<u64>,
}

/// Prints it.
pub(crate) async fn run(reading: Reading) -> Result<(), Complaint> {
    let coordinator = Coordinator::of(&reading)?;
    let about: About<'static> = parse(coordinator.read("/v1").await?)?;
    let mut counts = Vec::new();
    for (kind, meaning) in KINDS {
        let query = tx::query(&filter(kind), COUNTED_MAX, None);
        let page: List<'static> = parse(coordinator.read(&query).await?)?;
        let oldest = page.items.iter().map(|item| item.begun.0).min();
        counts.push(Count {
            kind,
            meaning,
            count: page.items.len(),
            more: page.next.is_some(),
            oldest_ms: oldest.map(|begun| tx::clock().since_ms(begun)),
        });
    }
    let standing = coordinator.read(path::STATUS).await?;
    if reading.json {
        let mut document = document(&about, &counts);
        document["status"] = standing;
        say!("{document}");
        return Ok(());
    }
    say!("{}", render(&reading.url, &about, &counts));
    say!("\n{}", render_standing(&parse(standing)?));
    Ok(())
}

/// Backlog by age, what is stuck and why, and every destination.
fn render_standing(status: &Status<'_>) -> String {
    let mut parts = Vec::new();
    if status.intake != "open" {
        parts.push(format!("no transaction may begin: {}", status.intake));
    }
    let mut rows = table::table(&["AGE", "OPEN", "FORWARD", "FINISHING"]);
    for band in &status.backlog {
        let age = match band.age_ms_max {
            Some(ms) => format!("up to {}", table::span(Duration::from_millis(ms))),
            None => "older".to_owned(),
        };
        let counts = [band.open, band.forward, band.finishing].map(|count| count.to_string());
        let [open, forward, finishing] = counts;
        rows.add_row([age, open, forward, finishing]);
    }
    parts.push(table::print(&mut rows));
    if !status.stuck.is_empty() {
        let mut rows = table::table(&["STUCK", "BRANCHES"]);
        for stuck in &status.stuck {
            rows.add_row([stuck.why.to_string(), stuck.count.to_string()]);
        }
        parts.push(table::print(&mut rows));
    }
    parts.push(destination::render(&status.destinations));
    parts.join("\n\n")
}

fn filter(kind: &str) -> Filter {
    let state = match kind {
        "open" => Some(State::Open),
        "forward" => Some(State::Forward),
        "finishing" => Some(State::Finishing),
        _ => None,
    };
    Filter { stuck: state.is_none(), state, ..Filter::default() }
}

fn document(about: &About<'_>, counts: &[Count]) -> Value {
    let mut backlog = serde_json::Map::new();
    for count in counts {
        let entry = json!({
            "count": count.count, "more": count.more, "oldest_ms": count.oldest_ms,
        });
        backlog.insert(count.kind.to_owned(), entry);
    }
    json!({ "version": about.version, "backlog": backlog })
}

fn render(url: &str, about: &About<'_>, counts: &[Count]) -> String {
    let mut rows = table::table(&["STATE", "COUNT", "OLDEST", ""]);
    for count in counts {
        let more = if count.more { " or more" } else { "" };
        let oldest = count.oldest_ms.map(|ms| table::span(Duration::from_millis(ms)));
        let oldest = oldest.unwrap_or_else(|| "–".to_owned());
        let number = format!("{}{more}", count.count);
        rows.add_row([count.kind, &number, &oldest, count.meaning]);
    }
    format!("coordinator {} at {url}\n\n{}", about.version, table::print(&mut rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_backlog_by_state() {
        let about: About<'static> =
            serde_json::from_value(json!({ "version": "0.1.0", "modes": [], "limits": {} }))
                .unwrap();
        let count = |kind, count, more, oldest_ms| Count {
            kind,
            meaning: "what it means",
            count,
            more,
            oldest_ms,
        };
        let counts = [count("open", 3, false, Some(4_000)), count("finishing", 100, true, None)];
        let expected = "\
coordinator 0.1.0 at http://h:1

STATE      COUNT        OLDEST
open       3            4 s     what it means
finishing  100 or more  –       what it means";
        assert_eq!(render("http://h:1", &about, &counts), expected);
        let document = document(&about, &counts);
        assert_eq!(document["backlog"]["finishing"]["more"], json!(true));
        assert_eq!(document["backlog"]["open"]["oldest_ms"], json!(4_000));
    }

    #[test]
    fn ages_reasons_and_destinations_follow() {
        let status = json!({
            "version": "0.1.0", "intake": "drained", "remaining": 3,
            "backlog": [
                { "age_ms_max": 10_000, "open": 1, "forward": 0, "finishing": 0 },
                { "open": 0, "forward": 0, "finishing": 2 },
            ],
            "stuck": [{ "why": "no_way", "count": 2 }],
            "destinations": [],
        });
        let status: Status<'static> = serde_json::from_value(status).unwrap();
        let shown = render_standing(&status);
        let expected = "\
no transaction may begin: drained

AGE         OPEN  FORWARD  FINISHING
up to 10 s  1     0        0
older       0     0        2

STUCK   BRANCHES
no_way  2

no open transaction names a destination";
        assert_eq!(shown, expected);
    }

    #[test]
    fn every_kind_has_its_filter() {
        let query = |kind: &str| tx::query(&filter(kind), 1, None);
        assert!(query("open").ends_with("&state=open"));
        assert!(query("forward").ends_with("&state=forward"));
        assert!(query("finishing").ends_with("&state=finishing"));
        assert!(query("stuck").ends_with("&stuck=true"));
    }
}

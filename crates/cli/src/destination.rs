//! `wholly destination`: how each stands; lets one rest, and has it called again.

use crate::arguments::{DestinationVerb, Pausing, Reading};
use crate::complaint::Complaint;
use crate::coordinator::{Coordinator, parse};
use crate::reason::reason;
use crate::table;
use crate::tx;
use std::time::Duration;
use wholly_wire::v1::standing::{Destination, Status};
use wholly_wire::v1::{path, request};

/// Does what was asked.
pub(crate) async fn run(verb: DestinationVerb) -> Result<(), Complaint> {
    match verb {
        DestinationVerb::List(reading) => {
            let body = Coordinator::of(&reading)?.read(path::STATUS).await?;
            if reading.json {
                say!("{}", body["destinations"]);
                return Ok(());
            }
            let status: Status<'static> = parse(body)?;
            say!("{}", render(&status.destinations));
            Ok(())
        }
        DestinationVerb::Pause(pausing) => change(path::PAUSE, pausing).await,
        DestinationVerb::Resume(pausing) => change(path::RESUME, pausing).await,
    }
}

async fn change(path: &str, pausing: Pausing) -> Result<(), Complaint> {
    let Pausing { name, reason: said, reading } = pausing;
    let coordinator = Coordinator::of(&reading)?;
    let reason = reason(said)?.into();
    let body = request::Pause { destination: name.as_str().into(), reason };
    let answer = coordinator.change(path, &body).await?;
    show(&reading, answer, &name)
}

fn show(reading: &Reading, answer: serde_json::Value, name: &str) -> Result<(), Complaint> {
    if reading.json {
        say!("{answer}");
        return Ok(());
    }
    let status: Status<'static> = parse(answer)?;
    match status.destinations.iter().find(|row| row.name == name) {
        Some(row) => say!("{}", render(std::slice::from_ref(row))),
        None => say!("{name}: nothing waits for it"),
    }
    Ok(())
}

/// A row per destination.
pub(crate) fn render(destinations: &[Destination<'_>]) -> String {
    if destinations.is_empty() {
        return "no open transaction names a destination".to_owned();
    }
    let header = ["DESTINATION", "STANDS", "IN FLIGHT", "SLOTS", "QUEUED", "WAITING", "BRANCHES"];
    let mut rows = table::table(&header);
    for row in destinations {
        let counts = [row.in_flight, row.slots, row.queued, row.waiting, row.branches];
        let counts = counts.map(|count| count.to_string());
        let [in_flight, slots, queued, waiting, branches] = counts;
        let name = row.name.to_string();
        rows.add_row([name, stands(row), in_flight, slots, queued, waiting, branches]);
    }
    table::print(&mut rows)
}

fn stands(row: &Destination<'_>) -> String {
    let since = |time: wholly_wire::v1::time::Time| {
        table::span(Duration::from_millis(tx::clock().since_ms(time.0)))
    };
    if let (Some(time), Some(by), Some(reason)) =
        (row.paused_since, &row.paused_by, &row.paused_reason)
    {
        return format!("paused for {} by {by}: {reason}", since(time));
    }
    match (row.silent_since, row.probes) {
        (Some(time), probes) => {
            format!("silent for {}, {} probes", since(time), probes.unwrap_or(0))
        }
        (None, _) => "answers".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_it_answers() {
        let check = |extra: &str, expected: &str| {
            let json = format!(
                r#"{{"name":"stock","branches":3,"in_flight":1,"queued":2,"waiting":0,
                    "slots":9{extra}}}"#
            );
            let row: Destination<'_> = serde_json::from_str(&json).unwrap();
            let shown = render(&[row]);
            assert!(shown.contains(expected) && shown.contains("stock"), "{shown}");
        };
        check("", "answers");
        check(r#","silent_since":"2026-01-01T00:00:00.000Z","probes":4"#, ", 4 probes");
        let paused = r#","paused_since":"2026-01-01T00:00:00.000Z","paused_by":"anna",
                        "paused_reason":"migration""#;
        check(paused, "by anna: migration");
        assert!(render(&[]).contains("no open transaction"));
    }
}

//! `wholly status`: disk, backlog, what is stuck, destinations, version.

use crate::arguments::Reading;
use crate::complaint::Complaint;
use crate::coordinator::{Coordinator, parse};
use crate::destination;
use crate::table;
use crate::tx;
use std::time::Duration;
use wholly_wire::v1::path;
use wholly_wire::v1::standing::{Backup, Certificate, Counts, Status, Tally};
use wholly_wire::v1::time::Time;

/// Prints it.
pub(crate) async fn run(reading: Reading) -> Result<(), Complaint> {
    let standing = Coordinator::of(&reading)?.read(path::STATUS).await?;
    if reading.json {
        say!("{standing}");
        return Ok(());
    }
    let status: Status<'static> = parse(standing)?;
    say!("{}", render(&reading.url, &status));
    say!("\n{}", render_standing(&status));
    Ok(())
}

/// How many there are of each kind, and how old the oldest is.
fn render(url: &str, status: &Status<'_>) -> String {
    let Counts { open, forward, finishing, stuck } = status.counts;
    let mut rows = table::table(&["STATE", "COUNT", "OLDEST", ""]);
    for (kind, Tally { count, oldest_ms }, meaning) in [
        ("open", open, "the initiator will decide"),
        ("forward", forward, "the steps will decide"),
        ("finishing", finishing, "the decision is being carried out"),
        ("stuck", stuck, "of these, wait for an operator: wholly tx list --stuck"),
    ] {
        let oldest = oldest_ms.map(|ms| table::span(Duration::from_millis(ms)));
        let oldest = oldest.unwrap_or_else(|| "–".to_owned());
        rows.add_row([kind, &count.to_string(), &oldest, meaning]);
    }
    format!("coordinator {} at {url}\n\n{}", status.version, table::print(&mut rows))
}

/// Backlog by age, what is stuck and why, and every destination.
fn render_standing(status: &Status<'_>) -> String {
    let mut parts = Vec::new();
    parts.extend(vitals(status));
    if status.intake != "open" {
        let mut text = format!("no transaction may begin: {}", status.intake);
        if let (Some(since), Some(by)) = (status.drained_since, &status.drained_by) {
            let reason = status.drained_reason.as_deref().unwrap_or_default();
            text.push_str(&format!(" for {} by {by}: {reason}", ago(since)));
        }
        parts.push(text);
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

fn ago(time: Time) -> String {
    table::span(Duration::from_millis(tx::clock().since_ms(time.0)))
}

/// How the process and its disk stand, a line each.
fn vitals(status: &Status<'_>) -> Option<String> {
    let (started, disk) = (status.started?, status.disk.as_ref()?);
    let late = |ms: Option<u64>| table::span(Duration::from_millis(ms.unwrap_or(0)));
    let mut lines = vec![format!(
        "up for {}; its timers last came {} late, at most {}",
        ago(started),
        late(status.late_ms),
        late(status.late_ms_max)
    )];
    if let (Some(free), Some(size)) = (disk.free_bytes, disk.size_bytes) {
        lines.push(format!("disk: {} of {} free", bytes(free), bytes(size)));
    }
    let (log, log_max) = (bytes(disk.log_bytes), bytes(disk.log_bytes_max));
    lines.push(format!("log: {log} of at most {log_max}"));
    let (archive, archive_max) = (bytes(disk.archive_bytes), bytes(disk.archive_bytes_max));
    let (ended, waiting) = (disk.ended, disk.unarchived);
    lines.push(format!(
        "archive: {archive} of at most {archive_max}; {ended} ended, {waiting} not archived yet"
    ));
    lines.push(backups(status.backup.as_ref()));
    lines.extend(status.certificates.iter().map(certificate));
    Some(lines.join("\n"))
}

/// When a backup was made last, and what became of a later one.
fn backups(backup: Option<&Backup>) -> String {
    const NONE: &str = "backup: none that this folder knows of; wholly backup makes one";
    let Some(backup) = backup else { return NONE.to_owned() };
    let unfinished =
        format!("one that was begun {} ago has not come to its end, or failed", ago(backup.tried));
    let Some(asked) = backup.asked else { return format!("backup: none is whole; {unfinished}") };
    let size = backup.bytes.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
    let to = backup.to.as_ref().map(|to| format!(" in {to}")).unwrap_or_default();
    let mut line = format!("backup: the last that is whole is of {} ago{size}{to}", ago(asked));
    if backup.tried > asked {
        line.push_str(&format!("; {unfinished}"));
    }
    line
}

/// Whose certificate it is, and how long it holds.
fn certificate(certificate: &Certificate<'_>) -> String {
    let whose = match &*certificate.of {
        "listener" => "that clients are shown",
        "clients" => "by which clients are known",
        "destinations" => "by which destinations are known",
        other => other,
    };
    let (now, expires) = (tx::clock(), certificate.expires);
    match expires.0.since_ms(now) {
        0 => format!("certificate {whose}: EXPIRED {} ago, on {expires}", ago(expires)),
        left => {
            let left = table::span(Duration::from_millis(left));
            format!("certificate {whose}: holds for {left}, until {expires}")
        }
    }
}

/// A size as people say it.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = count as f64;
    let mut unit = "B";
    for larger in UNITS {
        if size < 1_024.0 {
            break;
        }
        (size, unit) = (size / 1_024.0, larger);
    }
    match unit {
        "B" => format!("{count} B"),
        unit => format!("{size:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn counts() -> Value {
        let none = json!({ "count": 0 });
        json!({ "open": none, "forward": none, "finishing": none, "stuck": none })
    }

    #[test]
    fn a_status_is_a_backlog_by_state() {
        let status = json!({
            "version": "0.1.0", "intake": "open", "remaining": 60_104, "backlog": [], "stuck": [],
            "destinations": [], "counts": {
                "open": { "count": 3, "oldest_ms": 4_000 }, "forward": { "count": 0 },
                "finishing": { "count": 60_101, "oldest_ms": 7_200_000 },
                "stuck": { "count": 1, "oldest_ms": 999 },
            },
        });
        let expected = "\
coordinator 0.1.0 at http://h:1

STATE      COUNT  OLDEST
open       3      4 s     the initiator will decide
forward    0      –       the steps will decide
finishing  60101  2 h     the decision is being carried out
stuck      1      999 ms  of these, wait for an operator: wholly tx list --stuck";
        assert_eq!(render("http://h:1", &serde_json::from_value(status).unwrap()), expected);
    }

    #[test]
    fn ages_reasons_and_destinations_follow() {
        let status = json!({
            "version": "0.1.0", "intake": "drained", "remaining": 3, "counts": counts(),
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
    fn the_disk_is_said_in_sizes_that_people_know() {
        let check = |count: u64, expected: &str| assert_eq!(bytes(count), expected);
        check(0, "0 B");
        check(1_023, "1023 B");
        check(1_536, "1.5 KiB");
        check(20 << 30, "20.0 GiB");
        check(3 << 50, "3072.0 TiB");
        let status = json!({
            "version": "0.1.0", "intake": "open", "remaining": 0, "counts": counts(),
            "backlog": [], "stuck": [], "destinations": [],
            "started": "2026-01-01T00:00:00.000Z", "late_ms": 1, "late_ms_max": 12,
            "disk": { "free_bytes": 1_048_576, "size_bytes": 2_097_152,
            "log_bytes": 0, "log_bytes_max": 1, "archive_bytes": 2, "archive_bytes_max": 3,
            "ended": 4, "unarchived": 5 },
        });
        let said = vitals(&serde_json::from_value(status).unwrap()).unwrap();
        let (up, rest) = said.split_once('\n').unwrap();
        assert!(up.ends_with("its timers last came 1 ms late, at most 12 ms"), "{up}");
        let expected = "disk: 1.0 MiB of 2.0 MiB free\nlog: 0 B of at most 1 B\n\
                        archive: 2 B of at most 3 B; 4 ended, 5 not archived yet\n\
                        backup: none that this folder knows of; wholly backup makes one";
        assert_eq!(rest, expected);
    }

    #[test]
    fn backups_and_certificates_are_said_by_their_age() {
        let check = |backup: Value, expected: &str| {
            let read: Backup = serde_json::from_value(backup).unwrap();
            let said = backups(Some(&read));
            // Ages are of today; what they are said of is not.
            let words: Vec<&str> = said.split(' ').collect();
            let is_age = |at: &usize| words.get(at + 2).is_some_and(|word| word.starts_with("ago"));
            let kept = (0..words.len()).filter(|at| !(is_age(at) || *at > 0 && is_age(&(at - 1))));
            let said = kept.map(|at| words[at]).collect::<Vec<_>>().join(" ");
            assert_eq!(said, expected);
        };
        let (then, later) = ("2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z");
        check(
            json!({ "tried": then, "asked": then, "bytes": 2_048, "to": "/b" }),
            "backup: the last that is whole is of ago, 2.0 KiB in /b",
        );
        check(
            json!({ "tried": later, "asked": then, "bytes": 1, "to": "/b" }),
            "backup: the last that is whole is of ago, 1 B in /b; one that was begun ago has not \
             come to its end, or failed",
        );
        check(
            json!({ "tried": then }),
            "backup: none is whole; one that was begun ago has not come to its end, or failed",
        );
        let said = |of: &str, expires: &str| {
            let read = json!({ "of": of, "expires": expires });
            certificate(&serde_json::from_value(read).unwrap())
        };
        let past = said("listener", "2020-01-01T00:00:00.000Z");
        assert!(past.starts_with("certificate that clients are shown: EXPIRED "), "{past}");
        let ahead = said("destinations", "9999-01-01T00:00:00.000Z");
        let start = "certificate by which destinations are known: holds for ";
        assert!(ahead.starts_with(start), "{ahead}");
        assert!(ahead.ends_with(", until 9999-01-01T00:00:00.000Z"), "{ahead}");
    }
}

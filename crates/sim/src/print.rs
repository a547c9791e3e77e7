//! Print: what many seeds showed, as tables for people and as one document for programs.

use crate::cells::{Cells, Reach, reach};
use crate::report::Summary;
use crate::tally::{Fault, Sight, State};
use std::time::Duration;

/// Decided transactions from which on every fault and every sight must have been met.
pub const LONG: u64 = 100_000;

/// Decided transactions from which on every fault must have met every state that it can meet; the
/// rarest pairs occur some ten times in as many.
pub const LONGER: u64 = 500_000;

/// Faults that strike a transaction of a long run, on average.
const FAULTS_MIN: f64 = 8.0;

/// Of a hundred transactions of a long run so many abort.
const ABORTED_PERCENT_MIN: u64 = 20;

/// What a long run should have met and did not, and what it met and cannot; a short one owes
/// nothing.
pub fn missing(summary: &Summary) -> Vec<String> {
    let decided = summary.fates.decided();
    let mut missing = Vec::new();
    if decided >= LONG && faults_per_transaction(summary) < FAULTS_MIN {
        missing.push(format!("fewer than {FAULTS_MIN} faults strike a transaction"));
    }
    if decided >= LONG && summary.fates.aborted * 100 < decided * ABORTED_PERCENT_MIN {
        missing.push(format!("fewer than {ABORTED_PERCENT_MIN} in a hundred abort"));
    }
    if decided >= LONG {
        missing.extend(summary.tally.never().into_iter().map(str::to_owned));
    }
    let pair = |(fault, state): (Fault, State)| format!("{} × {}", fault.words(), state.words());
    if decided >= LONGER {
        missing.extend(summary.tally.cells().empty().into_iter().map(pair));
    }
    let wrong = summary.tally.cells().impossible().into_iter();
    missing.extend(wrong.map(|cell| format!("{} is declared impossible, and was met", pair(cell))));
    missing
}

/// Tables for people: sights, faults against states, and figures.
pub fn tables(summary: &Summary, took: Duration) -> String {
    let mut text = String::from("seen\n");
    for pair in Sight::ALL.chunks(2) {
        for sight in pair {
            let count = summary.tally.count_of_sight(*sight);
            text += &format!("{:>36} {count:>9}", sight.words());
        }
        text += "\n";
    }
    text += "\nstruck, and how the transactions stood that it struck (· cannot be, - seldom is)\n";
    text += &format!("{:>36} {:>9}", "", "times");
    for state in State::ALL {
        text += &format!(" {:>8}", state.words());
    }
    text += "\n";
    for fault in Fault::ALL {
        text += &format!("{:>36} {:>9}", fault.words(), summary.tally.count_of_fault(*fault));
        for state in State::ALL {
            text += &format!(" {:>8}", cell(summary.tally.cells(), *fault, *state));
        }
        text += "\n";
    }
    text + "\n" + &figures(summary, took)
}

fn cell(cells: &Cells, fault: Fault, state: State) -> String {
    match (cells.count(fault, state), reach(fault, state)) {
        (0, Reach::Never(_)) => "·".into(),
        (count, Reach::Never(_)) => format!("!{count}"),
        (0, Reach::Seldom(_)) => "-".into(),
        (0, Reach::Sometimes) => "EMPTY".into(),
        (count @ 0..=99_999, Reach::Sometimes | Reach::Seldom(_)) => count.to_string(),
        (count, Reach::Sometimes | Reach::Seldom(_)) => format!("{}k", count / 1_000),
    }
}

fn per_second(summary: &Summary, took: Duration) -> f64 {
    summary.fates.decided() as f64 / took.as_secs_f64().max(f64::EPSILON)
}

fn faults_per_transaction(summary: &Summary) -> f64 {
    summary.tally.faults_total() as f64 / summary.fates.decided().max(1) as f64
}

/// One line for people.
pub fn figures(summary: &Summary, took: Duration) -> String {
    let fates = &summary.fates;
    format!(
        "{} seeds, {} transactions ({} committed, {} aborted, {} mixed, {} hazard), {} faults \
         ({:.1} each), {} events, {} virtual seconds, {:.0} transactions/s: {} violations",
        summary.seeds,
        fates.decided(),
        fates.committed,
        fates.aborted,
        fates.mixed,
        fates.hazard,
        summary.tally.faults_total(),
        faults_per_transaction(summary),
        summary.events,
        summary.lasted_us / 1_000_000,
        per_second(summary, took),
        summary.violations.len(),
    )
}

/// One document for programs.
pub fn document(summary: &Summary, took: Duration) -> String {
    let fates = &summary.fates;
    let tally = &summary.tally;
    let fields = [
        ("transactions", fates.decided().to_string()),
        ("faults", tally.faults_total().to_string()),
        ("violations", summary.violations.len().to_string()),
        ("transactions_per_second", format!("{:.0}", per_second(summary, took))),
        ("committed", fates.committed.to_string()),
        ("aborted", fates.aborted.to_string()),
        ("mixed", fates.mixed.to_string()),
        ("hazard", fates.hazard.to_string()),
        ("faults_per_transaction", format!("{:.2}", faults_per_transaction(summary))),
        ("seeds", summary.seeds.to_string()),
        ("events", summary.events.to_string()),
        ("simulated_seconds", (summary.lasted_us / 1_000_000).to_string()),
        ("kinds", object(Fault::ALL.iter().map(|f| (f.words(), tally.count_of_fault(*f))))),
        ("sights", object(Sight::ALL.iter().map(|s| (s.words(), tally.count_of_sight(*s))))),
        ("cells", cells(tally.cells())),
        ("missing", list(missing(summary).iter().map(String::as_str))),
        ("broken_seeds", {
            let seeds: Vec<_> =
                summary.violations.iter().map(|v| v.order.seed.to_string()).collect();
            format!("[{}]", seeds.join(","))
        }),
    ];
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

/// Names of ours need no escapes.
fn object(fields: impl Iterator<Item = (&'static str, u64)>) -> String {
    let fields: Vec<_> = fields.map(|(name, count)| format!("\"{name}\":{count}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.map(|words| format!("\"{words}\"")).collect();
    format!("[{}]", words.join(","))
}

/// Those that cannot be are left out.
fn cells(cells: &Cells) -> String {
    let rows: Vec<_> = Fault::ALL
        .iter()
        .map(|fault| {
            let can = |state: &&State| !matches!(reach(*fault, **state), Reach::Never(_));
            let row = State::ALL.iter().filter(can);
            let row = row.map(|state| (state.words(), cells.count(*fault, *state)));
            format!("\"{}\":{}", fault.words(), object(row))
        })
        .collect();
    format!("{{{}}}", rows.join(","))
}

//! The program `wholly-sim`: seeds, traces and mutants from the command line.

mod arguments;

use crate::arguments::{Arguments, USAGE};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use wholly_sim::order::Order;
use wholly_sim::print::{document, figures, missing, tables};
use wholly_sim::report::{Mood, Seeds, Summary, Work, carry_out, words_of};
use wholly_sim::shrink::shrink;
use wholly_sim::trace::{LEGEND, Lines, say};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Broken promises that are told in words.
const TOLD_MAX: usize = 10;

/// How often a terminal is told how far a long run is.
const PROGRESS: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("{what}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Err(what) = switch(arguments.mutant.as_deref()) {
        eprintln!("{what}");
        return ExitCode::from(2);
    }
    match (arguments.mutants, arguments.one, arguments.shrink, arguments.hashes) {
        (true, _, _, _) => mutants(&arguments),
        (false, true, true, _) => smaller(&arguments),
        (false, true, false, _) => one(&arguments),
        (false, false, _, true) => hashes(&arguments),
        (false, false, _, false) => many(&arguments),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn exit_of(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(arguments: &Arguments) -> ExitCode {
    let mut order = arguments.order.clone();
    if arguments.trace {
        order.lines = Lines::Printed;
        say(&format!("{LEGEND}\n"));
    }
    let verdict = carry_out(&order);
    say(&words_of(&verdict, arguments.mutant.as_deref()));
    say(&format!("trace hash {:016x}, {} events", verdict.hash, verdict.events));
    exit_of(verdict.violation.is_none())
}

fn smaller(arguments: &Arguments) -> ExitCode {
    // A mutant may break an assertion of ours: that is a finding, not a message.
    std::panic::set_hook(Box::new(|_| {}));
    let Some(shrunk) = shrink(&arguments.order) else {
        say("no promise broken: there is nothing to shrink");
        return ExitCode::SUCCESS;
    };
    say(&words_of(&shrunk.verdict, arguments.mutant.as_deref()));
    let faults = shrunk.verdict.tally.faults_total();
    let events = shrunk.verdict.events;
    say(&format!("{faults} faults and {events} events are left, after {} runs", shrunk.runs));
    ExitCode::FAILURE
}

fn hashes(arguments: &Arguments) -> ExitCode {
    let from = arguments.from;
    for seed in from..from.saturating_add(arguments.seeds.unwrap_or(50)) {
        let verdict = carry_out(&Order::new(seed));
        say(&format!("{seed} {:016x} {}", verdict.hash, verdict.events));
    }
    ExitCode::SUCCESS
}

/// Many seeds, and where somebody looks on, how far they are.
fn run_all(seeds: Seeds, arguments: &Arguments) -> Summary {
    let work = Work::new(seeds);
    let (began, told) = (Instant::now(), Mutex::new(Instant::now()));
    let watched = std::io::stderr().is_terminal();
    let tell = |summary: &Summary| {
        let mut told = told.lock().expect("nobody panics while telling");
        if watched && told.elapsed() >= PROGRESS {
            *told = Instant::now();
            eprint!("\r\x1b[K{}", figures(summary, began.elapsed()));
            let _ = std::io::stderr().flush();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or_else(cores) {
            scope.spawn(|| {
                switch(arguments.mutant.as_deref()).expect("the name was looked up before");
                work.go_and_tell(tell);
            });
        }
    });
    if watched {
        eprint!("\r\x1b[K");
    }
    work.finish()
}

fn many(arguments: &Arguments) -> ExitCode {
    let seeds = Seeds {
        from: arguments.from,
        count: arguments.seeds.unwrap_or(u64::MAX),
        transactions: arguments.transactions.unwrap_or(match arguments.seeds {
            Some(_) => u64::MAX,
            None => 100_000,
        }),
        mood: Mood::Thorough,
    };
    let began = Instant::now();
    let summary = run_all(seeds, arguments);
    let took = began.elapsed();
    match arguments.json {
        true => say(&document(&summary, took)),
        false => say(&tables(&summary, took)),
    }
    for verdict in summary.violations.iter().take(TOLD_MAX) {
        eprintln!("{}", words_of(verdict, arguments.mutant.as_deref()));
    }
    let missing = missing(&summary);
    for words in &missing {
        eprintln!("the faults miss their mark: {words}");
    }
    exit_of(summary.violations.is_empty() && missing.is_empty())
}

/// Switches a seeded bug on for this thread.
#[cfg(feature = "mutants")]
fn switch(name: Option<&str>) -> Result<(), String> {
    use wholly_sim::hunt::Seeded;
    let seeded = name.map(|name| Seeded::find(name).ok_or(name)).transpose();
    wholly_sim::hunt::switch(seeded.map_err(|name| {
        let names: Vec<_> = Seeded::all().map(Seeded::name).collect();
        format!("there is no mutant {name}, but {}", names.join(", "))
    })?);
    Ok(())
}

#[cfg(not(feature = "mutants"))]
fn switch(name: Option<&str>) -> Result<(), String> {
    match name {
        None => Ok(()),
        Some(_) => Err("built without mutants; add --features mutants".into()),
    }
}

/// Hunts every mutant, as many at a time as there are threads.
#[cfg(feature = "mutants")]
fn mutants(arguments: &Arguments) -> ExitCode {
    use std::sync::Mutex;
    use wholly_sim::hunt::{Hunt, SEEDS_MAX, Seeded, hunt};
    std::panic::set_hook(Box::new(|_| {}));
    let from = arguments.from;
    let waiting = Mutex::new(Seeded::all().enumerate());
    let hunted: Mutex<Vec<(usize, Hunt)>> = Mutex::default();
    let work = || {
        let next = || waiting.lock().expect("nobody panics while holding the list").next();
        while let Some((number, seeded)) = next() {
            let hunt = hunt(seeded, from, SEEDS_MAX);
            hunted.lock().expect("nobody panics while holding the list").push((number, hunt));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or_else(cores) {
            scope.spawn(work);
        }
    });
    let mut hunts = hunted.into_inner().expect("nobody panics while holding the list");
    hunts.sort_by_key(|(number, _)| *number);
    let hunts: Vec<Hunt> = hunts.into_iter().map(|(_, hunt)| hunt).collect();
    match (arguments.json, arguments.page) {
        (true, _) => print_hunts_json(&hunts),
        (false, true) => print_hunts_page(&hunts),
        (false, false) => print_hunts(&hunts),
    }
    exit_of(hunts.iter().all(|hunt| hunt.found.is_some()))
}

#[cfg(feature = "mutants")]
fn print_hunts_json(hunts: &[wholly_sim::hunt::Hunt]) {
    let row = |hunt: &wholly_sim::hunt::Hunt| {
        let (name, killed) = (hunt.seeded.name(), hunt.found.is_some());
        format!("{{\"name\":\"{name}\",\"killed\":{killed},\"seeds\":{}}}", hunt.seeds)
    };
    let rows: Vec<String> = hunts.iter().map(row).collect();
    println!("{{\"mutants\":[{}]}}", rows.join(","));
}

/// As docs/internals/simulation.md shows them.
#[cfg(feature = "mutants")]
fn print_hunts_page(hunts: &[wholly_sim::hunt::Hunt]) {
    for hunt in hunts {
        let (name, bug, seeds) = (hunt.seeded.name(), hunt.seeded.bug(), hunt.seeds);
        let violation = hunt.found.as_ref().and_then(|verdict| verdict.violation.as_ref());
        let promise = violation.map_or("ALIVE", |violation| violation.promise);
        println!("| `{name}` | {} | {promise} | {seeds} |", bug.trim_end_matches('.'));
    }
}

#[cfg(feature = "mutants")]
fn print_hunts(hunts: &[wholly_sim::hunt::Hunt]) {
    for hunt in hunts {
        let (name, seeds) = (hunt.seeded.name(), hunt.seeds);
        let violation = hunt.found.as_ref().and_then(|verdict| verdict.violation.as_ref());
        let promise = violation.map_or("ALIVE", |violation| violation.promise);
        println!("{name:<34} {seeds:>5}  {promise:<32} {}", hunt.seeded.bug());
    }
    let alive = hunts.iter().filter(|hunt| hunt.found.is_none()).count();
    println!("{} mutants, {alive} alive", hunts.len());
}

#[cfg(not(feature = "mutants"))]
fn mutants(_arguments: &Arguments) -> ExitCode {
    eprintln!("built without mutants; add --features mutants");
    ExitCode::from(2)
}

//! The test command: everything CI runs, part by part, with the minutes each takes.

use crate::process::{self, Counts};
use crate::services::Services;
use crate::{
    Failure, alerts, crash_sweep, full_disk, fuzz, hostile, kill, mysql, participants, programs,
    tidy,
};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How much is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Fewer rounds of whatever goes in rounds.
    Quick,
    Whole,
}

/// One part of the test command.
struct Part {
    name: &'static str,
    run: fn(&Ground) -> Result<Counts, Failure>,
}

/// What parts run on.
struct Ground<'a> {
    root: &'a Path,
    size: Size,
    services: Services,
}

/// The crash sweep of one transaction; `cargo xtask crash-sweep` sweeps more.
const SAGA: [&str; 2] = ["--mode", "saga"];
/// The same of one whose transaction goes to the archive at once.
const HAND_OVER: [&str; 2] = ["--mode", "hand-over"];

const PARTS: &[Part] = &[
    Part { name: "tidy", run: |ground| once(tidy::run(ground.root, &[])) },
    Part { name: "alerts", run: |ground| alerts::run(ground.root) },
    Part { name: "tests", run: tests },
    Part { name: "mysql", run: |ground| mysql::tests(ground.root) },
    Part { name: "simulator", run: |ground| once(simulate(ground)) },
    Part { name: "determinism", run: |ground| once(programs::sim_repeats(ground.root)) },
    Part { name: "mutants", run: |ground| once(programs::sim(ground.root, &["mutants"])) },
    Part { name: "models", run: |ground| once(programs::models(ground.root, &[])) },
    Part { name: "fuzz", run: |ground| once(run_fuzz(ground)) },
    Part { name: "release", run: |ground| once(programs::release(ground.root).map(drop)) },
    Part { name: "participants", run: |ground| participants::all(ground.root, &ground.services) },
    Part { name: "kill", run: |ground| once(kill(ground)) },
    Part { name: "hostile", run: |ground| once(hostile::run(ground.root, &[])) },
    Part { name: "full-disk", run: |ground| full_disk::run(ground.root, &[]) },
    Part { name: "trace", run: |ground| once(kill::run(ground.root, &["trace"])) },
    Part { name: "crash-sweep", run: |ground| once(crash_sweep::run(ground.root, &SAGA)) },
    Part { name: "hand-over", run: |ground| once(crash_sweep::run(ground.root, &HAND_OVER)) },
    Part { name: "demo", run: |ground| once(programs::demo(ground.root)) },
    Part { name: "bench", run: |ground| once(programs::bench(ground.root, &["--quick"])) },
];

/// The task `test`.
pub(crate) fn run(root: &Path, size: Size) -> Result<(), Failure> {
    let began = Instant::now();
    let services = Services::start()?;
    let ground = Ground { root, size, services };
    let mut counts = Counts::default();
    let mut table = Vec::new();
    for part in PARTS {
        println!("\n== {}", part.name);
        let part_began = Instant::now();
        let (counted, how) = match (part.run)(&ground) {
            Ok(counted) if counted.failed == 0 && counted.skipped == 0 => (counted, "passed"),
            Ok(counted) if counted.failed == 0 => (counted, "skipped some"),
            Ok(counted) => (counted, "FAILED"),
            Err(failure) => {
                println!("{}: {failure}", part.name);
                (Counts::failure(), "FAILED")
            }
        };
        counts.add(counted);
        table.push((part.name, how, part_began.elapsed()));
        if counts.failed > 0 {
            break;
        }
    }
    println!();
    for (name, how, took) in &table {
        println!("{name:<14}{how:<13}{}", minutes(*took));
    }
    for part in &PARTS[table.len()..] {
        println!("{:<14}not run", part.name);
    }
    println!("{:<14}{:<13}{}", "all", "", minutes(began.elapsed()));
    println!("{counts}");
    match counts.failed {
        0 => Ok(()),
        _ => Err(Failure::new("the tests failed")),
    }
}

fn minutes(took: Duration) -> String {
    format!("{:>6.2} min", took.as_secs_f64() / 60.0)
}

/// A part that is one check.
fn once(result: Result<(), Failure>) -> Result<Counts, Failure> {
    result.map(|()| Counts::one())
}

fn simulate(ground: &Ground) -> Result<(), Failure> {
    let transactions = match ground.size {
        Size::Quick => "10000",
        Size::Whole => "600000",
    };
    programs::sim(ground.root, &["--transactions", transactions])
}

fn run_fuzz(ground: &Ground) -> Result<(), Failure> {
    let seconds = match ground.size {
        Size::Quick => "3",
        Size::Whole => "10",
    };
    fuzz::run(ground.root, &["--seconds", seconds])
}

fn kill(ground: &Ground) -> Result<(), Failure> {
    let cycles = match ground.size {
        Size::Quick => "5",
        Size::Whole => "20",
    };
    kill::run(ground.root, &["--cycles", cycles])
}

fn tests(ground: &Ground) -> Result<Counts, Failure> {
    let mut command = Command::new("cargo");
    command.args("test --locked --workspace --all-features --no-fail-fast".split(' '));
    command.current_dir(ground.root);
    ground.services.tell(&mut command);
    let mut counts = process::run_tests(&mut command)?;
    counts.add(process::run_tests(&mut fuzz::replay(ground.root))?);
    Ok(counts)
}

//! The test command: everything CI runs, part by part, with the minutes each takes.

use crate::process::{self, Counts};
use crate::services::Services;
use crate::{Failure, tidy};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// One part of the test command.
struct Part {
    name: &'static str,
    run: fn(&Ground) -> Result<Counts, Failure>,
}

/// What parts run on.
struct Ground<'a> {
    root: &'a Path,
    services: Services,
}

const PARTS: &[Part] = &[
    Part { name: "tidy", run: |ground| tidy::run(ground.root, &[]).map(|()| Counts::one()) },
    Part { name: "tests", run: tests },
];

/// The task `test`.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let began = Instant::now();
    let services = Services::start()?;
    let ground = Ground { root, services };
    let mut counts = Counts::default();
    let mut table = Vec::new();
    for part in PARTS {
        println!("\n== {}", part.name);
        let part_began = Instant::now();
        let (counted, how) = match (part.run)(&ground) {
            Ok(counted) if counted.failed == 0 => (counted, "passed"),
            Ok(counted) => (counted, "FAILED"),
            Err(failure) => {
                println!("{}: {failure}", part.name);
                (Counts { passed: 0, failed: 1 }, "FAILED")
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
        println!("{name:<14}{how:<8}{}", minutes(*took));
    }
    for part in &PARTS[table.len()..] {
        println!("{:<14}not run", part.name);
    }
    println!("{:<14}{:<8}{}", "all", "", minutes(began.elapsed()));
    println!("{} passed, {} failed", counts.passed, counts.failed);
    match counts.failed {
        0 => Ok(()),
        _ => Err(Failure::new("the tests failed")),
    }
}

fn minutes(took: Duration) -> String {
    format!("{:>6.2} min", took.as_secs_f64() / 60.0)
}

fn tests(ground: &Ground) -> Result<Counts, Failure> {
    let mut command = Command::new("cargo");
    command.args("test --workspace --all-features --no-fail-fast".split(' '));
    command.current_dir(ground.root);
    ground.services.tell(&mut command);
    process::run_tests(&mut command)
}

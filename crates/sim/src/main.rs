//! The program `wholly-sim`: seeds, traces and mutants from the command line.

use std::process::ExitCode;
use std::time::Instant;
use wholly_sim::report::{Mood, Seeds, Summary, Work, run, words_of};
use wholly_sim::trace::{LEGEND, Lines, say};

const USAGE: &str = "\
wholly-sim [--seed N [--trace]] [--from SEED] [--seeds N] [--transactions N] [--json]
           [--mutant NAME]
wholly-sim mutants [--json]

  --seed N           run one seed; with --trace, one line per event
  --from SEED        run seeds from here on (1)
  --seeds N          at most so many (all it takes for the transactions)
  --transactions N   at most so many transactions, all together (100000 without --seeds)
  --mutant NAME      with a seeded bug switched on
  --json             one line for programs
  mutants            switch each seeded bug on, and say whether it was found";

/// Seeds within which each mutant must be found.
#[cfg(feature = "mutants")]
const MUTANT_SEEDS_MAX: u64 = 2_000;

#[derive(Debug, Default)]
struct Arguments {
    seed: Option<u64>,
    trace: bool,
    from: Option<u64>,
    seeds: Option<u64>,
    transactions: Option<u64>,
    json: bool,
    mutant: Option<String>,
    mutants: bool,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
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
    match (arguments.mutants, arguments.seed) {
        (true, _) => mutants(&arguments),
        (false, Some(seed)) => one(seed, &arguments),
        (false, None) => many(&arguments),
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        let mut number = || -> Result<Option<u64>, String> {
            let text = words.next().ok_or(format!("{word} needs a number"))?;
            Ok(Some(text.parse().map_err(|_| format!("{text} is no number"))?))
        };
        match word.as_str() {
            "--seed" => arguments.seed = number()?,
            "--from" => arguments.from = number()?,
            "--seeds" => arguments.seeds = number()?,
            "--transactions" => arguments.transactions = number()?,
            "--trace" => arguments.trace = true,
            "--json" => arguments.json = true,
            "--mutant" => arguments.mutant = words.next(),
            "mutants" => arguments.mutants = true,
            "--help" | "-h" => return Err(String::new()),
            other => return Err(format!("{other} is not known")),
        }
    }
    Ok(arguments)
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let lines = if arguments.trace { Lines::Printed } else { Lines::Hashed };
    if arguments.trace {
        say(&format!("{LEGEND}\n"));
    }
    let verdict = run(seed, lines);
    say(&words_of(&verdict, arguments.mutant.as_deref()));
    say(&format!("trace hash {:016x}, {} events", verdict.hash, verdict.events));
    if verdict.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Many seeds, on two threads.
fn run_all(seeds: Seeds) -> Summary {
    let work = Work::new(seeds);
    std::thread::scope(|scope| {
        scope.spawn(|| work.go());
        scope.spawn(|| work.go());
    });
    work.finish()
}

fn many(arguments: &Arguments) -> ExitCode {
    let seeds = Seeds {
        from: arguments.from.unwrap_or(1),
        count: arguments.seeds.unwrap_or(u64::MAX),
        transactions: arguments.transactions.unwrap_or(match arguments.seeds {
            Some(_) => u64::MAX,
            None => 100_000,
        }),
        mood: Mood::Thorough,
    };
    let start = Instant::now();
    let summary = run_all(seeds);
    let per_second = summary.transactions as f64 / start.elapsed().as_secs_f64();
    let never = match summary.transactions >= LONG {
        true => summary.tally.never(),
        false => Vec::new(),
    };
    match arguments.json {
        true => print_json(&summary, per_second),
        false => print_table(&summary, per_second, &never),
    }
    for verdict in summary.violations.iter().take(10) {
        eprintln!("{}", words_of(verdict, arguments.mutant.as_deref()));
    }
    for words in &never {
        eprintln!("never seen in a long run: {words}");
    }
    match summary.violations.is_empty() && never.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Transactions from which on everything must have been seen.
const LONG: u64 = 100_000;

fn print_json(summary: &Summary, per_second: f64) {
    let aborted = summary.tally.count_of_sight(wholly_sim::tally::Sight::Aborted);
    println!(
        "{{\"transactions\":{},\"faults\":{},\"aborted\":{aborted},\"violations\":{},\
         \"transactions_per_second\":{per_second:.0},\"seeds\":{},\"events\":{},\
         \"simulated_seconds\":{}}}",
        summary.transactions,
        summary.tally.faults_total(),
        summary.violations.len(),
        summary.seeds,
        summary.events,
        summary.lasted_us / 1_000_000,
    );
}

fn print_table(summary: &Summary, per_second: f64, never: &[&str]) {
    for (words, count) in summary.tally.rows() {
        let mark = if never.contains(&words) { "  <- never" } else { "" };
        println!("{words:>36} {count:>10}{mark}");
    }
    println!(
        "{} seeds, {} transactions, {} faults, {} events, {} virtual seconds, {per_second:.0} \
         transactions/s: {} violations",
        summary.seeds,
        summary.transactions,
        summary.tally.faults_total(),
        summary.events,
        summary.lasted_us / 1_000_000,
        summary.violations.len(),
    );
}

#[cfg(feature = "mutants")]
fn switch(name: Option<&str>) -> Result<(), String> {
    match wholly_sim::mutants::switch(name) {
        true => Ok(()),
        false => Err(format!("no such mutant; there are {:?}", wholly_sim::mutants::names())),
    }
}

#[cfg(not(feature = "mutants"))]
fn switch(name: Option<&str>) -> Result<(), String> {
    match name {
        None => Ok(()),
        Some(_) => Err("built without mutants; add --features mutants".into()),
    }
}

#[cfg(feature = "mutants")]
fn mutants(arguments: &Arguments) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let mut rows = Vec::new();
    let mut all_killed = true;
    for name in wholly_sim::mutants::names() {
        let known = wholly_sim::mutants::switch(Some(name));
        assert!(known, "names are those of mutants");
        let seeds = Seeds {
            from: arguments.from.unwrap_or(1),
            count: MUTANT_SEEDS_MAX,
            transactions: u64::MAX,
            mood: Mood::Quick,
        };
        let summary = run_all(seeds);
        let killed = !summary.violations.is_empty();
        all_killed &= killed;
        rows.push(format!(
            "{{\"name\":\"{name}\",\"killed\":{killed},\"seeds\":{}}}",
            summary.seeds
        ));
        if !arguments.json {
            let how =
                summary.violations.first().map_or("alive".into(), |v| words_of(v, Some(name)));
            println!("{name:>28} {:>5} seeds  {how}", summary.seeds);
        }
    }
    if arguments.json {
        println!("{{\"mutants\":[{}]}}", rows.join(","));
    }
    if all_killed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "mutants"))]
fn mutants(_arguments: &Arguments) -> ExitCode {
    eprintln!("built without mutants; add --features mutants");
    ExitCode::from(2)
}

//! Fuzzing: builds `fuzz/` with what libFuzzer needs to see, and runs its targets side by side.

use crate::numbers;
use crate::{Failure, process, programs, services};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Which target the program runs; asked for `LIST`, it names them all.
const TARGET: &str = "WHOLLY_FUZZ_TARGET";
const LIST: &str = "--list";
/// What the compiler adds so that libFuzzer sees which way an input went, and what was compared
/// (SanitizerCoverage); a stable compiler takes it as passes of LLVM.
const RUSTFLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 --cfg fuzzing";
/// One input that hangs, or takes memory beyond this, is a finding.
const LIMITS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=1024", "-malloc_limit_mb=256"];
const SECONDS_DEFAULT: u64 = 10;
/// Lines of a failed target's log that are shown.
const LINES_SHOWN: usize = 40;

/// One target, and the longest input worth trying.
struct Target {
    name: String,
    bytes_max: String,
}

/// What one target did.
struct Ran {
    name: String,
    executions: u64,
    /// Nothing, or what it found.
    fault: Option<String>,
}

/// The task `fuzz`.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), Failure> {
    let mut seconds = SECONDS_DEFAULT;
    let mut wanted = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => seconds = numbers::after(word, words.next())?,
            option if option.starts_with('-') => {
                return Err(Failure::new(format!("fuzz has no option `{option}`")));
            }
            name => wanted = Some(name),
        }
    }
    services::install_of(&["g++", "setpriv"])?;
    let program = build(root)?;
    let targets = targets(root, &program, wanted)?;
    let ran = side_by_side(root, &program, &targets, seconds)?;
    for one in &ran {
        let how = one.fault.as_deref().unwrap_or("nothing found");
        println!("{:<16}{:>12} executions   {how}", one.name, one.executions);
    }
    match ran.iter().any(|one| one.fault.is_some()) {
        true => Err(Failure::new("the fuzzer found something; the input is kept in fuzz/found")),
        false => Ok(()),
    }
}

/// `cargo test` over the kept inputs, without the fuzzer.
pub(crate) fn replay(root: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.args("test --locked --manifest-path fuzz/Cargo.toml --target-dir".split(' '));
    command.arg(programs::target(root)).current_dir(root);
    command
}

fn build(root: &Path) -> Result<PathBuf, Failure> {
    let said = process::output(root, "rustc", ["-vV"])?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::new("`rustc -vV` names no host"))?;
    let folder = programs::target(root).join("fuzz");
    let mut command = Command::new("cargo");
    let args = "build --locked --profile fuzz --features libfuzzer --manifest-path fuzz/Cargo.toml";
    command.args(args.split(' ')).args(["--target", host]).arg("--target-dir").arg(&folder);
    command.env("RUSTFLAGS", RUSTFLAGS).current_dir(root);
    process::run_command(&mut command)?;
    Ok(folder.join(host).join("fuzz/wholly-fuzz"))
}

fn targets(root: &Path, program: &Path, wanted: Option<&str>) -> Result<Vec<Target>, Failure> {
    let mut command = Command::new(program);
    command.env(TARGET, LIST).current_dir(root);
    let output = command.output();
    let output = output.map_err(|e| Failure::new(format!("asking for the targets failed: {e}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut targets: Vec<Target> = said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, bytes_max)| Target { name: name.into(), bytes_max: bytes_max.into() })
        .collect();
    let known: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
    targets.retain(|target| wanted.is_none_or(|name| name == target.name));
    match targets.is_empty() {
        true => Err(Failure::new(format!("a target is one of {}", known.join(", ")))),
        false => Ok(targets),
    }
}

/// As many targets at once as there are processors.
fn side_by_side(
    root: &Path,
    program: &Path,
    targets: &[Target],
    seconds: u64,
) -> Result<Vec<Ran>, Failure> {
    let width = std::thread::available_parallelism().map_or(1, |count| count.get());
    let next = Mutex::new(targets.iter());
    let take = || next.lock().expect("no thread panics while it takes one").next();
    let work = || {
        let mut ran = Vec::new();
        while let Some(target) = take() {
            ran.push(fuzz(root, program, target, seconds)?);
        }
        Ok(ran)
    };
    let all: Result<Vec<Vec<Ran>>, Failure> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..width).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it returns")).collect()
    });
    Ok(all?.into_iter().flatten().collect())
}

fn fuzz(root: &Path, program: &Path, target: &Target, seconds: u64) -> Result<Ran, Failure> {
    let Target { name, bytes_max } = target;
    let corpus = programs::target(root).join("fuzz/corpus").join(name);
    let found = root.join("fuzz/found").join(name);
    let seeds = root.join("fuzz/seeds").join(name);
    let log = programs::target(root).join(format!("fuzz/{name}.log"));
    let tried = |e| Failure::new(format!("making the folders of {name} failed: {e}"));
    fs::create_dir_all(&corpus).and_then(|()| fs::create_dir_all(&found)).map_err(tried)?;
    let file = File::create(&log).map_err(tried)?;
    let mut command = process::mortal("KILL");
    command.arg("--").arg(program).env(TARGET, name).current_dir(root);
    command.args(LIMITS).arg("-print_final_stats=1").arg(format!("-max_len={bytes_max}"));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", found.display()));
    command.arg(&corpus).arg(&found);
    if seeds.exists() {
        command.arg(&seeds);
    }
    let copy = file.try_clone().map_err(tried)?;
    command.stdout(file).stderr(copy);
    let shown = process::shown(&command);
    let status =
        command.status().map_err(|e| Failure::new(format!("running `{shown}` failed: {e}")))?;
    // An empty folder says nothing and would stay behind.
    fs::remove_dir(&found).ok();
    let said = fs::read(&log).map_err(|e| Failure::new(format!("reading {log:?} failed: {e}")))?;
    let said = String::from_utf8_lossy(&said);
    let executions = executions(&said);
    let fault = match (status.success(), executions) {
        (true, 0) => Some("ran nothing".to_owned()),
        (true, _) => None,
        (false, _) => {
            println!("{}", last_lines(&said));
            Some(format!("ended with {status}; again: {TARGET}={name} {} INPUT", program.display()))
        }
    };
    Ok(Ran { name: name.clone(), executions, fault })
}

fn executions(said: &str) -> u64 {
    let count = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}

fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_often_it_ran() {
        assert_eq!(executions("x\nstat::number_of_executed_units: 2603\ny"), 2_603);
        assert_eq!(executions("nothing of the kind"), 0);
    }
}

//! Tasks of the repository: `cargo xtask help` lists them.

mod alerts;
mod by_hand;
mod chance;
mod crash_sweep;
mod full_disk;
mod fuzz;
mod hostile;
mod http;
mod kill;
mod mysql;
mod numbers;
mod participants;
mod process;
mod programs;
mod services;
mod shop;
mod test;
mod tidy;

use crate::test::Size;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask TASK

  test [--quick]    everything CI runs; --quick does fewer rounds of what goes in rounds
  tidy [--explain] [--fast] [--write-map] [--write-codes] [--write-keys]
                    every rule that a program can check; --fast leaves clippy out
  services          says which servers and tools are there
  services install  installs the missing ones (Debian, as root)
  services start [PROGRAM ARGUMENTS…]
                    private servers, for the program or until the input ends
  sim [ARGUMENTS…]  the simulator; `cargo xtask sim --help`
  mutants           the simulator finds every seeded bug
  models [NAME…] [--json]
                    small models explored whole, and wrong twins that they catch
  bench [--quick] [--json]
                    throughput, latency, CPU, forced writes, beside the floor
  bench isolation [--quick] [--json] [--check [RATIO]]
                    what a dead destination with 10,000 transactions takes from healthy ones
  bench signed|spans|tls [--quick] [--json]
                    the whole path with signatures, spans or TLS beside the path without
  bench ended [--quick] [--json]
                    lists, starts and memory beside 1,000,000 ended transactions
  bench build PROGRAM [--quick] [--json]
                    another build of `wholly` beside this one
  soak [--minutes 30] [--load 0.7] [--seed S] [--json]
                    a long load with kills: nothing lost, nothing twice, memory flat
  mysql             the barrier's tests on MySQL proper, unpacked from Debian's packages
  alerts            the alert rules, run by Prometheus' own tool
  participants      every example of a participant by hand, in each language whose tools are
                    there: checked, then all together in real transactions
  kill [--cycles N] [--seed S] [--json]
                    the shop under load, its processes killed with SIGKILL
  kill trace        the coordinator under strace: nothing leaves before its sync
  crash-sweep [--mode saga|tcc|hand-over|recovery]
                    the coordinator struck at each system call of its log
  full-disk [--program FILE]
                    a coordinator on a disk that is full: nothing is lost; takes root
  hostile [--program FILE]
                    clients and participants that mean no good: memory, healthy calls, figures
  fuzz [TARGET] [--seconds N]
                    arbitrary inputs into one target or all, N seconds each";

/// What a task could not do, in one sentence for a person.
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Failure {
        Failure(what.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&root(), &words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(root: &Path, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["tidy", options @ ..] => tidy::run(root, options),
        ["test"] => test::run(root, Size::Whole),
        ["test", "--quick"] => test::run(root, Size::Quick),
        ["services", options @ ..] => services::run(options),
        ["sim", options @ ..] => programs::sim(root, options),
        ["mutants", options @ ..] => programs::sim(root, &[&["mutants"], options].concat()),
        ["models", options @ ..] => programs::models(root, options),
        ["bench", options @ ..] => programs::bench(root, options),
        ["soak", options @ ..] => programs::bench(root, &[&["soak"], options].concat()),
        ["mysql"] => mysql::run(root),
        ["alerts"] => alerts::run(root).map(drop),
        ["participants"] => participants::run(root),
        ["kill", options @ ..] => kill::run(root, options),
        ["hostile", options @ ..] => hostile::run(root, options),
        ["full-disk", options @ ..] => full_disk::run(root, options).map(drop),
        ["fuzz", options @ ..] => fuzz::run(root, options),
        ["crash-sweep", options @ ..] => crash_sweep::run(root, options),
        [] | ["help" | "--help" | "-h", ..] => {
            println!("{HELP}");
            Ok(())
        }
        [other, ..] => Err(Failure::new(format!("there is no task `{other}`\n\n{HELP}"))),
    }
}

/// The root of the repository this program was built from.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask lies in the root").to_path_buf()
}

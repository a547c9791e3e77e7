//! Programs that tasks run: what they say, and that none outlives the task.

use crate::Failure;
use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Runs a program to its end and returns what it said on its standard output.
pub(crate) fn output<'a>(
    root: &Path,
    program: &str,
    args: impl IntoIterator<Item = &'a str>,
) -> Result<String, Failure> {
    let mut command = Command::new(program);
    command.args(args).current_dir(root).stderr(Stdio::inherit());
    let shown = shown(&command);
    let output =
        command.output().map_err(|e| Failure::new(format!("starting `{shown}` failed: {e}")))?;
    if !output.status.success() {
        return Err(Failure::new(format!("`{shown}` ended with {}", output.status)));
    }
    String::from_utf8(output.stdout)
        .map_err(|e| Failure::new(format!("`{shown}` did not write UTF-8: {e}")))
}

/// Runs a program to its end; its output is shown as it comes.
pub(crate) fn run<'a>(
    root: &Path,
    program: &str,
    args: impl IntoIterator<Item = &'a str>,
) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command.args(args).current_dir(root);
    run_command(&mut command)
}

/// The same for a command with an environment of its own.
pub(crate) fn run_command(command: &mut Command) -> Result<(), Failure> {
    let shown = shown(command);
    println!("$ {shown}");
    let status =
        command.status().map_err(|e| Failure::new(format!("starting `{shown}` failed: {e}")))?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("`{shown}` ended with {status}"))),
    }
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The beginning of a command (`setpriv`) whose process gets a signal when this one ends, however
/// it ends. More options of `setpriv` may follow, then `--`, the program and its arguments.
pub(crate) fn mortal(signal: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--pdeathsig={signal}")).stdin(Stdio::null());
    command
}

/// Starts a program with its input and output piped, and waits until it says where it serves:
/// `ready http://ADDRESS`, or `https`. None if it ended without saying so, or is about to.
pub(crate) fn serve(command: &mut Command) -> io::Result<(Child, Option<SocketAddr>)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let url = line.strip_prefix("ready ")?;
        let at = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
        at.parse().ok()
    });
    // Read on, so that it never waits for a full pipe.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Ok((child, address))
}

/// Sends a signal to a child that has not been waited for, so that its id is still its own.
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().ok();
}

/// How many checks passed and failed, and how many could not be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// What they need is not there; each was named.
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) fn one() -> Counts {
        Counts { passed: 1, ..Counts::default() }
    }

    pub(crate) fn failure() -> Counts {
        Counts { failed: 1, ..Counts::default() }
    }

    pub(crate) fn add(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// What the closing line of one test program says.
    fn parse(line: &str) -> Option<Counts> {
        let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        let count = |what: &str| {
            let part = counts.split(';').find(|part| part.ends_with(what))?;
            part.trim().split(' ').next()?.parse().ok()
        };
        let (passed, failed) = (count(" passed")?, count(" failed")?);
        Some(Counts { passed, failed, ..Counts::default() })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

/// Runs `cargo test` and counts what it says. Ending badly without a failed test is a failure,
/// and so is ending well without any test.
pub(crate) fn run_tests(command: &mut Command) -> Result<Counts, Failure> {
    let shown = shown(command);
    println!("$ {shown}");
    let tried = |e| Failure::new(format!("running `{shown}` failed: {e}"));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(tried)?;
    let mut counts = Counts::default();
    for line in BufReader::new(child.stdout.take().expect("its output is piped")).lines() {
        let line = line.map_err(tried)?;
        println!("{line}");
        counts.add(Counts::parse(&line).unwrap_or_default());
    }
    let status = child.wait().map_err(tried)?;
    match (status.success(), counts) {
        (true, Counts { passed: 0, .. }) => Err(Failure::new(format!("`{shown}` ran no test"))),
        (false, Counts { failed: 0, .. }) => {
            Err(Failure::new(format!("`{shown}` ended with {status}")))
        }
        (true | false, counts) => Ok(counts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(u64, u64)>) {
        let found = Counts::parse(line).map(|counts| (counts.passed, counts.failed));
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn reads_closing_lines_of_test_programs() {
        let rest = "0 ignored; 0 measured; 0 filtered out; finished in 0.09s";
        check(&format!("test result: ok. 11 passed; 0 failed; {rest}"), Some((11, 0)));
        check(&format!("test result: FAILED. 10 passed; 1 failed; {rest}"), Some((10, 1)));
        check("test tests::a_result ... ok", None);
    }

    #[test]
    fn a_test_run_that_ends_badly_or_runs_nothing_fails() {
        let run = |script: &str| run_tests(Command::new("sh").args(["-c", script]));
        let good = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'";
        assert!(run(good).is_ok_and(|counts| counts.passed == 2));
        assert!(run(&format!("{good}; exit 1")).is_err());
        assert!(run("true").is_err());
    }
}

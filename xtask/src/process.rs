//! Programs that tasks run: what they say, and that none outlives the task.

use crate::Failure;
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

/// Sends a signal to a child that has not been waited for, so that its id is still its own.
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().ok();
}

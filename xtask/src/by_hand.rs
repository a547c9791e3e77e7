//! An initiator by hand: every command of its page is run, and must be answered as the page says.

use crate::Failure;
use crate::process::{self, Counts};
use crate::services::{find, free_port};
use std::fs;
use std::path::Path;
use std::process::{Child, Command};

const PAGE: &str = "docs/http.md";
const PARTICIPANT: &str = "docs/participants/stock.py";
/// Programs that its commands need.
const TOOLS: [&str; 4] = ["bash", "curl", "jq", "python3"];
/// Stands behind the answer of each command.
const END: &str = "@@@";
/// What differs from one run to the next.
const VARYING: [&str; 5] = ["capability", "deadline", "mark", "begun", "changed"];

/// Plays the page in a folder that is there, with the program of this path.
pub(crate) fn check(root: &Path, program: &Path, folder: &Path) -> Result<Counts, Failure> {
    if let Some(tool) = TOOLS.iter().find(|tool| find(tool).is_none()) {
        println!("{PAGE}: NOT RUN, for `{tool}` is not there");
        return Ok(Counts { skipped: 1, ..Counts::default() });
    }
    let failed = |what: &str, e| Failure::new(format!("{what} failed: {e}"));
    let page = fs::read_to_string(root.join(PAGE)).map_err(|e| failed("reading the page", e))?;
    let folder = folder.join("initiator");
    fs::create_dir_all(&folder).map_err(|e| failed("making a folder", e))?;
    let (stock, coordinator) = (free_port()?, free_port()?);
    let mut command = process::mortal("KILL");
    command.args(["--", "python3"]).arg(root.join(PARTICIPANT)).arg(stock.to_string());
    let _stock = Served::start(command.arg(folder.join("stock.db")))?;
    let mut command = process::mortal("KILL");
    command.arg("--").arg(program).args(["serve", "--dev", "--data"]).arg(folder.join("data"));
    command.args(["--listen", &format!("127.0.0.1:{coordinator}")]);
    command.args(["--destination", &format!("stock=http://127.0.0.1:{stock}")]);
    let _coordinator = Served::start(&mut command)?;

    let commands = commands(&page);
    let script: String = commands
        .iter()
        .map(|(command, _)| format!("{command}\nprintf '\\n{END}\\n'\n"))
        .collect::<String>()
        .replace(":7700", &format!(":{coordinator}"))
        .replace(":8080", &format!(":{stock}"));
    let ran = Command::new("bash").args(["-c", &script]).current_dir(&folder).output();
    let ran = ran.map_err(|e| failed("running the commands", e))?;
    let heard = String::from_utf8_lossy(&ran.stdout).into_owned();
    let mut heard = heard.split(END).map(steady);
    let mut counts = Counts::default();
    for (command, expected) in &commands {
        let heard = heard.next().unwrap_or_default();
        let is_right = heard == steady(expected);
        if !is_right {
            println!("{PAGE}: {command}\n  says\n{expected}\n  heard\n{heard}");
        }
        counts.add(if is_right { Counts::one() } else { Counts::failure() });
    }
    println!("{PAGE}: {} commands answered as it says", counts.passed);
    Ok(counts)
}

/// Every command of a page and what it says is answered.
fn commands(page: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let (mut is_code, mut is_answer) = (false, false);
    for line in page.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            is_answer = false;
        } else if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), String::new()));
            is_answer = true;
        } else if let (true, Some((_, answer))) = (is_code && is_answer, commands.last_mut()) {
            answer.push_str(line);
            answer.push('\n');
        }
    }
    commands
}

/// An answer without what differs from run to run, and without empty lines.
fn steady(answer: &str) -> String {
    let lines = answer.lines().filter(|line| !line.is_empty());
    VARYING.iter().fold(lines.collect::<Vec<_>>().join("\n"), |text, name| {
        let (before, after) = (format!("\"{name}\":"), "…");
        let mut parts = text.split(&before);
        let mut steady = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start().strip_prefix('"').and_then(|part| part.split_once('"'));
            steady += &before;
            steady += &rest.map_or(part.to_owned(), |(_, rest)| format!("{after}{rest}"));
        }
        steady
    })
}

/// A process that serves, and ends with this value.
struct Served(Child);

impl Served {
    /// It knows no credential, whatever is known here.
    fn start(command: &mut Command) -> Result<Served, Failure> {
        let command = command.env_remove("WHOLLY_ID").env_remove("WHOLLY_SECRET");
        let started = process::serve(command);
        let (child, ready) = started.map_err(|e| Failure::new(format!("starting failed: {e}")))?;
        let served = Served(child);
        match ready {
            Some(_) => Ok(served),
            None => Err(Failure::new("what the page starts ended before it served")),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_answers_below_them() {
        let page = "say\n```\n$ a\n1\n2\n\n$ b\n```\nmore\n```\nno command\n```\n";
        let expected = [("a", "1\n2\n\n"), ("b", "")];
        let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(commands(page), expected);
    }

    #[test]
    fn only_what_varies_is_passed_over() {
        let steady_of = |capability: &str, gid: &str| {
            steady(&format!("{{\"capability\":\"{capability}\",\"gid\":\"{gid}\"}}\n\n"))
        };
        assert_eq!(steady_of("1.a", "o"), steady_of("2.b", "o"));
        assert_ne!(steady_of("1.a", "o"), steady_of("1.a", "p"));
    }
}

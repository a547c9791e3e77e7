//! A child process of the demonstration: this same program, which lives as long as its stdin.

use crate::complaint::{Complaint, Kind};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};

/// The line with which a child says where it listens, before it is told anything.
pub(crate) const BOUND: &str = "bound ";
/// The line with which a child says that it serves.
pub(crate) const READY: &str = "ready ";

/// One child; killed and waited for when dropped.
pub(crate) struct Process {
    name: String,
    child: tokio::process::Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program again with these arguments; its stderr is added to a file.
    pub(crate) fn start(
        name: &str,
        log: &Path,
        arguments: &[OsString],
    ) -> Result<Process, Complaint> {
        let failed = |error: &dyn std::error::Error| {
            Complaint::because(Kind::NotDone, format!("the process `{name}` did not start"), error)
                .means("the demonstration ends; it works on folders of its own")
                .advice("see that this program may start itself and write to its temporary folder")
        };
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let log = OpenOptions::new().create(true).append(true).open(log);
        let mut child = Command::new(program)
            .args(arguments)
            .env("WHOLLY_LOG", "info")
            .env_remove("WHOLLY_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log.map_err(|error| failed(&error))?))
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let stdin = child.stdin.take().expect("stdin was piped");
        let stdout = child.stdout.take().expect("stdout was piped");
        let stdout = BufReader::new(stdout).lines();
        Ok(Process { name: name.to_owned(), child, stdin, stdout })
    }

    /// Waits for a line that begins with this word, and returns the rest of it.
    pub(crate) async fn hear(&mut self, word: &str) -> Result<String, Complaint> {
        loop {
            match self.stdout.next_line().await {
                Ok(Some(line)) => {
                    if let Some(rest) = line.strip_prefix(word) {
                        return Ok(rest.trim().to_owned());
                    }
                }
                Ok(None) | Err(_) => return Err(self.is_gone(word)),
            }
        }
    }

    fn is_gone(&self, word: &str) -> Complaint {
        let happened =
            format!("the process `{}` ended before it said `{}`", self.name, word.trim());
        Complaint::new(Kind::NotDone, happened)
            .means("the demonstration ends; it works on folders of its own")
            .advice("its log in the folder named below says why")
    }

    /// Tells it a line.
    pub(crate) async fn tell(&mut self, line: &str) -> Result<(), Complaint> {
        let line = format!("{line}\n");
        self.stdin.write_all(line.as_bytes()).await.map_err(|error| {
            let happened = format!("the process `{}` does not listen to its parent", self.name);
            Complaint::because(Kind::NotDone, happened, &error)
        })
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<(), Complaint> {
        self.child.kill().await.map_err(|error| {
            let happened = format!("the process `{}` could not be killed", self.name);
            Complaint::because(Kind::NotDone, happened, &error)
        })
    }
}

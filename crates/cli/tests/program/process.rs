//! Processes of the program, and what a test asks of them.

use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;
use wholly_canary::{Canary, found};
use wholly_described::Witness;

/// Longest wait for a line of a log; nothing takes that long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program, which knows nothing of this environment and hears nothing.
pub(crate) fn wholly() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wholly"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// The same, where it logs only what is odd.
pub(crate) fn quiet() -> Command {
    let mut command = wholly();
    command.env("WHOLLY_LOG", "warn");
    command
}

/// Runs a quiet one to its end.
pub(crate) fn run(words: &[&str]) -> Output {
    let output = quiet().args(words).output().unwrap();
    is_silent(&format!("wholly {words:?}"), &format!("{output:?}"));
    output
}

/// Runs a quiet one, which must end with this code and say this.
pub(crate) fn check(words: &[&str], code: i32, expected: &str) {
    check_output(&run(words), &format!("wholly {words:?}"), code, expected);
}

/// What was run must have ended with this code and said this; gives all that it said.
pub(crate) fn check_output(output: &Output, what: &str, code: i32, expected: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{what}: {said}");
    assert!(said.contains(expected), "{what}: {said}");
    is_silent(what, &said);
    said
}

/// A command says no secret, a payload only where payloads are asked for, a reply only where it
/// shows a transaction.
fn is_silent(what: &str, said: &str) {
    let silent: &[Canary] = match (what.contains("--payloads"), what.contains("\"show\"")) {
        (true, _) => &[Canary::Secret],
        (false, true) => &[Canary::Secret, Canary::Payload],
        (false, false) => &Canary::ALL,
    };
    assert_eq!(found(said, silent), None, "{what}: {said}");
}

/// A process that serves as long as its stdin is held, and is gone with this value.
pub(crate) struct Serving {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    /// Where it is found.
    pub(crate) url: String,
    /// What it says of itself, at every level.
    pub(crate) log: Log,
    /// Stands before a coordinator without TLS: what any client of it hears is as described.
    witness: Option<Witness>,
}

impl Serving {
    /// A process that says `ready URL`, and ends with its stdin because its arguments say so.
    pub(crate) fn spawn(command: &mut Command) -> Serving {
        let log = Log::new();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.stderr());
        command.env("WHOLLY_LOG", "trace");
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).find(|line| line.starts_with("ready "));
        let url = ready.expect("it serves").trim_start_matches("ready ").to_owned();
        Serving { child, stdin, url, log, witness: None }
    }

    /// A coordinator, of a command that begins with `serve`.
    pub(crate) fn coordinate(command: &mut Command) -> Serving {
        command.args(["--listen", "127.0.0.1:0", "--until-stdin-ends"]);
        let mut serving = Serving::spawn(command);
        if let Some(address) = serving.url.strip_prefix("http://") {
            let witness = Witness::before(address.parse().unwrap());
            serving.url = witness.url();
            serving.witness = Some(witness);
        }
        serving
    }

    /// Kills it, if it has not ended by itself.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets go of its stdin and waits for its end.
    pub(crate) fn stop(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().unwrap().code()
    }

    /// SIGHUP, and waits until the log says what came of it once more.
    pub(crate) fn hang_up(&self, expected: &str) {
        let log = &self.log;
        let before = log.text().matches(expected).count();
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -HUP \"$0\"", &pid]).status();
        assert!(sent.unwrap().success());
        let began = Instant::now();
        while log.text().matches(expected).count() == before {
            assert!(began.elapsed() < PATIENCE, "it never says {expected}: {}", log.text());
            std::thread::yield_now();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.log.text();
        if std::thread::panicking() {
            let lines: Vec<&str> = said.lines().rev().take(50).collect();
            eprintln!("its log, from the end: {lines:#?}");
        } else {
            assert!(!said.is_empty(), "it logs at every level");
            wholly_canary::check("a log", &said);
        }
    }
}

/// A file into which a process says what it does.
#[derive(Clone)]
pub(crate) struct Log(Arc<NamedTempFile>);

impl Log {
    fn new() -> Log {
        Log(Arc::new(NamedTempFile::new().unwrap()))
    }

    /// The stderr of whoever says it.
    fn stderr(&self) -> File {
        self.0.reopen().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.0.path()).unwrap()
    }
}

/// What a client heard.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    /// All of it, from the status line on.
    pub(crate) text: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        let body = self.text.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends one request; none if no whole answer came.
pub(crate) fn try_ask(
    url: &str,
    line: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Heard> {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).ok()?;
    let mut request = format!("{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    request.push_str(&format!(
        "content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let is_whole = length.parse() == Ok(body.len());
    is_whole.then_some(Heard { status, text })
}

/// Sends one request, which is answered.
pub(crate) fn ask(url: &str, line: &str, headers: &[(&str, &str)], body: &str) -> Heard {
    try_ask(url, line, headers, body).unwrap_or_else(|| panic!("{line} was not answered"))
}

//! The full disk: a real coordinator on a small file system of its own, under load until room is
//! scarce, when it refuses new work and goes on with the rest; and, where it is told not to look,
//! until there is none, when it stops and says why. With more room nothing is lost.

use crate::hostile::participants;
use crate::http::Ask;
use crate::process::{self, Counts};
use crate::{Failure, programs};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Room at first: enough for a few hundred transactions, and far less than the limits of the log.
const SMALL: &str = "24m";
/// Room after it was made.
const LARGE: &str = "128m";
/// Free bytes below which new work is refused, where it is told to look.
const LEAST_BYTES: u64 = 12 << 20;
/// Payload of a transaction.
const PAYLOAD_BYTES: usize = 20_000;
/// More transactions than ever fit.
const TRANSACTIONS_MAX: usize = 5_000;
/// Fewer acknowledged ones would say little.
const ACKNOWLEDGED_MIN: usize = 50;
/// Longest wait for an answer, a start or an end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The task `full-disk`.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<Counts, Failure> {
    let program = match options {
        [] => programs::wholly(root)?,
        ["--program", path] => PathBuf::from(path),
        other => return Err(Failure::new(format!("full-disk does not know {}", other.join(" ")))),
    };
    let participants =
        participants::start().map_err(|e| Failure::new(format!("listening: {e}")))?;
    let good = participants.urls.iter().find(|(name, _)| *name == "good");
    let (_, good) = good.expect("one of them does what it is asked");
    let mut counts = Counts::default();
    for (name, scene) in SCENES {
        let disk = match Disk::mount()? {
            Mounted::Yes(disk) => disk,
            Mounted::No(why) => {
                println!("{name}: NOT TRIED, no tmpfs can be mounted here (it takes root): {why}");
                counts.add(Counts { skipped: 1, ..Counts::default() });
                continue;
            }
        };
        println!("{name}:");
        scene(&Place { program: &program, disk: &disk, good })?;
        counts.add(Counts::one());
    }
    Ok(counts)
}

/// A way in which room runs out, on a disk of its own.
type Scene = fn(&Place<'_>) -> Result<(), Failure>;

const SCENES: [(&str, Scene); 2] = [("scarce", scarce), ("full", full)];

/// New work is refused in time; what is open goes on, and so does everything once there is room.
fn scarce(place: &Place<'_>) -> Result<(), Failure> {
    let running = place.start(LEAST_BYTES)?;
    let begin = json!({"name": "held", "gid": "held"});
    let (_, held) = running.ask("POST", "/v1/transactions", Some(&begin))?;
    let (acknowledged, refused) = fill(&running)?;
    if refused != "503 \"log_full\"" {
        return Err(Failure::new(format!("scarce room is answered {refused}")));
    }
    let capability = held["capability"].as_str().unwrap_or_default();
    let abort = "/v1/transactions/held/abort?wait=ended";
    let shown = [("wholly-capability", capability)];
    let (status, body) = running.ask_with("POST", abort, &shown, Some(&json!({})))?;
    if status != 200 || body["state"] != "ended" {
        return Err(Failure::new(format!("what was open does not go on: {status} {body}")));
    }
    println!("  {acknowledged} sagas acknowledged, then 503 log_full; what was open goes on");
    place.disk.grow()?;
    let began = Instant::now();
    while let (503, body) = running.carry_out(acknowledged)? {
        if began.elapsed() > PATIENCE {
            return Err(Failure::new(format!("it goes on refusing: {body}")));
        }
    }
    nothing_is_lost(&running, acknowledged)?;
    println!("  with more room it takes new ones by itself; all are as they were told");
    Ok(())
}

/// Told not to look, it stops when a write finds no room.
fn full(place: &Place<'_>) -> Result<(), Failure> {
    let running = place.start(0)?;
    let (acknowledged, refused) = fill(&running)?;
    if refused.starts_with(|digit: char| digit.is_ascii_digit()) && !refused.starts_with("503") {
        return Err(Failure::new(format!("a full disk is answered {refused}")));
    }
    let (status, said) = running.end()?;
    no_room("the end", status, &said)?;
    println!("  {acknowledged} sagas acknowledged, then the disk was full and it stopped");
    refuses_to_start(place)?;
    println!("  it does not start on the full disk, and says why");
    place.disk.grow()?;
    nothing_is_lost(&place.start(0)?, acknowledged)?;
    println!("  with more room it starts; all are as they were told, and it goes on");
    Ok(())
}
/// A file system of its own, gone with this value.
struct Disk(PathBuf);

enum Mounted {
    Yes(Disk),
    No(String),
}

impl Disk {
    fn mount() -> Result<Mounted, Failure> {
        let folder = std::env::temp_dir().join(format!("wholly-full-disk-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|e| tried("making its folder", &e))?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={SMALL},mode=0700"), "tmpfs"]);
        let output = command.arg(&folder).output();
        match output {
            Ok(output) if output.status.success() => Ok(Mounted::Yes(Disk(folder))),
            Ok(output) => {
                fs::remove_dir(&folder).ok();
                Ok(Mounted::No(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
            }
            Err(error) => {
                fs::remove_dir(&folder).ok();
                Ok(Mounted::No(format!("mount: {error}")))
            }
        }
    }

    fn grow(&self) -> Result<(), Failure> {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,size={LARGE}")]).arg(&self.0);
        process::run_command(&mut command)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
        fs::remove_dir(&self.0).ok();
        fs::remove_file(self.0.with_extension("log")).ok();
    }
}

fn tried(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("{what} failed: {error}"))
}

/// What a coordinator is started from.
struct Place<'a> {
    program: &'a Path,
    disk: &'a Disk,
    good: &'a str,
}

impl Place<'_> {
    /// Starts it; whether it serves is seen by its address.
    fn start(&self, free_bytes_min: u64) -> Result<Running, Failure> {
        // Beside the disk: what it says must find room.
        let log = self.disk.0.with_extension("log");
        let said = File::create(&log).map_err(|e| tried("making its log", &e))?;
        let mut command = process::mortal("KILL");
        command.arg("--").arg(self.program).args(["serve", "--until-stdin-ends"]);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(self.disk.0.join("data"));
        command.arg("--destination").arg(format!("good={}", self.good));
        command.arg("--set").arg(format!("log.disk_free_bytes_min={free_bytes_min}"));
        let started = process::serve(command.stderr(said));
        let (child, address) = started.map_err(|e| tried("starting the coordinator", &e))?;
        Ok(Running { child: Some(child), address, log })
    }
}

/// A coordinator, gone with this value.
struct Running {
    child: Option<Child>,
    address: Option<SocketAddr>,
    log: PathBuf,
}

impl Running {
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), Failure> {
        self.ask_with(method, path, &[], body)
    }

    fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(u16, Value), Failure> {
        let Some(address) = self.address else {
            return Err(Failure::new(format!("it does not serve: {}", self.said())));
        };
        let ask = Ask { method, path, headers, body, patience: PATIENCE };
        let reply = ask.send(address).map_err(|e| Failure::new(e.0))?;
        Ok((reply.status, reply.body))
    }

    /// Whether a saga of this number was carried out, as its client is told.
    fn carry_out(&self, number: usize) -> Result<(u16, Value), Failure> {
        let payload = "x".repeat(PAYLOAD_BYTES);
        let step = json!({"branch": "b", "to": "good", "operation": "o", "payload": payload});
        let plan = json!({"name": "full", "steps": [step]});
        self.ask("PUT", &format!("/v1/transactions/full-{number}?wait=ended"), Some(&plan))
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it ends by itself, and gives what it said.
    fn end(mut self) -> Result<(ExitStatus, String), Failure> {
        let mut child = self.child.take().expect("it was not waited for");
        // Held open: it ends for want of room, not because nobody wants it any more.
        let stdin = child.stdin.take();
        let (sender, ended) = mpsc::channel();
        let id = child.id();
        std::thread::spawn(move || sender.send(child.wait()).ok());
        let status = match ended.recv_timeout(PATIENCE) {
            Ok(status) => status.map_err(|e| tried("waiting for the coordinator", &e))?,
            Err(_) => {
                drop(stdin);
                return Err(Failure::new(format!("coordinator {id} goes on with a full disk")));
            }
        };
        Ok((status, self.said()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Places sagas until one is not acknowledged; says how many were, and what that one heard.
fn fill(running: &Running) -> Result<(usize, String), Failure> {
    let mut acknowledged = 0;
    let refused = loop {
        if acknowledged == TRANSACTIONS_MAX {
            return Err(Failure::new("the disk is never full"));
        }
        match running.carry_out(acknowledged) {
            Ok((201, body)) if body["outcome"] == "as_decided" => acknowledged += 1,
            Ok((status, body)) => break format!("{status} {}", body["code"]),
            // It may be gone before it could answer.
            Err(failure) => break failure.to_string(),
        }
    };
    if acknowledged < ACKNOWLEDGED_MIN {
        return Err(Failure::new(format!("only {acknowledged} sagas found room: {refused}")));
    }
    Ok((acknowledged, refused))
}

/// It ended badly, and says that there is no room and what to do.
fn no_room(what: &str, status: ExitStatus, said: &str) -> Result<(), Failure> {
    // The system's words, or those of the archive's library.
    let cause = ["No space left on device", "disk is full"].iter().any(|why| said.contains(why));
    let expected = ["acknowledged is", "to do: "];
    let missing = expected.iter().find(|part| !cause || !said.contains(**part));
    match (status.success(), missing) {
        (false, None) => Ok(()),
        (is_good, missing) => Err(Failure::new(format!(
            "{what}: success is {is_good}, and it does not say {missing:?}: {said}"
        ))),
    }
}

fn refuses_to_start(place: &Place<'_>) -> Result<(), Failure> {
    let running = place.start(0)?;
    if running.address.is_some() {
        return Err(Failure::new("it starts on a disk without room"));
    }
    let (status, said) = running.end()?;
    no_room("a start on a full disk", status, &said)
}

fn nothing_is_lost(running: &Running, acknowledged: usize) -> Result<(), Failure> {
    for number in 0..acknowledged {
        let (status, body) =
            running.ask("GET", &format!("/v1/transactions/full-{number}"), None)?;
        if status != 200 || body["outcome"] != "as_decided" || body["decision"] != "commit" {
            return Err(Failure::new(format!("full-{number} was acknowledged: {status} {body}")));
        }
    }
    // The one that was not acknowledged is sent again, and ends.
    let (status, body) = running.carry_out(acknowledged)?;
    match (status, &body["outcome"]) {
        (200 | 201, outcome) if outcome == "as_decided" => Ok(()),
        (status, _) => Err(Failure::new(format!("it does not go on: {status} {body}"))),
    }
}

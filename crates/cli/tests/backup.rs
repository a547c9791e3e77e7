//! Backups of real processes: under load, while a coordinator is killed, cut short themselves; what
//! is put back knows all that had been told before it was asked for.

#![expect(clippy::unwrap_used, reason = "a test stops where its ground fails")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;

fn wholly() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wholly"));
    command.env_clear().env("WHOLLY_LOG", "warn");
    command
}

/// Runs a command line; it must end with this code and say this.
fn check(words: &[&str], code: i32, expected: &str) {
    let output = wholly().args(words).stdin(Stdio::null()).output().unwrap();
    check_output(&output, &format!("wholly {words:?}"), code, expected);
}

fn check_output(output: &Output, what: &str, code: i32, expected: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{what}: {said}");
    assert!(said.contains(expected), "{what}: {said}");
}

/// A coordinator that serves as long as its stdin is held.
struct Serving {
    child: Child,
    _stdin: ChildStdin,
    address: String,
}

impl Serving {
    /// With an archive of many small slices, so that every backup meets hand-overs.
    fn start(data: &Path) -> Serving {
        let mut child = wholly()
            .args(["serve", "--listen", "127.0.0.1:0", "--until-stdin-ends"])
            .args(["--set", "archive.slice_rows_max=1000", "--set", "archive.bulk_rows_max=5"])
            .args(["--set", "log.segment_bytes=65536"])
            .args(["--set", "log.log_bytes_max=16777216", "--data"])
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).find(|line| line.starts_with("ready "));
        let address = ready.expect("it serves").trim_start_matches("ready http://").to_owned();
        Serving { child, _stdin: stdin, address }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends one request; none if no whole answer came.
fn ask(address: &str, line: &str, capability: &str, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nwholly-capability: \
         {capability}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

/// What clients were told: of each transaction its decision.
type Told = BTreeMap<String, &'static str>;

/// Clients of one coordinator, which may die under them and come back elsewhere.
#[derive(Default)]
struct Clients {
    address: Mutex<String>,
    told: Mutex<Told>,
    more: Condvar,
    numbered: AtomicU64,
    over: AtomicBool,
}

impl Clients {
    /// Begins transactions and has them decided, some way or none, until it is over.
    fn run(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let number = self.numbered.fetch_add(1, Ordering::Relaxed);
            let decision = [Some("commit"), Some("abort"), None][(number % 3) as usize];
            let address = self.address.lock().unwrap().clone();
            let gid = format!("order-{number}");
            if self.transact(&address, &gid, decision).is_none() {
                // Nobody answers: another is about to be started.
                thread::yield_now();
            }
        }
    }

    fn transact(&self, address: &str, gid: &str, decision: Option<&'static str>) -> Option<()> {
        let begin = format!(r#"{{"gid":"{gid}","name":"n","timeout_ms":3600000}}"#);
        let (status, begun) = ask(address, "POST /v1/transactions", "", &begin)?;
        assert_eq!(status, 201, "{begun}");
        let capability = begun["capability"].as_str()?;
        if let Some(decision) = decision {
            let line = format!("POST /v1/transactions/{gid}/{decision}");
            let (status, document) = ask(address, &line, capability, "{}")?;
            assert_eq!(status, 200, "{document}");
            // A begin without branches is durable with the decision at the latest.
            self.told.lock().unwrap().insert(gid.to_owned(), decision);
            self.more.notify_all();
        }
        Some(())
    }

    fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }
}

/// Says that what is put back from a backup knows what had been told.
fn check_backup(backup: &Path, restored: &Path, told: &Told) {
    let (from, to) = (backup.to_str().unwrap(), restored.to_str().unwrap());
    check(&["check", "data", from], 0, "the archive is whole");
    check(&["restore", from, "--data", to], 0, "is a copy of");
    let serving = Serving::start(restored);
    for (gid, decision) in told {
        let path = format!("GET /v1/transactions/{gid}");
        let (status, document) = ask(&serving.address, &path, "", "").expect("it answers");
        assert_eq!(status, 200, "{gid}: {document}");
        assert_eq!(document["decision"], *decision, "{document}");
    }
}

/// Runs clients on a coordinator while something is done to it.
fn under_load(data: &Path, act: impl FnOnce(&Clients, &mut Serving)) {
    let mut serving = Serving::start(data);
    let clients = Clients::default();
    *clients.address.lock().unwrap() = serving.address.clone();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| clients.run());
        }
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            act(&clients, &mut serving);
        }));
        clients.over.store(true, Ordering::Relaxed);
        acted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Waits until so many more answers have been told.
fn wait_for(clients: &Clients, more: usize) {
    let told = clients.told.lock().unwrap();
    let enough = told.len() + more;
    drop(clients.more.wait_while(told, |told| told.len() < enough).unwrap());
}

fn start_backup(data: &Path, to: &Path) -> Child {
    let mut command = wholly();
    command.args(["backup", "--data"]).arg(data).arg("--to").arg(to);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Until a backup has begun to copy, or is over.
fn until_copying(making: &mut Child, to: &Path) {
    while !to.join("log").exists() && making.try_wait().unwrap().is_none() {
        thread::yield_now();
    }
}

#[test]
fn a_backup_of_a_running_coordinator_has_all_that_was_told() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    under_load(&data, |clients, _| {
        for round in 0..4 {
            wait_for(clients, 100);
            let told = clients.told();
            let backup = place.path().join(format!("backup-{round}"));
            let made = start_backup(&data, &backup).wait_with_output().unwrap();
            check_output(&made, "backup", 0, "is a backup of");
            check_backup(&backup, &place.path().join(format!("restored-{round}")), &told);
        }
    });
}

#[test]
fn a_backup_is_whole_whenever_the_coordinator_dies() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    under_load(&data, |clients, serving| {
        for round in 0..4 {
            wait_for(clients, 60);
            let told = clients.told();
            let backup = place.path().join(format!("backup-{round}"));
            let mut making = start_backup(&data, &backup);
            if round % 2 == 1 {
                // Later, while what it pinned is being copied.
                until_copying(&mut making, &backup);
            }
            serving.kill();
            // The next one starts while the backup may still be copying.
            *serving = Serving::start(&data);
            *clients.address.lock().unwrap() = serving.address.clone();
            let made = making.wait_with_output().unwrap();
            check_output(&made, "backup", 0, "is a backup of");
            check_backup(&backup, &place.path().join(format!("restored-{round}")), &told);
        }
    });
}

#[test]
fn a_backup_that_was_cut_short_is_none_and_the_next_takes_its_place() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (data, to, restored) = (path("data"), path("backup"), path("restored"));
    under_load(Path::new(&data), |clients, _| {
        wait_for(clients, 50);
        let mut making = start_backup(Path::new(&data), Path::new(&to));
        until_copying(&mut making, Path::new(&to));
        making.kill().unwrap();
        making.wait().unwrap();
        if !Path::new(&to).join("backup.json").exists() {
            check(&["restore", &to, "--data", &restored], 1, "was not finished");
            check(&["check", "data", &to], 1, "was not finished");
            check(&["serve", "--data", &to], 1, "is a backup, not a data folder");
            check(&["backup", "--data", &data, "--to", &to], 0, "is a backup of");
        }
        assert!(!Path::new(&restored).exists());
        let told = clients.told();
        check(&["backup", "--data", &data, "--to", &path("other")], 0, "is a backup of");
        check_backup(Path::new(&path("other")), Path::new(&restored), &told);
    });
    check(&["serve", "--data", &to], 1, "wholly restore");
    check(&["backup", "--data", &to, "--to", &path("third")], 1, "is a backup, not");
    check(&["backup", "--data", &data, "--to", &to], 1, "is not empty");
    check(&["backup", "--data", &path("none"), "--to", &path("third")], 1, "is no data folder");
    let inside = path("data/inside");
    check(&["backup", "--data", &data, "--to", &inside], 1, "lies in the data folder");
    assert!(!Path::new(&inside).exists());
    let key = Path::new(&to).join("capability.key");
    let mut bytes = fs::read(&key).unwrap();
    bytes[7] ^= 1;
    fs::write(&key, bytes).unwrap();
    check(&["restore", &to, "--data", &path("fourth")], 1, "capability.key is not as it was");
    assert!(!Path::new(&path("fourth")).exists());
}

#[test]
fn a_disk_that_is_full_leaves_nothing_and_the_coordinator_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let (data, to) = (place.path().join("data"), place.path().join("backup"));
    under_load(&data, |clients, _| {
        wait_for(clients, 50);
        // No file may grow beyond some blocks: to the program that is a disk without room.
        let full = "trap '' XFSZ; ulimit -f 16; exec \"$0\" backup --data \"$1\" --to \"$2\"";
        let mut command = Command::new("sh");
        command.args(["-c", full, env!("CARGO_BIN_EXE_wholly")]).arg(&data).arg(&to);
        check_output(&command.output().unwrap(), "backup", 1, "no backup was made");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0, "what there was of it is gone");
        wait_for(clients, 50);
        let made = start_backup(&data, &to).wait_with_output().unwrap();
        check_output(&made, "backup", 0, "is a backup of");
    });
}

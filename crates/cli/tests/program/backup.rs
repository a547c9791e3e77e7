//! Backups of real processes: under load, while a coordinator is killed, cut short themselves; what
//! is put back knows all that had been told before it was asked for.

use crate::process::{Serving, ask, check, check_output, quiet, try_ask};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;

/// A coordinator with an archive of many small slices, so that every backup meets hand-overs.
fn start(data: &Path) -> Serving {
    let mut command = quiet();
    command
        .args(["serve", "--set", "archive.slice_rows_max=1000"])
        .args(["--set", "archive.bulk_rows_max=5", "--set", "log.segment_bytes=65536"])
        .args(["--set", "log.log_bytes_max=16777216", "--data"])
        .arg(data);
    Serving::coordinate(&mut command)
}

/// What clients were told: of each transaction its decision.
type Told = BTreeMap<String, &'static str>;

/// Clients of one coordinator, which may die under them and come back elsewhere.
#[derive(Default)]
struct Clients {
    url: Mutex<String>,
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
            let url = self.url.lock().unwrap().clone();
            let gid = format!("order-{number}");
            if self.transact(&url, &gid, decision).is_none() {
                // Nobody answers: another is about to be started.
                thread::yield_now();
            }
        }
    }

    fn transact(&self, url: &str, gid: &str, decision: Option<&'static str>) -> Option<()> {
        let begin = format!(r#"{{"gid":"{gid}","name":"n","timeout_ms":3600000}}"#);
        let begun = try_ask(url, "POST /v1/transactions", &[], &begin)?;
        assert_eq!(begun.status, 201, "{begun:?}");
        if let Some(decision) = decision {
            let line = format!("POST /v1/transactions/{gid}/{decision}");
            let begun = begun.json();
            let shown = [("wholly-capability", begun["capability"].as_str().unwrap())];
            let decided = try_ask(url, &line, &shown, "{}")?;
            assert_eq!(decided.status, 200, "{decided:?}");
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
    let serving = start(restored);
    for (gid, decision) in told {
        let path = format!("GET /v1/transactions/{gid}");
        let heard = ask(&serving.url, &path, &[], "");
        assert_eq!(heard.status, 200, "{gid}: {heard:?}");
        assert_eq!(heard.json()["decision"], *decision, "{heard:?}");
    }
}

/// Runs clients on a coordinator while something is done to it.
fn under_load(data: &Path, act: impl FnOnce(&Clients, &mut Serving)) {
    let mut serving = start(data);
    let clients = Clients::default();
    *clients.url.lock().unwrap() = serving.url.clone();
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
    let mut command = quiet();
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
            *serving = start(&data);
            *clients.url.lock().unwrap() = serving.url.clone();
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

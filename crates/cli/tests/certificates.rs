//! TLS as operators meet it: a coordinator with a certificate, commands that believe it or not, and
//! a certificate that is changed while it runs.

#![expect(clippy::unwrap_used, reason = "a test stops where its ground fails")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use tempfile::TempDir;
use wholly_tls::authority::Authority;

fn wholly() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wholly"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// A coordinator that says what it does into a file.
struct World {
    folder: TempDir,
    child: Child,
    _stdin: ChildStdin,
    /// Where it is, by its name.
    url: String,
}

impl World {
    fn start(known: &Authority) -> World {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = known.issue(&["localhost"]).write(folder.path(), "own");
        let file = folder.path().join("wholly.toml");
        let text = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
        std::fs::write(&file, text).unwrap();
        let mut child = wholly()
            .args(["serve", "--listen", "127.0.0.1:0", "--until-stdin-ends", "--config"])
            .arg(file)
            .arg("--data")
            .arg(folder.path().join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).find(|line| line.starts_with("ready "));
        let url = ready.expect("it serves").trim_start_matches("ready ").to_owned();
        assert!(url.starts_with("https://127.0.0.1:"), "{url}");
        World { url: url.replace("127.0.0.1", "localhost"), folder, child, _stdin: stdin }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its state is asked for by who believes these authorities.
    fn check(&self, ca: &PathBuf, code: i32, expected: &str) {
        let mut command = wholly();
        let output = command.args(["status", "--url", &self.url, "--ca"]).arg(ca).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    }

    /// SIGHUP, and waits until the log says what came of it once more.
    fn hang_up(&self, expected: &str) {
        let log = || std::fs::read_to_string(self.path().join("log")).unwrap();
        let before = log().matches(expected).count();
        let sent = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        while log().matches(expected).count() == before {
            std::thread::yield_now();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_certificate_is_believed_by_its_authority_and_changed_by_a_signal() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let world = World::start(&first);
    let (by_first, by_second) = (first.write(world.path()), second.write(world.path()));
    world.check(&by_first, 0, "finishing");
    world.check(&by_second, 3, "name the authority that signed its certificate: --ca");
    world.check(&world.path().join("nowhere"), 3, "nowhere failed; name a file that this user");

    second.issue(&["localhost"]).write(world.path(), "own");
    world.hang_up("the destinations were read again");
    world.check(&by_second, 0, "finishing");
    world.check(&by_first, 3, "invalid peer certificate");

    std::fs::write(world.path().join("own.key"), "").unwrap();
    world.hang_up("own.key holds no private key");
    world.check(&by_second, 0, "finishing");
}

//! Who asks, as people meet it: credentials of the command line, and that a planted secret and a
//! planted payload come out of the program nowhere.

#![expect(clippy::unwrap_used, reason = "a test stops where its ground fails")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use wholly_wire::base64;

/// Planted: nobody but the one it was given to may ever say it.
const SECRET: &str = "canary-secret-4f1d8a2b9c7e6053-abcdef";
const NEXT: &str = "canary-secret-next-77aa55cc33ee11-xyz";
/// Planted in payloads.
const PAYLOAD: &str = "canary-payload-91b3";

fn wholly() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wholly"));
    command.env_clear().env("WHOLLY_LOG", "trace").stdin(Stdio::null());
    command
}

/// A coordinator that knows three, and everything it says.
struct World {
    folder: tempfile::TempDir,
    child: Child,
    _stdin: ChildStdin,
    url: String,
}

fn configuration(folder: &Path, orders: &str) -> PathBuf {
    let file = folder.join("wholly.toml");
    std::fs::write(folder.join("anna.secret"), format!("{SECRET}\n")).unwrap();
    let text = format!(
        "[credentials.orders]\nsecret = {orders}\n[credentials.stock]\nsecret = \"{SECRET}\"\n\
         [credentials.anna]\nrole = \"operator\"\nsecret_file = {:?}\n\
         [credentials.scraper]\nrole = \"metrics\"\nsecret = \"{SECRET}\"\n\
         [destinations]\nstock = \"http://127.0.0.1:1\"\n[calls]\nbackoff_ms_max = 100\n",
        folder.join("anna.secret")
    );
    std::fs::write(&file, text).unwrap();
    file
}

impl World {
    fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let file = configuration(folder.path(), &format!("\"{SECRET}\""));
        let log = File::create(folder.path().join("log")).unwrap();
        let mut child = wholly()
            .args(["serve", "--listen", "127.0.0.1:0", "--until-stdin-ends", "--config"])
            .arg(file)
            .arg("--data")
            .arg(folder.path().join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).find(|line| line.starts_with("ready "));
        let url = ready.expect("it serves").trim_start_matches("ready ").to_owned();
        World { folder, child, _stdin: stdin, url }
    }

    /// Runs a command as somebody; it must end with this code and say this, and never a secret.
    fn check(&self, (id, secret): (&str, &str), words: &[&str], code: i32, expected: &str) {
        let mut command = wholly();
        command.env("WHOLLY_URL", &self.url).env("WHOLLY_ID", id).env("WHOLLY_SECRET", secret);
        let output = command.args(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "wholly {words:?}: {said}");
        assert!(said.contains(expected), "wholly {words:?}: {said}");
        is_silent(&said);
    }

    /// Sends a request as somebody and gives all that came back.
    fn ask(&self, (id, secret): (&str, &str), line: &str, body: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        let shown = base64::padded(format!("{id}:{secret}").as_bytes());
        let request = format!(
            "{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Basic \
             {shown}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// SIGHUP, and waits until the log says what came of it.
    fn hang_up(&self, expected: &str) {
        let before = self.log().matches(expected).count();
        let sent = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        while self.log().matches(expected).count() == before {
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

/// Neither secret nor payload, in no spelling that a log or an answer may use.
fn is_silent(said: &str) {
    for planted in [SECRET, NEXT, &SECRET[..14], &NEXT[..14], PAYLOAD] {
        let bare = base64::padded(planted.as_bytes());
        let encoded = bare.trim_end_matches('=');
        let encoded = &encoded[..encoded.len() - 2];
        assert!(!said.contains(planted) && !said.contains(encoded), "it says {planted}: {said}");
    }
}

const ANNA: (&str, &str) = ("anna", SECRET);
const ORDERS: (&str, &str) = ("orders", SECRET);

#[test]
fn commands_say_who_asks() {
    let world = World::start();
    world.check(ANNA, &["status"], 0, "finishing  0");
    world.check(ANNA, &["tx", "list"], 0, "no transaction matches");
    world.check(ANNA, &["tx", "show", "o-1"], 4, "gid_unknown");
    world.check(ANNA, &["tx", "park", "o-1", "--reason", "r"], 4, "gid_unknown");
    let data = world.folder.path().join("data");
    let audit = ["audit", "--data", data.to_str().unwrap()];
    world.check(ANNA, &audit, 0, "1 lines, whole and in order");
    let file = data.join("audit.log");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("anna", "otto")).unwrap();
    world.check(ANNA, &audit, 1, "line 1 is not as it was written");
    std::fs::write(&file, text).unwrap();
    world.check(ANNA, &["tx", "retry", "--stuck", "--dry-run"], 0, "would retry 0");
    world.check(("", ""), &["status"], 4, "credential_missing");
    world.check(("anna", NEXT), &["status"], 4, "credential_wrong");
    world.check(("nobody", SECRET), &["tx", "list"], 4, "credential_wrong");
    world.check(ORDERS, &["tx", "list"], 4, "role_forbidden");
    world.check(("anna", ""), &["status"], 2, "there is an id, anna, and no secret");
    world.check(("", SECRET), &["status"], 2, "there is a secret and no id");
    world.check(("anna", &SECRET[..20]), &["status"], 2, "has 20 characters");
    let file = world.folder.path().join("anna.secret");
    let file = file.to_str().unwrap();
    world.check(("", ""), &["status", "--id", "anna", "--secret-file", file], 0, "finishing");
    world.check(("", ""), &["status", "--id", "anna", "--secret-file", "/nowhere"], 2, "/nowhere");
    world.check(ANNA, &["status", "--help"], 0, "WHOLLY_ID");
}

#[test]
fn a_planted_secret_and_a_planted_payload_come_out_nowhere() {
    let world = World::start();
    let step = format!(
        r#"{{"branch":"b","to":"stock","operation":"o","payload":{{"card":"{PAYLOAD}"}}}}"#
    );
    let plan = format!(r#"{{"name":"n","steps":[{step}]}}"#);
    let mut said = Vec::new();
    let asked: &[(&str, &str, &str)] = &[
        ("PUT /v1/transactions/o-1", &plan, "201"),
        ("PUT /v1/transactions/o-1", &plan, "200"),
        ("PUT /v1/transactions/o-1", &plan.replace("\"o\"", "\"p\""), "409"),
        ("PUT /v1/transactions/o-2", &plan.replace("stock", "nobody"), "422"),
        ("PUT /v1/transactions/o-3", &plan[..plan.len() - 9], "400"),
        ("PUT /v1/transactions/o-3", &plan.replace("name", "nmae"), "400"),
        ("POST /v1/transactions/o-1/abort", "{}", "403"),
        ("GET /v1/transactions/o-1?wait=ended&wait_ms=300", "", "202"),
        ("GET /v1/transactions", "", "403"),
        ("GET /v1/nothing", "", "404"),
    ];
    for (line, body, expected) in asked {
        let heard = world.ask(ORDERS, line, body);
        assert!(heard.starts_with("HTTP/1.1 "), "{line}: {heard}");
        let status = heard.split(' ').nth(1).unwrap();
        let is_refused = |text: &str| text.starts_with('4');
        assert_eq!(is_refused(status), is_refused(expected), "{line}: {heard}");
        said.push(heard);
    }
    said.push(world.ask(("orders", NEXT), "GET /v1", ""));
    said.push(world.ask(("scraper", SECRET), "GET /metrics", ""));
    said.push(world.ask(ANNA, "GET /v1/transactions/o-1/history", ""));
    said.push(world.ask(ANNA, "POST /v1/transactions/o-1/park", r#"{"reason":"look"}"#));
    let show = ["tx", "show", "o-1"];
    world.check(ANNA, &show, 0, "o-1");
    world.check(ANNA, &["tx", "list"], 0, "o-1");
    configuration(world.folder.path(), &format!("[\"{NEXT}\", \"{SECRET}\"]"));
    world.hang_up("the destinations were read again");
    assert!(world.ask(("orders", NEXT), "GET /v1", "").starts_with("HTTP/1.1 200"));
    for wrong in
        [format!("\"{}\"", &SECRET[..20]), format!("\"{SECRET}"), format!("\"{SECRET} é\"")]
    {
        configuration(world.folder.path(), &wrong);
        world.hang_up("the destinations of before stay");
    }
    assert!(world.ask(ORDERS, "GET /v1", "").starts_with("HTTP/1.1 200"));
    let log = world.log();
    assert!(log.contains("began gid=o-1"), "the log says something: {log}");
    said.push(log);
    for said in said {
        is_silent(&said);
    }
}

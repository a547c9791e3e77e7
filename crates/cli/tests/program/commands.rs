//! The program as a process: what it prints, how it ends, and that it goes with its parent.

use crate::process::{Heard, Serving, ask, check, quiet, run};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use wholly_canary::PAYLOAD;

/// Runs a command line until it says this: lists show what is durable, a little later than it is
/// seen.
fn until(words: &[&str], expected: &str) {
    let mut said = String::new();
    for _look in 0..1_000 {
        said = String::from_utf8(run(words).stdout).unwrap();
        if said.contains(expected) {
            return;
        }
    }
    panic!("wholly {words:?} never says {expected}, but {said}");
}

fn serve(data: &Path, arguments: &[&str]) -> Serving {
    Serving::coordinate(quiet().arg("serve").args(arguments).arg("--data").arg(data))
}

/// A destination where nobody is.
const STOCK: [&str; 2] = ["--destination", "stock=http://127.0.0.1:1"];

#[test]
fn a_coordinator_serves_its_operator_and_goes_with_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let serving = serve(folder.path(), &[]);
    let url = serving.url.as_str();

    let status = run(&["status", "--json", "--url", url]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["counts"]["open"]["count"], 0);
    check(&["status", "--url", url], 0, "finishing  0");
    check(&["tx", "list", "--url", url], 0, "no transaction matches");
    check(&["tx", "list", "--json", "--url", url], 0, r#""items":[]"#);
    check(&["tx", "list", "--cursor", "nonsense", "--url", url], 4, "cursor");
    check(&["tx", "show", "order-1", "--url", url], 4, "no transaction order-1 is known");
    check(&["tx", "park", "order-1", "--reason", "r", "--url", url], 4, "to do: Check the gid");
    check(&["tx", "abort", "order-1", "--reason", "", "--url", url], 4, "reason");
    check(&["tx", "retry", "--stuck", "--dry-run", "--url", url], 0, "would retry 0");
    check(&["tx", "retry", "--stuck", "--reason", "r", "--url", url], 2, "--yes");

    let data = folder.path().to_str().unwrap();
    let trace = folder.path().join("trace");
    std::fs::write(&trace, "of the first").unwrap();
    let second = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--trace-effects"];
    check(
        &[&second[..], &[trace.to_str().unwrap()]].concat(),
        1,
        "the process that has the folder",
    );
    assert_eq!(std::fs::read(&trace).unwrap(), b"of the first", "its file is left alone");
    let other = folder.path().join("other");
    let taken = ["serve", "--listen", url.trim_start_matches("http://"), "--data"];
    check(&[&taken[..], &[other.to_str().unwrap()]].concat(), 1, "no file was touched");
    assert!(!other.exists());
    assert_eq!(serving.stop(), Some(0));
    std::fs::remove_file(folder.path().join("capability.key")).unwrap();
    check(&second[..5], 1, "restore that one file from a copy");
}

/// Hands a plan over that calls one destination; the status says whether that is known.
fn submit(url: &str, gid: &str, destination: &str) -> u16 {
    let body = format!(
        r#"{{"name":"n","steps":[{{"branch":"b","to":"{destination}","operation":"o",
            "payload":{{"card":"{PAYLOAD}"}}}}]}}"#
    );
    ask(url, &format!("PUT /v1/transactions/{gid}"), &[], &body).status
}

/// Begins a transaction and gives its capability.
fn begin(url: &str, gid: &str) -> String {
    let body = format!(r#"{{"gid":"{gid}","name":"n"}}"#);
    let heard = ask(url, "POST /v1/transactions", &[], &body);
    assert_eq!(heard.status, 201, "{heard:?}");
    heard.json()["capability"].as_str().unwrap().to_owned()
}

/// Asks for a decision.
fn decide(url: &str, line: &str, capability: &str) -> Heard {
    ask(url, line, &[("wholly-capability", capability)], "")
}

/// What a command prints as JSON, but for what is in flight: a stopped coordinator calls nobody.
fn looked(words: &[&str]) -> Value {
    fn without_calls(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("calls");
                fields.values_mut().for_each(without_calls);
            }
            Value::Array(items) => items.iter_mut().for_each(without_calls),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let output = run(words);
    let mut value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
    without_calls(&mut value);
    value
}

#[test]
fn a_stopped_coordinators_folder_answers_as_it_did() {
    const LOOKS: [&[&str]; 12] = [
        &["tx", "list", "--json"],
        &["tx", "list", "--json", "--limit", "2"],
        &["tx", "list", "--json", "--state", "ended"],
        &["tx", "list", "--json", "--state", "open"],
        &["tx", "list", "--json", "--outcome", "as_decided", "--gid-prefix", "o-"],
        &["tx", "list", "--json", "--mode", "saga"],
        &["tx", "list", "--json", "--stuck"],
        &["tx", "list", "--json", "--waits-for", "stock", "--older-than", "0s"],
        &["tx", "list", "--json", "--name", "none-has-it"],
        &["tx", "show", "o-1", "--json"],
        &["tx", "show", "o-7", "--json"],
        &["tx", "show", "p-1", "--json"],
    ];
    let folder = tempfile::tempdir().unwrap();
    // Half of what has ended is archived, half is in the log.
    let set = ["archive.bulk_rows_max=4", "transactions.open_timeout_ms=3600000"];
    let set = ["--set", set[0], "--set", set[1]];
    let mut serving = serve(folder.path(), &[&STOCK[..], &set].concat());
    let url = serving.url.clone();
    assert_eq!(submit(&url, "p-1", "stock"), 201);
    begin(&url, "o-0");
    for number in 1..8 {
        let gid = format!("o-{number}");
        let capability = begin(&url, &gid);
        let decision = if number % 2 == 0 { "commit" } else { "abort" };
        let line = format!("POST /v1/transactions/{gid}/{decision}");
        assert_eq!(decide(&url, &line, &capability).status, 200);
    }
    check(&["tx", "park", "p-1", "--reason", "look", "--url", &url], 0, "1 stuck, parked");
    until(&["tx", "list", "--stuck", "--url", &url], "stuck: b parked: look");
    let data = folder.path().to_str().unwrap();
    check(&["tx", "list", "--data", data], 1, "the same command without --data");
    let told = LOOKS.map(|words| looked(&[words, &["--url", &url]].concat()));
    assert_eq!(told[0]["items"].as_array().unwrap().len(), 9, "{}", told[0]);
    serving.kill();
    let log = || std::fs::read(folder.path().join("log/0000000001.log")).unwrap();
    let before = log();
    for (words, told) in LOOKS.iter().zip(told) {
        assert_eq!(looked(&[words, &["--data", data][..]].concat()), told, "{words:?}");
    }
    check(&["tx", "list", "--data", data, "--stuck"], 0, "stuck: b parked: look");
    check(&["tx", "show", "nobody", "--data", data], 4, "no transaction nobody is known");
    check(&["tx", "list", "--data", data, "--outcome", "good"], 4, "outcome");
    check(&["tx", "list", "--data", "/nowhere"], 1, "the data folder cannot be read");
    assert!(before == log(), "nothing is changed");
    assert_eq!(std::fs::read_dir(folder.path().join("log")).unwrap().count(), 1);
}

#[test]
fn a_copy_put_back_decides_nothing_that_it_cannot_account_for() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let serve = || serve(&data, &STOCK);

    let serving = serve();
    let before = begin(&serving.url, "o-1");
    assert_eq!(submit(&serving.url, "p-1", "stock"), 201);
    assert_eq!(serving.stop(), Some(0));
    assert!(Command::new("cp").arg("-r").args([&data, &copy]).status().unwrap().success());

    let mut serving = serve();
    let committed = decide(&serving.url, "POST /v1/transactions/o-1/commit", &before);
    assert_eq!(committed.status, 200, "{committed:?}");
    let after = begin(&serving.url, "o-2");
    serving.kill();

    let (from, to) = (copy.to_str().unwrap(), data.to_str().unwrap());
    check(&["restore", from, "--data", to], 1, "is not empty");
    std::fs::remove_dir_all(&data).unwrap();
    check(&["restore", from, "--data", to], 0, "is a copy of");
    let serving = serve();
    let url = serving.url.as_str();
    let asked = |line: &str, capability: &str| {
        let heard = decide(url, line, capability);
        (heard.status, heard.json()["code"].as_str().unwrap().to_owned())
    };
    let held = asked("POST /v1/transactions/o-1/abort", &before);
    assert_eq!(held, (409, "unaccounted".to_owned()));
    let gone = asked("POST /v1/transactions/o-2/abort", &after);
    assert_eq!(gone, (410, "unknown".to_owned()));
    check(&["tx", "show", "o-1", "--url", url], 0, "the log was restored from an older copy");
    check(&["tx", "show", "p-1", "--url", url], 0, "stuck: restored");
    check(&["tx", "commit", "o-1", "--reason", "told so", "--url", url], 0, "decided commit");
    let told = decide(url, "POST /v1/transactions/o-1/commit", &before);
    assert_eq!(told.status, 200, "{told:?}");
    check(&["tx", "abort", "p-1", "--reason", "not done", "--url", url], 0, "decided abort");
    begin(url, "o-3");
    assert_eq!(serving.stop(), Some(0));

    let serving = serve();
    let shown = run(&["tx", "show", "o-3", "--url", &serving.url]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains("restored"), "what was begun since is not held: {shown}");
    assert_eq!(serving.stop(), Some(0));
}

/// The reasons of the acts that an audit shows.
fn audited(data: &Path, words: &[&str]) -> Vec<String> {
    let data = ["audit", "--json", "--data", data.to_str().unwrap()];
    let said: Value = serde_json::from_slice(&run(&[&data, words].concat()).stdout).unwrap();
    let acts = said["acts"].as_array().unwrap().iter();
    acts.map(|act| act["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_operator_acts_on_sets_and_asks_participants() {
    let folder = tempfile::tempdir().unwrap();
    let serve = || serve(&folder.path().join("data"), &STOCK);
    let serving = serve();
    let url = serving.url.as_str();
    for gid in ["o-1", "o-2", "o-3"] {
        begin(url, gid);
    }
    assert_eq!(submit(url, "p-1", "stock"), 201);
    let on = |words: &[&str], code: i32, expected: &str| {
        check(&[words, &["--url", url]].concat(), code, expected);
    };
    until(&["tx", "abort", "--state", "open", "--dry-run", "--url", url], "would abort 3");
    on(&["tx", "abort", "--state", "open", "--reason", "r"], 2, "nobody is here to be asked");
    let few = ["tx", "abort", "--state", "open", "--reason", "r", "--yes", "--at-most", "2"];
    on(&few, 2, "3 match, and --at-most is 2");
    on(&["tx", "abort", "--state", "open", "--dry-run"], 0, "would abort 3");
    let all = ["tx", "abort", "--state", "open", "--reason", "closing down", "--yes"];
    on(&all, 0, "o-2: ended, decided abort");
    until(&[&all[..], &["--url", url]].concat(), "aborted 0");
    on(&["tx", "show", "o-3"], 0, "anonymous: closing down");

    let park = ["tx", "park", "--waits-for", "stock", "--reason", "look", "--yes", "--json"];
    until(&[&park[..], &["--url", url]].concat(), r#""parked":["p-1"]"#);
    until(&["tx", "list", "--stuck", "--url", url], "p-1");
    let resolve = ["tx", "resolve", "--waits-for", "stock", "--not-applied", "--reason", "seen"];
    let undecided = "would not resolve p-1 b: it is not decided";
    on(&[&resolve[..], &["--dry-run"]].concat(), 0, undecided);
    on(&["tx", "retry", "p-1", "--dry-run"], 0, "would retry p-1; it is forward, 1 stuck");
    on(&["tx", "retry", "nobody", "--dry-run"], 4, "no transaction nobody is known");
    on(&["tx", "commit", "p-1", "--dry-run"], 4, "would not commit p-1: it was not undecided");
    on(&["tx", "abort", "o-3", "--dry-run"], 0, "would abort o-3; it is ended");
    on(&["tx", "park", "--gid-prefix", "p-", "--mode", "saga", "--dry-run"], 0, "would park 1;");
    on(&["tx", "park", "--gid-prefix", "x-", "--dry-run"], 0, "would park 0;");
    on(&["tx", "park", "--mode", "tcc", "--dry-run"], 0, "would park 0;");
    on(&[&resolve[..], &["--yes"]].concat(), 4, "1 of 1 were refused");
    on(&["tx", "commit", "--name", "n", "--reason", "told", "--yes"], 4, "wrong_phase");
    on(&["tx", "show", "p-1", "--ask"], 0, "no answer: connect to 127.0.0.1:1 failed");
    let payload = format!("{{\"card\":\"{PAYLOAD}\"}}");
    let shown = format!("b ({} bytes): {payload}", payload.len());
    on(&["tx", "show", "p-1", "--payloads", "--reason", "a dispute"], 0, &shown);
    on(&["destination", "pause", "stock", "--reason", "migration"], 0, "by anonymous: migration");
    on(&["tx", "show", "p-1", "--ask"], 0, "not asked: its destination is paused");
    on(&["destination", "resume", "stock"], 0, "stock");
    on(&["destination", "pause", "stock"], 0, "by anonymous: none given");
    on(&["destination", "pause", "stock", "--reason", "migration"], 0, "by anonymous: migration");
    on(&["drain", "--within", "0s"], 4, "1 transactions are still open");
    on(&["drain", "--reason", "upgrade", "--within", "0s"], 4, "1 transactions are still open");
    on(&["status"], 0, "no transaction may begin: drained for");
    on(&["status"], 0, "not archived yet");
    assert_eq!(serving.stop(), Some(0));

    let serving = serve();
    let (url, data) = (serving.url.as_str(), folder.path().join("data"));
    check(&["destination", "list", "--url", url], 0, "by anonymous: migration");
    check(&["status", "--url", url], 0, "by anonymous: upgrade");
    check(&["drain", "--cancel", "--reason", "done", "--url", url], 0, "intake: open");
    let audited = |words: &[&str]| audited(&data, words);
    assert_eq!(audited(&["--what", "drain", "--who", "anonymous"]), ["none given", "upgrade"]);
    assert_eq!(audited(&["--gid", "o-2"]), ["closing down"]);
    assert_eq!(audited(&["--until", "2020-01-01T00:00:00Z"]), [""; 0]);
    assert!(audited(&["--from", "2020-01-01T00:00:00Z"]).len() > 8);
    check(&["audit", "--data", data.to_str().unwrap(), "--what", "admit"], 0, "anonymous  admit");
    let audit = std::fs::read_to_string(data.join("audit.log")).unwrap();
    for what in ["abort", "park", "resolve", "commit", "payloads", "pause", "drain", "admit"] {
        assert!(audit.contains(&format!("\"what\":\"{what}\"")), "{what} is not in {audit}");
    }
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn destinations_are_read_again_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wholly.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[destinations]\nstock = \"http://stock:1\"\n");
    let mut command = quiet();
    command.args(["serve", "--config"]).arg(&file);
    command.arg("--data").arg(folder.path().join("data"));
    let serving = Serving::coordinate(&mut command);
    let hang_up = |expected: &str| serving.hang_up(expected);
    let known = |gid, destination| submit(&serving.url, gid, destination);
    assert_eq!((known("a-1", "stock"), known("a-2", "points")), (201, 400));
    write("[destinations]\npoints = \"http://points:1\"\n");
    hang_up("the destinations were read again");
    assert_eq!((known("b-1", "stock"), known("b-2", "points")), (400, 201));
    assert_eq!(known("p-1", "svc-mail"), 400);
    write("[destinations]\npoints = \"http://points:1\"\n\"svc-*\" = \"http://*.internal\"\n");
    hang_up("the destinations were read again");
    assert_eq!((known("p-2", "svc-mail"), known("p-3", "svc-a-b")), (201, 201));
    write("[destinations]\npoints = \"http://points:1\"\n");
    hang_up("the destinations were read again");
    assert_eq!(known("p-4", "svc-mail"), 400);
    for wrong in ["[destinations", "[destinations]\nstock = \"ftp://stock\"\n", "lisen = 1\n"] {
        write(wrong);
        hang_up("the destinations of before stay");
    }
    assert_eq!((known("c-1", "stock"), known("c-2", "points")), (400, 201));
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn what_cannot_start_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let serve = |more: &[&'static str]| [&["serve", "--data", data], more].concat();
    check(&serve(&["--listen", "0.0.0.0:0"]), 2, "--insecure");
    check(&serve(&["--listen", "here"]), 2, "127.0.0.1:7700");
    check(&serve(&["--set", "calls.timeout=1"]), 2, "did you mean calls.timeout_ms?");
    check(&serve(&["--set", "calls.timeout_ms=soon"]), 2, "whole number");
    check(&serve(&["--destination", "stock"]), 2, "NAME=URL");
    check(&serve(&["--config", "/nowhere/wholly.toml"]), 2, "/nowhere/wholly.toml");
    assert!(!Path::new(data).exists(), "a wrong configuration touches no file");
    check(&["serve", "--data", "/dev/null/x"], 1, "the coordinator did not start");
    check(&["tx", "list", "--url", "http://127.0.0.1:1"], 3, "start it with `wholly serve`");
    check(&["tx", "show", "a b"], 2, "nobody was asked");
    let example = "wholly check participant http://s:1 --operation stock.lock --mode tcc --payload";
    check(&["check", "participant", "http://s:1"], 2, example);
    check(&["shop-books", data], 1, "the books cannot be read");
    check(&["shop-service", "stock", "--data", data], 2, "say --coordinator URL");
    let output = quiet().env("WHOLLY_LOG", "wholly=loud").args(["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn schemas_are_printed_and_applied() {
    check(&["schema", "print", "sqlite"], 0, "wholly_barrier (");
    check(&["schema", "print", "postgres"], 0, "wholly_barrier (");
    check(&["schema", "print", "oracle"], 2, "possible values: sqlite, postgres");
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("a.db").display());
    check(&["schema", "apply", &url], 0, "the tables are there");
    check(&["schema", "apply", &url], 0, "the tables are there");
    check(&["schema", "apply", "sqlite:///nowhere/a.db"], 1, "wholly schema print");
    check(&["schema", "apply", "oracle://a"], 2, "no database was touched");
}

#[test]
fn a_service_of_the_shop_hears_of_its_coordinator_by_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = quiet()
        .args(["shop-service", "stock", "--until-stdin-ends", "--data"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("bound http://127.0.0.1:"), "{line}");
    std::io::Write::write_all(&mut stdin, b"http://127.0.0.1:1\n").unwrap();
    line.clear();
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("ready http://127.0.0.1:"), "{line}");
    assert!(folder.path().join("stock.db").exists());
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

const LOCK: &str = r#"{"order":"1","sku":"tea","quantity":1}"#;

fn check_participant(url: &str, operation: &str, mode: &str) -> Output {
    let words = ["check", "participant", url, "--operation", operation, "--mode", mode];
    let output = run(&[&words[..], &["--payload", LOCK, "--json"]].concat());
    assert!(output.stderr.is_empty() || !output.status.success(), "{output:?}");
    output
}

fn plays(output: &Output) -> Vec<(String, bool)> {
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let plays = said["plays"].as_array().unwrap().iter();
    plays.map(|p| (p["play"].as_str().unwrap().into(), p["passed"].as_bool().unwrap())).collect()
}

#[test]
fn a_participant_of_the_sdk_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = quiet();
    command.args(["shop-service", "stock", "--until-stdin-ends", "--coordinator"]);
    command.args(["http://127.0.0.1:1", "--data"]).arg(folder.path());
    let stock = Serving::spawn(&mut command);
    for (operation, mode, count) in [("stock.lock", "tcc", 14), ("stock.lock-now", "saga", 11)] {
        let output = check_participant(&stock.url, operation, mode);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(plays(&output).len(), count);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["not_played"], serde_json::json!(["forged"]));
    }
    assert_eq!(stock.stop(), Some(0));
}

/// Says done to every call, with the echo, and keeps nothing.
fn yes_man(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut echo, mut length) = (String::from("done"), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            match line.trim_end().is_empty() {
                true => break,
                false => continue,
            }
        };
        match name {
            "wholly-gid" | "wholly-branch" | "wholly-operation" | "wholly-op" => {
                echo += &format!(";{}={value}", name.trim_start_matches("wholly-"));
            }
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let head = format!("HTTP/1.1 200 OK\r\nwholly-answer: {echo}\r\ncontent-length: 0\r\n\r\n");
    (&stream).write_all(head.as_bytes())
}

#[test]
fn a_participant_without_a_barrier_is_found_out() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // One that goes away early is the caller's play.
            stream.and_then(yes_man).ok();
        }
    });
    let output = check_participant(&url, "stock.lock", "tcc");
    assert_eq!(output.status.code(), Some(1));
    let passed: Vec<String> =
        plays(&output).into_iter().filter(|(_, passed)| *passed).map(|(name, _)| name).collect();
    assert_eq!(passed, ["duplicates", "caller gone", "names used again"], "all done, nothing kept");
}

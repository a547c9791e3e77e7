//! What those who watch a coordinator get: its log, its settings, and word that it is ready.

use crate::process::{Serving, ask, check_output, wholly};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use wholly_canary::{PAYLOAD, REPLY};

/// A participant on a port of its own: refuses the operation `refuse`, does all else.
fn participant() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    url
}

/// Reads one message: its head, then as much body as it says.
fn read(stream: &mut BufReader<TcpStream>) -> (Vec<String>, String) {
    let mut head = Vec::new();
    let mut line = String::new();
    while stream.read_line(&mut line).unwrap() > 2 {
        head.push(std::mem::take(&mut line).trim().to_owned());
    }
    let length = value(&head, "content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn value(head: &[String], name: &str) -> String {
    let line = head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_default().to_owned()
}

fn answer(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let (head, body) = read(&mut stream);
    assert!(body.contains(PAYLOAD), "{body}");
    let of = |name: &str| value(&head, &format!("wholly-{name}"));
    let (gid, branch, operation, op) = (of("gid"), of("branch"), of("operation"), of("op"));
    let (status, word) = match (operation.as_str(), op.as_str()) {
        ("refuse", "action") => ("409 Conflict", "refused"),
        _ => ("200 OK", "done"),
    };
    let reply = format!(r#"{{"code":"no","detail":"{REPLY}"}}"#);
    let answer = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\nwholly-answer: {word};gid={gid};\
         branch={branch};operation={operation};op={op};kept\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{reply}",
        reply.len()
    );
    stream.get_mut().write_all(answer.as_bytes()).unwrap();
}

/// Hands a plan of two steps over and waits for its end.
fn play(url: &str, gid: &str, participant: &str, last: &str) {
    let step = |branch: &str, operation: &str, after: &str| {
        format!(
            r#"{{"branch":"{branch}","to":"{participant}","operation":"{operation}",
                "payload":{{"secret":"{PAYLOAD}"}},"after":[{after}]}}"#
        )
    };
    let steps = [step("first", "do", ""), step("last", last, r#""first""#)].join(",");
    let body = format!(r#"{{"name":"act","steps":[{steps}]}}"#);
    let heard = ask(url, &format!("PUT /v1/transactions/{gid}?wait=ended"), &[], &body);
    assert_eq!(heard.status, 201, "{heard:?}");
    assert_eq!(heard.json()["outcome"], "as_decided", "{heard:?}");
}

#[test]
fn every_line_of_a_log_in_json_is_an_object_with_ids_and_without_payloads() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = wholly();
    command.args(["--log-format", "json", "serve", "--dev", "--data"]);
    command.arg(folder.path().join("data"));
    let serving = Serving::coordinate(&mut command);
    let log = serving.log.clone();
    let participant = participant();
    play(&serving.url, "done-1", &participant, "do");
    play(&serving.url, "refused-1", &participant, "refuse");
    assert_eq!(serving.stop(), Some(0), "{}", log.text());
    let log = log.text();
    wholly_canary::check("the log", &log);
    let mut told = Vec::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let of = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        for field in ["timestamp", "level", "target", "message"] {
            assert!(event[field].is_string(), "{field} is not in {line}");
        }
        // What belongs to a transaction says so in a field, not in the sentence.
        for gid in ["done-1", "refused-1"] {
            assert!(!of("message").contains(gid), "{line}");
            assert!(!line.contains(gid) || of("gid") == gid, "{line}");
        }
        if event["gid"].is_string() {
            told.push([of("message"), of("gid"), of("branch"), of("op"), of("answer")].join(" "));
            assert_eq!(of("level"), "DEBUG", "{line}");
        }
    }
    for expected in [
        "began done-1   ",
        "called done-1 last action done",
        "decided done-1   ",
        "ended done-1   ",
        "called refused-1 first action done",
        "called refused-1 last action refused",
        "called refused-1 first compensate done",
        "ended refused-1   ",
    ] {
        assert!(told.iter().any(|line| line == expected), "{expected:?} is not in {told:#?}");
    }
}

#[test]
fn a_unit_hears_that_the_coordinator_is_ready_and_that_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let heard = || {
        let mut buffer = [0; 32];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut command = wholly();
    command.env("NOTIFY_SOCKET", &path).args(["serve", "--dev", "--data"]);
    let serving = Serving::coordinate(command.arg(folder.path().join("data")));
    assert_eq!(heard(), "READY=1");
    assert_eq!(serving.stop(), Some(0));
    assert_eq!(heard(), "STOPPING=1");
}

#[test]
fn the_configuration_in_effect_is_printed_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = wholly();
    command.env("WHOLLY_LOG_LAZY_MS_MAX", "9").args(["serve", "--print-config", "--data"]);
    command.arg(&data).args(["--destination", "stock=http://stock:8,slots=3"]);
    let check = |command: &mut Command, code: i32, expected: &[&str]| {
        let text = check_output(&command.output().unwrap(), "serve", code, "");
        for expected in expected {
            let words: Vec<&str> = expected.split("  ").collect();
            let says = |line: &str| words.iter().all(|word| line.contains(word));
            assert!(text.lines().any(says), "{expected} is not in\n{text}");
        }
    };
    let said = [
        "log.lazy_ms_max = 9   # ms; environment variable WHOLLY_LOG_LAZY_MS_MAX",
        "calls.timeout_ms = 5000   # ms; default",
        "destinations.\"stock\".slots = 3   # --destination",
        "data = \"  # --data",
    ];
    check(&mut command, 0, &said);
    check(command.args(["--set", "calls.timeout_ms=0"]), 2, &["calls.timeout_ms"]);
    assert!(!data.exists(), "no file was touched");
}

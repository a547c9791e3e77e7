//! Participants by hand: each example is built, started and checked; then all of them take part in
//! real transactions.

use crate::http::Ask;
use crate::process::{self, Counts};
use crate::services::{self, Services, free_port};
use crate::{Failure, by_hand, programs};
use serde_json::{Value, json};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// The folder of the examples.
const FOLDER: &str = "docs/participants";
/// Longest wait for an answer, longer than the coordinator lets a request wait.
const PATIENCE: Duration = Duration::from_secs(40);
/// More than any of them has.
const TOO_MANY: u64 = 1_000_000;

/// An example in one language.
struct Example {
    name: &'static str,
    /// Programs without which it cannot be built or run.
    tools: &'static [&'static str],
    /// Builds it, has it check the contract's worked example, and gives the command that serves on
    /// a port.
    build: fn(&Ground<'_>, u16) -> Result<Vec<String>, Failure>,
}

/// What a client of the coordinator is known by.
const CLIENT: &str = "tasks";

/// The secret of a credential: as long as one must be.
fn secret(id: &str) -> String {
    format!("{id}-{}", "0123456789abcdef".repeat(2))
}

const EXAMPLES: &[Example] = &[
    Example { name: "rust", tools: &[], build: rust },
    Example { name: "python", tools: &["python3"], build: python },
    Example { name: "go", tools: &["go"], build: go },
    Example { name: "java", tools: &["java", "javac", "mvn"], build: java },
];

/// What examples are built and run on.
struct Ground<'a> {
    root: &'a Path,
    services: &'a Services,
    release: PathBuf,
    /// What is built; kept, so that the next time is short.
    built: PathBuf,
    /// Databases and the coordinator's folder.
    folder: PathBuf,
}

/// The task `participants`.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let counts = all(root, &Services::start()?)?;
    println!("{counts}");
    match counts.failed {
        0 => Ok(()),
        _ => Err(Failure::new("participants by hand do not keep the contract")),
    }
}

/// Checks every example whose tools are there, then all of them together.
pub(crate) fn all(root: &Path, services: &Services) -> Result<Counts, Failure> {
    let folder = std::env::temp_dir().join(format!("wholly-participants-{}", std::process::id()));
    let built = programs::target(root).join("participants");
    for made in [&folder, &built] {
        fs::create_dir_all(made)
            .map_err(|e| Failure::new(format!("making {} failed: {e}", made.display())))?;
    }
    let release = programs::release(root)?;
    let ground = Ground { root, services, release, built, folder: folder.clone() };
    let counts = check_all(&ground).and_then(|mut counts| {
        counts.add(by_hand::check(root, &ground.release.join("wholly"), &folder)?);
        Ok(counts)
    });
    fs::remove_dir_all(&folder).ok();
    counts
}

fn check_all(ground: &Ground<'_>) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    let mut running = Vec::new();
    for example in EXAMPLES {
        let missing = example.tools.iter().find(|tool| services::find(tool).is_none());
        if let Some(tool) = missing {
            println!("{}: NOT RUN, for `{tool}` is not there", example.name);
            counts.skipped += 1;
            continue;
        }
        let served = Served::start(ground, example)?;
        for (mode, operation) in [("tcc", "stock.lock"), ("saga", "stock.lock-now")] {
            counts.add(check(ground, &served, mode, operation));
        }
        running.push(served);
    }
    counts.add(together(ground, &running)?);
    Ok(counts)
}

/// Plays everything that the network does.
fn check(ground: &Ground<'_>, served: &Served, mode: &str, operation: &str) -> Counts {
    let url = served.url();
    let mut command = Command::new(ground.release.join("wholly"));
    command.args(["check", "participant", &url, "--mode", mode, "--operation", operation]);
    command.args(["--books", &format!("{url}/books")]);
    command.args(["--payload", r#"{"sku":"tea","quantity":2}"#]);
    // Every call is signed, and those that are not, or not so, are played as well.
    command.args(["--id", served.name]).env("WHOLLY_SECRET", secret(served.name));
    println!("\n{} as {mode}", served.name);
    match process::run_command(&mut command) {
        Ok(()) => Counts::one(),
        Err(failure) => {
            println!("{}: {failure}", served.name);
            Counts::failure()
        }
    }
}

/// One coordinator, and transactions over all of them: each either happens everywhere or nowhere.
fn together(ground: &Ground<'_>, running: &[Served]) -> Result<Counts, Failure> {
    let coordinator = Served::coordinator(ground, running)?;
    let mut counts = Counts::default();
    for (name, quantity, sold, run) in [
        ("tcc", 2, 2, tcc as fn(&Served, &[Served], u64) -> Result<String, Failure>),
        ("tcc of too many", TOO_MANY, 0, tcc),
        ("saga", 3, 3, saga),
        ("saga of too many", TOO_MANY, 0, saga),
    ] {
        let before = books_of_all(running)?;
        let outcome = run(&coordinator, running, quantity)?;
        let expected: Vec<Books> = before.iter().map(|books| books.after(sold)).collect();
        let seen = books_of_all(running)?;
        let decision = if sold > 0 { "commit as_decided" } else { "abort as_decided" };
        let is_right = seen == expected && outcome == decision;
        let word = if is_right { "as decided everywhere" } else { "WRONG" };
        println!("{name} over {} participants: {outcome}, books {word}", running.len());
        if !is_right {
            println!("  expected {decision} {expected:?}\n  seen     {outcome} {seen:?}");
        }
        counts.add(if is_right { Counts::one() } else { Counts::failure() });
    }
    Ok(counts)
}

/// Tries at all of them, the last with the whole quantity; commits where all are done.
fn tcc(coordinator: &Served, running: &[Served], quantity: u64) -> Result<String, Failure> {
    let begun = coordinator.ask("POST", "/v1/transactions", &[], &json!({"name": "by-hand"}))?;
    let gid = begun["gid"].as_str().unwrap_or_default();
    let shown = [("wholly-capability", begun["capability"].as_str().unwrap_or_default())];
    let mut tried = Vec::new();
    for (at, served) in running.iter().enumerate() {
        let quantity = if at + 1 == running.len() { quantity } else { quantity.min(2) };
        let branch = json!({"branch": served.name, "mode": "tcc", "to": served.name, "call": true,
            "operation": "stock.lock", "payload": {"sku": "tea", "quantity": quantity}});
        let path = format!("/v1/transactions/{gid}/branches");
        let registered = coordinator.ask("POST", &path, &shown, &branch)?;
        if registered["answer"] == "done" {
            tried.push(served.name);
        }
    }
    let (verb, body) = match tried.len() == running.len() {
        true => ("commit", json!({ "tried": tried })),
        false => ("abort", json!({"reason": "not everywhere"})),
    };
    let path = format!("/v1/transactions/{gid}/{verb}?wait=ended");
    Ok(outcome(&coordinator.ask("POST", &path, &shown, &body)?))
}

/// Steps one after another, the last with the whole quantity.
fn saga(coordinator: &Served, running: &[Served], quantity: u64) -> Result<String, Failure> {
    let mut steps = Vec::new();
    for (at, served) in running.iter().enumerate() {
        let quantity = if at + 1 == running.len() { quantity } else { quantity.min(3) };
        let after: Vec<&str> = running[..at].iter().map(|before| before.name).collect();
        steps.push(json!({"branch": served.name, "to": served.name, "after": after,
            "operation": "stock.lock-now", "payload": {"sku": "tea", "quantity": quantity}}));
    }
    let plan = json!({"name": "by-hand", "steps": steps});
    let path = format!("/v1/transactions/saga-{quantity}?wait=ended");
    Ok(outcome(&coordinator.ask("PUT", &path, &[], &plan)?))
}

fn outcome(document: &Value) -> String {
    let word = |name: &str| document[name].as_str().unwrap_or("-").to_owned();
    format!("{} {}", word("decision"), word("outcome"))
}

/// What a participant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Books {
    free: u64,
    locked: u64,
    sold: u64,
}

impl Books {
    /// The same once so many more are sold.
    fn after(self, sold: u64) -> Books {
        Books { free: self.free - sold, locked: self.locked, sold: self.sold + sold }
    }
}

fn books_of_all(running: &[Served]) -> Result<Vec<Books>, Failure> {
    let read = |served: &Served| {
        let page = served.ask("GET", "/books", &[], &Value::Null)?;
        let number = |name: &str| {
            let wrong = || Failure::new(format!("{} has no {name} in its books", served.name));
            page[name].as_u64().ok_or_else(wrong)
        };
        Ok(Books { free: number("free")?, locked: number("locked")?, sold: number("sold")? })
    };
    running.iter().map(read).collect()
}

/// A process that serves, and ends with this value.
struct Served {
    name: &'static str,
    address: SocketAddr,
    process: Child,
}

impl Served {
    fn start(ground: &Ground<'_>, example: &Example) -> Result<Served, Failure> {
        let port = free_port()?;
        let words = (example.build)(ground, port)?;
        Served::spawn(example.name, port, &words)
    }

    /// One that knows everybody by name, and so signs what it calls.
    fn coordinator(ground: &Ground<'_>, running: &[Served]) -> Result<Served, Failure> {
        let port = free_port()?;
        let mut words = vec![text(&ground.release.join("wholly")), "serve".into()];
        let listen = format!("127.0.0.1:{port}");
        words.extend(["--data".into(), text(&ground.folder.join("coordinator"))]);
        words.extend(["--listen".into(), listen]);
        let mut configuration = String::new();
        for id in running.iter().map(|served| served.name).chain([CLIENT]) {
            configuration += &format!("[credentials.{id}]\nsecret = \"{}\"\n", secret(id));
        }
        for served in running {
            words.extend(["--destination".into(), format!("{}={}", served.name, served.url())]);
        }
        let file = ground.folder.join("wholly.toml");
        fs::write(&file, configuration)
            .map_err(|e| Failure::new(format!("writing {} failed: {e}", file.display())))?;
        words.extend(["--config".into(), text(&file)]);
        Served::spawn("coordinator", port, &words)
    }

    fn spawn(name: &'static str, port: u16, words: &[String]) -> Result<Served, Failure> {
        println!("$ {}", words.join(" "));
        let mut command = process::mortal("KILL");
        command.arg("--").args(words);
        command.env("WHOLLY_ID", name).env("WHOLLY_SECRET", secret(name));
        let started = process::serve(&mut command);
        let (process, ready) =
            started.map_err(|e| Failure::new(format!("starting {name} failed: {e}")))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let served = Served { name, address, process };
        match ready {
            Some(_) => Ok(served),
            None => Err(Failure::new(format!("{name} ended before it served"))),
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks, and takes whatever succeeds.
    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, Failure> {
        let body = (!body.is_null()).then_some(body);
        let known = format!("Basic {}", base64(format!("{CLIENT}:{}", secret(CLIENT)).as_bytes()));
        let headers = [headers, &[("authorization", known.as_str())]].concat();
        let asked =
            Ask { method, path, headers: &headers, body, patience: PATIENCE }.send(self.address);
        let reply = asked.map_err(|e| Failure::new(format!("{}: {}", self.name, e.0)))?;
        match reply.status {
            200..300 => Ok(reply.body),
            status => Err(Failure::new(format!("{} {path}: {status} {}", self.name, reply.body))),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// RFC 4648, as HTTP Basic has it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn rust(ground: &Ground<'_>, port: u16) -> Result<Vec<String>, Failure> {
    let program = text(&ground.release.join("participant-by-hand"));
    Ok(vec![program, port.to_string(), text(&ground.folder.join("rust.db"))])
}

fn python(ground: &Ground<'_>, port: u16) -> Result<Vec<String>, Failure> {
    let mut believe = Command::new("python3");
    process::run_command(believe.arg(ground.root.join(FOLDER).join("believe.py")))?;
    let script = text(&ground.root.join(FOLDER).join("stock.py"));
    let database = text(&ground.folder.join("python.db"));
    Ok(vec!["python3".into(), script, port.to_string(), database])
}

fn go(ground: &Ground<'_>, port: u16) -> Result<Vec<String>, Failure> {
    let mut test = Command::new("go");
    process::run_command(
        test.args(["test", "."]).current_dir(ground.root.join(FOLDER).join("go")),
    )?;
    let program = text(&ground.built.join("stock-go"));
    let mut build = Command::new("go");
    build.args(["build", "-o", &program, "."]).current_dir(ground.root.join(FOLDER).join("go"));
    process::run_command(&mut build)?;
    let database = ground.services.postgres_database("stock_go")?;
    let url = format!("postgres://postgres@{database}?sslmode=disable");
    Ok(vec![program, port.to_string(), url])
}

fn java(ground: &Ground<'_>, port: u16) -> Result<Vec<String>, Failure> {
    let source = ground.root.join(FOLDER).join("java");
    let (libraries, classes) = (ground.built.join("java-lib"), ground.built.join("java-classes"));
    let mut fetch = Command::new("mvn");
    fetch.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
    fetch.arg(format!("-DoutputDirectory={}", libraries.display())).current_dir(&source);
    process::run_command(&mut fetch)?;
    let libraries = format!("{}/*", libraries.display());
    let path = format!("{}:{libraries}", classes.display());
    let mut compile = Command::new("javac");
    compile.args(["-Xlint:all", "-Werror", "-cp", &libraries, "-d"]).arg(&classes);
    process::run_command(compile.args(["Stock.java", "Believe.java"].map(|n| source.join(n))))?;
    let mut believe = Command::new("java");
    process::run_command(believe.args(["-cp", &path, "Believe"]))?;
    let database = ground.services.postgres_database("stock_java")?;
    let url = format!("jdbc:postgresql://{database}?user=postgres");
    let words = ["java", "-cp", &path, "Stock", &port.to_string(), &url];
    Ok(words.map(String::from).into())
}

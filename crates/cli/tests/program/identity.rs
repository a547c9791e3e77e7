//! Who asks, as people meet it: credentials of the command line, and that a planted secret and a
//! planted payload come out of the program nowhere.

use crate::process::{self, Heard, Serving, check_output};
use std::path::{Path, PathBuf};
use std::process::Command;
use wholly_canary::{NEXT, PAYLOAD, SECRET};
use wholly_wire::base64;

fn wholly() -> Command {
    let mut command = process::wholly();
    command.env("WHOLLY_LOG", "trace");
    command
}

/// A coordinator that knows three, and everything it says.
struct World {
    serving: Serving,
    folder: tempfile::TempDir,
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
        let mut command = wholly();
        command.args(["serve", "--config"]).arg(file);
        command.arg("--data").arg(folder.path().join("data"));
        World { serving: Serving::coordinate(&mut command), folder }
    }

    /// Runs a command as somebody; it must end with this code and say this, and never a secret.
    fn check(&self, (id, secret): (&str, &str), words: &[&str], code: i32, expected: &str) {
        let mut command = wholly();
        command
            .env("WHOLLY_URL", &self.serving.url)
            .env("WHOLLY_ID", id)
            .env("WHOLLY_SECRET", secret);
        let output = command.args(words).output().unwrap();
        check_output(&output, &format!("wholly {words:?}"), code, expected);
    }

    /// Sends a request as somebody.
    fn ask(&self, (id, secret): (&str, &str), line: &str, body: &str) -> Heard {
        let shown = base64::padded(format!("{id}:{secret}").as_bytes());
        let shown = format!("Basic {shown}");
        process::ask(&self.serving.url, line, &[("authorization", &shown)], body)
    }

    fn hang_up(&self, expected: &str) {
        self.serving.hang_up(expected);
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
    let asked: &[(&str, &str, u16)] = &[
        ("PUT /v1/transactions/o-1", &plan, 201),
        ("PUT /v1/transactions/o-1", &plan, 200),
        ("PUT /v1/transactions/o-1", &plan.replace("\"o\"", "\"p\""), 409),
        ("PUT /v1/transactions/o-2", &plan.replace("stock", "nobody"), 400),
        ("PUT /v1/transactions/o-3", &plan[..plan.len() - 9], 400),
        ("PUT /v1/transactions/o-3", &plan.replace("name", "nmae"), 400),
        ("POST /v1/transactions/o-1/abort", "{}", 403),
        ("GET /v1/transactions/o-1?wait=ended&wait_ms=300", "", 202),
        ("GET /v1/transactions", "", 403),
        ("GET /v1/nothing", "", 404),
    ];
    for (line, body, expected) in asked {
        let heard = world.ask(ORDERS, line, body);
        assert_eq!(heard.status, *expected, "{line}: {heard:?}");
        said.push(heard.text);
    }
    said.push(world.ask(("orders", NEXT), "GET /v1", "").text);
    said.push(world.ask(("scraper", SECRET), "GET /metrics", "").text);
    said.push(world.ask(ANNA, "GET /v1/transactions/o-1/history", "").text);
    said.push(world.ask(ANNA, "POST /v1/transactions/o-1/park", r#"{"reason":"look"}"#).text);
    let show = ["tx", "show", "o-1"];
    world.check(ANNA, &show, 0, "o-1");
    world.check(ANNA, &["tx", "list"], 0, "o-1");
    configuration(world.folder.path(), &format!("[\"{NEXT}\", \"{SECRET}\"]"));
    world.hang_up("the destinations were read again");
    assert_eq!(world.ask(("orders", NEXT), "GET /v1", "").status, 200);
    for wrong in
        [format!("\"{}\"", &SECRET[..20]), format!("\"{SECRET}"), format!("\"{SECRET} é\"")]
    {
        configuration(world.folder.path(), &wrong);
        world.hang_up("the destinations of before stay");
    }
    assert_eq!(world.ask(ORDERS, "GET /v1", "").status, 200);
    let log = world.serving.log.text();
    assert!(log.contains("began gid=o-1"), "the log says something: {log}");
    said.push(log);
    for said in said {
        wholly_canary::check("the coordinator", &said);
    }
}

//! From start to stop: sagas and tccs over HTTP, restarts, folders and ports that are taken.

use crate::canary;
use crate::participant::Participant;
use crate::world::{Folder, Heard, ask};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use wholly_canary::REPLY;
use wholly_server::egress::Rule;
use wholly_server::{Config, Coordinator, FolderError, Running, ServeError};

async fn start(folder: &Path) -> Running {
    let mut config = Config::in_process(folder);
    config.log.segment_bytes = 1 << 20;
    config.limits.backoff_ms = 1;
    Coordinator::start(config).await.unwrap()
}

async fn send(addr: SocketAddr, line: &str, headers: &[(&str, &str)], body: &Value) -> Heard {
    ask(addr, line, headers, &body.to_string()).await
}

async fn get(addr: SocketAddr, path: &str) -> Heard {
    ask(addr, &format!("GET {path}"), &[], "").await
}

/// A step that the participant there does as the operation says.
fn step(branch: &str, (to, operation): (&Participant, &str), after: &[&str]) -> Value {
    json!({"branch": branch, "to": to.url, "operation": operation,
           "payload": canary::payload(1), "after": after})
}

async fn saga(addr: SocketAddr, gid: &str, steps: &[Value]) -> Value {
    let line = format!("PUT /v1/transactions/{gid}?wait=ended&wait_ms=30000");
    let heard = send(addr, &line, &[], &json!({"name": "place-order", "steps": steps})).await;
    assert_eq!(heard.status, 201, "{heard:?}");
    heard.json()
}

#[tokio::test]
async fn a_saga_goes_forward_and_a_refused_one_turns_back() {
    let folder = Folder::new();
    let running = start(folder.path()).await;
    let addr = running.addr;
    let good = Participant::start().await;
    let steps = [step("order", (&good, "do"), &[]), step("stock", (&good, "do"), &["order"])];
    let document = saga(addr, "good", &steps).await;
    assert_eq!(document["state"], "ended", "{document}");
    assert_eq!(
        (&document["decision"], &document["outcome"]),
        (&json!("commit"), &json!("as_decided"))
    );
    assert_eq!(good.asked(), ["order action", "stock action"]);

    let empty = Participant::start().await;
    let steps =
        [step("order", (&empty, "mute"), &[]), step("stock", (&empty, "refuse"), &["order"])];
    let document = saga(addr, "bad", &steps).await;
    assert_eq!(document["state"], "ended", "{document}");
    assert_eq!((&document["decision"], &document["cause"]), (&json!("abort"), &json!("refusal")));
    assert_eq!(empty.asked(), ["order action", "stock action", "order compensate"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_tcc_confirms_what_was_tried() {
    let folder = Folder::new();
    let running = start(folder.path()).await;
    let addr = running.addr;
    let stock = Participant::start().await;
    let begun = send(addr, "POST /v1/transactions", &[], &json!({"name": "place-order"})).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let begun = begun.json();
    let (gid, capability) = (begun["gid"].as_str().unwrap(), begun["capability"].as_str().unwrap());
    let shown = [("wholly-capability", capability)];
    let branch = json!({"branch": "stock", "mode": "tcc", "to": stock.url,
                        "operation": "stock.lock", "payload": canary::payload(1), "call": true});
    let line = format!("POST /v1/transactions/{gid}/branches");
    let registered = send(addr, &line, &shown, &branch).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    assert_eq!(registered.json()["answer"], "done");
    assert_eq!(registered.json()["reply"], json!({"op": "try", "secret": REPLY}));
    let line = format!("POST /v1/transactions/{gid}/commit?wait=ended");
    let committed = send(addr, &line, &shown, &json!({"tried": ["stock"]})).await;
    assert_eq!(committed.status, 200, "{committed:?}");
    assert_eq!(committed.json()["decision"], "commit");
    assert_eq!(stock.asked(), ["stock try", "stock confirm"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_is_known_after_a_restart() {
    let folder = Folder::new();
    let stock = Participant::start().await;
    let first = start(folder.path()).await;
    saga(first.addr, "order-1", &[step("stock", (&stock, "mute"), &[])]).await;
    let begin = json!({"name": "open", "gid": "order-2"});
    let begun = send(first.addr, "POST /v1/transactions", &[], &begin).await.json();
    first.stop().await.unwrap();

    let second = start(folder.path()).await;
    let addr = second.addr;
    let ended = get(addr, "/v1/transactions/order-1").await.json();
    assert_eq!((&ended["state"], &ended["decision"]), (&json!("ended"), &json!("commit")));
    assert_eq!(get(addr, "/v1/transactions/order-2").await.json()["state"], "open");
    let shown = [("wholly-capability", begun["capability"].as_str().unwrap())];
    let abort = json!({"reason": "changed my mind"});
    let line = "POST /v1/transactions/order-2/abort";
    let aborted = send(addr, line, &shown, &abort).await;
    assert_eq!((aborted.status, &aborted.json()["decision"]), (200, &json!("abort")));
    let taken = json!({"name": "x", "gid": "order-1"});
    let again = send(addr, "POST /v1/transactions", &[], &taken).await;
    assert_eq!((again.status, &*again.code()), (409, "gid_taken"));
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_coordinator_says_how_it_stands() {
    let folder = Folder::new();
    let running = start(folder.path()).await;
    let addr = running.addr;
    assert_eq!(get(addr, "/healthz").await.status, 200);
    assert_eq!(get(addr, "/readyz").await.status, 200);
    let stock = Participant::start().await;
    saga(addr, "order-1", &[step("stock", (&stock, "mute"), &[])]).await;
    let metrics = get(addr, "/metrics").await;
    assert!(metrics.header("content-type").is_some_and(|kind| kind.contains("text")));
    let metrics = metrics.body;
    for line in [
        "wholly_requests_total{route=\"/readyz\",status=\"200\"} 1",
        "wholly_calls_by_op_total{op=\"action\",answer=\"done\"} 1",
        "wholly_transactions{phase=\"open\"} 0",
        "wholly_branches_stuck 0",
        "wholly_outcomes_total{outcome=\"as_decided\"} 1",
        "wholly_calls_total{destination=\"dev\",answer=\"done\"} 1",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} is not in\n{metrics}");
    }
    assert!(running.greeting().contains(&addr.to_string()) && running.greeting().contains("--dev"));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_taken_folder_or_port_is_named() {
    let folder = Folder::new();
    let running = start(folder.path()).await;
    let same = Coordinator::start(Config::in_process(folder.path())).await;
    let text = same.err().unwrap().to_string();
    assert!(text.contains("in use by another process"), "{text}");
    let other = Folder::new();
    let config = Config { listen: running.addr, ..Config::in_process(other.path()) };
    let refused = Coordinator::start(config).await.err().unwrap();
    assert!(matches!(refused, ServeError::Listen { .. }), "{refused:?}");
    assert!(refused.to_string().contains("--listen"), "{refused}");
    let left = std::fs::read_dir(other.path()).unwrap().count();
    assert_eq!(left, 0, "a port that is taken touches no folder");
    running.stop().await.unwrap();
    start(folder.path()).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_takes_no_new_transactions_and_ends_what_is_asked() {
    let folder = Folder::new();
    let running = start(folder.path()).await;
    let addr = running.addr;
    let begun = send(addr, "POST /v1/transactions", &[], &json!({"name": "a", "gid": "g"})).await;
    assert_eq!(begun.status, 201);
    running.drain();
    let refused = send(addr, "POST /v1/transactions", &[], &json!({"name": "b"})).await;
    assert_eq!((refused.status, &*refused.code()), (503, "draining"));
    assert_eq!(get(addr, "/v1/transactions/g").await.json()["state"], "open");
    running.stop().await.unwrap();
    let gone = tokio::net::TcpStream::connect(addr).await;
    assert!(gone.is_err(), "nobody listens after a stop");
}

#[tokio::test]
async fn a_folder_that_lost_its_key_or_name_does_not_start() {
    for lost in ["capability.key", "origin"] {
        let folder = Folder::new();
        start(folder.path()).await.stop().await.unwrap();
        let kept = std::fs::read(folder.path().join(lost)).unwrap();
        std::fs::remove_file(folder.path().join(lost)).unwrap();
        let refused = Coordinator::start(Config::in_process(folder.path())).await.err().unwrap();
        assert!(matches!(refused, ServeError::Folder(FolderError::Missing { .. })), "{refused}");
        std::fs::write(folder.path().join(lost), kept).unwrap();
        start(folder.path()).await.stop().await.unwrap();
    }
}

#[tokio::test]
async fn destinations_change_without_a_restart() {
    let folder = Folder::new();
    let stock = Participant::start().await;
    let mut config = Config::in_process(folder.path());
    config.dev = false;
    let running = Coordinator::start(config.clone()).await.unwrap();
    let addr = running.addr;
    let plan = json!({"name": "a", "steps": [
        {"branch": "stock", "to": "stock", "operation": "mute", "payload": canary::payload(1)}]});
    let line = "PUT /v1/transactions/order-1?wait=ended";
    let refused = send(addr, line, &[], &plan).await;
    assert_eq!(refused.code(), "destination_unknown");
    config.destinations.insert("stock".to_owned(), Rule::new(&stock.url));
    running.replace_destinations(&config.destinations).unwrap();
    let document = send(addr, line, &[], &plan).await.json();
    assert_eq!(document["state"], "ended", "{document}");
    assert_eq!(stock.asked(), ["stock action"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn in_memory_the_same_is_served_and_nothing_is_written() {
    let folder = Folder::new();
    let config = Config::in_process(&folder.path().join("data"));
    let running = Coordinator::start_in_memory(config).await.unwrap();
    assert!(running.greeting().contains(", data in memory;"), "{}", running.greeting());
    let good = Participant::start().await;
    let document = saga(running.addr, "good", &[step("order", (&good, "mute"), &[])]).await;
    assert_eq!(document["outcome"], "as_decided", "{document}");
    assert_eq!(good.asked(), ["order action"]);
    running.stop().await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

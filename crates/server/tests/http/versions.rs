//! Releases side by side: what SDKs of each release ask is taken, and what this coordinator calls
//! participants with is kept.

use crate::identity::{basic, known};
use crate::participant::{header, serve};
use crate::world::World;
use serde_json::json;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use wholly_canary::SECRET;
use wholly_server::egress::Rule;

/// Every release that a coordinator of this version serves, the oldest first. A file is kept as its
/// release asked; the SDK's tests hold the newest to what the SDK asks.
const RELEASES: &[(&str, &str)] = &[("0.1", include_str!("../requests/sdk-0.1.txt"))];

#[tokio::test]
async fn what_an_sdk_asks_is_taken() {
    for (release, kept) in RELEASES {
        let mut count = 0;
        for act in kept.split("\n# ").skip(1) {
            let (what, requests) = act.split_once('\n').unwrap();
            let what = format!("SDK {release}, {what}");
            count += replay(World::start().await, &what, requests).await;
            replay(World::start_with(known).await, &what, requests).await;
        }
        assert!(count >= 10, "SDK {release}: {count} requests");
    }
}

/// Sends the requests of one act in order; the gid and the capability are those that are answered.
async fn replay(world: World, what: &str, requests: &str) -> usize {
    let shown = basic("orders", SECRET);
    let (mut gid, mut capability) = ("g-1".to_string(), String::new());
    let mut count = 0;
    for request in requests.split("\n\n").map(str::trim).filter(|request| !request.is_empty()) {
        let (head, body) = request.split_once("| ").unwrap_or((request.trim_end_matches('|'), ""));
        let mut lines = head.lines();
        let line = lines.next().unwrap().replace("/g-1", &format!("/{gid}"));
        let headers: Vec<(&str, &str)> = lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| *name != "content-type")
            .map(|(name, value)| match name {
                "wholly-capability" => (name, capability.as_str()),
                "authorization" => (name, shown.as_str()),
                _ => (name, value),
            })
            .collect();
        let heard = world.ask(&line, &headers, body).await;
        assert!((200..300).contains(&heard.status), "{what}: {line}: {heard:?}");
        let said = heard.json();
        if let (Some(named), Some(shown)) = (said["gid"].as_str(), said["capability"].as_str()) {
            gid = named.to_string();
            capability = shown.to_string();
        }
        count += 1;
    }
    count
}

/// The calls of the coordinator of this version. A participant's test answers them all, so this
/// file stays as it is once the version is released; a coordinator that calls otherwise gets a file
/// beside it.
const CALLED: &str = include_str!("../../../sdk/tests/requests/coordinator-0.1.txt");

/// A call as it is kept: without what is different each time.
fn keep(head: &str, body: &str) -> String {
    let mut lines = head.lines();
    let mut kept = format!("\n{}\n", lines.next().unwrap().trim_end_matches(" HTTP/1.1"));
    let mut headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    headers.sort_unstable();
    for (name, value) in headers {
        let value = match name {
            "host" | "content-length" => continue,
            "wholly-mark" => "origin=log-1;begun=1000;limit=0",
            "wholly-timeout-ms" => "5000",
            "traceparent" => "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            _ => value,
        };
        writeln!(kept, "{name}: {value}").unwrap();
    }
    writeln!(kept, "{}", format!("| {body}").trim_end()).unwrap();
    kept
}

/// A participant that keeps what it is asked; it refuses what is named `no`.
async fn keeper(kept: Arc<Mutex<String>>) -> String {
    serve(move |head, body| {
        kept.lock().unwrap().push_str(&keep(head, body));
        let (branch, op) = (header(head, "wholly-branch"), header(head, "wholly-op"));
        let (status, word, reply) = match (branch, op) {
            ("no", "action") => ("409 No", "refused", r#"{"code":"no_way","detail":"no"}"#),
            (_, "inspect") => ("200 OK", "done", r#"{"state":"tried"}"#),
            (_, "try" | "action") => ("200 OK", "done", r#"{"warehouse":"seven"}"#),
            _ => ("200 OK", "done", ""),
        };
        Some(format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nwholly-answer: {word};gid={};\
             branch={branch};operation={};op={op};kept\r\ncontent-length: {}\r\n\r\n{reply}",
            header(head, "wholly-gid"),
            header(head, "wholly-operation"),
            reply.len(),
        ))
    })
    .await
}

#[tokio::test]
async fn what_is_called_is_what_was_kept() {
    let kept = Arc::new(Mutex::new(String::from("How the coordinator of 0.1 calls.\n")));
    let url = keeper(Arc::clone(&kept)).await;
    let stock = |config: &mut wholly_server::Config| {
        config.destinations.insert("stock".into(), Rule::new(&url));
    };
    let world = World::start_with(stock).await;
    let step = |branch: &str, act: &str, after: &[&str], reads: &[&str]| {
        json!({"branch": branch, "to": "stock", "operation": "stock.lock-now",
               "payload": {"act": act}, "after": after, "reads": reads})
    };
    let plans = [
        ("g-1", [step("order", "a", &[], &[]), step("next", "a", &["order"], &["order"])]),
        ("g-2", [step("order", "a", &[], &[]), step("no", "refuse", &["order"], &[])]),
    ];
    for (gid, steps) in plans {
        let plan = json!({"name": "kept", "steps": steps}).to_string();
        let heard = world.ask(&format!("PUT /v1/transactions/{gid}?wait=ended"), &[], &plan).await;
        assert_eq!(heard.json()["state"], "ended", "{heard:?}");
    }
    let branch = json!({"branch": "stock", "mode": "tcc", "to": "stock",
        "operation": "stock.lock", "payload": {"act": "a"}, "call": true});
    let ends = [("g-3", "commit", r#"{"tried":["stock"]}"#), ("g-4", "abort", "{}")];
    for (gid, how, body) in ends {
        let capability = world.begin(gid).await;
        let shown = [("wholly-capability", capability.as_str())];
        let line = format!("POST /v1/transactions/{gid}/branches?wait_ms=30000");
        let heard = world.ask(&line, &shown, &branch.to_string()).await;
        assert_eq!(heard.json()["answer"], "done", "{heard:?}");
        world.get(&format!("/v1/transactions/{gid}/rows")).await;
        let line = format!("POST /v1/transactions/{gid}/{how}?wait=ended");
        let heard = world.ask(&line, &shown, body).await;
        assert_eq!(heard.json()["state"], "ended", "{heard:?}");
    }
    let kept = kept.lock().unwrap();
    assert!(*kept == CALLED, "a coordinator of another version? what it calls differs:\n{kept}");
}

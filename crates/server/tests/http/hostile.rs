//! Hostile destinations as requests bring them: refused where they are named, and reached never.

use crate::world::World;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;

/// The table that the tests of the egress read too; see its head.
const TABLE: &str = include_str!("../../src/egress/hostile.txt");

/// The rows that no request may name. The escapes are JSON's, but for two.
fn refused(port: u16) -> Vec<String> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows = lines.filter_map(|line| match line.split_once(' ') {
        Some(("never" | "named", text)) => Some(unescape(text).replace("PORT", &port.to_string())),
        Some(("here", _)) => None,
        other => panic!("{other:?}"),
    });
    let mut rows: Vec<String> = rows.collect();
    let twins = rows.iter().filter_map(|url| url.strip_prefix("http://"));
    let twins: Vec<_> = twins.map(|rest| format!("https://{rest}")).collect();
    rows.extend(twins);
    rows
}

fn unescape(text: &str) -> String {
    let mut quoted = text.replace("\\0", "\\u0000").replace('"', "\\\"");
    while let Some((before, rest)) = quoted.split_once("\\u{") {
        let (digits, after) = rest.split_once('}').unwrap();
        let character = char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap();
        let spelled = serde_json::to_string(&character).unwrap();
        quoted = format!("{before}{}{after}", spelled.trim_matches('"'));
    }
    serde_json::from_str(&format!("\"{quoted}\"")).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// A place that counts whoever comes.
async fn forbidden() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&came);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, came)
}

fn bodies(to: &str) -> [(&'static str, Value); 3] {
    let step = json!({"branch": "b", "to": to, "operation": "o"});
    let branch = json!({"branch": "b", "mode": "tcc", "to": to, "operation": "o"});
    [
        ("PUT /v1/transactions/h-1", json!({"name": "n", "steps": [step]})),
        ("POST /v1/transactions", json!({"name": "n", "gid": "h-2", "branches": [branch]})),
        (
            "POST /v1/transactions/open/branches",
            json!({"branch": "b", "mode": "tcc", "to": to, "operation": "o", "call": true}),
        ),
    ]
}

#[tokio::test]
async fn no_request_leads_to_a_hostile_destination() {
    let (port, came) = forbidden().await;
    let world = World::start().await;
    let capability = world.begin("open").await;
    let capability = [("wholly-capability", capability.as_str())];
    let rows = refused(port);
    assert!(rows.len() >= 200, "{}", rows.len());
    for to in rows {
        for (line, body) in bodies(&to) {
            let heard = world.ask(line, &capability, &body.to_string()).await;
            assert_eq!(heard.status, 400, "{line} {to:?}: {heard:?}");
            let code = heard.code();
            assert!(
                matches!(code.as_str(), "destination_unknown" | "field_invalid"),
                "{to:?} {code}"
            );
            assert!(heard.body.len() < 4_096, "{to:?} is not said back at length");
        }
    }
    assert_eq!(world.get("/v1/transactions/h-1").await.code(), "gid_unknown");
    assert_eq!(world.get("/v1/transactions/h-2").await.code(), "gid_unknown");
    assert_eq!(came.load(Ordering::SeqCst), 0);
}

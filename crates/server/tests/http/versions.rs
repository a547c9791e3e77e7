//! What SDKs of each release ask, sent again: a coordinator takes it all.

use crate::identity::{basic, known};
use crate::world::World;
use wholly_canary::SECRET;

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

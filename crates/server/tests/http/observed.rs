//! Dashboard, alerts and their page speak of what a real coordinator shows, and of nothing else.

use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use wholly_core::time::Timestamp;
use wholly_server::egress::Rule;
use wholly_tls::authority::Authority;

const RULES: &str = "deploy/prometheus/wholly-rules.yml";
const PLAYED: &str = "deploy/prometheus/wholly-rules.test.yml";
const DASHBOARD: &str = "deploy/grafana/wholly.json";
const ALERTS: &str = "docs/operate/alerts.md";
const METRICS: &str = "docs/operate/metrics.md";
/// What Prometheus adds by itself to whatever it reads.
const ADDED: [&str; 2] = ["instance", "job"];

fn read(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// So often at most is looked whether a call has come to nothing.
const LOOKS_MAX: usize = 100_000;

/// Every series of a coordinator that has called somebody, to whom a destination is
/// dead: its name, and the keys of its labels.
async fn shown() -> (String, BTreeMap<String, BTreeSet<String>>) {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("known").write(folder.path());
    let world = World::start_with(|config| {
        config.limits.breaker_silent_max = 1;
        let secured = Rule { ca: Some(ca), ..Rule::new("https://127.0.0.1:1") };
        config.destinations.insert("secured".into(), secured);
    })
    .await;
    let backup = folder.path().join("backup");
    wholly_server::backup(world.data(), &backup, Timestamp(0), &mut |_| {}).unwrap();
    for (gid, operation) in [("o-1", "do"), ("o-2", "refuse")] {
        let line = format!("PUT /v1/transactions/{gid}?wait=ended");
        let heard = world.ask(&line, &[], &world.plan(&[operation])).await;
        assert_eq!(heard.status, 201, "{heard:?}");
    }
    let step = serde_json::json!({"branch": "b", "to": "http://127.0.0.1:1", "operation": "o"});
    let plan = serde_json::json!({"name": "dead", "steps": [step]}).to_string();
    assert_eq!(world.ask("PUT /v1/transactions/o-3", &[], &plan).await.status, 201);
    let rests = r#"{"destination":"stock","reason":"to be seen"}"#;
    assert_eq!(world.ask("POST /v1/destinations/pause", &[], rests).await.status, 200);
    let mut text = String::new();
    for _look in 0..LOOKS_MAX {
        text = world.get("/metrics").await.body;
        if text.contains("wholly_destinations_silent{") {
            break;
        }
    }
    let rest = r#"{"destination":"http://127.0.0.1:1","reason":"its schema is migrated"}"#;
    assert_eq!(world.ask("POST /v1/destinations/pause", &[], rest).await.status, 200);
    text.push_str(&world.get("/metrics").await.body);
    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        series.entry(name.to_owned()).or_default().extend(keys(&line[name.len()..]));
    }
    (text, series)
}

/// Keys of the labels between the braces that a text begins with, if it does.
fn keys(text: &str) -> Vec<String> {
    let Some(rest) = text.strip_prefix('{') else { return Vec::new() };
    let mut outside = String::new();
    // Every second part stands between quotation marks, and may hold any letter.
    for part in rest.split('"').step_by(2) {
        let (inner, closed) = part.split_once('}').map_or((part, None), |(a, b)| (a, Some(b)));
        outside.push_str(inner);
        if closed.is_some() {
            break;
        }
    }
    let keys = outside.split(',').map(|part| part.trim_end_matches(['=', '~', '!']));
    keys.filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// Every series that a text speaks of, with the keys that it asks for.
fn spoken_of(text: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        rest = &rest[start..];
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.starts_with("wholly_") || word.starts_with("process_") {
            found.push((word.to_owned(), keys(after)));
        }
        rest = after;
    }
    found
}

/// What is asked of Prometheus in a dashboard.
fn expressions(dashboard: &serde_json::Value) -> String {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn rules_and_dashboard_ask_for_series_that_there_are() {
    let (_, series) = shown().await;
    let dashboard = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let texts =
        [(RULES, read(RULES)), (PLAYED, read(PLAYED)), (DASHBOARD, expressions(&dashboard))];
    for (file, text) in texts {
        let asked = spoken_of(&text);
        assert!(asked.len() > 15, "{file} asks for {} series only", asked.len());
        for (name, keys) in asked {
            let known = series.get(&name).unwrap_or_else(|| panic!("{file}: there is no {name}"));
            for key in keys.iter().filter(|key| !ADDED.contains(&key.as_str())) {
                assert!(known.contains(key), "{file}: {name} has no label {key}, but {known:?}");
            }
        }
    }
}

#[test]
fn every_alert_has_its_section_and_every_section_its_alert() {
    let (rules, page) = (read(RULES), read(ALERTS));
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
    let titles: Vec<&str> =
        sections.iter().map(|section| section.lines().next().unwrap()).collect();
    assert_eq!(titles, alerts, "the page has the alerts in their order");
    for section in sections {
        for part in ["**What it means.**", "**For the data.**", "**What to do.**"] {
            assert!(section.contains(part), "{part} is not in\n{section}");
        }
    }
}

/// `cargo xtask alerts` plays them; here only that none is left out.
#[test]
fn every_alert_is_played() {
    let (rules, played) = (read(RULES), read(PLAYED));
    let names: Vec<&str> =
        played.lines().filter_map(|line| line.trim().strip_prefix("- name: ")).collect();
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let is_of = |name: &&str| name.split(',').next() == Some(alert);
        assert!(names.iter().any(is_of), "{alert} is not played, only {names:?}");
    }
}

/// The page lists every figure with the words that a scrape has for it.
#[tokio::test]
async fn the_page_of_figures_says_what_is_shown() {
    let (text, _) = shown().await;
    let mut kinds = BTreeMap::new();
    let mut helps = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
        let mut words = line.splitn(3, ' ');
        let table = match words.next() {
            Some("TYPE") => &mut kinds,
            Some("HELP") => &mut helps,
            _ => continue,
        };
        table.insert(words.next().unwrap(), words.next().unwrap());
    }
    let rows: Vec<String> = helps
        .iter()
        .map(|(name, help)| {
            format!("| `{name}` | {} | {} |", kinds[name], help.trim_end_matches('.'))
        })
        .collect();
    let page = read(METRICS);
    let on_page: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(on_page, rows, "the page should have these rows:\n{}", rows.join("\n"));
}

/// Of which transaction a call was heard, and in which trace.
type Heard = tokio::sync::mpsc::UnboundedReceiver<(String, String)>;

/// A participant that answers nothing and tells of every call it hears.
async fn listener() -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (heard, traces) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !String::from_utf8_lossy(&head).contains("\r\n\r\n") {
                assert!(stream.read_buf(&mut head).await.unwrap() > 0, "the call broke off");
            }
            let text = String::from_utf8(head).unwrap();
            let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            let (gid, trace) = (header("wholly-gid: "), header("traceparent: "));
            // Nobody listens once the test is over.
            let _ = heard.send((gid.unwrap().to_owned(), trace.unwrap().to_owned()));
        }
    });
    (url, traces)
}

#[tokio::test]
async fn the_trace_of_whoever_begins_reaches_the_participant() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let world = World::start().await;
    let (url, mut traces) = listener().await;
    let mut call = async |gid: &str, headers: &[(&str, &str)]| {
        let step = serde_json::json!({"branch": "b", "to": url, "operation": "o"});
        let body = serde_json::json!({"name": "traced", "steps": [step]}).to_string();
        let heard = world.ask(&format!("PUT /v1/transactions/{gid}"), headers, &body).await;
        assert_eq!(heard.status, 201, "{heard:?}");
        // The earlier ones, which nobody has answered, are sent again meanwhile.
        loop {
            let (of, trace) = traces.recv().await.unwrap();
            if of == gid {
                break trace;
            }
        }
    };
    let parent = format!("00-{TRACE}-b7ad6b7169203331-00");
    let first = call("t-1", &[("traceparent", &parent)]).await;
    assert_eq!((&first[..36], &first[52..]), (&parent[..36], "-00"), "{first}");
    assert_ne!(first[36..52], parent[36..52], "a call is a span of its own");
    let own = call("t-2", &[]).await;
    let odd = call("t-3", &[("traceparent", "00-odd")]).await;
    assert!(!own.contains(TRACE) && !odd.contains(TRACE), "{own} {odd}");

    // One that was begun without a trace takes that of the request by which a branch comes.
    let capability = world.begin("t-4").await;
    let branch = serde_json::json!({"branch": "b", "to": url, "operation": "o", "mode": "tcc",
                                    "call": true});
    let other = parent.replace("0af7", "beef");
    let headers = [("wholly-capability", capability.as_str()), ("traceparent", &other)];
    let line = "POST /v1/transactions/t-4/branches?wait_ms=0";
    let heard = world.ask(line, &headers, &branch.to_string()).await;
    assert!(heard.status < 300, "{heard:?}");
    // Sendings of the others may come in between.
    while traces.recv().await.unwrap().1[..36] != other[..36] {}
}

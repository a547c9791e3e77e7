//! Spans as a collector gets them: initiator, coordinator and participant are one trace; and what
//! a collector does or fails to do costs no transaction anything.

use crate::participant::{header, serve};
use crate::world::World;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use wholly_server::Config;
use wholly_server::Place;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const ASKER: &str = "b7ad6b7169203331";
const STATE: &str = "congo=t61rcWkgMzE";
/// So often at most is looked whether something has come about.
const LOOKS_MAX: usize = 100_000;

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{ASKER}-{flags}")
}

/// A collector: it keeps every span that it answers 200 to, and answers by a script before that.
struct Collector {
    url: String,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    async fn start(script: &[&'static str]) -> Collector {
        let requests = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&requests);
        let script = Mutex::new(script.iter().copied().collect::<VecDeque<_>>());
        let url = serve(move |head, body| {
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            assert_eq!(header(head, "content-type"), "application/json");
            if let Some(said) = script.lock().unwrap().pop_front() {
                return Some(said.to_owned());
            }
            kept.lock().unwrap().push(serde_json::from_str(body).unwrap());
            Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned())
        })
        .await;
        Collector { url, requests }
    }

    fn configure(&self, config: &mut Config) {
        config.tracing.otlp = Some(self.url.clone());
        config.tracing.linger_ms = 0;
        // A loaded machine takes its time; the test ends when everything has come.
        config.tracing.flush_ms_max = 60_000;
        config.limits.backoff_ms = 1;
        config.limits.backoff_ms_max = 20;
    }

    fn spans(&self) -> Vec<Seen> {
        let requests = self.requests.lock().unwrap();
        let text = format!("{requests:?}");
        wholly_canary::check("a span", &text);
        let mut spans = Vec::new();
        for request in requests.iter() {
            let resource = &request["resourceSpans"][0];
            let who = attributes(&resource["resource"]);
            assert_eq!(who["service.name"], "wholly");
            assert_eq!(who["service.instance.id"].len(), 16, "the name of the log");
            let shown = resource["scopeSpans"][0]["spans"].as_array().unwrap();
            spans.extend(shown.iter().map(Seen::of));
        }
        spans
    }
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    let pairs = of["attributes"].as_array().unwrap().iter().map(|pair| {
        let value = &pair["value"];
        let text = value["stringValue"].as_str().or(value["intValue"].as_str()).unwrap();
        (pair["key"].as_str().unwrap().to_owned(), text.to_owned())
    });
    pairs.collect()
}

/// A span as it came.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    kind: u64,
    trace: String,
    id: String,
    parent: Option<String>,
    state: Option<String>,
    began: u64,
    failed: bool,
    says: BTreeMap<String, String>,
}

impl Seen {
    fn of(span: &Value) -> Seen {
        let text = |key: &str| span[key].as_str().map(str::to_owned);
        let number = |key: &str| text(key).unwrap().parse::<u64>().unwrap();
        let began = number("startTimeUnixNano");
        assert!(began <= number("endTimeUnixNano"), "{span}");
        Seen {
            name: text("name").unwrap(),
            kind: span["kind"].as_u64().unwrap(),
            trace: text("traceId").unwrap(),
            id: text("spanId").unwrap(),
            parent: text("parentSpanId"),
            state: text("traceState"),
            began,
            failed: span["status"]["code"] == 2,
            says: attributes(span),
        }
    }

    fn says(&self, key: &str) -> &str {
        self.says.get(key).map(String::as_str).unwrap_or_default()
    }
}

fn one<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

fn calls(spans: &[Seen]) -> Vec<&Seen> {
    spans.iter().filter(|span| span.kind == 3).collect()
}

async fn world(collector: &Collector) -> World {
    World::start_with(|config| collector.configure(config)).await
}

async fn submit(world: &World, gid: &str, operations: &[&str], headers: &[(&str, &str)]) {
    let line = format!("PUT /v1/transactions/{gid}?wait=ended");
    let heard = world.ask(&line, headers, &world.plan(operations)).await;
    assert_eq!(heard.status, 201, "{heard:?}");
}

#[tokio::test]
async fn initiator_coordinator_and_participant_are_one_trace() {
    let collector = Collector::start(&[]).await;
    let world = world(&collector).await;
    let headers = [("traceparent", &*parent("01")), ("tracestate", STATE)];
    submit(&world, "o-1", &["once", "twice"], &headers).await;
    world.get("/metrics").await;
    world.running.stop().await.unwrap();
    let spans = collector.spans();
    assert_eq!(spans.len(), 5, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace == TRACE && span.state.as_deref() == Some(STATE)));

    let request = one(&spans, "PUT /v1/transactions/{gid}");
    assert_eq!((request.kind, request.parent.as_deref()), (2, Some(ASKER)));
    assert_eq!(request.says("http.response.status_code"), "201");
    let whole = one(&spans, "test");
    assert_eq!((whole.kind, &whole.parent), (1, &Some(request.id.clone())));
    let said = ["gid", "name", "modes", "decision", "cause", "outcome"];
    let said = said.map(|key| whole.says(&format!("wholly.{key}")));
    assert_eq!(said, ["o-1", "test", "saga", "commit", "initiator", "as_decided"]);

    let calls = calls(&spans);
    assert!(calls.iter().all(|call| call.parent.as_ref() == Some(&whole.id)), "{spans:#?}");
    let mut told: Vec<_> = calls.iter().map(|call| format!("00-{TRACE}-{}-01", call.id)).collect();
    let mut heard = world.participant.said("traceparent");
    told.sort();
    heard.sort();
    assert_eq!(told, heard, "a call's span is the one that its traceparent names");
    assert_eq!(world.participant.said("tracestate"), [STATE; 3]);
    let keys = ["branch", "operation", "op", "destination", "attempt", "answer"];
    let mut rows: Vec<_> = calls
        .iter()
        .map(|call| {
            assert_eq!(call.failed, call.says("wholly.answer") == "unknown");
            let says = keys.map(|key| call.says(&format!("wholly.{key}")));
            format!("{} {}", says.join(" "), call.says("http.response.status_code"))
        })
        .collect();
    rows.sort();
    let expected = [
        "s0 once action stock 1 done 200",
        "s1 twice action stock 1 unknown 500",
        "s1 twice action stock 2 done 200",
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn what_nobody_traced_is_a_trace_of_its_own_and_what_comes_later_joins() {
    let collector = Collector::start(&[]).await;
    let world = world(&collector).await;
    let (own, joined) = ("o-own", "o-joined");
    for (gid, headers) in [(own, vec![]), (joined, vec![("traceparent", parent("01"))])] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = json!({"name": "place-order", "gid": gid}).to_string();
        let heard = world.ask("POST /v1/transactions", &headers, &body).await;
        let capability = heard.json()["capability"].as_str().unwrap().to_owned();
        let shown = [("wholly-capability", capability.as_str())];
        let branch = json!({"branch": "b", "to": "stock", "operation": "once", "mode": "tcc",
                            "call": true})
        .to_string();
        let line = format!("POST /v1/transactions/{gid}/branches");
        assert_eq!(world.ask(&line, &shown, &branch).await.status, 201);
        let line = format!("POST /v1/transactions/{gid}/commit?wait=ended");
        let heard = world.ask(&line, &shown, r#"{"tried":["b"]}"#).await;
        assert_eq!(heard.status, 200, "{heard:?}");
    }
    world.running.stop().await.unwrap();
    let spans = collector.spans();
    let of = |gid: &str| {
        let of: Vec<Seen> =
            spans.iter().filter(|span| span.says("wholly.gid") == gid).cloned().collect();
        assert_eq!(of.len(), 6, "three requests, two calls, the whole: {of:#?}");
        assert!(of.iter().all(|span| span.trace == of[0].trace), "{of:#?}");
        of
    };
    let (own, joined) = (of(own), of(joined));
    assert_ne!(own[0].trace, TRACE);
    assert_eq!(joined[0].trace, TRACE);
    let whole = one(&own, "place-order");
    assert_eq!(whole.parent, None, "the transaction is the root");
    let below = own.iter().filter(|span| span.id != whole.id);
    assert!(below.into_iter().all(|span| span.parent.as_ref() == Some(&whole.id)), "{own:#?}");
    let begin = one(&joined, "POST /v1/transactions");
    assert_eq!(begin.parent.as_deref(), Some(ASKER));
    let whole = one(&joined, "place-order");
    assert_eq!(whole.parent.as_ref(), Some(&begin.id));
    let commit = one(&joined, "POST /v1/transactions/{gid}/commit");
    assert_eq!(commit.parent.as_ref(), Some(&whole.id), "who names no trace joins that one");
}

#[tokio::test]
async fn a_trace_that_nobody_records_is_not_recorded_here() {
    let collector = Collector::start(&[]).await;
    let world = world(&collector).await;
    submit(&world, "o-1", &["once"], &[("traceparent", &*parent("00"))]).await;
    world.running.stop().await.unwrap();
    assert_eq!(collector.spans().len(), 0);
    let heard = world.participant.said("traceparent");
    assert!(heard[0].starts_with(&format!("00-{TRACE}-")) && heard[0].ends_with("-00"));
}

#[tokio::test]
async fn after_a_restart_calls_are_in_the_trace_that_the_gid_makes() {
    let collector = Collector::start(&[]).await;
    let world = world(&collector).await;
    let line = "PUT /v1/transactions/o-1";
    let headers = [("traceparent", &*parent("01"))];
    assert_eq!(world.ask(line, &headers, &world.plan(&["late"])).await.status, 201);
    world.participant.heard.notified().await;
    let world = world.restart_with(|config| collector.configure(config)).await;
    world.participant.lets.store(true, Ordering::SeqCst);
    assert_eq!(world.get("/v1/transactions/o-1?wait=ended").await.status, 200);
    world.running.stop().await.unwrap();
    let spans = collector.spans();
    let (before, after): (Vec<_>, Vec<_>) = spans.into_iter().partition(|span| span.trace == TRACE);
    one(&before, line.replace("o-1", "{gid}").as_str());
    assert!(calls(&before).iter().all(|call| call.failed), "{before:#?}");
    let whole = one(&after, "test");
    assert_eq!(whole.parent, None);
    let mark = world.participant.said("wholly-mark").pop().unwrap();
    let begun = mark.split(';').find_map(|part| part.strip_prefix("begun=")).unwrap();
    assert_eq!(whole.began, begun.parse::<u64>().unwrap() * 1_000_000, "its whole length");
    assert_eq!(calls(&after).iter().filter(|call| !call.failed).count(), 1);
    assert!(calls(&after).iter().all(|call| call.parent.as_ref() == Some(&whole.id)));
    let mut ids: Vec<_> = before.iter().chain(&after).map(|span| &span.id).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "no two spans of two lives share an id");
}

/// How many spans had this fate, by the figures.
async fn fate(world: &World, fate: &str) -> u64 {
    let text = world.get("/metrics").await.body;
    let line = format!("wholly_spans_total{{fate=\"{fate}\"}} ");
    let value = text.lines().find_map(|shown| shown.strip_prefix(&line));
    value.unwrap_or_else(|| panic!("no {line} in {text}")).parse().unwrap()
}

async fn reaches(world: &World, name: &str, count: u64) {
    for _look in 0..LOOKS_MAX {
        if fate(world, name).await == count {
            return;
        }
    }
    panic!("{name} is {} and not {count}", fate(world, name).await);
}

#[tokio::test]
async fn a_collector_that_is_silent_costs_spans_and_nothing_else() {
    // Connections to it come about, and nothing is ever answered.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let world = World::start_with(|config| {
        config.tracing.otlp = Some(url);
        config.tracing.queue_max = 1;
        config.tracing.batch_max = 1;
        config.tracing.timeout_ms = 600_000;
        config.tracing.flush_ms_max = 0;
    })
    .await;
    for n in 0..5 {
        submit(&world, &format!("o-{n}"), &["once"], &[]).await;
    }
    // Five requests, five calls, five transactions; one is under way and one is queued.
    reaches(&world, "dropped", 13).await;
    assert_eq!((fate(&world, "sent").await, fate(&world, "lost").await), (0, 0));
    world.running.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_collector_cannot_take_yet_is_sent_again_and_what_it_never_takes_is_not() {
    const LATER: &str = "HTTP/1.1 503 Later\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
    const NEVER: &str = "HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n";
    let check = async |script: &[&'static str], sent: u64, refused: u64, lost: u64| {
        let collector = Collector::start(script).await;
        let world = World::start_with(|config| {
            collector.configure(config);
            config.tracing.attempts_max = 3;
            // All three of a transaction go together.
            config.tracing.batch_max = 3;
            config.tracing.linger_ms = 60_000;
        })
        .await;
        submit(&world, "o-1", &["once"], &[]).await;
        for (name, count) in [("sent", sent), ("refused", refused), ("lost", lost)] {
            reaches(&world, name, count).await;
        }
        world.running.stop().await.unwrap();
        assert_eq!(collector.spans().len() as u64, sent, "{script:?}");
    };
    check(&[], 3, 0, 0).await;
    check(&[LATER], 3, 0, 0).await;
    check(&[LATER, LATER], 3, 0, 0).await;
    check(&[LATER, LATER, LATER], 0, 0, 3).await;
    check(&[NEVER], 0, 3, 0).await;
    check(&[LATER, NEVER], 0, 3, 0).await;
}

/// What a place of its own is asked is its own path, to the letter.
#[tokio::test]
async fn a_place_of_its_own_is_taken_to_the_letter() {
    let check = async |path: &'static str, expected: &'static str| {
        let (asked, mut lines) = tokio::sync::mpsc::unbounded_channel();
        let url = serve(move |head, _body| {
            // Nobody listens once the first line is known.
            let _ = asked.send(head.lines().next().unwrap().to_owned());
            Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned())
        })
        .await;
        let world = World::start_with(|config| {
            config.tracing.otlp = Some(format!("{url}{path}"));
            config.tracing.place = Place::Itself;
            config.tracing.linger_ms = 0;
        })
        .await;
        submit(&world, "o-1", &["once"], &[]).await;
        assert_eq!(lines.recv().await.unwrap(), format!("POST {expected} HTTP/1.1"));
    };
    check("", "/").await;
    check("/v1/traces", "/v1/traces").await;
    check("/of/the/house/", "/of/the/house/").await;
}

#[tokio::test]
async fn what_is_never_answered_is_given_up() {
    let check = async |answer: &str, timeout_ms: u64| {
        let answer = answer.to_owned();
        let url = serve(move |_head, _body| Some(answer.clone())).await;
        let world = World::start_with(|config| {
            config.tracing.otlp = Some(url);
            config.tracing.batch_max = 3;
            config.tracing.linger_ms = 60_000;
            config.tracing.timeout_ms = timeout_ms;
            config.tracing.attempts_max = 2;
        })
        .await;
        submit(&world, "o-1", &["once"], &[]).await;
        reaches(&world, "lost", 3).await;
        world.running.stop().await.unwrap();
    };
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
    check(begun, 1).await;
    let endless = format!("{}{}", begun.replace(": 2", ": 65537"), "x".repeat(65_537));
    check(&endless, 60_000).await;
    let broken = "no HTTP at all\r\n\r\n";
    check(broken, 60_000).await;
}

#[tokio::test]
async fn what_is_queued_is_sent_before_a_stop() {
    let collector = Collector::start(&[]).await;
    let world = World::start_with(|config| {
        collector.configure(config);
        config.tracing.batch_max = 2;
        config.tracing.linger_ms = 60_000;
    })
    .await;
    for n in 0..5 {
        submit(&world, &format!("o-{n}"), &["once"], &[]).await;
    }
    world.running.stop().await.unwrap();
    assert_eq!(collector.spans().len(), 15);
}

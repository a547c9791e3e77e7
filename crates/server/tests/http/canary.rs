//! Canaries: planted in every secret, payload and reply of these tests. Where one comes out that
//! should not, in a log, an answer, a figure or the audit, the test fails.

use crate::world::Heard;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::{fs, io};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// A credential's secret, and the one that takes its place.
pub(crate) const SECRET: &str = "canary-secret-4f1d8a2b9c7e6053-abcdef";
pub(crate) const NEXT: &str = "canary-secret-next-77aa55cc33ee11-xyz";
/// What all secrets begin with.
const SECRETS: &str = "canary-secret";
/// In every payload of a plan.
const PAYLOAD: &str = "canary-payload-91b3";
/// In every reply of the participant.
pub(crate) const REPLY: &str = "canary-reply-6c02";

/// The payload of a step, as it stands in a plan.
pub(crate) fn payload(step: usize) -> serde_json::Value {
    serde_json::json!({"n": step, "secret": PAYLOAD})
}

/// Lines of the program's log with a canary in them.
static SANG: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Lines of the program's log.
static LINES: AtomicUsize = AtomicUsize::new(0);

/// The log of all tests of this process: looked at, and not kept.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.fetch_add(1, Ordering::Relaxed);
        let line = String::from_utf8_lossy(bytes);
        if let Some(mark) = found(&line, &[SECRETS, PAYLOAD, REPLY]) {
            SANG.lock().unwrap().push(format!("{mark} in {line}"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Listens to everything that this process logs, at every level.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lines = tracing_subscriber::fmt::layer().json().with_writer(|| Lines);
        tracing_subscriber::registry().with(lines).init();
    });
}

/// The first of these marks that stands in a text.
fn found(text: &str, marks: &[&'static str]) -> Option<&'static str> {
    marks.iter().find(|mark| text.contains(**mark)).copied()
}

/// Holds an answer against the request that it is for.
pub(crate) fn check(request: &[u8], heard: &Heard) {
    let request = String::from_utf8_lossy(request);
    let mut line = request.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let said = format!("{}\r\n\r\n{}", heard.head, heard.body);
    assert_eq!(found(&said, &[SECRETS, PAYLOAD]), None, "{method} {target}: {said}");
    for shown in request.lines().filter_map(|line| line.strip_prefix("authorization: Basic ")) {
        assert!(shown.is_empty() || !said.contains(shown), "{method} {target}: {said}");
    }
    // A reply is shown with its transaction, and nowhere else.
    let shows_transaction =
        heard.body.contains("\"branches\":[") || heard.body.contains("\"reply\"");
    let is_of_one = path.starts_with("/v1/transactions") && path != "/v1/transactions";
    if !(shows_transaction && is_of_one) {
        assert_eq!(found(&said, &[REPLY]), None, "{method} {target}: {said}");
    }
}

/// Looks at what was logged so far, and at what operators' acts left in a data folder.
pub(crate) fn check_kept(data: &Path) {
    let sang = SANG.lock().unwrap();
    assert!(sang.is_empty(), "the log says {sang:#?}");
    if let Ok(audit) = fs::read_to_string(data.join("audit.log")) {
        assert_eq!(found(&audit, &[SECRETS, PAYLOAD, REPLY]), None, "{audit}");
    }
}

#[test]
fn a_canary_is_found_where_it_sings() {
    let heard = |status, body: &str| Heard { status, head: "HTTP/1.1".into(), body: body.into() };
    let sings = |request: &str, status: u16, body: &str| {
        let (request, heard) = (request.to_owned(), heard(status, body));
        std::panic::catch_unwind(move || check(request.as_bytes(), &heard)).is_err()
    };
    let of_one = "GET /v1/transactions/o-1 HTTP/1.1";
    let branches = format!("{{\"branches\":[{{\"reply\":\"{REPLY}\"}}]}}");
    assert!(!sings(of_one, 200, &branches));
    assert!(sings("GET /v1/transactions?limit=1 HTTP/1.1", 200, &branches));
    assert!(sings("GET /metrics HTTP/1.1", 200, REPLY));
    assert!(sings(of_one, 409, &format!("{{\"detail\":\"{REPLY}\"}}")));
    assert!(sings(of_one, 200, PAYLOAD));
    assert!(sings(of_one, 401, SECRET));
    let asked = format!("{of_one}\r\nauthorization: Basic YTpi");
    assert!(sings(&asked, 401, "{\"detail\":\"YTpi is wrong\"}"));
    assert!(!sings(&asked, 401, "{}"));
}

#[tokio::test]
async fn what_is_logged_is_listened_to() {
    let world = crate::world::World::start().await;
    let before = LINES.load(Ordering::Relaxed);
    world.begin("o-1").await;
    assert!(LINES.load(Ordering::Relaxed) > before, "a begin is logged at debug");
}

//! Egress against servers that misbehave, and spellings that must not reach any server.

use super::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wholly_core::branch::Op;
use wholly_core::effect::{Mark, Proof};
use wholly_core::ids::{Body, CallId, Origin};
use wholly_core::time::Timestamp;
use wholly_tls::Acceptor;

pub(super) const REPLY_BYTES_MAX: usize = 1_000;

impl Egress {
    /// One whose sendings are no spans.
    pub(crate) fn new(
        destinations: Destinations,
        reply_bytes_max: usize,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let spans = Spans::off(Arc::clone(&metrics));
        Egress::watched(destinations, reply_bytes_max, metrics, spans)
    }
}

const ECHO: &str = "wholly-answer: done;gid=g;branch=b;operation=stock.lock;op=try";

/// What a server does with one connection.
#[derive(Clone, Debug)]
pub(super) enum Conduct {
    /// Answers every request with these bytes.
    Answer(String),
    /// Answers so many requests, then closes without a word once the next has been read.
    AnswerThenClose(usize),
    /// Answers one request with these bytes and closes at once.
    AnswerAndClose(String),
    /// Reads the request and closes.
    Close,
    /// Sends this and nothing more, and keeps the connection.
    Stall(String),
    /// Sends the first and then the second for ever.
    Endless(String, String),
}

pub(super) struct Server {
    pub(super) url: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Server {
    pub(super) async fn start(conduct: Conduct) -> Self {
        Server::over(TcpListener::bind("127.0.0.1:0").await.unwrap(), conduct)
    }

    pub(super) fn over(listener: TcpListener, conduct: Conduct) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        Server::of(listener, url, move |stream, requests| behave(stream, conduct.clone(), requests))
    }

    /// The same within TLS.
    pub(super) async fn secured(conduct: Conduct, acceptor: Acceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let acceptor = Arc::new(acceptor);
        Server::of(listener, url, move |stream, requests| {
            let (acceptor, conduct) = (Arc::clone(&acceptor), conduct.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream, Duration::from_secs(600)).await {
                    behave(stream, conduct, requests).await;
                }
            }
        })
    }

    fn of<F: Future<Output = ()> + Send + 'static>(
        listener: TcpListener,
        url: String,
        serve: impl Fn(TcpStream, Arc<AtomicUsize>) -> F + Send + 'static,
    ) -> Self {
        let (connections, requests) = (Arc::default(), Arc::default());
        let server = Server { url, connections, requests };
        let (connections, requests) = (server.connections.clone(), server.requests.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, requests.clone()));
            }
        });
        server
    }

    pub(super) fn seen(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }
}

pub(super) fn done(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{ECHO}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn behave(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    conduct: Conduct,
    requests: Arc<AtomicUsize>,
) {
    let mut answered = 0;
    while read_request(&mut stream).await.is_some() {
        requests.fetch_add(1, Ordering::SeqCst);
        let sent = match &conduct {
            Conduct::Answer(answer) => stream.write_all(answer.as_bytes()).await,
            Conduct::AnswerThenClose(times) if answered == *times => return,
            Conduct::AnswerThenClose(_) => stream.write_all(done("1").as_bytes()).await,
            Conduct::AnswerAndClose(answer) => {
                let _ = stream.write_all(answer.as_bytes()).await;
                return;
            }
            Conduct::Close => return,
            Conduct::Stall(start) => stream.write_all(start.as_bytes()).await,
            Conduct::Endless(start, more) => {
                let _ = stream.write_all(start.as_bytes()).await;
                while stream.write_all(more.as_bytes()).await.is_ok() {}
                return;
            }
        };
        answered += 1;
        if sent.is_err() {
            return;
        }
    }
}

/// The first byte of a handshake of TLS, and of no request.
const HANDSHAKE: u8 = 22;

/// The head and body of a request, or nothing at the end, and where a handshake comes instead.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut seen = Vec::new();
    loop {
        if seen.first() == Some(&HANDSHAKE) {
            return None;
        }
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text.into_owned());
            }
        }
        match stream.read_buf(&mut seen).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

pub(super) fn call(destination: &str) -> Call {
    Call {
        id: CallId(1),
        gid: "g".parse().unwrap(),
        branch: "b".parse().unwrap(),
        destination: destination.parse().unwrap(),
        operation: "stock.lock".parse().unwrap(),
        op: Op::Try,
        payload: Body::new(b"{\"sku\":7}"),
        replies: Vec::new(),
        reply: None,
        mark: Mark { origin: Origin::new("o").unwrap(), begun: Timestamp(2), limit: Timestamp(1) },
        timeout_ms: 60_000,
        attempt: 1,
        proof: Proof::default(),
    }
}

fn dev() -> Arc<Egress> {
    let destinations = Destinations::new(&BTreeMap::new(), Urls::Loopback, 8).unwrap();
    Egress::new(destinations, REPLY_BYTES_MAX, Arc::default())
}

pub(super) fn spell(answer: &Answer) -> String {
    match answer {
        Answer::Done { reply, .. } => {
            format!("done {}", String::from_utf8_lossy(reply.as_bytes()))
        }
        Answer::Refused(refusal) => format!("refused {}", refusal.code),
        Answer::Working => "working".to_owned(),
        Answer::Unknown { detail } => format!("unknown: {}", detail.as_str()),
    }
}

async fn check(conduct: Conduct, expected: &str) {
    let server = Server::start(conduct.clone()).await;
    let timeout_ms = match conduct {
        Conduct::Stall(_) => 100,
        Conduct::Answer(_)
        | Conduct::AnswerThenClose(_)
        | Conduct::AnswerAndClose(_)
        | Conduct::Close
        | Conduct::Endless(..) => 60_000,
    };
    let answer = dev().call(&Call { timeout_ms, ..call(&server.url) }).await;
    let seen = spell(&answer);
    assert!(seen.starts_with(expected), "{conduct:?}: {seen:?}, not {expected:?}");
    assert_eq!(server.seen(), (1, 1), "{conduct:?}: a fresh connection is asked once");
}

fn answer(text: &str) -> Conduct {
    Conduct::Answer(text.to_owned())
}

#[tokio::test]
async fn a_whole_answer_is_taken() {
    check(Conduct::Answer(done("{\"a\":1}")), "done {\"a\":1}").await;
    let chunked = format!(
        "HTTP/1.1 200 OK\r\n{ECHO}\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\n[1\r\n2\r\n,2\r\n1\r\n]\r\n0\r\n\r\n"
    );
    check(Conduct::Answer(chunked), "done [1,2]").await;
    let informed = format!("HTTP/1.1 100 Continue\r\n\r\n{}", done("1"));
    check(Conduct::Answer(informed), "done 1").await;
    check(answer(&format!("HTTP/1.1 204 No Content\r\n{ECHO}\r\n\r\n")), "done ").await;
    check(Conduct::AnswerAndClose(done("1")), "done 1").await;
}

#[tokio::test]
async fn what_is_no_answer_is_unknown() {
    check(answer("\0\u{1}garbage\r\n\r\n"), "unknown: the answer cannot be read").await;
    check(answer("SSH-2.0-OpenSSH_9\r\n"), "unknown: the answer cannot be read").await;
    let head = "HTTP/1.1 200 OK\r\n";
    let bare = format!("{head}content-length: 2\r\n\r\n{{}}");
    check(Conduct::Answer(bare), "unknown: status 200 without header wholly-answer").await;
    let other = done("1").replace("gid=g", "gid=h");
    check(Conduct::Answer(other), "unknown: header wholly-answer answers another call").await;
    let page = done("<html>");
    check(Conduct::Answer(page), "unknown: done with a body that is not JSON").await;
    check(Conduct::Close, "unknown: the connection was closed before an answer").await;
    let unmeasured = format!("{head}{ECHO}\r\nconnection: close\r\n\r\n123");
    check(Conduct::Answer(unmeasured), "unknown: the answer says neither content-length").await;
    for codings in ["gzip", "identity", "chunked, gzip", "x-chunked", "gzip\r\ncontent-length: 3"] {
        let codings = format!("{head}{ECHO}\r\ntransfer-encoding: {codings}\r\n\r\n123");
        check(Conduct::AnswerAndClose(codings), "unknown: the answer says neither").await;
    }
    let moved = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    check(answer(moved), "unknown: ").await;
}

#[tokio::test]
async fn what_comes_too_slowly_or_never_is_unknown() {
    let head = format!("HTTP/1.1 200 OK\r\n{ECHO}\r\ncontent-length: 5\r\n");
    let expected = "unknown: no answer within 100 ms";
    check(Conduct::Stall(String::new()), expected).await;
    check(Conduct::Stall("HTTP/1.1 200".to_owned()), expected).await;
    check(Conduct::Stall(head.clone()), expected).await;
    check(Conduct::Stall(format!("{head}\r\n123")), expected).await;
}

/// Keeps a clock that is paused where it stands, until this is dropped: tokio moves it by itself
/// only while no thread is at work.
fn still() -> std::sync::mpsc::Sender<()> {
    let (held, dropped) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || dropped.recv());
    held
}

/// A call that was read and waits for its answer; the time of calls is 100 ms, and goes on by hand.
async fn asked(
    egress: &Arc<Egress>,
    listener: &TcpListener,
) -> (TcpStream, tokio::task::JoinHandle<Answer>) {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (egress, call) = (Arc::clone(egress), Call { timeout_ms: 100, ..call(&url) });
    let called = tokio::spawn(async move { egress.call(&call).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    read_request(&mut stream).await.unwrap();
    (stream, called)
}

/// The clock goes on, and whoever that wakes has run.
async fn go_on(ms: u64) {
    tokio::time::advance(Duration::from_millis(ms)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_within_the_time_of_its_call_and_not_after_it() {
    let _still = still();
    let (egress, listener) = (dev(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    // Too late: the answer comes when the time is over, and is taken for no later call's.
    let (mut late, called) = asked(&egress, &listener).await;
    go_on(100).await;
    assert!(called.is_finished(), "it is given up");
    assert_eq!(spell(&called.await.unwrap()), "unknown: no answer within 100 ms");
    let _ = late.write_all(done("1").as_bytes()).await;
    // Just in time, on a connection of its own.
    let (mut stream, called) = asked(&egress, &listener).await;
    go_on(99).await;
    assert!(!called.is_finished(), "it is waited for");
    stream.write_all(done("2").as_bytes()).await.unwrap();
    assert_eq!(spell(&called.await.unwrap()), "done 2");
}

#[tokio::test]
async fn what_is_too_much_is_unknown() {
    let endless = |head: &str, more: &str| Conduct::Endless(head.to_owned(), more.to_owned());
    let head = format!("HTTP/1.1 200 OK\r\n{ECHO}\r\n");
    let too_large = "unknown: the answer has more than 1000 bytes (reply_bytes_max)";
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    check(endless(&chunked, "4\r\n1234\r\n"), too_large).await;
    let announced = format!("{head}content-length: 1001\r\n\r\n");
    check(endless(&announced, "1"), too_large).await;
    let unreadable = "unknown: the answer cannot be read";
    check(endless("HTTP/1.1 200 OK\r\n", "x-more: 1\r\n"), unreadable).await;
    check(endless("HTTP/1.1 200 OK\r\nx: ", "1"), unreadable).await;
    check(endless("", "1"), unreadable).await;
    let fits = format!("\"{}\"", "1".repeat(REPLY_BYTES_MAX - 2));
    check(Conduct::Answer(done(&fits)), "done \"1").await;
    let over = format!("\"{}\"", "1".repeat(REPLY_BYTES_MAX - 1));
    check(Conduct::Answer(done(&over)), too_large).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::start(Conduct::Answer(done("1"))).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/wholly/stock.lock", target.url);
        let moved =
            format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let expected = format!("unknown: status {status} (redirects are not followed)");
        check(Conduct::Answer(moved), &expected).await;
    }
    assert_eq!(target.seen(), (0, 0));
}

#[tokio::test]
async fn a_connection_is_used_again_while_it_stands() {
    let server = Server::start(Conduct::Answer(done("1"))).await;
    let egress = dev();
    for _ in 0..10 {
        assert_eq!(spell(&egress.call(&call(&server.url)).await), "done 1");
    }
    assert_eq!(server.seen(), (1, 10));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_no_answer() {
    // Closed after each answer: seen when it is taken up again, or at the first write.
    let closing = Server::start(Conduct::AnswerAndClose(done("1"))).await;
    let egress = dev();
    for _ in 0..3 {
        assert_eq!(spell(&egress.call(&call(&closing.url)).await), "done 1");
    }
    // Closed with the second request read: sent once more, on a fresh connection.
    let forgetful = Server::start(Conduct::AnswerThenClose(1)).await;
    for _ in 0..2 {
        assert_eq!(spell(&egress.call(&call(&forgetful.url)).await), "done 1");
    }
    assert_eq!(forgetful.seen(), (2, 3), "the second call was read twice");
    // A connection that answered with more than was asked is not trusted again.
    let chatty = Server::start(Conduct::Answer(format!("{0}{0}", done("1")))).await;
    for _ in 0..2 {
        assert_eq!(spell(&egress.call(&call(&chatty.url)).await), "done 1");
    }
    assert_eq!(chatty.seen(), (2, 2));
}

#[tokio::test]
async fn a_call_says_what_a_participant_needs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let seen = tokio::spawn(async move {
        let mut seen = Vec::new();
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            seen.push(read_request(&mut stream).await.unwrap());
            stream.write_all(done("1").as_bytes()).await.unwrap();
        }
        seen
    });
    let egress = dev();
    let plain = call(&format!("http://{authority}/shop"));
    egress.call(&plain).await;
    let reads = Call {
        replies: vec![("order".parse().unwrap(), Body::new(b"{\"id\":1}"))],
        reply: Some(Body::default()),
        ..plain
    };
    egress.call(&reads).await;
    let seen = seen.await.unwrap();
    let host = format!("host: {authority}");
    for line in [
        "POST /shop/wholly/stock.lock HTTP/1.1",
        host.as_str(),
        "content-type: application/json",
        "wholly-gid: g",
        "wholly-branch: b",
        "wholly-op: try",
        "wholly-operation: stock.lock",
        "wholly-timeout-ms: 60000",
        "wholly-mark: origin=o;begun=2;limit=1",
    ] {
        assert!(seen[0].lines().any(|shown| shown == line), "{line} is not in {}", seen[0]);
    }
    assert!(seen[0].ends_with("\r\n\r\n{\"sku\":7}") && seen[0].contains("\r\ntraceparent: 00-"));
    assert!(!seen[0].contains("wholly-body"));
    assert!(seen[1].contains("\r\nwholly-body: envelope\r\n"));
    let envelope = r#"{"payload":{"sku":7},"reply":null,"replies":{"order":{"id":1}}}"#;
    assert!(seen[1].ends_with(envelope), "{}", seen[1]);
}

/// Whoever looks at no op would do the work.
#[tokio::test]
async fn a_plain_destination_is_called_and_never_inspected() {
    let server = Server::start(answer("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let rule = Rule { answers: Answers::Plain, ..Rule::new(&server.url) };
    let rules = BTreeMap::from([("mail".to_owned(), rule)]);
    let destinations = Destinations::new(&rules, Urls::Refused, 8).unwrap();
    let egress = Egress::new(destinations, REPLY_BYTES_MAX, Arc::default());
    let inspect = Call { op: Op::Inspect, ..call("mail") };
    assert_eq!(spell(&egress.call(&inspect).await), "refused no_row_kept");
    assert_eq!(server.seen(), (0, 0));
    assert_eq!(spell(&egress.call(&call("mail")).await), "done ");
    assert_eq!(server.seen(), (1, 1));
}

#[tokio::test]
async fn a_branch_is_inspected_without_a_payload() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let seen = read_request(&mut stream).await.unwrap();
        let answer = done("{\"state\":\"tried\"}").replace("op=try", "op=inspect");
        stream.write_all(answer.as_bytes()).await.unwrap();
        seen
    });
    let Call { gid, branch, destination, operation, mark, timeout_ms, .. } = call(&url);
    let inspected = Inspect { gid, branch, destination, operation, mark, timeout_ms };
    let answer = dev().inspect(inspected).await;
    assert_eq!(spell(&answer), "done {\"state\":\"tried\"}");
    let seen = seen.await.unwrap();
    assert!(seen.contains("wholly-op: inspect\r\n") && seen.ends_with("\r\n\r\n"), "{seen}");
}

#[test]
fn slots_of_names_and_patterns_are_the_drivers() {
    let rule = |slots| Rule { slots, ..Rule::new("http://stock") };
    let rules = [("stock", None), ("points", Some(1)), ("svc-*", Some(2)), ("svc-b*", None)];
    let rules = rules.map(|(name, slots)| (name.to_owned(), rule(slots)));
    let rules = Destinations::new(&rules.into(), Urls::Refused, 8).unwrap().slots();
    let exact: Vec<_> = rules.exact.iter().map(|(name, slots)| (name.as_str(), *slots)).collect();
    assert_eq!(exact, [("points", Some(1)), ("stock", None)]);
    let patterns: Vec<_> = rules.patterns.iter().map(|(_, slots)| *slots).collect();
    assert_eq!(patterns, [None, Some(2)], "the longer one goes before");
}

/// Whoever asks chooses how many destinations of a pattern there are.
#[tokio::test]
async fn connections_that_lie_idle_are_bounded_over_all_destinations() {
    let server = Server::start(Conduct::Answer(done("1"))).await;
    let rules = BTreeMap::from([("svc-*".to_owned(), Rule::new(&format!("{}/*", server.url)))]);
    let destinations = Destinations::new(&rules, Urls::Refused, 2).unwrap();
    let egress = Egress::new(destinations, REPLY_BYTES_MAX, Arc::default());
    for round in 1..=2 {
        for name in ["svc-a", "svc-b", "svc-c", "svc-d"] {
            assert_eq!(spell(&egress.call(&call(name)).await), "done 1", "{name}");
        }
        // Those of a and b are kept; c and d connect each time.
        assert_eq!(server.seen(), (2 + 2 * round, 4 * round));
    }
}

#[tokio::test]
async fn calls_follow_a_change_of_the_configuration() {
    let server = Server::start(Conduct::Answer(done("1"))).await;
    let rules = BTreeMap::from([("stock".to_owned(), Rule::new(&server.url))]);
    let named = Destinations::new(&rules, Urls::Refused, 8).unwrap();
    let none = Destinations::new(&BTreeMap::new(), Urls::Refused, 8).unwrap();
    let egress = Egress::new(none, REPLY_BYTES_MAX, Arc::default());
    let call = call("stock");
    assert!(
        spell(&egress.call(&call).await).starts_with("unknown: destination stock is not named")
    );
    egress.replace(named);
    assert_eq!(spell(&egress.call(&call).await), "done 1");
}

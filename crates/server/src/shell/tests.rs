//! The shell over a real log and real calls: nothing leaves early, nothing waits for ever.

use super::*;
use crate::egress::{Destinations, Urls};
use std::collections::BTreeMap;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wholly_core::branch::Direction;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Body, Digest, Origin, Principal};
use wholly_core::input::{Begin, GidSource, Submit, Wait};
use wholly_core::limits::Limits;
use wholly_core::plan::Step;
use wholly_core::record::Record;
use wholly_core::record::{Cause, Decision, PhaseName};
use wholly_core::time::Timestamp;
use wholly_store::contract::{Completion, Filter, Listing, Lookup, Page, ReadError, Stats};
use wholly_store::embedded::{Log, Options};

impl Shell {
    /// Asks from no trace.
    async fn ask(&self, request: Request) -> Result<Reply, Stopped> {
        self.ask_in(request, None, None).await
    }
}

struct World {
    shell: Arc<Shell>,
    mailbox: Arc<Mailbox>,
}

impl World {
    fn start(folder: &Path, trace: Option<EffectTrace>) -> Self {
        Self::over(folder, trace, |log| log)
    }

    fn over<S: Store + 'static>(
        folder: &Path,
        trace: Option<EffectTrace>,
        store: impl FnOnce(Log) -> S,
    ) -> Self {
        let mailbox = Arc::<Mailbox>::default();
        let options = Options { segment_bytes: 1 << 20, ..Options::default() };
        let (log, loaded) = Log::open(folder, options, None, mailbox.handler()).unwrap();
        let store = Arc::new(store(log));
        let limits = Limits { backoff_ms: 1, inbox_max: 100, ..Limits::default() };
        let driver = Driver::new(limits, Origin::new("o").unwrap(), 7, loaded);
        let metrics = Arc::<Metrics>::default();
        let destinations = Destinations::new(&BTreeMap::new(), Urls::Loopback, 8).unwrap();
        let shell = Shell::start(Parts {
            driver,
            store,
            mailbox: Arc::clone(&mailbox),
            egress: Egress::new(destinations, 1_000, Arc::clone(&metrics)),
            metrics,
            trace,
        });
        World { shell, mailbox }
    }

    async fn ready(&self) {
        let mut standing = self.shell.standing();
        standing.wait_for(|standing| *standing != Standing::Starting).await.unwrap();
        assert!(self.shell.is_ready());
    }

    async fn get(&self, gid: &str, wait: Wait) -> wholly_core::document::Document {
        let request = Request::Get { gid: gid.parse().unwrap(), wait };
        match self.shell.ask(request).await.unwrap().unwrap() {
            Response::Transaction { document, .. } => document,
            other @ (Response::Begun { .. }
            | Response::Submitted { .. }
            | Response::Registered { .. }
            | Response::Calls(_)) => panic!("{other:?} is no transaction"),
        }
    }
}

/// A participant that answers done to everything.
async fn participant() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    url
}

async fn serve(mut stream: TcpStream) {
    let mut seen = Vec::new();
    while stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let value = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        if body.len() < value("content-length").parse().unwrap_or(0) {
            continue;
        }
        seen.clear();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nwholly-answer: done;gid={};branch={};operation={};op={}\r\n\
             content-length: 0\r\n\r\n",
            value("wholly-gid"),
            value("wholly-branch"),
            value("wholly-operation"),
            value("wholly-op"),
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn begin(gid: &str, timeout_ms: u64) -> Request {
    Request::Begin(Begin {
        gid: gid.parse().unwrap(),
        source: GidSource::Client,
        name: "place-order".parse().unwrap(),
        timeout_ms: Some(timeout_ms),
        key: None,
        branches: Vec::new(),
        principal: Principal::new("anonymous").unwrap(),
    })
}

fn submit(gid: &str, url: &str, wait: Wait) -> Request {
    let step = |name: &str| Step {
        branch: name.parse().unwrap(),
        destination: url.parse().unwrap(),
        operation: "stock.lock".parse().unwrap(),
        payload: Body::new(b"{}"),
        after: Vec::new(),
        reads: Vec::new(),
        direction: Direction::Reversible,
    };
    Request::Submit(Submit {
        gid: gid.parse().unwrap(),
        source: GidSource::Client,
        name: "place-order".parse().unwrap(),
        timeout_ms: None,
        steps: vec![step("stock"), step("points")],
        digest: Digest([7; 32]),
        principal: Principal::new("anonymous").unwrap(),
        wait,
    })
}

const ENDED: Wait = Wait::Ended { wait_ms: 30_000 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_effect_leaves_before_what_it_needs_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("effects.jsonl");
    let trace = EffectTrace::create(&file).unwrap();
    let world = World::start(&folder.path().join("data"), Some(trace));
    world.ready().await;
    let url = participant().await;
    for number in 0..20 {
        let gid = format!("order-{number}");
        let reply = world.shell.ask(submit(&gid, &url, ENDED)).await.unwrap().unwrap();
        let Response::Submitted { document, .. } = reply else { panic!("{reply:?}") };
        assert_eq!(document.state, PhaseName::Ended, "{gid}");
        assert_eq!(document.decision, Some(Decision::Commit), "{gid}");
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let (mut calls, mut replies) = (0, 0);
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = |key: &str| line[key].as_u64().unwrap();
        assert!(number("needed") <= number("durable"), "{line}");
        assert!(number("durable") <= number("synced"), "{line}");
        match line["kind"].as_str().unwrap() {
            "call" => {
                calls += 1;
                assert!(number("needed") > 0, "a call needs its transaction's accept: {line}");
            }
            "reply" => replies += 1,
            other => panic!("{other}: {line}"),
        }
    }
    assert_eq!((calls, replies), (40, 20));
}

#[tokio::test]
async fn what_is_due_by_time_happens_without_anybody_asking() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), None);
    world.ready().await;
    world.shell.ask(begin("silent", 20)).await.unwrap().unwrap();
    let document = world.get("silent", ENDED).await;
    assert_eq!(document.decision, Some(Decision::Abort));
    assert_eq!(document.cause, Some(Cause::Deadline));
}

#[tokio::test]
async fn an_asker_that_goes_away_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), None);
    world.ready().await;
    world.shell.ask(begin("open", 60_000)).await.unwrap().unwrap();
    {
        let mut waiting = std::pin::pin!(world.get("open", ENDED));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending())
        });
        assert!(polled.await, "nothing ends it");
        assert_eq!(world.shell.gauges().waiters, 1);
    }
    assert_eq!(world.shell.gauges().waiters, 0);
    assert!(world.shell.held(|held| held.waiting.is_empty()));
}

#[tokio::test]
async fn an_inbox_that_is_full_refuses_requests_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), None);
    world.ready().await;
    let shell = &world.shell;
    let inbox_max = shell.inbox_max;
    // While somebody holds the driver, what comes stays in the inbox.
    let mut asked = Vec::new();
    let refused = shell.held(|_held| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for number in 0..inbox_max {
            let mut ask = Box::pin(shell.ask(begin(&format!("order-{number}"), 60_000)));
            assert!(ask.as_mut().poll(&mut context).is_pending(), "{number} fits");
            asked.push(ask);
        }
        shell.put(Event::Input(Input::Woken));
        let mut ask = Box::pin(shell.ask(begin("one-too-many", 60_000)));
        ask.as_mut().poll(&mut context)
    });
    assert_eq!(
        refused,
        std::task::Poll::Ready(Ok(Err(Rejection::InboxFull { max: inbox_max as u64 })))
    );
    for ask in asked {
        ask.await.unwrap().unwrap();
    }
    shell.ask(begin("one-too-many", 60_000)).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_a_request_weighs_counts_until_the_driver_has_it_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), None);
    world.ready().await;
    let shell = &world.shell;
    shell.ask(begin("open", 60_000)).await.unwrap().unwrap();
    let weight = Arc::new(());
    let held = || Some(Box::new(Arc::clone(&weight)) as Box<dyn Send>);
    let waits = Request::Get { gid: "open".parse().unwrap(), wait: ENDED };
    let mut ask = Box::pin(shell.ask_in(waits, None, held()));
    shell.held(|_held| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(ask.as_mut().poll(&mut context).is_pending());
        assert_eq!(Arc::strong_count(&weight), 2, "it lies in the inbox");
    });
    assert_eq!(Arc::strong_count(&weight), 1, "the driver has it, and it waits on");
    world.shell.stop();
    assert_eq!(ask.await, Err(Stopped));
    let refused = shell.ask_in(begin("next", 1), None, held()).await;
    assert_eq!((refused, Arc::strong_count(&weight)), (Err(Stopped), 1));
}

#[tokio::test]
async fn when_the_log_fails_nothing_is_told_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), None);
    world.ready().await;
    world.shell.ask(begin("open", 60_000)).await.unwrap().unwrap();
    let shell = Arc::clone(&world.shell);
    let request = Request::Get { gid: "open".parse().unwrap(), wait: ENDED };
    let waiting = tokio::spawn(async move { shell.ask(request).await });
    let cause = std::io::Error::other("no more");
    let failure = Failure { operation: "sync of a segment".to_owned(), cause };
    (world.mailbox.handler())(Completion::Failed(failure));
    let mut standing = world.shell.standing();
    let failed = |standing: &Standing| matches!(standing, Standing::Failed(_));
    let text = format!("{:?}", *standing.wait_for(failed).await.unwrap());
    assert!(text.contains("sync of a segment failed") && text.contains("no more"), "{text}");
    assert_eq!(waiting.await.unwrap(), Err(Stopped), "who waited hears that nothing is known");
    assert_eq!(world.shell.ask(begin("next", 1)).await, Err(Stopped));
    assert!(!world.shell.is_ready());
}

#[tokio::test]
async fn what_was_open_goes_on_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let url = participant().await;
    let first = World::start(folder.path(), None);
    first.ready().await;
    let reply = first.shell.ask(submit("order-1", &url, ENDED)).await.unwrap().unwrap();
    assert!(matches!(reply, Response::Submitted { .. }));
    first.shell.ask(begin("open", 60_000)).await.unwrap().unwrap();
    first.shell.stop();
    assert_eq!(first.shell.ask(begin("next", 1)).await, Err(Stopped));
    // The log makes durable what it was given before it goes.
    drop(first);
    let second = World::start(folder.path(), None);
    second.ready().await;
    assert_eq!(second.get("order-1", Wait::No).await.state, PhaseName::Ended);
    assert_eq!(second.get("open", Wait::No).await.state, PhaseName::Open);
    let again = second.shell.ask(begin("order-1", 1)).await.unwrap();
    assert!(matches!(again, Err(Rejection::GidTaken { .. })), "{again:?}");
}

#[tokio::test]
async fn a_transaction_that_cannot_be_read_back_is_not_taken_for_absent() {
    let folder = tempfile::tempdir().unwrap();
    let url = participant().await;
    let world = World::start(folder.path(), None);
    world.ready().await;
    world.shell.ask(submit("order-1", &url, ENDED)).await.unwrap().unwrap();
    let segments = std::fs::read_dir(folder.path().join("log")).unwrap();
    for segment in segments.map(|segment| segment.unwrap().path()) {
        let length = std::fs::metadata(&segment).unwrap().len();
        std::fs::write(&segment, vec![0; usize::try_from(length).unwrap()]).unwrap();
    }
    let request = Request::Get { gid: "order-1".parse().unwrap(), wait: Wait::No };
    for request in [request, begin("order-1", 1_000)] {
        let reply = world.shell.ask(request).await.unwrap();
        assert!(matches!(reply, Err(Rejection::Unreadable { .. })), "{reply:?}");
    }
    world.shell.ask(begin("order-2", 1_000)).await.unwrap().unwrap();
    assert!(world.shell.is_ready(), "the others go on");
}

/// A store that breaks its promise at an act.
struct Broken {
    log: Log,
    at: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// A draft of a transaction is appended.
    Append,
    /// Records are read back.
    Lookup,
}

impl Store for Broken {
    fn append(&self, draft: Draft) {
        if let (Act::Append, Content::Transaction { gid, .. }) = (self.at, &draft.content) {
            panic!("{gid} is not what was agreed");
        }
        self.log.append(draft);
    }

    fn flush(&self, through: Position) {
        self.log.flush(through);
    }

    fn history(&self, gid: &Gid) -> Result<Vec<Record>, ReadError> {
        self.log.history(gid)
    }

    fn list(&self, filter: &Filter, page: &Page) -> Result<Listing, ReadError> {
        self.log.list(filter, page)
    }

    fn lookup(&self, gid: &Gid) -> Result<Lookup, ReadError> {
        assert_ne!(self.at, Act::Lookup, "{gid} is not what was agreed");
        self.log.lookup(gid)
    }

    fn missing(&self, gid: &Gid) -> Option<Timestamp> {
        self.log.missing(gid)
    }

    fn stats(&self) -> Stats {
        self.log.stats()
    }

    fn stop(&self) {
        self.log.stop();
    }
}

#[tokio::test]
async fn a_broken_promise_stops_everything() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::over(folder.path(), None, |log| Broken { log, at: Act::Append });
    world.ready().await;
    let shell = Arc::clone(&world.shell);
    let asked = tokio::spawn(async move { shell.ask(begin("order-1", 1_000)).await });
    assert!(asked.await.unwrap_err().is_panic());
    assert!(matches!(*world.shell.standing().borrow(), Standing::Failed(_)));
    assert_eq!(world.shell.ask(begin("order-2", 1_000)).await, Err(Stopped));
}

#[tokio::test]
async fn a_reading_that_breaks_off_concerns_its_own_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let url = participant().await;
    let world = World::over(folder.path(), None, |log| Broken { log, at: Act::Lookup });
    world.ready().await;
    world.shell.ask(submit("order-1", &url, ENDED)).await.unwrap().unwrap();
    let reply = world.shell.ask(begin("order-1", 1_000)).await.unwrap();
    assert_eq!(reply, Err(Rejection::Unreadable { gid: "order-1".parse().unwrap() }));
    world.shell.ask(begin("order-2", 1_000)).await.unwrap().unwrap();
    assert!(world.shell.is_ready(), "the others go on");
}

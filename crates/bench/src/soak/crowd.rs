//! The crowd: clients that go on through every kill, ask until each transaction has ended, and
//! count what they were told.

use super::books::{REFUSED, hash};
use crate::client::{Broken, Client, Target};
use crate::load;
use bytes::Bytes;
use hdrhistogram::Histogram;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Longest that a client asks after one transaction.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two attempts at a coordinator that is not there.
const PAUSE: Duration = Duration::from_millis(20);
/// What was due longer ago than this, while nobody could take it, is left out.
const LATE_MAX: Duration = Duration::from_millis(250);
/// Deadline of what a client leaves open.
const OPEN_MS: u64 = 3_000;

/// What they were told, over all.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) committed: u64,
    /// The sum that the books of both participants must show.
    pub(super) hashes: u64,
    pub(super) aborted: u64,
    /// Begins that were lost with a killed coordinator, before anybody was called.
    pub(super) vanished: u64,
    /// Kept for a person to read: what must not be.
    pub(super) wrong: Vec<String>,
}

/// Shared by all clients.
pub(super) struct Crowd {
    addresses: watch::Receiver<SocketAddr>,
    pub(super) told: Mutex<Told>,
    /// Of those since it was last taken.
    took: Mutex<Histogram<u64>>,
    numbers: AtomicU64,
    stops: AtomicBool,
    /// When the next is due, in nanoseconds since the start; none is without a pace.
    due: AtomicU64,
    gap_nanos: u64,
    start: Instant,
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// A plan of two steps.
    Saga,
    /// The same, whose second step is refused.
    RefusedSaga,
    Tcc,
    /// Given up by its initiator once both have tried.
    AbortedTcc,
}

impl Act {
    fn of(number: u64) -> Act {
        match number % 10 {
            0..5 => Act::Saga,
            5 => Act::RefusedSaga,
            6..9 => Act::Tcc,
            _last => Act::AbortedTcc,
        }
    }

    /// What it may end as.
    fn may_end(self, decision: &str) -> bool {
        match self {
            Act::Saga => decision == "commit",
            Act::RefusedSaga | Act::AbortedTcc => decision == "abort",
            // A killed coordinator makes an initiator give up.
            Act::Tcc => decision == "commit" || decision == "abort",
        }
    }
}

/// How an initiator means to end what it has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    Commit,
    Abort,
}

/// How a transaction ended, as its client was told.
#[derive(Debug)]
enum End {
    Decided(String),
    Vanished,
    Wrong(String),
}

impl Crowd {
    /// At a pace of so many a second, or each as soon as its last has ended.
    pub(super) fn new(addresses: watch::Receiver<SocketAddr>, per_second: Option<f64>) -> Crowd {
        Crowd {
            addresses,
            told: Mutex::default(),
            took: Mutex::new(load::histogram()),
            numbers: AtomicU64::new(load::seed()),
            stops: AtomicBool::new(false),
            due: AtomicU64::new(0),
            gap_nanos: per_second.map_or(0, |rate| (1e9 / rate) as u64),
            start: Instant::now(),
        }
    }

    /// No further transactions are begun.
    pub(super) fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    /// How long those took that have ended since it was last asked, in microseconds.
    pub(super) fn take_times(&self) -> Histogram<u64> {
        let mut took = self.took.lock().expect("nothing panics under this lock");
        std::mem::replace(&mut took, load::histogram())
    }

    /// One client, until it is stopped and its last transaction has ended.
    pub(super) async fn client(&self) {
        let mut line = Line { addresses: self.addresses.clone(), client: None, side: None };
        while let Some(since) = self.turn().await {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let act = Act::of(number);
            let gid = format!("soak-{number}");
            let end = match act {
                Act::Saga => line.saga(&gid, "\"buy\"").await,
                Act::RefusedSaga => line.saga(&gid, REFUSED).await,
                Act::Tcc => line.tcc(&gid, Finish::Commit).await,
                Act::AbortedTcc => line.tcc(&gid, Finish::Abort).await,
            };
            let micros = (since.elapsed().as_micros() as u64).max(1);
            self.took.lock().expect("nothing panics under this lock").saturating_record(micros);
            self.note(&gid, act, end);
        }
    }

    fn note(&self, gid: &str, act: Act, end: End) {
        let mut told = self.told.lock().expect("nothing panics under this lock");
        match end {
            End::Decided(decision) if !act.may_end(&decision) => {
                told.wrong.push(format!("{gid}: {act:?} ended as {decision}"));
            }
            End::Decided(decision) if decision == "commit" => {
                told.committed += 1;
                told.hashes = told.hashes.wrapping_add(hash(gid));
            }
            End::Decided(_abort) => told.aborted += 1,
            End::Vanished => told.vanished += 1,
            End::Wrong(why) => told.wrong.push(format!("{gid}: {act:?}: {why}")),
        }
    }

    /// Waits for the next turn and says since when it counts; none once all is over.
    async fn turn(&self) -> Option<Instant> {
        let now = self.start.elapsed().as_nanos() as u64;
        let earliest = now.saturating_sub(LATE_MAX.as_nanos() as u64);
        let later = |due: u64| Some(due.max(earliest) + self.gap_nanos);
        let due = self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        let due = due.expect("there is always a next").max(earliest);
        if self.gap_nanos > 0 && due > now {
            tokio::time::sleep(Duration::from_nanos(due - now)).await;
        }
        (!self.stops.load(Ordering::Relaxed)).then(Instant::now)
    }
}

/// A client's connections to wherever the coordinator is.
struct Line {
    addresses: watch::Receiver<SocketAddr>,
    client: Option<Client>,
    side: Option<Client>,
}

impl Line {
    async fn saga(&mut self, gid: &str, second: &str) -> End {
        let body = Bytes::from(format!(
            "{{\"name\":\"soak\",\"steps\":[{}}},{},\"after\":[\"a\"]}}]}}",
            load::branch("a", "", "\"buy\""),
            load::branch("b", "", second),
        ));
        let path = format!("/v1/transactions/{gid}?wait=ended&wait_ms=5000");
        // The same plan again is the same answer, whatever was lost in between.
        self.until_ended("PUT", &path, &[], body).await
    }

    async fn tcc(&mut self, gid: &str, finish: Finish) -> End {
        let asked = format!("/v1/transactions/{gid}?wait=ended&wait_ms=5000");
        let Ok(capability) = self.begin(gid).await else {
            return self.until_ended("GET", &asked, &[], Bytes::new()).await;
        };
        let headers = [("wholly-capability", capability.as_str())];
        let how = match self.register(gid, &headers).await {
            Ok(()) => finish,
            Err(_) => Finish::Abort,
        };
        let (how, body) = match how {
            Finish::Commit => ("commit", Bytes::from_static(b"{\"tried\":[\"a\",\"b\"]}")),
            Finish::Abort => ("abort", Bytes::from_static(b"{}")),
        };
        let path = format!("/v1/transactions/{gid}/{how}?wait=ended&wait_ms=5000");
        match self.try_once("POST", &path, &headers, body).await {
            Ok((200, document)) if document["state"] == "ended" => judge(&document),
            Ok(_) | Err(_) => self.until_ended("GET", &asked, &[], Bytes::new()).await,
        }
    }

    /// Begins and gives the capability; whatever goes wrong, the deadline ends what may be there.
    async fn begin(&mut self, gid: &str) -> Result<String, Broken> {
        let body = format!("{{\"name\":\"soak\",\"gid\":\"{gid}\",\"timeout_ms\":{OPEN_MS}}}");
        let (status, begun) =
            self.try_once("POST", "/v1/transactions", &[], Bytes::from(body)).await?;
        match begun["capability"].as_str() {
            Some(capability) if status < 300 => Ok(capability.to_owned()),
            Some(_) | None => Err(Broken(format!("begin: {status} {begun}"))),
        }
    }

    async fn register(&mut self, gid: &str, headers: &[(&str, &str)]) -> Result<(), Broken> {
        let path = format!("/v1/transactions/{gid}/branches");
        let of = |name| {
            let branch = load::branch(name, ",\"mode\":\"tcc\"", "\"buy\"");
            Bytes::from(branch + ",\"call\":true}")
        };
        let address = *self.addresses.borrow();
        let Line { client, side, .. } = self;
        let (a, b) = tokio::join!(
            exchange(client, address, ("POST", &path), headers, of("a")),
            exchange(side, address, ("POST", &path), headers, of("b")),
        );
        for (status, answer) in [a?, b?] {
            if status >= 300 || answer["answer"] != "done" {
                return Err(Broken(format!("register: {status} {answer}")));
            }
        }
        Ok(())
    }

    /// Asks the same until it has ended.
    async fn until_ended(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> End {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < PATIENCE {
            match self.try_once(method, path, headers, body.clone()).await {
                Ok((200..300, document)) if document["state"] == "ended" => {
                    return judge(&document);
                }
                Ok((404, _)) if method == "GET" => return End::Vanished,
                Ok((200..300, document)) => last = document.to_string(),
                Ok((status, answer)) => {
                    last = format!("{status} {answer}");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Broken(why)) => {
                    last = why;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        End::Wrong(format!("has not ended after {} s: {last}", PATIENCE.as_secs()))
    }

    async fn try_once(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(u16, Value), Broken> {
        let address = *self.addresses.borrow();
        exchange(&mut self.client, address, (method, path), headers, body).await
    }
}

/// One exchange; a connection that breaks is opened anew the next time.
async fn exchange(
    kept: &mut Option<Client>,
    address: SocketAddr,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<(u16, Value), Broken> {
    let mut client = match kept.take() {
        Some(client) => client,
        None => Client::connect(&Target::from(address)).await?,
    };
    let (status, body) = client.send(method, path, headers, body).await?;
    *kept = Some(client);
    Ok((status.as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

fn judge(document: &Value) -> End {
    match (document["decision"].as_str(), document["outcome"].as_str()) {
        (Some(decision), Some("as_decided")) => End::Decided(decision.to_owned()),
        (_, _) => End::Wrong(document.to_string()),
    }
}

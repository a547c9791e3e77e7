//! A world: a coordinator in this process, its records in memory, and the services it may call.

use crate::answered::{self, Answered, Balance};
use crate::door::{Answer, Door, Errand, deliver};
use crate::matrix::Matrix;
use crate::network::Network;
use axum::Router;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Collected};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio::task::AbortHandle;
use wholly::barrier::BarrierDatabase;
use wholly::{Document, Service, Wholly};
use wholly_core::branch::Op;
use wholly_core::effect::Mark;
use wholly_core::ids::Gid;
use wholly_core::limits::Limits;
use wholly_server::egress::Rule;
use wholly_server::transport::Coordinator as _;
use wholly_server::{Config, Coordinator, Running};
use wholly_store::contract::{Filter, Page};
use wholly_wire::headers::{Asked, BodyKind, CallHeaders, call_path};
use wholly_wire::v1::answer::{Branch, History};
use wholly_wire::v1::call::{Inspected, NO_ROW_KEPT, RefusalBody, RowState};

/// Longest a call may take, in milliseconds: short, for a matrix waits for it in every cell that
/// is slow.
const CALL_TIMEOUT_MS: u64 = 250;
const BACKOFF_MS: u64 = 5;
const BACKOFF_MS_MAX: u64 = 50;
const LAZY_MS_MAX: u64 = 5;
/// Between two inspections of a service that is still at work.
const INSPECT_AGAIN: Duration = Duration::from_millis(5);
/// What is quoted of an answer that says nothing of a row.
const SAID_CHARS_MAX: usize = 200;
/// Transactions that are listed at once.
const PAGE: usize = 100;

/// A coordinator in a test. It ends when this is dropped, and all it knew is gone.
///
/// It listens on a free loopback port and touches no disk. Everything else is as in production:
/// real HTTP, the shipped driver, the SDK's router and barrier.
pub struct World {
    wholly: Wholly,
    running: Option<Running>,
    network: Arc<Network>,
    open: Mutex<Open>,
}

/// What changes as services come.
#[derive(Default)]
struct Open {
    doors: BTreeMap<String, Arc<Door>>,
    rules: BTreeMap<String, Rule>,
    tasks: Vec<AbortHandle>,
    /// Transactions of runs that are over.
    seen: BTreeSet<Gid>,
}

impl World {
    /// Starts a coordinator that waits 250 ms for a call and asks again after a few milliseconds.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn new() -> World {
        World::with_limits(|_| {}).await
    }

    /// The same, with limits changed: `|limits| limits.call_timeout_ms = 1_000` where handlers
    /// take longer than a quarter of a second.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn with_limits(change: impl FnOnce(&mut Limits)) -> World {
        // Nothing is written there: the records are in memory.
        let mut config = Config::in_process(Path::new("memory"));
        config.limits.call_timeout_ms = CALL_TIMEOUT_MS;
        config.limits.backoff_ms = BACKOFF_MS;
        config.limits.backoff_ms_max = BACKOFF_MS_MAX;
        config.limits.lazy_ms_max = LAZY_MS_MAX;
        change(&mut config.limits);
        let running = Coordinator::start_in_memory(config).await;
        let running = running.unwrap_or_else(|error| panic!("no coordinator: {error}"));
        let wholly = Wholly::new(&running.url()).expect("the coordinator's own URL is one");
        World { wholly, running: Some(running), network: Network::new(), open: Mutex::default() }
    }

    /// The client: what services and initiators are made with.
    pub fn wholly(&self) -> &Wholly {
        &self.wholly
    }

    /// The coordinator's URL, for clients in other languages or processes.
    pub fn url(&self) -> &str {
        self.wholly.url()
    }

    /// Lets the coordinator call this service, by its name. The barrier's tables are made where
    /// they are not.
    ///
    /// # Panics
    /// If a service of this name is served already, or no port is free; outside a tokio runtime.
    pub fn serve<D: BarrierDatabase>(&self, service: &Service<D>) -> &World {
        let dying = service.clone().dying_before_commit();
        let made = service.clone();
        let door = Door {
            name: service.name().to_string(),
            service: wholly::participant::router([service]),
            dying: Some(wholly::participant::router([&dying])),
            migration: Box::new(move || {
                let made = made.clone();
                Box::pin(async move { made.migrate().await.map_err(|error| error.to_string()) })
            }),
            migrated: OnceCell::new(),
            network: Arc::clone(&self.network),
        };
        self.open_door(door)
    }

    /// Lets the coordinator call whatever answers under `/wholly/` of this router: services
    /// within their application, or a participant written by hand. [`Fault::CrashMidway`]
    /// does not strike here, for that needs the service itself.
    ///
    /// [`Fault::CrashMidway`]: crate::Fault::CrashMidway
    ///
    /// # Panics
    /// As [`serve`](World::serve).
    pub fn serve_router(&self, name: &str, router: Router) -> &World {
        self.open_door(Door {
            name: name.to_owned(),
            service: router,
            dying: None,
            migration: Box::new(|| Box::pin(async { Ok(()) })),
            migrated: OnceCell::new(),
            network: Arc::clone(&self.network),
        })
    }

    /// A business act of yours under every fault: first without any, to learn which calls it
    /// makes, then once for each call and each fault that can befall it. Await it, then
    /// [`assert`](crate::Report::assert).
    ///
    /// `act` begins its transactions by the client it is given, under gids of their own for each
    /// run. `check` says whether the books balance: that everything happened wholly or not at
    /// all; it gives back a `bool`, a `Result`, or nothing and panics.
    pub fn every_fault<'a, A, O, C, B>(&'a self, act: A, check: C) -> Matrix<'a>
    where
        A: AsyncFn(Wholly) -> O + 'a,
        O: Answered,
        C: AsyncFn() -> B + 'a,
        B: Balance,
    {
        Matrix::new(self, answered::act(act), answered::check(check))
    }

    fn open_door(&self, door: Door) -> &World {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        let listener = listener.unwrap_or_else(|error| panic!("no port for a service: {error}"));
        let address = listener.local_addr().expect("a bound listener has an address");
        let name = door.name.clone();
        let door = Arc::new(door);
        let mut open = self.open();
        let before = open.doors.insert(name.clone(), Arc::clone(&door));
        assert!(before.is_none(), "{name} is served already");
        open.rules.insert(name.clone(), Rule::new(&format!("http://{address}")));
        let replaced = self.running().replace_destinations(&open.rules);
        replaced.unwrap_or_else(|error| panic!("{name} cannot be a destination: {error}"));
        open.tasks.push(tokio::spawn(door.open(listener)).abort_handle());
        drop(open);
        self
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("nobody panics while holding what is open")
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs until the drop")
    }

    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.network
    }

    pub(crate) fn door(&self, name: &str) -> Option<Arc<Door>> {
        self.open().doors.get(name).cloned()
    }

    /// Makes the tables of every service.
    pub(crate) async fn migrate(&self) -> Result<(), String> {
        let doors: Vec<_> = self.open().doors.values().cloned().collect();
        for door in doors {
            let made = door.migrate().await;
            made.map_err(|error| format!("the tables of {} were not made: {error}", door.name))?;
        }
        Ok(())
    }

    /// Transactions that were not there when this was asked last.
    pub(crate) async fn unseen(&self) -> Vec<Gid> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = Page { limit: PAGE, after };
            let listed = self.running().coordinator().list(Filter::default(), page).await;
            let listing = listed.expect("memory can be read");
            let mut open = self.open();
            let items = listing.items.into_iter().map(|item| item.gid);
            let fresh: Vec<Gid> = items.filter(|gid| open.seen.insert(gid.clone())).collect();
            after = listing.next;
            if fresh.is_empty() || after.is_none() {
                found.extend(fresh);
                return found;
            }
            found.extend(fresh);
        }
    }

    /// What the coordinator wrote down of a transaction.
    pub(crate) async fn history(&self, gid: &Gid) -> History<'static> {
        let records = self.running().coordinator().history(gid).await;
        let records = records.expect("memory can be read");
        let history = wholly_wire::v1::history(gid, &records, &[]);
        let text = serde_json::to_vec(&history).expect("a timeline is JSON");
        serde_json::from_slice(&text).expect("what v1 writes it reads")
    }

    /// What a participant shows of its row of a branch, when it is asked as a coordinator asks.
    pub(crate) async fn inspect(
        &self,
        document: &Document,
        branch: &Branch<'_>,
        mark: &Mark,
    ) -> Shown {
        let Some(door) = self.door(&branch.to) else {
            return Shown::Nothing(format!("{} is not served in this world", branch.to));
        };
        let Some(errand) = inspection(document, branch, mark) else {
            return Shown::Nothing("it has names that no call can carry".to_owned());
        };
        loop {
            let answer = deliver(door.service.clone(), errand.clone()).await;
            match answer.status() {
                StatusCode::TOO_EARLY => tokio::time::sleep(INSPECT_AGAIN).await,
                _ => return shown(answer).await,
            }
        }
    }
}

/// What a participant shows of a row.
pub(crate) enum Shown {
    /// How it stands.
    Row(RowState),
    /// It keeps no rows, and says so.
    NoneKept,
    /// It did not say; why.
    Nothing(String),
}

fn inspection(document: &Document, branch: &Branch<'_>, mark: &Mark) -> Option<Errand> {
    let asked = Asked {
        gid: document.gid.parse().ok()?,
        branch: branch.branch.parse().ok()?,
        operation: branch.operation.parse().ok()?,
        op: Op::Inspect,
    };
    let uri = call_path(&asked.operation).parse().ok()?;
    let (mark, body) = (mark.clone(), BodyKind::Payload);
    let call = CallHeaders { asked, timeout_ms: CALL_TIMEOUT_MS, mark, body };
    let mut headers = HeaderMap::new();
    for (name, value) in call.pairs() {
        headers.insert(name, HeaderValue::from_str(&value).ok()?);
    }
    Some(Errand { method: Method::POST, uri, headers, body: Bytes::new() })
}

async fn shown(answer: Answer) -> Shown {
    let status = answer.status();
    let Ok(body) = answer.into_body().collect().await.map(Collected::to_bytes);
    let said = || {
        let text: String = String::from_utf8_lossy(&body).chars().take(SAID_CHARS_MAX).collect();
        Shown::Nothing(format!("it answered {} {text}", status.as_u16()))
    };
    if status == StatusCode::CONFLICT {
        let refusal = serde_json::from_slice::<RefusalBody<'_>>(&body);
        let keeps_none = refusal.is_ok_and(|refusal| refusal.code == NO_ROW_KEPT);
        return if keeps_none { Shown::NoneKept } else { said() };
    }
    let state = serde_json::from_slice::<Inspected<'_>>(&body).ok();
    match state.and_then(|inspected| inspected.state.known()) {
        Some(state) if status.is_success() => Shown::Row(state),
        Some(_) | None => said(),
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Ok(open) = self.open.get_mut() {
            open.tasks.iter().for_each(AbortHandle::abort);
        }
        if let Some(running) = self.running.take() {
            running.abandon();
        }
    }
}

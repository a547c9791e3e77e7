//! Coordinator: core's driver and a log, as one value that can be gone on from in many ways.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use wholly_core::branch::Answer;
use wholly_core::driver::Driver;
use wholly_core::effect::{Call, Content, Draft, Effect};
use wholly_core::ids::{CallId, Digest, Gid, Origin, Position, RequestId};
use wholly_core::input::{Input, Loaded, Request};
use wholly_core::limits::Limits;
use wholly_core::record::{ClockMark, Decision, Fact, PhaseName, Record, Start};
use wholly_core::rejection::Rejection;
use wholly_core::time::{Instant, Now, Timestamp};

/// When every model begins, on the wall clock.
const BEGIN_MS: u64 = 1_000_000;

/// An answer that left for a client.
pub(crate) type Reply = (RequestId, Result<wholly_core::document::Response, Rejection>);

/// What left: calls that are in flight from here on, and answers.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) calls: Vec<Arc<Call>>,
    pub(crate) replies: Vec<Reply>,
}

/// When the store lets a gid go that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Frees {
    /// Its retention time is over and its begun is below the durable limit.
    BelowLimit,
    /// Its retention time is over, wherever the limit stands: a bug.
    ByAge,
}

/// One coordinator and its disk. States are compared by a digest of everything in it, made when
/// it changes.
#[derive(Clone)]
pub(crate) struct Coordinator {
    driver: Arc<Driver>,
    limits: Arc<Limits>,
    frees: Frees,
    now: Now,
    /// Everything queued, in order.
    log: Vec<Logged>,
    /// So many of these are durable.
    durable: usize,
    /// Calls that have not come back.
    flying: Vec<Arc<Call>>,
    /// How every transaction stands in what is durable.
    known: Arc<[Known]>,
    digest: u64,
}

impl Hash for Coordinator {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl PartialEq for Coordinator {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// A draft in the log, and its digest.
#[derive(Clone)]
struct Logged {
    draft: Arc<Draft>,
    digest: u64,
}

impl Logged {
    fn new(draft: Draft) -> Logged {
        let mut hasher = DefaultHasher::new();
        draft.hash(&mut hasher);
        Logged { draft: Arc::new(draft), digest: hasher.finish() }
    }
}

impl Hash for Logged {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// How a transaction stands in a part of the log.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) gid: Gid,
    pub(crate) begun: Timestamp,
    pub(crate) form: Form,
    pub(crate) decision: Option<Decision>,
    pub(crate) is_ended: bool,
}

/// How it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Open,
    Plan(Digest),
    Lost,
}

impl Known {
    /// Whether it is on its way back.
    pub(crate) fn is_turned(&self) -> bool {
        self.decision == Some(Decision::Abort)
    }
}

impl Coordinator {
    /// A fresh one, started; its first mark is durable.
    pub(crate) fn new(limits: Limits, frees: Frees) -> Coordinator {
        let limits = Arc::new(limits);
        let mut coordinator = Coordinator {
            driver: Arc::new(driver(&limits, Loaded::default())),
            limits,
            frees,
            now: Now { wall: Timestamp(BEGIN_MS), monotonic: Instant(0) },
            log: Vec::new(),
            durable: 0,
            flying: Vec::new(),
            known: Arc::from([]),
            digest: 0,
        };
        coordinator.start();
        coordinator
    }

    /// Calls that have not come back.
    pub(crate) fn flying(&self) -> &[Arc<Call>] {
        &self.flying
    }

    /// So many drafts are queued and not durable.
    pub(crate) fn pending(&self) -> usize {
        self.log.len() - self.durable
    }

    /// So many drafts are durable.
    pub(crate) fn durable(&self) -> usize {
        self.durable
    }

    /// A client asks.
    pub(crate) fn request(&mut self, id: RequestId, request: Request) -> Left {
        self.step(Input::Request { id, request })
    }

    /// A call comes back, or its time is over.
    pub(crate) fn answer(&mut self, call: CallId, answer: Answer) -> Left {
        self.flying.retain(|flying| flying.id != call);
        self.step(Input::Answered { call, answer })
    }

    /// Time passes, and the alarm rings.
    pub(crate) fn pass(&mut self, ms: u64) -> Left {
        self.now.wall = self.now.wall.plus_ms(ms);
        self.now.monotonic = self.now.monotonic.plus_ms(ms);
        self.step(Input::Woken)
    }

    /// The next draft in the log becomes durable.
    pub(crate) fn sync(&mut self) -> Left {
        self.durable += 1;
        self.step(Input::Durable(self.log[self.durable - 1].draft.position))
    }

    /// Everything in the log becomes durable at once.
    pub(crate) fn sync_all(&mut self) -> Left {
        self.durable = self.log.len();
        self.step(Input::Durable(self.log[self.durable - 1].draft.position))
    }

    /// An older copy of the log is put back, which takes its time, and the process is started.
    pub(crate) fn restore(&mut self, kept: usize, ms: u64) -> Left {
        self.now.wall = self.now.wall.plus_ms(ms);
        self.now.monotonic = self.now.monotonic.plus_ms(ms);
        self.restart(kept)
    }

    /// The process dies and is started again. Of its log the first `kept` drafts are there: what
    /// was durable, and whatever else had reached the disk.
    pub(crate) fn restart(&mut self, kept: usize) -> Left {
        self.log.truncate(kept);
        self.durable = kept;
        self.flying.clear();
        self.driver = Arc::new(driver(&self.limits, self.loaded()));
        self.start()
    }

    fn start(&mut self) -> Left {
        let mut effects = Vec::new();
        Arc::make_mut(&mut self.driver).start(self.now, &mut effects);
        let mut left = self.take(effects);
        let mark = self.log.last().expect("a start queues a mark").draft.position;
        self.durable = self.log.len();
        let after = self.step(Input::Durable(mark));
        left.calls.extend(after.calls);
        left.replies.extend(after.replies);
        left
    }

    fn step(&mut self, input: Input) -> Left {
        let mut effects = Vec::new();
        Arc::make_mut(&mut self.driver).step(self.now, input, &mut effects);
        let left = self.take(effects);
        self.known = History::known(&self.transactions(self.durable));
        let mut hasher = DefaultHasher::new();
        (&self.driver, self.now, &self.log, self.durable, &self.flying).hash(&mut hasher);
        self.digest = hasher.finish();
        left
    }

    /// Carries effects out. A look-up is answered at once: requests that come meanwhile wait
    /// behind it, so that a later answer would be heard in the same order.
    fn take(&mut self, effects: Vec<Effect>) -> Left {
        let mut left = Left::default();
        let mut lookups = Vec::new();
        for effect in effects {
            match effect {
                Effect::Append(draft) => self.log.push(Logged::new(draft)),
                Effect::Call(call) => {
                    let call = Arc::new(call);
                    self.flying.push(call.clone());
                    left.calls.push(call);
                }
                Effect::Reply { to, reply, .. } => left.replies.push((to, reply)),
                Effect::Lookup { gid } => lookups.push(gid),
                // A sync may come at any time, asked for or not; time passes as the model says.
                Effect::Flush(_) | Effect::Wake(_) => {}
            }
        }
        for gid in lookups {
            let (records, forgotten) = self.look_up(&gid);
            let after = self.step(Input::Found { gid, records, forgotten });
            left.calls.extend(after.calls);
            left.replies.extend(after.replies);
        }
        left
    }

    /// What the durable log knows of a gid, and the highest begun that it forgot.
    fn look_up(&self, gid: &Gid) -> (Vec<Record>, Timestamp) {
        let mut records = Vec::new();
        let mut forgotten = Timestamp(0);
        for one in self.transactions(self.durable) {
            match (self.is_forgotten(&one), one.gid == gid) {
                (true, _) => forgotten = forgotten.max(one.begun),
                (false, true) => records = one.records.into_iter().cloned().collect(),
                (false, false) => {}
            }
        }
        (records, forgotten)
    }

    fn is_forgotten(&self, one: &History<'_>) -> bool {
        let Some(mark) = self.mark(self.durable) else { return false };
        let below = match self.frees {
            Frees::BelowLimit => one.begun < mark.limit,
            Frees::ByAge => true,
        };
        below && one.ended.is_some_and(|ended| ended < mark.ended_before)
    }

    fn mark(&self, drafts: usize) -> Option<ClockMark> {
        self.log[..drafts].iter().rev().find_map(|logged| match &logged.draft.content {
            Content::Mark(mark) => Some(*mark),
            Content::Transaction { .. } => None,
        })
    }

    fn loaded(&self) -> Loaded {
        let open = self.transactions(self.durable).into_iter();
        Loaded {
            position: self.log[..self.durable]
                .last()
                .map_or(Position(0), |last| last.draft.position),
            mark: self.mark(self.durable),
            open: open
                .filter(|one| one.ended.is_none())
                .map(|one| (one.gid.clone(), one.records.into_iter().cloned().collect()))
                .collect(),
            restored: None,
        }
    }

    /// Every transaction in the first so many drafts, in order of acceptance.
    fn transactions(&self, drafts: usize) -> Vec<History<'_>> {
        let mut found: Vec<History<'_>> = Vec::new();
        for logged in &self.log[..drafts] {
            let Content::Transaction { gid, after, records, summary } = &logged.draft.content
            else {
                continue;
            };
            if after.0 == 0 {
                let begun = summary.begun;
                found.push(History { gid, begun, records: Vec::new(), ended: None });
            }
            let one = found.iter_mut().rfind(|one| one.gid == gid).expect("it was begun");
            one.records.extend(records);
            if summary.phase == PhaseName::Ended {
                one.ended = Some(summary.ended.unwrap_or(summary.changed));
            }
        }
        found
    }

    /// How every transaction stands in what is durable, in order of acceptance.
    pub(crate) fn known(&self) -> &[Known] {
        &self.known
    }

    /// How every transaction stands in what is queued, durable or not.
    pub(crate) fn applied(&self) -> Arc<[Known]> {
        History::known(&self.transactions(self.log.len()))
    }
}

/// A transaction in the log.
struct History<'a> {
    gid: &'a Gid,
    begun: Timestamp,
    records: Vec<&'a Record>,
    ended: Option<Timestamp>,
}

impl History<'_> {
    fn known(all: &[History<'_>]) -> Arc<[Known]> {
        all.iter().map(History::stands).collect()
    }

    fn stands(&self) -> Known {
        let first = self.records.first().map(|record| &record.fact);
        let Some(Fact::Begun(begun)) = first else { unreachable!("it begins with its begin") };
        let decided = self.records.iter().find_map(|record| match &record.fact {
            Fact::Decided { decision, .. } => Some(*decision),
            Fact::Begun(_)
            | Fact::Registered(_)
            | Fact::Answered { .. }
            | Fact::Stuck { .. }
            | Fact::Retried { .. }
            | Fact::Parked { .. }
            | Fact::Resolved { .. }
            | Fact::Restored
            | Fact::Inspected { .. }
            | Fact::Ended { .. } => None,
        });
        let form = match &begun.start {
            Start::Open { .. } => Form::Open,
            Start::Plan { digest, .. } => Form::Plan(*digest),
            Start::Lost => Form::Lost,
        };
        let lost = (form == Form::Lost).then_some(Decision::Abort);
        Known {
            gid: self.gid.clone(),
            begun: self.begun,
            form,
            decision: decided.or(lost),
            is_ended: self.ended.is_some(),
        }
    }
}

fn driver(limits: &Limits, loaded: Loaded) -> Driver {
    let origin = Origin::new("log").expect("a valid name");
    Driver::new(limits.clone(), origin, 0, loaded)
}

/// Limits under which no timer but the clock's mark has a say: what is not answered is asked again
/// at once, and what a start finds is taken up at once.
pub(crate) fn limits() -> Limits {
    Limits {
        backoff_ms: 0,
        backoff_ms_max: 0,
        ramp_ms: 0,
        timeout_ms_max: u64::MAX,
        ..Limits::default()
    }
}

//! Coordinator: core's driver and a log, as one value that can be gone on from in many ways.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use wholly_core::branch::Answer;
use wholly_core::driver::Driver;
use wholly_core::effect::{Call, Content, Draft, Effect};
use wholly_core::ids::{CallId, Gid, Origin, Position, RequestId};
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
    log: Vec<Arc<Draft>>,
    /// So many of these are durable.
    durable: usize,
    /// Calls that have not come back.
    flying: Vec<Arc<Call>>,
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

/// How a transaction stands in a part of the log.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) gid: Gid,
    pub(crate) begun: Timestamp,
    pub(crate) start: Start,
    pub(crate) decision: Option<Decision>,
    pub(crate) is_ended: bool,
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
        let position = self.log[self.durable].position;
        self.durable += 1;
        self.step(Input::Durable(position))
    }

    /// The process dies and is started again. Of its log the first `kept` drafts are there: at
    /// least what was durable after a crash, less where an older copy was restored.
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
        let mark = self.log.last().expect("a start queues a mark").position;
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
                Effect::Append(draft) => self.log.push(Arc::new(draft)),
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
            match (self.is_forgotten(&one), one.gid == *gid) {
                (true, _) => forgotten = forgotten.max(one.begun),
                (false, true) => records = one.records,
                (false, false) => {}
            }
        }
        (records, forgotten)
    }

    fn is_forgotten(&self, one: &History) -> bool {
        let Some(mark) = self.mark(self.durable) else { return false };
        let below = match self.frees {
            Frees::BelowLimit => one.begun < mark.limit,
            Frees::ByAge => true,
        };
        below && one.ended.is_some_and(|ended| ended < mark.ended_before)
    }

    fn mark(&self, drafts: usize) -> Option<ClockMark> {
        self.log[..drafts].iter().rev().find_map(|draft| match &draft.content {
            Content::Mark(mark) => Some(*mark),
            Content::Transaction { .. } => None,
        })
    }

    fn loaded(&self) -> Loaded {
        let open = self.transactions(self.durable).into_iter();
        Loaded {
            position: self.log[..self.durable].last().map_or(Position(0), |last| last.position),
            mark: self.mark(self.durable),
            open: open
                .filter(|one| one.ended.is_none())
                .map(|one| (one.gid, one.records))
                .collect(),
        }
    }

    /// Every transaction in the first so many drafts, in order of acceptance.
    fn transactions(&self, drafts: usize) -> Vec<History> {
        let mut found: Vec<History> = Vec::new();
        for draft in &self.log[..drafts] {
            let Content::Transaction { gid, after, records, summary } = &draft.content else {
                continue;
            };
            if after.0 == 0 {
                let begun = summary.begun;
                found.push(History { gid: gid.clone(), begun, records: Vec::new(), ended: None });
            }
            let one = found.iter_mut().rfind(|one| one.gid == *gid).expect("it was begun");
            one.records.extend(records.iter().cloned());
            if summary.phase == PhaseName::Ended {
                one.ended = Some(summary.ended.unwrap_or(summary.changed));
            }
        }
        found
    }

    /// How every transaction stands in what is durable.
    pub(crate) fn known(&self) -> Vec<Known> {
        self.transactions(self.durable).iter().filter_map(History::known).collect()
    }

    /// How every transaction stands in what is queued, durable or not.
    pub(crate) fn applied(&self) -> Vec<Known> {
        self.transactions(self.log.len()).iter().filter_map(History::known).collect()
    }
}

/// A transaction in the log.
struct History {
    gid: Gid,
    begun: Timestamp,
    records: Vec<Record>,
    ended: Option<Timestamp>,
}

impl History {
    fn known(&self) -> Option<Known> {
        let Fact::Begun(begun) = &self.records.first()?.fact else { return None };
        let decision = self.records.iter().find_map(|record| match &record.fact {
            Fact::Decided { decision, .. } => Some(*decision),
            Fact::Begun(_)
            | Fact::Registered(_)
            | Fact::Answered { .. }
            | Fact::Stuck { .. }
            | Fact::Retried { .. }
            | Fact::Parked { .. }
            | Fact::Resolved { .. }
            | Fact::Ended { .. } => None,
        });
        let lost = (begun.start == Start::Lost).then_some(Decision::Abort);
        Some(Known {
            gid: self.gid.clone(),
            begun: self.begun,
            start: begun.start.clone(),
            decision: decision.or(lost),
            is_ended: self.ended.is_some(),
        })
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

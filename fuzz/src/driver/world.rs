//! The world around a driver: a log of which a prefix is durable, clocks, calls and clients.

use super::moves::{self, DrawnBegun, Move, Opening, gid};
use std::collections::{BTreeMap, BTreeSet};
use wholly_core::branch::{Answer, Kept};
use wholly_core::driver::Driver;
use wholly_core::effect::{Call, Effect};
use wholly_core::ids::{Body, CallId, Gid, Position, RequestId};
use wholly_core::input::{
    Abort, Action, Begin, Commit, GidSource, Input, Loaded, Operate, Register, Request, Room,
    Submit,
};
use wholly_core::limits::Limits;
use wholly_core::record::{ClockMark, Decision, Fact, Record};
use wholly_core::time::{Instant, Now, Timestamp};

/// Rounds of healing; each makes everything durable and answers all there is.
const ROUNDS_MAX: usize = 300;

/// One transaction as the log has it; a gid may have several, one after another.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) gid: Gid,
    pub(super) begun: Timestamp,
    pub(super) records: Vec<(Position, Record)>,
    /// Whether the store still knows it.
    pub(super) known: bool,
}

impl Life {
    pub(super) fn through(&self, position: Position) -> Vec<Record> {
        let records = self.records.iter().take_while(|(at, _)| *at <= position);
        records.map(|(_, record)| record.clone()).collect()
    }

    pub(super) fn has_ended(&self, through: Position) -> bool {
        let lost = |fact: &Fact| matches!(fact, Fact::Begun(begun) if is_lost(begun));
        self.records.iter().any(|(at, record)| {
            *at <= through && (matches!(record.fact, Fact::Ended { .. }) || lost(&record.fact))
        })
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(&self.records[0].1.fact, Fact::Begun(begun) if is_lost(begun))
    }
}

fn is_lost(begun: &wholly_core::record::Begun) -> bool {
    matches!(begun.start, wholly_core::record::Start::Lost)
}

/// A look-up that was asked for: what was read, once it was.
#[derive(Debug)]
struct Lookup {
    gid: Gid,
    read: Option<(Vec<Record>, Timestamp)>,
}

pub(super) struct World {
    pub(super) limits: Limits,
    seed: u64,
    pub(super) driver: Driver,
    pub(super) now: Now,
    pub(super) lives: Vec<Life>,
    marks: Vec<(Position, ClockMark)>,
    /// Where drafts end that are not durable.
    ends: Vec<Position>,
    pub(super) position: Position,
    pub(super) durable: Position,
    forgotten: Timestamp,
    /// Decisions that were durable at some time.
    pub(super) decided: BTreeMap<(Gid, Timestamp), Decision>,
    pub(super) calls: BTreeMap<CallId, Call>,
    pub(super) calls_made: BTreeSet<CallId>,
    lookups: Vec<Lookup>,
    asked: u64,
    pub(super) waiting: BTreeSet<RequestId>,
    pub(super) gone: BTreeSet<RequestId>,
    alarm: Option<Instant>,
    pub(super) last_begun: Timestamp,
}

fn limits() -> Limits {
    Limits {
        call_timeout_ms: 50,
        backoff_ms: 10,
        backoff_ms_max: 100,
        open_timeout_ms: 1_000,
        retention_ms: 500,
        lazy_ms_max: 5,
        clock_jump_ms_max: 1_000,
        clock_jump_grace_ms: 2_000,
        ramp_ms: 20,
        branches_max: 4,
        payload_bytes_max: 4,
        reply_bytes_max: 8,
        open_max: 3,
        calls_max: 4,
        destination_calls_max: 2,
        transaction_waiters_max: 3,
        waiters_max: 5,
        wait_ms_max: 300,
        ..Limits::default()
    }
}

fn start(limits: &Limits, seed: u64, loaded: Loaded) -> Driver {
    Driver::new(limits.clone(), "origin".parse().expect("an origin"), seed, loaded)
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let limits = limits();
        let driver = start(&limits, seed, Loaded::default());
        let now = Now { wall: Timestamp(1_000_000), monotonic: Instant(0) };
        let mut world = World {
            limits,
            seed,
            driver,
            now,
            lives: Vec::new(),
            marks: Vec::new(),
            ends: Vec::new(),
            position: Position(0),
            durable: Position(0),
            forgotten: Timestamp(0),
            decided: BTreeMap::new(),
            calls: BTreeMap::new(),
            calls_made: BTreeSet::new(),
            lookups: Vec::new(),
            asked: 0,
            waiting: BTreeSet::new(),
            gone: BTreeSet::new(),
            alarm: None,
            last_begun: Timestamp(0),
        };
        world.begin_life();
        world
    }

    fn begin_life(&mut self) {
        let mut effects = Vec::new();
        self.driver.start(self.now, &mut effects);
        self.take(effects);
    }

    pub(super) fn make(&mut self, next: Move) {
        match next {
            Move::Gone { which } => {
                if let Some(id) = nth(self.waiting.iter().copied(), which) {
                    self.waiting.remove(&id);
                    self.gone.insert(id);
                    self.step(Input::Gone { id });
                }
            }
            Move::Answer { which, answer } => {
                if let Some(call) = nth(self.calls.keys().copied(), which) {
                    self.answer(call, answer.answer());
                }
            }
            Move::AnswerOfStranger { call, answer } => {
                let call = CallId(u64::from(call));
                if !self.calls.contains_key(&call) {
                    self.step(Input::Answered { call, answer: answer.answer() });
                }
            }
            Move::Durable { more } => {
                let through = nth(self.ends.iter().copied(), more).unwrap_or(self.durable);
                self.make_durable(through);
            }
            Move::Read { which } => {
                if !self.lookups.is_empty() {
                    let at = usize::from(which) % self.lookups.len();
                    self.read(at);
                }
            }
            Move::Found { which } => self.found(which),
            Move::FoundUnasked { gid: number } => self.found_unasked(gid(number)),
            Move::Unreadable { which } => {
                if !self.lookups.is_empty() {
                    let lookup = self.lookups.remove(usize::from(which) % self.lookups.len());
                    self.step(Input::Unreadable { gid: lookup.gid });
                }
            }
            Move::Room { free } => {
                self.step(Input::Room(if free { Room::Free } else { Room::Full }));
            }
            Move::Woken => self.step(Input::Woken),
            Move::Drain => self.step(Input::Drain),
            Move::Pass { ms } => self.pass(u64::from(ms)),
            Move::PassUntilAlarm => self.pass_until_alarm(),
            Move::WallJump { ms } => {
                let by = u64::from(ms.unsigned_abs() % 200_000);
                let wall = self.now.wall;
                self.now.wall = if ms < 0 { wall.minus_ms(by) } else { wall.plus_ms(by) };
            }
            Move::Crash { survives } => self.crash(survives),
            Move::Forget { gid: number } => self.forget(&gid(number)),
            request @ (Move::Begin { .. }
            | Move::Submit { .. }
            | Move::Register { .. }
            | Move::Commit { .. }
            | Move::Abort { .. }
            | Move::Get { .. }
            | Move::Calls
            | Move::Operate { .. }) => self.ask(request),
        }
    }

    fn ask(&mut self, next: Move) {
        let request = match next {
            Move::Begin { of, key, branches } => self.begin(&of, key, &branches),
            Move::Submit { of, steps, wait } => Request::Submit(Submit {
                gid: self.opened(&of),
                source: source(&of),
                name: "place-order".parse().expect("a name"),
                timeout_ms: of.timeout_ms.map(u64::from),
                steps: steps.iter().map(moves::DrawnStep::step).collect(),
                digest: moves::digest(of.digest),
                principal: moves::principal(of.principal),
                wait: wait.wait(),
            }),
            Move::Register { gid: number, begun, branch, wait_ms } => Request::Register(Register {
                gid: gid(number),
                begun: self.shown(number, &begun),
                spec: branch.spec(),
                wait_ms: wait_ms.map(u64::from),
                principal: moves::principal(true),
            }),
            Move::Commit { gid: number, begun, tried, refused, wait } => Request::Commit(Commit {
                gid: gid(number),
                begun: self.shown(number, &begun),
                tried: moves::branch_ids(tried),
                refused: moves::branch_ids(refused),
                wait: wait.wait(),
                principal: moves::principal(true),
            }),
            Move::Abort { gid: number, begun, branch, wait } => Request::Abort(Abort {
                gid: gid(number),
                begun: self.shown(number, &begun),
                reason: moves::reason(),
                branch: branch.map(moves::branch_id),
                wait: wait.wait(),
                principal: moves::principal(true),
            }),
            Move::Get { gid: number, wait } => Request::Get { gid: gid(number), wait: wait.wait() },
            Move::Operate { gid: number, action } => self.operate(gid(number), action.action()),
            Move::Calls => Request::Calls { gids: (0..4).map(gid).collect() },
            Move::Gone { .. }
            | Move::Answer { .. }
            | Move::AnswerOfStranger { .. }
            | Move::Durable { .. }
            | Move::Read { .. }
            | Move::Found { .. }
            | Move::FoundUnasked { .. }
            | Move::Unreadable { .. }
            | Move::Room { .. }
            | Move::Woken
            | Move::Drain
            | Move::Pass { .. }
            | Move::PassUntilAlarm
            | Move::WallJump { .. }
            | Move::Crash { .. }
            | Move::Forget { .. } => unreachable!("`make` hands over what a client asks"),
        };
        self.request(request);
    }

    fn begin(&self, of: &Opening, key: Option<bool>, branches: &[moves::DrawnBranch]) -> Request {
        let key = key.map(|first| {
            let key = if first { "k1" } else { "k2" };
            (key.parse().expect("a key"), moves::digest(of.digest))
        });
        Request::Begin(Begin {
            gid: self.opened(of),
            source: source(of),
            name: "place-order".parse().expect("a name"),
            timeout_ms: of.timeout_ms.map(u64::from),
            key,
            branches: branches.iter().map(moves::DrawnBranch::spec).collect(),
            principal: moves::principal(of.principal),
        })
    }

    /// The gid that is asked for; an issued one is nobody's.
    fn opened(&self, of: &Opening) -> Gid {
        match source(of) {
            GidSource::Client => gid(of.gid),
            GidSource::Issued => Gid::new(&format!("issued-{}", self.asked)).expect("a gid"),
        }
    }

    fn operate(&self, gid: Gid, action: Action) -> Request {
        let by = moves::principal(true);
        Request::Operate(Operate { gid, action, reason: moves::reason(), by })
    }

    fn shown(&self, number: u8, begun: &DrawnBegun) -> Timestamp {
        let gid = gid(number);
        let life = self.lives.iter().rev().find(|life| life.gid == gid);
        let right = life.map_or(self.last_begun, |life| life.begun);
        match begun {
            DrawnBegun::Right => right,
            DrawnBegun::Earlier(ms) => right.minus_ms(u64::from(*ms)),
            DrawnBegun::Any(ms) => self.now.wall.minus_ms(30_000).plus_ms(u64::from(*ms)),
        }
    }

    fn request(&mut self, request: Request) {
        self.asked += 1;
        let id = RequestId(self.asked);
        self.waiting.insert(id);
        self.step(Input::Request { id, request });
    }

    fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.driver.step(self.now, input, &mut effects);
        self.take(effects);
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if crate::is_traced() {
                eprintln!("    {effect:?}");
            }
            match effect {
                Effect::Append(draft) => {
                    self.ends.push(draft.position);
                    if let Some(mark) = self.appended(draft) {
                        self.marks.push((self.position, mark));
                    }
                }
                Effect::Flush(through) => assert!(through <= self.position, "nothing is there"),
                Effect::Call(call) => self.called(call),
                Effect::Reply { to, reply, proof } => self.replied(to, &reply, proof),
                Effect::Lookup { gid } => self.lookups.push(Lookup { gid, read: None }),
                Effect::Wake(at) => self.alarm = Some(at),
            }
        }
        self.check_gauges();
    }

    fn answer(&mut self, call: CallId, answer: Answer) {
        self.calls.remove(&call).expect("it is in flight");
        self.step(Input::Answered { call, answer });
    }

    fn make_durable(&mut self, through: Position) {
        self.ends.retain(|end| *end > through);
        self.durable = through;
        self.note_decisions();
        self.step(Input::Durable(through));
    }

    fn stored(&self, gid: &Gid) -> (Vec<Record>, Timestamp) {
        let known = self.lives.iter().rev().find(|life| life.gid == *gid && life.known);
        (known.map(|life| life.through(self.durable)).unwrap_or_default(), self.forgotten)
    }

    fn read(&mut self, at: usize) {
        if self.lookups[at].read.is_none() {
            self.lookups[at].read = Some(self.stored(&self.lookups[at].gid));
        }
    }

    fn found(&mut self, which: u8) {
        if self.lookups.is_empty() {
            return;
        }
        let at = usize::from(which) % self.lookups.len();
        self.read(at);
        let Lookup { gid, read } = self.lookups.remove(at);
        let (records, forgotten) = read.expect("it was just read");
        self.step(Input::Found { gid, records, forgotten });
    }

    /// Nobody asked: nothing may come of it.
    fn found_unasked(&mut self, gid: Gid) {
        if self.lookups.iter().all(|lookup| lookup.gid != gid) {
            self.step(Input::Woken);
            let position = self.position;
            self.step(Input::Found { gid, records: Vec::new(), forgotten: self.forgotten });
            assert_eq!(self.position, position, "nothing comes of it");
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.wall = self.now.wall.plus_ms(ms);
        self.now.monotonic = self.now.monotonic.plus_ms(ms);
    }

    fn pass_until_alarm(&mut self) {
        let at = self.alarm.expect("the clock's next mark is always waited for");
        self.pass(at.since_ms(self.now.monotonic));
        self.step(Input::Woken);
    }

    /// The process dies; of what was not durable, some may have reached the disk.
    fn crash(&mut self, survives: u8) {
        let more = nth(self.ends.iter().copied(), survives).filter(|_| survives > 127);
        self.durable = more.unwrap_or(self.durable);
        self.note_decisions();
        for life in &mut self.lives {
            life.records.retain(|(at, _)| *at <= self.durable);
        }
        self.lives.retain(|life| !life.records.is_empty());
        self.marks.retain(|(at, _)| *at <= self.durable);
        self.ends.clear();
        self.position = self.durable;
        self.calls.clear();
        self.calls_made.clear();
        self.lookups.clear();
        self.waiting.clear();
        self.gone.clear();
        self.alarm = None;
        self.now.monotonic = Instant(0);
        let mut open: Vec<(Gid, Vec<Record>)> = Vec::new();
        for life in self.lives.iter().filter(|life| !life.has_ended(self.durable)) {
            open.push((life.gid.clone(), life.through(self.durable)));
        }
        open.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mark = self.marks.last().map(|(_, mark)| *mark);
        let loaded = Loaded { position: self.durable, mark, open, restored: None };
        self.seed += 1;
        self.driver = start(&self.limits, self.seed, loaded);
        self.begin_life();
    }

    /// The store drops what has ended, for want of room or because its time is over.
    fn forget(&mut self, gid: &Gid) {
        let durable = self.durable;
        let ended = |life: &&mut Life| life.known && life.has_ended(durable);
        let mut lives = self.lives.iter_mut().filter(ended);
        if let Some(life) = lives.find(|life| life.gid == *gid) {
            life.known = false;
            self.forgotten = self.forgotten.max(life.begun);
        }
    }

    /// Everything works from here on: whatever is open ends, whoever asked is answered.
    pub(super) fn heal(&mut self) {
        self.operate_all(&Action::Abort);
        for round in 0..ROUNDS_MAX {
            self.make_durable(self.position);
            while !self.lookups.is_empty() {
                self.found(0);
            }
            while let Some(call) = self.calls.keys().next().copied() {
                let reply = Body::default();
                self.answer(call, Answer::Done { reply, kept: Kept::Kept });
            }
            if round % 8 == 0 {
                self.operate_all(&Action::Retry { branch: None });
            }
            if self.is_over() {
                return self.nothing_is_left();
            }
            if self.ends.is_empty() {
                self.pass_until_alarm();
            }
        }
        panic!("not over after {ROUNDS_MAX} rounds: {:?}", self.driver.gauges());
    }

    fn operate_all(&mut self, action: &Action) {
        let gids: BTreeSet<Gid> = self.lives.iter().map(|life| life.gid.clone()).collect();
        for gid in gids {
            self.request(self.operate(gid, action.clone()));
        }
    }

    fn is_over(&self) -> bool {
        let gauges = self.driver.gauges();
        let open = gauges.open + gauges.forward + gauges.finishing + gauges.ending;
        // What was found at a start is taken up by a timer, though it has ended before.
        open + gauges.timers == 0
            && self.waiting.is_empty()
            && self.ends.is_empty()
            && self.lookups.is_empty()
    }

    fn nothing_is_left(&self) {
        let gauges = self.driver.gauges();
        let wholes = (gauges.calls, gauges.queued, gauges.waiters, gauges.held, gauges.lookups);
        assert_eq!(wholes, (0, 0, 0, 0, 0), "{gauges:?}");
        assert_eq!(gauges.stuck, 0, "{gauges:?}");
        for life in &self.lives {
            assert!(life.has_ended(self.durable), "{} has ended", life.gid);
        }
    }
}

fn source(of: &Opening) -> GidSource {
    match of.issued {
        true => GidSource::Issued,
        false => GidSource::Client,
    }
}

fn nth<T>(items: impl Iterator<Item = T> + Clone, which: u8) -> Option<T> {
    let count = items.clone().count();
    items.into_iter().nth(usize::from(which) % count.max(1))
}

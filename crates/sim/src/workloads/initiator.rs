//! Initiator: begins, registers or calls, and decides; asks again after lost replies, and may die
//! or change its mind anywhere.

use crate::cells::Struck;
use crate::chance::Chance;
use crate::client::{Branch, Client, Desk, Heard, principal, retry};
use crate::tally::Fault;
use wholly_core::branch::{Answer, BranchSpec, Caller, Direction, Kept, Mode, Op};
use wholly_core::document::{Arrival, Document, Response, TryAnswer};
use wholly_core::effect::Mark;
use wholly_core::ids::{BranchId, Digest, Gid, IdempotencyKey, Text};
use wholly_core::input::{Abort, Begin, Commit, GidSource, Register, Request, Wait};
use wholly_core::record::PhaseName;
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;
use wholly_wire::problem::Retry;

/// Times a request is made before it is given up.
const TRIES_MAX: u32 = 8;

/// What an initiator means to do.
#[derive(Clone, Debug)]
pub struct Script {
    /// The id; issued by the coordinator if none.
    pub gid: Option<Gid>,
    /// Makes its begin repeatable.
    pub key: Option<(IdempotencyKey, Digest)>,
    /// Branches it will have.
    pub wishes: Vec<BranchSpec>,
    /// How many of them it declares at begin.
    pub declared: usize,
    /// Whether it registers all at once.
    pub pace: Pace,
    /// What it does about a refusal.
    pub temper: Temper,
    /// What it does at the end.
    pub ending: Ending,
    /// How long it may stay open.
    pub timeout_ms: Option<u64>,
    /// The trouble it makes by coming at all, if somebody was there before.
    pub rival: Option<Fault>,
}

/// Whether branches are registered one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The next when the one before has been answered.
    OneByOne,
    /// All at once.
    SideBySide,
}

/// What an initiator does when a branch is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// Commits without what was refused, aborts on what is unknown.
    Survives,
    /// Aborts.
    GivesUp,
    /// Commits whatever it knows.
    Presses,
}

/// What an initiator does at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Commits, if it can.
    Commit,
    /// Aborts.
    Abort,
    /// Says nothing more.
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Begin,
    Register(usize),
    Call(usize),
    Commit,
    Abort,
    Look,
    Pause(Next),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Begin,
    Register(usize),
    Call(usize),
    Commit,
    Abort,
    Look,
    Restart,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    Unasked,
    Asked,
    Done,
    Refused,
    Unknown,
}

/// The machine.
#[derive(Debug)]
pub struct Initiator {
    script: Script,
    begun: Option<(Gid, Timestamp)>,
    progress: Vec<Progress>,
    marks: Vec<Option<Mark>>,
    tries: Vec<u32>,
    /// Tries of begin and decision.
    own_tries: u32,
    decided: bool,
    awaited: Vec<(u32, Purpose)>,
}

impl Initiator {
    /// One that has done nothing yet.
    pub fn new(script: Script) -> Self {
        let branches = script.wishes.len();
        Initiator {
            script,
            begun: None,
            progress: vec![Progress::Unasked; branches],
            marks: vec![None; branches],
            tries: vec![0; branches],
            own_tries: 0,
            decided: false,
            awaited: Vec::new(),
        }
    }

    fn patience_us(desk: &Desk<'_>) -> u64 {
        desk.stage.limits.call_timeout_ms * 2_000
    }

    fn ask(&mut self, purpose: Purpose, request: Request, desk: &mut Desk<'_>) {
        let ask = desk.ask(request, Self::patience_us(desk));
        self.awaited.push((ask, purpose));
    }

    fn pause(&mut self, next: Next, desk: &mut Desk<'_>) {
        let wait = desk.stage.chance.within(200, 20_000);
        let token = desk.timer(wait);
        self.awaited.push((token, Purpose::Pause(next)));
    }

    fn take(&mut self, number: u32) -> Option<Purpose> {
        let at = self.awaited.iter().position(|(known, _)| *known == number)?;
        Some(self.awaited.swap_remove(at).1)
    }

    fn begin(&mut self, desk: &mut Desk<'_>) {
        self.own_tries += 1;
        if self.own_tries > TRIES_MAX {
            desk.leave();
            return;
        }
        let (gid, source) = match &self.script.gid {
            Some(gid) => (gid.clone(), GidSource::Client),
            None => (Gid::new("issued").expect("a name"), GidSource::Issued),
        };
        let begin = Begin {
            gid,
            source,
            name: super::name("open"),
            timeout_ms: self.script.timeout_ms,
            key: self.script.key.clone(),
            branches: self.script.wishes[..self.script.declared].to_vec(),
            principal: principal(),
        };
        self.ask(Purpose::Begin, Request::Begin(begin), desk);
    }

    /// Whatever comes next, by what is known.
    fn go_on(&mut self, desk: &mut Desk<'_>) {
        if self.decided {
            return;
        }
        let asked = self.progress.contains(&Progress::Asked);
        let unasked = self.progress.iter().position(|p| *p == Progress::Unasked);
        let gives_up = self.script.temper == Temper::GivesUp && self.has_failed();
        match (unasked, asked, self.script.pace) {
            (_, _, _) if gives_up => self.end(desk),
            (Some(at), false, Pace::OneByOne) => self.register(at, desk),
            (Some(_), _, Pace::SideBySide) => {
                for at in 0..self.progress.len() {
                    if self.progress[at] == Progress::Unasked {
                        self.register(at, desk);
                    }
                }
            }
            (Some(_), true, Pace::OneByOne) | (None, true, _) => {}
            (None, false, _) => self.end(desk),
        }
    }

    fn has_failed(&self) -> bool {
        self.progress.iter().any(|p| matches!(p, Progress::Refused | Progress::Unknown))
    }

    fn register(&mut self, at: usize, desk: &mut Desk<'_>) {
        let Some((gid, begun)) = self.begun.clone() else { return };
        self.progress[at] = Progress::Asked;
        self.tries[at] += 1;
        if self.tries[at] > TRIES_MAX / 2 {
            self.progress[at] = Progress::Unknown;
            self.go_on(desk);
            return;
        }
        let spec = self.script.wishes[at].clone();
        let wait_ms = match desk.stage.chance.below(3) {
            0 => Some(desk.stage.chance.below(20)),
            _ => None,
        };
        let register = Register { gid, begun, spec, wait_ms, principal: principal() };
        self.ask(Purpose::Register(at), Request::Register(register), desk);
    }

    fn call(&mut self, at: usize, desk: &mut Desk<'_>) {
        let (Some((gid, _)), Some(mark)) = (&self.begun, &self.marks[at]) else { return };
        let spec = &self.script.wishes[at];
        let op = match spec.mode {
            Mode::Tcc => Op::Try,
            Mode::Saga => Op::Action,
        };
        let Some((_, wanted)) = desk.stage.court.ledger.wanted(&spec.payload) else { return };
        let to = wanted.participant;
        let branch = Branch { gid, id: &spec.id, payload: &spec.payload, mark };
        let token = desk.call(to, op, branch);
        self.awaited.push((token, Purpose::Call(at)));
    }

    /// Decides, by what it saw.
    fn end(&mut self, desk: &mut Desk<'_>) {
        if self.decided {
            return;
        }
        self.decided = true;
        self.own_tries = 0;
        let unknown = self.progress.contains(&Progress::Unknown);
        let refused = self.progress.contains(&Progress::Refused);
        match (self.script.ending, self.script.temper) {
            (Ending::Silence, _) => desk.leave(),
            (Ending::Abort, _) => self.abort(desk),
            (Ending::Commit, Temper::Presses) => self.commit(desk),
            (Ending::Commit, Temper::Survives) if !unknown => self.commit(desk),
            (Ending::Commit, Temper::GivesUp) if !unknown && !refused => self.commit(desk),
            (Ending::Commit, Temper::Survives | Temper::GivesUp) => self.abort(desk),
        }
    }

    fn named(&self, progress: Progress) -> Vec<BranchId> {
        let wishes = self.script.wishes.iter().zip(&self.progress);
        wishes.filter(|(_, p)| **p == progress).map(|(spec, _)| spec.id.clone()).collect()
    }

    fn wait(chance: &mut Chance) -> Wait {
        match chance.below(4) {
            0 => Wait::No,
            1 => Wait::Ended { wait_ms: chance.within(1, 300) },
            _ => Wait::Decided { wait_ms: chance.within(1, 300) },
        }
    }

    fn commit(&mut self, desk: &mut Desk<'_>) {
        self.own_tries += 1;
        let Some((gid, begun)) = self.begun.clone() else { return desk.leave() };
        if self.own_tries > TRIES_MAX {
            return self.look(desk);
        }
        let commit = Commit {
            gid,
            begun,
            tried: self.named(Progress::Done),
            refused: self.named(Progress::Refused),
            wait: Self::wait(&mut desk.stage.chance),
            principal: principal(),
        };
        if desk.stage.strikes(Fault::CommitAndAbort, Struck::One(&commit.gid)) {
            let abort = self.abort_of(&commit.gid, begun, desk);
            desk.ask(Request::Abort(abort), Self::patience_us(desk));
        }
        self.ask(Purpose::Commit, Request::Commit(commit), desk);
    }

    fn abort(&mut self, desk: &mut Desk<'_>) {
        self.own_tries += 1;
        let Some((gid, begun)) = self.begun.clone() else { return desk.leave() };
        if self.own_tries > TRIES_MAX {
            return self.look(desk);
        }
        let abort = self.abort_of(&gid, begun, desk);
        self.ask(Purpose::Abort, Request::Abort(abort), desk);
    }

    fn abort_of(&self, gid: &Gid, begun: Timestamp, desk: &mut Desk<'_>) -> Abort {
        let mut known = self.script.wishes.iter().zip(&self.progress);
        let refused = known.find(|(_, progress)| **progress == Progress::Refused);
        Abort {
            gid: gid.clone(),
            begun,
            reason: Text::cut("thought better of it"),
            branch: refused.map(|(spec, _)| spec.id.clone()),
            wait: Self::wait(&mut desk.stage.chance),
            principal: principal(),
        }
    }

    fn look(&mut self, desk: &mut Desk<'_>) {
        let Some((gid, _)) = self.begun.clone() else { return desk.leave() };
        let wait = match desk.stage.chance.below(3) {
            0 => Wait::No,
            _ => Wait::Ended { wait_ms: desk.stage.chance.within(1, 300) },
        };
        self.ask(Purpose::Look, Request::Get { gid, wait }, desk);
    }

    fn replied(&mut self, purpose: Purpose, reply: Result<Response, Rejection>, d: &mut Desk<'_>) {
        match (purpose, reply) {
            (Purpose::Begin, Ok(Response::Begun { gid, begun, .. })) => {
                if self.script.gid.is_none() {
                    d.stage.gids.push(gid.clone());
                }
                self.begun = Some((gid, begun));
                self.go_on(d);
            }
            (Purpose::Register(at), Ok(Response::Registered { answer, mark, .. })) => {
                self.marks[at] = Some(mark);
                self.registered(at, answer, d);
            }
            (
                Purpose::Commit | Purpose::Abort | Purpose::Look,
                Ok(Response::Transaction { document, arrival }),
            ) => self.shown(&document, arrival, d),
            (purpose, Err(rejection)) => self.rejected(purpose, &rejection, d),
            (_, Ok(_)) => d.leave(),
        }
    }

    fn registered(&mut self, at: usize, answer: TryAnswer, desk: &mut Desk<'_>) {
        if self.script.wishes[at].caller == Caller::Initiator {
            match self.progress[at] {
                Progress::Asked => self.call(at, desk),
                Progress::Unasked | Progress::Done | Progress::Refused | Progress::Unknown => {}
            }
            return;
        }
        match answer {
            TryAnswer::Done { .. } => self.progress[at] = Progress::Done,
            TryAnswer::Refused(_) => self.progress[at] = Progress::Refused,
            TryAnswer::Unknown => return self.pause(Next::Register(at), desk),
        }
        self.go_on(desk);
    }

    fn answered(&mut self, at: usize, answer: Answer, desk: &mut Desk<'_>) {
        match answer {
            Answer::Done { .. } => self.progress[at] = Progress::Done,
            Answer::Refused(refusal) => match refusal.kept {
                Kept::Kept => self.progress[at] = Progress::Refused,
                // Another copy may still have an effect: named refused all the same, for then
                // it is taken back.
                Kept::NotKept => self.progress[at] = Progress::Refused,
            },
            Answer::Working | Answer::Unknown { .. } => {
                self.tries[at] += 1;
                if self.tries[at] <= TRIES_MAX / 2 {
                    return self.pause(Next::Call(at), desk);
                }
                self.progress[at] = Progress::Unknown;
            }
        }
        self.go_on(desk);
    }

    fn shown(&mut self, document: &Document, arrival: Arrival, desk: &mut Desk<'_>) {
        self.own_tries += 1;
        let over = document.state == PhaseName::Ended || self.own_tries > 2 * TRIES_MAX;
        match (over, arrival) {
            (true, _) => desk.leave(),
            (false, Arrival::Arrived | Arrival::NotYet) => {
                let gone = document.decision.is_some() && desk.stage.chance.below(2) == 0;
                match gone {
                    true => desk.leave(),
                    false => self.pause(Next::Look, desk),
                }
            }
        }
    }

    fn rejected(&mut self, purpose: Purpose, rejection: &Rejection, desk: &mut Desk<'_>) {
        if let Rejection::BranchContradicted { .. } | Rejection::BranchTaken { .. } = rejection {
            self.decided = true;
            return self.abort(desk);
        }
        if let Rejection::Decided { .. } = rejection
            && desk.stage.chance.below(3) == 0
        {
            return self.pause(Next::Look, desk);
        }
        if let (Rejection::GidUnknown { .. }, Purpose::Look) = (rejection, purpose) {
            return desk.leave();
        }
        match retry(rejection) {
            Retry::Later | Retry::Now => self.again(purpose, desk),
            Retry::Never => desk.leave(),
        }
    }

    /// The same once more, after a while.
    fn again(&mut self, purpose: Purpose, desk: &mut Desk<'_>) {
        let next = match purpose {
            Purpose::Begin => Next::Begin,
            Purpose::Register(at) => Next::Register(at),
            Purpose::Call(at) => Next::Call(at),
            Purpose::Commit => Next::Commit,
            Purpose::Abort => Next::Abort,
            Purpose::Look => Next::Look,
            Purpose::Pause(next) => next,
        };
        self.pause(next, desk);
    }

    fn next(&mut self, next: Next, desk: &mut Desk<'_>) {
        match next {
            Next::Begin => self.begin(desk),
            Next::Register(at) if !self.decided => self.register(at, desk),
            Next::Call(at) if !self.decided => self.call(at, desk),
            Next::Register(_) | Next::Call(_) => {}
            Next::Commit => self.commit(desk),
            Next::Abort => self.abort(desk),
            Next::Look => {
                self.own_tries += 1;
                match self.own_tries > 3 * TRIES_MAX {
                    true => desk.leave(),
                    false => self.look(desk),
                }
            }
            Next::Restart => {
                let script = self.script.clone();
                *self = Initiator::new(script);
                self.begin(desk);
            }
        }
    }

    /// No reply came.
    fn unheard(&mut self, purpose: Purpose, desk: &mut Desk<'_>) {
        let gid = self.begun.as_ref().map(|(gid, _)| gid);
        match purpose {
            Purpose::Commit if desk.stage.strikes(Fault::MindChanged, Struck::of(gid)) => {
                self.abort(desk);
            }
            Purpose::Begin
            | Purpose::Register(_)
            | Purpose::Call(_)
            | Purpose::Commit
            | Purpose::Abort
            | Purpose::Look
            | Purpose::Pause(_) => self.again(purpose, desk),
        }
    }

    /// Dies; with a key, another process takes over from the beginning.
    fn dies(&mut self, desk: &mut Desk<'_>) -> bool {
        let begun = self.begun.as_ref().map(|(gid, _)| gid);
        let dies = desk.dies(begun.or(self.script.gid.as_ref()));
        if dies {
            self.awaited.clear();
            match self.script.key.is_some() && desk.stage.chance.below(2) == 0 {
                true => self.pause(Next::Restart, desk),
                false => desk.leave(),
            }
        }
        dies
    }
}

impl Client for Initiator {
    fn hear(&mut self, heard: Heard, desk: &mut Desk<'_>) {
        let purpose = match &heard {
            Heard::Go => None,
            Heard::Reply { ask: number, .. }
            | Heard::Silence { ask: number }
            | Heard::Answer { token: number, .. }
            | Heard::Quiet { token: number }
            | Heard::Timer { token: number } => match self.take(*number) {
                Some(purpose) => Some(purpose),
                None => return,
            },
        };
        if self.dies(desk) {
            return;
        }
        match (heard, purpose) {
            (Heard::Go, _) => {
                if let Some(fault) = self.script.rival {
                    desk.stage.counts(fault, Struck::of(self.script.gid.as_ref()));
                }
                self.begin(desk);
            }
            (Heard::Reply { reply, .. }, Some(purpose)) => self.replied(purpose, reply, desk),
            (Heard::Silence { .. }, Some(purpose)) => self.unheard(purpose, desk),
            (Heard::Answer { answer, .. }, Some(Purpose::Call(at))) => {
                self.answered(at, answer, desk);
            }
            (Heard::Quiet { .. }, Some(Purpose::Call(at))) => {
                let detail = Text::cut("timeout");
                self.answered(at, Answer::Unknown { detail }, desk);
            }
            (Heard::Timer { .. }, Some(Purpose::Pause(next))) => self.next(next, desk),
            (
                Heard::Reply { .. }
                | Heard::Silence { .. }
                | Heard::Answer { .. }
                | Heard::Quiet { .. }
                | Heard::Timer { .. },
                _,
            ) => {}
        }
    }
}

/// Draws what is not a matter of modes.
pub fn script(gid: Option<Gid>, wishes: Vec<BranchSpec>, chance: &mut Chance) -> Script {
    let declared = match chance.below(3) {
        0 => 0,
        1 => wishes.len(),
        _ => chance.below(wishes.len() as u64 + 1) as usize,
    };
    Script {
        gid,
        key: None,
        declared,
        wishes,
        pace: *chance.pick(&[Pace::OneByOne, Pace::SideBySide]),
        temper: *chance.pick(&[
            Temper::Survives,
            Temper::GivesUp,
            Temper::GivesUp,
            Temper::Presses,
        ]),
        ending: match chance.below(10) {
            0 => Ending::Abort,
            1 => Ending::Silence,
            _ => Ending::Commit,
        },
        timeout_ms: match chance.below(3) {
            0 => Some(chance.within(50, 2_000)),
            _ => None,
        },
        rival: None,
    }
}

/// A branch of an open transaction.
pub fn wish(id: BranchId, mode: Mode, to: usize, caller: Caller) -> BranchSpec {
    BranchSpec {
        id,
        mode,
        destination: super::destination(to),
        operation: super::operation(),
        payload: wholly_core::ids::Body::default(),
        caller,
        after: Vec::new(),
        reads: Vec::new(),
        direction: Direction::Reversible,
    }
}

//! Model: what every promise is measured by, far simpler than the product. It knows what clients
//! wanted, what took effect in the participants' books, what was told, and what stands in the log
//! that survived.

use crate::cells::Census;
use crate::evidence::{Closed, Evidence, document};
use crate::tally::State;
use std::collections::{BTreeMap, VecDeque};
use wholly_core::branch::{Answer, Direction, Mode, Op, Resolution};
use wholly_core::document::{Response, TryAnswer};
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Body, BranchId, BranchIndex, Digest, Gid, IdempotencyKey, Position};
use wholly_core::input::Request;
use wholly_core::record::{Begun, Cause, ClockMark, Decision, Fact, Outcome, Start};
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;

/// What one or several clients want of one gid.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Which workload made it.
    pub workload: &'static str,
    /// Open or a plan.
    pub form: Form,
    /// Its branches; an ordinal counts from zero.
    pub branches: Vec<Wanted>,
}

/// In which form a client wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The initiator decides.
    Open,
    /// The steps decide.
    Plan,
}

/// A branch as a client wants it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub id: BranchId,
    /// Its rules.
    pub mode: Mode,
    /// Where.
    pub participant: usize,
    /// Ordinals of the steps it waits for.
    pub after: Vec<usize>,
    /// Ordinals of the steps it reads.
    pub reads: Vec<usize>,
    /// Whether it can be taken back.
    pub direction: Direction,
}

/// A try's final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriedOr {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

impl TriedOr {
    /// What an answer to a registration says, if it is final.
    pub fn of(answer: &TryAnswer) -> Option<TriedOr> {
        match answer {
            TryAnswer::Done { .. } => Some(TriedOr::Done),
            TryAnswer::Refused(_) => Some(TriedOr::Refused),
            TryAnswer::Unknown => None,
        }
    }
}

/// What a call carried: op, payload, replies of earlier steps.
pub type Carried = (Op, Body, Vec<(BranchId, Body)>);

/// What is known of one branch.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Its try or action: at which count of effects, with what payload.
    pub first: Option<Body>,
    /// Its confirm, cancel or compensate.
    pub second: Option<Op>,
    /// It will take no effect.
    pub closed: Option<Closed>,
    /// Whether an answer of it was ever recorded.
    pub answered: bool,
    /// The reply to its first op, in the log that survived.
    pub reply: Option<(Position, Body)>,
    /// The position at which its registration was appended.
    pub registered: Option<Position>,
    /// When it came to wait for an operator, and when it no more did.
    pub waits: Vec<(Position, Waits)>,
    /// What an initiator was told of its try.
    pub told: Option<TriedOr>,
    /// What an operator said of it, in the log that survived.
    pub resolved: Option<(Position, Resolution)>,
    /// What its calls carried: op, payload, replies.
    pub carried: Vec<Carried>,
}

/// Whether a branch waits for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// One does.
    ForOperator,
    /// None does.
    ForNobody,
}

/// How transactions were decided, and how those that ended did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Decided to commit.
    pub committed: u64,
    /// Decided to abort.
    pub aborted: u64,
    /// Of both, ended mixed.
    pub mixed: u64,
    /// Of both, ended with a hazard.
    pub hazard: u64,
}

impl Fates {
    /// All that were decided.
    pub fn decided(&self) -> u64 {
        self.committed + self.aborted
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Fates) {
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.mixed += other.mixed;
        self.hazard += other.hazard;
    }

    fn count(&mut self, case: &Case) {
        match case.decided {
            Some((_, Decision::Commit, _)) => self.committed += 1,
            Some((_, Decision::Abort, _)) => self.aborted += 1,
            None => {}
        }
        match case.ended.map(|(_, _, outcome)| outcome) {
            Some(Outcome::Mixed) => self.mixed += 1,
            Some(Outcome::Hazard) => self.hazard += 1,
            Some(Outcome::AsDecided) | None => {}
        }
    }
}

/// What is known of one gid.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its branches.
    pub branches: BTreeMap<BranchId, Truth>,
    /// Branches in the order in which the coordinator registered them.
    pub order: Vec<(BranchId, Mode, Body)>,
    /// The decision in the log that survived.
    pub decided: Option<(Position, Decision, Cause)>,
    /// The end in the log that survived: its wall time, and how well the decision was carried out.
    pub ended: Option<(Position, Timestamp, Outcome)>,
    /// Begun when.
    pub begun: Option<Timestamp>,
    /// What makes its begin repeatable.
    pub key: Option<(IdempotencyKey, Digest)>,
    /// When an operator parked it, and when one retried it.
    pub parked: Vec<(Position, Waits)>,
    /// Whether somebody holds its capability.
    pub capability: Option<Timestamp>,
    /// The first final answer that left.
    pub told: Option<Decision>,
    /// The outcome that left.
    pub told_outcome: Option<Outcome>,
    /// When it is aborted or turns back by itself.
    pub deadline: Option<Timestamp>,
    /// How it stood after each draft of the log that survived.
    pub states: Vec<(Position, State)>,
}

/// Everything known.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What clients want.
    pub intents: Vec<Intent>,
    /// By gid.
    pub cases: BTreeMap<Gid, Case>,
    /// Those whose gid was used again since.
    pub past: Vec<(Gid, Case)>,
    /// The marks in the log that survived.
    pub marks: Vec<(Position, ClockMark)>,
    /// The last position in the log that survived.
    pub appended: Position,
    /// The highest position that anything which left had needed.
    pub needed: Position,
    /// Where outcomes are forgotten for want of room: the highest begun of those that were.
    pub forgotten: Timestamp,
    /// The first begin ever given.
    pub begun_min: Option<Timestamp>,
    /// The latest begin ever given, lost ones included.
    pub begun_max: Timestamp,
    /// The same at the last start of the coordinator.
    pub begun_before: Timestamp,
    /// How many transactions are in each state.
    census: Census,
    /// Ends that are not yet known to be on the platter.
    ending: VecDeque<Position>,
}

/// Bytes of a payload: intent, ordinal, filling.
const PAYLOAD_BYTES: usize = 24;

/// The payload of a branch: it names what it was made for, so that a call can be told from one of
/// another plan.
pub fn payload(intent: usize, ordinal: usize) -> Body {
    let mut bytes = [0_u8; PAYLOAD_BYTES];
    bytes[..8].copy_from_slice(&(intent as u64).to_le_bytes());
    bytes[8..16].copy_from_slice(&(ordinal as u64).to_le_bytes());
    Body::new(&bytes)
}

/// A gid as the coordinator's edge issues it: one initiator knows it, in one life.
pub fn issued(bits: u64) -> Gid {
    Gid::new(&format!("x{bits:016x}")).expect("a name")
}

/// Whether a gid was issued.
pub fn is_issued(gid: &Gid) -> bool {
    gid.as_str().starts_with('x')
}

/// What a payload was made for: intent and ordinal.
pub fn purpose(payload: &Body) -> Option<(usize, usize)> {
    let bytes: &[u8; PAYLOAD_BYTES] = payload.as_bytes().try_into().ok()?;
    let number = |at: usize| {
        let part: [u8; 8] = bytes[at..at + 8].try_into().expect("eight of twenty-four");
        u64::from_le_bytes(part) as usize
    };
    Some((number(0), number(8)))
}

impl Ledger {
    /// The wanted branch a payload was made for.
    pub fn wanted(&self, payload: &Body) -> Option<(&Intent, &Wanted)> {
        let (intent, ordinal) = purpose(payload)?;
        let intent = self.intents.get(intent)?;
        Some((intent, intent.branches.get(ordinal)?))
    }

    /// The case of a gid, if anything is known of it.
    pub fn case(&self, gid: &Gid) -> Option<&Case> {
        self.cases.get(gid)
    }

    /// The truth about a branch.
    pub fn truth(&self, gid: &Gid, branch: &BranchId) -> Option<&Truth> {
        self.cases.get(gid)?.branches.get(branch)
    }

    /// The case of one begin of a gid.
    pub fn case_of(&self, gid: &Gid, begun: Timestamp) -> Option<&Case> {
        let current = self.cases.get(gid).filter(|case| case.begun == Some(begun));
        let past = || self.past.iter().find(|(g, c)| g == gid && c.begun == Some(begun));
        current.or_else(|| past().map(|(_, case)| case))
    }

    fn case_of_mut(&mut self, gid: &Gid, begun: Timestamp) -> Option<&mut Case> {
        let current = self.cases.get_mut(gid).filter(|case| case.begun == Some(begun));
        let past = self.past.iter_mut().find(|(g, c)| g == gid && c.begun == Some(begun));
        current.or(past.map(|(_, case)| case))
    }

    /// Whether a case may be forgotten: it ended before the retention time, and the log says so.
    pub fn may_be_forgotten(&self, case: &Case) -> bool {
        let (Some(begun), Some((_, ended, _))) = (case.begun, case.ended) else { return false };
        let early = begun <= self.forgotten;
        early || self.marks.iter().any(|(_, mark)| begun < mark.limit && ended < mark.ended_before)
    }

    /// Whether everything of a case's age has ended long ago, as calls say to participants.
    pub fn is_below_limit(&self, case: &Case) -> bool {
        let Some(begun) = case.begun.filter(|_| case.ended.is_some()) else { return false };
        self.marks.iter().any(|(_, mark)| begun < mark.limit)
    }

    /// Whether a begin is not the one by which the gid is known.
    pub fn is_taken_by_another(&self, gid: &Gid, begun: Timestamp) -> bool {
        let known = self.cases.get(gid).filter(|case| case.ended.is_some());
        known.and_then(|case| case.begun).is_some_and(|known| known != begun)
    }

    /// A gid is begun: what it named before belongs to the past.
    fn use_again(&mut self, gid: &Gid, begun: Timestamp) {
        let known = self.cases.get(gid).and_then(|case| case.begun);
        if known.is_some_and(|known| known != begun) {
            let past = self.cases.remove(gid).expect("it is known");
            self.past.push((gid.clone(), past));
        }
    }

    fn case_mut(&mut self, gid: &Gid) -> &mut Case {
        if !self.cases.contains_key(gid) {
            self.cases.insert(gid.clone(), Case::default());
        }
        self.cases.get_mut(gid).expect("inserted above")
    }

    /// Takes evidence in, after the checkers have judged it.
    pub fn learn(&mut self, evidence: &Evidence<'_>) {
        match evidence {
            Evidence::Appended(draft) => self.learn_draft(draft),
            Evidence::Called { call, platter } => {
                self.settles(*platter);
                self.needed = self.needed.max(call.proof.needed);
                let truth = self.case_mut(&call.gid).truth_mut(&call.branch);
                if !truth.carried.iter().any(|(op, _, _)| *op == call.op) {
                    let carried = (call.op, call.payload.clone(), call.replies.clone());
                    truth.carried.push(carried);
                }
            }
            Evidence::Replied { request, reply, proof, platter } => {
                self.settles(*platter);
                self.needed = self.needed.max(proof.needed);
                self.learn_try(request, reply);
                if let Ok(Response::Begun { gid, begun, .. }) = reply {
                    self.case_mut(gid).capability = Some(*begun);
                }
                let Some(document) = document(reply) else { return };
                let Some(case) = self.case_of_mut(&document.gid, document.begun) else { return };
                case.told = case.told.or(document.decision);
                case.told_outcome = case.told_outcome.or(document.outcome);
            }
            Evidence::Took(took) => {
                let truth = self.case_mut(&took.gid).truth_mut(&took.branch);
                match took.op {
                    Op::Try | Op::Action => truth.first = Some(took.payload.clone()),
                    Op::Confirm | Op::Cancel | Op::Compensate => truth.second = Some(took.op),
                    Op::Inspect => {}
                }
            }
            Evidence::Closed { gid, branch, why } => {
                self.case_mut(gid).truth_mut(branch).closed = Some(*why);
            }
            Evidence::Recovered { position, .. } => self.forget_after(*position),
            Evidence::Illegal { .. }
            | Evidence::Stale { .. }
            | Evidence::Over(_)
            | Evidence::Audited { .. } => {}
        }
    }

    fn learn_try(&mut self, request: &Request, reply: &Result<Response, Rejection>) {
        let Request::Register(register) = request else { return };
        let Ok(Response::Registered { branch, answer, .. }) = reply else { return };
        if let Some(case) = self.case_of_mut(&register.gid, register.begun) {
            let truth = case.truth_mut(branch);
            truth.told = truth.told.or(TriedOr::of(answer));
        }
    }

    fn learn_draft(&mut self, draft: &Draft) {
        self.appended = draft.position;
        let position = draft.position;
        let (gid, records, summary) = match &draft.content {
            Content::Transaction { gid, records, summary, .. } => (gid, records, summary),
            Content::Mark(mark) => return self.marks.push((position, *mark)),
        };
        if let Some(Fact::Begun(begun)) = records.first().map(|record| &record.fact) {
            self.use_again(gid, begun.begun);
            self.begun_max = self.begun_max.max(begun.begun);
            self.begun_min = Some(self.begun_min.map_or(begun.begun, |min| min.min(begun.begun)));
        }
        let state = State::of(summary);
        self.census.moves(self.state(gid), state);
        if state == State::Ended {
            self.ending.push_back(position);
        }
        let case = self.case_mut(gid);
        case.states.push((position, state));
        for record in records {
            match &record.fact {
                Fact::Begun(begun) => case.learn_begun((position, record.at), begun),
                Fact::Registered(spec) => case.learn_branch(position, spec),
                Fact::Decided { decision, cause, .. } => {
                    case.decided = Some((position, *decision, *cause));
                }
                Fact::Ended { outcome } => case.ended = Some((position, record.at, *outcome)),
                Fact::Stuck { branch, .. } => {
                    case.wait([*branch].into_iter(), (position, Waits::ForOperator));
                }
                Fact::Parked { .. } => case.parked.push((position, Waits::ForOperator)),
                Fact::Retried { branches, .. } => {
                    case.parked.push((position, Waits::ForNobody));
                    case.wait(branches.iter().copied(), (position, Waits::ForNobody));
                }
                Fact::Answered { branch, op, answer, .. } => {
                    if let Some((id, _, _)) = case.order.get(branch.at()).cloned() {
                        case.truth_mut(&id).learn_answer(position, *op, answer);
                    }
                }
                Fact::Resolved { branch, resolution, .. } => {
                    if let Some((id, _, _)) = case.order.get(branch.at()).cloned() {
                        let truth = case.truth_mut(&id);
                        truth.resolved = Some((position, *resolution));
                        truth.waits.push((position, Waits::ForNobody));
                    }
                }
            }
        }
    }

    /// How all transactions were decided and ended.
    pub fn fates(&self) -> Fates {
        let mut fates = Fates::default();
        for case in self.cases.values().chain(self.past.iter().map(|(_, case)| case)) {
            fates.count(case);
        }
        fates
    }

    /// How a transaction stands, as the coordinator last wrote it down.
    pub fn state(&self, gid: &Gid) -> State {
        self.cases.get(gid).map_or(State::None, Case::state)
    }

    /// How many transactions are in each state; of ended ones, those whose end may yet be lost.
    pub fn census(&self) -> Census {
        self.census.with_ending(self.ending.len())
    }

    /// So much is on the platter.
    fn settles(&mut self, platter: Position) {
        while self.ending.front().is_some_and(|end| *end <= platter) {
            self.ending.pop_front();
        }
    }

    /// The last deadline of what has not ended.
    pub fn last_deadline(&self) -> Option<Timestamp> {
        let open = self.cases.values().filter(|case| case.ended.is_none());
        open.filter_map(|case| case.deadline).max()
    }

    /// Gids that the log knows and that have not ended.
    pub fn open(&self) -> impl Iterator<Item = &Gid> {
        let open = |case: &Case| !case.order.is_empty() && case.ended.is_none();
        self.cases.iter().filter(move |(_, case)| open(case)).map(|(gid, _)| gid)
    }

    /// Gids of which a branch waits for an operator.
    pub fn stuck(&self) -> impl Iterator<Item = &Gid> {
        let parked = |case: &Case| case.parked.last().map(|(_, waits)| *waits);
        let waits = move |case: &Case| {
            let stuck = case.branches.values().any(Truth::waits_for_operator);
            stuck || parked(case) == Some(Waits::ForOperator)
        };
        let stuck = self.cases.iter().filter(move |(_, case)| waits(case) && case.ended.is_none());
        stuck.map(|(gid, _)| gid)
    }

    /// What stood in the log after this position is gone.
    fn forget_after(&mut self, position: Position) {
        self.appended = position;
        self.begun_before = self.begun_max;
        self.marks.retain(|(at, _)| *at <= position);
        self.census = Census::default();
        self.ending.clear();
        for case in self.cases.values_mut() {
            case.states.retain(|(at, _)| *at <= position);
            self.census.moves(State::None, case.state());
            case.decided = case.decided.filter(|(at, _, _)| *at <= position);
            case.ended = case.ended.filter(|(at, _, _)| *at <= position);
            case.parked.retain(|(at, _)| *at <= position);
            for truth in case.branches.values_mut() {
                truth.registered = truth.registered.filter(|at| *at <= position);
                truth.reply = truth.reply.take().filter(|(at, _)| *at <= position);
                truth.waits.retain(|(at, _)| *at <= position);
                truth.resolved = truth.resolved.filter(|(at, _)| *at <= position);
            }
            let branches = &case.branches;
            case.order.retain(|(id, _, _)| {
                branches.get(id).is_some_and(|truth| truth.registered.is_some())
            });
        }
    }
}

impl Case {
    /// How it stands, as the coordinator last wrote it down.
    pub fn state(&self) -> State {
        self.states.last().map_or(State::None, |(_, state)| *state)
    }

    fn truth_mut(&mut self, branch: &BranchId) -> &mut Truth {
        if !self.branches.contains_key(branch) {
            self.branches.insert(branch.clone(), Truth::default());
        }
        self.branches.get_mut(branch).expect("inserted above")
    }

    fn wait(&mut self, of: impl Iterator<Item = BranchIndex>, waits: (Position, Waits)) {
        for index in of {
            if let Some((id, _, _)) = self.order.get(index.at()).cloned() {
                self.truth_mut(&id).waits.push(waits);
            }
        }
    }

    fn learn_begun(&mut self, (position, at): (Position, Timestamp), begun: &Begun) {
        self.begun = Some(begun.begun);
        self.order.clear();
        self.key = match &begun.start {
            Start::Open { key, .. } => key.clone(),
            Start::Plan { .. } | Start::Lost => None,
        };
        self.deadline = match &begun.start {
            Start::Open { deadline, .. } => Some(*deadline),
            Start::Plan { deadline, .. } => *deadline,
            Start::Lost => None,
        };
        match &begun.start {
            Start::Open { branches, .. } | Start::Plan { steps: branches, .. } => {
                for spec in branches {
                    self.learn_branch(position, spec);
                }
            }
            Start::Lost => {
                self.decided = Some((position, Decision::Abort, Cause::Unknown));
                self.ended = Some((position, at, Outcome::AsDecided));
            }
        }
    }

    fn learn_branch(&mut self, position: Position, spec: &wholly_core::branch::BranchSpec) {
        self.order.push((spec.id.clone(), spec.mode, spec.payload.clone()));
        self.truth_mut(&spec.id).registered = Some(position);
    }
}

impl Truth {
    fn learn_answer(&mut self, position: Position, op: Op, answer: &Answer) {
        self.answered = true;
        match (op, answer) {
            (Op::Try | Op::Action, Answer::Done { reply, .. }) => {
                self.reply = Some((position, reply.clone()));
            }
            (Op::Try | Op::Action | Op::Confirm | Op::Cancel | Op::Compensate | Op::Inspect, _) => {
            }
        }
    }

    /// Whether nobody may call it before an operator acts.
    pub fn waits_for_operator(&self) -> bool {
        self.waits.last().is_some_and(|(_, waits)| *waits == Waits::ForOperator)
    }

    /// Whether its effect stands.
    pub fn stands(&self) -> bool {
        self.first.is_some() && !matches!(self.second, Some(Op::Cancel | Op::Compensate))
    }
}

//! Model: what every promise is measured by, far simpler than the product. It knows what clients
//! wanted, what took effect in the participants' books, what was told, and what stands in the log
//! that survived.

mod case;
mod cases;
mod restored;

pub use case::{Carried, Case, Fates, Fold, TriedOr, Truth, Waits};
pub use cases::Cases;
pub use restored::Past;

use crate::cells::Census;
use crate::coordinator::Act;
use crate::evidence::{Evidence, document};
use crate::register::Registers;
use crate::tally::State;
use crate::wishes::Wishes;
use std::collections::VecDeque;
use wholly_core::branch::{Direction, Mode, Op};
use wholly_core::document::Response;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Body, BranchId, Gid, Position};
use wholly_core::input::Request;
use wholly_core::limits::Limits;
use wholly_core::record::{ClockMark, Fact};
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

/// Whether transactions may begin, as operators have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intake {
    /// They may.
    #[default]
    Open,
    /// Not until it is opened again.
    Closed,
    /// Not before the next start.
    Stopping,
}

/// Everything known.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What clients want.
    pub intents: Vec<Intent>,
    /// By gid.
    pub cases: Cases,
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
    /// The highest limit that a call of this life of the coordinator has carried.
    pub limit_told: Timestamp,
    /// The first begin ever given.
    pub begun_min: Option<Timestamp>,
    /// The latest begin ever given, lost ones included.
    pub begun_max: Timestamp,
    /// The highest limit of a mark that was lost with what came after a copy.
    pub limit_lost: Timestamp,
    /// The same at the last start of the coordinator.
    pub begun_before: Timestamp,
    /// What was asked of the coordinator.
    pub wishes: Wishes,
    /// What clients have heard.
    pub registers: Registers,
    /// What bounds the coordinator.
    pub limits: Limits,
    /// Participants that an operator lets rest.
    pub resting: Vec<usize>,
    /// Whether transactions may begin.
    pub intake: Intake,
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
        // The same begin, lost in a crash and recorded as lost later, is there twice.
        let past = || self.past.iter().rev().find(|(g, c)| g == gid && c.begun == Some(begun));
        current.or_else(|| past().map(|(_, case)| case))
    }

    fn case_of_mut(&mut self, gid: &Gid, begun: Timestamp) -> Option<&mut Case> {
        let current = self.cases.find_mut(gid).filter(|case| case.begun == Some(begun));
        let past = self.past.iter_mut().rev().find(|(g, c)| g == gid && c.begun == Some(begun));
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
        if case.begun.is_some_and(|begun| begun < self.limit_lost) {
            return true;
        }
        let Some(begun) = case.begun.filter(|_| case.ended.is_some()) else { return false };
        self.marks.iter().any(|(_, mark)| begun < mark.limit)
    }

    /// Whether a begin is not the one by which the gid is known.
    pub fn is_taken_by_another(&self, gid: &Gid, begun: Timestamp) -> bool {
        let known = self.cases.get(gid).filter(|case| case.ended.is_some());
        known.and_then(|case| case.begun).is_some_and(|known| known != begun)
    }

    /// Whether a gid names nothing, for its latest begin was lost, and named something before.
    pub fn is_lost_again(&self, gid: &Gid) -> bool {
        self.state(gid) == State::None && self.past.iter().any(|(past, _)| past == gid)
    }

    /// A gid is begun: what it named before belongs to the past.
    fn use_again(&mut self, gid: &Gid, begun: Timestamp) {
        let known = self.cases.get(gid).and_then(|case| case.begun);
        if known.is_some_and(|known| known != begun) {
            let past = std::mem::take(self.case_mut(gid));
            self.past.push((gid.clone(), past));
        }
    }

    fn case_mut(&mut self, gid: &Gid) -> &mut Case {
        self.cases.entry(gid)
    }

    /// Takes evidence in, after the checkers have judged it.
    pub fn learn(&mut self, evidence: &Evidence<'_>) {
        match evidence {
            Evidence::Appended(draft) => self.learn_draft(draft),
            Evidence::Called { call, platter } => {
                self.settles(*platter);
                self.needed = self.needed.max(call.proof.needed);
                self.limit_told = self.limit_told.max(call.mark.limit);
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
            Evidence::Restored { position } => self.lose_after(*position),
            Evidence::Recovered { position, .. } => {
                self.resting.clear();
                self.intake = Intake::Open;
                self.forget_after(*position);
            }
            Evidence::Operated(act) => self.learn_act(*act),
            Evidence::Asked(request) => self.wishes.learn(request),
            Evidence::Heard { heard_us, reply, .. } => self.registers.learn(*heard_us, reply),
            Evidence::Woken { .. }
            | Evidence::Illegal { .. }
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

    /// None of it outlives a start.
    fn learn_act(&mut self, act: Act) {
        match (act, self.intake) {
            (Act::Pause(participant), _) if self.resting.contains(&participant) => {}
            (Act::Pause(participant), _) => self.resting.push(participant),
            (Act::Resume(participant), _) => self.resting.retain(|one| *one != participant),
            (Act::Stop, _) => self.intake = Intake::Stopping,
            (Act::CloseIntake, Intake::Open) => self.intake = Intake::Closed,
            (Act::OpenIntake, Intake::Closed) => self.intake = Intake::Open,
            (Act::CloseIntake, Intake::Closed | Intake::Stopping)
            | (Act::OpenIntake, Intake::Open | Intake::Stopping) => {}
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
        let restored = matches!(records.first().map(|r| &r.fact), Some(Fact::Restored));
        let left = restored || self.cases.get(gid).is_some_and(Case::is_left);
        let state = match left {
            true => State::of_left(summary),
            false => State::of(summary),
        };
        self.census.moves(self.state(gid), state);
        if state == State::Ended {
            self.ending.push_back(position);
        }
        let case = self.case_mut(gid);
        case.states.push((position, state));
        let before = case.folds.last().map(|(_, fold)| *fold).unwrap_or_default();
        case.folds.push((position, before.with(records, summary)));
        case.learn_whether_left(position, summary);
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
                    if case.is_unaccounted() {
                        case.read_again(position, branches);
                    }
                    case.wait(branches.iter().copied(), (position, Waits::ForNobody));
                }
                Fact::Answered { branch, op, answer, .. } => {
                    if let Some((id, _, _)) = case.order.get(branch.at()).cloned() {
                        case.truth_mut(&id).learn_answer(position, *op, answer);
                    }
                }
                Fact::Restored => case.left.push((position, Waits::ForOperator)),
                Fact::Inspected { branch, row } => {
                    if let Some((id, _, _)) = case.order.get(branch.at()).cloned() {
                        case.truth_mut(&id).learn_row(position, row);
                    }
                }
                Fact::Resolved { branch, resolution, .. } => {
                    if let Some((id, _, _)) = case.order.get(branch.at()).cloned() {
                        let truth = case.truth_mut(&id);
                        (truth.resolved, truth.vouched) = (Some((position, *resolution)), true);
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

    /// The position of the last record of a transaction.
    pub fn recorded(&self, gid: &Gid) -> Position {
        let last = self.cases.get(gid).and_then(|case| case.states.last());
        last.map_or(Position(0), |(position, _)| *position)
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

    /// How far the clock went between the last two marks: further than time if it jumped.
    pub fn marks_apart_ms(&self) -> u64 {
        match self.marks.as_slice() {
            [.., (_, before), (_, last)] => last.clock.since_ms(before.clock),
            [] | [_] => 0,
        }
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
            stuck || parked(case) == Some(Waits::ForOperator) || case.is_left()
        };
        let stuck = self.cases.iter().filter(move |(_, case)| case.ended.is_none() && waits(case));
        stuck.map(|(gid, _)| gid)
    }

    /// How many barrier rows a participant may hold once those below the limit are cleared.
    pub fn rows_max(&self, participant: usize, limit: Timestamp) -> usize {
        let cases = self.cases.values().chain(self.past.iter().map(|(_, case)| case));
        let young = cases.filter(|case| case.begun.is_none_or(|begun| begun >= limit));
        let there = |truth: &&Truth| {
            let payload = truth.first.as_ref().or(truth.carried.first().map(|(_, body, _)| body));
            let wanted = payload.and_then(|payload| self.wanted(payload));
            // Of a branch that an initiator called by itself it may not be known where.
            let here = wanted.is_none_or(|(_, wanted)| wanted.participant == participant);
            here && (truth.first.is_some() || truth.closed.is_some())
        };
        young.map(|case| case.branches.values().filter(there).count()).sum()
    }

    /// What stood in the log after this position is gone.
    fn forget_after(&mut self, position: Position) {
        self.appended = position;
        self.begun_before = self.begun_max;
        self.limit_told = Timestamp(0);
        self.marks.retain(|(at, _)| *at <= position);
        self.census = Census::default();
        self.ending.clear();
        for case in self.cases.values_mut() {
            case.states.retain(|(at, _)| *at <= position);
            case.folds.retain(|(at, _)| *at <= position);
            self.census.moves(State::None, case.state());
            case.decided = case.decided.filter(|(at, _, _)| *at <= position);
            case.ended = case.ended.filter(|(at, _, _)| *at <= position);
            case.parked.retain(|(at, _)| *at <= position);
            case.left.retain(|(at, _)| *at <= position);
            for truth in case.branches.values_mut() {
                truth.registered = truth.registered.filter(|at| *at <= position);
                truth.reply = truth.reply.take().filter(|(at, _)| *at <= position);
                truth.waits.retain(|(at, _)| *at <= position);
                truth.rows.retain(|(at, _)| *at <= position);
                truth.resolved = truth.resolved.filter(|(at, _)| *at <= position);
            }
            let branches = &case.branches;
            case.order.retain(|(id, _, _)| {
                branches.get(id).is_some_and(|truth| truth.registered.is_some())
            });
        }
    }
}

//! Drafts for tests: transactions with every kind of record, from a seed.

use std::collections::BTreeMap;
use wholly_core::branch::{
    Answer, BranchSpec, Caller, Direction, Kept, Mode, Op, Refusal, Resolution, RowSeen,
    StuckReason,
};
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{
    Body, BranchId, BranchIndex, Code, Destination, Digest, Gid, IdempotencyKey, Name, Operation,
    Position, Principal, Text, Version,
};
use wholly_core::record::{
    Begun, Cause, ClockMark, Decision, Fact, Outcome, PhaseName, Record, Start, Summary,
};
use wholly_core::retry::mix;
use wholly_core::time::Timestamp;

/// Chance from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Chance(mix(seed))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below a bound that is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of some.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn name(&mut self) -> String {
        let words = ["a", "order", "stock.lock", "Z9:x-y_z", "points-deduct.v2"];
        let long = "n".repeat(128);
        match self.below(20) {
            0 => long,
            _ => format!("{}{}", self.one_of(&words), self.below(100)),
        }
    }

    fn text(&mut self) -> Text {
        let length = self.one_of(&[0, 1, 20, 1_024]);
        Text::cut(&"täxt ".repeat(300)[..length / 6 * 6])
    }

    fn body(&mut self) -> Body {
        let length = self.one_of(&[0, 1, 60, 200, 4_000]);
        let bytes: Vec<u8> = (0..length).map(|_| self.number() as u8).collect();
        Body::new(&bytes)
    }

    fn index(&mut self) -> BranchIndex {
        BranchIndex(self.one_of(&[0, 1, 2, 127, 128, 1_023, u16::MAX]))
    }

    fn indexes(&mut self) -> Vec<BranchIndex> {
        (0..self.below(4)).map(|_| self.index()).collect()
    }

    fn time(&mut self) -> Timestamp {
        let any = self.number();
        Timestamp(self.one_of(&[0, 1, 1_790_000_000_000, any, u64::MAX]))
    }

    fn destination(&mut self) -> Destination {
        let text = self.one_of(&["stock", "points", "http://127.0.0.1:80/x?y"]);
        Destination::new(text).expect("these are destinations")
    }

    fn principal(&mut self) -> Principal {
        Principal::new(&self.name()).expect("a name")
    }

    fn digest(&mut self) -> Digest {
        let mut digest = [0; 32];
        digest.fill_with(|| self.number() as u8);
        Digest(digest)
    }

    fn op(&mut self) -> Op {
        let all = [Op::Try, Op::Confirm, Op::Cancel, Op::Action, Op::Compensate, Op::Inspect];
        self.one_of(&all)
    }

    fn kept(&mut self) -> Kept {
        self.one_of(&[Kept::Kept, Kept::NotKept])
    }

    fn refusal(&mut self) -> Refusal {
        let code = Code::new(&self.name()).expect("a name");
        Refusal { code, detail: self.text(), kept: self.kept() }
    }

    fn spec(&mut self) -> BranchSpec {
        BranchSpec {
            id: BranchId::new(&self.name()).expect("a name"),
            mode: self.one_of(&[Mode::Tcc, Mode::Saga]),
            destination: self.destination(),
            operation: Operation::new(&self.name()).expect("a name"),
            payload: self.body(),
            caller: self.one_of(&[Caller::Coordinator, Caller::Initiator]),
            after: self.indexes(),
            reads: self.indexes(),
            direction: self.one_of(&[Direction::Reversible, Direction::ForwardOnly]),
        }
    }

    fn specs(&mut self) -> Vec<BranchSpec> {
        (0..self.below(4)).map(|_| self.spec()).collect()
    }

    fn answer(&mut self) -> Answer {
        match self.below(4) {
            0 => Answer::Working,
            1 => Answer::Unknown { detail: self.text() },
            2 => Answer::Refused(self.refusal()),
            _ => Answer::Done { reply: self.body(), kept: self.kept() },
        }
    }

    fn stuck(&mut self) -> StuckReason {
        match self.below(3) {
            0 => StuckReason::Parked { reason: self.text() },
            1 => StuckReason::Restored { row: self.row() },
            _ => StuckReason::Refused { op: self.op(), refusal: self.refusal() },
        }
    }

    fn row(&mut self) -> RowSeen {
        match self.below(8) {
            0 => RowSeen::NotAsked,
            1 => RowSeen::Absent,
            2 => RowSeen::Stale,
            3 => RowSeen::Tried { reply: self.body() },
            4 => RowSeen::Confirmed { reply: self.body() },
            5 => RowSeen::Cancelled { reply: self.body() },
            6 => RowSeen::NullCancelled,
            _ => RowSeen::Refused,
        }
    }

    /// A begin of any form.
    pub fn begun(&mut self, gid: &Gid, begun: Timestamp) -> Begun {
        let start = match self.below(3) {
            0 => Start::Lost,
            1 => Start::Plan {
                deadline: self.percent(50).then(|| self.time()),
                digest: self.digest(),
                steps: self.specs(),
            },
            _ => Start::Open {
                deadline: self.time(),
                key: self
                    .percent(50)
                    .then(|| (IdempotencyKey::new("key/4711?").expect("a key"), self.digest())),
                branches: self.specs(),
            },
        };
        let name = Name::new(&self.name()).expect("a name");
        Begun { gid: gid.clone(), name, begun, principal: self.principal(), start }
    }

    /// Any fact but a begin and an end.
    pub fn fact(&mut self) -> Fact {
        let causes =
            [Cause::Initiator, Cause::Refusal, Cause::Unknown, Cause::Deadline, Cause::Operator];
        let (branch, reason) = (self.index(), self.text());
        match self.below(9) {
            0 => Fact::Registered(self.spec()),
            1 => Fact::Answered {
                branch,
                op: self.op(),
                answer: self.answer(),
                attempts: self.number() as u32,
            },
            2 => Fact::Decided {
                decision: self.one_of(&[Decision::Commit, Decision::Abort]),
                cause: self.one_of(&causes),
                branch: self.percent(50).then_some(branch),
                reason,
                out: self.indexes(),
                untouched: self.indexes(),
            },
            3 => Fact::Stuck { branch, reason: self.stuck() },
            4 => Fact::Retried { branches: self.indexes(), by: self.principal(), reason },
            5 => Fact::Parked { by: self.principal(), reason },
            6 => Fact::Restored,
            7 => Fact::Inspected { branch, row: self.row() },
            _ => {
                let all = [Resolution::Applied, Resolution::NotApplied, Resolution::Unknown];
                let resolution = self.one_of(&all);
                Fact::Resolved { branch, resolution, by: self.principal(), reason }
            }
        }
    }
}

/// One transaction as a writer knows it.
#[derive(Clone, Debug)]
struct Known {
    version: Version,
    summary: Summary,
}

/// A writer of drafts that keep the rules: positions without gap, versions in order.
#[derive(Clone, Debug)]
pub struct Writer {
    chance: Chance,
    /// The position of the last draft.
    pub position: Position,
    /// The begin of the last transaction.
    pub clock: Timestamp,
    open: BTreeMap<Gid, Known>,
    numbered: u64,
}

impl Writer {
    /// A writer on an empty store.
    pub fn new(seed: u64) -> Self {
        let chance = Chance::new(seed);
        let clock = Timestamp(1_790_000_000_000);
        Writer { chance, position: Position(0), clock, open: BTreeMap::new(), numbered: 0 }
    }

    /// The transactions that have not ended.
    pub fn open(&self) -> Vec<Gid> {
        self.open.keys().cloned().collect()
    }

    /// Begins a transaction under a gid of its own.
    pub fn begin(&mut self) -> Draft {
        self.numbered += 1;
        let gid = Gid::new(&format!("order-{:06}", self.numbered)).expect("a gid");
        self.begin_as(&gid)
    }

    /// Begins a transaction.
    pub fn begin_as(&mut self, gid: &Gid) -> Draft {
        self.clock = self.clock.plus_ms(1);
        let begun = self.chance.begun(gid, self.clock);
        let summary = Summary {
            name: begun.name.clone(),
            begun: begun.begun,
            modes: vec![Mode::Tcc],
            phase: PhaseName::Open,
            decision: None,
            cause: None,
            outcome: None,
            stuck: 0,
            parked: false,
            waits_for: vec![self.chance.destination()],
            changed: self.clock,
            ended: None,
        };
        self.open.insert(gid.clone(), Known { version: Version(0), summary });
        self.draft(gid, vec![Fact::Begun(begun)])
    }

    /// Adds some records to an open transaction.
    pub fn go_on(&mut self, gid: &Gid) -> Draft {
        let facts = (0..1 + self.chance.below(3)).map(|_| self.chance.fact()).collect();
        let stuck = self.chance.below(3) as u16;
        let waits_for = vec![self.chance.destination(); 1 + self.chance.below(2) as usize];
        let known = self.open.get_mut(gid).expect("it is open");
        known.summary.phase = PhaseName::Finishing;
        known.summary.modes = vec![Mode::Tcc, Mode::Saga];
        known.summary.decision = Some(Decision::Abort);
        known.summary.cause = Some(Cause::Operator);
        known.summary.stuck = stuck;
        known.summary.parked = stuck == 2;
        known.summary.waits_for = waits_for;
        self.draft(gid, facts)
    }

    /// Ends an open transaction.
    pub fn end(&mut self, gid: &Gid) -> Draft {
        let outcome = self.chance.one_of(&[Outcome::AsDecided, Outcome::Mixed, Outcome::Hazard]);
        let known = self.open.get_mut(gid).expect("it is open");
        known.summary.phase = PhaseName::Ended;
        known.summary.outcome = Some(outcome);
        known.summary.stuck = 0;
        known.summary.parked = false;
        known.summary.waits_for = Vec::new();
        known.summary.ended = Some(self.clock);
        let draft = self.draft(gid, vec![Fact::Ended { outcome }]);
        self.open.remove(gid);
        draft
    }

    /// Makes a mark.
    pub fn mark(&mut self, mark: ClockMark) -> Draft {
        self.position.0 += 1;
        Draft { position: self.position, content: Content::Mark(mark) }
    }

    /// Any of these, as chance has it.
    pub fn any(&mut self) -> Draft {
        let open = self.open();
        match self.chance.below(10) {
            0..3 => self.begin(),
            3 => {
                let mark = ClockMark { clock: self.clock, ..ClockMark::default() };
                self.mark(mark)
            }
            _ if open.is_empty() => self.begin(),
            4..7 => {
                let place = self.chance.below(open.len() as u64) as usize;
                self.go_on(&open[place])
            }
            _ => {
                let place = self.chance.below(open.len() as u64) as usize;
                self.end(&open[place])
            }
        }
    }

    fn draft(&mut self, gid: &Gid, facts: Vec<Fact>) -> Draft {
        let known = self.open.get_mut(gid).expect("it is open");
        let after = known.version;
        known.version.0 += facts.len() as u64;
        self.position.0 += facts.len() as u64;
        known.summary.changed = self.clock;
        let records = facts.into_iter().map(|fact| Record { at: self.clock, fact }).collect();
        let (gid, summary) = (gid.clone(), known.summary.clone());
        let content = Content::Transaction { gid, after, records, summary };
        Draft { position: self.position, content }
    }
}

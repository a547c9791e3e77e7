//! Cells: each kind of fault against each state of the transactions it struck.

use crate::tally::{Fault, State};
use wholly_core::ids::Gid;
use wholly_core::record::{Decision, PhaseName, Summary};

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug)]
pub enum Struck<'a> {
    /// One transaction.
    One(&'a Gid),
    /// Everything that is open, or whose end is not yet on the platter: a process, a disk, a clock
    /// or a link is in trouble.
    Everybody,
    /// Nothing that names a transaction.
    Nobody,
}

impl<'a> Struck<'a> {
    /// The transaction that is named, if one is.
    pub fn of(gid: Option<&'a Gid>) -> Self {
        gid.map_or(Struck::Nobody, Struck::One)
    }
}

const STATES: usize = State::ALL.len();

/// How many transactions are in each state; of ended ones, those whose end is not yet on the
/// platter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census([u32; STATES]);

impl Census {
    /// One transaction in this state.
    pub fn of_one(state: State) -> Self {
        let mut census = Census::default();
        census.0[state as usize] = 1;
        census
    }

    /// A transaction leaves one state for another.
    pub(crate) fn moves(&mut self, from: State, to: State) {
        if from.is_open() {
            self.0[from as usize] -= 1;
        }
        if to.is_open() {
            self.0[to as usize] += 1;
        }
    }

    /// With so many that have ended, but whose end is not yet on the platter.
    pub(crate) fn with_ending(mut self, count: usize) -> Self {
        self.0[State::Ended as usize] = u32::try_from(count).unwrap_or(u32::MAX);
        self
    }

    /// Where nothing is open, nothing is what was struck.
    pub(crate) fn or_none(self) -> Self {
        match self == Census::default() {
            true => Census::of_one(State::None),
            false => self,
        }
    }
}

impl State {
    /// How a transaction stands, of the summary that came with its last draft.
    pub fn of(summary: &Summary) -> Self {
        match (summary.phase, summary.decision) {
            (PhaseName::Ended, _) => State::Ended,
            (_, _) if summary.parked => State::Parked,
            (_, _) if summary.stuck > 0 => State::Stuck,
            (PhaseName::Open, _) => State::Open,
            (PhaseName::Forward, _) => State::Forward,
            (PhaseName::Finishing, Some(Decision::Commit)) => State::Committing,
            (PhaseName::Finishing, Some(Decision::Abort) | None) => State::Aborting,
        }
    }

    /// How one stands that a restore left to an operator: it is not called, and calls that were
    /// under way before do not know of that.
    pub(crate) fn of_left(summary: &Summary) -> Self {
        State::of(&Summary { stuck: 0, parked: false, ..summary.clone() })
    }

    /// Whether something is still to come.
    fn is_open(self) -> bool {
        match self {
            State::None | State::Ended => false,
            State::Open
            | State::Forward
            | State::Committing
            | State::Aborting
            | State::Stuck
            | State::Parked => true,
        }
    }
}

/// How often each fault struck a transaction in each state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells(Vec<[u64; STATES]>);

impl Default for Cells {
    fn default() -> Self {
        Cells(vec![[0; STATES]; Fault::ALL.len()])
    }
}

impl Cells {
    /// Counts a fault for every transaction it struck.
    pub(crate) fn strike(&mut self, fault: Fault, census: &Census) {
        let row = &mut self.0[fault as usize];
        for (count, struck) in row.iter_mut().zip(census.0) {
            *count += u64::from(struck);
        }
    }

    /// How often a fault struck a transaction in this state.
    pub fn count(&self, fault: Fault, state: State) -> u64 {
        self.0[fault as usize][state as usize]
    }

    /// Cells that can occur and did not.
    pub fn empty(&self) -> Vec<(Fault, State)> {
        let all = Fault::ALL.iter().flat_map(|f| State::ALL.iter().map(|s| (*f, *s)));
        all.filter(|(f, s)| reach(*f, *s) == Reach::Sometimes && self.count(*f, *s) == 0).collect()
    }

    /// Cells that occurred and are declared impossible.
    pub fn impossible(&self) -> Vec<(Fault, State)> {
        let all = Fault::ALL.iter().flat_map(|f| State::ALL.iter().map(|s| (*f, *s)));
        let never = |f: Fault, s: State| matches!(reach(f, s), Reach::Never(_));
        all.filter(|(f, s)| never(*f, *s) && self.count(*f, *s) > 0).collect()
    }

    /// Adds another run's counts.
    pub(crate) fn add(&mut self, other: &Cells) {
        for (sums, more) in self.0.iter_mut().zip(&other.0) {
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum += more;
            }
        }
    }
}

/// Whether a fault can strike a transaction in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It must, in a long run.
    Sometimes,
    /// It may, for this reason, and so rarely that no run owes it.
    Seldom(&'static str),
    /// It cannot, for this reason.
    Never(&'static str),
}

/// Cells that no run owes: for each group of faults, the states and the reason.
const NOT_OWED: &[(&[Fault], &[State], Reach)] = &[
    (
        &[
            Fault::CallDropped,
            Fault::CallDuplicated,
            Fault::CallDelayed,
            Fault::CallReset,
            Fault::CallReplayed,
            Fault::ProxyAnswered,
            Fault::HalfOpen,
            Fault::AnswerLost,
            Fault::AnswerReset,
            Fault::AnswerGarbled,
            Fault::AnswerMisaddressed,
            Fault::AnswerContradicted,
            Fault::AnswerTooLong,
            Fault::AnswerDelayed,
            Fault::Refused,
            Fault::RefusedNotKept,
            Fault::RefusedWrongly,
            Fault::Working,
            Fault::FailedBefore,
            Fault::FailedAfter,
            Fault::RolledBack,
            Fault::WorkSlow,
        ],
        &[State::None],
        Reach::Never("no call leaves before the registration of its branch is durable"),
    ),
    (
        &[Fault::RefusedWrongly],
        &[State::Open, State::Forward],
        Reach::Seldom(
            "what may not be refused is called once it is decided, and may be under way \
                       yet when a copy from before is put back",
        ),
    ),
    (
        &[Fault::Refused],
        &[State::Committing, State::Stuck, State::Parked, State::Ended],
        Reach::Seldom("a try that comes so late mostly meets the row of its confirm or cancel"),
    ),
    (
        &[Fault::RefusedNotKept],
        &[State::Stuck, State::Parked],
        Reach::Seldom("what is stuck is mostly decided, and then no try is under way"),
    ),
    (
        &[
            Fault::CallDropped,
            Fault::CallDuplicated,
            Fault::CallDelayed,
            Fault::CallReset,
            Fault::ProxyAnswered,
            Fault::HalfOpen,
        ],
        &[State::Parked],
        Reach::Seldom("of what is parked nothing is called but what an initiator calls by itself"),
    ),
    (
        &[Fault::NameLost, Fault::NameBack],
        &[State::None, State::Stuck, State::Parked, State::Ended],
        Reach::Seldom("names and contents of a folder differ for moments"),
    ),
    (
        &[Fault::MindChanged, Fault::CommitAndAbort],
        &[State::Forward],
        Reach::Never("a plan is committed by its steps"),
    ),
    (&[Fault::Resubmitted], &[State::Open], Reach::Never("a plan is never open")),
    (
        &[Fault::TwoInitiators, Fault::KeyReused],
        &[State::Forward],
        Reach::Never("a key makes a begin repeatable, not a plan"),
    ),
    (
        &[Fault::RegisteredBesides],
        &[State::Forward],
        Reach::Never("strangers register in what was begun, not in what was submitted"),
    ),
    (
        &[Fault::OperatorMeddled],
        &[State::Ended],
        Reach::Never("operators leave alone what has ended"),
    ),
    (
        &[Fault::MindChanged, Fault::CommitAndAbort, Fault::AbortRaced],
        &[State::None],
        Reach::Seldom("who commits or aborts was told of a begin, and only a crash takes it away"),
    ),
    (
        &[
            Fault::MindChanged,
            Fault::CommitAndAbort,
            Fault::Resubmitted,
            Fault::GidContested,
            Fault::TwoInitiators,
            Fault::KeyReused,
        ],
        &[State::Stuck, State::Parked],
        Reach::Seldom("clients quarrel over young transactions, operators over old ones"),
    ),
    (
        &[Fault::CapabilityOld],
        &[
            State::None,
            State::Forward,
            State::Committing,
            State::Aborting,
            State::Stuck,
            State::Parked,
        ],
        Reach::Seldom("few gids are used again, and briefly"),
    ),
];

/// Whether a fault can strike a transaction in a state.
pub fn reach(fault: Fault, state: State) -> Reach {
    let row = NOT_OWED
        .iter()
        .find(|(faults, states, _)| faults.contains(&fault) && states.contains(&state));
    row.map_or(Reach::Sometimes, |(_, _, reach)| *reach)
}

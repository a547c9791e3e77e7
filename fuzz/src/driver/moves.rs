//! Moves: everything that may happen to a driver, drawn from few names so that things meet.

use arbitrary::Arbitrary;
use wholly_core::branch::{Answer, BranchSpec, Caller, Direction, Kept, Mode, Refusal, Resolution};
use wholly_core::ids::{Body, BranchId, Digest, Gid, Principal, Text};
use wholly_core::input::{Action, Wait};
use wholly_core::plan::Step;

/// What happens next.
#[derive(Clone, Debug, Arbitrary)]
pub(super) enum Move {
    Begin { of: Opening, key: Option<bool>, branches: Vec<DrawnBranch> },
    Submit { of: Opening, steps: Vec<DrawnStep>, wait: DrawnWait },
    Register { gid: u8, begun: DrawnBegun, branch: DrawnBranch, wait_ms: Option<u8> },
    Commit { gid: u8, begun: DrawnBegun, tried: u8, refused: u8, wait: DrawnWait },
    Abort { gid: u8, begun: DrawnBegun, branch: Option<u8>, wait: DrawnWait },
    Get { gid: u8, wait: DrawnWait },
    Calls,
    Operate { gid: u8, action: DrawnAction },
    Gone { which: u8 },
    Answer { which: u8, answer: DrawnAnswer },
    AnswerOfStranger { call: u8, answer: DrawnAnswer },
    Durable { more: u8 },
    Read { which: u8 },
    Found { which: u8 },
    FoundUnasked { gid: u8 },
    Unreadable { which: u8 },
    Room { free: bool },
    Woken,
    Drain,
    Pass { ms: u16 },
    PassUntilAlarm,
    WallJump { ms: i32 },
    Crash { survives: u8 },
    Forget { gid: u8 },
}

/// What a begin and a submit share.
#[derive(Clone, Debug, Arbitrary)]
pub(super) struct Opening {
    pub(super) gid: u8,
    pub(super) issued: bool,
    pub(super) timeout_ms: Option<u16>,
    pub(super) digest: bool,
    pub(super) principal: bool,
}

/// The begun that a capability shows.
#[derive(Clone, Debug, Arbitrary)]
pub(super) enum DrawnBegun {
    Right,
    Earlier(u8),
    Any(u16),
}

#[derive(Clone, Debug, Arbitrary)]
pub(super) struct DrawnBranch {
    id: u8,
    to: u8,
    saga: bool,
    call: bool,
    payload: u8,
}

#[derive(Clone, Debug, Arbitrary)]
pub(super) struct DrawnStep {
    branch: DrawnBranch,
    after: u8,
    reads: u8,
    forward: bool,
}

#[derive(Clone, Debug, Arbitrary)]
pub(super) enum DrawnWait {
    No,
    Decided(u8),
    Ended(u8),
}

#[derive(Clone, Debug, Arbitrary)]
pub(super) enum DrawnAction {
    Retry(Option<u8>),
    Park,
    Resolve(u8, u8),
    Abort,
}

#[derive(Clone, Debug, Arbitrary)]
pub(super) enum DrawnAnswer {
    Done { reply: u8, kept: bool },
    Refused { kept: bool },
    Working,
    Unknown,
}

pub(super) fn gid(number: u8) -> Gid {
    Gid::new(&format!("g{}", number % 4)).expect("a gid")
}

pub(super) fn branch_id(number: u8) -> BranchId {
    BranchId::new(&format!("b{}", number % 5)).expect("a name")
}

/// The branches whose bits are set.
pub(super) fn branch_ids(bits: u8) -> Vec<BranchId> {
    (0..5).filter(|bit| bits & (1 << bit) != 0).map(branch_id).collect()
}

pub(super) fn principal(first: bool) -> Principal {
    Principal::new(if first { "shop" } else { "stock" }).expect("a principal")
}

pub(super) fn digest(first: bool) -> Digest {
    Digest([u8::from(first); 32])
}

pub(super) fn reason() -> Text {
    Text::new("because").expect("a text")
}

fn kept(kept: bool) -> Kept {
    match kept {
        true => Kept::Kept,
        false => Kept::NotKept,
    }
}

impl DrawnBranch {
    pub(super) fn spec(&self) -> BranchSpec {
        BranchSpec {
            id: branch_id(self.id),
            mode: if self.saga { Mode::Saga } else { Mode::Tcc },
            destination: format!("d{}", self.to % 3).parse().expect("a destination"),
            operation: "o".parse().expect("an operation"),
            payload: Body::new(&[b'1'; 5][..usize::from(self.payload % 6)]),
            caller: if self.call { Caller::Coordinator } else { Caller::Initiator },
            after: Vec::new(),
            reads: Vec::new(),
            direction: Direction::Reversible,
        }
    }
}

impl DrawnStep {
    pub(super) fn step(&self) -> Step {
        let spec = self.branch.spec();
        Step {
            branch: spec.id,
            destination: spec.destination,
            operation: spec.operation,
            payload: spec.payload,
            after: branch_ids(self.after),
            reads: branch_ids(self.reads),
            direction: match self.forward {
                true => Direction::ForwardOnly,
                false => Direction::Reversible,
            },
        }
    }
}

impl DrawnWait {
    pub(super) fn wait(&self) -> Wait {
        match self {
            DrawnWait::No => Wait::No,
            DrawnWait::Decided(ms) => Wait::Decided { wait_ms: u64::from(*ms) },
            DrawnWait::Ended(ms) => Wait::Ended { wait_ms: u64::from(*ms) },
        }
    }
}

impl DrawnAction {
    pub(super) fn action(&self) -> Action {
        const ALL: [Resolution; 3] =
            [Resolution::Applied, Resolution::NotApplied, Resolution::Unknown];
        match self {
            DrawnAction::Retry(branch) => Action::Retry { branch: branch.map(branch_id) },
            DrawnAction::Park => Action::Park,
            DrawnAction::Resolve(branch, how) => Action::Resolve {
                branch: branch_id(*branch),
                resolution: ALL[usize::from(how % 3)],
            },
            DrawnAction::Abort => Action::Abort,
        }
    }
}

impl DrawnAnswer {
    pub(super) fn answer(&self) -> Answer {
        match self {
            DrawnAnswer::Done { reply, kept: again } => Answer::Done {
                reply: Body::new(&[b'2'; 9][..usize::from(reply % 10)]),
                kept: kept(*again),
            },
            DrawnAnswer::Refused { kept: again } => Answer::Refused(Refusal {
                code: "out_of_stock".parse().expect("a code"),
                detail: reason(),
                kept: kept(*again),
            }),
            DrawnAnswer::Working => Answer::Working,
            DrawnAnswer::Unknown => Answer::Unknown { detail: reason() },
        }
    }
}

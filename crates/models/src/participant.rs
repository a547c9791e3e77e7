//! Participant: core's barrier and books beside it, changed together; and letters that may arrive
//! at any time and any number of times.

use std::collections::BTreeMap;
use wholly_core::barrier::{Barrier, Verdict};
use wholly_core::branch::{Answer, Kept, Op, Refusal};
use wholly_core::effect::{Call, Mark};
use wholly_core::ids::{Body, BranchId, Code, Gid, Text};
use wholly_core::time::Timestamp;

/// What a call brings to a participant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Letter {
    pub(crate) gid: Gid,
    pub(crate) branch: BranchId,
    pub(crate) op: Op,
    pub(crate) mark: Mark,
}

impl Letter {
    pub(crate) fn of(call: &Call) -> Letter {
        let Call { gid, branch, op, mark, .. } = call;
        Letter { gid: gid.clone(), branch: branch.clone(), op: *op, mark: mark.clone() }
    }
}

/// What the business says to a try or action that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Business {
    /// It is done.
    Does,
    /// It refuses, and the row keeps that.
    RefusesForGood,
    /// It refuses, and keeps nothing: another copy may be done.
    RefusesThisCopy,
}

/// What happened at a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Effects {
    /// Tries or actions.
    pub(crate) forth: u8,
    /// Confirms.
    pub(crate) confirmed: u8,
    /// Cancels or compensations of something that had been done.
    pub(crate) back: u8,
}

impl Effects {
    /// Whether something was done that was not taken back.
    pub(crate) fn stands(self) -> bool {
        self.forth > self.back
    }

    /// Whether nothing happened twice, and nothing was taken back that had not happened.
    pub(crate) fn is_once(self) -> bool {
        self.forth <= 1 && self.confirmed <= 1 && self.back + self.confirmed <= self.forth
    }
}

/// Whether the participant looks at marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Marks {
    Heeded,
    /// It goes by its rows alone: a bug.
    Ignored,
}

/// A participant's database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Participant {
    pub(crate) barrier: Barrier,
    /// By gid, begun and branch, so that two uses of one gid are told apart.
    books: BTreeMap<(Gid, Timestamp, BranchId), Effects>,
    marks: Marks,
}

impl Participant {
    pub(crate) fn new(marks: Marks) -> Participant {
        Participant { barrier: Barrier::default(), books: BTreeMap::new(), marks }
    }

    /// What happened at a branch of the transaction begun then.
    pub(crate) fn effects(&self, gid: &Gid, begun: Timestamp, branch: &BranchId) -> Effects {
        let key = (gid.clone(), begun, branch.clone());
        self.books.get(&key).copied().unwrap_or_default()
    }

    /// What happened at a branch, under whichever begun.
    pub(crate) fn summed(&self, gid: &Gid, branch: &BranchId) -> Effects {
        let mut sum = Effects::default();
        let of_branch = self.books.iter().filter(|((g, _, b), _)| g == gid && b == branch);
        for (_, effects) in of_branch {
            sum.forth += effects.forth;
            sum.confirmed += effects.confirmed;
            sum.back += effects.back;
        }
        sum
    }

    /// Everything that happened anywhere.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&(Gid, Timestamp, BranchId), Effects)> {
        self.books.iter().map(|(key, effects)| (key, *effects))
    }

    /// Whether a call would be run, so that the business has a say.
    pub(crate) fn would_run(&self, letter: &Letter) -> bool {
        let Letter { gid, branch, op, .. } = letter;
        let mark = self.read(letter);
        let is_live = mark.begun >= self.barrier.limit(&mark.origin).max(mark.limit);
        let is_first = matches!(op, Op::Try | Op::Action);
        is_first && is_live && self.barrier.row(gid, branch, &mark).is_none()
    }

    /// A call arrives and is answered, in one local transaction; a refusal that is kept, in two
    /// with nothing between them, since the model of the barrier has all that can be between.
    pub(crate) fn meet(&mut self, letter: &Letter, business: Business) -> Answer {
        let Letter { gid, branch, op, .. } = letter;
        let mark = self.read(letter);
        match (self.barrier.meet(gid, branch, *op, &mark), business) {
            (Verdict::Run, Business::Does) => {
                self.note(letter).forth += 1;
                self.barrier.keep(gid, branch, &mark, Body::default())
            }
            (Verdict::Run, Business::RefusesForGood) => {
                self.barrier.refuse(gid, branch, &mark, no())
            }
            (Verdict::Run, Business::RefusesThisCopy) => {
                let (code, detail) = no();
                Answer::Refused(Refusal { code, detail, kept: Kept::NotKept })
            }
            (Verdict::Follow { next, .. }, _) => {
                match op {
                    Op::Confirm => self.note(letter).confirmed += 1,
                    Op::Cancel | Op::Compensate => self.note(letter).back += 1,
                    Op::Try | Op::Action | Op::Inspect => unreachable!("a first op follows none"),
                }
                self.barrier.follow(gid, branch, next)
            }
            (Verdict::Remember, _) => wholly_core::barrier::done(Body::default()),
            (Verdict::Answer(answer), _) => answer,
            (Verdict::Inspected(_), _) => unreachable!("no coordinator inspects here"),
        }
    }

    fn note(&mut self, letter: &Letter) -> &mut Effects {
        let Letter { gid, branch, mark, .. } = letter;
        self.books.entry((gid.clone(), mark.begun, branch.clone())).or_default()
    }

    fn read(&self, letter: &Letter) -> Mark {
        match self.marks {
            Marks::Heeded => letter.mark.clone(),
            Marks::Ignored => {
                let (begun, limit) = (Timestamp(u64::MAX), Timestamp(0));
                Mark { begun, limit, ..letter.mark.clone() }
            }
        }
    }
}

fn no() -> (Code, Text) {
    (Code::new("none_left").expect("a valid name"), Text::default())
}

/// The code of a refusal.
pub(crate) fn code_of(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Refused(refusal) => Some(refusal.code.as_str()),
        Answer::Done { .. } | Answer::Working | Answer::Unknown { .. } => None,
    }
}

/// Letters that were ever sent. The network keeps a copy of each, and may hand it over at any
/// time, as often as it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Late(Vec<std::sync::Arc<Letter>>);

impl Late {
    pub(crate) fn keep(&mut self, letter: Letter) {
        if !self.0.iter().any(|known| **known == letter) {
            let after = self.0.partition_point(|known| sort_key(known) < sort_key(&letter));
            self.0.insert(after, std::sync::Arc::new(letter));
        }
    }

    pub(crate) fn letters(&self) -> &[std::sync::Arc<Letter>] {
        &self.0
    }

    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// An order in which the same letters make the same state, whichever was sent first.
fn sort_key(letter: &Letter) -> (&Gid, &BranchId, Op, Timestamp, Timestamp) {
    let Letter { gid, branch, op, mark } = letter;
    (gid, branch, *op, mark.begun, mark.limit)
}

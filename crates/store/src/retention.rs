//! Retention: which ended transactions are forgotten, oldest ended first.

use crate::mutants::{self, Mutant};
use std::collections::VecDeque;
use wholly_core::ids::Gid;
use wholly_core::record::ClockMark;
use wholly_core::time::Timestamp;

/// Most that are forgotten in one go because of their age, so that no flush takes long.
const AGED_MAX: usize = 10_000;

/// A transaction that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndedOne {
    pub(crate) begun: Timestamp,
    pub(crate) gid: Gid,
    pub(crate) ended: Timestamp,
}

/// Why one is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its retention time is over.
    Age,
    /// There is no room for it.
    Room,
}

/// One that is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doomed {
    pub(crate) one: EndedOne,
    pub(crate) why: Why,
}

/// The ended ones in the order of their ends in the log. Each has a number, counted from the
/// first end ever, so that "all before number n are forgotten" can be written down in few bytes.
#[derive(Debug)]
pub(crate) struct Retention {
    ended: VecDeque<EndedOne>,
    /// The number of the first one in the queue: so many were forgotten.
    first: u64,
    ended_max: usize,
}

impl Retention {
    pub(crate) fn new(ended_max: usize) -> Self {
        Retention { ended: VecDeque::new(), first: 0, ended_max }
    }

    /// A queue read back from a log: the number of its first end, and what it still knows.
    pub(crate) fn restored(first: u64, ended: VecDeque<EndedOne>, ended_max: usize) -> Self {
        Retention { ended, first, ended_max }
    }

    /// How many ends were forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.first
    }

    /// The oldest end that is kept.
    pub(crate) fn front(&self) -> Option<&EndedOne> {
        self.ended.front()
    }

    /// The ends that are kept, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &EndedOne> {
        self.ended.iter()
    }

    /// Takes out so many, the oldest ones: somebody else keeps them.
    pub(crate) fn hand_over(&mut self, count: usize) -> impl Iterator<Item = EndedOne> {
        self.first += count as u64;
        self.ended.drain(..count)
    }

    pub(crate) fn push(&mut self, one: EndedOne) {
        self.ended.push_back(one);
    }

    /// Takes out what is to be forgotten under the last durable mark and the limit of their
    /// number.
    pub(crate) fn doom(&mut self, mark: Option<ClockMark>) -> Vec<Doomed> {
        let mut doomed = Vec::new();
        while doomed.len() < AGED_MAX {
            let (Some(mark), Some(one)) = (mark, self.ended.front()) else { break };
            let counts = one.begun >= mark.limit && !mutants::is_on(Mutant::GidFreeEarly);
            if counts || one.ended >= mark.ended_before {
                break;
            }
            doomed.extend(self.pop(Why::Age));
        }
        while self.ended.len() > self.ended_max {
            doomed.extend(self.pop(Why::Room));
        }
        doomed
    }

    fn pop(&mut self, why: Why) -> Option<Doomed> {
        let one = self.ended.pop_front()?;
        self.first += 1;
        Some(Doomed { one, why })
    }
}

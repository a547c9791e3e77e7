//! Register: what clients have heard of each gid, and when they had asked. Seen from them a gid is
//! a register that only moves forward, so it is enough to compare each answer with those that were
//! heard before its question was asked.

use crate::evidence::document;
use std::collections::BTreeMap;
use wholly_core::document::{Document, Response};
use wholly_core::ids::Gid;
use wholly_core::record::{Decision, Outcome};
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;

/// How far a transaction is, as an answer shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Begun when.
    pub begun: Timestamp,
    /// The decision, if it is shown.
    pub decision: Option<Decision>,
    /// The outcome, if it is shown.
    pub outcome: Option<Outcome>,
}

/// Answers that showed more than those before them, each with the time at which it was heard.
#[derive(Debug, Default)]
pub struct Registers {
    heard: BTreeMap<Gid, Vec<(u64, Shown)>>,
}

impl Shown {
    /// What a document shows.
    pub fn of(document: &Document) -> Self {
        let Document { begun, decision, outcome, .. } = document;
        Shown { begun: *begun, decision: *decision, outcome: *outcome }
    }

    /// How far it is: a later begin of the same gid is further than all of an earlier one.
    pub fn rank(&self) -> (Timestamp, u8) {
        let level = match (self.decision, self.outcome) {
            (None, _) => 0,
            (Some(_), None) => 1,
            (Some(_), Some(_)) => 2,
        };
        (self.begun, level)
    }
}

impl Registers {
    /// The furthest answer that had been heard before this time.
    pub fn before(&self, gid: &Gid, asked_us: u64) -> Option<&Shown> {
        let heard = self.heard.get(gid)?.iter().rev();
        heard.into_iter().find(|(at, _)| *at < asked_us).map(|(_, shown)| shown)
    }

    /// Every answer of that begin which showed more than those before it.
    pub fn of(&self, gid: &Gid, begun: Timestamp) -> impl Iterator<Item = &Shown> {
        let heard = self.heard.get(gid).map(Vec::as_slice).unwrap_or_default();
        heard.iter().map(|(_, shown)| shown).filter(move |shown| shown.begun == begun)
    }

    pub(crate) fn learn(&mut self, heard_us: u64, reply: &Result<Response, Rejection>) {
        let Some(document) = document(reply) else { return };
        let shown = Shown::of(document);
        let heard = match self.heard.get_mut(&document.gid) {
            Some(heard) => heard,
            None => self.heard.entry(document.gid.clone()).or_default(),
        };
        if heard.last().is_none_or(|(_, last)| last.rank() < shown.rank()) {
            heard.push((heard_us, shown));
        }
    }
}

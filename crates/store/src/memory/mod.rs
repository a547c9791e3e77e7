//! The memory store: splits pending from durable, for tests.

use crate::contract::{
    Completion, Filter, Listing, Lookup, OnCompletion, Page, ReadError, Stats, Store,
};
use crate::index::{Index, Location, Update};
use crate::retention::{EndedOne, Retention, Why};
use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, MutexGuard};
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Gid, Position, Version};
use wholly_core::input::Loaded;
use wholly_core::record::{ClockMark, PhaseName, Record};
use wholly_core::time::Timestamp;

/// What bounds a memory store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ended transactions that are known, at most.
    pub ended_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { ended_max: 1_000_000 }
    }
}

/// Keeps everything in memory. A flush makes durable what has arrived; a crash loses the rest.
pub struct Memory {
    on_completion: Mutex<OnCompletion>,
    state: Mutex<State>,
}

struct State {
    pending: Vec<Draft>,
    /// Versions of open transactions, pending drafts included.
    heads: BTreeMap<Gid, Version>,
    appended: Position,
    durable: Durable,
    going: Going,
}

/// Whether drafts are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    On,
    /// It was stopped.
    Out,
}

struct Durable {
    records: BTreeMap<Gid, Vec<Record>>,
    index: Index,
    retention: Retention,
    mark: Option<ClockMark>,
    stats: Stats,
}

impl Memory {
    /// An empty store.
    pub fn new(options: &Options, on_completion: OnCompletion) -> Self {
        let durable = Durable {
            records: BTreeMap::new(),
            index: Index::default(),
            retention: Retention::new(options.ended_max),
            mark: None,
            stats: Stats::default(),
        };
        let state = State {
            pending: Vec::new(),
            heads: BTreeMap::new(),
            appended: Position(0),
            durable,
            going: Going::On,
        };
        Memory { on_completion: Mutex::new(on_completion), state: Mutex::new(state) }
    }

    /// Loses what is not durable and gives what a start would find.
    pub fn crash(&self) -> Loaded {
        let mut state = self.state();
        state.pending.clear();
        state.appended = state.durable.stats.durable;
        state.heads = state.durable.heads();
        state.durable.loaded()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }
}

impl Store for Memory {
    fn append(&self, draft: Draft) {
        let mut state = self.state();
        if state.going == Going::Out {
            return;
        }
        state.check(&draft);
        state.pending.push(draft);
    }

    fn flush(&self, _through: Position) {
        let mut report = self.on_completion.lock().expect("a handler does not panic");
        let completions = self.state().flush();
        for completion in completions {
            report(completion);
        }
    }

    fn history(&self, gid: &Gid) -> Result<Vec<Record>, ReadError> {
        Ok(self.state().durable.records.get(gid).cloned().unwrap_or_default())
    }

    fn list(&self, filter: &Filter, page: &Page) -> Result<Listing, ReadError> {
        Ok(self.state().durable.index.list(filter, page))
    }

    fn lookup(&self, gid: &Gid) -> Result<Lookup, ReadError> {
        let state = self.state();
        let records = state.durable.records.get(gid).cloned().unwrap_or_default();
        Ok(Lookup { records, forgotten: state.durable.index.forgotten() })
    }

    fn missing(&self, gid: &Gid) -> Option<Timestamp> {
        let state = self.state();
        let forgotten = state.durable.index.forgotten();
        (!state.durable.records.contains_key(gid)).then_some(forgotten)
    }

    fn stats(&self) -> Stats {
        let state = self.state();
        let index = &state.durable.index;
        let (open, ended) = (index.open_count() as u64, index.ended_count() as u64);
        Stats { open, ended, ..state.durable.stats }
    }

    fn stop(&self) {
        let through = self.state().appended;
        self.flush(through);
        self.state().going = Going::Out;
    }
}

impl State {
    fn check(&mut self, draft: &Draft) {
        match &draft.content {
            Content::Transaction { gid, after, records, summary } => {
                let head = self.heads.get(gid).copied().unwrap_or_default();
                assert_eq!(head, *after, "{gid} is at another version than its draft follows");
                let count = records.len() as u64;
                assert!(count > 0, "a draft of {gid} has no record");
                match summary.phase {
                    PhaseName::Ended => self.heads.remove(gid),
                    PhaseName::Open | PhaseName::Forward | PhaseName::Finishing => {
                        self.heads.insert(gid.clone(), Version(after.0 + count))
                    }
                };
                self.appended.0 += count;
            }
            Content::Mark(_) => self.appended.0 += 1,
        }
        assert_eq!(self.appended, draft.position, "positions have no gap");
    }

    fn flush(&mut self) -> Vec<Completion> {
        let drafts = mem::take(&mut self.pending);
        if drafts.is_empty() {
            return Vec::new();
        }
        let durable = &mut self.durable;
        for draft in drafts {
            durable.apply(draft);
        }
        durable.stats.flushes += 1;
        let mut completions = vec![Completion::Durable(durable.stats.durable)];
        let lost = durable.forget();
        if lost > 0 {
            durable.stats.lost += lost;
            completions.push(Completion::Lost { count: lost });
        }
        completions
    }
}

impl Durable {
    fn apply(&mut self, draft: Draft) {
        self.stats.durable = draft.position;
        match draft.content {
            Content::Transaction { gid, after, records, summary } => {
                let version = Version(after.0 + records.len() as u64);
                let known = self.records.entry(gid.clone()).or_default();
                if after == Version(0) {
                    known.clear();
                    if let Some(begun) = self.index.begun(&gid) {
                        self.index.raise_forgotten(begun);
                    }
                }
                known.extend(records);
                if summary.phase == PhaseName::Ended {
                    let ended = summary.ended.unwrap_or(summary.changed);
                    let begun = summary.begun;
                    self.retention.push(EndedOne { begun, gid: gid.clone(), ended });
                }
                let location = Location::default();
                self.index.apply(Update { gid, after, version, location, summary });
            }
            Content::Mark(mark) => self.mark = Some(mark),
        }
    }

    fn forget(&mut self) -> u64 {
        let mut lost = 0;
        for doomed in self.retention.doom(self.mark) {
            self.index.raise_forgotten(doomed.one.begun);
            if !self.index.forget(doomed.one.begun, &doomed.one.gid) {
                continue;
            }
            self.records.remove(&doomed.one.gid);
            match doomed.why {
                Why::Age => {}
                Why::Room => lost += 1,
            }
        }
        lost
    }

    fn heads(&self) -> BTreeMap<Gid, Version> {
        let open = self.index.open_gids().into_iter();
        open.map(|gid| {
            let version = Version(self.records[&gid].len() as u64);
            (gid, version)
        })
        .collect()
    }

    fn loaded(&self) -> Loaded {
        let open = self.index.open_gids().into_iter();
        let open = open.map(|gid| (gid.clone(), self.records[&gid].clone())).collect();
        Loaded { position: self.stats.durable, mark: self.mark, open, restored: None }
    }
}

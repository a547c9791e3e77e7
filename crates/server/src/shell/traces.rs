//! In which trace a transaction was begun: kept in memory until it ends, for its calls go on with
//! it. After a start, and where nobody said, the trace follows from the gid.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Gid, RequestId};
use wholly_core::input::Request;
use wholly_core::record::Fact;
use wholly_wire::trace::TraceParent;

/// All that are known.
#[derive(Default)]
pub(super) struct Traces {
    known: Mutex<Known>,
    /// How many, so that nothing is locked where nobody traces.
    count: AtomicUsize,
}

#[derive(Default)]
struct Known {
    /// Of requests that are not answered: what they would begin or join.
    asked: HashMap<RequestId, Gid>,
    offered: HashMap<Gid, (RequestId, TraceParent)>,
    /// Of transactions that have not ended.
    taken: HashMap<Gid, TraceParent>,
}

impl Traces {
    /// A request came with its place in a trace.
    pub(super) fn asked(&self, id: RequestId, request: &Request, trace: TraceParent) {
        let gid = match request {
            Request::Begin(begin) => &begin.gid,
            Request::Submit(submit) => &submit.gid,
            Request::Register(register) => &register.gid,
            Request::Commit(_)
            | Request::Abort(_)
            | Request::Get { .. }
            | Request::Calls { .. }
            | Request::Operate(_) => return,
        };
        self.change(|known| {
            known.asked.insert(id, gid.clone());
            known.offered.insert(gid.clone(), (id, trace));
        });
    }

    /// It was answered, or its asker is gone.
    pub(super) fn answered(&self, id: RequestId) {
        if self.is_empty() {
            return;
        }
        self.change(|known| {
            let Some(gid) = known.asked.remove(&id) else { return };
            if known.offered.get(&gid).is_some_and(|(of, _)| *of == id) {
                known.offered.remove(&gid);
            }
        });
    }

    /// A transaction takes the trace of the request that began it; one without, that of the
    /// request by which a branch came. It is forgotten with the end.
    pub(super) fn recorded(&self, draft: &Draft) {
        if self.is_empty() {
            return;
        }
        let Content::Transaction { gid, records, .. } = &draft.content else { return };
        let is = |wanted: fn(&Fact) -> bool| records.iter().any(|record| wanted(&record.fact));
        let comes = is(|fact| matches!(fact, Fact::Begun(_) | Fact::Registered(_)));
        let ends = is(|fact| matches!(fact, Fact::Ended { .. }));
        self.change(|known| {
            if comes && let Some((_, trace)) = known.offered.remove(gid) {
                known.taken.entry(gid.clone()).or_insert(trace);
            }
            if ends {
                known.taken.remove(gid);
            }
        });
    }

    /// The trace of a transaction.
    pub(super) fn of(&self, gid: &Gid) -> Option<TraceParent> {
        match self.is_empty() {
            true => None,
            false => self.known().taken.get(gid).copied(),
        }
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn change(&self, act: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        act(&mut known);
        self.count.store(known.asked.len() + known.taken.len(), Ordering::Release);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics under this lock")
    }
}

//! In which trace a transaction was begun: kept in memory until it ends, for its calls go on with
//! it. After a start, and where nobody said, the trace follows from the gid.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Gid, RequestId};
use wholly_core::input::Request;
use wholly_core::record::Fact;
use wholly_wire::trace::TraceContext;

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
    offered: HashMap<Gid, (RequestId, TraceContext)>,
    /// Of transactions that have not ended.
    taken: HashMap<Gid, TraceContext>,
    /// Bytes of their states.
    state_bytes: usize,
}

/// Most bytes of `tracestate` that are kept, over all transactions; those that find no room have
/// their place in the trace alone.
const STATES_BYTES_MAX: usize = 16 * 1_024 * 1_024;

impl Known {
    fn take(&mut self, gid: &Gid, mut trace: TraceContext) {
        if self.taken.contains_key(gid) {
            return;
        }
        if self.state_bytes + state_bytes(&trace) > STATES_BYTES_MAX {
            trace.state = None;
        }
        self.state_bytes += state_bytes(&trace);
        self.taken.insert(gid.clone(), trace);
    }

    fn forget(&mut self, gid: &Gid) -> Option<TraceContext> {
        let trace = self.taken.remove(gid)?;
        self.state_bytes -= state_bytes(&trace);
        Some(trace)
    }
}

fn state_bytes(trace: &TraceContext) -> usize {
    trace.state.as_ref().map_or(0, |state| state.as_str().len())
}

impl Traces {
    /// A request came with its place in a trace.
    pub(super) fn asked(&self, id: RequestId, request: &Request, trace: TraceContext) {
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
    /// request by which a branch came. It is forgotten with the end, and handed back.
    pub(super) fn recorded(&self, draft: &Draft) -> Option<TraceContext> {
        if self.is_empty() {
            return None;
        }
        let Content::Transaction { gid, records, .. } = &draft.content else { return None };
        let is = |wanted: fn(&Fact) -> bool| records.iter().any(|record| wanted(&record.fact));
        let comes = is(|fact| matches!(fact, Fact::Begun(_) | Fact::Registered(_)));
        let ends = is(|fact| matches!(fact, Fact::Ended { .. }));
        self.change(|known| {
            if comes && let Some((_, trace)) = known.offered.remove(gid) {
                known.take(gid, trace);
            }
            ends.then(|| known.forget(gid)).flatten()
        })
    }

    /// The trace of a transaction.
    pub(super) fn of(&self, gid: &Gid) -> Option<TraceContext> {
        match self.is_empty() {
            true => None,
            false => self.known().taken.get(gid).cloned(),
        }
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn change<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known();
        let done = act(&mut known);
        self.count.store(known.asked.len() + known.taken.len(), Ordering::Release);
        done
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics under this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wholly_wire::trace::STATE_BYTES_MAX as ONE_MAX;

    #[test]
    fn states_are_kept_within_a_bound_over_all() {
        let mut known = Known::default();
        let state = "a".repeat(ONE_MAX);
        let place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = TraceContext::parse(Some(place), [state.as_str()]).unwrap();
        let gid = |n: usize| format!("order-{n}").parse::<Gid>().unwrap();
        let fit = STATES_BYTES_MAX / ONE_MAX;
        for n in 0..=fit {
            known.take(&gid(n), trace.clone());
        }
        assert_eq!(known.state_bytes, STATES_BYTES_MAX);
        let last = known.forget(&gid(fit)).unwrap();
        assert_eq!((last.state, last.parent), (None, trace.parent), "its place is kept");
        assert_eq!(known.forget(&gid(0)).unwrap(), trace);
        known.take(&gid(fit), trace.clone());
        assert_eq!(known.forget(&gid(fit)).unwrap(), trace, "room that came free is used");
    }
}

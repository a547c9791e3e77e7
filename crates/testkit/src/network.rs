//! The network between coordinator and services: every call passes here, is written down, and may
//! be struck.

use crate::door::{Door, Errand};
use crate::fault::{CallName, Fault, Strike};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;
use wholly_core::effect::Mark;
use wholly_wire::headers::CallHeaders;

/// Calls that a service misses while it is dead, beside the one that it died of.
const CALLS_MISSED: u32 = 2;

/// What passes, and what is to befall it.
pub(crate) struct Network {
    state: Mutex<State>,
    under_way: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    strikes: Vec<Strike>,
    /// Calls that each dead service still misses.
    dead: BTreeMap<String, u32>,
    journal: Vec<Entry>,
    late: Vec<(Arc<Door>, Errand, Entry)>,
}

/// A call that came.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) gid: String,
    pub(crate) call: CallName,
    pub(crate) service: String,
    pub(crate) mark: Mark,
    pub(crate) struck: Option<Fault>,
    /// What came of it, in words.
    pub(crate) came: String,
}

/// How a call goes on.
pub(crate) enum Passage {
    /// Nobody is there.
    Dead,
    /// To the service, with a fault or without; the number is its place in the journal.
    Through(usize, Option<Fault>),
}

/// Counts a call as under way for as long as it lives.
pub(crate) struct UnderWay(Arc<Network>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| *count -= 1);
    }
}

impl Network {
    pub(crate) fn new() -> Arc<Network> {
        Arc::new(Network { state: Mutex::default(), under_way: watch::Sender::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }

    /// A run begins: these faults wait for their calls, everything before is forgotten.
    pub(crate) fn begin(&self, strikes: Vec<Strike>) {
        *self.state() = State { strikes, ..State::default() };
    }

    /// A run's transactions have ended: whoever was dead is back, and no fault waits any more.
    /// Gives those that never met their call.
    pub(crate) fn heal(&self) -> Vec<Strike> {
        let mut state = self.state();
        state.dead.clear();
        std::mem::take(&mut state.strikes)
    }

    /// Everything that came since the run began.
    pub(crate) fn journal(&self) -> Vec<Entry> {
        self.state().journal.clone()
    }

    /// A call arrives at a service's door.
    pub(crate) fn arrives(&self, service: &str, headers: &CallHeaders) -> Passage {
        let asked = &headers.asked;
        let call = CallName { branch: asked.branch.to_string(), op: asked.op };
        let mut state = self.state();
        let at = state.journal.len();
        state.journal.push(Entry {
            gid: asked.gid.to_string(),
            call: call.clone(),
            service: service.to_owned(),
            mark: headers.mark.clone(),
            struck: None,
            came: "no answer".to_owned(),
        });
        if let Some(missed) = state.dead.get_mut(service) {
            *missed -= 1;
            if *missed == 0 {
                state.dead.remove(service);
            }
            state.journal[at].came = "nobody there".to_owned();
            return Passage::Dead;
        }
        let strike = state.strikes.iter().position(|strike| strike.call == call);
        let fault = strike.map(|strike| state.strikes.remove(strike).fault);
        state.journal[at].struck = fault;
        Passage::Through(at, fault)
    }

    /// What came of a call.
    pub(crate) fn came(&self, at: usize, what: String) {
        // A call that outlives its run finds another journal.
        if let Some(entry) = self.state().journal.get_mut(at) {
            entry.came = what;
        }
    }

    /// A service dies, and misses a few calls.
    pub(crate) fn dies(&self, service: &str) {
        self.state().dead.insert(service.to_owned(), CALLS_MISSED);
    }

    /// Keeps a copy of a call for when all is over.
    pub(crate) fn keep(&self, at: usize, door: Arc<Door>, errand: Errand) {
        let mut state = self.state();
        if let Some(entry) = state.journal.get(at).cloned() {
            state.late.push((door, errand, entry));
        }
    }

    /// Delivers what was kept, and waits until each copy has been dealt with.
    pub(crate) async fn deliver_late(self: &Arc<Self>) {
        let late = std::mem::take(&mut self.state().late);
        for (door, errand, entry) in late {
            let at = {
                let mut state = self.state();
                state.journal.push(entry);
                state.journal.len() - 1
            };
            door.carry(errand, at).await;
        }
    }

    /// Counts a call as under way.
    pub(crate) fn sets_out(self: &Arc<Self>) -> UnderWay {
        self.under_way.send_modify(|count| *count += 1);
        UnderWay(Arc::clone(self))
    }

    /// Resolves when no call is under way any more.
    pub(crate) async fn quiet(&self) {
        let quiet = self.under_way.subscribe().wait_for(|count| *count == 0).await.is_ok();
        assert!(quiet, "the network outlives whoever waits for it");
    }
}

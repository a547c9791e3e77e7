//! Load: clients that place orders in every way, ask again after a kill, and write down what they
//! are told.

use crate::Failure;
use crate::chance::Chance;
use crate::http::{Ask, Reply, Unanswered};
use crate::shop::{Client, Ledger, Order};
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Longest wait for the order service, longer than it lets an order take.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often one transaction is asked about before its client leaves it to its deadline.
const ASKED_MAX: u32 = 200;

/// What clients and the killer know of each other.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    is_finished: bool,
    answers: u64,
}

impl Gate {
    /// Somebody is being killed: whoever gets no answer waits.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// All serve again.
    pub(super) fn open(&self) {
        self.lock().is_closed = false;
        self.changed.notify_all();
    }

    /// No client begins anything more.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.is_finished = true;
        state.is_closed = false;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until so many further answers have come.
    pub(super) fn wait_for_answers(&self, answers: u64, stall: Duration) -> Result<(), Failure> {
        let mut state = self.lock();
        let goal = state.answers + answers;
        let began = Instant::now();
        while state.answers < goal {
            let rest = stall.checked_sub(began.elapsed()).ok_or_else(|| {
                Failure::new(format!("fewer than {answers} answers in {} s", stall.as_secs()))
            })?;
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.expect("no thread panics with the gate in its hand").0;
        }
        Ok(())
    }

    fn count_answer(&self) {
        self.lock().answers += 1;
        self.changed.notify_all();
    }

    fn wait_until_open(&self) {
        let state = self.lock();
        let waited = self.changed.wait_while(state, |state| state.is_closed);
        drop(waited.expect("no thread panics with the gate in its hand"));
    }

    fn is_finished(&self) -> bool {
        self.lock().is_finished
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the gate in its hand")
    }
}

/// One client.
pub(super) struct Load<'a> {
    pub(super) number: u64,
    pub(super) client: Client,
    /// The order service.
    pub(super) orders: SocketAddr,
    pub(super) gate: &'a Gate,
    pub(super) ledger: &'a Ledger,
}

impl Load<'_> {
    /// Places orders until the gate is finished.
    pub(super) fn run(&self, mut chance: Chance) {
        let mut count = 0_u64;
        while !self.gate.is_finished() {
            count += 1;
            let sku = if chance.below(4) == 0 { "vase" } else { "tea" };
            let order = Order { id: format!("{}-{count}", self.number), sku };
            self.ledger.begun(&order);
            match chance.below(5) {
                0 => self.saga(&order, Wish::Commit),
                1 => self.saga(&order, Wish::Abort),
                2 => self.tcc(&order, Wish::Commit),
                3 => self.tcc(&order, Wish::Abort),
                _ if chance.below(2) == 0 => self.shop(&order, "saga"),
                _ => self.shop(&order, "tcc"),
            }
        }
    }

    /// One that is aborted turns with steps of which nothing is known yet, or has been decided.
    fn saga(&self, order: &Order, wish: Wish) {
        let Some(submitted) = self.insist(|client| client.submit(order)) else { return };
        self.ledger.note(order, &submitted);
        match (wish, submitted.body["capability"].as_str()) {
            (Wish::Abort, Some(capability)) => {
                if let Some(reply) = self.insist(|client| client.abort(order, capability)) {
                    self.ledger.note(order, &reply);
                }
            }
            (Wish::Commit | Wish::Abort, _) => (),
        }
        if let Some(reply) = self.insist(|client| client.ended(&order.gid())) {
            self.ledger.note(order, &reply);
        }
    }

    fn tcc(&self, order: &Order, wish: Wish) {
        let Some(begun) = self.insist(|client| client.begin(order)) else { return };
        // The answer to a begin promises nothing yet: nobody has been called.
        let Some(capability) = begun.body["capability"].as_str() else { return };
        let tried = self.insist(|client| client.register_all(order, capability));
        let Some(replies) = tried else { return };
        replies.iter().for_each(|(_, reply)| self.ledger.note(order, reply));
        let done = replies.iter().filter(|(_, reply)| reply.body["answer"] == "done");
        let tried: Vec<&str> = done.map(|(name, _)| *name).collect();
        let reply = match wish {
            Wish::Commit if tried.len() == 3 => {
                self.insist(|client| client.commit(order, capability, &tried))
            }
            Wish::Commit | Wish::Abort => self.insist(|client| client.abort(order, capability)),
        };
        if let Some(reply) = reply {
            self.ledger.note(order, &reply);
        }
    }

    /// Through the order service, which may be killed in the middle; only its yes says something.
    fn shop(&self, order: &Order, mode: &str) {
        let body = order.body();
        let path = format!("/orders?mode={mode}");
        let (headers, body) = (&[][..], Some(&body));
        let ask = Ask { method: "POST", path: &path, headers, body, patience: PATIENCE };
        match ask.send(self.orders) {
            Ok(reply) => {
                self.gate.count_answer();
                if reply.status == 200 {
                    self.ledger.told(&order.gid(), "commit");
                }
            }
            Err(_) => self.gate.wait_until_open(),
        }
    }

    /// Asks until there is an answer; a server that says 503 is asked again.
    fn insist<T: Answered>(&self, ask: impl Fn(Client) -> Result<T, Unanswered>) -> Option<T> {
        for _ in 0..ASKED_MAX {
            match ask(self.client) {
                Ok(answer) if !answer.is_busy() => {
                    self.gate.count_answer();
                    return Some(answer);
                }
                Ok(_) | Err(_) => self.gate.wait_until_open(),
            }
        }
        None
    }
}

/// What an initiator wants.
#[derive(Clone, Copy)]
enum Wish {
    Commit,
    Abort,
}

/// An answer that may say `later`.
trait Answered {
    fn is_busy(&self) -> bool;
}

impl Answered for Reply {
    fn is_busy(&self) -> bool {
        self.status == 503
    }
}

impl Answered for Vec<(&'static str, Reply)> {
    fn is_busy(&self) -> bool {
        self.iter().any(|(_, reply)| reply.is_busy() || reply.body["answer"] == "unknown")
    }
}

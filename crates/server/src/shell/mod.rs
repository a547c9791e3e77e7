//! The driver's shell: carries out what the driver asks, tells it what happened, decides nothing.
//!
//! One lock guards the driver. Drafts and wishes for durability reach the log under it, in order;
//! calls, answers and look-ups are carried out after it is released.

mod alarm;
mod mailbox;
mod trace;

pub use mailbox::Mailbox;
pub use trace::EffectTrace;

use crate::egress::Egress;
use crate::observe::Metrics;
use alarm::Alarm;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Instant as Monotonic, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use wholly_core::document::Response;
use wholly_core::driver::{Driver, Gauges};
use wholly_core::effect::{Call, Content, Draft, Effect, Proof};
use wholly_core::ids::{CallId, Gid, Position, RequestId};
use wholly_core::input::{Input, Request};
use wholly_core::record::{Fact, Outcome, Record};
use wholly_core::rejection::Rejection;
use wholly_core::time::{Instant, Now, Timestamp};
use wholly_store::contract::{Failure, Store};

/// What a client hears.
pub type Reply = Result<Response, Rejection>;

/// The coordinator stopped before it could answer: whether the request took effect is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// How the shell stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was started; nothing is accepted yet.
    Starting,
    /// It accepts requests.
    Ready,
    /// It was stopped in good order.
    Stopped,
    /// The log cannot be trusted any more to keep what it is given. Nothing leaves.
    Failed(Arc<str>),
}

/// Drives one shard.
pub struct Shell {
    held: Mutex<Held>,
    store: Arc<dyn Store>,
    egress: Arc<Egress>,
    metrics: Arc<Metrics>,
    trace: Option<EffectTrace>,
    runtime: Handle,
    started: Monotonic,
    requests: AtomicU64,
    alarm: Alarm,
    standing: watch::Sender<Standing>,
    own: Weak<Shell>,
}

/// What the lock guards.
struct Held {
    driver: Driver,
    waiting: HashMap<RequestId, oneshot::Sender<Reply>>,
    /// Kept between steps for its room.
    effects: Vec<Effect>,
    /// The alarm as the driver wants it.
    wake: Option<Instant>,
    /// Since when somebody waits for this position to become durable.
    wished: Option<(Position, Monotonic)>,
    /// The highest position that the log reported.
    synced: Position,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Until the driver is ready.
    Starting,
    Running,
    /// Nothing goes in or out any more.
    Over,
}

/// What is carried out once the lock is released.
#[derive(Default)]
struct Leaving {
    calls: Vec<Call>,
    replies: Vec<(oneshot::Sender<Reply>, Reply)>,
    lookups: Vec<Gid>,
}

/// All that a shell is made of.
pub struct Parts {
    /// Not started yet.
    pub driver: Driver,
    /// Where the records go.
    pub store: Arc<dyn Store>,
    /// Where the store reports to.
    pub mailbox: Arc<Mailbox>,
    /// The way out.
    pub egress: Arc<Egress>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Where effects are written down as they leave.
    pub trace: Option<EffectTrace>,
}

impl Shell {
    /// Starts the driver; needs a tokio runtime.
    pub fn start(parts: Parts) -> Arc<Self> {
        let Parts { driver, store, mailbox, egress, metrics, trace } = parts;
        let held = Held {
            synced: store.stats().durable,
            driver,
            waiting: HashMap::new(),
            effects: Vec::new(),
            wake: None,
            wished: None,
            life: Life::Starting,
        };
        let shell = Arc::new_cyclic(|own| Shell {
            held: Mutex::new(held),
            store,
            egress,
            metrics,
            trace,
            runtime: Handle::current(),
            started: Monotonic::now(),
            requests: AtomicU64::new(1),
            alarm: Alarm::default(),
            standing: watch::Sender::new(Standing::Starting),
            own: Weak::clone(own),
        });
        shell.runtime.spawn(alarm::ring(Arc::downgrade(&shell)));
        shell.runtime.spawn(mailbox::collect(Arc::downgrade(&shell), mailbox));
        let leaving = shell.locked(|driver, now, effects| driver.start(now, effects));
        shell.carry_out(leaving);
        shell
    }

    /// Asks the driver. A request whose asker goes away before its answer is taken back.
    pub async fn ask(&self, request: Request) -> Result<Reply, Stopped> {
        let id = RequestId(self.requests.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        let leaving = {
            let mut held = self.lock();
            if held.life == Life::Over {
                return Err(Stopped);
            }
            held.waiting.insert(id, sender);
            self.step(&mut held, |driver, now, effects| {
                driver.step(now, Input::Request { id, request }, effects);
            })
        };
        self.carry_out(leaving);
        let mut asker = Asker { shell: self, id, answered: false };
        let reply = receiver.await.map_err(|_dropped| Stopped);
        asker.answered = true;
        reply
    }

    /// Gives destinations the slots that the configuration says.
    pub fn limit_destinations(&self) {
        let slots = self.egress.slots();
        let mut held = self.lock();
        for (destination, calls_max) in slots {
            held.driver.limit_destination(destination, calls_max);
        }
    }

    /// Tells the driver what happened.
    pub fn input(&self, input: Input) {
        let leaving = self.locked(|driver, now, effects| driver.step(now, input, effects));
        self.carry_out(leaving);
    }

    /// How the shell stands, and whenever that changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Whether begins are accepted.
    pub fn is_ready(&self) -> bool {
        *self.standing.borrow() == Standing::Ready
    }

    /// How much of everything the driver holds.
    pub fn gauges(&self) -> Gauges {
        self.lock().driver.gauges()
    }

    /// The store, for lists and histories.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The way out.
    pub fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = self.started.elapsed();
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Now { wall: Timestamp(ms(wall)), monotonic: Instant(ms(run)) }
    }

    /// Takes no new transactions from here on.
    pub fn drain(&self) {
        self.input(Input::Drain);
    }

    /// Stops: nothing leaves any more, whoever waits hears that the coordinator has stopped. What
    /// was queued for the log stays queued there.
    pub fn stop(&self) {
        self.end(Standing::Stopped);
    }

    /// The log failed: nothing leaves any more.
    fn fail(&self, failure: &Failure) {
        let mut text = failure.to_string();
        if let Some(cause) = std::error::Error::source(failure) {
            text = format!("{text}: {cause}");
        }
        tracing::error!(reason = %text, "the log failed; the coordinator stops");
        self.end(Standing::Failed(text.into()));
    }

    fn end(&self, standing: Standing) {
        let mut held = self.lock();
        if held.life != Life::Over {
            held.life = Life::Over;
            held.waiting.clear();
            self.standing.send_replace(standing);
        }
    }

    /// The lock; after a step that panicked it holds a driver that nothing may come from.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(|poisoned| {
            let mut held = poisoned.into_inner();
            held.life = Life::Over;
            held.waiting.clear();
            held
        })
    }

    fn locked(&self, act: impl FnOnce(&mut Driver, Now, &mut Vec<Effect>)) -> Leaving {
        let mut held = self.lock();
        match held.life {
            Life::Starting | Life::Running => self.step(&mut held, act),
            Life::Over => Leaving::default(),
        }
    }

    /// One step of the driver: what must be in order happens here, the rest is handed back.
    fn step(
        &self,
        held: &mut Held,
        act: impl FnOnce(&mut Driver, Now, &mut Vec<Effect>),
    ) -> Leaving {
        let mut effects = std::mem::take(&mut held.effects);
        let promise = Promise { standing: &self.standing };
        act(&mut held.driver, self.now(), &mut effects);
        let mut leaving = Leaving::default();
        for effect in effects.drain(..) {
            match effect {
                Effect::Append(draft) => {
                    announce(&draft);
                    self.store.append(draft);
                }
                Effect::Flush(position) => {
                    held.wished.get_or_insert_with(|| (position, Monotonic::now()));
                    self.store.flush(position);
                }
                Effect::Call(call) => {
                    self.write_down(held.synced, call.proof, |trace, proof| {
                        trace.call(&call, proof);
                    });
                    leaving.calls.push(call);
                }
                Effect::Reply { to, reply, proof } => {
                    self.write_down(held.synced, proof, |trace, proof| trace.reply(&reply, proof));
                    if let Some(sender) = held.waiting.remove(&to) {
                        leaving.replies.push((sender, reply));
                    }
                }
                Effect::Lookup { gid } => leaving.lookups.push(gid),
                Effect::Wake(at) => held.wake = Some(at),
            }
        }
        drop(promise);
        held.effects = effects;
        self.alarm.set(held.wake);
        if held.life == Life::Starting && held.driver.is_ready() {
            held.life = Life::Running;
            self.standing.send_replace(Standing::Ready);
        }
        leaving
    }

    fn write_down(
        &self,
        synced: Position,
        proof: Proof,
        write: impl FnOnce(&EffectTrace, trace::Line),
    ) {
        if let Some(trace) = &self.trace {
            write(trace, trace::Line { proof, synced });
        }
    }

    /// Carries out what a step brought, and what the look-ups among it bring in turn.
    fn carry_out(&self, mut leaving: Leaving) {
        loop {
            for (sender, reply) in leaving.replies {
                // The asker may be gone; then nobody needs it.
                let _ = sender.send(reply);
            }
            for call in leaving.calls {
                self.send(call);
            }
            let mut next = Leaving::default();
            for gid in leaving.lookups {
                let found = match self.store.lookup(&gid) {
                    Ok(found) => found,
                    // Nothing can be said of this gid, least of all that it is free.
                    Err(error) => return self.fail(&unreadable(&gid, error)),
                };
                let input =
                    Input::Found { gid, records: found.records, forgotten: found.forgotten };
                next.add(self.locked(|driver, now, effects| driver.step(now, input, effects)));
            }
            if next.is_empty() {
                return;
            }
            leaving = next;
        }
    }

    /// Sends a call in a task of its own and tells the driver what came of it.
    fn send(&self, call: Call) {
        let egress = Arc::clone(&self.egress);
        let mut sending = Sending { shell: Weak::clone(&self.own), call: Some(call.id) };
        self.runtime.spawn(async move {
            let answer = egress.call(&call).await;
            if let Some(shell) = sending.finished() {
                shell.input(Input::Answered { call: call.id, answer });
            }
        });
    }

    /// The log has made everything durable up to here.
    fn synced(&self, position: Position) {
        let leaving = {
            let mut held = self.lock();
            if held.life == Life::Over {
                return;
            }
            held.synced = position;
            if let Some((wished, since)) = held.wished
                && wished <= position
            {
                held.wished = None;
                self.metrics.flushed(since.elapsed());
            }
            self.step(&mut held, |driver, now, effects| {
                driver.step(now, Input::Durable(position), effects);
            })
        };
        self.carry_out(leaving);
    }

    /// The alarm that the driver set, taken off once it is due.
    fn take_alarm(&self) -> Option<Instant> {
        let mut held = self.lock();
        let due = held.wake.filter(|at| *at <= self.now().monotonic);
        if due.is_some() {
            held.wake = None;
        }
        self.alarm.set(held.wake);
        due
    }
}

impl Leaving {
    fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.replies.is_empty() && self.lookups.is_empty()
    }

    fn add(&mut self, other: Leaving) {
        self.calls.extend(other.calls);
        self.replies.extend(other.replies);
        self.lookups.extend(other.lookups);
    }
}

/// Held while the driver and the log do what they promise: should one of them panic, the process
/// must stop, for what is in memory may not be what the log will say.
struct Promise<'a> {
    standing: &'a watch::Sender<Standing>,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = "a promise of the coordinator's own was broken; its log is untouched, start \
                        it again and report what it said";
            self.standing.send_replace(Standing::Failed(text.into()));
        }
    }
}

/// Takes a request back when its asker goes away.
struct Asker<'a> {
    shell: &'a Shell,
    id: RequestId,
    answered: bool,
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.shell.lock().waiting.remove(&self.id);
            self.shell.input(Input::Gone { id: self.id });
        }
    }
}

/// A call under way: should its task die, the driver hears that nothing is known.
struct Sending {
    shell: Weak<Shell>,
    call: Option<CallId>,
}

impl Sending {
    fn finished(&mut self) -> Option<Arc<Shell>> {
        self.call = None;
        self.shell.upgrade()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let (Some(call), Some(shell)) = (self.call, self.shell.upgrade()) {
            let detail = wholly_core::ids::Text::cut("the call was broken off");
            let answer = wholly_core::branch::Answer::Unknown { detail };
            shell.input(Input::Answered { call, answer });
        }
    }
}

fn unreadable(gid: &Gid, error: wholly_store::contract::ReadError) -> Failure {
    Failure {
        operation: format!("reading the records of {gid}"),
        cause: std::io::Error::other(error),
    }
}

/// Tells the log of the program that a transaction began, was decided, ended. At debug: at the
/// default level, lines for every transaction would cost a good part of the throughput.
fn announce(draft: &Draft) {
    let Content::Transaction { gid, records, .. } = &draft.content else { return };
    for Record { fact, .. } in records {
        match fact {
            Fact::Begun(begun) => tracing::debug!(%gid, name = %begun.name, "began"),
            Fact::Decided { decision, cause, .. } => {
                tracing::debug!(%gid, ?decision, ?cause, "decided");
            }
            Fact::Ended { outcome: Outcome::AsDecided } => tracing::debug!(%gid, "ended"),
            Fact::Ended { outcome: outcome @ (Outcome::Mixed | Outcome::Hazard) } => {
                tracing::warn!(%gid, ?outcome, "ended otherwise than decided");
            }
            Fact::Stuck { branch, .. } => {
                let branch = branch.0;
                tracing::warn!(%gid, branch, "a branch is stuck until an operator acts");
            }
            Fact::Registered(_)
            | Fact::Answered { .. }
            | Fact::Retried { .. }
            | Fact::Parked { .. }
            | Fact::Resolved { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;

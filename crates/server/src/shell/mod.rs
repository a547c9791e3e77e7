//! The driver's shell: carries out what the driver asks, tells it what happened, decides nothing.
//!
//! What happens is put into an inbox; whoever finds the driver free drives it through all that is
//! there. So nobody ever waits for the driver, and what came together is taken together. Drafts
//! and wishes for durability reach the log in order, while the driver is held; calls, answers and
//! look-ups are carried out after it is let go.

mod alarm;
mod announce;
mod guards;
mod mailbox;
mod operating;
mod trace;
mod traces;

pub(crate) use mailbox::Mailbox;
pub(crate) use trace::EffectTrace;

use crate::clocks;
use crate::egress::{Egress, Sent};
use crate::observe::{Backlog, Metrics};
use alarm::Alarm;
use announce::{announce, traced};
use guards::{Reading, Sending};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::Instant as Monotonic;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use traces::Traces;
use wholly_core::branch::Op;
use wholly_core::document::Response;
use wholly_core::driver::{Driver, Gauges, LaneGauges};
use wholly_core::effect::{Call, Effect, Proof};
use wholly_core::ids::{Destination, Gid, Position, RequestId};
use wholly_core::input::{Input, Request};
use wholly_core::rejection::Rejection;
use wholly_core::time::{Instant, Now};
use wholly_store::contract::{Failure, Lookup, Store};
use wholly_wire::trace::TraceContext;
use wholly_wire::v1::call::row_seen;

/// Rounds that one caller drives before it hands over.
const ROUNDS_MAX: usize = 16;

/// What a client hears.
pub(crate) type Reply = Result<Response, Rejection>;

/// The coordinator stopped before it could answer: whether the request took effect is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// How the shell stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
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
pub(crate) struct Shell {
    inbox: Mutex<Vec<Event>>,
    inbox_max: usize,
    held: Mutex<Held>,
    store: Arc<dyn Store>,
    egress: Arc<Egress>,
    metrics: Arc<Metrics>,
    trace: Option<EffectTrace>,
    traces: Traces,
    runtime: Handle,
    started: Monotonic,
    requests: AtomicU64,
    alarm: Alarm,
    standing: watch::Sender<Standing>,
    own: Weak<Shell>,
}

/// What a request takes of a limit, until it is dropped.
pub(crate) type Weight = Option<Box<dyn Send>>;

/// Something that the driver is to hear.
enum Event {
    /// A client asks.
    Asked(RequestId, Request, oneshot::Sender<Reply>, Weight),
    /// The log has made everything durable up to here.
    Synced(Position),
    /// Anything else, as it is.
    Input(Input),
}

/// The driver and what belongs to it; one thread at a time holds it.
struct Held {
    driver: Driver,
    waiting: HashMap<RequestId, oneshot::Sender<Reply>>,
    /// Kept between rounds for their room.
    effects: Vec<Effect>,
    events: Vec<Event>,
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
pub(crate) struct Parts {
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
    pub(crate) fn start(parts: Parts) -> Arc<Self> {
        let Parts { driver, store, mailbox, egress, metrics, trace } = parts;
        let inbox_max = driver.limits().inbox_max;
        let held = Held {
            synced: store.stats().durable,
            driver,
            waiting: HashMap::new(),
            effects: Vec::new(),
            events: Vec::new(),
            wake: None,
            wished: None,
            life: Life::Starting,
        };
        let shell = Arc::new_cyclic(|own| Shell {
            inbox: Mutex::default(),
            inbox_max,
            held: Mutex::new(held),
            store,
            egress,
            metrics,
            trace,
            traces: Traces::default(),
            runtime: Handle::current(),
            started: Monotonic::now(),
            requests: AtomicU64::new(1),
            alarm: Alarm::default(),
            standing: watch::Sender::new(Standing::Starting),
            own: Weak::clone(own),
        });
        shell.runtime.spawn(alarm::ring(Arc::downgrade(&shell)));
        shell.runtime.spawn(mailbox::collect(Arc::downgrade(&shell), mailbox));
        let leaving = shell.held(|held| {
            held.driver.start(shell.now(), &mut held.effects);
            shell.sort(held)
        });
        let mut kept = None;
        shell.carry_out(leaving, &mut kept);
        kept.into_iter().for_each(|call| shell.send(call));
        shell
    }

    /// Asks the driver, from a place in a distributed trace if there is one. A request whose asker
    /// goes away before its answer is taken back. What it weighs is let go once the driver has it.
    pub(crate) async fn ask_in(
        &self,
        request: Request,
        trace: Option<TraceContext>,
        weight: Weight,
    ) -> Result<Reply, Stopped> {
        let id = RequestId(self.requests.fetch_add(1, Ordering::Relaxed));
        if let Some(trace) = trace {
            self.traces.asked(id, &request, trace);
        }
        let (sender, receiver) = oneshot::channel();
        if !self.put_request(Event::Asked(id, request, sender, weight)) {
            self.traces.answered(id);
            return Ok(Err(Rejection::InboxFull { max: self.inbox_max as u64 }));
        }
        self.drive();
        let mut asker = Asker { shell: self, id, answered: false };
        let reply = receiver.await.map_err(|_dropped| Stopped);
        asker.answered = true;
        reply
    }

    /// Tells the driver what happened.
    pub(crate) fn input(&self, input: Input) {
        self.put(Event::Input(input));
        self.drive();
    }

    /// How the shell stands, and whenever that changes.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Whether begins are accepted.
    pub(crate) fn is_ready(&self) -> bool {
        *self.standing.borrow() == Standing::Ready
    }

    /// How much of everything the driver holds.
    pub(crate) fn gauges(&self) -> Gauges {
        self.held(|held| held.driver.gauges())
    }

    /// What has not ended and for how long, and how each destination with something left to do
    /// stands.
    pub(crate) fn backlog(&self) -> (Backlog, Vec<(Destination, LaneGauges)>) {
        self.held(|held| {
            let driver = &held.driver;
            let lanes = driver.lanes().map(|(destination, lane)| (destination.clone(), lane));
            (Backlog::new(driver.gauges(), driver.ages(self.now())), lanes.collect())
        })
    }

    /// The way out.
    pub(crate) fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    /// Both clocks.
    pub(crate) fn now(&self) -> Now {
        let run = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { wall: clocks::now(), monotonic: Instant(run) }
    }

    /// The place of a transaction in its trace.
    pub(crate) fn place(&self, gid: &Gid) -> TraceContext {
        self.egress.spans().transaction(gid, self.traces.of(gid).as_ref())
    }

    /// Stops: nothing leaves any more, whoever waits hears that the coordinator has stopped. What
    /// was queued for the log stays queued there.
    pub(crate) fn stop(&self) {
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
        self.held(|held| {
            if held.life != Life::Over {
                held.life = Life::Over;
                held.waiting.clear();
                self.standing.send_replace(standing);
            }
        });
    }

    fn put(&self, event: Event) {
        self.inbox.lock().expect("nothing panics while it holds the inbox").push(event);
    }

    /// Only requests are refused: what the log and the participants say is always taken.
    fn put_request(&self, event: Event) -> bool {
        let mut inbox = self.inbox.lock().expect("nothing panics while it holds the inbox");
        let fits = inbox.len() < self.inbox_max;
        if fits {
            inbox.push(event);
        }
        fits
    }

    fn has_mail(&self) -> bool {
        !self.inbox.lock().expect("nothing panics while it holds the inbox").is_empty()
    }

    /// Does something with the driver at rest, and then drives: what came meanwhile found it held.
    fn held<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        let done = act(&mut unpoisoned(self.held.lock()));
        self.drive();
        done
    }

    /// Drives the driver through all that is in the inbox, unless somebody else does: he looks
    /// again after he has let go.
    fn drive(&self) {
        if let Some(call) = self.drive_and_keep() {
            self.send(call);
        }
    }

    /// The same, but hands back one of the calls that came up, for a caller that is free to send
    /// it by itself.
    fn drive_and_keep(&self) -> Option<Call> {
        let mut kept = None;
        for _round in 0..ROUNDS_MAX {
            let leaving = match self.held.try_lock() {
                Ok(mut held) => self.round(&mut held),
                Err(TryLockError::Poisoned(held)) => self.round(&mut over(held.into_inner())),
                Err(TryLockError::WouldBlock) => return kept,
            };
            self.carry_out(leaving, &mut kept);
            if !self.has_mail() {
                return kept;
            }
        }
        // Whoever called has other things to do as well.
        if let Some(shell) = self.own.upgrade() {
            self.runtime.spawn(async move { shell.drive() });
        }
        kept
    }

    /// One round: everything that is in the inbox.
    fn round(&self, held: &mut Held) -> Leaving {
        let mut events = std::mem::take(&mut held.events);
        let mut inbox = self.inbox.lock().expect("nothing panics while it holds the inbox");
        std::mem::swap(&mut events, &mut inbox);
        drop(inbox);
        if held.life == Life::Over {
            // Whoever asked hears of it as his sender goes.
            return Leaving::default();
        }
        let promise = Promise { standing: &self.standing, unwinding: std::thread::panicking() };
        let now = self.now();
        for event in events.drain(..) {
            let mut counted = None;
            let input = match event {
                Event::Asked(id, request, sender, weight) => {
                    counted = weight;
                    held.waiting.insert(id, sender);
                    Input::Request { id, request }
                }
                Event::Synced(position) => {
                    self.note_synced(held, position);
                    Input::Durable(position)
                }
                Event::Input(input) => input,
            };
            match &input {
                Input::Gone { id } => {
                    self.traces.answered(*id);
                    held.waiting.remove(id);
                }
                // An alarm that rang is not set any more.
                Input::Woken => held.wake = held.wake.filter(|at| *at > now.monotonic),
                Input::Request { .. }
                | Input::Answered { .. }
                | Input::Silent { .. }
                | Input::Inspected { .. }
                | Input::Durable(_)
                | Input::Found { .. }
                | Input::Unreadable { .. }
                | Input::Room(_)
                | Input::Drain => {}
            }
            held.driver.step(now, input, &mut held.effects);
            drop(counted);
        }
        held.events = events;
        let leaving = self.sort(held);
        drop(promise);
        leaving
    }

    fn note_synced(&self, held: &mut Held, position: Position) {
        held.synced = position;
        if let Some((wished, since)) = held.wished
            && wished <= position
        {
            held.wished = None;
            self.metrics.flushed(since.elapsed());
        }
    }

    /// Sorts what the driver asked: what must be in order happens here, the rest is handed back.
    fn sort(&self, held: &mut Held) -> Leaving {
        let mut leaving = Leaving::default();
        let mut flush = None;
        for effect in held.effects.drain(..) {
            match effect {
                Effect::Append(draft) => {
                    announce(&draft);
                    self.metrics.recorded(&draft);
                    let begun_in = self.traces.recorded(&draft);
                    traced(&draft, begun_in.as_ref(), self.egress.spans());
                    self.store.append(draft);
                }
                Effect::Flush(position) => flush = Some(position),
                Effect::Call(call) => {
                    self.write_down(held.synced, call.proof, |trace, proof| {
                        trace.call(&call, proof);
                    });
                    leaving.calls.push(call);
                }
                Effect::Reply { to, reply, proof } => {
                    self.traces.answered(to);
                    self.write_down(held.synced, proof, |trace, proof| trace.reply(&reply, proof));
                    if let Some(sender) = held.waiting.remove(&to) {
                        leaving.replies.push((sender, reply));
                    }
                }
                Effect::Lookup { gid } => leaving.lookups.push(gid),
                Effect::Wake(at) => held.wake = Some(at),
            }
        }
        if let Some(position) = flush {
            held.wished.get_or_insert_with(|| (position, Monotonic::now()));
            self.store.flush(position);
        }
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

    /// Carries out what a round brought; what its look-ups found is put into the inbox.
    fn carry_out(&self, leaving: Leaving, kept: &mut Option<Call>) {
        for (sender, reply) in leaving.replies {
            // The asker may be gone; then nobody needs it.
            let _ = sender.send(reply);
        }
        for call in leaving.calls {
            match kept {
                None => *kept = Some(call),
                Some(_) => self.send(call),
            }
        }
        for gid in leaving.lookups {
            match self.store.missing(&gid) {
                Some(forgotten) => {
                    let records = Vec::new();
                    self.put(Event::Input(Input::Found { gid, records, forgotten }));
                }
                None => self.look_up(gid),
            }
        }
    }

    /// Reads beside the runtime what the log says of a gid: it may wait for the disk.
    fn look_up(&self, gid: Gid) {
        let store = Arc::clone(&self.store);
        let shell = Weak::clone(&self.own);
        self.runtime.spawn_blocking(move || {
            let mut found = Reading { shell, input: Input::Unreadable { gid: gid.clone() } };
            match store.lookup(&gid) {
                Ok(Lookup { records, forgotten }) => {
                    found.input = Input::Found { gid, records, forgotten };
                }
                // Nothing can be said of this gid, least of all that it is free.
                Err(error) => {
                    let reason: &dyn std::error::Error = &error;
                    tracing::error!(%gid, reason, "the records of a transaction cannot be read");
                }
            }
        });
    }

    /// Sends a call in a task of its own and tells the driver what came of it. A call that comes
    /// up then is sent by the same task.
    fn send(&self, call: Call) {
        let egress = Arc::clone(&self.egress);
        let mut sending = Sending { shell: Weak::clone(&self.own), call: call.id };
        self.runtime.spawn(async move {
            let mut next = Some(call);
            while let Some(call) = next.take() {
                sending.call = call.id;
                let trace = sending.shell.upgrade().and_then(|shell| shell.traces.of(&call.gid));
                let sent = egress.call_in(&call, trace.as_ref()).await;
                let Some(shell) = sending.shell.upgrade() else { break };
                shell.put(Event::Input(returned(&call, sent)));
                next = shell.drive_and_keep();
            }
            sending.finished();
        });
    }
}

/// What came of a call, as the driver hears it: of an inspection, what the row says.
fn returned(call: &Call, sent: Sent) -> Input {
    let call_id = call.id;
    let answer = match sent {
        Sent::Judged(answer) => answer,
        Sent::Silent(detail) => return Input::Silent { call: call_id, detail },
    };
    match call.op {
        Op::Inspect => match row_seen(answer) {
            Ok(row) => Input::Inspected { call: call_id, row },
            Err(answer) => Input::Answered { call: call_id, answer },
        },
        Op::Try | Op::Confirm | Op::Cancel | Op::Action | Op::Compensate => {
            Input::Answered { call: call_id, answer }
        }
    }
}

fn unpoisoned<'a>(
    locked: Result<MutexGuard<'a, Held>, PoisonError<MutexGuard<'a, Held>>>,
) -> MutexGuard<'a, Held> {
    locked.unwrap_or_else(|poisoned| over(poisoned.into_inner()))
}

/// After a step that panicked, nothing may come from the driver any more.
fn over(mut held: MutexGuard<'_, Held>) -> MutexGuard<'_, Held> {
    held.life = Life::Over;
    held.waiting.clear();
    held
}

/// Held while the driver and the log do what they promise: should one of them panic, the process
/// must stop, for what is in memory may not be what the log will say.
struct Promise<'a> {
    standing: &'a watch::Sender<Standing>,
    /// Whether the thread was unwinding before: a task that broke off tells the driver so.
    unwinding: bool,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.unwinding {
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
            self.shell.input(Input::Gone { id: self.id });
        }
    }
}

#[cfg(test)]
mod tests;

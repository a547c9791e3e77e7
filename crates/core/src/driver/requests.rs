//! What clients and operators ask.

use super::Driver;
use super::entry::{Entry, Slot};
use super::waiters::{Awaited, Shape, awaited};
use crate::branch::{BranchSpec, Caller};
use crate::document::{Arrival, Freshness, Response};
use crate::effect::Effect;
use crate::ids::{Gid, Position, Principal, RequestId, Text, Version};
use crate::input::{
    Abort, Action, Begin, Commit, GidSource, Operate, Register, Request, Submit, Wait,
};
use crate::limits::Limits;
use crate::mutants::{self, Mutant};
use crate::plan::{self, PlanLimits};
use crate::record::{Begun, Cause, Fact, Record, Start};
use crate::rejection::Rejection;
use crate::time::Timestamp;
use crate::transaction::{Event, Form, Touched, Transaction, check_open_branch};
use alloc::vec::Vec;

impl Driver {
    /// Takes a request; one about a gid that is not open first asks the store.
    pub(super) fn request(&mut self, id: RequestId, request: Request, effects: &mut Vec<Effect>) {
        let Some((gid, source)) = subject(&request) else {
            return self.calls(id, &request, effects);
        };
        match (self.gids.get(gid).copied(), source) {
            (Some(slot), _) => self.on_open(id, slot, request, effects),
            (None, GidSource::Issued) => self.on_absent(id, request, Timestamp(0), effects),
            (None, GidSource::Client) if self.looking >= self.limits.lookups_max => {
                let max = self.limits.lookups_max as u64;
                self.reject(id, None, Rejection::LookupsFull { max }, effects);
            }
            (None, GidSource::Client) => {
                self.looking += 1;
                let gid = gid.clone();
                // One look-up of a gid at a time, also when all who asked are gone: an answer that
                // was read before the gid was begun must not meet those who ask after its end.
                match self.lookups.get_mut(&gid) {
                    Some(waiting) => waiting.push((id, request)),
                    None => {
                        self.lookups.insert(gid.clone(), Vec::from([(id, request)]));
                        effects.push(Effect::Lookup { gid });
                    }
                }
            }
        }
    }

    /// The store has said what it knows of a gid.
    pub(super) fn found(
        &mut self,
        gid: Gid,
        records: &[Record],
        forgotten: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let over = Transaction::fold(records);
        let waiting = self.lookups.remove(&gid).unwrap_or_default();
        self.looking -= waiting.len();
        for (id, request) in waiting {
            // The request before may have begun it.
            match (self.gids.get(&gid).copied(), &over) {
                (Some(slot), _) if !mutants::is_on(Mutant::StaleLookup) => {
                    self.on_open(id, slot, request, effects);
                }
                (_, Some(over)) => self.on_over(id, over, &request, effects),
                (_, None) => self.on_absent(id, request, forgotten, effects),
            }
        }
    }

    /// The store cannot say what it knows of a gid: whoever asked hears that, and the others go on.
    pub(super) fn unreadable(&mut self, gid: Gid, effects: &mut Vec<Effect>) {
        let waiting = self.lookups.remove(&gid).unwrap_or_default();
        self.looking -= waiting.len();
        for (id, _) in waiting {
            let rejection = Rejection::Unreadable { gid: gid.clone() };
            self.reject(id, None, rejection, effects);
        }
    }

    /// A request about a transaction that the driver holds.
    fn on_open(&mut self, id: RequestId, slot: Slot, request: Request, effects: &mut Vec<Effect>) {
        let transaction = &self.slots.entry(slot).transaction;
        if let Err(rejection) = check_begun(transaction, &request) {
            return self.reject_other(id, slot, rejection, effects);
        }
        match request {
            Request::Begin(begin) => match repeat_begin(transaction, &begin) {
                Ok(response) => {
                    let needed = self.slots.entry(slot).forced;
                    self.reply(id, needed, Ok(response), effects);
                }
                Err(rejection) => self.reject_other(id, slot, rejection, effects),
            },
            Request::Submit(submit) => match repeat_submit(transaction, &submit) {
                Ok(()) => {
                    let shape = Shape::Submitted(Freshness::Repeated);
                    self.answer_or_wait(id, slot, awaited(submit.wait), shape, effects);
                }
                Err(rejection) => self.reject_other(id, slot, rejection, effects),
            },
            Request::Register(register) => self.register(id, slot, register, effects),
            Request::Commit(commit) => {
                if let Err(rejection) = check_named(&commit, &self.limits) {
                    return self.reject(id, Some(slot), rejection, effects);
                }
                let event = Event::Commit { tried: &commit.tried, refused: &commit.refused };
                if self.happen(id, slot, event, effects) {
                    self.after_commit(id, slot, commit.wait, effects);
                }
            }
            Request::Abort(abort) => {
                let Abort { reason, branch, wait, .. } = &abort;
                let event =
                    Event::Abort { cause: Cause::Initiator, reason, branch: branch.as_ref() };
                if self.happen(id, slot, event, effects) {
                    self.answer_or_wait(id, slot, awaited(*wait), Shape::Transaction, effects);
                }
            }
            Request::Get { wait, .. } => self.get(id, slot, awaited(wait), effects),
            Request::Operate(operate) => self.operate(id, slot, &operate, effects),
            Request::Calls { .. } => unreachable!("calls name no single transaction"),
        }
    }

    /// A request about a transaction that has ended and is known to the store.
    fn on_over(
        &mut self,
        id: RequestId,
        over: &Transaction,
        request: &Request,
        effects: &mut Vec<Effect>,
    ) {
        assert!(over.is_ended(), "the driver holds every transaction that is not over");
        let shown =
            || Response::Transaction { document: over.document(), arrival: Arrival::Arrived };
        let decide = |event: Event<'_>| {
            let touched = |_| true;
            over.decide(event, &self.limits, Touched(&touched)).map(|_| shown())
        };
        let reply = check_begun(over, request).and_then(|()| match request {
            Request::Begin(begin) => repeat_begin(over, begin),
            Request::Submit(submit) => repeat_submit(over, submit).map(|()| Response::Submitted {
                document: over.document(),
                freshness: Freshness::Repeated,
                arrival: Arrival::Arrived,
            }),
            Request::Register(register) => decide(Event::Register(&register.spec)),
            Request::Commit(commit) => {
                decide(Event::Commit { tried: &commit.tried, refused: &commit.refused })
            }
            Request::Abort(abort) => decide(Event::Abort {
                cause: Cause::Initiator,
                reason: &abort.reason,
                branch: None,
            }),
            Request::Get { .. } | Request::Calls { .. } => Ok(shown()),
            Request::Operate(operate) => Err(Rejection::AlreadyEnded { gid: operate.gid.clone() }),
        });
        self.reply(id, Position(0), reply, effects);
    }

    /// A request about a gid that nobody knows.
    fn on_absent(
        &mut self,
        id: RequestId,
        request: Request,
        forgotten: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        match request {
            Request::Begin(begin) => self.begin(id, begin, effects),
            Request::Submit(submit) => self.submit(id, submit, effects),
            Request::Register(Register { ref gid, begun, ref principal, .. })
            | Request::Commit(Commit { ref gid, begun, ref principal, .. })
            | Request::Abort(Abort { ref gid, begun, ref principal, .. }) => {
                if begun <= forgotten || self.clock.never_gave(begun) {
                    let rejection = Rejection::OutcomeForgotten { gid: gid.clone() };
                    return self.reject(id, None, rejection, effects);
                }
                let begin = self.lost(gid.clone(), begun, principal.clone());
                if mutants::is_on(Mutant::LostBeginUnrecorded) {
                    return self.on_over(id, &Transaction::begin(&begin), &request, effects);
                }
                let slot = self.open(begin, effects);
                self.on_open(id, slot, request, effects);
            }
            Request::Get { gid, .. } => {
                self.reject(id, None, Rejection::GidUnknown { gid }, effects);
            }
            Request::Operate(operate) => {
                self.reject(id, None, Rejection::GidUnknown { gid: operate.gid }, effects);
            }
            Request::Calls { .. } => unreachable!("calls name no single transaction"),
        }
    }

    fn begin(&mut self, id: RequestId, begin: Begin, effects: &mut Vec<Effect>) {
        let begun = match self.admission(&begin) {
            Ok(begun) => begun,
            Err(rejection) => return self.reject(id, None, rejection, effects),
        };
        let timeout_ms = begin.timeout_ms.unwrap_or(self.limits.open_timeout_ms);
        let deadline = self.now.wall.plus_ms(timeout_ms);
        let fact = Fact::Begun(Begun {
            gid: begin.gid.clone(),
            name: begin.name,
            begun,
            principal: begin.principal,
            start: Start::Open { deadline, key: begin.key, branches: begin.branches },
        });
        let slot = self.open(Record { at: self.now.wall, fact }, effects);
        let needed = self.slots.entry(slot).forced;
        let freshness = Freshness::Created;
        let response = Response::Begun { gid: begin.gid, begun, deadline, freshness };
        self.reply(id, needed, Ok(response), effects);
    }

    fn admission(&mut self, begin: &Begin) -> Result<Timestamp, Rejection> {
        if let Some((key, _)) = &begin.key {
            // A body that asks for another gid is another body.
            if let Some(gid) = self.keys.get(&(begin.principal.clone(), key.clone())) {
                return Err(Rejection::IdempotencyMismatch { gid: gid.clone() });
            }
        }
        check_declared(&begin.branches, &self.limits)?;
        check_timeout(begin.timeout_ms, &self.limits)?;
        self.accept(&begin.branches)
    }

    fn submit(&mut self, id: RequestId, submit: Submit, effects: &mut Vec<Effect>) {
        let limits = PlanLimits {
            steps_max: self.limits.branches_max,
            reads_max: self.limits.reads_max,
            payload_bytes_max: self.limits.payload_bytes_max,
        };
        let steps = match plan::check(&submit.steps, limits) {
            Ok(steps) => steps,
            Err(error) => return self.reject(id, None, Rejection::PlanInvalid(error), effects),
        };
        let timeout = check_timeout(submit.timeout_ms, &self.limits);
        let begun = match timeout.and_then(|()| self.accept(&steps)) {
            Ok(begun) => begun,
            Err(rejection) => return self.reject(id, None, rejection, effects),
        };
        let deadline = submit.timeout_ms.map(|ms| self.now.wall.plus_ms(ms));
        let fact = Fact::Begun(Begun {
            gid: submit.gid,
            name: submit.name,
            begun,
            principal: submit.principal,
            start: Start::Plan { deadline, digest: submit.digest, steps },
        });
        let slot = self.open(Record { at: self.now.wall, fact }, effects);
        let shape = Shape::Submitted(Freshness::Created);
        self.answer_or_wait(id, slot, awaited(submit.wait), shape, effects);
    }

    /// An action with a valid capability for a gid that nobody knows: its begin was lost before
    /// anything could come of it. It is settled as aborted, so that it stays so.
    fn lost(&self, gid: Gid, begun: Timestamp, principal: Principal) -> Record {
        let name = crate::ids::Name::new("lost").expect("a valid name");
        let fact = Fact::Begun(Begun { gid, name, begun, principal, start: Start::Lost });
        Record { at: self.now.wall, fact }
    }

    /// Takes in a new transaction and queues its records.
    fn open(&mut self, begin: Record, effects: &mut Vec<Effect>) -> Slot {
        let transaction = Transaction::begin(&begin);
        let class = transaction.class(&begin.fact);
        let slot = self.admit(Entry::begun(transaction));
        self.position.0 += 1;
        let position = self.position;
        self.slots.entry_mut(slot).queued(position, class);
        self.complete(slot, Version(0), Vec::from([begin]), None, effects);
        slot
    }

    fn register(
        &mut self,
        id: RequestId,
        slot: Slot,
        register: Register,
        effects: &mut Vec<Effect>,
    ) {
        let known = self.slots.entry(slot).transaction.find(&register.spec.id).is_some();
        if let Err(rejection) = self.admit_branch(slot, &register.spec) {
            return self.reject(id, Some(slot), rejection, effects);
        }
        if !self.happen(id, slot, Event::Register(&register.spec), effects) {
            return;
        }
        let entry = self.slots.entry(slot);
        let index = entry.transaction.find(&register.spec.id).expect("it was just registered");
        let freshness = match known {
            true => Freshness::Repeated,
            false => Freshness::Created,
        };
        let wait_ms = match register.spec.caller {
            Caller::Coordinator => register.wait_ms.unwrap_or(self.limits.call_timeout_ms),
            Caller::Initiator => 0,
        };
        let shape = Shape::Registered(freshness);
        self.answer_or_wait(id, slot, Some((Awaited::Try(index), wait_ms)), shape, effects);
    }

    /// A wish to commit was heard: it is so, or it was decided otherwise.
    fn after_commit(&mut self, id: RequestId, slot: Slot, wait: Wait, effects: &mut Vec<Effect>) {
        let entry = self.slots.entry(slot);
        let committed = entry
            .transaction
            .verdict()
            .is_some_and(|verdict| verdict.decision == crate::record::Decision::Commit);
        match committed {
            true => {
                self.answer_or_wait(id, slot, awaited(wait), Shape::Transaction, effects);
            }
            false => {
                let rejection = entry.transaction.decided();
                self.reject(id, Some(slot), rejection, effects);
            }
        }
    }

    /// Lets something happen to a transaction; says whether it was not rejected.
    fn happen(
        &mut self,
        id: RequestId,
        slot: Slot,
        event: Event<'_>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let entry = self.slots.entry(slot);
        let touched = |index| entry.is_touched(index);
        match entry.transaction.decide(event, &self.limits, Touched(&touched)) {
            Ok(Some(fact)) => {
                self.record(slot, fact, effects);
                true
            }
            Ok(None) => true,
            Err(rejection) => {
                self.reject(id, Some(slot), rejection, effects);
                false
            }
        }
    }

    fn operate(&mut self, id: RequestId, slot: Slot, operate: &Operate, effects: &mut Vec<Effect>) {
        let Operate { action, reason, by, .. } = operate;
        // A decision has room for one text: who comes first, so that a cut takes nothing of it.
        let said = Text::cut(&alloc::format!("{by}: {}", reason.as_str()));
        let event = match action {
            Action::Retry { branch } => Event::Retry { branch: branch.as_ref(), by, reason },
            Action::Park => Event::Park { by, reason },
            Action::Resolve { branch, resolution } => {
                Event::Resolve { branch, resolution: *resolution, by, reason }
            }
            Action::Commit => Event::Account { reason: &said },
            Action::Abort => Event::Abort { cause: Cause::Operator, reason: &said, branch: None },
        };
        if !self.happen(id, slot, event, effects) {
            return;
        }
        if let Action::Retry { .. } = action {
            self.wake_calls(slot);
            self.probe_for(slot);
        }
        self.answer_or_wait(id, slot, None, Shape::Transaction, effects);
    }

    /// Shows a transaction; a wait for which there is no room is refused, for nothing was done.
    fn get(
        &mut self,
        id: RequestId,
        slot: Slot,
        wait: Option<(Awaited, u64)>,
        effects: &mut Vec<Effect>,
    ) {
        match wait.and_then(|(awaited, _)| self.full_for(slot, awaited)) {
            Some(full) => self.reject(id, Some(slot), full, effects),
            None => self.answer_or_wait(id, slot, wait, Shape::Transaction, effects),
        }
    }

    /// Sends at once what waits to be sent again.
    fn wake_calls(&mut self, slot: Slot) {
        for at in 0..self.slots.entry(slot).lines.len() {
            self.send_again(slot, crate::transaction::index_of(at));
        }
    }

    fn calls(&mut self, id: RequestId, request: &Request, effects: &mut Vec<Effect>) {
        let Request::Calls { gids } = request else { return };
        let open = gids.iter().filter_map(|gid| self.gids.get(gid));
        let calls = open.map(|slot| self.attempts(self.slots.entry(*slot))).collect();
        self.reply(id, Position(0), Ok(Response::Calls(calls)), effects);
    }

    /// The gid is another's: whoever asked may go by that, so the other's begin must be durable,
    /// lazy as it may be. Were it lost, the same request would be answered otherwise.
    fn reject_other(
        &mut self,
        id: RequestId,
        slot: Slot,
        rejection: Rejection,
        effects: &mut Vec<Effect>,
    ) {
        let needed = self.slots.entry(slot).latest;
        self.reply(id, needed, Err(rejection), effects);
    }

    fn reject(
        &mut self,
        id: RequestId,
        slot: Option<Slot>,
        rejection: Rejection,
        effects: &mut Vec<Effect>,
    ) {
        let needed = slot.map_or(Position(0), |slot| self.slots.entry(slot).needed_to_show());
        self.reply(id, needed, Err(rejection), effects);
    }
}

/// The gid a request is about, and whether it can be in use.
fn subject(request: &Request) -> Option<(&Gid, GidSource)> {
    match request {
        Request::Begin(begin) => Some((&begin.gid, begin.source)),
        Request::Submit(submit) => Some((&submit.gid, submit.source)),
        Request::Register(Register { gid, .. })
        | Request::Commit(Commit { gid, .. })
        | Request::Abort(Abort { gid, .. })
        | Request::Get { gid, .. }
        | Request::Operate(Operate { gid, .. }) => Some((gid, GidSource::Client)),
        Request::Calls { .. } => None,
    }
}

/// A capability of another begin of this gid is not this transaction's.
fn check_begun(transaction: &Transaction, request: &Request) -> Result<(), Rejection> {
    match request {
        Request::Register(Register { begun, .. })
        | Request::Commit(Commit { begun, .. })
        | Request::Abort(Abort { begun, .. })
            if *begun != transaction.begun && !mutants::is_on(Mutant::CapabilityNotCompared) =>
        {
            Err(Rejection::GidTaken { gid: transaction.gid.clone() })
        }
        Request::Begin(_)
        | Request::Submit(_)
        | Request::Register(_)
        | Request::Commit(_)
        | Request::Abort(_)
        | Request::Get { .. }
        | Request::Calls { .. }
        | Request::Operate(_) => Ok(()),
    }
}

/// A begin for a gid in use: the same one again, or a rejection.
fn repeat_begin(transaction: &Transaction, begin: &Begin) -> Result<Response, Rejection> {
    let gid = transaction.gid.clone();
    match (&transaction.form, &begin.key) {
        (Form::Open { deadline, key: Some((key, digest)) }, Some((asked, body)))
            if transaction.principal == begin.principal && key == asked =>
        {
            match digest == body || mutants::is_on(Mutant::KeyDigestNotCompared) {
                true => Ok(Response::Begun {
                    gid,
                    begun: transaction.begun,
                    deadline: *deadline,
                    freshness: Freshness::Repeated,
                }),
                false => Err(Rejection::IdempotencyMismatch { gid }),
            }
        }
        (Form::Open { .. } | Form::Plan { .. } | Form::Lost, _) => Err(Rejection::GidTaken { gid }),
    }
}

/// A submit for a gid in use: the same plan again, or a rejection.
fn repeat_submit(transaction: &Transaction, submit: &Submit) -> Result<(), Rejection> {
    match &transaction.form {
        Form::Plan { digest, .. }
            if *digest == submit.digest && transaction.principal == submit.principal =>
        {
            Ok(())
        }
        Form::Plan { .. } if mutants::is_on(Mutant::PlanDigestNotCompared) => Ok(()),
        Form::Plan { .. } | Form::Open { .. } | Form::Lost => {
            Err(Rejection::GidTaken { gid: transaction.gid.clone() })
        }
    }
}

/// A commit names no more branches than there can be.
fn check_named(commit: &Commit, limits: &Limits) -> Result<(), Rejection> {
    match commit.tried.len().max(commit.refused.len()) > limits.branches_max {
        true => {
            let max = limits.branches_max as u64;
            Err(Rejection::TooLarge { limit: "branches_max", max })
        }
        false => Ok(()),
    }
}

/// A deadline is at most `timeout_ms_max` away.
fn check_timeout(timeout_ms: Option<u64>, limits: &Limits) -> Result<(), Rejection> {
    match timeout_ms.is_some_and(|ms| ms > limits.timeout_ms_max) {
        true => Err(Rejection::TooLarge { limit: "timeout_ms_max", max: limits.timeout_ms_max }),
        false => Ok(()),
    }
}

fn check_declared(branches: &[BranchSpec], limits: &Limits) -> Result<(), Rejection> {
    if branches.len() > limits.branches_max {
        let max = limits.branches_max as u64;
        return Err(Rejection::TooLarge { limit: "branches_max", max });
    }
    for (at, branch) in branches.iter().enumerate() {
        check_open_branch(branch, limits)?;
        if branches[..at].iter().any(|earlier| earlier.id == branch.id) {
            return Err(Rejection::BranchInvalid {
                branch: branch.id.clone(),
                why: "it is declared twice; give each branch a name of its own",
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Origin;
    use crate::input::{Input, Loaded, Wait};
    use crate::time::Now;

    /// How many look-ups an input asks for.
    fn look_ups(driver: &mut Driver, input: Input) -> usize {
        let mut effects = Vec::new();
        driver.step(Now::default(), input, &mut effects);
        effects.iter().filter(|effect| matches!(effect, Effect::Lookup { .. })).count()
    }

    #[test]
    fn a_gid_is_looked_up_once_at_a_time_also_when_all_who_asked_are_gone() {
        let origin = Origin::new("origin").unwrap();
        let mut driver = Driver::new(Limits::default(), origin, 1, Loaded::default());
        driver.start(Now::default(), &mut Vec::new());
        let gid = Gid::new("g").unwrap();
        let get = |id| {
            let request = Request::Get { gid: gid.clone(), wait: Wait::No };
            Input::Request { id: RequestId(id), request }
        };
        let found = || {
            let (gid, records, forgotten) = (gid.clone(), Vec::new(), Timestamp(0));
            Input::Found { gid, records, forgotten }
        };
        assert_eq!(look_ups(&mut driver, get(1)), 1);
        assert_eq!(look_ups(&mut driver, get(2)), 0);
        assert_eq!(look_ups(&mut driver, Input::Gone { id: RequestId(1) }), 0);
        assert_eq!(look_ups(&mut driver, Input::Gone { id: RequestId(2) }), 0);
        assert_eq!(look_ups(&mut driver, get(3)), 0, "the first is still under way");
        assert_eq!(look_ups(&mut driver, found()), 0);
        assert_eq!(look_ups(&mut driver, get(4)), 1, "the first was answered");
    }
}

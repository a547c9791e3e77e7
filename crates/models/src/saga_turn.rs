//! The saga's turn: three steps, two of them side by side, a crash between the turn and the first
//! compensation, lost answers, and refusals that are kept or not.

use crate::coordinator::{Coordinator, Frees, Known, Left, limits};
use crate::participant::{Business, Late, Letter, Marks, Participant, code_of};
use crate::plan::{Plan, branch, request};
use crate::run::{Subject, counter_example, explore};
use stateright::{Model, Property};
use wholly_core::barrier;
use wholly_core::branch::{Answer, Op};
use wholly_core::effect::Call;
use wholly_core::ids::{BranchId, Text};
use wholly_core::input::Wait;
use wholly_core::mutants::{self, Mutant};
use wholly_core::record::Decision;

pub(crate) const SUBJECT: Subject = Subject {
    name: "saga-turn",
    explore: || explore(SagaTurn { mutant: None }),
    wrong: &[
        ("call-before-sync", || counter_example(SagaTurn { mutant: Some(Mutant::CallBeforeSync) })),
        ("turn-compensates-finished-only", || {
            counter_example(SagaTurn { mutant: Some(Mutant::TurnSkipsUnknown) })
        }),
        ("refused-left-alone", || {
            counter_example(SagaTurn { mutant: Some(Mutant::RefusedLeftAlone) })
        }),
        ("compensation-out-of-order", || {
            counter_example(SagaTurn { mutant: Some(Mutant::CompensatesAtOnce) })
        }),
    ],
};

/// Order first, then stock and points side by side.
const PLAN: Plan = Plan {
    gid: "g",
    digest: 1,
    steps: &[("order", &[]), ("stock", &["order"]), ("points", &["order"])],
};

/// The model.
struct SagaTurn {
    /// A bug of core, switched on for whichever thread takes a step.
    mutant: Option<Mutant>,
}

#[derive(Clone, PartialEq, Hash)]
struct State {
    coordinator: Coordinator,
    participant: Participant,
    late: Late,
    budget: Budget,
    sights: Sights,
    broken: Option<&'static str>,
}

/// How much of each fault is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    crashes: u8,
    lost_answers: u8,
    refusals: u8,
    aborts: u8,
}

/// What was seen on the way and cannot be told from the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Sights {
    /// It crashed after the turn was durable, and no compensation had left.
    crashed_in_turn: bool,
    /// The answer to an action that had been done was lost.
    lost_done: bool,
    /// A copy of an action was refused, and nothing kept that.
    refused_this_copy: bool,
    /// An action came after its compensation.
    hanging: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The next draft in the log is durable.
    Sync,
    /// The coordinator dies and starts again; so many drafts survived.
    Crash { kept: usize },
    /// A call arrives, and its answer comes back.
    Call { nth: usize, business: Business },
    /// Nobody hears the answer to a call, which may arrive later.
    LosesAnswer { nth: usize },
    /// A copy of a letter arrives that nobody waits for any more.
    Copy { nth: usize, business: Business },
    /// The client changes its mind.
    Abort,
}

impl Model for SagaTurn {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        mutants::switch(self.mutant);
        let mut state = State {
            coordinator: Coordinator::new(limits(), Frees::BelowLimit),
            participant: Participant::new(Marks::Heeded),
            late: Late::default(),
            budget: Budget { crashes: 1, lost_answers: 1, refusals: 1, aborts: 1 },
            sights: Sights::default(),
            broken: None,
        };
        let left = state.coordinator.request(request(1, 1), PLAN.submit(Wait::No));
        state.watch(&left);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        let coordinator = &state.coordinator;
        if coordinator.pending() > 0 {
            actions.push(Action::Sync);
        }
        if state.budget.crashes > 0 {
            let kept = coordinator.durable()..=coordinator.durable() + coordinator.pending();
            actions.extend(kept.map(|kept| Action::Crash { kept }));
        }
        for (nth, call) in coordinator.flying().iter().enumerate() {
            let said = state.said(&Letter::of(call));
            actions.extend(said.map(|business| Action::Call { nth, business }));
            if state.budget.lost_answers > 0 {
                actions.push(Action::LosesAnswer { nth });
            }
        }
        for (nth, letter) in state.late.letters().iter().enumerate() {
            let said = state.said(letter).filter(|said| *said != Business::RefusesThisCopy);
            actions.extend(said.map(|business| Action::Copy { nth, business }));
        }
        if state.budget.aborts > 0 && state.durable().is_some_and(|known| !known.is_ended) {
            actions.push(Action::Abort);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        mutants::switch(self.mutant);
        let mut next = last.clone();
        match action {
            Action::Sync => {
                let left = next.coordinator.sync();
                next.watch(&left);
            }
            Action::Crash { kept } => next.crash(kept),
            Action::Call { nth, business } => {
                let call = last.coordinator.flying()[nth].clone();
                let answer = next.meet(&Letter::of(&call), business);
                let left = next.coordinator.answer(call.id, answer);
                next.watch(&left);
            }
            Action::LosesAnswer { nth } => next.lose_answer(nth),
            Action::Copy { nth, business } => {
                let letter = last.late.letters()[nth].clone();
                next.meet(&letter, business);
                if next == *last {
                    return None;
                }
            }
            Action::Abort => {
                next.budget.aborts -= 1;
                let begun = last.durable()?.begun;
                let left = next.coordinator.request(request(1, 2), PLAN.abort(begun));
                next.watch(&left);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("calls leave in their time", |_, s: &State| s.broken.is_none()),
            Property::always("nothing takes effect twice", |_, s: &State| {
                s.participant.all().all(|(_, effects)| effects.is_once())
            }),
            Property::always(
                "nothing stands after what it came after was taken back",
                |_, s: &State| {
                    PLAN.steps.iter().all(|(later, after)| {
                        let is_back = after.iter().any(|earlier| s.is_back(&branch(earlier)));
                        !is_back || !s.stands(&branch(later))
                    })
                },
            ),
            Property::always("ended committed, every step stands", |_, s: &State| {
                !s.has_ended(Decision::Commit) || PLAN.branches().all(|id| s.stands(&id))
            }),
            Property::always("ended aborted, no step stands", |_, s: &State| {
                !s.has_ended(Decision::Abort) || !PLAN.branches().any(|id| s.stands(&id))
            }),
            Property::always(
                "ended aborted, whatever may have been called is closed",
                |_, s: &State| {
                    !s.has_ended(Decision::Abort) || s.late.letters().iter().all(|l| s.is_closed(l))
                },
            ),
            Property::sometimes("it commits", |_, s: &State| s.has_ended(Decision::Commit)),
            Property::sometimes("it turns and ends", |_, s: &State| s.has_ended(Decision::Abort)),
            Property::sometimes("a crash between turn and first compensation", |_, s: &State| {
                s.sights.crashed_in_turn && s.has_ended(Decision::Abort)
            }),
            Property::sometimes("a step taken back whose answer was lost", |_, s: &State| {
                s.sights.lost_done && s.has_ended(Decision::Abort)
            }),
            Property::sometimes(
                "one of the group done, taken back for the other",
                |_, s: &State| {
                    let back = |id| s.effects(&branch(id)).back == 1;
                    back("stock") && back("order") && !back("points")
                },
            ),
            Property::sometimes(
                "refused this copy, done by another, taken back",
                |_, s: &State| s.sights.refused_this_copy && s.effects(&branch("points")).back == 1,
            ),
            Property::sometimes("a null compensation", |_, s: &State| {
                PLAN.branches().any(|id| s.row(&id) == Some(&barrier::State::NullCancelled))
            }),
            Property::sometimes("a hanging action", |_, s: &State| s.sights.hanging),
            Property::sometimes("an accept lost in a crash", |_, s: &State| {
                s.budget.crashes == 0 && s.durable().is_none()
            }),
        ]
    }
}

impl State {
    /// What the business may say to a letter.
    fn said(&self, letter: &Letter) -> impl Iterator<Item = Business> + use<> {
        let may_refuse = self.budget.refusals > 0 && self.participant.would_run(letter);
        let refusals = [Business::RefusesForGood, Business::RefusesThisCopy];
        [Business::Does].into_iter().chain(refusals.into_iter().filter(move |_| may_refuse))
    }

    fn meet(&mut self, letter: &Letter, business: Business) -> Answer {
        match business {
            Business::Does => {}
            Business::RefusesForGood => self.budget.refusals -= 1,
            Business::RefusesThisCopy => {
                self.budget.refusals -= 1;
                self.sights.refused_this_copy = true;
            }
        }
        let answer = self.participant.meet(letter, business);
        if code_of(&answer) == Some("hanging") {
            self.sights.hanging = true;
        }
        answer
    }

    fn lose_answer(&mut self, nth: usize) {
        self.budget.lost_answers -= 1;
        let call = self.coordinator.flying()[nth].clone();
        if call.op == Op::Action && self.stands(&call.branch) {
            self.sights.lost_done = true;
        }
        let answer = Answer::Unknown { detail: Text::default() };
        let left = self.coordinator.answer(call.id, answer);
        self.watch(&left);
    }

    fn crash(&mut self, kept: usize) {
        self.budget.crashes -= 1;
        let is_turned = self.durable().is_some_and(Known::is_turned);
        let is_back = self.late.letters().iter().any(|letter| letter.op == Op::Compensate);
        if is_turned && !is_back {
            self.sights.crashed_in_turn = true;
        }
        let left = self.coordinator.restart(kept);
        self.watch(&left);
    }

    /// Every call that leaves is looked at, and a copy of it kept.
    fn watch(&mut self, left: &Left) {
        for call in &left.calls {
            if let Some(what) = self.is_out_of_time(call) {
                self.broken = Some(what);
            }
            self.late.keep(Letter::of(call));
        }
    }

    fn is_out_of_time(&self, call: &Call) -> Option<&'static str> {
        let of_branch = self.coordinator.flying().iter().filter(|one| one.branch == call.branch);
        if of_branch.count() > 1 {
            return Some("two calls of one branch are under way");
        }
        let Some(durable) = self.durable() else {
            return Some("a call left before the accept was durable");
        };
        let is_turned = self.coordinator.applied().iter().any(Known::is_turned);
        match call.op {
            Op::Action if is_turned => Some("an action left after the turn"),
            Op::Compensate if !durable.is_turned() => {
                Some("a compensation left before the turn was durable")
            }
            Op::Action | Op::Compensate => None,
            Op::Try | Op::Confirm | Op::Cancel | Op::Inspect => Some("no op of a saga"),
        }
    }

    fn durable(&self) -> Option<&Known> {
        self.coordinator.known().last()
    }

    fn has_ended(&self, decision: Decision) -> bool {
        self.durable().is_some_and(|known| known.is_ended && known.decision == Some(decision))
    }

    fn effects(&self, id: &BranchId) -> crate::participant::Effects {
        let first = self.late.letters().first();
        let begun = first.map_or_else(Default::default, |letter| letter.mark.begun);
        self.participant.effects(&PLAN.gid(), begun, id)
    }

    fn stands(&self, id: &BranchId) -> bool {
        self.effects(id).stands()
    }

    fn row(&self, id: &BranchId) -> Option<&barrier::State> {
        let mark = &self.late.letters().first()?.mark;
        Some(&self.participant.barrier.row(&PLAN.gid(), id, mark)?.state)
    }

    fn is_back(&self, id: &BranchId) -> bool {
        match self.row(id) {
            Some(barrier::State::Cancelled { .. } | barrier::State::NullCancelled) => true,
            Some(
                barrier::State::Tried { .. }
                | barrier::State::Confirmed { .. }
                | barrier::State::Refused { .. },
            )
            | None => false,
        }
    }

    /// Whether no copy of a letter can have an effect any more.
    fn is_closed(&self, letter: &Letter) -> bool {
        let id = &letter.branch;
        self.is_back(id) || matches!(self.row(id), Some(barrier::State::Refused { .. }))
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("participant", &self.participant).finish_non_exhaustive()
    }
}

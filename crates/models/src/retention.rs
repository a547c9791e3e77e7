//! Retention: a gid is used, forgotten and used again, while calls of its first use are still
//! about and rows of it still lie at the participant.

use crate::coordinator::{Coordinator, Form, Frees, Known, Left, limits};
use crate::participant::{Business, Late, Letter, Marks, Participant, code_of};
use crate::plan::{Plan, branch, request};
use crate::run::{Subject, counter_example, explore};
use stateright::{Model, Property};
use wholly_core::branch::Answer;
use wholly_core::ids::Text;
use wholly_core::input::Wait;
use wholly_core::limits::Limits;
use wholly_core::record::Decision;
use wholly_core::rejection::Rejection;

pub(crate) const SUBJECT: Subject = Subject {
    name: "retention",
    explore: || explore(RIGHT),
    wrong: &[
        ("mark-ignored", || counter_example(Retention { marks: Marks::Ignored, ..RIGHT })),
        ("gid-free-by-age-alone", || counter_example(Retention { frees: Frees::ByAge, ..RIGHT })),
    ],
};

const RIGHT: Retention = Retention { marks: Marks::Heeded, frees: Frees::BelowLimit };
/// One gid used twice, and another transaction that is open for long, at the same participant.
const FIRST: usize = 0;
const SECOND: usize = 1;
const HOLDER: usize = 2;
const PLANS: [Plan; 3] = [
    Plan { gid: "g", digest: 1, steps: &[("stock", &[])] },
    Plan { gid: "g", digest: 2, steps: &[("stock", &[])] },
    Plan { gid: "h", digest: 3, steps: &[("stock", &[])] },
];
/// How long an outcome is known, and how often a mark is written.
const RETENTION_MS: u64 = 1_000;
const TICK_MS: u64 = 1_000;

/// The model.
struct Retention {
    marks: Marks,
    frees: Frees,
}

#[derive(Clone, PartialEq, Hash)]
struct State {
    coordinator: Coordinator,
    participant: Participant,
    late: Late,
    budget: Budget,
    sights: Sights,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    /// Whether each plan may yet be handed over.
    submits: [u8; PLANS.len()],
    ticks: u8,
    crashes: u8,
    refusals: u8,
    lost_answers: u8,
}

/// What was seen on the way and cannot be told from the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Sights {
    /// A call of the first use came after the second was accepted, and was refused as stale.
    stale: bool,
    /// A row of the first use was cleared away.
    cleared: bool,
    /// The gid was asked for again while its first use was known.
    taken: bool,
    /// The second use ran over a row of the first, which counted as absent.
    overwritten: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// A client hands a plan over.
    Submit { plan: usize },
    /// A second passes; the coordinator writes a mark.
    Tick,
    /// Everything in the log becomes durable.
    Sync,
    /// The coordinator dies and starts again; so many drafts survived.
    Crash { kept: usize },
    /// A call arrives, and its answer comes back.
    Call { nth: usize, business: Business },
    /// Nobody hears the answer to a call.
    LosesAnswer { nth: usize },
    /// A copy of a letter arrives that nobody waits for any more.
    Copy { nth: usize, business: Business },
    /// The participant clears a row below the limit away.
    Clears,
}

impl Model for Retention {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        // With both the holder and crashes there are too many states to go through in a minute.
        let held =
            Budget { submits: [1, 1, 1], ticks: 3, crashes: 0, refusals: 1, lost_answers: 0 };
        let crashing =
            Budget { submits: [1, 2, 0], ticks: 3, crashes: 1, refusals: 1, lost_answers: 1 };
        [held, crashing].map(|budget| self.begin(budget)).into()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let State { coordinator, budget, .. } = state;
        for plan in [SECOND, HOLDER] {
            if budget.submits[plan] > 0 {
                actions.push(Action::Submit { plan });
            }
        }
        if budget.ticks > 0 {
            actions.push(Action::Tick);
        }
        if coordinator.pending() > 0 {
            actions.push(Action::Sync);
        }
        if budget.crashes > 0 {
            let kept = coordinator.durable()..=coordinator.durable() + coordinator.pending();
            actions.extend(kept.map(|kept| Action::Crash { kept }));
        }
        for (nth, call) in coordinator.flying().iter().enumerate() {
            let said = state.said(&Letter::of(call));
            actions.extend(said.map(|business| Action::Call { nth, business }));
            if budget.lost_answers > 0 {
                actions.push(Action::LosesAnswer { nth });
            }
        }
        for (nth, letter) in state.late.letters().iter().enumerate() {
            let said = state.said(letter).filter(|said| *said != Business::RefusesThisCopy);
            actions.extend(said.map(|business| Action::Copy { nth, business }));
        }
        actions.push(Action::Clears);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        match action {
            Action::Submit { plan } => next.submit(plan),
            Action::Tick => {
                next.budget.ticks -= 1;
                let left = next.coordinator.pass(TICK_MS);
                next.watch(left);
            }
            Action::Sync => {
                let left = next.coordinator.sync_all();
                next.watch(left);
            }
            Action::Crash { kept } => {
                next.budget.crashes -= 1;
                let left = next.coordinator.restart(kept);
                next.watch(left);
            }
            Action::Call { nth, business } => {
                let call = last.coordinator.flying()[nth].clone();
                let answer = next.meet(&Letter::of(&call), business);
                let left = next.coordinator.answer(call.id, answer);
                next.watch(left);
            }
            Action::LosesAnswer { nth } => {
                next.budget.lost_answers -= 1;
                let answer = Answer::Unknown { detail: Text::default() };
                let left = next.coordinator.answer(last.coordinator.flying()[nth].id, answer);
                next.watch(left);
            }
            Action::Copy { nth, business } => {
                next.meet(&last.late.letters()[nth].clone(), business);
            }
            Action::Clears => {
                if next.participant.barrier.clear(1) > 0 {
                    next.sights.cleared = true;
                }
            }
        }
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing takes effect twice", |_, s: &State| {
                s.participant.all().all(|(_, effects)| effects.is_once())
            }),
            Property::always("ended committed, that very use stands", |_, s: &State| {
                s.ended(Decision::Commit).all(|known| s.effects(known).stands())
            }),
            Property::always("ended aborted, nothing of that use stands", |_, s: &State| {
                s.ended(Decision::Abort).all(|known| !s.effects(known).stands())
            }),
            Property::always("what stands is known", |_, s: &State| {
                let known = s.coordinator.known();
                s.participant.all().all(|((gid, begun, _), _)| {
                    known.iter().any(|one| one.gid == *gid && one.begun == *begun)
                })
            }),
            Property::sometimes("both uses stand", |_, s: &State| {
                [FIRST, SECOND].iter().all(|plan| {
                    s.of(*plan).is_some_and(|known| s.effects(known).stands() && known.is_ended)
                })
            }),
            Property::sometimes("the first taken back, the second stands", |_, s: &State| {
                s.of(FIRST).is_some_and(|known| s.effects(known).back == 1)
                    && s.of(SECOND).is_some_and(|known| s.effects(known).stands())
            }),
            Property::sometimes("a late call of the first use is stale", |_, s: &State| {
                s.sights.stale
            }),
            Property::sometimes("a row of the first use cleared away", |_, s: &State| {
                s.sights.cleared
            }),
            Property::sometimes("the gid is taken while its first use is known", |_, s: &State| {
                s.sights.taken
            }),
            Property::sometimes("the second use meets a row of the first", |_, s: &State| {
                s.sights.overwritten
            }),
            Property::sometimes("a crash between both uses", |_, s: &State| {
                s.budget.crashes == 0 && s.of(SECOND).is_some_and(|known| known.is_ended)
            }),
        ]
    }
}

impl Retention {
    /// The first use is handed over.
    fn begin(&self, budget: Budget) -> State {
        let limits = Limits { retention_ms: RETENTION_MS, ..limits() };
        let mut state = State {
            coordinator: Coordinator::new(limits, self.frees),
            participant: Participant::new(self.marks),
            late: Late::default(),
            budget,
            sights: Sights::default(),
        };
        state.submit(FIRST);
        state
    }
}

impl State {
    fn submit(&mut self, plan: usize) {
        self.budget.submits[plan] -= 1;
        let client = u8::try_from(plan).expect("few plans");
        let id = request(client, self.budget.submits[plan]);
        let left = self.coordinator.request(id, PLANS[plan].submit(Wait::No));
        self.watch(left);
    }

    /// What the business may say to a letter.
    fn said(&self, letter: &Letter) -> impl Iterator<Item = Business> + use<> {
        let may_refuse = self.budget.refusals > 0 && self.participant.would_run(letter);
        let refusals = [Business::RefusesForGood, Business::RefusesThisCopy];
        [Business::Does].into_iter().chain(refusals.into_iter().filter(move |_| may_refuse))
    }

    fn meet(&mut self, letter: &Letter, business: Business) -> Answer {
        match business {
            Business::Does => {}
            Business::RefusesForGood | Business::RefusesThisCopy => self.budget.refusals -= 1,
        }
        let (rows, runs) = (self.participant.barrier.len(), self.participant.would_run(letter));
        let answer = self.participant.meet(letter, business);
        if code_of(&answer) == Some("stale") && self.of(SECOND).is_some() {
            self.sights.stale = true;
        }
        let is_kept = business == Business::Does && self.participant.barrier.len() == rows;
        if runs && is_kept {
            self.sights.overwritten = true;
        }
        answer
    }

    fn watch(&mut self, left: Left) {
        for call in &left.calls {
            self.late.keep(Letter::of(call));
        }
        for (_, reply) in left.replies {
            if matches!(reply, Err(Rejection::GidTaken { .. })) {
                self.sights.taken = true;
            }
        }
    }

    /// A plan as the durable log has it.
    fn of(&self, plan: usize) -> Option<&Known> {
        let form = Form::Plan(PLANS[plan].digest());
        self.coordinator.known().iter().find(|known| known.form == form)
    }

    fn ended(&self, decision: Decision) -> impl Iterator<Item = &Known> {
        let known = self.coordinator.known().iter();
        known.filter(move |one| one.is_ended && one.decision == Some(decision))
    }

    fn effects(&self, known: &Known) -> crate::participant::Effects {
        self.participant.effects(&known.gid, known.begun, &branch("stock"))
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("participant", &self.participant).finish_non_exhaustive()
    }
}

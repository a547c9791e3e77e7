//! Re-submission with amnesia: a plan is handed over again after a crash that lost its accept, or
//! after an older copy of the log was put back, while the participants kept their rows.

use crate::coordinator::{Coordinator, Form, Frees, Known, Left, Reply, limits};
use crate::participant::{Business, Late, Letter, Marks, Participant};
use crate::plan::{LONG, Plan, branch, request};
use crate::run::{Subject, counter_example, explore};
use stateright::{Model, Property};
use wholly_core::branch::Answer;
use wholly_core::document::Response;
use wholly_core::ids::Text;
use wholly_core::mutants::{self, Mutant};
use wholly_core::record::Decision;
use wholly_core::rejection::Rejection;

pub(crate) const SUBJECT: Subject = Subject {
    name: "resubmission",
    explore: || explore(RIGHT),
    wrong: &[
        ("call-before-sync", || {
            counter_example(Resubmission { mutant: Some(Mutant::CallBeforeSync), ..RIGHT })
        }),
        ("reply-before-sync", || {
            counter_example(Resubmission { mutant: Some(Mutant::ReplyBeforeSync), ..RIGHT })
        }),
        ("letters-outlive-a-restore", || {
            counter_example(Resubmission { letters: Letters::OutliveRestore, ..RIGHT })
        }),
        ("aborted-after-a-restore", || {
            counter_example(Resubmission { aborts: Aborts::Always, ..RIGHT })
        }),
    ],
};

const RIGHT: Resubmission =
    Resubmission { letters: Letters::GoneAtRestore, aborts: Aborts::BeforeRestore, mutant: None };
/// The plan and another one under the same gid.
const PLANS: [Plan; 2] = [
    Plan { gid: "g", digest: 1, steps: &[("order", &[]), ("stock", &["order"])] },
    Plan { gid: "g", digest: 2, steps: &[("stock", &[])] },
];
/// Longer than the network keeps a letter.
const RESTORE_MS: u64 = 10_000;

/// The model.
struct Resubmission {
    letters: Letters,
    aborts: Aborts,
    /// A bug of core, switched on for whichever thread takes a step.
    mutant: Option<Mutant>,
}

/// Until when the client may change its mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aborts {
    BeforeRestore,
    /// After a restore too, when steps may stand that this life has never called and will not
    /// take back: more than is promised for a log that went back in time.
    Always,
}

/// What becomes of letters of the life before when an older copy of the log is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    /// By the time it is put back, the network keeps none.
    GoneAtRestore,
    /// They may still arrive: more than is promised for a log that went back in time.
    OutliveRestore,
}

#[derive(Clone, PartialEq, Hash)]
struct State {
    coordinator: Coordinator,
    participant: Participant,
    late: Late,
    budget: Budget,
    memory: Memory,
    /// What the client was told of each plan.
    told: [Option<Told>; PLANS.len()],
    broken: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    submits: [u8; PLANS.len()],
    crashes: u8,
    restores: u8,
    refusals: u8,
    lost_answers: u8,
    aborts: u8,
}

/// Whether the log went back behind what was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Memory {
    Whole,
    Restored,
}

/// A final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    Decided(Decision),
    GidTaken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The client hands a plan over, for the first time or again.
    Submit { plan: usize },
    /// The next draft in the log is durable.
    Sync,
    /// The coordinator dies and starts again; so many drafts survived.
    Crash { kept: usize },
    /// The coordinator starts with an older copy of its log.
    Restore { kept: usize },
    /// A call arrives, and its answer comes back.
    Call { nth: usize, business: Business },
    /// Nobody hears the answer to a call.
    LosesAnswer { nth: usize },
    /// A copy of a letter arrives that nobody waits for any more.
    Copy { nth: usize, business: Business },
    /// The client changes its mind.
    Abort,
}

impl Model for Resubmission {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        mutants::switch(self.mutant);
        vec![State {
            coordinator: Coordinator::new(limits(), Frees::BelowLimit),
            participant: Participant::new(Marks::Heeded),
            late: Late::default(),
            budget: Budget {
                submits: [3, 1],
                crashes: 1,
                restores: 1,
                refusals: 1,
                lost_answers: 1,
                aborts: 1,
            },
            memory: Memory::Whole,
            told: [None; PLANS.len()],
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        let State { coordinator, budget, .. } = state;
        if budget.submits[0] > 0 {
            actions.push(Action::Submit { plan: 0 });
        }
        // Another plan over rows of the first is nothing that a copy of the log could mend.
        if budget.submits[1] > 0 && state.memory == Memory::Whole {
            actions.push(Action::Submit { plan: 1 });
        }
        if coordinator.pending() > 0 {
            actions.push(Action::Sync);
        }
        if budget.crashes > 0 {
            let kept = coordinator.durable()..=coordinator.durable() + coordinator.pending();
            actions.extend(kept.map(|kept| Action::Crash { kept }));
        }
        if budget.restores > 0 && budget.submits[1] > 0 {
            actions.extend((0..coordinator.durable()).map(|kept| Action::Restore { kept }));
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
        let may_abort = state.memory == Memory::Whole || self.aborts == Aborts::Always;
        if may_abort && budget.aborts > 0 && state.durable().is_some_and(|known| !known.is_ended) {
            actions.push(Action::Abort);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        mutants::switch(self.mutant);
        let mut next = last.clone();
        let left = match action {
            Action::Submit { plan } => {
                next.budget.submits[plan] -= 1;
                let client = u8::try_from(plan).expect("two plans");
                let id = request(client, next.budget.submits[plan]);
                next.coordinator.request(id, PLANS[plan].submit(LONG))
            }
            Action::Sync => next.coordinator.sync(),
            Action::Crash { kept } => {
                next.budget.crashes -= 1;
                next.coordinator.restart(kept)
            }
            Action::Restore { kept } => {
                next.budget.restores -= 1;
                next.memory = Memory::Restored;
                if self.letters == Letters::GoneAtRestore {
                    next.late.forget();
                }
                next.coordinator.restore(kept, RESTORE_MS)
            }
            Action::Call { nth, business } => {
                let call = last.coordinator.flying()[nth].clone();
                let answer = next.meet(&Letter::of(&call), business);
                next.coordinator.answer(call.id, answer)
            }
            Action::LosesAnswer { nth } => {
                next.budget.lost_answers -= 1;
                let answer = Answer::Unknown { detail: Text::default() };
                next.coordinator.answer(last.coordinator.flying()[nth].id, answer)
            }
            Action::Copy { nth, business } => {
                next.meet(&last.late.letters()[nth].clone(), business);
                if next == *last {
                    return None;
                }
                Left::default()
            }
            Action::Abort => {
                next.budget.aborts -= 1;
                let known = last.durable()?;
                next.coordinator.request(request(9, 0), known.plan()?.abort(known.begun))
            }
        };
        next.watch(left);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("answers are durable, and one for each plan", |_, s: &State| {
                s.broken.is_none()
            }),
            Property::always("a gid is accepted once", |_, s: &State| {
                s.coordinator.known().len() <= 1
            }),
            Property::always("nothing takes effect twice", |_, s: &State| {
                ["order", "stock"].iter().all(|id| s.summed(id).is_once())
            }),
            Property::always("what stands is known, unless the log went back", |_, s: &State| {
                let stands = ["order", "stock"].iter().any(|id| s.summed(id).stands());
                !stands || s.memory == Memory::Restored || s.durable().is_some()
            }),
            Property::always("ended, it stands wholly or not at all", |_, s: &State| {
                s.durable().is_none_or(|known| !known.is_ended || s.is_whole(known))
            }),
            Property::sometimes("an accept lost, the plan handed over again", |_, s: &State| {
                s.budget.crashes == 0
                    && s.memory == Memory::Whole
                    && s.durable().is_some_and(|known| known.begun.0 > 1_000_000)
                    && s.has_ended(Decision::Commit)
            }),
            Property::sometimes("another plan hears that the gid is taken", |_, s: &State| {
                s.told == [Some(Told::Decided(Decision::Commit)), Some(Told::GidTaken)]
            }),
            Property::sometimes("another plan is first after a lost accept", |_, s: &State| {
                s.told == [Some(Told::GidTaken), Some(Told::Decided(Decision::Commit))]
            }),
            Property::sometimes("told aborted", |_, s: &State| {
                s.told[0] == Some(Told::Decided(Decision::Abort))
            }),
            Property::sometimes("after a restore its own rows answer", |_, s: &State| {
                s.has_ended(Decision::Commit)
                    && s.memory == Memory::Restored
                    && s.durable().is_some_and(|known| {
                        let gid = &known.gid;
                        s.participant.effects(gid, known.begun, &branch("stock")).forth == 0
                    })
            }),
            Property::sometimes("after a restore what stood is taken back", |_, s: &State| {
                s.has_ended(Decision::Abort)
                    && s.memory == Memory::Restored
                    && s.summed("order").back == 1
                    && s.summed("stock").back == 1
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
            Business::RefusesForGood | Business::RefusesThisCopy => self.budget.refusals -= 1,
        }
        self.participant.meet(letter, business)
    }

    fn watch(&mut self, left: Left) {
        for call in &left.calls {
            self.late.keep(Letter::of(call));
        }
        for (to, reply) in left.replies {
            let plan = usize::try_from(to.0 >> 8).expect("a client's number");
            if plan < PLANS.len() {
                self.hear(plan, &(to, reply));
            }
        }
    }

    fn hear(&mut self, plan: usize, (_, reply): &Reply) {
        let told = match reply {
            Ok(Response::Submitted { document, .. }) => match document.decision {
                Some(decision) => Told::Decided(decision),
                None => return,
            },
            Err(Rejection::GidTaken { .. }) => Told::GidTaken,
            other => unreachable!("no answer to a plan: {other:?}"),
        };
        let durable = self.durable();
        let is_own = durable.and_then(Known::plan).map(|p| p.digest);
        let is_durable = match told {
            Told::Decided(decision) => {
                durable.is_some_and(|known| known.decision == Some(decision))
                    && is_own == Some(PLANS[plan].digest)
            }
            Told::GidTaken => is_own.is_some_and(|digest| digest != PLANS[plan].digest),
        };
        if !is_durable {
            self.broken = Some("told what is not durable");
        }
        if self.memory == Memory::Whole && self.told[plan].is_some_and(|before| before != told) {
            self.broken = Some("told two different answers");
        }
        self.told[plan] = Some(told);
    }

    fn durable(&self) -> Option<&Known> {
        self.coordinator.known().last()
    }

    fn has_ended(&self, decision: Decision) -> bool {
        self.durable().is_some_and(|known| known.is_ended && known.decision == Some(decision))
    }

    fn summed(&self, id: &str) -> crate::participant::Effects {
        self.participant.summed(&PLANS[0].gid(), &branch(id))
    }

    /// Whether everything of a committed plan stands, or nothing of an aborted one.
    fn is_whole(&self, known: &Known) -> bool {
        let Some(plan) = known.plan() else { return false };
        let stands = |id| self.participant.summed(&known.gid, &id).stands();
        match known.decision {
            Some(Decision::Commit) => plan.branches().all(stands),
            Some(Decision::Abort) => !plan.branches().any(stands),
            None => false,
        }
    }
}

impl Known {
    /// Which plan it is.
    fn plan(&self) -> Option<Plan> {
        PLANS.into_iter().find(|plan| self.form == Form::Plan(plan.digest()))
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("participant", &self.participant).finish_non_exhaustive()
    }
}

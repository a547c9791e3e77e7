//! The barrier in all orders: any call may arrive at any time and any number of times, a refusal
//! is written in a transaction of its own, rows are cleared away; and little is to be expected.

use crate::participant::Effects;
use crate::run::{Subject, counter_example, explore};
use stateright::{Model, Property};
use wholly_core::barrier::{Barrier, Inspection, Verdict, done};
use wholly_core::branch::{Answer, Op};
use wholly_core::effect::Mark;
use wholly_core::ids::{Body, BranchId, Code, Gid, Origin, Text};
use wholly_core::time::Timestamp;

pub(crate) const SUBJECT: Subject = Subject {
    name: "barrier",
    explore: || explore(Orders { bug: None }),
    wrong: &[
        ("null-not-remembered", || counter_example(Orders { bug: Some(Bug::NullNotRemembered) })),
        ("refusal-not-written", || counter_example(Orders { bug: Some(Bug::RefusalNotWritten) })),
        ("row-by-branch-alone", || counter_example(Orders { bug: Some(Bug::RowByBranchAlone) })),
        ("mark-ignored", || counter_example(Orders { bug: Some(Bug::MarkIgnored) })),
        ("earlier-use-believed", || counter_example(Orders { bug: Some(Bug::EarlierUseBelieved) })),
    ],
};

/// Two branches of one transaction, and one of another that has the name of the first.
const KEYS: [(&str, &str); 3] = [("g", "stock"), ("g", "points"), ("h", "stock")];
/// The branch whose gid had been used before.
const EARLIER: usize = 0;
const OPS: [Op; 6] = [Op::Try, Op::Confirm, Op::Cancel, Op::Action, Op::Compensate, Op::Inspect];
/// Refusals of one branch that may be on their way into its row at once.
const REFUSALS_MAX: u8 = 2;

/// The model.
struct Orders {
    bug: Option<Bug>,
}

/// What is wrong with a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// A cancel that meets no row leaves none.
    NullNotRemembered,
    /// A refusal is answered kept, and its row went with the rollback.
    RefusalNotWritten,
    /// Two transactions with branches of one name share a row.
    RowByBranchAlone,
    /// Calls below the limit are treated like any other.
    MarkIgnored,
    /// A call is answered by a row that is there, whichever use of the gid wrote it.
    EarlierUseBelieved,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    barrier: Barrier,
    branches: [Branch; KEYS.len()],
    age: Age,
    broken: Option<&'static str>,
    seen: Option<Seen>,
}

/// What happened at a branch and what was promised of it: all that a participant's callers rely
/// on, without a word of how it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Branch {
    effects: Effects,
    /// Refusals whose local transaction was rolled back and whose row is not written.
    refusing: u8,
    /// Somebody was told that nothing of it stands.
    undone_told: bool,
    /// Somebody was told that it was refused, for good.
    refused_told: bool,
    /// Somebody was told that it is confirmed.
    confirmed_told: bool,
}

/// Whether its transaction ended longer ago than anything is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Age {
    Live,
    Over,
}

/// What the last action showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Seen {
    Null,
    Hanging,
    Illegal,
    Stale,
    /// A call of an earlier use of the gid that met the row of this one.
    Earlier,
    KeptRefusal,
    DoneWhileRefusing,
    Cleared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// A call arrives; a first op that is run is done.
    Call { branch: usize, op: Op },
    /// A first op that is run is refused by the business, and rolled back.
    Refuses { branch: usize, op: Op },
    /// A call of an earlier use of the gid has waited for the row of this one, with the limits of
    /// before; or comes when the row is gone.
    Late { op: Op },
    /// The refusal is written into the row, in a transaction of its own.
    WritesRefusal { branch: usize },
    /// A call of a much later transaction arrives, with a limit above all of these.
    Ages,
    /// One row below the limit is cleared away.
    Clears,
}

impl Model for Orders {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            barrier: Barrier::default(),
            branches: [Branch::default(); KEYS.len()],
            age: Age::Live,
            broken: None,
            seen: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        for (branch, stands) in state.branches.iter().enumerate() {
            for op in OPS {
                actions.push(Action::Call { branch, op });
                if matches!(op, Op::Try | Op::Action) && stands.refusing < REFUSALS_MAX {
                    actions.push(Action::Refuses { branch, op });
                }
            }
            if stands.refusing > 0 {
                actions.push(Action::WritesRefusal { branch });
            }
        }
        // Where neither is so, it may be that the earlier use has nothing to do with this one yet.
        if state.branches[EARLIER].has_row() || state.age == Age::Over {
            actions.extend(OPS.map(|op| Action::Late { op }));
        }
        actions.extend([Action::Ages, Action::Clears]);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = State { seen: None, ..last.clone() };
        match action {
            Action::Call { branch, op } => self.call(&mut next, branch, op),
            Action::Late { op } => self.late(&mut next, op),
            Action::Refuses { branch, op } => {
                let (gid, id) = self.key(branch);
                if next.barrier.meet(&gid, &id, op, &self.mark()) != Verdict::Run {
                    return None;
                }
                next.branches[branch].refusing += 1;
            }
            Action::WritesRefusal { branch } => self.write_refusal(&mut next, branch),
            Action::Ages => {
                let (gid, id) = (name("later"), BranchId::new("other").expect("a valid name"));
                let mark = Mark { begun: Timestamp(300), limit: Timestamp(200), ..mark() };
                // It meets no row and writes none: only its mark is taken in.
                next.barrier.meet(&gid, &id, Op::Confirm, &mark);
                next.age = Age::Over;
            }
            Action::Clears => {
                if next.barrier.clear(1) == 0 {
                    return None;
                }
                next.seen = Some(Seen::Cleared);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing takes effect twice", |_, state: &State| {
                state.branches.iter().all(|branch| {
                    let Effects { forth, confirmed, back } = branch.effects;
                    forth <= 1 && confirmed <= 1 && back <= 1
                })
            }),
            Property::always(
                "only what was done is confirmed or taken back",
                |_, state: &State| {
                    state.branches.iter().all(|branch| {
                        let Effects { forth, confirmed, back } = branch.effects;
                        confirmed + back <= forth
                    })
                },
            ),
            Property::always("told undone, nothing stands", |_, state: &State| {
                state.branches.iter().all(|b| !b.undone_told || !b.effects.stands())
            }),
            Property::always("told refused for good, nothing happened", |_, state: &State| {
                state.branches.iter().all(|b| !b.refused_told || b.effects.forth == 0)
            }),
            Property::always("told confirmed, it is", |_, state: &State| {
                state.branches.iter().all(|b| !b.confirmed_told || b.effects.confirmed == 1)
            }),
            Property::always("every answer tells what happened", |_, state: &State| {
                state.broken.is_none()
            }),
            Property::sometimes("a null compensation", |_, s: &State| s.seen == Some(Seen::Null)),
            Property::sometimes("a hanging try", |_, s: &State| s.seen == Some(Seen::Hanging)),
            Property::sometimes("an illegal order", |_, s: &State| s.seen == Some(Seen::Illegal)),
            Property::sometimes("a stale call", |_, s: &State| s.seen == Some(Seen::Stale)),
            Property::sometimes("a call of an earlier use", |_, s: &State| {
                s.seen == Some(Seen::Earlier)
            }),
            Property::sometimes("a kept refusal", |_, s: &State| s.seen == Some(Seen::KeptRefusal)),
            Property::sometimes("a copy done while another was refused", |_, s: &State| {
                s.seen == Some(Seen::DoneWhileRefusing)
            }),
            Property::sometimes("a row cleared", |_, s: &State| s.seen == Some(Seen::Cleared)),
            Property::sometimes("one confirmed, one undone, one refused", |_, s: &State| {
                s.branches[0].confirmed_told
                    && s.branches[1].effects.back == 1
                    && s.branches[2].refused_told
            }),
        ]
    }
}

impl Orders {
    fn key(&self, branch: usize) -> (Gid, BranchId) {
        let (gid, id) = KEYS[branch];
        let gid = match self.bug {
            Some(Bug::RowByBranchAlone) => "any",
            Some(
                Bug::NullNotRemembered
                | Bug::RefusalNotWritten
                | Bug::MarkIgnored
                | Bug::EarlierUseBelieved,
            )
            | None => gid,
        };
        (name(gid), BranchId::new(id).expect("a valid name"))
    }

    fn mark(&self) -> Mark {
        match self.bug {
            Some(Bug::MarkIgnored) => Mark { begun: Timestamp(u64::MAX), ..mark() },
            Some(
                Bug::NullNotRemembered
                | Bug::RefusalNotWritten
                | Bug::RowByBranchAlone
                | Bug::EarlierUseBelieved,
            )
            | None => mark(),
        }
    }

    /// A call from its arrival to its answer, in one local transaction.
    fn call(&self, state: &mut State, branch: usize, op: Op) {
        let (gid, id) = self.key(branch);
        let before = state.barrier.clone();
        let answer = match state.barrier.meet(&gid, &id, op, &self.mark()) {
            Verdict::Run => {
                let stands = &mut state.branches[branch];
                stands.effects.forth += 1;
                state.barrier.keep(&gid, &id, &self.mark(), reply(branch))
            }
            Verdict::Follow { next, .. } => {
                let effects = &mut state.branches[branch].effects;
                match op {
                    Op::Confirm => effects.confirmed += 1,
                    Op::Cancel | Op::Compensate => effects.back += 1,
                    Op::Try | Op::Action | Op::Inspect => {
                        state.broken = Some("a first op or an inspection follows a row");
                    }
                }
                state.barrier.follow(&gid, &id, next)
            }
            Verdict::Remember => {
                if self.bug == Some(Bug::NullNotRemembered) {
                    state.barrier = before;
                }
                state.seen = Some(Seen::Null);
                done(Body::default())
            }
            Verdict::Answer(answer) => answer,
            Verdict::Inspected(inspection) => {
                let is_same = state.barrier == before;
                let word = match &inspection {
                    Inspection::None => "none",
                    Inspection::Found(found) => found.word(),
                };
                if !is_same || word != state.branches[branch].word() {
                    state.broken = Some("an inspection changed something, or said what is not so");
                }
                return;
            }
        };
        state.hear(branch, op, &answer);
    }

    /// A call of an earlier use, from its arrival to its answer: stale, and nothing is changed.
    fn late(&self, state: &mut State, op: Op) {
        let (gid, id) = self.key(EARLIER);
        let mark = match self.bug {
            Some(Bug::EarlierUseBelieved) => self.mark(),
            Some(
                Bug::NullNotRemembered
                | Bug::RefusalNotWritten
                | Bug::RowByBranchAlone
                | Bug::MarkIgnored,
            )
            | None => Mark { begun: Timestamp(50), ..mark() },
        };
        let before = state.barrier.clone();
        let stale = wholly_core::barrier::stale();
        match state.barrier.meet(&gid, &id, op, &mark) {
            Verdict::Answer(answer) if answer == stale && state.barrier == before => {
                state.seen = Some(Seen::Earlier);
            }
            Verdict::Answer(_)
            | Verdict::Run
            | Verdict::Follow { .. }
            | Verdict::Remember
            | Verdict::Inspected(_) => {
                state.broken = Some("a call of an earlier use has a part in this one");
            }
        }
    }

    fn write_refusal(&self, state: &mut State, branch: usize) {
        let (gid, id) = self.key(branch);
        let why = || (code("none_left"), Text::default());
        state.branches[branch].refusing -= 1;
        let answer = match self.bug {
            Some(Bug::RefusalNotWritten) => {
                let (code, detail) = why();
                wholly_core::barrier::refused(code, detail)
            }
            Some(
                Bug::NullNotRemembered
                | Bug::RowByBranchAlone
                | Bug::MarkIgnored
                | Bug::EarlierUseBelieved,
            )
            | None => state.barrier.refuse(&gid, &id, &self.mark(), why()),
        };
        if matches!(answer, Answer::Done { .. }) {
            state.seen = Some(Seen::DoneWhileRefusing);
        }
        state.hear(branch, Op::Try, &answer);
    }
}

impl State {
    /// An answer is a promise: it must tell what happened, and stay so.
    fn hear(&mut self, branch: usize, op: Op, answer: &Answer) {
        let is_over = self.age == Age::Over;
        let stands = &mut self.branches[branch];
        let word = match answer {
            Answer::Done { .. } => "done",
            Answer::Refused(refusal) => refusal.code.as_str(),
            Answer::Working | Answer::Unknown { .. } => "nothing",
        };
        let is_so = match (word, op) {
            ("stale", _) => is_over,
            _ if is_over => false,
            ("done", Op::Try | Op::Action) => {
                let is_own = matches!(answer, Answer::Done { reply: r, .. } if *r == reply(branch));
                stands.effects.forth == 1 && stands.effects.back == 0 && is_own
            }
            ("done", Op::Confirm) => {
                stands.confirmed_told = true;
                true
            }
            ("done", Op::Cancel | Op::Compensate) => {
                stands.undone_told = true;
                true
            }
            ("none_left", Op::Try | Op::Action) => {
                stands.refused_told = true;
                self.seen = Some(Seen::KeptRefusal);
                true
            }
            ("hanging", Op::Try | Op::Action) => {
                self.seen = Some(Seen::Hanging);
                stands.undone_told
            }
            ("illegal_order", Op::Confirm) => {
                self.seen = Some(Seen::Illegal);
                stands.effects.confirmed == 0 && !stands.effects.stands()
            }
            ("illegal_order", Op::Cancel | Op::Compensate) => stands.effects.confirmed == 1,
            _ => false,
        };
        if word == "stale" {
            self.seen = Some(Seen::Stale);
        }
        if !is_so {
            self.broken = Some("an answer does not tell what happened");
        }
    }
}

impl Branch {
    /// Whether something was done or promised that only a row can know.
    fn has_row(&self) -> bool {
        self.effects.forth > 0 || self.undone_told || self.refused_told
    }

    /// What an inspection should say, from what happened and was promised.
    fn word(&self) -> &'static str {
        let Effects { forth, confirmed, back } = self.effects;
        match (forth, confirmed, back) {
            (0, ..) if self.refused_told => "refused",
            (0, ..) if self.undone_told => "null_cancelled",
            (0, ..) => "none",
            (_, 0, 0) => "tried",
            (_, 0, _) => "cancelled",
            (_, _, _) => "confirmed",
        }
    }
}

fn mark() -> Mark {
    let origin = Origin::new("log").expect("a valid name");
    Mark { origin, begun: Timestamp(100), limit: Timestamp(0) }
}

fn name(text: &str) -> Gid {
    Gid::new(text).expect("a valid name")
}

fn code(text: &str) -> Code {
    Code::new(text).expect("a valid name")
}

/// Each branch has a reply of its own.
fn reply(branch: usize) -> Body {
    Body::new(&[u8::try_from(branch).expect("few branches")])
}

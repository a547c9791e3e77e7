//! Two initiators of one gid: begins that are lost in a crash, messages that come late or twice or
//! not at all, and each is told one thing, once.

use crate::coordinator::{Coordinator, Form, Frees, Known, Left, limits};
use crate::participant::{Business, Late, Letter, Marks, Participant};
use crate::plan::{branch, principal};
use crate::run::{Subject, counter_example, explore};
use stateright::{Model, Property};
use std::collections::{BTreeMap, BTreeSet};
use wholly_core::branch::{Answer, BranchSpec, Caller, Direction, Mode};
use wholly_core::document::{Document, Response, TryAnswer};
use wholly_core::ids::{Body, Destination, Gid, Name, Operation, RequestId, Text};
use wholly_core::input::{Abort, Begin, Commit, GidSource, Register, Request, Wait};
use wholly_core::mutants::{self, Mutant};
use wholly_core::record::Decision;
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;

pub(crate) const SUBJECT: Subject = Subject {
    name: "two-initiators",
    explore: || explore(RIGHT),
    wrong: &[
        ("lost-begin-not-recorded", || {
            counter_example(TwoInitiators { lost: LostBegin::AnsweredOnly, ..RIGHT })
        }),
        ("call-before-sync", || {
            counter_example(TwoInitiators { mutant: Some(Mutant::CallBeforeSync), ..RIGHT })
        }),
        ("reply-before-sync", || {
            counter_example(TwoInitiators { mutant: Some(Mutant::ReplyBeforeSync), ..RIGHT })
        }),
    ],
};

const RIGHT: TwoInitiators = TwoInitiators { lost: LostBegin::Recorded, mutant: None };
const INITIATORS: [&str; 2] = ["anna", "bert"];

/// The model.
struct TwoInitiators {
    lost: LostBegin,
    /// A bug of core, switched on for whichever thread takes a step.
    mutant: Option<Mutant>,
}

/// What an action hears whose gid nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LostBegin {
    /// What core says.
    Recorded,
    /// That it is aborted, and nothing is written down: a bug.
    AnsweredOnly,
}

#[derive(Clone, PartialEq, Hash)]
struct State {
    coordinator: Coordinator,
    participant: Participant,
    late: Late,
    initiators: [Initiator; INITIATORS.len()],
    /// Messages on their way to the coordinator.
    wire: BTreeSet<Message>,
    budget: Budget,
    /// Requests that were not answered.
    asked: BTreeMap<RequestId, Message>,
    /// Final answers, by the begun that they are about.
    told: BTreeMap<Timestamp, Told>,
    broken: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    crashes: u8,
    /// Messages that arrive twice, or are sent again because no answer came.
    copies: u8,
    refusals: u8,
    lost_answers: u8,
    /// Initiators that do not wait for the answer to their try.
    impatience: u8,
}

/// How far an initiator has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Initiator {
    Begins,
    Registers { begun: Timestamp },
    Decides { begun: Timestamp, wish: Decision },
    Over,
}

/// What an initiator sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Message {
    from: usize,
    asks: Asks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Asks {
    Begin,
    Register { begun: Timestamp },
    Decide { begun: Timestamp, wish: Decision },
}

/// A final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Told {
    Decided(Decision),
    GidTaken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// A message arrives.
    Arrives(Message),
    /// A message arrives, and a copy of it stays on its way.
    ArrivesTwice(Message),
    /// An initiator that heard nothing asks again.
    AsksAgain { initiator: usize },
    /// An initiator does not wait for its try to be answered, and wants to abort.
    GivesUp { initiator: usize },
    /// The next draft in the log is durable.
    Sync,
    /// The coordinator dies and starts again; so many drafts survived.
    Crash { kept: usize },
    /// A call arrives, and its answer comes back.
    Call { nth: usize, business: Business },
    /// Nobody hears the answer to a call.
    LosesAnswer { nth: usize },
    /// A copy of a letter arrives that nobody waits for any more.
    Copy { nth: usize, business: Business },
}

impl Model for TwoInitiators {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        mutants::switch(self.mutant);
        vec![State {
            coordinator: Coordinator::new(limits(), Frees::BelowLimit),
            participant: Participant::new(Marks::Heeded),
            late: Late::default(),
            initiators: [Initiator::Begins; INITIATORS.len()],
            wire: [0, 1].map(|from| Message { from, asks: Asks::Begin }).into(),
            budget: Budget { crashes: 2, copies: 1, refusals: 1, lost_answers: 1, impatience: 1 },
            asked: BTreeMap::new(),
            told: BTreeMap::new(),
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        let State { coordinator, budget, .. } = state;
        for message in &state.wire {
            actions.push(Action::Arrives(*message));
            if budget.copies > 0 {
                actions.push(Action::ArrivesTwice(*message));
            }
        }
        for (initiator, stage) in state.initiators.iter().enumerate() {
            let message = stage.asks().map(|asks| Message { from: initiator, asks });
            if budget.copies > 0 && message.is_some_and(|sent| !state.wire.contains(&sent)) {
                actions.push(Action::AsksAgain { initiator });
            }
            if budget.impatience > 0 && matches!(stage, Initiator::Registers { .. }) {
                actions.push(Action::GivesUp { initiator });
            }
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
            let said = state.said(letter);
            actions.extend(said.map(|business| Action::Copy { nth, business }));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        mutants::switch(self.mutant);
        let mut next = last.clone();
        match action {
            Action::Arrives(message) => {
                next.wire.remove(&message);
                self.arrive(&mut next, message);
            }
            Action::ArrivesTwice(message) => {
                next.budget.copies -= 1;
                self.arrive(&mut next, message);
            }
            Action::AsksAgain { initiator } => {
                next.budget.copies -= 1;
                let asks = last.initiators[initiator].asks()?;
                next.wire.insert(Message { from: initiator, asks });
            }
            Action::GivesUp { initiator } => {
                next.budget.impatience -= 1;
                let Initiator::Registers { begun } = last.initiators[initiator] else {
                    return None;
                };
                next.go_on(initiator, Initiator::Decides { begun, wish: Decision::Abort });
            }
            Action::Sync => {
                let left = next.coordinator.sync();
                next.watch(left);
            }
            Action::Crash { kept } => {
                next.budget.crashes -= 1;
                next.asked.clear();
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
        }
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one answer, and it is durable", |_, s: &State| s.broken.is_none()),
            Property::always("a gid is accepted once", |_, s: &State| {
                s.coordinator.known().len() <= 1
            }),
            Property::always("nothing takes effect twice", |_, s: &State| {
                s.participant.all().all(|(_, effects)| effects.is_once())
            }),
            Property::always(
                "what happened belongs to the begun that was accepted",
                |_, s: &State| {
                    let known = s.coordinator.known();
                    s.participant.all().all(|((_, begun, _), _)| {
                        known.iter().any(|one| one.begun == *begun && one.form == Form::Open)
                    })
                },
            ),
            Property::always("ended committed, it is confirmed", |_, s: &State| {
                s.ended(Decision::Commit).is_none_or(|known| s.effects(known).confirmed == 1)
            }),
            Property::always("ended aborted, nothing stands", |_, s: &State| {
                s.ended(Decision::Abort).is_none_or(|known| !s.effects(known).stands())
            }),
            Property::sometimes("told committed", |_, s: &State| {
                s.is_told(Told::Decided(Decision::Commit))
            }),
            Property::sometimes("told aborted, having tried", |_, s: &State| {
                s.is_told(Told::Decided(Decision::Abort))
                    && s.ended(Decision::Abort).is_some_and(|known| s.effects(known).back == 1)
            }),
            Property::sometimes("a lost begin answered with a record", |_, s: &State| {
                let lost = s.coordinator.known().iter().find(|known| known.form == Form::Lost);
                lost.is_some_and(|known| s.told.contains_key(&known.begun))
            }),
            Property::sometimes("a lost begin, and the gid is the other's", |_, s: &State| {
                s.is_told(Told::GidTaken) && s.is_told(Told::Decided(Decision::Commit))
            }),
            Property::sometimes("both begins lost, the gid settled as aborted", |_, s: &State| {
                s.told.len() == 2
                    && s.is_told(Told::GidTaken)
                    && s.coordinator.known().iter().any(|known| known.form == Form::Lost)
            }),
            Property::sometimes("a second begin hears that the gid is taken", |_, s: &State| {
                s.told.len() == 1 && s.initiators == [Initiator::Over; INITIATORS.len()]
            }),
        ]
    }
}

impl TwoInitiators {
    /// A message reaches the coordinator.
    fn arrive(&self, state: &mut State, message: Message) {
        let begun = match message.asks {
            Asks::Begin => None,
            Asks::Register { begun } | Asks::Decide { begun, .. } => Some(begun),
        };
        if let Some(begun) = begun
            && self.lost == LostBegin::AnsweredOnly
            && state.coordinator.applied().is_empty()
        {
            state.initiators[message.from] = Initiator::Over;
            state.tell(begun, Told::Decided(Decision::Abort));
            return;
        }
        let mut numbers = (1..).map(RequestId);
        let id = numbers.find(|id| !state.asked.contains_key(id)).expect("numbers do not end");
        state.asked.insert(id, message);
        let left = state.coordinator.request(id, message.request());
        state.watch(left);
    }
}

impl Initiator {
    /// What it has sent and waits to hear about.
    fn asks(self) -> Option<Asks> {
        match self {
            Initiator::Begins => Some(Asks::Begin),
            Initiator::Registers { begun } => Some(Asks::Register { begun }),
            Initiator::Decides { begun, wish } => Some(Asks::Decide { begun, wish }),
            Initiator::Over => None,
        }
    }
}

impl Message {
    fn request(self) -> Request {
        let gid = gid();
        let principal = principal(INITIATORS[self.from]);
        let wait = Wait::Decided { wait_ms: 30_000 };
        match self.asks {
            Asks::Begin => Request::Begin(Begin {
                gid,
                source: GidSource::Client,
                name: Name::new("small").expect("a valid name"),
                timeout_ms: None,
                key: None,
                branches: Vec::new(),
                principal,
            }),
            Asks::Register { begun } => {
                let spec = spec();
                Request::Register(Register { gid, begun, spec, wait_ms: None, principal })
            }
            Asks::Decide { begun, wish: Decision::Commit } => {
                let tried = vec![spec().id];
                let refused = Vec::new();
                Request::Commit(Commit { gid, begun, tried, refused, wait, principal })
            }
            Asks::Decide { begun, wish: Decision::Abort } => {
                let reason = Text::default();
                Request::Abort(Abort { gid, begun, reason, branch: None, wait, principal })
            }
        }
    }
}

impl State {
    /// What the business may say to a letter.
    fn said(&self, letter: &Letter) -> impl Iterator<Item = Business> + use<> {
        let may_refuse = self.budget.refusals > 0 && self.participant.would_run(letter);
        [Business::Does].into_iter().chain(may_refuse.then_some(Business::RefusesForGood))
    }

    fn meet(&mut self, letter: &Letter, business: Business) -> Answer {
        match business {
            Business::Does => {}
            Business::RefusesForGood | Business::RefusesThisCopy => self.budget.refusals -= 1,
        }
        self.participant.meet(letter, business)
    }

    /// An initiator goes on, and sends what is next.
    fn go_on(&mut self, initiator: usize, stage: Initiator) {
        self.initiators[initiator] = stage;
        let asks = stage.asks().map(|asks| Message { from: initiator, asks });
        self.wire.extend(asks);
    }

    fn watch(&mut self, left: Left) {
        for call in &left.calls {
            self.late.keep(Letter::of(call));
        }
        for (to, reply) in left.replies {
            let message = self.asked.remove(&to).expect("who asked is known");
            match reply {
                Ok(response) => self.hear(message, response),
                Err(rejection) => self.hear_no(message, rejection),
            }
        }
    }

    fn hear(&mut self, Message { from, asks }: Message, response: Response) {
        match (asks, response, self.initiators[from]) {
            (Asks::Begin, Response::Begun { begun, .. }, Initiator::Begins) => {
                self.go_on(from, Initiator::Registers { begun });
            }
            (
                Asks::Register { begun },
                Response::Registered { answer, .. },
                Initiator::Registers { .. },
            ) => {
                let wish = match answer {
                    TryAnswer::Done { .. } => Decision::Commit,
                    TryAnswer::Refused(_) | TryAnswer::Unknown => Decision::Abort,
                };
                self.go_on(from, Initiator::Decides { begun, wish });
            }
            (Asks::Decide { begun, .. }, Response::Transaction { document, .. }, _) => {
                self.hear_decision(from, begun, &document);
            }
            // It has gone on since.
            (Asks::Begin, Response::Begun { .. }, _)
            | (Asks::Register { .. }, Response::Registered { .. }, _) => {}
            (_, _, _) => self.broken = Some("an answer to something else"),
        }
    }

    fn hear_no(&mut self, Message { from, asks }: Message, rejection: Rejection) {
        match (asks, rejection) {
            (Asks::Begin, Rejection::GidTaken { .. }) => {
                if self.initiators[from] == Initiator::Begins {
                    self.go_on(from, Initiator::Over);
                }
            }
            (Asks::Register { begun } | Asks::Decide { begun, .. }, Rejection::GidTaken { .. }) => {
                self.go_on(from, Initiator::Over);
                self.tell(begun, Told::GidTaken);
            }
            (
                Asks::Register { begun } | Asks::Decide { begun, .. },
                Rejection::Decided { document },
            ) => self.hear_decision(from, begun, &document),
            (_, _) => self.broken = Some("a rejection that nobody expects"),
        }
    }

    fn hear_decision(&mut self, from: usize, begun: Timestamp, document: &Document) {
        if document.begun != begun {
            self.broken = Some("told of another begun");
        }
        if let Some(decision) = document.decision {
            self.go_on(from, Initiator::Over);
            self.tell(begun, Told::Decided(decision));
        }
    }

    /// Somebody is told something final of a begun: it must rest on something durable, and be the
    /// same as before.
    fn tell(&mut self, begun: Timestamp, told: Told) {
        let mut known = self.coordinator.known().iter();
        let is_durable = match told {
            Told::Decided(decision) => {
                known.any(|one| one.begun == begun && one.decision == Some(decision))
            }
            Told::GidTaken => known.all(|one| one.begun != begun),
        };
        if !is_durable {
            self.broken = Some("told what is not durable");
        }
        let before = self.told.insert(begun, told);
        if before.is_some_and(|before| before != told) {
            self.broken = Some("told two different things");
        }
    }

    fn is_told(&self, told: Told) -> bool {
        self.told.values().any(|one| *one == told)
    }

    fn ended(&self, decision: Decision) -> Option<&Known> {
        let mut known = self.coordinator.known().iter();
        known.find(|one| one.is_ended && one.decision == Some(decision))
    }

    fn effects(&self, known: &Known) -> crate::participant::Effects {
        self.participant.effects(&known.gid, known.begun, &spec().id)
    }
}

fn gid() -> Gid {
    Gid::new("g").expect("a valid name")
}

/// Both initiators register the same branch.
fn spec() -> BranchSpec {
    BranchSpec {
        id: branch("stock"),
        mode: Mode::Tcc,
        destination: Destination::new("stock").expect("a valid name"),
        operation: Operation::new("lock").expect("a valid name"),
        payload: Body::default(),
        caller: Caller::Coordinator,
        after: Vec::new(),
        reads: Vec::new(),
        direction: Direction::Reversible,
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("participant", &self.participant).finish_non_exhaustive()
    }
}

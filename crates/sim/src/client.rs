//! Client: whoever asks the coordinator. It retries after lost replies, and it may die anywhere.

use crate::agenda::Event;
use crate::cells::Struck;
use crate::model::{Intent, payload};
use crate::network::{Letter, Sender};
use crate::tally::{Fault, Sight};
use crate::world::Stage;
use std::sync::LazyLock;
use wholly_core::branch::{Answer, Op};
use wholly_core::document::Response;
use wholly_core::effect::Mark;
use wholly_core::ids::{Body, BranchId, Gid, Principal};
use wholly_core::input::{Commit, Request};
use wholly_core::rejection::Rejection;
use wholly_wire::problem::{Retry, row};

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By which client.
    pub client: usize,
    /// Under which number of its own.
    pub ask: u32,
    /// When.
    pub asked_us: u64,
    /// What.
    pub request: Request,
    /// A capability that is not what it seems; none if the coordinator gave the one it shows.
    pub shown: Option<Box<str>>,
}

/// What a client hears.
#[derive(Debug)]
pub enum Heard {
    /// Its time has come.
    Go,
    /// A reply to a request.
    Reply {
        /// To which.
        ask: u32,
        /// What.
        reply: Result<Response, Rejection>,
    },
    /// No reply in time.
    Silence {
        /// To which.
        ask: u32,
    },
    /// A participant that it called by itself answered.
    Answer {
        /// To which call.
        token: u32,
        /// What.
        answer: Answer,
    },
    /// A participant that it called by itself did not answer in time.
    Quiet {
        /// To which call.
        token: u32,
    },
    /// A time it set itself is over.
    Timer {
        /// Which.
        token: u32,
    },
}

/// Somebody who asks.
pub trait Client {
    /// Takes what it hears, and acts on it.
    fn hear(&mut self, heard: Heard, desk: &mut Desk<'_>);
}

/// Whether a client goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    Here,
    /// It is done, or dead.
    Gone,
}

/// What a client acts with.
pub struct Desk<'a> {
    /// The world.
    pub stage: &'a mut Stage,
    /// The client's number.
    pub client: usize,
    /// The number of its next request or call.
    pub next: &'a mut u32,
    /// Whether it goes on.
    pub presence: Presence,
}

impl Desk<'_> {
    /// Asks the coordinator, and hears a reply or, after so long, silence.
    pub fn ask(&mut self, request: Request, patience_us: u64) -> u32 {
        let ask = self.number();
        let client = self.client;
        self.stage.note([6, client as u64, u64::from(ask)], || {
            format!("client {client} > #{ask} {}", words_of(&request))
        });
        self.stage.after(patience_us, Event::ClientSilence { client, ask });
        if self.stage.strikes(Fault::WaitCancelled, Struck::of(request.gid())) {
            let wait = self.stage.chance.within(100, 30_000);
            self.stage.after(wait, Event::ClientSilence { client, ask });
            self.stage.after(wait, Event::RequestGone { client, ask });
        }
        let asked_us = self.stage.now_us;
        self.stage.send_request(Asked { client, ask, asked_us, request, shown: None });
        ask
    }

    /// Asks with a capability that nobody was given.
    pub fn ask_with(&mut self, shown: Box<str>, request: Request) {
        let (client, ask, asked_us) = (self.client, self.number(), self.stage.now_us);
        self.stage.send_request(Asked { client, ask, asked_us, request, shown: Some(shown) });
    }

    /// Calls a participant by itself, and hears an answer or, after so long, nothing.
    pub fn call(&mut self, to: usize, op: Op, branch: Branch<'_>) -> u32 {
        let token = self.number();
        let from = Sender::Client { client: self.client, token };
        let Branch { gid, id, payload, mark } = branch;
        self.stage.tally.sight(Sight::InitiatorCalled);
        self.stage.send_call(Letter {
            from,
            to,
            gid: gid.clone(),
            branch: id.clone(),
            op,
            payload: payload.clone(),
            replies: Vec::new(),
            mark: mark.clone(),
        });
        let wait = self.stage.limits.call_timeout_ms * 1_000;
        self.stage.after(wait, Event::ClientQuiet { client: self.client, token });
        token
    }

    /// Hears a timer after so long.
    pub fn timer(&mut self, after_us: u64) -> u32 {
        let token = self.number();
        self.stage.after(after_us, Event::ClientTimer { client: self.client, token });
        token
    }

    /// Does nothing more.
    pub fn leave(&mut self) {
        self.presence = Presence::Gone;
    }

    /// Whether it dies here, of the run's odds, in the middle of that transaction.
    pub fn dies(&mut self, gid: Option<&Gid>) -> bool {
        self.stage.strikes(Fault::ClientCrashed, Struck::of(gid))
    }

    fn number(&mut self) -> u32 {
        *self.next += 1;
        *self.next
    }
}

/// A branch that an initiator calls by itself.
#[derive(Clone, Copy, Debug)]
pub struct Branch<'a> {
    /// Of which transaction.
    pub gid: &'a Gid,
    /// Its name.
    pub id: &'a BranchId,
    /// What it is given.
    pub payload: &'a Body,
    /// From the answer to its registration.
    pub mark: &'a Mark,
}

/// The principal of every client.
pub fn principal() -> Principal {
    static EVERYBODY: LazyLock<Principal> =
        LazyLock::new(|| Principal::new("anonymous").expect("a name"));
    EVERYBODY.clone()
}

/// The name of a branch by ordinal.
pub fn branch_name(ordinal: usize) -> BranchId {
    BranchId::new(&format!("b{ordinal}")).expect("a name")
}

/// Makes a wish known, and gives back its number and the payloads of its branches.
pub fn declare(intent: Intent, stage: &mut Stage) -> (usize, Vec<Body>) {
    let number = stage.court.ledger.intents.len();
    let payloads = (0..intent.branches.len()).map(|ordinal| payload(number, ordinal)).collect();
    stage.court.ledger.intents.push(intent);
    (number, payloads)
}

/// Whether the same request may succeed later, by the table that every client goes by.
pub fn retry(rejection: &Rejection) -> Retry {
    row(rejection.code()).expect("every code has a row in the table").retry
}

/// A request in few words.
pub fn words_of(request: &Request) -> String {
    match request {
        Request::Begin(begin) => {
            format!("begin {} with {} branches", begin.gid, begin.branches.len())
        }
        Request::Submit(submit) => format!("submit {} of {} steps", submit.gid, submit.steps.len()),
        Request::Register(register) => {
            let spec = &register.spec;
            format!("register {} {} {:?} {:?}", register.gid, spec.id, spec.mode, spec.caller)
        }
        Request::Commit(commit) => {
            let Commit { gid, tried, refused, wait, .. } = commit;
            format!("commit {gid} tried {tried:?} refused {refused:?} {wait:?}")
        }
        Request::Abort(abort) => format!("abort {} {:?}", abort.gid, abort.wait),
        Request::Get { gid, wait } => format!("get {gid} {wait:?}"),
        Request::Calls { gids } => format!("calls of {}", gids.len()),
        Request::Operate(operate) => format!("operate {} {:?}", operate.gid, operate.action),
    }
}

/// A reply in few words.
pub fn words_of_reply(reply: &Result<Response, Rejection>) -> String {
    match reply {
        Ok(Response::Begun { gid, begun, freshness, .. }) => {
            format!("begun {gid} at {begun} {freshness:?}")
        }
        Ok(Response::Registered { branch, answer, freshness, .. }) => {
            format!("registered {branch} {answer:?} {freshness:?}")
        }
        Ok(Response::Calls(calls)) => format!("calls of {}", calls.len()),
        Ok(Response::Submitted { document, arrival, .. })
        | Ok(Response::Transaction { document, arrival }) => {
            let wholly_core::document::Document { gid, state, decision, outcome, cause, .. } =
                document;
            format!("{gid} {state:?} {decision:?} {cause:?} {outcome:?} {arrival:?}")
        }
        Err(Rejection::Decided { document }) => {
            format!("rejected decided {} {:?}", document.gid, document.decision)
        }
        Err(rejection) => format!("rejected {}", rejection.code()),
    }
}

//! Network: it drops, doubles, delays, reorders, and brings back messages of long ago.

use crate::agenda::Event;
use crate::answers::{self, unknown};
use crate::cells::Struck;
use crate::chance::Chance;
use crate::client::Asked;
use crate::tally::Fault;
use crate::world::Stage;
use std::rc::Rc;
use wholly_core::branch::{Answer, Op};
use wholly_core::document::Response;
use wholly_core::effect::Mark;
use wholly_core::ids::{Body, BranchId, CallId, Gid};
use wholly_core::rejection::Rejection;

/// Messages kept for replay, of each kind.
const KEPT_MAX: usize = 48;

/// A call on its way to a participant.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who waits for the answer.
    pub from: Sender,
    /// To which participant.
    pub to: usize,
    /// Of which transaction.
    pub gid: Gid,
    /// Of which branch.
    pub branch: BranchId,
    /// What is asked.
    pub op: Op,
    /// What it is given.
    pub payload: Body,
    /// Replies of the steps it reads.
    pub replies: Vec<(BranchId, Body)>,
    /// The transaction's place among its peers.
    pub mark: Mark,
}

/// Who sent a call.
#[derive(Clone, Copy, Debug)]
pub enum Sender {
    /// The coordinator, in one of its lives.
    Coordinator {
        /// Which life.
        life: u32,
        /// Which sending.
        call: CallId,
    },
    /// An initiator that calls by itself.
    Client {
        /// Which.
        client: usize,
        /// Its own number for it.
        token: u32,
    },
}

/// What the network remembers and what it keeps apart.
#[derive(Debug, Default)]
pub struct Network {
    letters: Vec<Rc<Letter>>,
    requests: Vec<Rc<Asked>>,
    /// Per participant: neither reached nor heard of.
    cut: Vec<Cut>,
    /// Per participant: heard nothing of.
    mute: Vec<Cut>,
    /// Between clients and coordinator.
    clients: Cut,
}

/// A link that is down until then, or comes and goes.
#[derive(Clone, Copy, Debug, Default)]
struct Cut {
    until_us: u64,
    period_us: Option<u64>,
}

impl Cut {
    fn holds(self, now_us: u64) -> bool {
        let down = self.period_us.is_none_or(|period| (now_us / period).is_multiple_of(2));
        now_us < self.until_us && down
    }
}

impl Network {
    /// A network to so many participants.
    pub fn new(participants: usize) -> Self {
        Network {
            letters: Vec::new(),
            requests: Vec::new(),
            cut: vec![Cut::default(); participants],
            mute: vec![Cut::default(); participants],
            clients: Cut::default(),
        }
    }

    /// Cuts a participant off, both ways.
    pub fn cut(&mut self, participant: usize, until_us: u64) {
        self.cut[participant] = Cut { until_us, period_us: None };
    }

    /// Cuts a participant off and lets it through, in turn.
    pub fn flap(&mut self, participant: usize, until_us: u64, period_us: u64) {
        self.cut[participant] = Cut { until_us, period_us: Some(period_us) };
    }

    /// Cuts clients off from the coordinator.
    pub fn cut_clients(&mut self, until_us: u64) {
        self.clients = Cut { until_us, period_us: None };
    }

    /// Lets calls through to a participant, but not its answers.
    pub fn mute(&mut self, participant: usize, until_us: u64) {
        self.mute[participant] = Cut { until_us, period_us: None };
    }

    /// Ends every partition.
    pub fn heal(&mut self) {
        self.cut.fill(Cut::default());
        self.mute.fill(Cut::default());
        self.clients = Cut::default();
    }
}

fn keep<T>(kept: &mut Vec<Rc<T>>, message: &Rc<T>, chance: &mut Chance) {
    if kept.len() < KEPT_MAX {
        kept.push(message.clone());
    } else {
        let place = chance.below(KEPT_MAX as u64) as usize;
        kept[place] = message.clone();
    }
}

impl Stage {
    /// Time on the wire when nothing goes wrong.
    fn hop_us(&mut self) -> u64 {
        self.chance.within(40, 300)
    }

    /// Time on the wire when something does: around the call timeout, short of it or beyond.
    fn late_us(&mut self) -> u64 {
        let timeout_us = self.limits.call_timeout_ms * 1_000;
        self.chance.within(timeout_us / 8, timeout_us * 3)
    }

    /// Sends a call.
    pub fn send_call(&mut self, letter: Letter) {
        let letter = Rc::new(letter);
        keep(&mut self.network.letters, &letter, &mut self.chance);
        if self.draws(Fault::CallReplayed) {
            let place = self.chance.below(self.network.letters.len() as u64) as usize;
            let old = self.network.letters[place].clone();
            self.counts(Fault::CallReplayed, Struck::One(&old.gid));
            let wait = self.chance.within(1_000, 4_000_000);
            self.after(wait, Event::CallArrives(old));
        }
        if self.strikes(Fault::CallDuplicated, Struck::One(&letter.gid)) {
            let wait = if self.chance.below(2) == 0 { self.hop_us() } else { self.late_us() };
            self.after(wait, Event::CallArrives(letter.clone()));
        }
        if self.network.cut[letter.to].holds(self.now_us)
            || self.strikes(Fault::CallDropped, Struck::One(&letter.gid))
        {
            return;
        }
        if let Some(answer) = self.stops_short(&letter) {
            let wait = self.hop_us();
            return self.hand_back(&letter, answer, wait);
        }
        let late = self.strikes(Fault::CallDelayed, Struck::One(&letter.gid));
        let wait = if late { self.late_us() } else { self.hop_us() };
        self.after(wait, Event::CallArrives(letter));
    }

    /// What the sender hears of a call that never arrives.
    fn stops_short(&mut self, letter: &Letter) -> Option<Answer> {
        let struck = Struck::One(&letter.gid);
        if self.strikes(Fault::CallReset, struck) {
            return Some(unknown("connection reset while the call was sent"));
        }
        self.strikes(Fault::ProxyAnswered, struck)
            .then(|| answers::of_proxy(letter, &mut self.chance))
    }

    /// Sends a participant's answer back.
    pub fn send_answer(&mut self, letter: &Letter, answer: Answer) {
        let Network { cut, mute, .. } = &self.network;
        let down = cut[letter.to].holds(self.now_us) || mute[letter.to].holds(self.now_us);
        if down || self.strikes(Fault::AnswerLost, Struck::One(&letter.gid)) {
            return;
        }
        let answer = self.as_it_arrives(letter, answer);
        let late = self.strikes(Fault::AnswerDelayed, Struck::One(&letter.gid));
        let wait = if late { self.late_us() } else { self.hop_us() };
        self.hand_back(letter, answer, wait);
    }

    /// What becomes of an answer on its way.
    fn as_it_arrives(&mut self, letter: &Letter, answer: Answer) -> Answer {
        let struck = Struck::One(&letter.gid);
        if self.strikes(Fault::AnswerReset, struck) {
            return unknown("connection reset while the answer was read");
        }
        if self.strikes(Fault::AnswerTooLong, struck) {
            return unknown("the answer is longer than replies may be");
        }
        if self.strikes(Fault::AnswerGarbled, struck) {
            return answers::garbled(letter, &answer, &mut self.chance);
        }
        if self.strikes(Fault::AnswerContradicted, struck) {
            return answers::contradicted(letter, &answer, &mut self.chance);
        }
        if self.strikes(Fault::AnswerMisaddressed, struck) {
            let place = self.chance.below(self.network.letters.len() as u64) as usize;
            return answers::misaddressed(letter, &self.network.letters[place], &answer);
        }
        answer
    }

    fn hand_back(&mut self, letter: &Letter, answer: Answer, wait_us: u64) {
        let event = match letter.from {
            Sender::Coordinator { life, call } => {
                Event::Answered { life, call, answer: Box::new(answer) }
            }
            Sender::Client { client, token } => {
                Event::ClientAnswered { client, token, answer: Box::new(answer) }
            }
        };
        self.after(wait_us, event);
    }

    /// Sends a request to the coordinator.
    pub fn send_request(&mut self, asked: Asked) {
        let asked = Rc::new(asked);
        keep(&mut self.network.requests, &asked, &mut self.chance);
        if self.draws(Fault::RequestReplayed) {
            let place = self.chance.below(self.network.requests.len() as u64) as usize;
            let old = self.network.requests[place].clone();
            self.counts(Fault::RequestReplayed, Struck::of(old.request.gid()));
            let wait = self.chance.within(1_000, 4_000_000);
            self.after(wait, Event::RequestArrives(old));
        }
        if self.strikes(Fault::RequestDuplicated, Struck::of(asked.request.gid())) {
            let wait = if self.chance.below(2) == 0 { self.hop_us() } else { self.late_us() };
            self.after(wait, Event::RequestArrives(asked.clone()));
        }
        if self.network.clients.holds(self.now_us)
            || self.strikes(Fault::RequestDropped, Struck::of(asked.request.gid()))
        {
            return;
        }
        if self.strikes(Fault::RequestReset, Struck::of(asked.request.gid())) {
            let (wait, client, ask) = (self.hop_us(), asked.client, asked.ask);
            return self.after(wait, Event::ClientSilence { client, ask });
        }
        let late = self.strikes(Fault::RequestDelayed, Struck::of(asked.request.gid()));
        let wait = if late { self.late_us() } else { self.hop_us() };
        self.after(wait, Event::RequestArrives(asked));
    }

    /// Sends a reply to a client.
    pub fn send_reply(&mut self, asked: &Asked, reply: Result<Response, Rejection>) {
        if self.network.clients.holds(self.now_us)
            || self.strikes(Fault::ReplyLost, Struck::of(asked.request.gid()))
        {
            return;
        }
        let (client, ask) = (asked.client, asked.ask);
        if self.strikes(Fault::ReplyReset, Struck::of(asked.request.gid())) {
            let wait = self.hop_us();
            return self.after(wait, Event::ClientSilence { client, ask });
        }
        let late = self.strikes(Fault::ReplyDelayed, Struck::of(asked.request.gid()));
        let wait = if late { self.late_us() } else { self.hop_us() };
        let asked_us = asked.asked_us;
        self.after(wait, Event::ReplyArrives { client, ask, asked_us, reply: Box::new(reply) });
    }
}

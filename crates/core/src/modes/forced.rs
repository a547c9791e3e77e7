//! Forced writes that a client waits for at the coordinator, counted: one more is a failure.

use crate::branch::{Answer, BranchSpec, Caller, Direction, Kept, Mode, Refusal};
use crate::driver::Driver;
use crate::effect::Effect;
use crate::ids::{Body, BranchId, Digest, Position, RequestId, Text};
use crate::input::{
    Abort, Begin, Commit, GidSource, Input, Loaded, Register, Request, Submit, Wait,
};
use crate::limits::Limits;
use crate::plan::Step;
use crate::time::{Instant, Now, Timestamp};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A world in which every flush is done at once, no time passes, and every call is answered.
struct Counter {
    driver: Driver,
    flushes: u32,
    refused: &'static str,
    asked: u64,
    replied: u64,
}

const NOW: Now = Now { wall: Timestamp(1_000_000), monotonic: Instant(0) };

impl Counter {
    fn new(refused: &'static str) -> Counter {
        let limits = Limits::default();
        let driver = Driver::new(limits, "here".parse().unwrap(), 1, Loaded::default());
        let mut counter = Counter { driver, flushes: 0, refused, asked: 0, replied: 0 };
        let mut effects = Vec::new();
        counter.driver.start(NOW, &mut effects);
        counter.carry_out(effects);
        counter.flushes = 0;
        counter
    }

    fn ask(&mut self, request: Request) {
        self.asked += 1;
        let mut effects = Vec::new();
        let input = Input::Request { id: RequestId(self.asked), request };
        self.driver.step(NOW, input, &mut effects);
        self.carry_out(effects);
        assert_eq!(self.replied, self.asked, "every request is answered");
    }

    /// Calls and replies come first: a flush that nobody waited for would be seen.
    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut inputs = VecDeque::new();
        let mut flush: Option<Position> = None;
        let mut effects = effects;
        loop {
            for effect in effects.drain(..) {
                match effect {
                    Effect::Append(_) | Effect::Wake(_) => {}
                    Effect::Flush(position) => flush = Some(position),
                    Effect::Reply { .. } => self.replied += 1,
                    Effect::Lookup { gid } => inputs.push_back(Input::Found {
                        gid,
                        records: Vec::new(),
                        forgotten: Timestamp(0),
                    }),
                    Effect::Call(call) => {
                        let answer = match call.branch.as_str() == self.refused {
                            true => refusal(),
                            false => Answer::Done { reply: Body::default(), kept: Kept::Kept },
                        };
                        inputs.push_back(Input::Answered { call: call.id, answer });
                    }
                }
            }
            let input = match (inputs.pop_front(), flush.take()) {
                (Some(input), waiting) => {
                    flush = waiting;
                    input
                }
                (None, Some(position)) => {
                    self.flushes += 1;
                    Input::Durable(position)
                }
                (None, None) => return,
            };
            self.driver.step(NOW, input, &mut effects);
        }
    }
}

fn refusal() -> Answer {
    Answer::Refused(Refusal {
        code: "no".parse().unwrap(),
        detail: Text::default(),
        kept: Kept::Kept,
    })
}

fn branch(id: &str) -> BranchSpec {
    BranchSpec {
        id: id.parse().unwrap(),
        mode: Mode::Tcc,
        destination: id.parse().unwrap(),
        operation: "do".parse().unwrap(),
        payload: Body::default(),
        caller: Caller::Coordinator,
        after: Vec::new(),
        reads: Vec::new(),
        direction: Direction::Reversible,
    }
}

fn begin(branches: &[&str]) -> Request {
    Request::Begin(Begin {
        gid: "g".parse().unwrap(),
        source: GidSource::Client,
        name: "test".parse().unwrap(),
        timeout_ms: None,
        key: None,
        branches: branches.iter().map(|id| branch(id)).collect(),
        principal: "tester".parse().unwrap(),
    })
}

fn register(id: &str) -> Request {
    Request::Register(Register {
        gid: "g".parse().unwrap(),
        begun: NOW.wall,
        spec: branch(id),
        wait_ms: None,
        principal: "tester".parse().unwrap(),
    })
}

fn commit(tried: &[&str], wait: Wait) -> Request {
    Request::Commit(Commit {
        gid: "g".parse().unwrap(),
        begun: NOW.wall,
        tried: tried.iter().map(|id| id.parse().unwrap()).collect(),
        refused: Vec::new(),
        wait,
        principal: "tester".parse().unwrap(),
    })
}

fn abort() -> Request {
    Request::Abort(Abort {
        gid: "g".parse().unwrap(),
        begun: NOW.wall,
        reason: Text::default(),
        branch: None,
        wait: DECIDED,
        principal: "tester".parse().unwrap(),
    })
}

/// Steps by name; `!` marks the forward-only one, which comes after all others.
fn submit(steps: &[&str], wait: Wait) -> Request {
    let names: Vec<BranchId> =
        steps.iter().map(|name| name.trim_end_matches('!').parse().unwrap()).collect();
    let step = |(at, name): (usize, &&str)| Step {
        branch: names[at].clone(),
        destination: names[at].as_str().parse().unwrap(),
        operation: "do".parse().unwrap(),
        payload: Body::default(),
        after: names[..at].to_vec(),
        reads: Vec::new(),
        direction: match name.ends_with('!') {
            true => Direction::ForwardOnly,
            false => Direction::Reversible,
        },
    };
    Request::Submit(Submit {
        gid: "g".parse().unwrap(),
        source: GidSource::Client,
        name: "test".parse().unwrap(),
        timeout_ms: None,
        steps: steps.iter().enumerate().map(step).collect(),
        digest: Digest([0; 32]),
        principal: "tester".parse().unwrap(),
        wait,
    })
}

const DECIDED: Wait = Wait::Decided { wait_ms: 1_000 };
const ENDED: Wait = Wait::Ended { wait_ms: 1_000 };

fn check(what: &str, refused: &'static str, requests: Vec<Request>, forced: u32) {
    let mut counter = Counter::new(refused);
    for request in requests {
        counter.ask(request);
    }
    assert_eq!(counter.flushes, forced, "{what}");
}

#[test]
fn forced_writes_that_a_client_waits_for() {
    let two = &["a", "b"];
    check("tcc, declared at begin", "", [begin(two), commit(two, DECIDED)].into(), 2);
    check("tcc, begin alone", "", [begin(&[])].into(), 0);
    check(
        "tcc, registered one by one",
        "",
        [begin(&[]), register("a"), register("b"), commit(two, DECIDED)].into(),
        3,
    );
    check("abort of an open one", "", [begin(&[]), abort()].into(), 1);
    check("saga", "", [submit(two, Wait::No)].into(), 1);
    check("saga, waiting for the end", "", [submit(two, ENDED)].into(), 2);
    check("saga that turns", "b", [submit(two, Wait::No)].into(), 2);
    check("saga that turns, waiting for the end", "b", [submit(two, ENDED)].into(), 3);
    check("saga with a forward-only step", "", [submit(&["a", "b!"], Wait::No)].into(), 2);
    check("the same, waiting", "", [submit(&["a", "b!"], ENDED)].into(), 3);
}

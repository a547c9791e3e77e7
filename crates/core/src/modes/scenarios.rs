//! Text transcripts: what goes into the driver, and everything that comes out, line by line.
//!
//! `> line` is an input, the lines under it are all effects it had. `durable` makes everything
//! queued durable. A transcript that differs is printed as it is, ready to be read and kept.

extern crate std;

use crate::branch::{
    Answer, BranchSpec, Caller, Direction, Kept, Mode, Refusal, Resolution, RowSeen,
};
use crate::document::{
    Arrival, BreakerStanding, DestinationStanding, Freshness, Response, TryAnswer,
};
use crate::driver::Driver;
use crate::effect::{Call, Content, Effect};
use crate::ids::{Body, BranchId, CallId, Digest, Gid, IdempotencyKey, Position, RequestId, Text};
use crate::input::{
    Abort, Action, Begin, Commit, GidSource, Input, Loaded, Operate, Register, Request, Submit,
    Wait,
};
use crate::limits::Limits;
use crate::plan::Step;
use crate::record::{Fact, Record};
use crate::rejection::Rejection;
use crate::time::{Instant, Now, Timestamp};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Where a transcript's clocks start.
const START_MS: u64 = 1_000_000;

struct Stage {
    driver: Driver,
    now: Now,
    requests: u64,
    calls: BTreeMap<(String, String), CallId>,
    begun: BTreeMap<Gid, Timestamp>,
    /// Everything appended, and how much of it is durable.
    log: Vec<(Position, Content)>,
    durable: usize,
    /// A copy of what was durable once.
    copy: Vec<(Position, Content)>,
    /// The highest begun that the store ever forgot.
    forgotten: Timestamp,
    lines: String,
}

fn limits() -> Limits {
    Limits {
        backoff_jitter_percent: 0,
        transaction_waiters_max: 2,
        breaker_silent_max: 3,
        ..Limits::default()
    }
}

fn driver(loaded: Loaded) -> Driver {
    Driver::new(limits(), "here".parse().unwrap(), 7, loaded)
}

impl Stage {
    fn new() -> Stage {
        let now = Now { wall: Timestamp(START_MS), monotonic: Instant(0) };
        let mut stage = Stage {
            driver: driver(Loaded::default()),
            now,
            requests: 0,
            calls: BTreeMap::new(),
            begun: BTreeMap::new(),
            log: Vec::new(),
            durable: 0,
            copy: Vec::new(),
            forgotten: Timestamp(0),
            lines: String::new(),
        };
        stage.start();
        stage.lines.clear();
        stage
    }

    fn start(&mut self) {
        let mut effects = Vec::new();
        self.driver.start(self.now, &mut effects);
        self.carry_out(effects);
        self.input("durable");
    }

    fn play(mut self, transcript: &str) -> String {
        for line in transcript.lines() {
            if let Some(input) = line.strip_prefix("> ") {
                self.lines += &format!("> {input}\n");
                self.input(input);
            } else if line.starts_with('#') || line.is_empty() {
                self.lines += &format!("{line}\n");
            }
        }
        self.lines
    }

    fn input(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["durable"] => self.make_durable(),
            ["wait", ms] => self.pass(ms.parse().unwrap()),
            ["jump", ms] => {
                self.now.wall = self.now.wall.plus_ms(ms.parse().unwrap());
                self.step(Input::Woken);
            }
            ["copy"] => self.copy = self.log[..self.durable].to_vec(),
            ["restore"] => self.restore(),
            ["crash"] => self.crash(None),
            ["row", branch, row] => {
                let key = (branch.to_string(), "inspect".to_string());
                let call = self.calls.remove(&key).expect("the call is in flight");
                self.step(Input::Inspected { call, row: row_seen(row) });
            }
            ["drain"] => self.step(Input::Drain),
            ["answer", branch, op, ref how @ ..] => {
                let key = (branch.to_string(), op.to_string());
                let call = self.calls.remove(&key).expect("the call is in flight");
                self.step(Input::Answered { call, answer: answer(how) });
            }
            ["silence", branch, op] => {
                let key = (branch.to_string(), op.to_string());
                let call = self.calls.remove(&key).expect("the call is in flight");
                self.step(Input::Silent { call, detail: Text::cut("timeout") });
            }
            ["pause", destination] => {
                let (by, reason) = ("tester".parse().unwrap(), Text::cut("because"));
                let pause = crate::document::Pause { by, reason, since: self.now.wall };
                assert!(self.driver.pause(&destination.parse().unwrap(), pause));
            }
            ["resume", destination] => {
                assert!(self.driver.resume(&destination.parse().unwrap()));
                self.step(Input::Woken);
            }
            ["destinations"] => self.see_destinations(),
            ["close"] => self.driver.close_intake(),
            ["open"] => self.driver.open_intake(),
            ["calls"] => {
                self.requests += 1;
                let request = Request::Calls { gids: self.begun.keys().cloned().collect() };
                self.step(Input::Request { id: RequestId(self.requests), request });
            }
            ["gone", id] => self.step(Input::Gone { id: RequestId(id.parse().unwrap()) }),
            _ => {
                self.requests += 1;
                let request = self.request(&words);
                self.step(Input::Request { id: RequestId(self.requests), request });
            }
        }
    }

    fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.driver.step(self.now, input, &mut effects);
        self.carry_out(effects);
    }

    /// Time passes on both clocks, with every alarm on the way.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now.wall = self.now.wall.plus_ms(1);
            self.now.monotonic = self.now.monotonic.plus_ms(1);
            self.step(Input::Woken);
        }
    }

    fn make_durable(&mut self) {
        self.durable = self.log.len();
        if let Some((position, _)) = self.log.last() {
            let position = *position;
            self.step(Input::Durable(position));
        }
    }

    /// Power is lost: what was not durable is gone, and a driver starts over what was.
    fn crash(&mut self, restored: Option<Timestamp>) {
        self.log.truncate(self.durable);
        let mut loaded = Loaded { restored, ..Loaded::default() };
        let mut histories: BTreeMap<Gid, Vec<Record>> = BTreeMap::new();
        for (position, content) in &self.log {
            loaded.position = *position;
            match content {
                Content::Mark(mark) => loaded.mark = Some(*mark),
                Content::Transaction { gid, records, .. } => {
                    histories.entry(gid.clone()).or_default().extend(records.iter().cloned());
                }
            }
        }
        let is_open = |records: &Vec<Record>| {
            !records.iter().any(|record| matches!(record.fact, Fact::Ended { .. }))
        };
        loaded.open = histories.into_iter().filter(|(_, records)| is_open(records)).collect();
        self.calls.clear();
        self.driver = driver(loaded);
        self.start();
        self.pass(1_000);
        self.make_durable();
    }

    /// The log is lost, and a driver starts over the copy.
    fn restore(&mut self) {
        self.log = self.copy.clone();
        self.durable = self.log.len();
        self.forgotten = self.now.wall;
        self.crash(Some(self.now.wall));
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Append(draft) => {
                    if let Content::Transaction { records, summary, .. } = &draft.content {
                        assert!(summary.ended.is_none() || summary.stuck == 0, "stuck at the end");
                        let facts: Vec<String> = records.iter().map(fact).collect();
                        self.say(&format!("append {}", facts.join(" + ")));
                    }
                    self.log.push((draft.position, draft.content));
                }
                Effect::Call(call) => self.see_call(&call),
                Effect::Reply { to, reply, proof } => {
                    assert!(proof.needed <= proof.durable, "a reply left before its time");
                    self.see_reply(to, &reply);
                }
                Effect::Lookup { gid } => {
                    let records = self.history(&gid);
                    self.step(Input::Found { gid, records, forgotten: self.forgotten });
                }
                Effect::Flush(_) | Effect::Wake(_) => {}
            }
        }
    }

    fn history(&self, gid: &Gid) -> Vec<Record> {
        let mut history = Vec::new();
        for (_, content) in &self.log[..self.durable] {
            match content {
                Content::Transaction { gid: of, records, .. } if of == gid => {
                    history.extend(records.iter().cloned());
                }
                Content::Transaction { .. } | Content::Mark(_) => {}
            }
        }
        history
    }

    fn see_call(&mut self, call: &Call) {
        assert!(call.proof.needed <= call.proof.durable, "a call left before its time");
        let op = format!("{:?}", call.op).to_lowercase();
        let own = call.reply.as_ref().map_or("", |_| " with its reply");
        let reads: String = call
            .replies
            .iter()
            .map(|(id, body)| format!(" {id}={}", String::from_utf8_lossy(body.as_bytes())))
            .collect();
        self.calls.insert((call.branch.to_string(), op.clone()), call.id);
        self.say(&format!("call {} {op}{reads}{own}", call.branch));
    }

    fn see_destinations(&mut self) {
        for row in self.driver.standing().destinations {
            let rests = row.pause.map_or("", |_| ", paused");
            let breaker = match row.breaker {
                BreakerStanding::Closed => "answers".to_string(),
                BreakerStanding::Open { probes, next_ms, .. } => {
                    format!("silent, {probes} probes, next {next_ms:?}")
                }
            };
            let DestinationStanding { destination, in_flight, queued, waiting, .. } = row;
            self.say(&format!(
                "{destination} {breaker}{rests}: {in_flight} in flight, {queued} queued, \
                 {waiting} waiting"
            ));
        }
    }

    fn see_reply(&mut self, to: RequestId, reply: &Result<Response, Rejection>) {
        if let Ok(Response::Begun { gid, begun, .. }) = reply {
            self.begun.insert(gid.clone(), *begun);
        }
        if let Ok(Response::Submitted { document, .. }) = reply {
            self.begun.insert(document.gid.clone(), document.begun);
        }
        let text = match reply {
            Ok(response) => response_text(response),
            Err(rejection) => format!("rejected {}", rejection.code()),
        };
        self.say(&format!("reply {} {text}", to.0));
    }

    fn say(&mut self, text: &str) {
        self.lines += &format!("  {text}\n");
    }

    fn request(&self, words: &[&str]) -> Request {
        let gid: Gid = words[1].parse().unwrap();
        let rest = &words[2..];
        let option = |key: &str| rest.iter().find_map(|word| word.strip_prefix(key));
        let begun = option("begun=")
            .map(|text| Timestamp(text.parse().unwrap()))
            .or_else(|| self.begun.get(&gid).copied())
            .unwrap_or_default();
        let wait = match option("wait=") {
            Some("decided") => Wait::Decided { wait_ms: 1_000 },
            Some("ended") => Wait::Ended { wait_ms: 1_000 },
            Some(_) | None => Wait::No,
        };
        let principal = "tester".parse().unwrap();
        let reason = Text::cut("because");
        let plain = || rest.iter().filter(|word| !word.contains('='));
        match words[0] {
            "begin" => Request::Begin(Begin {
                gid,
                source: GidSource::Client,
                name: "test".parse().unwrap(),
                timeout_ms: option("timeout=").map(|ms| ms.parse().unwrap()),
                key: option("key=")
                    .map(|key| (IdempotencyKey::new(key).unwrap(), digest(option("body=")))),
                branches: plain().map(|word| branch(word)).collect(),
                principal,
            }),
            "submit" => Request::Submit(Submit {
                gid,
                source: GidSource::Client,
                name: "test".parse().unwrap(),
                timeout_ms: option("timeout=").map(|ms| ms.parse().unwrap()),
                steps: plain().map(|word| step(word)).collect(),
                digest: digest(Some(&plain().copied().collect::<String>())),
                principal,
                wait,
            }),
            "register" => Request::Register(Register {
                gid,
                begun,
                spec: branch(rest[0]),
                wait_ms: None,
                principal,
            }),
            "commit" => Request::Commit(Commit {
                gid,
                begun,
                tried: names(option("tried=")),
                refused: names(option("refused=")),
                wait,
                principal,
            }),
            "abort" => Request::Abort(Abort { gid, begun, reason, branch: None, wait, principal }),
            "get" => Request::Get { gid, wait },
            verb => {
                Request::Operate(Operate { gid, action: action(verb, rest), reason, by: principal })
            }
        }
    }
}

fn action(verb: &str, rest: &[&str]) -> Action {
    match verb {
        "retry" => Action::Retry { branch: rest.first().map(|id| id.parse().unwrap()) },
        "park" => Action::Park,
        "operator-abort" => Action::Abort,
        "operator-commit" => Action::Commit,
        "resolve" => Action::Resolve {
            branch: rest[0].parse().unwrap(),
            resolution: match rest[1] {
                "applied" => Resolution::Applied,
                "not_applied" => Resolution::NotApplied,
                _ => Resolution::Unknown,
            },
        },
        other => panic!("no such input: {other}"),
    }
}

fn digest(text: Option<&str>) -> Digest {
    let mut bytes = [0; 32];
    for (at, byte) in text.unwrap_or_default().bytes().enumerate() {
        bytes[at % 32] ^= byte.rotate_left(u32::try_from(at / 32).unwrap());
    }
    Digest(bytes)
}

fn names(list: Option<&str>) -> Vec<BranchId> {
    let list = list.unwrap_or_default();
    list.split(',').filter(|name| !name.is_empty()).map(|name| name.parse().unwrap()).collect()
}

/// A branch as `name:mode[:self]`; the destination is the first letter of its name.
pub(super) fn branch(word: &str) -> BranchSpec {
    let mut parts = word.split(':');
    let name = parts.next().unwrap();
    let mode = match parts.next() {
        Some("saga") => Mode::Saga,
        Some(_) | None => Mode::Tcc,
    };
    let caller = match parts.next() {
        Some("self") => Caller::Initiator,
        Some(_) | None => Caller::Coordinator,
    };
    BranchSpec {
        id: name.parse().unwrap(),
        mode,
        destination: name[..1].parse().unwrap(),
        operation: "do".parse().unwrap(),
        payload: Body::new(parts.next().unwrap_or_default().as_bytes()),
        caller,
        after: Vec::new(),
        reads: Vec::new(),
        direction: Direction::Reversible,
    }
}

/// A step as `name<after,after?reads,reads!`; `!` marks forward-only.
pub(super) fn step(word: &str) -> Step {
    let direction = match word.ends_with('!') {
        true => Direction::ForwardOnly,
        false => Direction::Reversible,
    };
    let (head, reads) = word.trim_end_matches('!').split_once('?').unwrap_or((word, ""));
    let (name, after) = head.trim_end_matches('!').split_once('<').unwrap_or((head, ""));
    let name = name.trim_end_matches('!');
    Step {
        branch: name.parse().unwrap(),
        destination: name[..1].parse().unwrap(),
        operation: "do".parse().unwrap(),
        payload: Body::default(),
        after: names(Some(after.trim_end_matches('!'))),
        reads: names(Some(reads)),
        direction,
    }
}

fn answer(how: &[&str]) -> Answer {
    let kept = match how.last() {
        Some(&"kept") => Kept::Kept,
        Some(_) | None => Kept::NotKept,
    };
    match how[0] {
        "done" => Answer::Done { reply: Body::new(b"7"), kept },
        "refused" => {
            Answer::Refused(Refusal { code: "no".parse().unwrap(), detail: Text::default(), kept })
        }
        "working" => Answer::Working,
        _ => Answer::Unknown { detail: Text::cut("timeout") },
    }
}

pub(super) fn row_seen(word: &str) -> RowSeen {
    let reply = Body::new(b"7");
    match word {
        "none" => RowSeen::Absent,
        "stale" => RowSeen::Stale,
        "tried" => RowSeen::Tried { reply },
        "confirmed" => RowSeen::Confirmed { reply },
        "cancelled" => RowSeen::Cancelled { reply },
        "null_cancelled" => RowSeen::NullCancelled,
        "refused" => RowSeen::Refused,
        other => panic!("no such row: {other}"),
    }
}

pub(super) fn fact(record: &Record) -> String {
    let of = |branch: &crate::ids::BranchIndex| branch.0;
    let list = |list: &[crate::ids::BranchIndex]| {
        list.iter().map(|b| b.0.to_string()).collect::<Vec<_>>().join(",")
    };
    match &record.fact {
        Fact::Begun(_) => "begun".to_string(),
        Fact::Registered(spec) => format!("registered {}", spec.id),
        Fact::Answered { branch, op, answer, .. } => {
            let word = match answer {
                Answer::Done { .. } => "done",
                Answer::Refused(_) => "refused",
                Answer::Working | Answer::Unknown { .. } => "?",
            };
            format!("answered {} {op:?} {word}", of(branch)).to_lowercase()
        }
        Fact::Decided { decision, cause, out, untouched, .. } => {
            let mut text = format!("decided {decision:?} {cause:?}").to_lowercase();
            if !out.is_empty() {
                text += &format!(" out={}", list(out));
            }
            if !untouched.is_empty() {
                text += &format!(" untouched={}", list(untouched));
            }
            text
        }
        Fact::Stuck { branch, .. } => format!("stuck {}", of(branch)),
        Fact::Retried { branches, .. } => format!("retried {}", list(branches)),
        Fact::Parked { .. } => "parked".to_string(),
        Fact::Resolved { branch, resolution, .. } => {
            format!("resolved {} {resolution:?}", of(branch)).to_lowercase()
        }
        Fact::Restored => "restored".to_string(),
        Fact::Inspected { branch, .. } => format!("inspected {}", of(branch)),
        Fact::Ended { outcome } => format!("ended {outcome:?}").to_lowercase(),
    }
}

fn response_text(response: &Response) -> String {
    let again = |freshness: &Freshness| match freshness {
        Freshness::Created => "",
        Freshness::Repeated => " again",
    };
    let late = |arrival: &Arrival| match arrival {
        Arrival::Arrived => "",
        Arrival::NotYet => " not yet",
    };
    match response {
        Response::Begun { freshness, .. } => format!("begun{}", again(freshness)),
        Response::Submitted { document, freshness, arrival } => {
            format!("{}{}{}", document_text(document), again(freshness), late(arrival))
        }
        Response::Registered { answer, freshness, .. } => {
            let answer = match answer {
                TryAnswer::Done { .. } => "done",
                TryAnswer::Refused(_) => "refused",
                TryAnswer::Unknown => "unknown",
            };
            format!("registered {answer}{}", again(freshness))
        }
        Response::Transaction { document, arrival } => {
            format!("{}{}", document_text(document), late(arrival))
        }
        Response::Calls(calls) => {
            let rows = calls.iter().flat_map(|of| &of.branches);
            rows.fold("calls".to_string(), |text, row| {
                text + &format!(" {} {:?} x{}", row.branch, row.op, row.attempts).to_lowercase()
            })
        }
    }
}

fn document_text(document: &crate::document::Document) -> String {
    let mut text = format!("{:?}", document.state).to_lowercase();
    if let (Some(decision), Some(cause)) = (document.decision, document.cause) {
        text += &format!(" {decision:?} {cause:?}").to_lowercase();
    }
    if let Some(outcome) = document.outcome {
        text += &format!(" {outcome:?}").to_lowercase();
    }
    if document.parked {
        text += " parked";
    }
    text
}

fn check(name: &str, transcript: &str) {
    let seen = Stage::new().play(transcript);
    assert!(seen == transcript, "{name} differs; this is what happened:\n{seen}");
}

macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            let transcript = include_str!(concat!("scenarios/", stringify!($name), ".txt"));
            check(stringify!($name), transcript);
        }
    )+};
}

scenarios!(
    tcc_commit,
    tcc_refusal_survived,
    tcc_unknown_aborts,
    tcc_lost_begin,
    tcc_stuck,
    tcc_initiator_calls,
    saga_commit,
    saga_turn,
    saga_restart,
    saga_forward_only,
    saga_reads,
    mixed_open,
    deadlines,
    repeats,
    waiting,
    operator,
    late_answers,
    order_of_return,
    full,
    backoff,
    breaker,
    paused,
    drained,
    restored_tcc,
    restored_saga,
    restored_mixed,
    restored_lost,
);

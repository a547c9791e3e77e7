//! Isolation, in figures: whom a dead destination keeps waiting, and what is refused when.

extern crate std;

use super::{Driver, NamePattern, SlotRules};
use crate::branch::{Answer, BranchSpec, Caller, Direction, Kept, Mode};
use crate::document::{BreakerStanding, Counts, DestinationStanding, Tally};
use crate::effect::{Content, Draft, Effect};
use crate::ids::{Body, CallId, Digest, Gid, Position, RequestId, Text};
use crate::input::{Action, Begin, GidSource, Input, Loaded, Operate, Register, Request, Room};
use crate::input::{Submit, Wait};
use crate::limits::Limits;
use crate::plan::Step;
use crate::record::Record;
use crate::time::{Instant, Now, Timestamp};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// A driver whose log is durable at once, and whose calls are answered by hand.
struct Stage {
    driver: Driver,
    now: Now,
    asked: u64,
    position: Position,
    log: Vec<Draft>,
    /// In flight, by destination.
    calls: BTreeMap<String, Vec<CallId>>,
    /// What the last request heard.
    heard: String,
}

const START: Now = Now { wall: Timestamp(1_000_000), monotonic: Instant(0) };

impl Stage {
    fn new(limits: Limits) -> Stage {
        Stage::over(limits, Loaded::default())
    }

    fn over(limits: Limits, loaded: Loaded) -> Stage {
        let mut stage = Stage {
            driver: Driver::new(limits, "here".parse().unwrap(), 7, loaded),
            now: START,
            asked: 0,
            position: Position(0),
            log: Vec::new(),
            calls: BTreeMap::new(),
            heard: String::new(),
        };
        let mut effects = Vec::new();
        stage.driver.start(stage.now, &mut effects);
        stage.carry_out(effects);
        stage
    }

    fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.driver.step(self.now, input, &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut durable = self.position;
        for effect in effects {
            match effect {
                Effect::Append(draft) => {
                    durable = draft.position;
                    self.log.push(draft);
                }
                Effect::Call(call) => {
                    let to = String::from(call.destination.as_str());
                    self.calls.entry(to).or_default().push(call.id);
                }
                Effect::Reply { reply, .. } => {
                    self.heard = match reply {
                        Ok(_) => String::from("done"),
                        Err(rejection) => String::from(rejection.code()),
                    };
                }
                Effect::Lookup { gid } => {
                    let (records, forgotten) = (Vec::new(), Timestamp(0));
                    self.step(Input::Found { gid, records, forgotten });
                }
                Effect::Flush(_) | Effect::Wake(_) => {}
            }
        }
        if durable > self.position {
            self.position = durable;
            self.step(Input::Durable(durable));
        }
    }

    fn ask(&mut self, request: Request) -> &str {
        self.asked += 1;
        self.heard.clear();
        self.step(Input::Request { id: RequestId(self.asked), request });
        &self.heard
    }

    /// Hands over a plan of one step each to these destinations, side by side.
    fn submit(&mut self, destinations: &[&str], payload: usize) -> &str {
        let gid: Gid = alloc::format!("g{}", self.asked).parse().unwrap();
        let steps = destinations.iter().enumerate().map(|(at, destination)| Step {
            branch: alloc::format!("b{at}").parse().unwrap(),
            destination: destination.parse().unwrap(),
            operation: "do".parse().unwrap(),
            payload: Body::new(&alloc::vec![b'1'; payload]),
            after: Vec::new(),
            reads: Vec::new(),
            direction: Direction::Reversible,
        });
        self.ask(Request::Submit(Submit {
            gid,
            source: GidSource::Issued,
            name: "test".parse().unwrap(),
            timeout_ms: None,
            steps: steps.collect(),
            digest: Digest([0; 32]),
            principal: "tester".parse().unwrap(),
            wait: Wait::No,
        }))
    }

    fn begin(&mut self, gid: &str) -> &str {
        self.ask(Request::Begin(Begin {
            gid: gid.parse().unwrap(),
            source: GidSource::Issued,
            name: "test".parse().unwrap(),
            timeout_ms: None,
            key: None,
            branches: Vec::new(),
            principal: "tester".parse().unwrap(),
        }))
    }

    fn register(
        &mut self,
        (gid, destination): (&str, &str),
        payload: usize,
        caller: Caller,
    ) -> &str {
        let begun = self.log.iter().find_map(|draft| match &draft.content {
            Content::Transaction { gid: of, summary, .. } if of.as_str() == gid => {
                Some(summary.begun)
            }
            Content::Transaction { .. } | Content::Mark(_) => None,
        });
        self.ask(Request::Register(Register {
            gid: gid.parse().unwrap(),
            begun: begun.unwrap(),
            spec: BranchSpec {
                id: alloc::format!("b{}", self.asked).parse().unwrap(),
                mode: Mode::Tcc,
                destination: destination.parse().unwrap(),
                operation: "do".parse().unwrap(),
                payload: Body::new(&alloc::vec![b'1'; payload]),
                caller,
                after: Vec::new(),
                reads: Vec::new(),
                direction: Direction::Reversible,
            },
            wait_ms: None,
            principal: "tester".parse().unwrap(),
        }))
    }

    fn in_flight(&self, destination: &str) -> usize {
        self.calls.get(destination).map_or(0, Vec::len)
    }

    /// Everything in flight to a destination is answered done.
    fn answer(&mut self, destination: &str) {
        for call in self.calls.remove(destination).unwrap_or_default() {
            let answer = Answer::Done { reply: Body::default(), kept: Kept::Kept };
            self.step(Input::Answered { call, answer });
        }
    }

    /// Time goes by; whatever is in flight to the dead comes to nothing after a call timeout.
    fn pass(&mut self, ms: u64) {
        self.now.wall = self.now.wall.plus_ms(ms);
        self.now.monotonic = self.now.monotonic.plus_ms(ms);
        self.step(Input::Woken);
    }

    fn silence(&mut self, destination: &str) {
        for call in self.calls.remove(destination).unwrap_or_default() {
            self.step(Input::Silent { call, detail: Text::cut("timeout") });
        }
    }

    fn row(&self, destination: &str) -> DestinationStanding {
        let mut rows = self.driver.standing().destinations.into_iter();
        rows.find(|row| row.destination.as_str() == destination).unwrap()
    }
}

/// However many there are, each is counted, and the oldest is the one that began first.
#[test]
fn what_has_not_ended_is_counted_with_the_age_of_the_oldest() {
    const PER_PHASE: usize = 150;
    let mut stage = Stage::new(Limits::default());
    assert_eq!(stage.driver.standing().counts, Counts::default());
    for _ in 0..PER_PHASE {
        assert_eq!(stage.submit(&["stock"], 1), "done");
        let gid = alloc::format!("open-{}", stage.asked);
        assert_eq!(stage.begin(&gid), "done");
        stage.pass(10);
    }
    let age_ms = PER_PHASE as u64 * 10;
    let check = |stage: &Stage, stuck: usize| {
        let Counts { open, forward, finishing, stuck: seen } = stage.driver.standing().counts;
        for (tally, count) in [(open, PER_PHASE), (forward, PER_PHASE), (seen, stuck)] {
            assert_eq!(tally.count, count);
            let about =
                tally.oldest_ms.is_none_or(|oldest| (age_ms - 1_000..=age_ms).contains(&oldest));
            assert!(about && tally.oldest_ms.is_some() == (count > 0), "{tally:?}");
        }
        assert_eq!(finishing, Tally::default());
    };
    check(&stage, 0);
    let (gid, action) = ("g0".parse().unwrap(), Action::Park);
    let (reason, by) = (Text::cut("look"), "ops".parse().unwrap());
    assert_eq!(stage.ask(Request::Operate(Operate { gid, action, reason, by })), "done");
    check(&stage, 1);
}

#[test]
fn a_healthy_call_never_waits_for_its_slot_because_of_dead_destinations() {
    const DEAD: [&str; 4] = ["dead-1", "dead-2", "dead-3", "dead-4"];
    let mut stage = Stage::new(Limits::default());
    let healthy = |stage: &mut Stage| {
        for _ in 0..8 {
            assert_eq!(stage.submit(&["healthy"], 1), "done");
        }
        assert_eq!(stage.in_flight("healthy"), 8, "each left in the step that made it due");
        assert_eq!(stage.row("healthy").queued, 0);
        stage.answer("healthy");
    };
    for round in 0..10_000 {
        stage.submit(&[DEAD[round % DEAD.len()]], 1);
        if round % 500 == 0 {
            healthy(&mut stage);
        }
    }
    for second in 0..120 {
        if second % 5 == 4 {
            DEAD.iter().for_each(|dead| stage.silence(dead));
        }
        stage.pass(1_000);
        healthy(&mut stage);
    }
    for dead in DEAD {
        let row = stage.row(dead);
        assert!(matches!(row.breaker, BreakerStanding::Open { .. }), "{row:?}");
        assert!(row.in_flight <= 1, "a dead one has its probe: {row:?}");
        assert_eq!(row.branches, 2_500);
    }
}

#[test]
fn when_it_answers_again_all_that_wait_go_through_its_slots() {
    let mut stage = Stage::new(Limits::default());
    for _ in 0..1_000 {
        stage.submit(&["stock"], 1);
    }
    for _ in 0..10 {
        stage.pass(5_000);
        stage.silence("stock");
    }
    stage.pass(80_000);
    assert_eq!(stage.in_flight("stock"), 1, "the probe");
    let (mut rounds, mut seen) = (0, Vec::new());
    while stage.in_flight("stock") > 0 {
        seen.push(stage.in_flight("stock"));
        assert!(stage.in_flight("stock") <= 256);
        stage.answer("stock");
        rounds += 1;
    }
    assert_eq!(stage.driver.gauges().forward, 0, "no time passed");
    assert!(rounds <= 16, "{rounds} round trips: {seen:?}");
    assert_eq!(seen[..4], [1, 2, 4, 8], "its slots come back with its answers");
}

#[test]
fn a_lane_that_stands_still_is_cleared_of_what_is_not_due() {
    let mut stage = Stage::new(Limits { open_timeout_ms: 10, ..Limits::default() });
    for _ in 0..300 {
        stage.submit(&["dead"], 1);
    }
    stage.pass(1);
    stage.silence("dead");
    for round in 0..5_000 {
        let gid = alloc::format!("short-{round}");
        stage.begin(&gid);
        stage.register((&gid, "dead"), 1, Caller::Coordinator);
        stage.pass(20);
        stage.silence("dead");
    }
    let row = stage.row("dead");
    assert!(row.branches <= 400, "what ended is let go: {row:?}");
    let most = stage.driver.lanes.longest();
    assert!(most <= 2 * row.branches + 64, "{most} stand in the lane, {row:?}");
}

#[test]
fn slots_of_a_pattern_are_each_destinations_own() {
    let mut stage = Stage::new(Limits { destination_calls_max: 3, ..Limits::default() });
    stage.driver.limit_destinations(SlotRules {
        exact: BTreeMap::from([("svc-b".parse().unwrap(), Some(1))]),
        patterns: Vec::from([(NamePattern::new("svc-*").unwrap(), Some(2))]),
    });
    for _ in 0..5 {
        stage.submit(&["svc-a", "svc-b", "svc-c", "other"], 1);
    }
    let check = |destination: &str, expected: usize| {
        assert_eq!(stage.in_flight(destination), expected, "{destination}");
        assert_eq!(stage.row(destination).slots, expected);
    };
    check("svc-a", 2);
    check("svc-b", 1);
    check("svc-c", 2);
    check("other", 3);
}

/// What the last of so many hears: at a limit all is done, one above is refused.
fn check(limit: &str, limits: Limits, act: impl Fn(&mut Stage, usize) -> String, max: usize) {
    let mut stage = Stage::new(limits);
    for nth in 1..=max {
        assert_eq!(act(&mut stage, nth), "done", "{limit}: {nth} of {max}");
    }
    let code = act(&mut stage, max + 1);
    assert!(code.ends_with("_full"), "{limit}: one above {max} hears {code}");
    assert_eq!(act(&mut stage, max + 2), code, "{limit}: and so does the next");
}

#[test]
fn each_limit_of_admission_holds_at_the_limit_and_one_above() {
    let submit = |stage: &mut Stage, _| String::from(stage.submit(&["stock"], 10));
    check("open_max", Limits { open_max: 3, ..Limits::default() }, submit, 3);
    // The last eighth is kept: 70 of 80 for what begins.
    check("open_bytes_max", Limits { open_bytes_max: 80, ..Limits::default() }, submit, 7);
    let named = |stage: &mut Stage, nth| {
        let destination = alloc::format!("svc-{nth}");
        String::from(stage.submit(&[&destination], 1))
    };
    check("destinations_max", Limits { destinations_max: 5, ..Limits::default() }, named, 5);
    let register = |stage: &mut Stage, nth| {
        if nth == 1 {
            stage.begin("open");
        }
        String::from(stage.register(("open", "stock"), 10, Caller::Initiator))
    };
    check("open_bytes_max", Limits { open_bytes_max: 80, ..Limits::default() }, register, 8);
    let waiting = |stage: &mut Stage, _| {
        let gid: Gid = alloc::format!("absent-{}", stage.asked).parse().unwrap();
        stage.asked += 1;
        let request = Request::Get { gid, wait: Wait::No };
        let mut effects = Vec::new();
        let input = Input::Request { id: RequestId(stage.asked), request };
        stage.driver.step(stage.now, input, &mut effects);
        let reply = effects.iter().find_map(|effect| match effect {
            Effect::Reply { reply: Err(rejection), .. } => Some(rejection.code()),
            Effect::Reply { reply: Ok(_), .. }
            | Effect::Append(_)
            | Effect::Flush(_)
            | Effect::Call(_)
            | Effect::Lookup { .. }
            | Effect::Wake(_) => None,
        });
        String::from(reply.unwrap_or("done"))
    };
    check("lookups_max", Limits { lookups_max: 4, ..Limits::default() }, waiting, 4);
}

#[test]
fn what_ends_makes_room() {
    let limits = Limits { open_bytes_max: 80, destinations_max: 2, ..Limits::default() };
    let mut stage = Stage::new(limits);
    assert_eq!(stage.submit(&["stock", "points"], 35), "done");
    assert_eq!(stage.submit(&["stock"], 1), "open_bytes_full");
    assert_eq!(stage.submit(&["stock"], 0), "done", "what holds nothing fits");
    assert_eq!(stage.submit(&["order"], 0), "destinations_full");
    stage.answer("points");
    stage.answer("stock");
    let gauges = stage.driver.gauges();
    assert_eq!((gauges.bytes, gauges.destinations, gauges.entries), (0, 0, 0));
    assert_eq!(stage.submit(&["order"], 70), "done");
    stage.step(Input::Room(Room::Full));
    assert_eq!(stage.submit(&["order"], 0), "log_full");
}

/// The records of a log, as a start finds them.
fn loaded(log: &[Draft]) -> Loaded {
    let mut loaded = Loaded::default();
    let mut open: BTreeMap<Gid, Vec<Record>> = BTreeMap::new();
    for draft in log {
        loaded.position = draft.position;
        match &draft.content {
            Content::Mark(mark) => loaded.mark = Some(*mark),
            Content::Transaction { gid, records, .. } => {
                open.entry(gid.clone()).or_default().extend(records.iter().cloned());
            }
        }
    }
    loaded.open = open.into_iter().collect();
    loaded
}

#[test]
fn calls_due_after_a_start_are_released_over_the_ramp() {
    let mut before = Stage::new(Limits::default());
    for _ in 0..200 {
        before.submit(&["stock"], 1);
    }
    let limits = Limits { ramp_ms: 1_000, ..Limits::default() };
    let mut stage = Stage::over(limits, loaded(&before.log));
    assert_eq!(stage.driver.gauges().bytes, 200);
    let mut seen = Vec::new();
    for _ in 0..11 {
        seen.push(stage.in_flight("stock"));
        stage.pass(100);
    }
    assert!(seen[0] <= 1, "{seen:?}");
    for (at, pair) in seen.windows(2).take(10).enumerate() {
        let more = pair[1] - pair[0];
        assert!((18..=22).contains(&more), "{more} in tenth {at}: {seen:?}");
    }
    assert_eq!(seen[10], 200);
}

/// So many calls to destinations of their own, and to one, leave at once; the rest waits.
fn check_calls(limits: Limits, destinations: &[&str], in_flight: usize) {
    let mut stage = Stage::new(limits);
    for destination in destinations {
        assert_eq!(stage.submit(&[destination], 1), "done");
    }
    let gauges = stage.driver.gauges();
    let seen = (gauges.calls, gauges.calls + gauges.queued);
    assert_eq!(seen, (in_flight, destinations.len()), "{destinations:?}");
}

#[test]
fn calls_in_flight_hold_at_the_limit_and_one_above() {
    let limits = |calls_max, destination_calls_max| Limits {
        calls_max,
        destination_calls_max,
        ..Limits::default()
    };
    check_calls(limits(100, 3), &["a", "a", "a"], 3);
    check_calls(limits(100, 3), &["a", "a", "a", "a"], 3);
    check_calls(limits(100, 3), &["a", "a", "a", "a", "b"], 4);
    check_calls(limits(4, 4), &["a", "b", "c", "d"], 4);
    check_calls(limits(4, 4), &["a", "b", "c", "d", "e"], 4);
}

#[test]
fn a_destination_is_silent_at_the_limit_and_not_one_below() {
    for (silences, is_open) in [(2, false), (3, true)] {
        let mut stage = Stage::new(Limits { breaker_silent_max: 3, ..Limits::default() });
        for _ in 0..silences {
            assert_eq!(stage.submit(&["dead"], 1), "done");
        }
        stage.silence("dead");
        let breaker = stage.row("dead").breaker;
        let seen = matches!(breaker, BreakerStanding::Open { .. });
        assert_eq!(seen, is_open, "{silences}: {breaker:?}");
    }
}

/// Who waits, by transaction, and what the last of them hears; nothing, if he waits too.
fn check_waiters(limits: Limits, waiting: &[&str], heard: &str) {
    let mut stage = Stage::new(limits);
    for gid in ["a", "b", "c"] {
        assert_eq!(stage.begin(gid), "done");
    }
    let mut last = String::new();
    for gid in waiting {
        let wait = Wait::Ended { wait_ms: 1_000 };
        last = stage.ask(Request::Get { gid: gid.parse().unwrap(), wait }).into();
    }
    assert_eq!(last, heard, "{waiting:?}");
}

#[test]
fn waiters_hold_at_the_limit_and_one_above() {
    let of_one = Limits { transaction_waiters_max: 2, ..Limits::default() };
    check_waiters(of_one.clone(), &["a", "a"], "");
    check_waiters(of_one.clone(), &["a", "a", "a"], "waiters_full");
    check_waiters(of_one, &["a", "a", "b"], "");
    let of_all = Limits { waiters_max: 2, ..Limits::default() };
    check_waiters(of_all.clone(), &["a", "b"], "");
    check_waiters(of_all, &["a", "b", "c"], "waiters_full");
}

#[test]
fn a_wait_is_over_at_its_limit_and_not_before() {
    let mut stage = Stage::new(Limits { wait_ms_max: 100, ..Limits::default() });
    stage.begin("a");
    let wait = Wait::Ended { wait_ms: 1_000 };
    assert_eq!(stage.ask(Request::Get { gid: "a".parse().unwrap(), wait }), "");
    stage.pass(99);
    assert_eq!(stage.heard, "");
    stage.pass(1);
    assert_eq!(stage.heard, "done");
}

#[test]
fn a_deadline_that_nobody_named_is_kept_to_the_millisecond() {
    let mut stage = Stage::new(Limits { open_timeout_ms: 100, ..Limits::default() });
    stage.begin("a");
    stage.pass(99);
    assert_eq!(stage.driver.gauges().open, 1);
    stage.pass(1);
    assert_eq!(stage.driver.gauges().open, 0);
}

/// What a store makes of such a mark, its suite says: it forgets what ended before it.
#[test]
fn a_mark_gives_up_what_ended_a_millisecond_more_than_the_retention_time_ago() {
    for (ended_after_ms, is_given_up) in [(2_000, false), (1_999, true)] {
        let limits =
            Limits { open_timeout_ms: ended_after_ms, retention_ms: 5_000, ..Limits::default() };
        let mut stage = Stage::new(limits);
        stage.begin("a");
        stage.pass(1_000);
        stage.pass(ended_after_ms - 1_000);
        stage.pass(2_000 - ended_after_ms);
        for _ in 0..5 {
            stage.pass(1_000);
        }
        let ended = stage.log.iter().find_map(|draft| match &draft.content {
            Content::Transaction { summary, .. } => summary.ended.map(|at| (summary.begun, at)),
            Content::Mark(_) => None,
        });
        let (begun, ended) = ended.expect("its deadline is over");
        assert_eq!(ended, START.wall.plus_ms(ended_after_ms));
        let marks = stage.log.iter().rev().filter_map(|draft| match &draft.content {
            Content::Mark(mark) => Some(*mark),
            Content::Transaction { .. } => None,
        });
        let [last, before] = marks.take(2).collect::<Vec<_>>()[..] else {
            panic!("there is a mark each second")
        };
        assert_eq!(last.ended_before, stage.now.wall.minus_ms(5_000));
        assert_eq!(ended < last.ended_before, is_given_up, "{ended_after_ms}");
        assert!(ended >= before.ended_before, "{ended_after_ms}");
        assert!(begun < last.limit, "{begun:?} {last:?}");
    }
}

#[test]
fn a_jump_of_the_clock_at_the_limit_is_time_and_one_above_waits_for_the_grace() {
    for (jump_ms, is_held) in [(10_000, false), (10_001, true)] {
        let limits = Limits {
            open_timeout_ms: 5_000,
            clock_jump_ms_max: 10_000,
            clock_jump_grace_ms: 60_000,
            ..Limits::default()
        };
        let mut stage = Stage::new(limits);
        stage.begin("a");
        stage.now.wall = stage.now.wall.plus_ms(jump_ms);
        stage.pass(0);
        assert_eq!(stage.driver.gauges().open, usize::from(is_held), "{jump_ms}");
        stage.pass(59_999);
        assert_eq!(stage.driver.gauges().open, usize::from(is_held), "{jump_ms}");
        stage.pass(1);
        assert_eq!(stage.driver.gauges().open, 0, "{jump_ms}");
    }
}

#[test]
fn what_nobody_waits_for_is_flushed_at_its_limit_and_not_before() {
    let limits = Limits { lazy_ms_max: 50, ..Limits::default() };
    let mut driver = Driver::new(limits, "here".parse().unwrap(), 7, Loaded::default());
    let mut stage = Stage::new(Limits::default());
    let mut flushes = |ms: u64, input: Input| {
        let mut effects = Vec::new();
        stage.now.monotonic = stage.now.monotonic.plus_ms(ms);
        driver.step(stage.now, input, &mut effects);
        effects.iter().filter(|effect| matches!(effect, Effect::Flush(_))).count()
    };
    // The first mark of a clock is forced; a begin without branches is not.
    flushes(0, Input::Woken);
    flushes(0, Input::Durable(Position(1)));
    let begin = Request::Begin(Begin {
        gid: "a".parse().unwrap(),
        source: GidSource::Issued,
        name: "test".parse().unwrap(),
        timeout_ms: None,
        key: None,
        branches: Vec::new(),
        principal: "tester".parse().unwrap(),
    });
    let asked = Input::Request { id: RequestId(1), request: begin };
    let seen = [flushes(0, asked), flushes(49, Input::Woken), flushes(1, Input::Woken)];
    assert_eq!(seen, [0, 0, 1]);
}

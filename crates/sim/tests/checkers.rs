//! The checkers see what they are there for: small histories, each with the promise it breaks.

use wholly_core::document::{Arrival, Response};
use wholly_core::effect::{Content, Draft, Proof};
use wholly_core::ids::{Gid, Name, Position, Principal, Text, Version};
use wholly_core::input::{Abort, Request, Wait};
use wholly_core::record::{Begun, Cause, Decision, Fact, Outcome, Record, Start};
use wholly_core::rejection::Rejection;
use wholly_core::time::{Instant, Now, Timestamp};
use wholly_core::transaction::Transaction;
use wholly_sim::checkers::Court;
use wholly_sim::evidence::Evidence;

const DEADLINE: Timestamp = Timestamp(1_000);

/// What happens, in a history of one transaction.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begins,
    /// An abort with the capability of that begin reaches the coordinator.
    AbortAsked(u64),
    Aborts(Cause, u64),
    Commits,
    Ends,
    /// Somebody who asked at one time hears at another how it then stood, after so many records.
    Hears {
        asked_us: u64,
        heard_us: u64,
        records: usize,
    },
    HearsUnknown {
        asked_us: u64,
    },
    /// A reply leaves that shows how it stood after so many records, and waited for so many.
    Told {
        records: usize,
        needed: u64,
    },
    /// A copy that holds so many records is put back, and a start finds it.
    PutBack(usize),
    SaysRestored,
    Woken {
        wall: u64,
        alarm: u64,
    },
    /// A start finds so many records.
    Finds(usize),
    FindsNothing,
}

fn gid() -> Gid {
    Gid::new("g").expect("a name")
}

fn begun() -> Fact {
    Fact::Begun(Begun {
        gid: gid(),
        name: Name::new("order").expect("a name"),
        begun: Timestamp(7),
        principal: Principal::new("anonymous").expect("a name"),
        start: Start::Open { deadline: DEADLINE, key: None, branches: Vec::new() },
    })
}

fn decided(decision: Decision, cause: Cause) -> Fact {
    let reason = Text::default();
    Fact::Decided { decision, cause, branch: None, reason, out: vec![], untouched: vec![] }
}

fn take(step: Step, records: &mut Vec<Record>, court: &mut Court) {
    let append = |at: u64, fact: Fact, records: &mut Vec<Record>, court: &mut Court| {
        let after = Version(records.len() as u64);
        records.push(Record { at: Timestamp(at), fact });
        let summary = Transaction::fold(records).expect("it begins").summary();
        let records_of = vec![records.last().expect("pushed above").clone()];
        let content = Content::Transaction { gid: gid(), after, records: records_of, summary };
        let position = Position(records.len() as u64);
        court.hear(&Evidence::Appended(&Draft { position, content }));
    };
    match step {
        Step::Begins => append(1, begun(), records, court),
        Step::Commits => append(2, decided(Decision::Commit, Cause::Initiator), records, court),
        Step::Aborts(cause, at) => append(at, decided(Decision::Abort, cause), records, court),
        Step::Ends => append(3, Fact::Ended { outcome: Outcome::AsDecided }, records, court),
        Step::AbortAsked(begun) => {
            let (reason, wait) = (Text::default(), Wait::No);
            let principal = Principal::new("anonymous").expect("a name");
            let begun = Timestamp(begun);
            let abort = Abort { gid: gid(), begun, reason, branch: None, wait, principal };
            court.hear(&Evidence::Asked(&Request::Abort(abort)));
        }
        Step::Hears { asked_us, heard_us, records: count } => {
            let document = Transaction::fold(&records[..count]).expect("it begins").document();
            let arrival = Arrival::Arrived;
            let reply = Ok(Response::Transaction { document, arrival });
            court.hear(&Evidence::Heard { asked_us, heard_us, reply: &reply });
        }
        Step::HearsUnknown { asked_us } => {
            let reply = Err(Rejection::GidUnknown { gid: gid() });
            court.hear(&Evidence::Heard { asked_us, heard_us: asked_us, reply: &reply });
        }
        Step::Told { records: count, needed } => {
            let document = Transaction::fold(&records[..count]).expect("it begins").document();
            let reply = Ok(Response::Transaction { document, arrival: Arrival::Arrived });
            let platter = Position(records.len() as u64);
            let proof = Proof { needed: Position(needed), durable: platter };
            let request = &Request::Get { gid: gid(), wait: Wait::No };
            court.hear(&Evidence::Replied { request, reply: &reply, proof, platter });
        }
        Step::SaysRestored => append(3, Fact::Restored, records, court),
        Step::PutBack(count) => {
            records.truncate(count);
            court.hear(&Evidence::Restored { position: Position(count as u64) });
            found(&[(gid(), records.clone())], count, court);
        }
        Step::Woken { wall, alarm } => {
            let now = Now { wall: Timestamp(wall), monotonic: Instant(wall) };
            let (held_until, alarm) = (Instant(0), Some(Instant(alarm)));
            court.hear(&Evidence::Woken { now, held_until, alarm });
        }
        Step::Finds(count) => found(&[(gid(), records[..count].to_vec())], records.len(), court),
        Step::FindsNothing => found(&[], records.len(), court),
    }
}

fn found(open: &[(Gid, Vec<Record>)], position: usize, court: &mut Court) {
    let position = Position(position as u64);
    court.hear(&Evidence::Recovered { position, worst: position, open });
}

/// A history breaks this promise with its last step, or none.
#[track_caller]
fn check(history: &[Step], breaks: Option<&str>) {
    let (mut records, mut court) = (Vec::new(), Court::default());
    for (at, step) in history.iter().enumerate() {
        assert_eq!(court.violation, None, "before step {at} of {history:?}");
        take(*step, &mut records, &mut court);
    }
    let broken = court.violation.as_ref().map(|violation| violation.promise);
    assert_eq!(broken, breaks, "{history:?}: {:?}", court.violation);
}

#[test]
fn an_answer_never_shows_less_than_was_heard_before_the_question() {
    use Step::{AbortAsked, Aborts, Begins, Hears, HearsUnknown};
    let aborted = [Begins, AbortAsked(7), Aborts(Cause::Initiator, 2)];
    let heard = Hears { asked_us: 1, heard_us: 5, records: 2 };
    let with = |rest: &[Step]| [&aborted[..], &[heard], rest].concat();
    check(&with(&[Hears { asked_us: 6, heard_us: 9, records: 2 }]), None);
    // It had been asked before the other answer was heard, and was late.
    check(&with(&[Hears { asked_us: 4, heard_us: 9, records: 1 }]), None);
    let less = Hears { asked_us: 6, heard_us: 9, records: 1 };
    check(&with(&[less]), Some("one register"));
    check(&with(&[HearsUnknown { asked_us: 6 }]), Some("one register"));
    check(&with(&[HearsUnknown { asked_us: 4 }]), None);
    check(&[Begins, HearsUnknown { asked_us: 6 }], None);
}

#[test]
fn what_was_told_is_undecided_only_as_it_stood_after_a_restore() {
    use Step::{AbortAsked, Aborts, Begins, PutBack, SaysRestored, Told};
    let told = [Begins, AbortAsked(7), Aborts(Cause::Initiator, 2), Told { records: 2, needed: 2 }];
    check(&[&told[..], &[Told { records: 1, needed: 2 }]].concat(), Some("decided once"));
    let restored = [&told[..], &[PutBack(1), SaysRestored]].concat();
    check(&[&restored[..], &[Told { records: 2, needed: 2 }]].concat(), None);
    let again = [&restored[..], &[Aborts(Cause::Initiator, 4)]].concat();
    // It was held until what it shows was durable, and the decision came meanwhile.
    check(&[&again[..], &[Told { records: 2, needed: 2 }]].concat(), None);
    check(&[&again[..], &[Told { records: 2, needed: 3 }]].concat(), Some("decided once"));
}

#[test]
fn nothing_is_done_that_nobody_asked_for_who_may() {
    use Step::{AbortAsked, Aborts, Begins, Commits};
    let promise = Some("nobody without the capability");
    check(&[Begins, AbortAsked(7), Aborts(Cause::Initiator, 2)], None);
    check(&[Begins, Aborts(Cause::Initiator, 2)], promise);
    check(&[Begins, AbortAsked(8), Aborts(Cause::Initiator, 2)], promise);
    check(&[Begins, AbortAsked(7), Aborts(Cause::Operator, 2)], promise);
    check(&[Begins, AbortAsked(7), Commits], promise);
}

#[test]
fn no_deadline_acts_early_and_none_is_slept_through() {
    use Step::{Aborts, Begins, Woken};
    let promise = Some("deadlines");
    check(&[Begins, Aborts(Cause::Deadline, DEADLINE.0)], None);
    check(&[Begins, Aborts(Cause::Deadline, DEADLINE.0 - 1)], promise);
    check(&[Begins, Woken { wall: DEADLINE.0 - 1, alarm: DEADLINE.0 }], None);
    check(&[Begins, Woken { wall: DEADLINE.0 - 1, alarm: DEADLINE.0 + 1 }], promise);
    check(&[Begins, Woken { wall: DEADLINE.0, alarm: DEADLINE.0 }], promise);
    let over = [Begins, Aborts(Cause::Deadline, DEADLINE.0)];
    check(&[&over[..], &[Woken { wall: DEADLINE.0 + 5, alarm: 9_999 }]].concat(), None);
}

#[test]
fn a_start_finds_what_was_there() {
    use Step::{AbortAsked, Aborts, Begins, Ends, Finds, FindsNothing};
    let aborted = [Begins, AbortAsked(7), Aborts(Cause::Initiator, 2)];
    let promise = Some("recovery is the same");
    check(&[&aborted[..], &[Finds(2)]].concat(), None);
    check(&[&aborted[..], &[Finds(1)]].concat(), promise);
    check(&[&aborted[..], &[FindsNothing]].concat(), promise);
    check(&[&aborted[..], &[Ends, FindsNothing]].concat(), None);
}

//! Golden bytes of every fact, and that reading undoes writing.

use super::*;
use crate::suite::drafts::{Chance, Writer};
use wholly_core::branch::{
    Answer, BranchSpec, Caller, Direction, Kept, Mode, Op, Refusal, Resolution, RowSeen,
    StuckReason,
};
use wholly_core::effect::Content;
use wholly_core::ids::{
    Body, BranchId, BranchIndex, Code, Destination, Digest, IdempotencyKey, Name, Operation,
    Principal, Text,
};
use wholly_core::record::{Begun, Cause, Decision, Fact, Outcome, PhaseName, Start, Summary};

fn gid() -> Gid {
    Gid::new("g1").expect("a gid")
}

fn spec() -> BranchSpec {
    BranchSpec {
        id: BranchId::new("b").expect("a branch"),
        mode: Mode::Saga,
        destination: Destination::new("stock").expect("a destination"),
        operation: Operation::new("lock").expect("an operation"),
        payload: Body::new(b"{}"),
        caller: Caller::Initiator,
        after: vec![BranchIndex(0), BranchIndex(300)],
        reads: vec![BranchIndex(0)],
        direction: Direction::ForwardOnly,
    }
}

const SPEC: &str = "0162 02 0573746f636b 046c6f636b 027b7d 03 0200ac02 0100";

fn refusal() -> Refusal {
    let code = Code::new("gone").expect("a code");
    Refusal { code, detail: Text::cut("no"), kept: Kept::Kept }
}

fn principal() -> Principal {
    Principal::new("ann").expect("a principal")
}

/// The bytes of a fact found at 300 ms, written as hexadecimal digits.
fn check(fact: Fact, bytes: &str) {
    let record = Record { at: Timestamp(300), fact };
    let mut encoded = Vec::new();
    encode_record(&gid(), &record, &mut encoded);
    let hex: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden: String = format!("ac02{bytes}").split_whitespace().collect();
    assert_eq!(hex, golden, "{record:?}");
    assert_eq!(decode_records(&gid(), 1, &encoded), Ok(vec![record]));
}

fn begun(start: Start, bytes: &str) {
    let (name, principal) = (Name::new("buy").expect("a name"), principal());
    let begun = Begun { gid: gid(), name, begun: Timestamp(5), principal, start };
    check(Fact::Begun(begun), &format!("01 03627579 05 03616e6e {bytes}"));
}

#[test]
fn golden_begins() {
    let digest = "ab".repeat(32);
    let key = IdempotencyKey::new("k/1").expect("a key");
    let key = Some((key, Digest([0xab; 32])));
    let branches = vec![spec()];
    begun(
        Start::Open { deadline: Timestamp(9), key, branches },
        &format!("01 09 01 036b2f31 {digest} 01 {SPEC}"),
    );
    let open = Start::Open { deadline: Timestamp(9), key: None, branches: Vec::new() };
    begun(open, "01 09 00 00");
    let (deadline, digest_) = (Some(Timestamp(9)), Digest([0xab; 32]));
    begun(
        Start::Plan { deadline, digest: digest_, steps: vec![spec(), spec()] },
        &format!("02 0109 {digest} 02 {SPEC} {SPEC}"),
    );
    begun(
        Start::Plan { deadline: None, digest: digest_, steps: vec![spec()] },
        &format!("02 00 {digest} 01 {SPEC}"),
    );
    begun(Start::Lost, "03");
}

#[test]
fn golden_answers() {
    let (branch, op, attempts) = (BranchIndex(1), Op::Action, 2);
    let answered = |answer| Fact::Answered { branch, op, answer, attempts };
    check(
        answered(Answer::Done { reply: Body::new(b"7"), kept: Kept::NotKept }),
        "03 01 04 01 0137 00 02",
    );
    check(answered(Answer::Refused(refusal())), "03 01 04 02 04676f6e65 026e6f 01 02");
    check(answered(Answer::Working), "03 01 04 03 02");
    check(answered(Answer::Unknown { detail: Text::cut("t") }), "03 01 04 04 0174 02");
    for (op, tag) in [
        (Op::Try, "01"),
        (Op::Confirm, "02"),
        (Op::Cancel, "03"),
        (Op::Action, "04"),
        (Op::Compensate, "05"),
        (Op::Inspect, "06"),
    ] {
        let answered = Fact::Answered { branch, op, answer: Answer::Working, attempts };
        check(answered, &format!("03 01 {tag} 03 02"));
    }
}

#[test]
fn golden_decisions() {
    let decided = |decision, cause| Fact::Decided {
        decision,
        cause,
        branch: Some(BranchIndex(1)),
        reason: Text::cut("r"),
        out: vec![BranchIndex(1)],
        untouched: vec![BranchIndex(2), BranchIndex(3)],
    };
    for (cause, tag) in [
        (Cause::Initiator, "01"),
        (Cause::Refusal, "02"),
        (Cause::Unknown, "03"),
        (Cause::Deadline, "04"),
        (Cause::Operator, "05"),
    ] {
        let rest = format!("{tag} 0101 0172 0101 020203");
        check(decided(Decision::Commit, cause), &format!("04 01 {rest}"));
        check(decided(Decision::Abort, cause), &format!("04 02 {rest}"));
    }
}

#[test]
fn golden_operations() {
    let (branch, by, reason) = (BranchIndex(1), principal(), Text::cut("r"));
    check(Fact::Registered(spec()), &format!("02 {SPEC}"));
    let refused = StuckReason::Refused { op: Op::Confirm, refusal: refusal() };
    check(Fact::Stuck { branch, reason: refused }, "05 01 01 02 04676f6e65 026e6f 01");
    let parked = StuckReason::Parked { reason: reason.clone() };
    check(Fact::Stuck { branch, reason: parked }, "05 01 02 0172");
    let row = RowSeen::NotAsked;
    check(Fact::Stuck { branch, reason: StuckReason::Restored { row } }, "05 01 03 01");
    check(Fact::Restored, "0a");
    let reply = || Body::new(b"7");
    for (row, bytes) in [
        (RowSeen::NotAsked, "01"),
        (RowSeen::Absent, "02"),
        (RowSeen::Stale, "03"),
        (RowSeen::Tried { reply: reply() }, "04 0137"),
        (RowSeen::Confirmed { reply: reply() }, "05 0137"),
        (RowSeen::Cancelled { reply: reply() }, "06 0137"),
        (RowSeen::NullCancelled, "07"),
        (RowSeen::Refused, "08"),
    ] {
        check(Fact::Inspected { branch, row }, &format!("0b 01 {bytes}"));
    }
    let (by_, reason_) = (by.clone(), reason.clone());
    let retried = Fact::Retried { branches: vec![branch], by: by_, reason: reason_ };
    check(retried, "06 0101 03616e6e 0172");
    check(Fact::Parked { by: by.clone(), reason: reason.clone() }, "07 03616e6e 0172");
    for (resolution, tag) in
        [(Resolution::Applied, "01"), (Resolution::NotApplied, "02"), (Resolution::Unknown, "03")]
    {
        let (by, reason) = (by.clone(), reason.clone());
        let resolved = Fact::Resolved { branch, resolution, by, reason };
        check(resolved, &format!("08 01 {tag} 03616e6e 0172"));
    }
    for (outcome, tag) in
        [(Outcome::AsDecided, "01"), (Outcome::Mixed, "02"), (Outcome::Hazard, "03")]
    {
        check(Fact::Ended { outcome }, &format!("09 {tag}"));
    }
}

fn any_summary() -> Summary {
    Summary {
        name: Name::new("buy").expect("a name"),
        begun: Timestamp(1_000),
        modes: vec![Mode::Tcc, Mode::Saga],
        phase: PhaseName::Ended,
        decision: Some(Decision::Abort),
        cause: Some(Cause::Refusal),
        outcome: Some(Outcome::Hazard),
        stuck: 300,
        parked: true,
        waits_for: vec![Destination::new("stock").expect("a destination")],
        changed: Timestamp(1_003),
        ended: Some(Timestamp(1_003)),
    }
}

#[cfg(feature = "sqlite")]
fn check_glance(expected: &Summary, naming: Naming, encoded: &[u8]) {
    let glance = Glance::of(encoded).unwrap();
    let name = match naming {
        Naming::Written => Some(expected.name.as_str().as_bytes()),
        Naming::Known => None,
    };
    let seen = (glance.phase, glance.outcome, glance.name);
    assert_eq!(seen, (expected.phase, expected.outcome, name));
    for mode in [Mode::Tcc, Mode::Saga] {
        assert_eq!(glance.has(mode), expected.modes.contains(&mode), "{mode:?}");
    }
}

fn check_summary(expected: &Summary, naming: Naming, bytes: &str) {
    let mut encoded = Vec::new();
    put_summary(expected, naming, &mut encoded);
    let hex: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden: String = bytes.split_whitespace().collect();
    assert_eq!(hex, golden, "{expected:?}");
    let mut reader = Reader::new(&encoded);
    assert_eq!(summary(&mut reader, &expected.name).as_ref(), Ok(expected));
    #[cfg(feature = "sqlite")]
    check_glance(expected, naming, &encoded);
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn golden_summaries() {
    let rest = "e807 06 020102 ac02 010573746f636b";
    check_summary(&any_summary(), Naming::Written, &format!("f4 3a 03627579 {rest}"));
    check_summary(&any_summary(), Naming::Known, &format!("f4 32 {rest}"));
    let earlier = Summary { ended: Some(Timestamp(1_001)), ..any_summary() };
    check_summary(&earlier, Naming::Known, "f4 12 e807 06 03 020102 ac02 010573746f636b");
    let open = Summary {
        modes: Vec::new(),
        phase: PhaseName::Open,
        decision: None,
        cause: None,
        outcome: None,
        stuck: 0,
        parked: false,
        waits_for: Vec::new(),
        changed: Timestamp(999),
        ended: None,
        ..any_summary()
    };
    check_summary(&open, Naming::Known, "01 00 e807 01 00 00 00");
    for (phase, byte) in [(PhaseName::Forward, "02"), (PhaseName::Finishing, "03")] {
        let summary = Summary { phase, ..open.clone() };
        check_summary(&summary, Naming::Known, &format!("{byte} 00 e807 01 00 00 00"));
    }
}

#[test]
fn golden_marks() {
    let marked =
        ClockMark { clock: Timestamp(300), limit: Timestamp(2), ended_before: Timestamp(u64::MAX) };
    let mut encoded = Vec::new();
    put_mark(&marked, &mut encoded);
    assert_eq!(encoded, [0xac, 2, 2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    assert_eq!(mark(&mut Reader::new(&encoded)), Ok(marked));
}

#[test]
fn reading_undoes_writing() {
    for seed in 0..200 {
        let mut writer = Writer::new(seed);
        for _ in 0..30 {
            let Content::Transaction { gid, records, summary: expected, .. } = writer.any().content
            else {
                continue;
            };
            let mut encoded = Vec::new();
            records.iter().for_each(|record| put_record(&gid, record, &mut encoded));
            let count = records.len() as u64;
            assert_eq!(decode_records(&gid, count, &encoded), Ok(records), "seed {seed}");
            let short = decode_records(&gid, count, &encoded[..encoded.len() - 1]);
            assert!(short.is_err(), "seed {seed}");
            let mut encoded = Vec::new();
            put_summary(&expected, Naming::Written, &mut encoded);
            #[cfg(feature = "sqlite")]
            check_glance(&expected, Naming::Written, &encoded);
            assert_eq!(summary(&mut Reader::new(&encoded), &expected.name), Ok(expected));
        }
    }
}

#[test]
fn numbers_of_every_length() {
    for bits in 0..64 {
        for number in [1 << bits, (1 << bits) - 1, u64::MAX >> bits] {
            let mut encoded = Vec::new();
            put_number(number, &mut encoded);
            assert!(encoded.len() <= 10);
            assert_eq!(Reader::new(&encoded).number(), Ok(number));
        }
    }
    let too_long = [0x80; 10];
    assert!(Reader::new(&too_long).number().is_err());
    let too_large = [255, 255, 255, 255, 255, 255, 255, 255, 255, 2];
    assert_eq!(
        Reader::new(&too_large).number(),
        Err(DecodeError::Number { what: "64 bits" }),
        "the tenth byte holds one bit"
    );
}

#[test]
fn a_length_that_lies_is_refused_before_anything_is_taken() {
    for (bytes, expected) in [
        (vec![0xac, 2, 2, 0xff, 0xff, 3, 0x62], DecodeError::Length { length: 65_535, left: 1 }),
        (vec![0xac, 2, 6, 0xff, 0xff, 3], DecodeError::Length { length: 65_535, left: 0 }),
        (vec![0xac, 2, 77], DecodeError::Tag { what: "fact", tag: 77 }),
        (vec![0xac, 2], DecodeError::Short),
        (vec![0xac, 2, 9, 1, 0], DecodeError::Left { left: 1 }),
    ] {
        assert_eq!(decode_records(&gid(), 1, &bytes), Err(expected));
    }
}

#[test]
fn any_bytes_are_read_or_refused() {
    for seed in 0..40_000 {
        let mut chance = Chance::new(seed);
        let mut bytes = Vec::new();
        if chance.percent(50) {
            let record = Record { at: Timestamp(1), fact: chance.fact() };
            encode_record(&gid(), &record, &mut bytes);
            for _ in 0..1 + chance.below(3) {
                let at = chance.below(bytes.len() as u64) as usize;
                bytes[at] = chance.number() as u8;
            }
        } else {
            bytes.extend((0..chance.below(64)).map(|_| chance.below(16) as u8));
        }
        // What is read at all is read as what it would be written as, or a longer number.
        if let Ok(records) = decode_records(&gid(), 1, &bytes) {
            let mut again = Vec::new();
            encode_record(&gid(), &records[0], &mut again);
            assert!(again.len() <= bytes.len(), "seed {seed}");
        }
        let name = Name::new("n").expect("a name");
        drop(summary(&mut Reader::new(&bytes), &name));
    }
}

//! Records on disk: when, and one fact.

use super::DecodeError;
use super::branch::{
    answer, index, indexes, op, put_answer, put_index, put_indexes, put_op, put_resolution,
    put_row, put_spec, put_stuck, resolution, row, spec, stuck,
};
use super::bytes::{Reader, put_list, put_number, put_option, put_text};
use crate::mutants::{self, Mutant};
use wholly_core::ids::{Digest, Gid, IdempotencyKey, Name, Principal};
use wholly_core::record::{Begun, Cause, Decision, Fact, Outcome, Record, Start};

const BEGUN: u8 = 1;
const REGISTERED: u8 = 2;
const ANSWERED: u8 = 3;
const DECIDED: u8 = 4;
const STUCK: u8 = 5;
const RETRIED: u8 = 6;
const PARKED: u8 = 7;
const RESOLVED: u8 = 8;
const ENDED: u8 = 9;
const RESTORED: u8 = 10;
const INSPECTED: u8 = 11;

const OPEN: u8 = 1;
const PLAN: u8 = 2;
const LOST: u8 = 3;

/// A record of a transaction; the gid is known from its surroundings and not written again.
pub(crate) fn put_record(gid: &Gid, record: &Record, out: &mut Vec<u8>) {
    put_number(record.at.0, out);
    match &record.fact {
        Fact::Begun(begun) => {
            out.push(BEGUN);
            put_begun(gid, begun, out);
        }
        Fact::Registered(spec) => {
            out.push(REGISTERED);
            put_spec(spec, out);
        }
        Fact::Answered { branch, op, answer, attempts } => {
            out.push(ANSWERED);
            put_index(*branch, out);
            put_op(*op, out);
            put_answer(answer, out);
            put_number(u64::from(*attempts), out);
        }
        Fact::Decided { decision, cause, branch, reason, out: left_out, untouched } => {
            out.push(DECIDED);
            out.push(decision_tag(*decision));
            out.push(cause_tag(*cause));
            put_option(*branch, out, put_index);
            put_text(reason.as_str(), out);
            put_indexes(left_out, out);
            put_indexes(untouched, out);
        }
        Fact::Stuck { branch, reason } => {
            out.push(STUCK);
            put_index(*branch, out);
            put_stuck(reason, out);
        }
        Fact::Retried { branches, by, reason } => {
            out.push(RETRIED);
            put_indexes(branches, out);
            put_text(by.as_str(), out);
            put_text(reason.as_str(), out);
        }
        Fact::Parked { by, reason } => {
            out.push(PARKED);
            put_text(by.as_str(), out);
            put_text(reason.as_str(), out);
        }
        Fact::Resolved { branch, resolution, by, reason } => {
            out.push(RESOLVED);
            put_index(*branch, out);
            put_resolution(*resolution, out);
            put_text(by.as_str(), out);
            put_text(reason.as_str(), out);
        }
        Fact::Restored => out.push(RESTORED),
        Fact::Inspected { branch, row } => {
            out.push(INSPECTED);
            put_index(*branch, out);
            put_row(row, out);
        }
        Fact::Ended { outcome } => {
            out.push(ENDED);
            out.push(outcome_tag(*outcome));
        }
    }
}

/// Reads what [`put_record`] wrote.
pub(crate) fn record(gid: &Gid, reader: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let at = reader.time()?;
    let fact = match reader.byte()? {
        BEGUN => Fact::Begun(begun(gid, reader)?),
        REGISTERED => Fact::Registered(spec(reader)?),
        ANSWERED => Fact::Answered {
            branch: index(reader)?,
            op: op(reader)?,
            answer: answer(reader)?,
            attempts: reader.number_as("attempts")?,
        },
        DECIDED => Fact::Decided {
            decision: decision(reader.byte()?)?,
            cause: cause(reader.byte()?)?,
            branch: reader.option(index)?,
            reason: reader.text()?,
            out: indexes(reader)?,
            untouched: indexes(reader)?,
        },
        STUCK => Fact::Stuck { branch: index(reader)?, reason: stuck(reader)? },
        RETRIED => Fact::Retried {
            branches: indexes(reader)?,
            by: reader.name(Principal::new)?,
            reason: reader.text()?,
        },
        PARKED => Fact::Parked { by: reader.name(Principal::new)?, reason: reader.text()? },
        RESOLVED => Fact::Resolved {
            branch: index(reader)?,
            resolution: resolution(reader)?,
            by: reader.name(Principal::new)?,
            reason: reader.text()?,
        },
        RESTORED => Fact::Restored,
        INSPECTED => Fact::Inspected { branch: index(reader)?, row: row(reader)? },
        ENDED => Fact::Ended { outcome: outcome(reader.byte()?)? },
        tag => return Err(DecodeError::Tag { what: "fact", tag }),
    };
    Ok(Record { at, fact })
}

fn put_begun(gid: &Gid, begun: &Begun, out: &mut Vec<u8>) {
    assert_eq!(begun.gid, *gid, "a begin is filed under its own gid");
    put_text(begun.name.as_str(), out);
    put_number(begun.begun.0, out);
    put_text(begun.principal.as_str(), out);
    match &begun.start {
        Start::Open { deadline, key, branches } => {
            out.push(OPEN);
            put_number(deadline.0, out);
            put_option(key.as_ref(), out, |(key, digest), out| {
                put_text(key.as_str(), out);
                out.extend_from_slice(&digest.0);
            });
            put_list(branches, out, put_spec);
        }
        Start::Plan { deadline, digest, steps } => {
            out.push(PLAN);
            put_option(*deadline, out, |deadline, out| put_number(deadline.0, out));
            out.extend_from_slice(&digest.0);
            put_list(steps, out, put_spec);
        }
        Start::Lost => out.push(LOST),
    }
}

fn begun(gid: &Gid, reader: &mut Reader<'_>) -> Result<Begun, DecodeError> {
    let name = reader.name(Name::new)?;
    let begun = reader.time()?;
    let principal = reader.name(Principal::new)?;
    let start = match reader.byte()? {
        OPEN => Start::Open {
            deadline: reader.time()?,
            key: reader.option(|reader| {
                let key = reader.name(IdempotencyKey::new)?;
                Ok((key, Digest(reader.array()?)))
            })?,
            branches: reader.list(spec)?,
        },
        PLAN => Start::Plan {
            deadline: reader.option(Reader::time)?,
            digest: Digest(reader.array()?),
            steps: reader.list(spec)?,
        },
        LOST => Start::Lost,
        tag => return Err(DecodeError::Tag { what: "start", tag }),
    };
    Ok(Begun { gid: gid.clone(), name, begun, principal, start })
}

pub(super) fn decision_tag(decision: Decision) -> u8 {
    match decision {
        Decision::Commit => 1,
        Decision::Abort => 2,
    }
}

pub(super) fn decision(tag: u8) -> Result<Decision, DecodeError> {
    match tag {
        1 if mutants::is_on(Mutant::DecisionFlipped) => Ok(Decision::Abort),
        1 => Ok(Decision::Commit),
        2 => Ok(Decision::Abort),
        tag => Err(DecodeError::Tag { what: "decision", tag }),
    }
}

pub(super) fn cause_tag(cause: Cause) -> u8 {
    match cause {
        Cause::Initiator => 1,
        Cause::Refusal => 2,
        Cause::Unknown => 3,
        Cause::Deadline => 4,
        Cause::Operator => 5,
    }
}

pub(super) fn cause(tag: u8) -> Result<Cause, DecodeError> {
    match tag {
        1 => Ok(Cause::Initiator),
        2 => Ok(Cause::Refusal),
        3 => Ok(Cause::Unknown),
        4 => Ok(Cause::Deadline),
        5 => Ok(Cause::Operator),
        tag => Err(DecodeError::Tag { what: "cause", tag }),
    }
}

pub(super) fn outcome_tag(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::AsDecided => 1,
        Outcome::Mixed => 2,
        Outcome::Hazard => 3,
    }
}

pub(super) fn outcome(tag: u8) -> Result<Outcome, DecodeError> {
    match tag {
        1 => Ok(Outcome::AsDecided),
        2 => Ok(Outcome::Mixed),
        3 => Ok(Outcome::Hazard),
        tag => Err(DecodeError::Tag { what: "outcome", tag }),
    }
}

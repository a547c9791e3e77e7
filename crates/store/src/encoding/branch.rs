//! Branches on disk: what the initiator said of them, and what participants answered.

use super::DecodeError;
use super::bytes::{Reader, put_bytes, put_list, put_number, put_text};
use wholly_core::branch::{
    Answer, BranchSpec, Caller, Direction, Kept, Mode, Op, Refusal, Resolution, RowSeen,
    StuckReason,
};
use wholly_core::ids::{BranchId, BranchIndex, Code, Destination, Operation};

pub(super) fn put_mode(mode: Mode, out: &mut Vec<u8>) {
    out.push(match mode {
        Mode::Tcc => 1,
        Mode::Saga => 2,
    });
}

pub(super) fn mode(reader: &mut Reader<'_>) -> Result<Mode, DecodeError> {
    match reader.byte()? {
        1 => Ok(Mode::Tcc),
        2 => Ok(Mode::Saga),
        tag => Err(DecodeError::Tag { what: "mode", tag }),
    }
}

pub(super) fn put_op(op: Op, out: &mut Vec<u8>) {
    out.push(match op {
        Op::Try => 1,
        Op::Confirm => 2,
        Op::Cancel => 3,
        Op::Action => 4,
        Op::Compensate => 5,
        Op::Inspect => 6,
    });
}

pub(super) fn op(reader: &mut Reader<'_>) -> Result<Op, DecodeError> {
    match reader.byte()? {
        1 => Ok(Op::Try),
        2 => Ok(Op::Confirm),
        3 => Ok(Op::Cancel),
        4 => Ok(Op::Action),
        5 => Ok(Op::Compensate),
        6 => Ok(Op::Inspect),
        tag => Err(DecodeError::Tag { what: "op", tag }),
    }
}

pub(super) fn put_index(index: BranchIndex, out: &mut Vec<u8>) {
    put_number(u64::from(index.0), out);
}

pub(super) fn index(reader: &mut Reader<'_>) -> Result<BranchIndex, DecodeError> {
    Ok(BranchIndex(reader.number_as("a branch's place")?))
}

pub(super) fn put_indexes(list: &[BranchIndex], out: &mut Vec<u8>) {
    put_list(list, out, |index_, out| put_index(*index_, out));
}

pub(super) fn indexes(reader: &mut Reader<'_>) -> Result<Vec<BranchIndex>, DecodeError> {
    reader.list(index)
}

/// Caller and direction share a byte: bit 0, the initiator calls; bit 1, forward only.
const CALLER_BIT: u8 = 1;
const DIRECTION_BIT: u8 = 2;

pub(super) fn put_spec(spec: &BranchSpec, out: &mut Vec<u8>) {
    put_text(spec.id.as_str(), out);
    put_mode(spec.mode, out);
    put_text(spec.destination.as_str(), out);
    put_text(spec.operation.as_str(), out);
    put_bytes(spec.payload.as_bytes(), out);
    let caller = match spec.caller {
        Caller::Coordinator => 0,
        Caller::Initiator => CALLER_BIT,
    };
    let direction = match spec.direction {
        Direction::Reversible => 0,
        Direction::ForwardOnly => DIRECTION_BIT,
    };
    out.push(caller | direction);
    put_indexes(&spec.after, out);
    put_indexes(&spec.reads, out);
}

pub(super) fn spec(reader: &mut Reader<'_>) -> Result<BranchSpec, DecodeError> {
    let id = reader.name(BranchId::new)?;
    let mode = mode(reader)?;
    let destination = reader.name(Destination::new)?;
    let operation = reader.name(Operation::new)?;
    let payload = reader.body()?;
    let bits = reader.byte()?;
    if bits & !(CALLER_BIT | DIRECTION_BIT) != 0 {
        return Err(DecodeError::Tag { what: "caller and direction", tag: bits });
    }
    let caller = match bits & CALLER_BIT {
        0 => Caller::Coordinator,
        _ => Caller::Initiator,
    };
    let direction = match bits & DIRECTION_BIT {
        0 => Direction::Reversible,
        _ => Direction::ForwardOnly,
    };
    let after = indexes(reader)?;
    let reads = indexes(reader)?;
    Ok(BranchSpec { id, mode, destination, operation, payload, caller, after, reads, direction })
}

fn put_kept(kept: Kept, out: &mut Vec<u8>) {
    out.push(match kept {
        Kept::NotKept => 0,
        Kept::Kept => 1,
    });
}

fn kept(reader: &mut Reader<'_>) -> Result<Kept, DecodeError> {
    match reader.byte()? {
        0 => Ok(Kept::NotKept),
        1 => Ok(Kept::Kept),
        tag => Err(DecodeError::Tag { what: "kept", tag }),
    }
}

fn put_refusal(refusal: &Refusal, out: &mut Vec<u8>) {
    put_text(refusal.code.as_str(), out);
    put_text(refusal.detail.as_str(), out);
    put_kept(refusal.kept, out);
}

fn refusal(reader: &mut Reader<'_>) -> Result<Refusal, DecodeError> {
    let code = reader.name(Code::new)?;
    let detail = reader.text()?;
    let kept = kept(reader)?;
    Ok(Refusal { code, detail, kept })
}

pub(super) fn put_answer(answer: &Answer, out: &mut Vec<u8>) {
    match answer {
        Answer::Done { reply, kept } => {
            out.push(1);
            put_bytes(reply.as_bytes(), out);
            put_kept(*kept, out);
        }
        Answer::Refused(refusal) => {
            out.push(2);
            put_refusal(refusal, out);
        }
        Answer::Working => out.push(3),
        Answer::Unknown { detail } => {
            out.push(4);
            put_text(detail.as_str(), out);
        }
    }
}

pub(super) fn answer(reader: &mut Reader<'_>) -> Result<Answer, DecodeError> {
    match reader.byte()? {
        1 => {
            let reply = reader.body()?;
            let kept = kept(reader)?;
            Ok(Answer::Done { reply, kept })
        }
        2 => Ok(Answer::Refused(refusal(reader)?)),
        3 => Ok(Answer::Working),
        4 => Ok(Answer::Unknown { detail: reader.text()? }),
        tag => Err(DecodeError::Tag { what: "answer", tag }),
    }
}

pub(super) fn put_stuck(reason: &StuckReason, out: &mut Vec<u8>) {
    match reason {
        StuckReason::Refused { op, refusal } => {
            out.push(1);
            put_op(*op, out);
            put_refusal(refusal, out);
        }
        StuckReason::Parked { reason } => {
            out.push(2);
            put_text(reason.as_str(), out);
        }
        StuckReason::Restored { row } => {
            out.push(3);
            put_row(row, out);
        }
    }
}

pub(super) fn stuck(reader: &mut Reader<'_>) -> Result<StuckReason, DecodeError> {
    match reader.byte()? {
        1 => {
            let op = op(reader)?;
            let refusal = refusal(reader)?;
            Ok(StuckReason::Refused { op, refusal })
        }
        2 => Ok(StuckReason::Parked { reason: reader.text()? }),
        3 => Ok(StuckReason::Restored { row: row(reader)? }),
        tag => Err(DecodeError::Tag { what: "stuck reason", tag }),
    }
}

pub(super) fn put_row(row: &RowSeen, out: &mut Vec<u8>) {
    let (tag, reply) = match row {
        RowSeen::NotAsked => (1, None),
        RowSeen::Absent => (2, None),
        RowSeen::Stale => (3, None),
        RowSeen::Tried { reply } => (4, Some(reply)),
        RowSeen::Confirmed { reply } => (5, Some(reply)),
        RowSeen::Cancelled { reply } => (6, Some(reply)),
        RowSeen::NullCancelled => (7, None),
        RowSeen::Refused => (8, None),
    };
    out.push(tag);
    if let Some(reply) = reply {
        put_bytes(reply.as_bytes(), out);
    }
}

pub(super) fn row(reader: &mut Reader<'_>) -> Result<RowSeen, DecodeError> {
    match reader.byte()? {
        1 => Ok(RowSeen::NotAsked),
        2 => Ok(RowSeen::Absent),
        3 => Ok(RowSeen::Stale),
        4 => Ok(RowSeen::Tried { reply: reader.body()? }),
        5 => Ok(RowSeen::Confirmed { reply: reader.body()? }),
        6 => Ok(RowSeen::Cancelled { reply: reader.body()? }),
        7 => Ok(RowSeen::NullCancelled),
        8 => Ok(RowSeen::Refused),
        tag => Err(DecodeError::Tag { what: "row seen", tag }),
    }
}

pub(super) fn put_resolution(resolution: Resolution, out: &mut Vec<u8>) {
    out.push(match resolution {
        Resolution::Applied => 1,
        Resolution::NotApplied => 2,
        Resolution::Unknown => 3,
    });
}

pub(super) fn resolution(reader: &mut Reader<'_>) -> Result<Resolution, DecodeError> {
    match reader.byte()? {
        1 => Ok(Resolution::Applied),
        2 => Ok(Resolution::NotApplied),
        3 => Ok(Resolution::Unknown),
        tag => Err(DecodeError::Tag { what: "resolution", tag }),
    }
}

//! Summaries on disk: what a store indexes of a transaction, packed.

use super::DecodeError;
use super::branch::{mode, put_mode};
use super::bytes::{Reader, put_list, put_number, put_text};
use super::record::{cause, cause_tag, decision, decision_tag, outcome, outcome_tag};
#[cfg(feature = "sqlite")]
use wholly_core::branch::Mode;
use wholly_core::ids::{Destination, Name};
#[cfg(feature = "sqlite")]
use wholly_core::record::Outcome;
use wholly_core::record::{PhaseName, Summary};
use wholly_core::time::Timestamp;

// The first byte: phase in bits 0 to 2, decision in 3 and 4, outcome in 5 and 6, parked in 7.
// The second: cause in bits 0 to 2, then these.
const NAMED: u8 = 1 << 3;
const ENDED: u8 = 1 << 4;
const ENDED_WHEN_CHANGED: u8 = 1 << 5;

/// Whether a summary writes its name down; a later draft of a transaction need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    Written,
    Known,
}

/// A summary, its times as differences.
pub(crate) fn put_summary(summary: &Summary, naming: Naming, out: &mut Vec<u8>) {
    let decision = summary.decision.map_or(0, decision_tag);
    let outcome = summary.outcome.map_or(0, outcome_tag);
    let parked = u8::from(summary.parked);
    out.push(phase_tag(summary.phase) | decision << 3 | outcome << 5 | parked << 7);
    let cause = summary.cause.map_or(0, cause_tag);
    let named = match naming {
        Naming::Written => NAMED,
        Naming::Known => 0,
    };
    let ended = match summary.ended {
        None => 0,
        Some(ended) if ended == summary.changed => ENDED | ENDED_WHEN_CHANGED,
        Some(_) => ENDED,
    };
    out.push(cause | named | ended);
    if naming == Naming::Written {
        put_text(summary.name.as_str(), out);
    }
    put_number(summary.begun.0, out);
    put_time_near(summary.changed, summary.begun, out);
    if ended == ENDED {
        put_time_near(summary.ended.unwrap_or_default(), summary.changed, out);
    }
    put_list(&summary.modes, out, |mode, out| put_mode(*mode, out));
    put_number(u64::from(summary.stuck), out);
    put_list(&summary.waits_for, out, |destination, out| put_text(destination.as_str(), out));
}

/// Reads what [`put_summary`] wrote; a name that was not written is the one given.
pub(crate) fn summary(reader: &mut Reader<'_>, known: &Name) -> Result<Summary, DecodeError> {
    let [first, second] = reader.array()?;
    if second & !(7 | NAMED | ENDED | ENDED_WHEN_CHANGED) != 0 {
        return Err(DecodeError::Tag { what: "summary", tag: second });
    }
    let phase = phase(first & 7)?;
    let decision = tagged(first >> 3 & 3, decision)?;
    let outcome = tagged(first >> 5 & 3, outcome)?;
    let cause = tagged(second & 7, cause)?;
    let name = match second & NAMED {
        0 => known.clone(),
        _ => reader.name(Name::new)?,
    };
    let begun = reader.time()?;
    let changed = time_near(begun, reader)?;
    let ended = match (second & ENDED, second & ENDED_WHEN_CHANGED) {
        (0, 0) => None,
        (0, _) => return Err(DecodeError::Tag { what: "summary", tag: second }),
        (_, 0) => Some(time_near(changed, reader)?),
        (_, _) => Some(changed),
    };
    let modes = reader.list(mode)?;
    let stuck = reader.number_as("stuck branches")?;
    let waits_for = reader.list(|reader| reader.name(Destination::new))?;
    let parked = first >> 7 == 1;
    Ok(Summary {
        name,
        begun,
        modes,
        phase,
        decision,
        cause,
        outcome,
        stuck,
        parked,
        waits_for,
        changed,
        ended,
    })
}

/// As much of a summary as most filters ask for, read without keeping any of it.
#[cfg(feature = "sqlite")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glance<'a> {
    pub(crate) phase: PhaseName,
    pub(crate) outcome: Option<Outcome>,
    /// None where it is not written down.
    pub(crate) name: Option<&'a [u8]>,
    /// Each as its mode is spelled.
    pub(crate) modes: &'a [u8],
}

#[cfg(feature = "sqlite")]
impl<'a> Glance<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Glance<'a>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let [first, second] = reader.array()?;
        let (phase, outcome) = (phase(first & 7)?, tagged(first >> 5 & 3, outcome)?);
        let name = match second & NAMED {
            0 => None,
            _ => Some(reader.bytes()?),
        };
        // The begin, the last change, and the end where it is another time than that.
        reader.number()?;
        reader.number()?;
        if second & (ENDED | ENDED_WHEN_CHANGED) == ENDED {
            reader.number()?;
        }
        let modes = reader.number_as("modes")?;
        let modes = reader.take(modes)?;
        Ok(Glance { phase, outcome, name, modes })
    }

    /// Whether one of its modes is this one.
    pub(crate) fn has(&self, asked: Mode) -> bool {
        let mut spelled = Vec::with_capacity(1);
        put_mode(asked, &mut spelled);
        self.modes.contains(&spelled[0])
    }
}

fn tagged<T>(
    tag: u8,
    read: impl Fn(u8) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if tag == 0 { Ok(None) } else { read(tag).map(Some) }
}

fn phase_tag(phase: PhaseName) -> u8 {
    match phase {
        PhaseName::Open => 1,
        PhaseName::Forward => 2,
        PhaseName::Finishing => 3,
        PhaseName::Ended => 4,
    }
}

fn phase(tag: u8) -> Result<PhaseName, DecodeError> {
    match tag {
        1 => Ok(PhaseName::Open),
        2 => Ok(PhaseName::Forward),
        3 => Ok(PhaseName::Finishing),
        4 => Ok(PhaseName::Ended),
        tag => Err(DecodeError::Tag { what: "phase", tag }),
    }
}

/// A time close to another: the difference, its sign in the lowest bit.
fn put_time_near(time: Timestamp, near: Timestamp, out: &mut Vec<u8>) {
    let difference = time.0.wrapping_sub(near.0) as i64;
    put_number(((difference << 1) ^ (difference >> 63)) as u64, out);
}

fn time_near(near: Timestamp, reader: &mut Reader<'_>) -> Result<Timestamp, DecodeError> {
    let number = reader.number()?;
    let difference = (number >> 1) ^ (number & 1).wrapping_neg();
    Ok(Timestamp(near.0.wrapping_add(difference)))
}

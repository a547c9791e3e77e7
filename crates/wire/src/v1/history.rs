//! The records of a transaction as a timeline.

use super::answer::{History, Record, What};
use super::convert::{calls, refusal, row_word};
use super::json::raw;
use super::time::Time;
use crate::headers::AnswerWord;
use std::borrow::Cow;
use wholly_core::branch::{Answer, BranchSpec, StuckReason};
use wholly_core::document::Attempts;
use wholly_core::ids::{BranchIndex, Gid, Text};
use wholly_core::record::{self, Begun, Fact, Start};

/// The timeline of a transaction; `attempts` tell how its calls stand while it is open.
pub fn history<'a>(
    gid: &'a Gid,
    records: &'a [record::Record],
    attempts: &'a [Attempts],
) -> History<'a> {
    let mut names = Vec::new();
    let mut timeline = Vec::with_capacity(records.len());
    for (version, record) in (1..).zip(records) {
        // Later records name branches by their places.
        names.extend(record.fact.branches().iter().map(|spec| spec.id.as_str()));
        let empty = Record {
            version,
            at: Time(record.at),
            what: What::Ended.into(),
            branch: None,
            branches: Vec::new(),
            to: None,
            operation: None,
            mode: None,
            op: None,
            answer: None,
            attempts: None,
            reply: None,
            refusal: None,
            decision: None,
            cause: None,
            outcome: None,
            resolution: None,
            deadline: None,
            by: None,
            reason: None,
            row: None,
        };
        timeline.push(told(empty, &record.fact, &names));
    }
    History { gid: gid.as_str().into(), records: timeline, calls: calls(attempts) }
}

fn told<'a>(empty: Record<'a>, fact: &'a Fact, names: &[&'a str]) -> Record<'a> {
    let name = |index: BranchIndex| names.get(index.at()).map(|name| Cow::Borrowed(*name));
    match fact {
        Fact::Begun(begun) => told_begun(empty, begun, names),
        Fact::Registered(spec) => told_registered(empty, spec),
        Fact::Answered { branch, op, answer, attempts } => Record {
            what: What::Answered.into(),
            branch: name(*branch),
            op: Some((*op).into()),
            attempts: Some(*attempts),
            ..told_answer(empty, answer)
        },
        Fact::Decided { decision, cause, branch, reason, out, untouched: _ } => Record {
            what: What::Decided.into(),
            decision: Some((*decision).into()),
            cause: Some((*cause).into()),
            branch: branch.and_then(name),
            branches: out.iter().copied().filter_map(name).collect(),
            reason: said(reason),
            ..empty
        },
        Fact::Stuck { branch, reason } => {
            Record { what: What::Stuck.into(), branch: name(*branch), ..told_stuck(empty, reason) }
        }
        Fact::Retried { branches, by, reason } => Record {
            what: What::Retried.into(),
            branches: branches.iter().copied().filter_map(name).collect(),
            by: Some(by.as_str().into()),
            reason: said(reason),
            ..empty
        },
        Fact::Parked { by, reason } => Record {
            what: What::Parked.into(),
            by: Some(by.as_str().into()),
            reason: said(reason),
            ..empty
        },
        Fact::Resolved { branch, resolution, by, reason } => Record {
            what: What::Resolved.into(),
            branch: name(*branch),
            resolution: Some((*resolution).into()),
            by: Some(by.as_str().into()),
            reason: said(reason),
            ..empty
        },
        Fact::Restored => Record { what: What::Restored.into(), ..empty },
        Fact::Inspected { branch, row } => Record {
            what: What::Inspected.into(),
            branch: name(*branch),
            row: row_word(row).map(Into::into),
            ..empty
        },
        Fact::Ended { outcome } => {
            Record { what: What::Ended.into(), outcome: Some((*outcome).into()), ..empty }
        }
    }
}

fn told_begun<'a>(empty: Record<'a>, begun: &'a Begun, names: &[&'a str]) -> Record<'a> {
    let (what, deadline) = match &begun.start {
        Start::Open { deadline, .. } => (What::Begun, Some(*deadline)),
        Start::Plan { deadline, .. } => (What::Submitted, *deadline),
        Start::Lost => (What::Lost, None),
    };
    Record {
        what: what.into(),
        branches: names.iter().map(|name| Cow::Borrowed(*name)).collect(),
        deadline: deadline.map(Time),
        by: Some(begun.principal.as_str().into()),
        ..empty
    }
}

fn told_registered<'a>(empty: Record<'a>, spec: &'a BranchSpec) -> Record<'a> {
    Record {
        what: What::Registered.into(),
        branch: Some(spec.id.as_str().into()),
        to: Some(spec.destination.as_str().into()),
        operation: Some(spec.operation.as_str().into()),
        mode: Some(spec.mode.into()),
        ..empty
    }
}

fn told_answer<'a>(empty: Record<'a>, answer: &'a Answer) -> Record<'a> {
    match answer {
        Answer::Done { reply, .. } => Record {
            answer: Some(AnswerWord::Done.into()),
            reply: (!reply.is_empty()).then(|| raw(reply)),
            ..empty
        },
        Answer::Refused(refused) => Record {
            answer: Some(AnswerWord::Refused.into()),
            refusal: Some(refusal(refused)),
            ..empty
        },
        Answer::Working => Record { answer: Some(AnswerWord::Working.into()), ..empty },
        Answer::Unknown { detail } => Record { reason: said(detail), ..empty },
    }
}

fn told_stuck<'a>(empty: Record<'a>, reason: &'a StuckReason) -> Record<'a> {
    match reason {
        StuckReason::Refused { op, refusal: refused } => {
            Record { op: Some((*op).into()), refusal: Some(refusal(refused)), ..empty }
        }
        StuckReason::Parked { reason } => Record { reason: said(reason), ..empty },
        StuckReason::Restored { row } => Record { row: row_word(row).map(Into::into), ..empty },
    }
}

fn said(text: &Text) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then(|| text.as_str().into())
}

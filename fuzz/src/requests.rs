//! Request bodies of v1: each reader over the same bytes.

use serde_json::value::RawValue;
use std::borrow::Cow;
use wholly_core::branch::{BranchSpec, Caller, Direction};
use wholly_core::ids::{Body, BranchId, Text};
use wholly_core::input::Action;
use wholly_core::plan;
use wholly_wire::edge::EdgeRejection;
use wholly_wire::v1::request::{
    Abort, Begin, Branch, Commit, Reasoned, Resolve, Retry, Step, Submit,
};
use wholly_wire::v1::{
    NESTING_MAX, Operation, Wish, is_too_deep, read_abort, read_begin, read_branch, read_commit,
    read_operation, read_submit,
};
use wholly_wire::words::Spelled;

/// What is read, and printed, is read the same: digests included.
pub(crate) fn run(bytes: &[u8]) {
    check(bytes, read_begin, |opening| {
        json(&Begin {
            name: opening.name.as_str().into(),
            gid: opening.gid.as_ref().map(|gid| gid.as_str().into()),
            timeout_ms: opening.timeout_ms,
            branches: opening.branches.iter().map(branch).collect(),
        })
    });
    check(bytes, read_submit, |plan| {
        json(&Submit {
            name: plan.name.as_str().into(),
            timeout_ms: plan.timeout_ms,
            steps: plan.steps.iter().map(step).collect(),
        })
    });
    check(bytes, read_branch, |spec| json(&branch(spec)));
    check(bytes, read_commit, |votes| {
        json(&Commit { tried: names(&votes.tried), refused: names(&votes.refused) })
    });
    check(bytes, read_abort, |Wish { reason, branch }| {
        json(&Abort { reason: Some(reason.as_str().into()), branch: branch.as_ref().map(named) })
    });
    for operation in [Operation::Retry, Operation::Park, Operation::Resolve, Operation::Abort] {
        let read = |bytes: &[u8]| read_operation(operation, bytes);
        check(bytes, read, |(action, reason)| operated(action, reason));
    }
}

fn check<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, EdgeRejection>,
    print: impl Fn(&T) -> String,
) {
    match read(bytes) {
        Ok(first) => {
            let printed = print(&first);
            let second = read(printed.as_bytes());
            assert_eq!(second.as_ref(), Ok(&first), "{printed}");
        }
        Err(rejection) => assert!(!rejection.to_string().is_empty(), "it says what is wrong"),
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a request is JSON")
}

fn named(id: &BranchId) -> Cow<'_, str> {
    id.as_str().into()
}

fn names(ids: &[BranchId]) -> Vec<Cow<'_, str>> {
    ids.iter().map(named).collect()
}

/// A payload that was taken is JSON, not too deep, and without blanks to spare.
fn payload(body: &Body) -> &RawValue {
    assert!(!is_too_deep(body.as_bytes()), "nested at most {NESTING_MAX} deep");
    serde_json::from_slice(body.as_bytes()).expect("a payload is JSON")
}

fn branch(spec: &BranchSpec) -> Branch<'_> {
    Branch {
        branch: named(&spec.id),
        mode: spec.mode.spell().into(),
        to: spec.destination.as_str().into(),
        operation: spec.operation.as_str().into(),
        payload: Some(payload(&spec.payload)),
        call: spec.caller == Caller::Coordinator,
    }
}

fn step(step: &plan::Step) -> Step<'_> {
    Step {
        branch: named(&step.branch),
        to: step.destination.as_str().into(),
        operation: step.operation.as_str().into(),
        payload: Some(payload(&step.payload)),
        after: names(&step.after),
        reads: names(&step.reads),
        forward: step.direction == Direction::ForwardOnly,
    }
}

fn operated(action: &Action, reason: &Text) -> String {
    assert!(!reason.is_empty(), "an operator says why");
    let reason: Cow<'_, str> = reason.as_str().into();
    match action {
        Action::Retry { branch } => json(&Retry { reason, branch: branch.as_ref().map(named) }),
        Action::Park | Action::Abort | Action::Commit => json(&Reasoned { reason }),
        Action::Resolve { branch, resolution } => {
            let resolution = resolution.spell().into();
            json(&Resolve { reason, branch: named(branch), resolution })
        }
    }
}

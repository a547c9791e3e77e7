//! From request bodies to the words of core: every name is parsed here, once.

use super::request::{Abort, Begin, Branch, Commit, Pause, Reasoned, Resolve, Retry, Step, Submit};
use super::shape::parse;
use super::{digest, json};
use crate::edge::EdgeRejection;
use crate::words::Spelled;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use wholly_core::branch::{BranchSpec, Caller, Direction, Mode, Resolution};
use wholly_core::ids::{Body, BranchId, Destination, Digest, Gid, Name, NameError, Text};
use wholly_core::input::Action;
use wholly_core::plan;

/// What a begin says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Its id, if the client chose one.
    pub gid: Option<Gid>,
    /// The kind of transaction.
    pub name: Name,
    /// How long it may stay open.
    pub timeout_ms: Option<u64>,
    /// Branches declared at once.
    pub branches: Vec<BranchSpec>,
    /// Of all this.
    pub digest: Digest,
}

/// What a submit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The kind of transaction.
    pub name: Name,
    /// It turns back after this long.
    pub timeout_ms: Option<u64>,
    /// The steps in the client's order.
    pub steps: Vec<plan::Step>,
    /// Of all this.
    pub digest: Digest,
}

/// What a commit says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// Branches whose try the initiator saw done.
    pub tried: Vec<BranchId>,
    /// Branches that the initiator saw refused.
    pub refused: Vec<BranchId>,
}

/// What an abort says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Why.
    pub reason: Text,
    /// The branch that made it so.
    pub branch: Option<BranchId>,
}

/// Which action of an operator a body belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Let stuck branches be called again.
    Retry,
    /// Make every unfinished branch stuck.
    Park,
    /// Say how a stuck branch stands.
    Resolve,
    /// Commit what a restore left undecided.
    Commit,
    /// Abort what is not decided.
    Abort,
}

/// Reads `POST /v1/transactions`.
pub fn read_begin(bytes: &[u8]) -> Result<Opening, EdgeRejection> {
    let begin: Begin<'_> = parse(bytes)?;
    let gid = begin.gid.as_deref().map(|gid| Place::TOP.name("gid", gid)).transpose()?;
    let name = Place::TOP.name("name", &begin.name)?;
    let branches = begin.branches.iter().enumerate();
    let branches: Vec<BranchSpec> = branches
        .map(|(at, branch)| branch_spec(Place::of("branches", at), branch))
        .collect::<Result<_, _>>()?;
    let digest = digest::of_begin(gid.as_ref(), &name, begin.timeout_ms, &branches);
    Ok(Opening { gid, name, timeout_ms: begin.timeout_ms, branches, digest })
}

/// Reads `PUT /v1/transactions/{gid}`.
pub fn read_submit(bytes: &[u8]) -> Result<Plan, EdgeRejection> {
    let submit: Submit<'_> = parse(bytes)?;
    let name = Place::TOP.name("name", &submit.name)?;
    let steps = submit.steps.iter().enumerate();
    let steps: Vec<plan::Step> = steps
        .map(|(at, step)| plan_step(Place::of("steps", at), step))
        .collect::<Result<_, _>>()?;
    let digest = digest::of_plan(&name, submit.timeout_ms, &steps);
    Ok(Plan { name, timeout_ms: submit.timeout_ms, steps, digest })
}

/// Reads `POST /v1/transactions/{gid}/branches`.
pub fn read_branch(bytes: &[u8]) -> Result<BranchSpec, EdgeRejection> {
    branch_spec(Place::TOP, &parse(bytes)?)
}

/// Reads `POST /v1/transactions/{gid}/commit`; the body may be left out.
pub fn read_commit(bytes: &[u8]) -> Result<Votes, EdgeRejection> {
    let commit: Commit<'_> = parse(bytes)?;
    Ok(Votes {
        tried: names("tried", Place::TOP, &commit.tried)?,
        refused: names("refused", Place::TOP, &commit.refused)?,
    })
}

/// Reads `POST /v1/transactions/{gid}/abort`; the body may be left out.
pub fn read_abort(bytes: &[u8]) -> Result<Wish, EdgeRejection> {
    let abort: Abort<'_> = parse(bytes)?;
    let reason = abort.reason.as_deref().unwrap_or_default();
    Ok(Wish {
        reason: Text::new(reason).map_err(|why| EdgeRejection::invalid("reason", why))?,
        branch: abort.branch.as_deref().map(|id| Place::TOP.name("branch", id)).transpose()?,
    })
}

/// Reads what an operator asks; a reason is required.
pub fn read_operation(operation: Operation, bytes: &[u8]) -> Result<(Action, Text), EdgeRejection> {
    match operation {
        Operation::Retry => {
            let retry: Retry<'_> = parse(bytes)?;
            let branch = retry.branch.as_deref();
            let branch = branch.map(|id| Place::TOP.name("branch", id)).transpose()?;
            Ok((Action::Retry { branch }, reason(&retry.reason)?))
        }
        Operation::Park => Ok((Action::Park, reason(&parse::<Reasoned<'_>>(bytes)?.reason)?)),
        Operation::Resolve => {
            let resolve: Resolve<'_> = parse(bytes)?;
            let branch = Place::TOP.name("branch", &resolve.branch)?;
            let resolution = Place::TOP.word::<Resolution>("resolution", &resolve.resolution)?;
            Ok((Action::Resolve { branch, resolution }, reason(&resolve.reason)?))
        }
        Operation::Commit => Ok((Action::Commit, reason(&parse::<Reasoned<'_>>(bytes)?.reason)?)),
        Operation::Abort => Ok((Action::Abort, reason(&parse::<Reasoned<'_>>(bytes)?.reason)?)),
    }
}

/// Reads which destination an operator speaks of, and why.
pub fn read_pause(bytes: &[u8]) -> Result<(Destination, Text), EdgeRejection> {
    let pause: Pause<'_> = parse(bytes)?;
    let destination = Place::TOP.name("destination", &pause.destination)?;
    Ok((destination, reason(&pause.reason)?))
}

/// Reads why an operator acts.
pub fn read_reason(bytes: &[u8]) -> Result<Text, EdgeRejection> {
    reason(&parse::<Reasoned<'_>>(bytes)?.reason)
}

/// An operator says why; who reads the history will ask.
fn reason(text: &str) -> Result<Text, EdgeRejection> {
    let text = text.trim();
    if text.is_empty() {
        return Err(EdgeRejection::invalid("reason", "is empty; say why, for the history"));
    }
    Text::new(text).map_err(|why| EdgeRejection::invalid("reason", why))
}

fn branch_spec(place: Place, branch: &Branch<'_>) -> Result<BranchSpec, EdgeRejection> {
    Ok(BranchSpec {
        id: place.name("branch", &branch.branch)?,
        mode: place.word::<Mode>("mode", &branch.mode)?,
        destination: place.name("to", &branch.to)?,
        operation: place.name("operation", &branch.operation)?,
        payload: place.payload(branch.payload)?,
        caller: match branch.call {
            true => Caller::Coordinator,
            false => Caller::Initiator,
        },
        after: Vec::new(),
        reads: Vec::new(),
        direction: Direction::Reversible,
    })
}

fn plan_step(place: Place, step: &Step<'_>) -> Result<plan::Step, EdgeRejection> {
    Ok(plan::Step {
        branch: place.name("branch", &step.branch)?,
        destination: place.name("to", &step.to)?,
        operation: place.name("operation", &step.operation)?,
        payload: place.payload(step.payload)?,
        after: names("after", place, &step.after)?,
        reads: names("reads", place, &step.reads)?,
        direction: match step.forward {
            true => Direction::ForwardOnly,
            false => Direction::Reversible,
        },
    })
}

fn names(
    field: &'static str,
    place: Place,
    texts: &[Cow<'_, str>],
) -> Result<Vec<BranchId>, EdgeRejection> {
    let parsed = texts.iter().enumerate().map(|(at, text)| {
        let wrong = |why| EdgeRejection::invalid(format!("{}[{at}]", place.path(field)), why);
        text.parse::<BranchId>().map_err(wrong)
    });
    parsed.collect()
}

/// Where in the body a field stands; its path is made only when something is wrong.
#[derive(Clone, Copy)]
struct Place(Option<(&'static str, usize)>);

impl Place {
    const TOP: Place = Place(None);

    fn of(list: &'static str, at: usize) -> Place {
        Place(Some((list, at)))
    }

    fn path(self, field: &str) -> String {
        match self.0 {
            None => field.to_string(),
            Some((list, at)) => format!("{list}[{at}].{field}"),
        }
    }

    fn name<T: FromStr<Err = NameError>>(
        self,
        field: &str,
        text: &str,
    ) -> Result<T, EdgeRejection> {
        text.parse().map_err(|why: NameError| self.wrong(field, why))
    }

    fn word<T: Spelled>(self, field: &str, text: &str) -> Result<T, EdgeRejection> {
        T::parse(text)
            .ok_or_else(|| self.wrong(field, format_args!("is none of {}", T::spellings())))
    }

    fn payload(self, payload: Option<&RawValue>) -> Result<Body, EdgeRejection> {
        json::compact(payload.unwrap_or(RawValue::NULL)).map_err(|_| {
            let max = json::NESTING_MAX;
            self.wrong("payload", format_args!("is nested deeper than {max} levels; flatten it"))
        })
    }

    fn wrong(self, field: &str, why: impl fmt::Display) -> EdgeRejection {
        EdgeRejection::invalid(self.path(field), why)
    }
}

//! A plan: steps by name, checked once and put in an order in which each follows what it waits for.

use crate::branch::{BranchSpec, Caller, Direction, Mode};
use crate::ids::{Body, BranchId, BranchIndex, Destination, Operation};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// A step as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// Its name.
    pub branch: BranchId,
    /// Where its operation is offered.
    pub destination: Destination,
    /// What the participant offers.
    pub operation: Operation,
    /// What the operation is given.
    pub payload: Body,
    /// Names of the steps it waits for.
    pub after: Vec<BranchId>,
    /// Names of the steps whose replies it reads.
    pub reads: Vec<BranchId>,
    /// Whether it can be taken back.
    pub direction: Direction,
}

/// Why a plan cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PlanError {
    /// It has no step.
    Empty,
    /// More steps than a transaction may have branches.
    TooManySteps {
        /// The limit `branches_max`.
        max: usize,
    },
    /// A payload over its limit.
    PayloadTooLarge {
        /// Of which step.
        step: BranchId,
        /// The limit `payload_bytes_max`.
        max: usize,
    },
    /// Two steps have one name.
    StepTwice {
        /// Which.
        step: BranchId,
    },
    /// A step names one that does not exist.
    StepUnknown {
        /// Which step.
        step: BranchId,
        /// What it names.
        names: BranchId,
    },
    /// Steps wait for each other in a circle.
    Cycle {
        /// One of them.
        step: BranchId,
    },
    /// A step reads more replies than may be handed to it.
    TooManyReads {
        /// Which step.
        step: BranchId,
        /// The limit `reads_max`.
        max: usize,
    },
    /// A step reads one that need not be done before it.
    ReadsNotAfter {
        /// Which step.
        step: BranchId,
        /// What it reads.
        reads: BranchId,
    },
    /// A forward-only step might start before a reversible one is done.
    ForwardTooEarly {
        /// The forward-only step.
        step: BranchId,
        /// A reversible step that it does not come after.
        before: BranchId,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::Empty => f.write_str("it has no step"),
            PlanError::TooManySteps { max } => {
                write!(f, "it has more than {max} steps (branches_max); split it")
            }
            PlanError::PayloadTooLarge { step, max } => {
                write!(
                    f,
                    "the payload of step {step} is over {max} bytes (payload_bytes_max); send less"
                )
            }
            PlanError::StepTwice { step } => write!(f, "step {step} stands twice"),
            PlanError::StepUnknown { step, names } => {
                write!(f, "step {step} names {names}, which is no step of the plan")
            }
            PlanError::Cycle { step } => write!(f, "step {step} waits for itself in a circle"),
            PlanError::TooManyReads { step, max } => {
                write!(f, "step {step} reads more than {max} replies (reads_max); read fewer")
            }
            PlanError::ReadsNotAfter { step, reads } => {
                write!(f, "step {step} reads {reads} but does not come after it; add it to after")
            }
            PlanError::ForwardTooEarly { step, before } => write!(
                f,
                "forward-only step {step} does not come after reversible step {before}; a step \
                 that is never undone comes after all that can be"
            ),
        }
    }
}

impl core::error::Error for PlanError {}

/// What bounds a plan.
#[derive(Clone, Copy, Debug)]
pub struct PlanLimits {
    /// Steps, the limit `branches_max`.
    pub steps_max: usize,
    /// Replies that a step reads, the limit `reads_max`.
    pub reads_max: usize,
    /// A payload, the limit `payload_bytes_max`.
    pub payload_bytes_max: usize,
}

/// Checks a plan and orders its steps so that each follows those it waits for; among steps that
/// wait for nothing more, the client's order stays.
pub fn check(steps: &[Step], limits: PlanLimits) -> Result<Vec<BranchSpec>, PlanError> {
    if steps.is_empty() {
        return Err(PlanError::Empty);
    }
    if steps.len() > limits.steps_max {
        return Err(PlanError::TooManySteps { max: limits.steps_max });
    }
    let mut places = BTreeMap::new();
    for (place, step) in steps.iter().enumerate() {
        if step.payload.len() > limits.payload_bytes_max {
            let max = limits.payload_bytes_max;
            return Err(PlanError::PayloadTooLarge { step: step.branch.clone(), max });
        }
        if places.insert(&step.branch, place).is_some() {
            return Err(PlanError::StepTwice { step: step.branch.clone() });
        }
    }
    let after = resolve(steps, &places, |step| &step.after)?;
    let reads = resolve(steps, &places, |step| &step.reads)?;
    if let Some(place) = reads.iter().position(|row| row.len() > limits.reads_max) {
        let max = limits.reads_max;
        return Err(PlanError::TooManyReads { step: steps[place].branch.clone(), max });
    }
    let order = order(steps, &after)?;
    let before = ancestors(&order, &after);
    check_reads(steps, &reads, &before)?;
    check_forward_only(steps, &before)?;
    Ok(specs(steps, &order, &after, &reads))
}

/// Turns names into places.
fn resolve(
    steps: &[Step],
    places: &BTreeMap<&BranchId, usize>,
    names: impl Fn(&Step) -> &Vec<BranchId>,
) -> Result<Vec<Vec<usize>>, PlanError> {
    let mut resolved = Vec::with_capacity(steps.len());
    for step in steps {
        let mut row = Vec::new();
        let mut seen = vec![false; steps.len()];
        for name in names(step) {
            match places.get(name) {
                Some(place) if !core::mem::replace(&mut seen[*place], true) => row.push(*place),
                Some(_) => {}
                None => {
                    let step = step.branch.clone();
                    return Err(PlanError::StepUnknown { step, names: name.clone() });
                }
            }
        }
        resolved.push(row);
    }
    Ok(resolved)
}

/// A topological order (Kahn 1962), first come first served.
fn order(steps: &[Step], after: &[Vec<usize>]) -> Result<Vec<usize>, PlanError> {
    let mut waiting: Vec<usize> = after.iter().map(Vec::len).collect();
    let mut followers = vec![Vec::new(); steps.len()];
    for (place, row) in after.iter().enumerate() {
        for earlier in row {
            followers[*earlier].push(place);
        }
    }
    let mut ready: alloc::collections::BTreeSet<usize> =
        (0..steps.len()).filter(|place| waiting[*place] == 0).collect();
    let mut order = Vec::with_capacity(steps.len());
    while let Some(place) = ready.pop_first() {
        order.push(place);
        for follower in &followers[place] {
            waiting[*follower] -= 1;
            if waiting[*follower] == 0 {
                ready.insert(*follower);
            }
        }
    }
    match (0..steps.len()).find(|place| waiting[*place] > 0) {
        Some(place) => Err(PlanError::Cycle { step: steps[place].branch.clone() }),
        None => Ok(order),
    }
}

/// For each step, the set of all that are done before it starts, a bit each.
fn ancestors(order: &[usize], after: &[Vec<usize>]) -> Vec<Vec<u64>> {
    let words = order.len().div_ceil(64);
    let mut before = vec![vec![0_u64; words]; order.len()];
    for place in order {
        let mut row = vec![0_u64; words];
        for earlier in &after[*place] {
            for (word, inherited) in row.iter_mut().zip(&before[*earlier]) {
                *word |= inherited;
            }
            row[earlier / 64] |= 1 << (earlier % 64);
        }
        before[*place] = row;
    }
    before
}

fn holds(set: &[u64], place: usize) -> bool {
    set[place / 64] & (1 << (place % 64)) != 0
}

fn check_reads(steps: &[Step], reads: &[Vec<usize>], before: &[Vec<u64>]) -> Result<(), PlanError> {
    for (place, row) in reads.iter().enumerate() {
        if let Some(read) = row.iter().find(|read| !holds(&before[place], **read)) {
            return Err(PlanError::ReadsNotAfter {
                step: steps[place].branch.clone(),
                reads: steps[*read].branch.clone(),
            });
        }
    }
    Ok(())
}

fn check_forward_only(steps: &[Step], before: &[Vec<u64>]) -> Result<(), PlanError> {
    for (place, step) in steps.iter().enumerate() {
        if step.direction != Direction::ForwardOnly {
            continue;
        }
        let missing = steps.iter().enumerate().find(|(other, earlier)| {
            earlier.direction == Direction::Reversible && !holds(&before[place], *other)
        });
        if let Some((_, earlier)) = missing {
            let before = earlier.branch.clone();
            return Err(PlanError::ForwardTooEarly { step: step.branch.clone(), before });
        }
    }
    Ok(())
}

fn specs(
    steps: &[Step],
    order: &[usize],
    after: &[Vec<usize>],
    reads: &[Vec<usize>],
) -> Vec<BranchSpec> {
    let mut rank = vec![0_usize; steps.len()];
    for (at, place) in order.iter().enumerate() {
        rank[*place] = at;
    }
    let index = |row: &Vec<usize>| -> Vec<BranchIndex> {
        let mut indices: Vec<BranchIndex> = row
            .iter()
            .map(|place| BranchIndex(u16::try_from(rank[*place]).expect("branches_max fits u16")))
            .collect();
        indices.sort_unstable();
        indices
    };
    let spec = |place: &usize| BranchSpec {
        id: steps[*place].branch.clone(),
        mode: Mode::Saga,
        destination: steps[*place].destination.clone(),
        operation: steps[*place].operation.clone(),
        payload: steps[*place].payload.clone(),
        caller: Caller::Coordinator,
        after: index(&after[*place]),
        reads: index(&reads[*place]),
        direction: steps[*place].direction,
    };
    order.iter().map(spec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};

    /// Steps as `name<after,after?reads!` where `!` marks forward-only.
    fn plan(text: &str) -> Vec<Step> {
        let names = |part: Option<&str>| -> Vec<BranchId> {
            let part = part.unwrap_or_default();
            part.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect()
        };
        text.split_whitespace()
            .map(|word| {
                let forward = word.ends_with('!');
                let word = word.trim_end_matches('!');
                let (head, reads) = match word.split_once('?') {
                    Some((head, reads)) => (head, Some(reads)),
                    None => (word, None),
                };
                let (name, after) = match head.split_once('<') {
                    Some((name, after)) => (name, Some(after)),
                    None => (head, None),
                };
                Step {
                    branch: name.parse().unwrap(),
                    destination: "d".parse().unwrap(),
                    operation: "o".parse().unwrap(),
                    payload: Body::default(),
                    after: names(after),
                    reads: names(reads),
                    direction: match forward {
                        true => Direction::ForwardOnly,
                        false => Direction::Reversible,
                    },
                }
            })
            .collect()
    }

    fn check_plan(text: &str, expected: &str) {
        let limits = PlanLimits { steps_max: 4, reads_max: 2, payload_bytes_max: 8 };
        let seen: String = match check(&plan(text), limits) {
            Ok(specs) => specs.iter().map(|s| format!("{} ", s.id)).collect(),
            Err(error) => error.to_string(),
        };
        assert!(seen.trim().starts_with(expected), "{text}: {seen}");
    }

    #[test]
    fn plans_are_ordered_or_refused_by_name() {
        check_plan("a b<a c<b", "a b c");
        check_plan("c<b b<a a", "a b c");
        check_plan("a b", "a b");
        check_plan("", "it has no step");
        check_plan("a b c d", "a b c d");
        check_plan("a b c d e", "it has more than 4 steps");
        check_plan("a a", "step a stands twice");
        check_plan("a<x", "step a names x");
        check_plan("a?x", "step a names x");
        check_plan("a<b b<a", "step a waits for itself");
        check_plan("a<a", "step a waits for itself");
        check_plan("a b?a", "step b reads a but does not come after it");
        check_plan("a b<a c<b?a", "a b c");
        check_plan("a b<a c<b d<c?a,b,a", "a b c d");
        check_plan("a b<a c<b d<c?a,b,c", "step d reads more than 2 replies (reads_max)");
        check_plan("a b!", "forward-only step b does not come after reversible step a");
        check_plan("a b<a!", "a b");
        check_plan("a b<a c<b!", "a b c");
        check_plan("a b<a! c<b", "forward-only step b does not come after reversible step c");
        check_plan("a! b!", "a b");
    }

    #[test]
    fn a_payload_at_its_limit_passes_and_one_more_byte_does_not() {
        let limits = PlanLimits { steps_max: 4, reads_max: 2, payload_bytes_max: 8 };
        let mut steps = plan("a");
        steps[0].payload = Body::new(&[0; 8]);
        assert!(check(&steps, limits).is_ok());
        steps[0].payload = Body::new(&[0; 9]);
        assert!(matches!(check(&steps, limits), Err(PlanError::PayloadTooLarge { .. })));
    }
}

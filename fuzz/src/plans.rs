//! The check of plans: whatever it lets through can be carried out in its order.

use arbitrary::{Arbitrary, Unstructured};
use wholly_core::branch::{BranchSpec, Caller, Direction, Mode};
use wholly_core::ids::{Body, BranchId};
use wholly_core::plan::{PlanError, PlanLimits, Step, check};

const LIMITS: PlanLimits = PlanLimits { steps_max: 200, reads_max: 2, payload_bytes_max: 4 };

/// A step, with few names so that steps meet.
#[derive(Debug, Arbitrary)]
struct Drawn {
    name: u8,
    after: Vec<u8>,
    reads: Vec<u8>,
    forward: bool,
    payload: u8,
}

/// A plan that is accepted has an order, has all its steps, and undoes nothing it may not.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(drawn) = Vec::<Drawn>::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let steps: Vec<Step> = drawn.iter().map(step).collect();
    match check(&steps, LIMITS) {
        Ok(specs) => accepted(&steps, &specs),
        Err(error) => refused(&steps, &error),
    }
}

fn name(number: u8) -> BranchId {
    BranchId::new(&format!("s{number}")).expect("a name")
}

fn step(drawn: &Drawn) -> Step {
    Step {
        branch: name(drawn.name),
        destination: "d".parse().expect("a destination"),
        operation: "o".parse().expect("an operation"),
        payload: Body::new(&[b'1'; 8][..usize::from(drawn.payload % 6)]),
        after: drawn.after.iter().copied().map(name).collect(),
        reads: drawn.reads.iter().copied().map(name).collect(),
        direction: match drawn.forward {
            true => Direction::ForwardOnly,
            false => Direction::Reversible,
        },
    }
}

/// Whether `later` starts only after `earlier` is done, as the client's own words say.
fn comes_after(steps: &[Step], later: &BranchId, earlier: &BranchId) -> bool {
    let mut reached = vec![later];
    let mut at = 0;
    while let Some(name) = reached.get(at).copied() {
        at += 1;
        let step = steps.iter().find(|step| step.branch == *name);
        for before in step.into_iter().flat_map(|step| &step.after) {
            if before == earlier {
                return true;
            }
            if !reached.contains(&before) {
                reached.push(before);
            }
        }
    }
    false
}

fn accepted(steps: &[Step], specs: &[BranchSpec]) {
    assert!((1..=LIMITS.steps_max).contains(&specs.len()), "a plan is bounded");
    assert_eq!(specs.len(), steps.len(), "every step once");
    for (at, spec) in specs.iter().enumerate() {
        let mut named = steps.iter().filter(|step| step.branch == spec.id);
        let (step, other) = (named.next().expect("it is a step of the plan"), named.next());
        assert!(other.is_none(), "{} stands once", spec.id);
        let of = |indices: &[wholly_core::ids::BranchIndex]| {
            let mut names: Vec<BranchId> =
                indices.iter().map(|index| specs[index.at()].id.clone()).collect();
            names.sort();
            names
        };
        let set = |names: &[BranchId]| {
            let mut names = names.to_vec();
            names.sort();
            names.dedup();
            names
        };
        assert!(spec.after.iter().all(|earlier| earlier.at() < at), "{} is in order", spec.id);
        assert_eq!(of(&spec.after), set(&step.after), "{} waits as it said", spec.id);
        assert_eq!(of(&spec.reads), set(&step.reads), "{} reads what it said", spec.id);
        assert!(spec.reads.len() <= LIMITS.reads_max, "what is read is bounded");
        for read in &step.reads {
            assert!(comes_after(steps, &spec.id, read), "{} reads {read} after it", spec.id);
        }
        assert_eq!((spec.mode, spec.caller), (Mode::Saga, Caller::Coordinator));
        assert_eq!((&spec.payload, spec.direction), (&step.payload, step.direction));
        assert!(spec.payload.len() <= LIMITS.payload_bytes_max, "a payload is bounded");
        for earlier in steps.iter().filter(|_| spec.direction == Direction::ForwardOnly) {
            let fine = earlier.direction == Direction::ForwardOnly
                || comes_after(steps, &spec.id, &earlier.branch);
            assert!(fine, "{} is never undone, so {} comes first", spec.id, earlier.branch);
        }
    }
}

/// What a refusal says of the plan is so.
fn refused(steps: &[Step], error: &PlanError) {
    let count = |name: &BranchId| steps.iter().filter(|step| step.branch == *name).count();
    let is_so = match error {
        PlanError::Empty => steps.is_empty(),
        PlanError::TooManySteps { max } => steps.len() > *max,
        PlanError::PayloadTooLarge { step, max } => {
            steps.iter().any(|known| known.branch == *step && known.payload.len() > *max)
        }
        PlanError::StepTwice { step } => count(step) > 1,
        PlanError::StepUnknown { step, names } => count(step) == 1 && count(names) == 0,
        PlanError::Cycle { step } => steps.iter().any(|known| {
            comes_after(steps, &known.branch, &known.branch)
                && (known.branch == *step || comes_after(steps, step, &known.branch))
        }),
        PlanError::TooManyReads { step, max } => {
            steps.iter().any(|known| known.branch == *step && known.reads.len() > *max)
        }
        PlanError::ReadsNotAfter { step, reads } => !comes_after(steps, step, reads),
        PlanError::ForwardTooEarly { step, before } => !comes_after(steps, step, before),
    };
    assert!(is_so, "{error}");
}

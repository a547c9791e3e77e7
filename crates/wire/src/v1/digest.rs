//! Digests of parsed requests: the same request has the same one, however it was written.

use crate::words::Spelled;
use sha2::{Digest as _, Sha256};
use wholly_core::branch::{BranchSpec, Caller, Direction};
use wholly_core::ids::{Body, BranchId, Destination, Digest, Gid, Name, Operation};
use wholly_core::plan::Step;

/// Digest of a begin: gid, name, timeout, branches.
pub(crate) fn of_begin(
    gid: Option<&Gid>,
    name: &Name,
    timeout_ms: Option<u64>,
    branches: &[BranchSpec],
) -> Digest {
    let mut encoder = Encoder::new("wholly-begin-1");
    match gid {
        Some(gid) => encoder.text(gid.as_str()),
        None => encoder.absent(),
    }
    encoder.head(name, timeout_ms);
    encoder.number(branches.len() as u64);
    for spec in branches {
        encoder.share(&spec.id, &spec.destination, &spec.operation, &spec.payload);
        encoder.text(spec.mode.spell());
        encoder.number(match spec.caller {
            Caller::Initiator => 0,
            Caller::Coordinator => 1,
        });
    }
    encoder.finish()
}

/// Digest of a plan: name, timeout, steps in their order; `after` and `reads` are sets.
pub(crate) fn of_plan(name: &Name, timeout_ms: Option<u64>, steps: &[Step]) -> Digest {
    let mut encoder = Encoder::new("wholly-plan-1");
    encoder.head(name, timeout_ms);
    encoder.number(steps.len() as u64);
    for step in steps {
        encoder.share(&step.branch, &step.destination, &step.operation, &step.payload);
        encoder.set(&step.after);
        encoder.set(&step.reads);
        encoder.number(match step.direction {
            Direction::Reversible => 0,
            Direction::ForwardOnly => 1,
        });
    }
    encoder.finish()
}

/// Writes every part with its length before it, so that no two requests read alike.
struct Encoder(Sha256);

impl Encoder {
    fn new(label: &str) -> Self {
        let mut encoder = Encoder(Sha256::new());
        encoder.text(label);
        encoder
    }

    fn head(&mut self, name: &Name, timeout_ms: Option<u64>) {
        self.text(name.as_str());
        match timeout_ms {
            Some(ms) => self.text(&ms.to_string()),
            None => self.absent(),
        }
    }

    fn share(&mut self, id: &BranchId, to: &Destination, operation: &Operation, payload: &Body) {
        self.text(id.as_str());
        self.text(to.as_str());
        self.text(operation.as_str());
        self.bytes(payload.as_bytes());
    }

    fn set(&mut self, names: &[BranchId]) {
        let mut sorted: Vec<&BranchId> = names.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        self.number(sorted.len() as u64);
        for name in sorted {
            self.text(name.as_str());
        }
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// No text is so long.
    fn absent(&mut self) {
        self.number(u64::MAX);
    }

    fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

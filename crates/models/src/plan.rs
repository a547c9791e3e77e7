//! Plans: what a client hands over, and what it may ask of it later.

use wholly_core::branch::Direction;
use wholly_core::ids::{
    BranchId, Destination, Digest, Gid, Name, Operation, Principal, RequestId, Text,
};
use wholly_core::input::{Abort, GidSource, Request, Submit, Wait};
use wholly_core::plan::Step;
use wholly_core::time::Timestamp;

/// A step and the steps it comes after.
pub(crate) type Steps = &'static [(&'static str, &'static [&'static str])];

/// A plan under a gid; the digest tells plans apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) gid: &'static str,
    pub(crate) digest: u8,
    pub(crate) steps: Steps,
}

impl Plan {
    pub(crate) fn gid(&self) -> Gid {
        Gid::new(self.gid).expect("a valid name")
    }

    pub(crate) fn branches(&self) -> impl Iterator<Item = BranchId> {
        self.steps.iter().map(|(step, _)| branch(step))
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest([self.digest; 32])
    }

    /// The whole plan in one request.
    pub(crate) fn submit(&self, wait: Wait) -> Request {
        let step = |(id, after): &(&str, &[&str])| Step {
            branch: branch(id),
            destination: Destination::new(id).expect("a valid name"),
            operation: Operation::new("do").expect("a valid name"),
            payload: wholly_core::ids::Body::default(),
            after: after.iter().map(|id| branch(id)).collect(),
            reads: Vec::new(),
            direction: Direction::Reversible,
        };
        Request::Submit(Submit {
            gid: self.gid(),
            source: GidSource::Client,
            name: Name::new("small").expect("a valid name"),
            timeout_ms: None,
            steps: self.steps.iter().map(step).collect(),
            digest: self.digest(),
            principal: principal("client"),
            wait,
        })
    }

    /// Its client changes its mind.
    pub(crate) fn abort(&self, begun: Timestamp) -> Request {
        Request::Abort(Abort {
            gid: self.gid(),
            begun,
            reason: Text::default(),
            branch: None,
            wait: Wait::No,
            principal: principal("client"),
        })
    }
}

pub(crate) fn branch(id: &str) -> BranchId {
    BranchId::new(id).expect("a valid name")
}

pub(crate) fn principal(id: &str) -> Principal {
    Principal::new(id).expect("a valid name")
}

/// Wide enough that no wait ends before what it waits for.
pub(crate) const LONG: Wait = Wait::Ended { wait_ms: 30_000 };

/// The number of a request: of one client, so many requests after its first.
pub(crate) fn request(client: u8, nth: u8) -> RequestId {
    RequestId(u64::from(client) << 8 | u64::from(nth))
}

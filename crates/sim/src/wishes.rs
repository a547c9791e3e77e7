//! Wishes: what was asked of the coordinator, and with the capability of which begin.

use std::collections::BTreeMap;
use wholly_core::ids::{Body, BranchId, Gid};
use wholly_core::input::{Action, Request};
use wholly_core::time::Timestamp;

/// Something that only a capability, or an operator, can bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To register this branch with this payload.
    Register(BranchId, Body),
    /// To commit.
    Commit,
    /// To abort.
    Abort,
}

/// Everything that was asked so far.
#[derive(Debug, Default)]
pub struct Wishes {
    with_capability: BTreeMap<Gid, Vec<(Timestamp, Wish)>>,
    by_operators: BTreeMap<Gid, Vec<Action>>,
}

impl Wishes {
    /// Takes a request in, as it reaches the coordinator.
    pub(crate) fn learn(&mut self, request: &Request) {
        let (gid, begun, wish) = match request {
            Request::Register(register) => {
                let spec = &register.spec;
                let wish = Wish::Register(spec.id.clone(), spec.payload.clone());
                (&register.gid, register.begun, wish)
            }
            Request::Commit(commit) => (&commit.gid, commit.begun, Wish::Commit),
            Request::Abort(abort) => (&abort.gid, abort.begun, Wish::Abort),
            Request::Operate(operate) => {
                let known = self.by_operators.entry(operate.gid.clone()).or_default();
                if !known.contains(&operate.action) {
                    known.push(operate.action.clone());
                }
                return;
            }
            Request::Begin(_)
            | Request::Submit(_)
            | Request::Get { .. }
            | Request::Calls { .. } => return,
        };
        let known = self.with_capability.entry(gid.clone()).or_default();
        if !known.iter().any(|(at, of)| *at == begun && *of == wish) {
            known.push((begun, wish));
        }
    }

    /// Whether anybody who holds the capability of that begin asked for this.
    pub fn holds(&self, gid: &Gid, begun: Timestamp, wish: &Wish) -> bool {
        let known = self.with_capability.get(gid).map(Vec::as_slice).unwrap_or_default();
        known.iter().any(|(at, of)| *at == begun && of == wish)
    }

    /// Whether anybody who holds the capability of that begin asked for anything.
    pub fn holds_any(&self, gid: &Gid, begun: Timestamp) -> bool {
        let known = self.with_capability.get(gid).map(Vec::as_slice).unwrap_or_default();
        known.iter().any(|(at, _)| *at == begun)
    }

    /// Whether an operator asked for such a thing.
    pub fn of_operator(&self, gid: &Gid, is: impl Fn(&Action) -> bool) -> bool {
        self.by_operators.get(gid).is_some_and(|known| known.iter().any(is))
    }
}

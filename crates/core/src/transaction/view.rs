//! What is shown of a transaction: its document, and the summary a store indexes.

use super::{Form, Past, Phase, Transaction, index_of, modes_of};
use crate::document::Document;
use crate::ids::Destination;
use crate::record::{PhaseName, Summary};
use alloc::vec::Vec;

impl Transaction {
    /// The document that every answer shows.
    pub fn document(&self) -> Document {
        let verdict = self.verdict();
        let id_of = |index: crate::ids::BranchIndex| self.branches[index.at()].spec.id.clone();
        Document {
            gid: self.gid.clone(),
            name: self.name.clone(),
            principal: self.principal.clone(),
            begun: self.begun,
            changed: self.changed,
            state: self.phase_name(),
            deadline: self.deadline(),
            decision: verdict.map(|verdict| verdict.decision),
            cause: verdict.map(|verdict| verdict.cause),
            cause_branch: verdict.and_then(|verdict| verdict.branch).map(id_of),
            reason: verdict.map(|verdict| verdict.reason.clone()).unwrap_or_default(),
            outcome: self.ended_as(),
            parked: self.is_parked(),
            branches: self.branches.clone(),
        }
    }

    /// What a store may index.
    pub fn summary(&self) -> Summary {
        let verdict = self.verdict();
        let stuck = self.branches.iter().filter(|branch| branch.is_stuck()).count();
        Summary {
            name: self.name.clone(),
            begun: self.begun,
            modes: modes_of(&self.branches),
            phase: self.phase_name(),
            decision: verdict.map(|verdict| verdict.decision),
            cause: verdict.map(|verdict| verdict.cause),
            outcome: self.ended_as(),
            stuck: u16::try_from(stuck).expect("branches_max fits u16"),
            parked: self.is_parked(),
            waits_for: self.waits_for(),
            changed: self.changed,
            ended: self.is_ended().then_some(self.changed),
        }
    }

    /// The phase without what is known in it.
    pub fn phase_name(&self) -> PhaseName {
        match self.phase {
            Phase::Open { .. } => PhaseName::Open,
            Phase::Forward { .. } => PhaseName::Forward,
            Phase::Finishing { .. } => PhaseName::Finishing,
            Phase::Ended { .. } => PhaseName::Ended,
        }
    }

    /// Whether something is stuck and nothing more will be called before an operator acts.
    pub fn is_parked(&self) -> bool {
        match self.phase {
            // Without a branch there is nothing to inspect, and yet somebody must say.
            Phase::Open { .. } | Phase::Forward { .. } if self.past == Past::Lost => {
                self.due().is_empty()
            }
            Phase::Open { .. } | Phase::Ended { .. } => false,
            Phase::Forward { .. } | Phase::Finishing { .. } => {
                self.branches.iter().any(|branch| branch.is_stuck()) && self.due().is_empty()
            }
        }
    }

    /// Destinations of the branches that are called or stuck, each once.
    fn waits_for(&self) -> Vec<Destination> {
        let mut destinations: Vec<Destination> = Vec::new();
        let mut add = |destination: &Destination| {
            if !destinations.contains(destination) {
                destinations.push(destination.clone());
            }
        };
        for (index, _) in self.due() {
            add(&self.branches[index.at()].spec.destination);
        }
        for (at, branch) in self.branches.iter().enumerate() {
            if branch.is_stuck() && !self.is_settled(index_of(at)) {
                add(&branch.spec.destination);
            }
        }
        destinations
    }

    fn ended_as(&self) -> Option<crate::record::Outcome> {
        match self.phase {
            Phase::Ended { outcome, .. } => Some(outcome),
            Phase::Open { .. } | Phase::Forward { .. } | Phase::Finishing { .. } => None,
        }
    }

    /// Whether it was handed over as a plan.
    pub fn is_plan(&self) -> bool {
        matches!(self.form, Form::Plan { .. })
    }
}

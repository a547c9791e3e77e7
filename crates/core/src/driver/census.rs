//! The census: how many transactions there are in each phase and since when, kept as they move, so
//! that asking costs nothing that grows with them.

use crate::record::PhaseName;
use crate::time::Timestamp;
use crate::transaction::Transaction;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;

/// Begins so near one another are counted together.
const GRAIN_MS: u64 = 1_000;
/// Phases of a transaction that is not over.
const PHASES: usize = 4;

/// Everything that is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Census {
    /// By phase.
    all: [usize; PHASES],
    /// By grain of the begin, and by phase; none that is empty.
    begun: BTreeMap<u64, [usize; PHASES]>,
    /// Branches that wait for an operator.
    stuck: usize,
}

/// How a transaction counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    grain: u64,
    phase: PhaseName,
    stuck: usize,
}

impl Place {
    pub(super) fn of(transaction: &Transaction) -> Self {
        let stuck = match transaction.is_ended() {
            true => 0,
            false => transaction.branches.iter().filter(|branch| branch.is_stuck()).count(),
        };
        let grain = transaction.begun.0 / GRAIN_MS;
        Place { grain, phase: transaction.phase_name(), stuck }
    }
}

/// Transactions that began about as long ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aged {
    /// How long ago, at least; a second too little at most.
    pub age_ms: u64,
    /// In phase open.
    pub open: usize,
    /// In phase forward.
    pub forward: usize,
    /// In phase finishing.
    pub finishing: usize,
}

impl Census {
    pub(super) fn came(&mut self, place: Place) {
        let phase = at(place.phase);
        self.all[phase] += 1;
        self.begun.entry(place.grain).or_default()[phase] += 1;
        self.stuck += place.stuck;
    }

    pub(super) fn left(&mut self, place: Place) {
        let phase = at(place.phase);
        self.all[phase] -= 1;
        self.stuck -= place.stuck;
        match self.begun.entry(place.grain) {
            Entry::Vacant(_) => panic!("who leaves has come"),
            Entry::Occupied(mut grain) => {
                grain.get_mut()[phase] -= 1;
                if *grain.get() == [0; PHASES] {
                    grain.remove();
                }
            }
        }
    }

    pub(super) fn moved(&mut self, from: Place, to: Place) {
        if from != to {
            self.left(from);
            self.came(to);
        }
    }

    pub(super) fn count(&self, phase: PhaseName) -> usize {
        self.all[at(phase)]
    }

    pub(super) fn stuck(&self) -> usize {
        self.stuck
    }

    /// Oldest first; as many as there are seconds in which one of them began.
    pub(super) fn ages(&self, now: Timestamp) -> impl Iterator<Item = Aged> {
        self.begun.iter().map(move |(grain, counts)| Aged {
            age_ms: now.0.saturating_sub(grain.saturating_add(1).saturating_mul(GRAIN_MS)),
            open: counts[at(PhaseName::Open)],
            forward: counts[at(PhaseName::Forward)],
            finishing: counts[at(PhaseName::Finishing)],
        })
    }
}

fn at(phase: PhaseName) -> usize {
    match phase {
        PhaseName::Open => 0,
        PhaseName::Forward => 1,
        PhaseName::Finishing => 2,
        PhaseName::Ended => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn place(begun: u64, phase: PhaseName, stuck: usize) -> Place {
        Place { grain: begun / GRAIN_MS, phase, stuck }
    }

    #[test]
    fn who_came_is_counted_until_he_leaves() {
        let mut census = Census::default();
        let (early, late) = (place(1_500, PhaseName::Open, 0), place(9_000, PhaseName::Forward, 0));
        let told = place(1_500, PhaseName::Finishing, 2);
        census.came(early);
        census.came(early);
        census.came(late);
        census.moved(early, told);
        assert_eq!(census.count(PhaseName::Open), 1);
        assert_eq!((census.count(PhaseName::Finishing), census.stuck()), (1, 2));
        let ages: Vec<Aged> = census.ages(Timestamp(12_000)).collect();
        let first = Aged { age_ms: 10_000, open: 1, forward: 0, finishing: 1 };
        assert_eq!(ages, [first, Aged { age_ms: 2_000, forward: 1, ..Aged::default() }]);
        for place in [early, told, late] {
            census.left(place);
        }
        assert_eq!(census, Census::default(), "nothing is left behind");
    }
}

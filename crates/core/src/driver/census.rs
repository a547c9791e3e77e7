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
/// The same, and those of forward and finishing that are parked counted apart.
const KINDS: usize = PHASES + 2;

/// Everything that is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Census {
    /// By phase.
    all: [usize; PHASES],
    /// By grain of the begin, and by kind; none that is empty.
    begun: BTreeMap<u64, [usize; KINDS]>,
    /// Branches that wait for an operator.
    stuck: usize,
}

/// How a transaction counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    grain: u64,
    phase: PhaseName,
    stuck: usize,
    rest: Rest,
}

/// Whether it goes on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Moves,
    Parked,
}

impl Place {
    pub(super) fn of(transaction: &Transaction) -> Self {
        let stuck = match transaction.is_ended() {
            true => 0,
            false => transaction.branches.iter().filter(|branch| branch.is_stuck()).count(),
        };
        let grain = transaction.begun.0 / GRAIN_MS;
        let rest = match stuck > 0 && transaction.is_parked() {
            true => Rest::Parked,
            false => Rest::Moves,
        };
        Place { grain, phase: transaction.phase_name(), stuck, rest }
    }

    fn kind(self) -> usize {
        match (self.rest, self.phase) {
            (Rest::Parked, PhaseName::Forward) => PHASES,
            (Rest::Parked, PhaseName::Finishing) => PHASES + 1,
            (Rest::Parked, PhaseName::Open | PhaseName::Ended) | (Rest::Moves, _) => at(self.phase),
        }
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
    /// Of those in phase forward, how many wait for an operator alone.
    pub forward_parked: usize,
    /// Of those in phase finishing, how many wait for an operator alone.
    pub finishing_parked: usize,
}

impl Census {
    pub(super) fn came(&mut self, place: Place) {
        self.all[at(place.phase)] += 1;
        self.begun.entry(place.grain).or_default()[place.kind()] += 1;
        self.stuck += place.stuck;
    }

    pub(super) fn left(&mut self, place: Place) {
        self.all[at(place.phase)] -= 1;
        self.stuck -= place.stuck;
        match self.begun.entry(place.grain) {
            Entry::Vacant(_) => panic!("who leaves has come"),
            Entry::Occupied(mut grain) => {
                grain.get_mut()[place.kind()] -= 1;
                if *grain.get() == [0; KINDS] {
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
            forward: counts[at(PhaseName::Forward)] + counts[PHASES],
            finishing: counts[at(PhaseName::Finishing)] + counts[PHASES + 1],
            forward_parked: counts[PHASES],
            finishing_parked: counts[PHASES + 1],
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
        Place { grain: begun / GRAIN_MS, phase, stuck, rest: Rest::Moves }
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
        let first = Aged { age_ms: 10_000, open: 1, finishing: 1, ..Aged::default() };
        assert_eq!(ages, [first, Aged { age_ms: 2_000, forward: 1, ..Aged::default() }]);
        let parked = Place { rest: Rest::Parked, ..told };
        census.moved(told, parked);
        assert_eq!(census.count(PhaseName::Finishing), 1);
        let ages: Vec<Aged> = census.ages(Timestamp(12_000)).collect();
        assert_eq!(ages[0], Aged { finishing_parked: 1, ..first });
        for place in [early, parked, late] {
            census.left(place);
        }
        assert_eq!(census, Census::default(), "nothing is left behind");
    }
}

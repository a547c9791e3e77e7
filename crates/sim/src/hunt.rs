//! Hunt: one seeded bug is switched on, and seeds are run until a checker finds it.

use crate::mutants::Mutant;
use crate::report::run;
use crate::world::Verdict;
use wholly_core::mutants::Mutant as CoreMutant;
use wholly_store::mutants::Mutant as StoreMutant;

/// Seeds within which each mutant must be found.
pub const SEEDS_MAX: u64 = 2_000;

/// A seeded bug, wherever it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeded {
    /// In the protocol.
    Core(CoreMutant),
    /// In the log.
    Store(StoreMutant),
    /// In a participant, or in the shell around the driver.
    Around(Mutant),
}

impl Seeded {
    /// Every one.
    pub fn all() -> impl Iterator<Item = Seeded> {
        let core = CoreMutant::ALL.iter().copied().map(Seeded::Core);
        let store = StoreMutant::ALL.iter().copied().map(Seeded::Store);
        core.chain(store).chain(Mutant::ALL.iter().copied().map(Seeded::Around))
    }

    /// The one of that name.
    pub fn find(name: &str) -> Option<Seeded> {
        Seeded::all().find(|seeded| seeded.name() == name)
    }

    /// What it is called by.
    pub fn name(self) -> &'static str {
        match self {
            Seeded::Core(mutant) => mutant.name(),
            Seeded::Store(mutant) => mutant.name(),
            Seeded::Around(mutant) => mutant.name(),
        }
    }

    /// What it does.
    pub fn bug(self) -> &'static str {
        let bug = match self {
            Seeded::Core(mutant) => mutant.bug(),
            Seeded::Store(mutant) => mutant.bug(),
            Seeded::Around(mutant) => mutant.bug(),
        };
        bug.trim_start()
    }

    fn core(self) -> Option<CoreMutant> {
        match self {
            Seeded::Core(mutant) => Some(mutant),
            Seeded::Store(_) | Seeded::Around(_) => None,
        }
    }

    fn store(self) -> Option<StoreMutant> {
        match self {
            Seeded::Store(mutant) => Some(mutant),
            Seeded::Core(_) | Seeded::Around(_) => None,
        }
    }

    fn around(self) -> Option<Mutant> {
        match self {
            Seeded::Around(mutant) => Some(mutant),
            Seeded::Core(_) | Seeded::Store(_) => None,
        }
    }
}

/// Switches one on for this thread, and all others off.
pub fn switch(seeded: Option<Seeded>) {
    wholly_core::mutants::switch(seeded.and_then(Seeded::core));
    wholly_store::mutants::switch(seeded.and_then(Seeded::store));
    crate::mutants::switch(seeded.and_then(Seeded::around));
}

/// How the hunt for one went.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Which.
    pub seeded: Seeded,
    /// How many seeds were run, the one that found it included.
    pub seeds: u64,
    /// What broke, if it was found.
    pub found: Option<Verdict>,
}

/// Runs seeds with a mutant on until a promise is broken, or so many have been run.
pub fn hunt(seeded: Seeded, from: u64, seeds_max: u64) -> Hunt {
    switch(Some(seeded));
    let mut hunt = Hunt { seeded, seeds: 0, found: None };
    while hunt.found.is_none() && hunt.seeds < seeds_max {
        let verdict = run(from.wrapping_add(hunt.seeds));
        hunt.seeds += 1;
        hunt.found = verdict.violation.is_some().then_some(verdict);
    }
    switch(None);
    hunt
}

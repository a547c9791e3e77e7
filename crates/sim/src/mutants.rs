//! Mutants: seeded bugs, each of which the checkers must find within a bounded number of seeds.

/// A bug that can be switched on, wherever it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// A cancel that meets no row is not remembered.
    BarrierWithoutTombstone = 1,
    /// A refusal is answered kept, though its row went with the rollback.
    RefusalRolledBackWithItsRow = 2,
    /// The row is written after the effect, in another local transaction.
    RowAfterEffect = 3,
    /// A call whose time is over counts as refused for good.
    TimeoutIsRefusal = 4,
    /// A call whose time is over counts as done.
    TimeoutIsDone = 5,
    /// A participant goes by its rows alone and never minds how old a call is.
    MarkIgnored = 6,
}

#[cfg(feature = "mutants")]
mod switched {
    use super::Bug;
    use std::sync::atomic::{AtomicU8, Ordering};
    use wholly_core::mutants::Mutant as CoreBug;
    use wholly_store::mutants::Mutant as StoreBug;

    static ACTIVE: AtomicU8 = AtomicU8::new(0);

    /// Where a mutant lives.
    #[derive(Clone, Copy, Debug)]
    enum Home {
        Core(CoreBug),
        Store(StoreBug),
        Here(Bug),
    }

    const ALL: &[(&str, Home)] = &[
        ("acts-early", Home::Core(CoreBug::ActsEarly)),
        ("loses-call", Home::Core(CoreBug::LosesCall)),
        ("tells-early", Home::Core(CoreBug::TellsEarly)),
        ("turn-skips-unknown", Home::Core(CoreBug::TurnSkipsUnknown)),
        ("passes-lazy-reply", Home::Core(CoreBug::PassesLazyReply)),
        ("commit-ignores-unknown", Home::Core(CoreBug::CommitIgnoresUnknown)),
        ("believes-refusal", Home::Core(CoreBug::BelievesRefusal)),
        ("compensates-at-once", Home::Core(CoreBug::CompensatesAtOnce)),
        ("sync-error-ignored", Home::Store(StoreBug::SyncErrorIgnored)),
        ("tail-trusted", Home::Store(StoreBug::TailTrusted)),
        ("durable-before-sync", Home::Store(StoreBug::DurableBeforeSync)),
        ("barrier-without-tombstone", Home::Here(Bug::BarrierWithoutTombstone)),
        ("refusal-rolled-back", Home::Here(Bug::RefusalRolledBackWithItsRow)),
        ("row-after-effect", Home::Here(Bug::RowAfterEffect)),
        ("timeout-is-refusal", Home::Here(Bug::TimeoutIsRefusal)),
        ("timeout-is-done", Home::Here(Bug::TimeoutIsDone)),
        ("mark-ignored", Home::Here(Bug::MarkIgnored)),
    ];

    /// The names of all mutants.
    pub fn names() -> Vec<&'static str> {
        ALL.iter().map(|(name, _)| *name).collect()
    }

    /// Switches one on by name, in this whole process, and all others off; false if there is none
    /// of that name.
    pub fn switch(name: Option<&str>) -> bool {
        let home = ALL.iter().find(|(known, _)| Some(*known) == name).map(|(_, home)| *home);
        let (core, store, here) = match home {
            Some(Home::Core(bug)) => (Some(bug), None, 0),
            Some(Home::Store(bug)) => (None, Some(bug), 0),
            Some(Home::Here(bug)) => (None, None, bug as u8),
            None => (None, None, 0),
        };
        wholly_core::mutants::switch(core);
        STORE.store(store.map_or(0, |bug| bug as u8 + 1), Ordering::Relaxed);
        ACTIVE.store(here, Ordering::Relaxed);
        home.is_some() || name.is_none()
    }

    static STORE: AtomicU8 = AtomicU8::new(0);

    /// The store's bug that is on, if one is.
    pub fn store_bug() -> Option<StoreBug> {
        let active = STORE.load(Ordering::Relaxed);
        StoreBug::ALL.into_iter().find(|bug| *bug as u8 + 1 == active)
    }

    /// Whether one of our own is on.
    pub(crate) fn is_on(bug: Bug) -> bool {
        ACTIVE.load(Ordering::Relaxed) == bug as u8
    }
}

#[cfg(feature = "mutants")]
pub(crate) use switched::is_on;
#[cfg(feature = "mutants")]
pub use switched::{names, store_bug, switch};

/// Whether one of our own is on; never, in a build without the feature.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is_on(_bug: Bug) -> bool {
    false
}

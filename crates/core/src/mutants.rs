//! Seeded bugs, chosen at run time in a build with feature `mutants`: the simulator must find each.

#[cfg(feature = "mutants")]
use core::sync::atomic::{AtomicU8, Ordering};

/// A bug that can be switched on, for a whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mutant {
    /// Calls leave before the version they need is durable.
    ActsEarly = 1,
    /// The entry of a call in flight is lost, so that nothing waits for its answer.
    LosesCall = 2,
    /// Replies leave before the version they need is durable.
    TellsEarly = 3,
    /// The turn compensates only the steps that are known to be done.
    TurnSkipsUnknown = 4,
    /// A reply that a later step reads is passed on before it is durable.
    PassesLazyReply = 5,
    /// A commit takes a branch of which nothing is known for tried.
    CommitIgnoresUnknown = 6,
    /// A refusal that is not kept is believed as if it were.
    BelievesRefusal = 7,
    /// Steps are compensated without waiting for those after them.
    CompensatesAtOnce = 8,
}

#[cfg(feature = "mutants")]
static ACTIVE: AtomicU8 = AtomicU8::new(0);

/// Switches one on, or all off.
#[cfg(feature = "mutants")]
pub fn switch(mutant: Option<Mutant>) {
    ACTIVE.store(mutant.map_or(0, |mutant| mutant as u8), Ordering::Relaxed);
}

/// Whether it is on; never, in a build without the feature.
#[cfg(feature = "mutants")]
pub(crate) fn is_on(mutant: Mutant) -> bool {
    ACTIVE.load(Ordering::Relaxed) == mutant as u8
}

/// Whether it is on; never, in a build without the feature.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is_on(_mutant: Mutant) -> bool {
    false
}

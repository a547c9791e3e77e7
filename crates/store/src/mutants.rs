//! Seeded bugs, chosen at run time: the simulator must find each of them.

/// One bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A sync that failed counts as done.
    SyncErrorIgnored,
    /// A tail found at the start counts as durable as it lies there.
    TailTrusted,
    /// Durable is reported once written, before the sync.
    DurableBeforeSync,
}

impl Mutant {
    /// Every bug.
    pub const ALL: [Mutant; 3] =
        [Mutant::SyncErrorIgnored, Mutant::TailTrusted, Mutant::DurableBeforeSync];
}

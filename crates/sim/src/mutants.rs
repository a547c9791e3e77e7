//! Mutants: seeded bugs, each of which the checkers must find within a bounded number of seeds.

wholly_core::mutants! {
    /// A cancel that meets no row is not remembered.
    BarrierWithoutTombstone = "barrier-without-tombstone",
    /// A refusal is answered kept, though its row went with the rollback.
    RefusalRolledBackWithItsRow = "refusal-rolled-back-with-its-row",
    /// The row is written after the effect, in another local transaction.
    RowAfterEffect = "row-after-effect",
    /// A participant goes by its rows alone and never minds how old a call is.
    MarkIgnored = "mark-ignored",
    /// A participant that tried and hears nothing for a while cancels by itself.
    GivesUpInDoubt = "in-doubt-participant-gives-up",
    /// A call whose time is over counts as refused for good.
    TimeoutIsRefusal = "timeout-is-refusal",
    /// A call whose time is over counts as done.
    TimeoutIsDone = "timeout-is-done",
}

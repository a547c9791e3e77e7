//! Seeded bugs, chosen at run time in a build with feature `mutants`: the checks must find each.

wholly_core::mutants! {
    /// A sync that failed counts as done.
    SyncErrorIgnored = "sync-error-ignored",
    /// A tail found at the start counts as durable as it lies there.
    TailTrusted = "tail-trusted",
    /// Durable is reported once written, before the sync.
    DurableBeforeSync = "durable-before-sync",
    /// Durable is reported of all that has arrived, not of what the batch holds.
    DurableBeyondBatch = "durable-beyond-batch",
    /// The folder is not synced when it has another segment.
    FolderNotSynced = "folder-not-synced",
    /// A batch is believed whatever its checksum says.
    ChecksumIgnored = "checksum-ignored",
    /// A decision to commit is read back as one to abort.
    DecisionFlipped = "decision-flipped-at-recovery",
    /// A segment is removed although an open transaction has records in it.
    SegmentUnlinkedEarly = "segment-unlinked-early",
    /// Another segment's header is not synced before its first batch.
    HeaderNotSynced = "header-not-synced",
    /// A segment that looks damaged is believed at the first reading.
    DoubtBelieved = "damage-believed-at-first-reading",
    /// What has ended leaves the index and the log before the archive's commit of it.
    ArchivedBeforeCommit = "archived-before-commit",
    /// A start goes by what the log says of the archive, not by what the archive holds.
    HandedOverTwice = "handed-over-twice",
    /// What was handed over leaves the index, and lists do not yet ask the archive for it.
    LostInBetween = "lost-between-index-and-archive",
    /// What was handed over stays in the index, and lists ask the archive for it as well.
    ListedTwice = "listed-twice",
    /// A slice is removed before the batch that forgets it is durable.
    SliceRemovedEarly = "slice-removed-early",
    /// An outcome is forgotten by its age alone, while barrier rows of its gid still count.
    GidFreeEarly = "gid-free-while-rows-count",
}

//! Every limit of the protocol, by name and unit.

/// What bounds a coordinator; each is configurable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Longest a call may take, from connect to last byte.
    pub call_timeout_ms: u64,
    /// Wait before the second sending of a call; doubles with each.
    pub backoff_ms: u64,
    /// Longest wait between two sendings.
    pub backoff_ms_max: u64,
    /// How far a wait may stray either way, in percent.
    pub backoff_jitter_percent: u64,
    /// Deadline of an open transaction that names none.
    pub open_timeout_ms: u64,
    /// Longest deadline that may be asked for.
    pub timeout_ms_max: u64,
    /// How long an ended transaction is known.
    pub retention_ms: u64,
    /// Longest a lazy record waits for its flush.
    pub lazy_ms_max: u64,
    /// Largest forward jump of the wall clock that is taken for time passing.
    pub clock_jump_ms_max: u64,
    /// How long aborts by deadline are held after a larger jump.
    pub clock_jump_grace_ms: u64,
    /// Span over which the calls due after a start are released.
    pub ramp_ms: u64,
    /// Branches per transaction.
    pub branches_max: usize,
    /// Replies of earlier steps that one step reads.
    pub reads_max: usize,
    /// Payload of a branch.
    pub payload_bytes_max: usize,
    /// Reply of a branch that is kept.
    pub reply_bytes_max: usize,
    /// Open transactions.
    pub open_max: usize,
    /// Payloads and replies of open transactions. The last eighth is kept for the branches that
    /// open ones add.
    pub open_bytes_max: usize,
    /// Destinations that open transactions name.
    pub destinations_max: usize,
    /// Calls in flight, all together.
    pub calls_max: usize,
    /// Calls in flight to one destination.
    pub destination_calls_max: usize,
    /// Calls in a row that come to nothing before a destination is called by probes only.
    pub breaker_silent_max: u64,
    /// Waiting requests of one transaction.
    pub transaction_waiters_max: usize,
    /// Waiting requests, all together.
    pub waiters_max: usize,
    /// Requests that wait for a look-up of their gid.
    pub lookups_max: usize,
    /// Requests that wait to be taken by the loop.
    pub inbox_max: usize,
    /// Longest a request may wait.
    pub wait_ms_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            call_timeout_ms: 5_000,
            backoff_ms: 100,
            backoff_ms_max: 60_000,
            backoff_jitter_percent: 20,
            open_timeout_ms: 60_000,
            timeout_ms_max: 366 * 24 * 3_600_000,
            retention_ms: 7 * 24 * 3_600_000,
            lazy_ms_max: 50,
            clock_jump_ms_max: 10_000,
            clock_jump_grace_ms: 60_000,
            ramp_ms: 1_000,
            branches_max: 1_024,
            reads_max: 32,
            payload_bytes_max: 256 * 1_024,
            reply_bytes_max: 64 * 1_024,
            open_max: 1_000_000,
            open_bytes_max: 2 * 1_024 * 1_024 * 1_024,
            destinations_max: 4_096,
            calls_max: 1_024,
            destination_calls_max: 256,
            breaker_silent_max: 8,
            transaction_waiters_max: 16,
            waiters_max: 65_536,
            lookups_max: 16_384,
            inbox_max: 16_384,
            wait_ms_max: 30_000,
        }
    }
}

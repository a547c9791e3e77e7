//! Seeded bugs, chosen at run time in a build with feature `mutants`: the simulator must find each.

/// Declares the seeded bugs of a crate: what each does, its name, and the switch. At most one is
/// on, and only for the thread that switched it; in a build without the feature, none can be.
#[macro_export]
macro_rules! mutants {
    ($($(#[doc = $bug:literal])+ $mutant:ident = $name:literal),+ $(,)?) => {
        /// A bug that can be switched on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[doc = $bug])+ $mutant),+
        }

        impl Mutant {
            /// Every one.
            pub const ALL: &'static [Mutant] = &[$(Mutant::$mutant),+];

            /// What it is called by.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Mutant::$mutant => $name),+
                }
            }

            /// What it does.
            pub const fn bug(self) -> &'static str {
                match self {
                    $(Mutant::$mutant => concat!($($bug),+)),+
                }
            }
        }

        #[cfg(feature = "mutants")]
        mod switched {
            extern crate std;

            std::thread_local! {
                static ACTIVE: core::cell::Cell<Option<super::Mutant>> =
                    const { core::cell::Cell::new(None) };
            }

            /// Switches one on for this thread, or all off.
            pub fn switch(mutant: Option<super::Mutant>) {
                ACTIVE.set(mutant);
            }

            /// Whether it is on.
            pub(crate) fn is_on(mutant: super::Mutant) -> bool {
                ACTIVE.get() == Some(mutant)
            }
        }

        #[cfg(feature = "mutants")]
        pub(crate) use switched::is_on;
        #[cfg(feature = "mutants")]
        pub use switched::switch;

        /// Whether it is on: never, in a build without the feature.
        #[cfg(not(feature = "mutants"))]
        pub(crate) const fn is_on(_mutant: Mutant) -> bool {
            false
        }
    };
}

mutants! {
    /// Calls leave before the version they need is durable.
    CallBeforeSync = "call-before-sync",
    /// Replies leave before the version they need is durable.
    ReplyBeforeSync = "reply-before-sync",
    /// The second of two requests that wait for one look-up is decided on what the store knew.
    StaleLookup = "second-input-on-stale-state",
    /// An abort that comes after the decision decides once more.
    DecidesTwice = "decides-twice",
    /// A decision to commit is not forced: forward-only steps and confirms leave before it.
    CommitNotForced = "forward-before-decision-durable",
    /// A decision to abort is not forced: compensations leave before the turn is durable.
    TurnNotForced = "compensation-before-turn-durable",
    /// A registration is not forced: its call leaves before it.
    RegistrationNotForced = "registration-not-forced",
    /// An operator's word on a branch is not forced: it is told, and may be lost.
    ResolveNotForced = "resolve-not-forced",
    /// A reply that a later step reads is passed on before it is durable.
    LazyReplyPassedOn = "lazy-reply-passed-on",
    /// The turn compensates only the steps that are known to be done.
    TurnSkipsUnknown = "turn-compensates-finished-only",
    /// Steps are compensated without waiting for those after them.
    CompensatesAtOnce = "compensation-out-of-order",
    /// A step is compensated while its action is in flight.
    CompensatesInFlight = "compensation-beside-action",
    /// After a start, a step without a record counts as never called.
    UntouchedAfterStart = "called-forgotten-at-start",
    /// A refusal that is not kept is left alone, as if it were.
    RefusedLeftAlone = "refused-left-alone",
    /// A commit takes a branch of which nothing is known for tried.
    CommitIgnoresUnknown = "commit-ignores-unknown",
    /// A commit takes along what its initiator named refused.
    RefusedListIgnored = "refused-list-ignored",
    /// A stuck branch is called without an operator's retry.
    StuckCalled = "stuck-branch-called",
    /// Whoever waits for the end is told at the decision.
    WaiterToldEarly = "waiter-told-early",
    /// The entry of a call in flight is lost, so that nothing waits for its answer.
    CallEntryLost = "in-flight-entry-lost",
    /// Calls that were due before a start are never taken up.
    CallsLostAtStart = "timer-lost-at-start",
    /// Deadlines set before a start are forgotten.
    DeadlineLostAtStart = "deadline-lost-at-start",
    /// A destination has one slot more than its limit says.
    SlotTooMany = "slot-too-many",
    /// A destination that answers again after a silence wakes nobody who waits for it.
    WaitingNotWoken = "waiting-not-woken",
    /// A silent destination is called like any other.
    BreakerNeverOpens = "breaker-never-opens",
    /// A destination that answered its probe stays called by probes only.
    BreakerNeverCloses = "breaker-never-closes",
    /// A silent destination is never probed.
    ProbeNeverSent = "probe-never-sent",
    /// After an outage all slots are back at once.
    SlotsBackAtOnce = "slots-back-at-once",
    /// Calls leave for a destination that an operator lets rest.
    PauseIgnored = "pause-ignored",
    /// A destination rests although an operator has had it called again.
    ResumeIgnored = "resume-ignored",
    /// Transactions begin though an operator drains the coordinator.
    DrainIgnored = "drain-ignored",
    /// A coordinator that was drained never takes transactions again.
    DrainedForEver = "drained-for-ever",
    /// As many transactions are open as anybody likes.
    OpenLimitIgnored = "open-limit-ignored",
    /// Open transactions hold as many bytes as anybody likes.
    OpenBytesIgnored = "open-bytes-ignored",
    /// Begins take the bytes that are kept for what is open.
    KeptBytesTaken = "kept-bytes-taken",
    /// Open transactions name as many destinations as anybody likes.
    DestinationsIgnored = "destinations-ignored",
    /// What was undecided in a copy that was put back is decided as after a crash.
    PastTrusted = "restored-past-trusted",
    /// What was undecided in a copy that was put back is decided by the first row that proves
    /// something.
    FirstProof = "restored-by-first-proof",
    /// An operator commits what a restore left undecided before every row was read.
    CommittedUnread = "restored-committed-unread",
    /// After a restore, a row that nobody can read any more settles its branch.
    StaleSettles = "restored-stale-row-settles",
    /// An operator's abort after a restore leaves standing what cannot be taken back.
    LeftStanding = "restored-abort-leaves-standing",
    /// After a copy was put back, begins are given that the life before gave.
    RestoredBegins = "restored-begins-given-again",
    /// A forward jump of the wall clock lets deadlines pass.
    JumpBelieved = "clock-jump-believed",
    /// After a start, begins are given from the last mark on, not from above all it allowed.
    ClockBehindPromise = "begun-given-twice",
    /// The limit that calls carry ignores what is still open.
    LimitAboveOpen = "limit-above-open",
    /// The limit that calls carry counts an end that is not durable.
    LimitCountsQueuedEnd = "limit-counts-end-not-durable",
    /// The limit that calls carry is counted from half the retention time.
    LimitHalfRetention = "limit-of-half-retention",
    /// A begin that was lost is answered as aborted, and nothing is recorded.
    LostBeginUnrecorded = "lost-begin-without-record",
    /// A capability opens whatever is known under its gid, whenever that was begun.
    CapabilityNotCompared = "capability-not-compared",
    /// A begin is repeated by its idempotency key, whatever its body.
    KeyDigestNotCompared = "key-digest-not-compared",
    /// A plan is repeated by its gid, whatever its steps.
    PlanDigestNotCompared = "plan-digest-not-compared",
}

//! Tally: which faults struck and which states were reached, and how often.

use crate::cells::{Cells, Census};

/// Declares a closed set of things to count, each with the words it is printed with.
macro_rules! counted {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$item:meta])* $variant:ident => $words:literal),+ $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$item])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// In words.
            pub fn words(self) -> &'static str {
                match self { $($name::$variant => $words),+ }
            }
        }
    };
}

counted! {
    /// A kind of fault.
    Fault {
        /// A call never arrives.
        CallDropped => "call dropped",
        /// A call arrives twice.
        CallDuplicated => "call duplicated",
        /// A call arrives late, perhaps after its timeout.
        CallDelayed => "call delayed",
        /// A call breaks off while it is being sent: it had no effect, and the sender hears so.
        CallReset => "call reset in its body",
        /// A call of long ago arrives again.
        CallReplayed => "call replayed",
        /// An answer of a participant is lost after its effect.
        AnswerLost => "answer lost after effect",
        /// An answer of a participant is late, perhaps after the timeout.
        AnswerDelayed => "answer delayed",
        /// An answer breaks off in its body, after its effect.
        AnswerReset => "answer reset in its body",
        /// An answer comes with bytes that were changed.
        AnswerGarbled => "answer garbled",
        /// An answer comes that belongs to another call.
        AnswerMisaddressed => "answer of another call",
        /// An answer comes whose header and status say different things.
        AnswerContradicted => "answer contradicts its status",
        /// An answer comes that is longer than replies may be.
        AnswerTooLong => "answer too long",
        /// A proxy answers by itself, and the call never arrives.
        ProxyAnswered => "proxy answered instead",
        /// Nobody says that a participant is not there: its connection is half open.
        HalfOpen => "connection half open",
        /// A request of a client never arrives.
        RequestDropped => "request dropped",
        /// A request of a client arrives twice.
        RequestDuplicated => "request duplicated",
        /// A request of a client arrives late.
        RequestDelayed => "request delayed",
        /// A request of long ago arrives again.
        RequestReplayed => "request replayed",
        /// A reply to a client is lost.
        ReplyLost => "reply lost",
        /// A reply to a client is late.
        ReplyDelayed => "reply delayed",
        /// A request breaks off while it is being sent.
        RequestReset => "request reset in its body",
        /// A reply breaks off while it is being read.
        ReplyReset => "reply reset in its body",
        /// Clients cannot reach the coordinator.
        ClientsCutOff => "clients cut off",
        /// A participant cannot be reached.
        Partitioned => "partition",
        /// A participant is reached, but what it says is not heard.
        PartitionedOneWay => "one-way partition",
        /// A participant can be reached, and cannot, in turn.
        PartitionFlapping => "flapping partition",
        /// The coordinator's process is killed; the page cache survives.
        CoordinatorKilled => "coordinator killed",
        /// The coordinator's machine loses power; the page cache is lost.
        PowerLost => "power lost",
        /// Un-synced sectors reached the platter out of order.
        SectorsReordered => "sectors kept out of order",
        /// A write reached the platter in part.
        WriteTorn => "write torn",
        /// A name un-synced in its folder is lost.
        NameLost => "name lost",
        /// A sync fails.
        SyncFailed => "sync failed",
        /// A removed file is back, for its folder was not synced.
        NameBack => "removed name back",
        /// A write fails, and is there in part.
        WriteFailed => "write failed",
        /// There is no room on the disk for a while.
        DiskFull => "disk full for a while",
        /// A sync takes long.
        SyncSlow => "sync slow",
        /// The disk does nothing for a long while.
        DiskStalled => "disk stalled",
        /// A bit flips on its way from the disk.
        ReadFlipped => "bit flipped on read",
        /// A read fails.
        ReadFailed => "read failed",
        /// A bit of what was durable flips on the disk, and stays so until somebody mends it.
        BitRotten => "bit rotten on the disk",
        /// What the store knows of a gid comes late.
        LookupSlow => "look-up slow",
        /// The driver's alarm rings late.
        AlarmLate => "alarm late",
        /// The coordinator stands still for a while.
        CoordinatorPaused => "coordinator paused",
        /// The coordinator is asked to stop, and stops a while later.
        CoordinatorDrained => "coordinator drained",
        /// An older copy of the coordinator's disk is put back.
        CopyPutBack => "older copy put back",
        /// The wall clock jumps forward.
        ClockForward => "clock forward",
        /// The wall clock jumps back.
        ClockBack => "clock back",
        /// The wall clock runs too fast or too slowly for a while.
        ClockDrifting => "clock drifts",
        /// The wall clock stands still for a while.
        ClockFrozen => "clock frozen",
        /// A participant's process dies with the work it had in hand.
        ParticipantCrashed => "participant crashed",
        /// A participant's process stands still for a while.
        ParticipantPaused => "participant paused",
        /// A participant has no room for any call for a while.
        Overloaded => "participant overloaded",
        /// A participant's database is started again: what was in hand is lost, rows stay.
        DatabaseRestarted => "participant's database restarted",
        /// A local transaction is rolled back: a deadlock, a lock that was not had in time.
        RolledBack => "local transaction rolled back",
        /// A client dies in the middle.
        ClientCrashed => "client crashed",
        /// The business refuses a try or an action.
        Refused => "refused",
        /// A refusal is said without a row that keeps it.
        RefusedNotKept => "refused, not kept",
        /// A confirm, cancel, compensate or forward-only action is refused.
        RefusedWrongly => "refused what may not be",
        /// The participant is at it, or has no room.
        Working => "working",
        /// An error that says nothing, without an effect.
        FailedBefore => "failed before effect",
        /// An error that says nothing, after the effect.
        FailedAfter => "failed after effect",
        /// A local transaction takes longer than the call's timeout.
        WorkSlow => "slower than the timeout",
        /// A client closes its connection before its wait is over.
        WaitCancelled => "wait cancelled",
        /// A client that had no answer to its commit aborts instead.
        MindChanged => "commit, then abort",
        /// A client asks for commit and abort at once.
        CommitAndAbort => "commit and abort at once",
        /// A client aborts while steps run, the deadline nears or the end comes.
        AbortRaced => "abort races the rest",
        /// A client hands the same plan over once more.
        Resubmitted => "plan submitted again",
        /// Another client wants the gid for another plan or begin.
        GidContested => "gid wanted by two",
        /// A second process begins with the same key.
        TwoInitiators => "two initiators with one key",
        /// The same key comes with another body.
        KeyReused => "key with another body",
        /// A request shows a capability that nobody was given.
        CapabilityForged => "capability forged",
        /// A request shows the capability of another begin of its gid.
        CapabilityOld => "capability of another begin",
        /// Somebody further down registers a branch, perhaps after the decision.
        RegisteredBesides => "registered by a stranger",
        /// An operator parks or aborts what was going well.
        OperatorMeddled => "operator meddled",
        /// An operator lets a destination rest, and later has it called again.
        DestinationPaused => "destination paused",
        /// An operator drains the coordinator, and later lets it take transactions again.
        IntakeClosed => "intake closed",
    }
}

counted! {
    /// How a transaction stands when a fault strikes it, as the coordinator last wrote it down.
    State {
        /// Nothing is known of it, or nothing is open.
        None => "none",
        /// The initiator will decide.
        Open => "open",
        /// The steps will decide.
        Forward => "forward",
        /// Every branch is being told to commit.
        Committing => "commit",
        /// Every branch is being told to abort.
        Aborting => "abort",
        /// A branch waits for an operator, and others go on.
        Stuck => "stuck",
        /// Every unfinished branch waits for an operator.
        Parked => "parked",
        /// Over.
        Ended => "ended",
    }
}

counted! {
    /// A state or a turn of events that a long run must have met.
    Sight {
        /// Ended transactions were handed over to the archive.
        HandedOver => "handed over",
        /// A slice of the archive was forgotten.
        SliceForgotten => "slice forgotten",
        /// A process died over a hand-over.
        DiedHandingOver => "died handing over",
        /// A transaction was committed.
        Committed => "committed",
        /// A transaction was aborted.
        Aborted => "aborted",
        /// Aborted because the initiator asked.
        AbortedByInitiator => "aborted by initiator",
        /// Aborted because of a refusal.
        AbortedByRefusal => "aborted by refusal",
        /// Aborted because something was not known.
        AbortedByUnknown => "aborted by unknown",
        /// Aborted at the deadline.
        AbortedByDeadline => "aborted by deadline",
        /// Aborted by an operator.
        AbortedByOperator => "aborted by operator",
        /// A cancel or compensate came before its try or action.
        NullCompensation => "null compensation",
        /// A try or action came after its cancel or compensate, and was refused.
        Hanging => "hanging refused",
        /// A duplicate was answered from the barrier row.
        Duplicate => "duplicate answered from the row",
        /// A duplicate was done while a refusal was on its way to its row.
        RefusalOvertaken => "refusal overtaken by a duplicate",
        /// A refusal was kept in its row.
        RefusalKept => "refusal kept",
        /// A branch was stuck.
        Stuck => "branch stuck",
        /// An operator's retry freed one.
        Retried => "operator retried",
        /// An operator parked a transaction.
        Parked => "operator parked",
        /// Somebody was shown a parked branch.
        SeenParked => "parked branch shown",
        /// A plan turned back while several steps were in flight.
        TurnWithConcurrentSteps => "turn with concurrent steps",
        /// A step was compensated of which no answer had been recorded.
        UnansweredCompensated => "unanswered step compensated",
        /// A commit left a refused branch out.
        CommittedWithout => "committed without a refused branch",
        /// A forward-only step ran after the decision.
        ForwardOnly => "forward-only step done",
        /// A step was handed the reply of an earlier one.
        ReplyRead => "reply of an earlier step read",
        /// A saga branch in an open transaction.
        MixedModes => "modes mixed in one transaction",
        /// The coordinator started with transactions open.
        RestartWithOpen => "restart with open",
        /// A start was refused, for the log could not be read as it was written.
        StartRefused => "start refused",
        /// A look-up failed, and its request was told so.
        LookupFailed => "look-up failed",
        /// The edge turned a forged capability away.
        ForgeryRefused => "forgery refused",
        /// Recovery cut a tail.
        TailCut => "tail cut",
        /// Records that nobody had been told of were lost in a crash.
        RecordsLost => "records lost, untold",
        /// Among them a decision.
        DecisionLost => "decision lost, untold",
        /// Among them an end.
        EndLost => "end lost, untold",
        /// The coordinator died while it read its log back.
        DiedStarting => "died while starting",
        /// A begin was lost in a crash, and its capability met nothing.
        LostBegin => "lost begin",
        /// Two wanted one gid.
        GidTaken => "gid taken",
        /// The same plan or begin came again.
        Repeated => "request repeated",
        /// A registration or commit came after the decision.
        TooLate => "request after the decision",
        /// A branch was registered otherwise under one name.
        BranchTaken => "branch taken",
        /// One idempotency key with two bodies.
        IdempotencyMismatch => "idempotency mismatch",
        /// A request while the coordinator started.
        Starting => "request while starting",
        /// A waiter was answered at the end.
        WaitedForEnd => "waited for the end",
        /// A wait was over before what it waited for.
        WaitOver => "wait over too soon",
        /// An answer came from the store's look-up.
        LookedUp => "looked up in the store",
        /// An initiator called a branch by itself.
        InitiatorCalled => "initiator called by itself",
        /// A begin came to a coordinator that is being stopped.
        Draining => "begin while draining",
        /// The coordinator saw its wall clock jump further than it believes.
        JumpSeen => "clock jump waited out",
        /// The log was at its limit.
        LogFull => "log full",
        /// Outcomes were forgotten before their time, for want of room.
        ForgottenEarly => "forgotten early",
        /// As many were open as may.
        OpenFull => "open full",
        /// Open transactions held as many bytes as they may.
        OpenBytesFull => "open bytes full",
        /// Open transactions named as many destinations as they may.
        DestinationsFull => "destinations full",
        /// As many waited as may.
        WaitersFull => "waiters full",
        /// An operator said how a branch stands.
        Resolved => "operator resolved",
        /// A branch is known to differ from the decision.
        Mixed => "mixed outcome",
        /// A branch cannot be known.
        Hazard => "hazard",
        /// A gid was used again after the retention time.
        GidUsedAgain => "gid used again",
        /// A call of a transaction that ended long ago was refused.
        Stale => "stale call refused",
        /// A participant cleared rows that nobody will ask for again.
        RowsCleared => "barrier rows cleared",
        /// A transaction was found undecided in a copy that was put back.
        Unaccounted => "undecided in a copy put back",
        /// A participant's row proved that such a one had been committed.
        CommitProven => "commit proven by a row",
        /// A participant's row proved that such a one had been aborted, or not been committed.
        AbortProven => "abort proven by a row",
        /// An operator decided such a one.
        AccountedByOperator => "decided by an operator after a restore",
        /// A client that would decide such a one was told to wait.
        NotDecidedByClient => "client told that the past is lost",
        /// An ended transaction was forgotten, and said so.
        Forgotten => "outcome forgotten",
    }
}

/// Counts of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    faults: Vec<u64>,
    sights: Vec<u64>,
    cells: Cells,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            faults: vec![0; Fault::ALL.len()],
            sights: vec![0; Sight::ALL.len()],
            cells: Cells::default(),
        }
    }
}

impl Tally {
    /// Counts a fault, and whom it struck.
    pub fn fault(&mut self, fault: Fault, struck: &Census) {
        self.faults[fault as usize] += 1;
        self.cells.strike(fault, struck);
    }

    /// Counts a sight.
    pub fn sight(&mut self, sight: Sight) {
        self.sights[sight as usize] += 1;
    }

    /// All faults together.
    pub fn faults_total(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// How often a fault struck.
    pub fn count_of_fault(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// How often a sight was seen.
    pub fn count_of_sight(&self, sight: Sight) -> u64 {
        self.sights[sight as usize]
    }

    /// Each fault against each state.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Tally) {
        self.cells.add(&other.cells);
        for (sum, more) in self.faults.iter_mut().zip(&other.faults) {
            *sum += more;
        }
        for (sum, more) in self.sights.iter_mut().zip(&other.sights) {
            *sum += more;
        }
    }

    /// What never happened: in a long run, a sign that the world is too kind.
    pub fn never(&self) -> Vec<&'static str> {
        let faults = Fault::ALL.iter().filter(|f| self.count_of_fault(**f) == 0);
        let sights = Sight::ALL.iter().filter(|s| self.count_of_sight(**s) == 0);
        faults.map(|f| f.words()).chain(sights.map(|s| s.words())).collect()
    }

    /// A row each, for people.
    pub fn rows(&self) -> Vec<(&'static str, u64)> {
        let faults = Fault::ALL.iter().map(|f| (f.words(), self.count_of_fault(*f)));
        faults.chain(Sight::ALL.iter().map(|s| (s.words(), self.count_of_sight(*s)))).collect()
    }
}

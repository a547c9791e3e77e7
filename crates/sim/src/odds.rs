//! Odds: how likely each fault is in one run, drawn anew for each, so that some runs are calm in
//! one respect and wild in another.

use crate::cells::Census;
use crate::chance::{Chance, Ppm};
use crate::order::{Mercy, Order};
use crate::tally::{Fault, Tally};
use crate::trace::{Trace, number_of};
use wholly_core::retry::mix;

/// The probabilities of one run. What strikes by the clock is drawn once a tick, everything else
/// at each occasion.
#[derive(Debug)]
pub struct Odds {
    ppm: Vec<Ppm>,
    mercy: Mercy,
}

/// What a part of the world that knows no transactions draws its faults with.
pub struct Luck<'a> {
    /// How likely each fault is.
    pub odds: &'a mut Odds,
    /// Every draw.
    pub chance: &'a mut Chance,
    /// What happened how often.
    pub tally: &'a mut Tally,
    /// Whom it strikes: everything that is open.
    pub census: Census,
    /// What happened.
    pub trace: &'a mut Trace,
    /// Virtual time.
    pub now_us: u64,
}

impl Luck<'_> {
    /// Whether a fault strikes; counts it.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.odds.draws(fault, self.chance);
        if strikes {
            self.tally.fault(fault, &self.census);
            let strike = self.odds.last_strike();
            self.trace.note(self.now_us, [21, fault as u64, strike], || {
                format!("world strike {strike}: {}, for everybody", fault.words())
            });
        }
        strikes
    }
}

/// Time between two draws of what strikes by the clock.
pub const TICK_US: u64 = 20_000;

impl Odds {
    /// Nothing breaks.
    pub fn calm() -> Self {
        Odds { ppm: vec![0; Fault::ALL.len()], mercy: Mercy::default() }
    }

    /// Each fault has its own weather: absent in a third of all runs, else up to its maximum.
    /// Each from a stream of its own, so that one kind more changes no other.
    pub fn draw(order: &Order) -> Self {
        let mut odds = Odds { mercy: Mercy::of(order), ..Odds::calm() };
        for fault in Fault::ALL {
            let chance = &mut Chance::new(mix(order.seed ^ number_of(fault.words())));
            let max = u64::from(ppm_max(*fault));
            if chance.below(3) > 0 {
                odds.ppm[*fault as usize] = chance.within(max / 20, max) as Ppm;
            }
        }
        odds
    }

    /// Whether a fault strikes.
    pub fn draws(&mut self, fault: Fault, chance: &mut Chance) -> bool {
        let name = chance.hits(self.ppm[fault as usize]);
        name.is_some_and(|name| self.mercy.permits(fault, name))
    }

    /// The names of the strikes that happened, in order.
    pub fn strikes(&self) -> &[u64] {
        self.mercy.happened()
    }

    /// The name of the last strike; zero before the first.
    pub fn last_strike(&self) -> u64 {
        self.strikes().last().copied().unwrap_or_default()
    }

    /// Nothing breaks from here on.
    pub fn calm_down(&mut self) {
        self.ppm.fill(0);
    }
}

/// The declared budget: never more often than this.
fn ppm_max(fault: Fault) -> Ppm {
    match fault {
        Fault::CallDuplicated => 350_000,
        Fault::RequestDuplicated => 250_000,
        Fault::CallDropped
        | Fault::CallDelayed
        | Fault::CallReset
        | Fault::AnswerLost
        | Fault::AnswerReset
        | Fault::AnswerDelayed
        | Fault::RequestDropped
        | Fault::RequestReset
        | Fault::RequestDelayed
        | Fault::ReplyLost
        | Fault::ReplyReset
        | Fault::ReplyDelayed
        | Fault::Working => 130_000,
        Fault::WaitCancelled => 250_000,
        Fault::AnswerGarbled
        | Fault::AnswerMisaddressed
        | Fault::AnswerContradicted
        | Fault::AnswerTooLong
        | Fault::ProxyAnswered => 90_000,
        Fault::FailedBefore | Fault::FailedAfter | Fault::WorkSlow | Fault::RolledBack => 80_000,
        Fault::CallReplayed | Fault::RequestReplayed => 120_000,
        Fault::HalfOpen => 500_000,
        Fault::Refused => 120_000,
        Fault::RefusedNotKept => 40_000,
        Fault::RefusedWrongly => 40_000,
        Fault::ClientCrashed => 20_000,
        Fault::MindChanged | Fault::CommitAndAbort => 60_000,
        // Once a visit of a stranger.
        Fault::CapabilityForged | Fault::CapabilityOld | Fault::RegisteredBesides => 600_000,
        Fault::AbortRaced => 150_000,
        // Once a round.
        Fault::OperatorMeddled => 50_000,
        Fault::DestinationPaused | Fault::IntakeClosed => 60_000,
        // Brought about by who comes, not by chance.
        Fault::Resubmitted | Fault::GidContested | Fault::TwoInitiators | Fault::KeyReused => 0,
        // Once a tick.
        Fault::Partitioned | Fault::PartitionedOneWay | Fault::PartitionFlapping => 6_000,
        Fault::ClientsCutOff | Fault::ParticipantPaused | Fault::Overloaded => 8_000,
        Fault::DatabaseRestarted | Fault::ParticipantCrashed => 15_000,
        Fault::ClockForward | Fault::ClockBack => 10_000,
        Fault::ClockDrifting | Fault::ClockFrozen => 8_000,
        Fault::CoordinatorPaused | Fault::CoordinatorDrained => 4_000,
        Fault::DiskFull => 8_000,
        // And once a disk operation.
        Fault::CoordinatorKilled | Fault::PowerLost => 6_000,
        Fault::CopyPutBack => 200_000,
        // Once a write or sync.
        Fault::SyncFailed => 2_000,
        Fault::WriteFailed | Fault::DiskStalled => 2_000,
        Fault::SyncSlow => 30_000,
        // Once a reading, a look-up, a setting of the alarm.
        Fault::ReadFlipped => 150_000,
        Fault::ReadFailed => 20_000,
        Fault::LookupSlow | Fault::AlarmLate => 30_000,
        // Once a start.
        Fault::BitRotten => 150_000,
        // Once a loss of power.
        Fault::SectorsReordered => 900_000,
        Fault::WriteTorn => 900_000,
        Fault::NameLost | Fault::NameBack => 700_000,
    }
}

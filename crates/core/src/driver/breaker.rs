//! A breaker per destination: while nothing comes back from it, it is called by one probe at a
//! time, so that the slots are left to those that answer.

use crate::ids::CallId;
use crate::limits::Limits;
use crate::mutants::{self, Mutant};
use crate::retry;
use crate::time::{Instant, Now, Timestamp};

/// Whether a destination is called freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Breaker {
    /// It is; so many calls in a row came to nothing.
    Closed { silent: u32 },
    /// It is not.
    Open(Outage),
}

/// A time in which nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outage {
    /// Since when, for people.
    pub(super) since: Timestamp,
    /// Probes that came to nothing.
    pub(super) probes: u32,
    pub(super) probe: Probe,
}

/// How the next probe stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Probe {
    /// It waits for an instant.
    Resting(Instant),
    /// The next call is the probe.
    Due,
    InFlight(CallId),
}

/// What a breaker goes by.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) now: Now,
    pub(super) limits: &'a Limits,
    pub(super) seed: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker::Closed { silent: 0 }
    }
}

impl Breaker {
    /// Nothing came of a call; says when the next probe is due, if that was settled by it.
    pub(super) fn silent(&mut self, call: CallId, moment: Moment<'_>) -> Option<Instant> {
        let (since, probes) = match self {
            Breaker::Closed { silent } => {
                *silent = silent.saturating_add(1);
                let few = u64::from(*silent) < moment.limits.breaker_silent_max;
                if few || mutants::is_on(Mutant::BreakerNeverOpens) {
                    return None;
                }
                (moment.now.wall, 0)
            }
            Breaker::Open(outage) if outage.probe == Probe::InFlight(call) => {
                (outage.since, outage.probes.saturating_add(1))
            }
            // It left before the outage was noticed.
            Breaker::Open(_) => return None,
        };
        let wait_ms = retry::backoff_ms(moment.limits, probes.saturating_add(1), moment.seed);
        let at = moment.now.monotonic.plus_ms(wait_ms);
        *self = Breaker::Open(Outage { since, probes, probe: Probe::Resting(at) });
        Some(at)
    }

    /// Something came back; gives the outage that is over by that.
    pub(super) fn answered(&mut self) -> Option<Outage> {
        if mutants::is_on(Mutant::BreakerNeverCloses) {
            return None;
        }
        match core::mem::take(self) {
            Breaker::Open(outage) => Some(outage),
            Breaker::Closed { .. } => None,
        }
    }

    /// Whether one more call may leave.
    pub(super) fn lets_through(&self) -> bool {
        match self {
            Breaker::Closed { .. } => true,
            Breaker::Open(outage) => match outage.probe {
                Probe::Due => true,
                Probe::Resting(_) | Probe::InFlight(_) => false,
            },
        }
    }

    /// A call left.
    pub(super) fn sent(&mut self, call: CallId) {
        if let Breaker::Open(outage) = self {
            outage.probe = Probe::InFlight(call);
        }
    }

    /// The next call is the probe; gives the instant that it would have waited for.
    pub(super) fn due(&mut self) -> Option<Instant> {
        match self {
            Breaker::Open(outage) => match outage.probe {
                Probe::Resting(at) => {
                    outage.probe = Probe::Due;
                    Some(at)
                }
                Probe::Due | Probe::InFlight(_) => None,
            },
            Breaker::Closed { .. } => None,
        }
    }

    /// When the next probe is due, while that is waited for.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        match self {
            Breaker::Open(Outage { probe: Probe::Resting(at), .. }) => Some(*at),
            Breaker::Open(Outage { probe: Probe::Due | Probe::InFlight(_), .. })
            | Breaker::Closed { .. } => None,
        }
    }
}

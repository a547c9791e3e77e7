//! Clock: wall time that jumps, monotonic time that does not.

use crate::chance::Chance;
use wholly_core::time::{Instant, Now, Timestamp};

/// Wall time at the start of every run.
const WALL_MS: u64 = 1_700_000_000_000;

/// The clocks of one machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset_ms: i64,
    booted_us: u64,
}

impl Clock {
    /// A clock that has not jumped.
    pub fn new() -> Self {
        Clock { offset_ms: 0, booted_us: 0 }
    }

    /// What a process on this machine reads; its monotonic clock began with the process.
    pub fn read(&self, at_us: u64) -> Now {
        let wall = WALL_MS.saturating_add_signed(self.offset_ms) + at_us / 1_000;
        let monotonic = (at_us - self.booted_us) / 1_000;
        Now { wall: Timestamp(wall), monotonic: Instant(monotonic) }
    }

    /// When an instant of the process will be.
    pub fn when_us(&self, instant: Instant) -> u64 {
        self.booted_us + instant.0 * 1_000
    }

    /// A process began: its monotonic clock begins.
    pub fn boot(&mut self, at_us: u64) {
        self.booted_us = at_us;
    }

    /// The wall clock is set forward, sometimes far.
    pub fn jump_forward(&mut self, chance: &mut Chance) -> i64 {
        let far = if chance.below(4) == 0 { 20_000 } else { 2_000 };
        let by = chance.within(1, far) as i64;
        self.offset_ms += by;
        by
    }

    /// The wall clock is set back, sometimes far.
    pub fn jump_back(&mut self, chance: &mut Chance) -> i64 {
        let far = if chance.below(4) == 0 { 20_000 } else { 2_000 };
        let by = -(chance.within(1, far) as i64);
        self.offset_ms += by;
        by
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

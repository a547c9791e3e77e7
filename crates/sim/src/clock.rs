//! Clock: wall time that jumps, drifts and stands still, monotonic time that does not.

use crate::chance::Chance;
use wholly_core::time::{Instant, Now, Timestamp};

/// Wall time at the start of every run.
const WALL_US: u64 = 1_700_000_000_000_000;

/// The clocks of one machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What the wall clock showed when it was last set or began to run otherwise.
    wall_us: u64,
    since_us: u64,
    /// How it runs until then: thousandths of the right pace. After that it runs as it should.
    pace: u64,
    until_us: u64,
    booted_us: u64,
}

/// The pace of a clock that is right.
const RIGHT: u64 = 1_000;

impl Clock {
    /// A clock that has not jumped.
    pub fn new() -> Self {
        Clock { wall_us: WALL_US, since_us: 0, pace: RIGHT, until_us: 0, booted_us: 0 }
    }

    /// What a process on this machine reads; its monotonic clock began with the process.
    pub fn read(&self, at_us: u64) -> Now {
        let monotonic = (at_us - self.booted_us) / 1_000;
        let wall = Timestamp(self.wall_us(at_us) / 1_000);
        Now { wall, monotonic: Instant(monotonic) }
    }

    fn wall_us(&self, at_us: u64) -> u64 {
        let odd = at_us.min(self.until_us).saturating_sub(self.since_us);
        let even = at_us - self.since_us - odd;
        self.wall_us + odd * self.pace / RIGHT + even
    }

    /// When an instant of the process will be.
    pub fn when_us(&self, instant: Instant) -> u64 {
        self.booted_us + instant.0 * 1_000
    }

    /// A process began: its monotonic clock begins.
    pub fn boot(&mut self, at_us: u64) {
        self.booted_us = at_us;
    }

    /// From here on the wall clock runs at another pace, until then.
    fn run(&mut self, at_us: u64, (pace, until_us): (u64, u64)) {
        let wall_us = self.wall_us(at_us);
        *self = Clock { wall_us, since_us: at_us, pace, until_us, booted_us: self.booted_us };
    }

    /// The wall clock stands still for so long.
    pub fn freeze(&mut self, at_us: u64, wait_us: u64) {
        self.run(at_us, (0, at_us + wait_us));
    }

    /// The wall clock runs up to twice as fast as time, or as little as a quarter, for so long.
    pub fn drift(&mut self, at_us: u64, wait_us: u64, chance: &mut Chance) -> u64 {
        let pace = chance.within(RIGHT / 4, RIGHT * 2);
        self.run(at_us, (pace, at_us + wait_us));
        pace
    }

    /// The wall clock runs as it should.
    pub fn heal(&mut self, at_us: u64) {
        self.run(at_us, (RIGHT, at_us));
    }

    /// The wall clock is set forward, sometimes far.
    pub fn jump_forward(&mut self, chance: &mut Chance) -> i64 {
        let far = if chance.below(4) == 0 { 20_000 } else { 2_000 };
        let by = chance.within(1, far);
        self.wall_us += by * 1_000;
        by as i64
    }

    /// The wall clock is set back, sometimes far.
    pub fn jump_back(&mut self, chance: &mut Chance) -> i64 {
        let far = if chance.below(4) == 0 { 20_000 } else { 2_000 };
        let by = chance.within(1, far);
        self.wall_us -= by * 1_000;
        -(by as i64)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_stands_drifts_and_is_right_again() {
        let passed = |clock: &Clock, at_us| clock.wall_us(at_us) - WALL_US;
        let mut clock = Clock::new();
        assert_eq!(passed(&clock, 5_000), 5_000);
        clock.freeze(5_000, 3_000);
        assert_eq!([6_000, 8_000, 9_000].map(|at| passed(&clock, at)), [5_000, 5_000, 6_000]);
        clock.run(10_000, (2_000, 12_000));
        assert_eq!([11_000, 12_000, 13_000].map(|at| passed(&clock, at)), [9_000, 11_000, 12_000]);
        clock.run(13_000, (500, 20_000));
        clock.heal(15_000);
        assert_eq!([15_000, 17_000].map(|at| passed(&clock, at)), [13_000, 15_000]);
    }
}

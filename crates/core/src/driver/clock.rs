//! The never-repeating clock: no begun is given twice, whatever a crash or the wall clock does.
//!
//! A mark in the log promises that every begun is at most [`AHEAD_MS`] above it; after a start
//! the clock runs above the last mark plus that span. It stands still rather than pass what has
//! been promised, and rather than follow the wall clock backwards.

use crate::ids::Position;
use crate::limits::Limits;
use crate::mutants::{self, Mutant};
use crate::record::ClockMark;
use crate::time::{Instant, Now, Timestamp};
use alloc::collections::VecDeque;

/// How far a begun may be above the last durable mark.
pub(super) const AHEAD_MS: u64 = 1_000;
/// How often a mark is written.
const MARK_MS: u64 = 1_000;

#[derive(Clone, Hash)]
pub(super) struct Clock {
    clock: Timestamp,
    marked: Option<Timestamp>,
    last: ClockMark,
    pending: VecDeque<(Position, ClockMark)>,
    /// Between the last begun that may have been given before this start, and the first that can
    /// be given after it.
    gap: (Option<Timestamp>, Timestamp),
    seen: Option<Now>,
    next_mark: Instant,
    deadlines_held_until: Option<Instant>,
}

impl Clock {
    /// A clock that runs above the last mark, and above everything that a lost log gave.
    pub(super) fn new(mark: Option<ClockMark>, restored: Option<Timestamp>) -> Clock {
        let ahead_ms = if mutants::is_on(Mutant::ClockBehindPromise) { 0 } else { AHEAD_MS + 1 };
        let before = mark.map(|mark| mark.clock.plus_ms(AHEAD_MS));
        let above = mark.map(|mark| mark.clock.plus_ms(ahead_ms));
        let restored = restored.filter(|_| !mutants::is_on(Mutant::RestoredBegins));
        let clock = above.max(restored.map(|given| given.plus_ms(1))).unwrap_or_default();
        Clock {
            clock,
            gap: (before, Timestamp(0)),
            marked: None,
            last: mark.unwrap_or_default(),
            pending: VecDeque::new(),
            seen: None,
            next_mark: Instant(0),
            deadlines_held_until: None,
        }
    }

    pub(super) fn start(&mut self, now: Now) {
        self.seen = Some(now);
        self.gap.1 = self.clock.max(now.wall);
    }

    /// Whether no log that leads up to this one can have given a begun: it lies in the time in
    /// which no coordinator ran, or ahead of the clock. Whoever shows its capability was given it
    /// by a coordinator over another copy of the log, of which nothing is known here.
    pub(super) fn never_gave(&self, begun: Timestamp) -> bool {
        let after = self.gap.0.is_none_or(|before| begun > before);
        (after && begun < self.gap.1) || begun > self.clock
    }

    pub(super) fn is_ready(&self) -> bool {
        self.marked.is_some()
    }

    /// Sees how both clocks moved; a forward jump of the wall clock holds aborts by deadline.
    pub(super) fn observe(&mut self, now: Now, limits: &Limits) {
        if let Some(seen) = self.seen {
            let wall = now.wall.since_ms(seen.wall);
            let passed = now.monotonic.since_ms(seen.monotonic);
            let jumped = wall.saturating_sub(passed) > limits.clock_jump_ms_max;
            if jumped && !mutants::is_on(Mutant::JumpBelieved) {
                let until = now.monotonic.plus_ms(limits.clock_jump_grace_ms);
                self.deadlines_held_until = Some(until);
            }
        }
        self.seen = Some(now);
        if self.deadlines_held_until.is_some_and(|until| until <= now.monotonic) {
            self.deadlines_held_until = None;
        }
    }

    pub(super) fn are_deadlines_held(&self) -> bool {
        self.deadlines_held_until.is_some()
    }

    /// The begun of a transaction that begins; none before the first mark is durable.
    pub(super) fn begun(&mut self, now: Now) -> Option<Timestamp> {
        let marked = self.marked?;
        let ahead = now.wall.min(marked.plus_ms(AHEAD_MS));
        self.clock = self.clock.max(ahead);
        Some(self.clock)
    }

    /// When a wall time will have come; not before a hold is over.
    pub(super) fn instant_of(&self, at: Timestamp, now: Now) -> Instant {
        let due = now.monotonic.plus_ms(at.since_ms(now.wall));
        match self.deadlines_held_until {
            Some(until) => due.max(until),
            None => due,
        }
    }

    pub(super) fn next_mark(&self) -> Instant {
        self.next_mark
    }

    pub(super) fn is_mark_due(&self, now: Now) -> bool {
        now.monotonic >= self.next_mark
    }

    /// The mark to be written: the clock, and below what everything is over and forgotten. While
    /// a jump of the wall clock is held, nothing more is forgotten.
    pub(super) fn mark(
        &mut self,
        now: Now,
        oldest: Option<Timestamp>,
        limits: &Limits,
    ) -> ClockMark {
        self.next_mark = now.monotonic.plus_ms(MARK_MS);
        // Above the mark before as well: that one may have been kept, and begins given by it, after
        // the wall clock went back.
        let clock = self.clock.max(now.wall).max(self.last.clock);
        let (limit, ended_before) = match self.deadlines_held_until {
            Some(_) => (self.last.limit, self.last.ended_before),
            None => (
                self.limit(oldest, limits).max(self.last.limit),
                now.wall.minus_ms(limits.retention_ms).max(self.last.ended_before),
            ),
        };
        self.last = ClockMark { clock, limit, ended_before };
        self.last
    }

    /// The begin of the oldest transaction whose end is not durable, less the retention time.
    /// Where there is none, the next one begins at the clock or after it; the wall may be ahead of
    /// that, for the clock waits for its marks. A begin that was lost may name a begun ahead of
    /// this clock, and must not lift the limit above those that are yet to begin.
    fn limit(&self, oldest: Option<Timestamp>, limits: &Limits) -> Timestamp {
        let share = if mutants::is_on(Mutant::LimitHalfRetention) { 2 } else { 1 };
        let oldest = oldest.filter(|_| !mutants::is_on(Mutant::LimitAboveOpen));
        oldest.unwrap_or(self.clock).min(self.clock).minus_ms(limits.retention_ms / share)
    }

    /// The limit that calls carry: that of the last mark.
    pub(super) fn call_limit(&self) -> Timestamp {
        self.last.limit
    }

    pub(super) fn queued(&mut self, position: Position, mark: ClockMark) {
        self.pending.push_back((position, mark));
    }

    pub(super) fn durable(&mut self, position: Position) {
        while let Some((at, mark)) = self.pending.front().copied() {
            if at > position {
                break;
            }
            self.pending.pop_front();
            self.marked = Some(mark.clock);
            self.clock = self.clock.max(mark.clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A begin is never below the limit of a mark, however long nothing was durable.
    #[test]
    fn no_begin_falls_below_the_limit_of_a_queued_mark() {
        let limits = Limits { retention_ms: 100, ..Limits::default() };
        let now = |ms| Now { wall: Timestamp(ms), monotonic: Instant(ms) };
        let mut clock = Clock::new(None, None);
        clock.start(now(5_000));
        let first = clock.mark(now(5_000), None, &limits);
        clock.queued(Position(1), first);
        clock.durable(Position(1));
        let late = clock.mark(now(11_000), None, &limits);
        clock.queued(Position(2), late);
        let begun = clock.begun(now(11_000)).expect("a mark is durable");
        assert!(begun >= late.limit, "{begun:?} {late:?}");
        assert!(begun <= first.clock.plus_ms(AHEAD_MS), "{begun:?}");
        clock.durable(Position(2));
        assert_eq!(clock.begun(now(11_001)), Some(Timestamp(11_001)));
    }

    /// The wall clock goes back before the first mark is durable: the second mark must not promise
    /// less than the first, by which a begin is given.
    #[test]
    fn a_mark_is_never_below_the_one_before() {
        let limits = Limits::default();
        let at = |wall, ms| Now { wall: Timestamp(wall), monotonic: Instant(ms) };
        let mut clock = Clock::new(None, None);
        clock.start(at(1_000_000, 0));
        let first = clock.mark(at(1_000_000, 0), None, &limits);
        clock.queued(Position(1), first);
        let second = clock.mark(at(692_945, 1_000), None, &limits);
        clock.queued(Position(2), second);
        clock.durable(Position(1));
        let given = clock.begun(at(692_945, 1_000)).expect("a mark is durable");
        assert!(second.clock >= first.clock, "{second:?}");
        let mut after_a_crash = Clock::new(Some(second), None);
        after_a_crash.start(at(692_945, 0));
        let third = after_a_crash.mark(at(692_945, 0), None, &limits);
        after_a_crash.queued(Position(3), third);
        after_a_crash.durable(Position(3));
        assert!(after_a_crash.begun(at(692_945, 0)).expect("a mark is durable") > given);
    }
}

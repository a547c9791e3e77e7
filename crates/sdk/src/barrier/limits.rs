//! The highest limit that this process has seen of each coordinator's log.

use super::{CLEAR_STEP_MS, Sweep};
use std::collections::BTreeMap;
use std::sync::Mutex;
use wholly_core::ids::Origin;
use wholly_core::time::Timestamp;

/// Logs whose limits are remembered. One beyond them is judged by its own mark and by what is
/// written down, which is correct, only later to clear.
const ORIGINS_MAX: usize = 64;

/// Limits by log.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    seen: Mutex<BTreeMap<Origin, Seen>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    limit: Timestamp,
    /// The limit at the last clearing.
    cleared: Timestamp,
    /// The limit that a clearing of this process has written down.
    written: Timestamp,
    at_it: AtIt,
}

/// Whether somebody is clearing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtIt {
    Yes,
    No,
}

/// Whether rows are to be cleared away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clearing {
    /// They are, by whoever is told so.
    Due(Sweep),
    /// They are not.
    NotDue,
}

impl Limits {
    /// Takes a limit in; gives the highest there is.
    pub(crate) fn raise(&self, origin: &Origin, limit: Timestamp) -> Timestamp {
        let mut seen = self.seen.lock().expect("no holder panics");
        if let Some(entry) = seen.get_mut(origin) {
            entry.limit = entry.limit.max(limit);
            return entry.limit;
        }
        if seen.len() < ORIGINS_MAX {
            let none = Timestamp(0);
            let entry = Seen { limit, cleared: none, written: none, at_it: AtIt::No };
            seen.insert(origin.clone(), entry);
        }
        limit
    }

    /// The highest there is, without taking one in.
    pub(crate) fn highest(&self, origin: &Origin, limit: Timestamp) -> Timestamp {
        let seen = self.seen.lock().expect("no holder panics");
        seen.get(origin).map_or(limit, |entry| entry.limit.max(limit))
    }

    /// Whether the limit has risen far enough since the last clearing. Who is told that it is due
    /// says [`cleared`](Self::cleared) at the end; until then nobody else is told.
    pub(crate) fn clearing(&self, origin: &Origin) -> Clearing {
        let mut seen = self.seen.lock().expect("no holder panics");
        let Some(entry) = seen.get_mut(origin) else { return Clearing::NotDue };
        if entry.at_it == AtIt::Yes || entry.limit.since_ms(entry.cleared) < CLEAR_STEP_MS {
            return Clearing::NotDue;
        }
        (entry.cleared, entry.at_it) = (entry.limit, AtIt::Yes);
        Clearing::Due(Sweep { limit: entry.limit, below: entry.written })
    }

    /// A clearing is over, and this limit is written down: nought where it failed.
    pub(crate) fn cleared(&self, origin: &Origin, written: Timestamp) {
        let mut seen = self.seen.lock().expect("no holder panics");
        if let Some(entry) = seen.get_mut(origin) {
            (entry.at_it, entry.written) = (AtIt::No, entry.written.max(written));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_only_rise_and_ask_to_be_cleared_once_a_step() {
        let (limits, origin) = (Limits::default(), Origin::new("a").unwrap());
        assert_eq!(limits.raise(&origin, Timestamp(CLEAR_STEP_MS - 1)).0, CLEAR_STEP_MS - 1);
        assert_eq!(limits.clearing(&origin), Clearing::NotDue);
        assert_eq!(limits.raise(&origin, Timestamp(CLEAR_STEP_MS)).0, CLEAR_STEP_MS);
        assert_eq!(limits.raise(&origin, Timestamp(1)).0, CLEAR_STEP_MS);
        let first = Timestamp(CLEAR_STEP_MS);
        let sweep = Sweep { limit: first, below: Timestamp(0) };
        assert_eq!(limits.clearing(&origin), Clearing::Due(sweep), "nothing was written yet");
        let second = limits.raise(&origin, Timestamp(2 * CLEAR_STEP_MS));
        assert_eq!(limits.clearing(&origin), Clearing::NotDue, "one is at it");
        limits.cleared(&origin, first);
        let sweep = Sweep { limit: second, below: first };
        assert_eq!(limits.clearing(&origin), Clearing::Due(sweep));
        limits.cleared(&origin, Timestamp(0));
        assert_eq!(limits.clearing(&origin), Clearing::NotDue, "not far enough");
        assert_eq!(limits.highest(&origin, Timestamp(7)).0, 2 * CLEAR_STEP_MS);
    }

    #[test]
    fn no_more_logs_are_remembered_than_there_is_room_for() {
        let limits = Limits::default();
        for n in 0..ORIGINS_MAX + 10 {
            let origin = Origin::new(&format!("log-{n}")).unwrap();
            assert_eq!(limits.raise(&origin, Timestamp(9)).0, 9);
        }
        assert_eq!(limits.seen.lock().unwrap().len(), ORIGINS_MAX);
    }
}

//! Bodies: how many bytes of them there are at once, of all clients and of each.

use crate::shell::Weight;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So much of a body is its connection's own: small requests are served whatever others send.
pub(super) const UNCOUNTED_BYTES: usize = 16 * 1_024;
/// One peer has at most this part of what all have.
const PEER_PART: usize = 2;

/// Bytes of bodies that are being read or looked at.
#[derive(Debug)]
pub(super) struct Bodies {
    used: AtomicUsize,
    bytes_max: usize,
    peer_bytes_max: usize,
}

/// Bytes of bodies that are one peer's.
#[derive(Debug, Default)]
pub(super) struct Share(AtomicUsize);

/// As many bytes as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Bodies {
    /// So many bytes; a body at its own limit always finds room when it is alone.
    pub(super) fn new(bytes_max: usize, body_bytes_max: usize) -> Arc<Bodies> {
        let at_least = |bytes: usize| bytes.max(body_bytes_max);
        Arc::new(Bodies {
            used: AtomicUsize::new(0),
            bytes_max: at_least(bytes_max),
            peer_bytes_max: at_least(bytes_max / PEER_PART),
        })
    }

    /// Room for one body, which has none of it yet.
    pub(super) fn room(self: &Arc<Self>, share: &Arc<Share>) -> Room {
        Room { bodies: Arc::clone(self), share: Arc::clone(share), bytes: 0 }
    }
}

/// What a body takes, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    bodies: Arc<Bodies>,
    share: Arc<Share>,
    bytes: usize,
}

impl Room {
    /// Whether a body of so many bytes would find room. It is a hint: nothing is kept for it, for
    /// then who announces much and sends nothing would keep others out.
    pub(super) fn would_hold(&self, body_bytes: usize) -> Result<(), Full> {
        let more = body_bytes.saturating_sub(UNCOUNTED_BYTES).saturating_sub(self.bytes);
        let fits = |used: &AtomicUsize, max: usize| {
            more == 0 || used.load(Ordering::Relaxed).saturating_add(more) <= max
        };
        let holds = fits(&self.bodies.used, self.bodies.bytes_max)
            && fits(&self.share.0, self.bodies.peer_bytes_max);
        holds.then_some(()).ok_or(Full)
    }

    /// The body has so many bytes. Never waits: who is refused gives back what he has.
    pub(super) fn grow_to(&mut self, body_bytes: usize) -> Result<(), Full> {
        let bytes = body_bytes.saturating_sub(UNCOUNTED_BYTES);
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        take(&self.bodies.used, more, self.bodies.bytes_max)?;
        if let Err(full) = take(&self.share.0, more, self.bodies.peer_bytes_max) {
            self.bodies.used.fetch_sub(more, Ordering::Relaxed);
            return Err(full);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// What it takes goes on with what was made of the body.
    pub(super) fn weight(self) -> Weight {
        (self.bytes > 0).then(|| Box::new(self) as Box<dyn Send>)
    }
}

fn take(used: &AtomicUsize, more: usize, max: usize) -> Result<(), Full> {
    let sum = |used: usize| used.checked_add(more).filter(|sum| *sum <= max);
    let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    taken.map(drop).map_err(|_used| Full)
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.bodies.used.fetch_sub(self.bytes, Ordering::Relaxed);
            self.share.0.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: usize = UNCOUNTED_BYTES;

    /// Bodies as (peer, bytes), each of which stays; the last is one too many or is not.
    fn check(bytes_max: usize, body_bytes_max: usize, bodies: &[(usize, usize)], last: bool) {
        let all = Bodies::new(bytes_max, body_bytes_max);
        let shares: [Arc<Share>; 3] = Default::default();
        let mut rooms = Vec::new();
        for (at, (peer, bytes)) in bodies.iter().enumerate() {
            let mut room = all.room(&shares[*peer]);
            let fits = at + 1 < bodies.len() || last;
            assert_eq!(room.would_hold(*bytes).is_ok(), fits, "{bodies:?} {at}");
            assert_eq!(room.grow_to(*bytes).is_ok(), fits, "{bodies:?} {at}");
            rooms.push(room);
        }
        let held: usize = rooms.iter().map(|room| room.bytes).sum();
        assert_eq!(all.used.load(Ordering::Relaxed), held, "{bodies:?}");
        drop(rooms);
        let left = shares.iter().map(|share| share.0.load(Ordering::Relaxed)).sum::<usize>();
        assert_eq!((all.used.load(Ordering::Relaxed), left), (0, 0), "{bodies:?}");
    }

    #[test]
    fn bodies_have_a_bound_in_sum_and_each_peer_has_half_of_it() {
        check(200, 100, &[(0, FREE + 100), (1, FREE + 100)], true);
        check(200, 100, &[(0, FREE + 100), (1, FREE + 100), (2, FREE + 1)], false);
        check(200, 100, &[(0, FREE + 60), (0, FREE + 40)], true);
        check(200, 100, &[(0, FREE + 60), (0, FREE + 41)], false);
        // Small ones are served, whatever others send.
        check(200, 100, &[(0, FREE + 100), (1, FREE + 100), (2, FREE)], true);
        // One body at its own limit always fits when it is alone.
        check(1, 100, &[(0, FREE + 100)], true);
        check(1, 100, &[(0, FREE + 100), (1, FREE + 1)], false);
    }

    #[test]
    fn a_body_grows_within_its_room_and_gives_all_of_it_back() {
        let all = Bodies::new(100, 10);
        let share = Arc::default();
        let mut room = all.room(&share);
        for (bytes, fits) in [(10, true), (FREE, true), (FREE + 30, true), (FREE + 51, false)] {
            assert_eq!(room.grow_to(bytes).is_ok(), fits, "{bytes}");
        }
        assert_eq!(all.used.load(Ordering::Relaxed), 30);
        assert_eq!(room.grow_to(FREE + 50), Ok(()));
        drop(room);
        assert_eq!(all.used.load(Ordering::Relaxed), 0);
    }
}

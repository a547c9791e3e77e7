//! Guests: who is connected, from which address, and whose idle connection ends for whom.

use super::bodies::Share;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long one who was asked to leave may take before another is asked: it may be served again.
const LEAVE_MAX: Duration = Duration::from_millis(10);
/// How often somebody is asked to leave for one newcomer before there is no room for him.
const ASKED_MAX: usize = 10;
/// How often nobody is found for him before that: by a look of his own, not only by one of
/// before he came.
const FOUND_NOBODY_MAX: usize = 2;
/// How long one who has just come in may stay without a request, whoever else comes: were it less
/// than a request takes to arrive, the last place would serve nobody.
const STAY_MIN: Duration = Duration::from_millis(500);
/// How many who may leave are found by one look at everybody.
const FOUND_MAX: usize = 64;
/// How long what a look has found is gone by, in milliseconds.
const LOOK_MS_MAX: u64 = 10;
/// Of an IPv6 address, what a network gives to one site.
const SITE_BITS: u32 = 64;

/// Whom connections are counted by: an IPv4 address, or the network of an IPv6 address, of which
/// one machine has as many as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Peer(IpAddr);

impl Peer {
    pub(super) fn new(address: IpAddr) -> Peer {
        match address.to_canonical() {
            IpAddr::V4(address) => Peer(address.into()),
            IpAddr::V6(address) if address.is_loopback() => Peer(address.into()),
            IpAddr::V6(address) => {
                let site = u128::from(address) >> SITE_BITS << SITE_BITS;
                Peer(Ipv6Addr::from(site).into())
            }
        }
    }
}

/// Everybody who is connected.
pub(super) struct Guests {
    /// Connections of one peer.
    peer_max: usize,
    room: Arc<Semaphore>,
    began: Instant,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    next: u64,
    peers: BTreeMap<Peer, Party>,
    found: Found,
}

/// What the last look at everybody has found.
#[derive(Default)]
struct Found {
    /// Who may leave, the first one last.
    idle: Vec<Idle>,
    /// When it was, in milliseconds; nought before the first.
    looked: u64,
    /// Whether there were more than it gives.
    more: bool,
}

/// A connection that waits for a request.
#[derive(Clone, Copy)]
struct Idle {
    peer: Peer,
    number: u64,
    since: u64,
}

/// The connections of one peer.
#[derive(Default)]
struct Party {
    seats: BTreeMap<u64, Arc<Seat>>,
    share: Arc<Share>,
}

/// What is known of a connection while it is one.
#[derive(Default)]
struct Seat {
    /// Since when it waits for a request, in milliseconds; nought while it does not. Of one who
    /// has just come in, from when on that counts.
    waits_since: AtomicU64,
    /// Whether an answer waits to be taken.
    is_writing: Arc<AtomicBool>,
    leave: Notify,
}

impl Seat {
    fn waits_since(&self, now: u64) -> Option<u64> {
        let since = self.waits_since.load(Ordering::Acquire);
        let waits = (1..=now).contains(&since) && !self.is_writing.load(Ordering::Acquire);
        waits.then_some(since)
    }
}

/// As many connections of one peer as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerFull;

/// Who was asked to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Somebody,
    Nobody,
}

/// Why a newcomer is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// His peer has as many connections as it may, or more than all who may leave.
    Peer,
    /// There are as many connections as may be, and all are in use.
    House,
}

impl From<PeerFull> for NoRoom {
    fn from(PeerFull: PeerFull) -> NoRoom {
        NoRoom::Peer
    }
}

impl Guests {
    /// So many altogether, and so many of one peer.
    pub(super) fn new(connections_max: usize, peer_max: usize) -> Arc<Guests> {
        Arc::new(Guests {
            peer_max,
            room: Arc::new(Semaphore::new(connections_max)),
            began: Instant::now(),
            inside: Mutex::default(),
        })
    }

    /// Counts one in. It has no room yet, and no request.
    pub(super) fn welcome(self: &Arc<Self>, peer: Peer) -> Result<Guest, PeerFull> {
        let mut inside = self.inside();
        let number = inside.next;
        let party = inside.peers.entry(peer).or_default();
        if party.seats.len() >= self.peer_max {
            return Err(PeerFull);
        }
        let seat = Arc::<Seat>::default();
        party.seats.insert(number, Arc::clone(&seat));
        let share = Arc::clone(&party.share);
        inside.next += 1;
        Ok(Guest { guests: Arc::clone(self), peer, number, seat, share, room: None })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("nothing panics under this lock")
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Asks the connection that waits longest for a request, of the peer that has most: of the
    /// newcomer's own, or of one that has no fewer than he has with this one. Whoever finds none
    /// while smaller peers have some has taken his share.
    fn make_room_for(&self, newcomer: Peer, now: u64) -> Result<Asked, PeerFull> {
        let mut inside = self.inside();
        let own = inside.peers.get(&newcomer).map_or(0, |party| party.seats.len());
        while let Some(idle) = inside.next_idle(now) {
            let party = inside.peers.get(&idle.peer);
            let seat = party.and_then(|party| party.seats.get(&idle.number));
            let (Some(party), Some(seat)) = (party, seat) else { continue };
            if seat.waits_since(now) != Some(idle.since) {
                continue;
            }
            if idle.peer != newcomer && party.seats.len() < own {
                if inside.found.looked < now {
                    // One of his own may have become idle since.
                    inside.found = inside.look(now);
                    continue;
                }
                // Another newcomer may have fewer.
                inside.found.idle.push(idle);
                return Err(PeerFull);
            }
            seat.leave.notify_one();
            return Ok(Asked::Somebody);
        }
        Ok(Asked::Nobody)
    }
}

impl Inside {
    /// Who is to be asked next. Everybody is looked at once for many newcomers: in a full house
    /// they come one after another.
    fn next_idle(&mut self, now: u64) -> Option<Idle> {
        let is_old = now.saturating_sub(self.found.looked) >= LOOK_MS_MAX || self.found.looked == 0;
        if is_old || (self.found.idle.is_empty() && self.found.more) {
            self.found = self.look(now);
        }
        self.found.idle.pop()
    }

    /// Takes, again and again, the one that waits longest of the peer that has most then.
    fn look(&self, now: u64) -> Found {
        let mut parties = BinaryHeap::new();
        for (peer, party) in &self.peers {
            let waiting = party.seats.iter();
            let waiting = waiting.filter_map(|(at, seat)| Some((seat.waits_since(now)?, *at)));
            let mut waiting: Vec<(u64, u64)> = waiting.collect();
            // The first to leave last.
            waiting.sort_unstable_by_key(|idle| Reverse(*idle));
            if let Some(first) = waiting.last() {
                parties.push((party.seats.len(), Reverse(*first), Reverse(*peer), waiting));
            }
        }
        let mut idle = Vec::new();
        while idle.len() < FOUND_MAX
            && let Some((seats, Reverse((since, number)), Reverse(peer), mut waiting)) =
                parties.pop()
        {
            idle.push(Idle { peer, number, since });
            waiting.pop();
            if let Some(next) = waiting.last() {
                parties.push((seats - 1, Reverse(*next), Reverse(peer), waiting));
            }
        }
        idle.reverse();
        Found { idle, looked: now, more: !parties.is_empty() }
    }
}

/// One connection, counted until it is dropped.
pub(super) struct Guest {
    guests: Arc<Guests>,
    peer: Peer,
    number: u64,
    seat: Arc<Seat>,
    share: Arc<Share>,
    room: Option<OwnedSemaphorePermit>,
}

impl Guest {
    /// Takes the room that there is, if nobody waits for it.
    pub(super) fn takes_room(&mut self) -> bool {
        self.room = Arc::clone(&self.guests.room).try_acquire_owned().ok();
        if self.room.is_some() {
            self.comes_in(self.guests.now());
        }
        self.room.is_some()
    }

    /// Waits briefly for room, for which others that do nothing are asked to leave; there is none
    /// where nobody may leave, and while only such may whose peers have fewer.
    pub(super) async fn find_room(&mut self) -> Result<(), NoRoom> {
        let (mut asked, mut found_nobody) = (0, 0);
        while asked < ASKED_MAX && found_nobody < FOUND_NOBODY_MAX {
            match self.guests.make_room_for(self.peer, self.guests.now())? {
                Asked::Somebody => asked += 1,
                Asked::Nobody => found_nobody += 1,
            }
            let room = Arc::clone(&self.guests.room).acquire_owned();
            if let Ok(permit) = tokio::time::timeout(LEAVE_MAX, room).await {
                self.room = Some(permit.expect("the semaphore is never closed"));
                self.comes_in(self.guests.now());
                return Ok(());
            }
        }
        Err(NoRoom::House)
    }

    /// It is served until what this returns is dropped.
    pub(super) fn served(&self) -> Served<'_> {
        self.seat.waits_since.store(0, Ordering::Release);
        Served(self)
    }

    fn waits(&self) {
        self.seat.waits_since.store(self.guests.now(), Ordering::Release);
    }

    /// It has come in, and has time for its first request.
    fn comes_in(&self, now: u64) {
        let stays = u64::try_from(STAY_MIN.as_millis()).unwrap_or(u64::MAX);
        self.seat.waits_since.store(now.saturating_add(stays), Ordering::Release);
    }

    /// Where its stream says whether an answer waits to be taken.
    pub(super) fn is_writing(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.seat.is_writing)
    }

    /// Resolves when it is asked to leave and nothing is on its way in it.
    pub(super) async fn asked_to_leave(&self) {
        loop {
            self.seat.leave.notified().await;
            // Who was asked had stayed for long enough.
            if self.seat.waits_since(u64::MAX).is_some() {
                break;
            }
        }
    }

    /// What its peer has of the bodies of all.
    pub(super) fn share(&self) -> &Arc<Share> {
        &self.share
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.guests.inside();
        let party = inside.peers.get_mut(&self.peer).expect("its peer has it");
        party.seats.remove(&self.number);
        if party.seats.is_empty() {
            inside.peers.remove(&self.peer);
        }
    }
}

/// A request is at hand.
pub(super) struct Served<'a>(&'a Guest);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.waits();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn peer(last: u8) -> Peer {
        Peer::new(IpAddr::from([10, 0, 0, last]))
    }

    fn is_asked(guest: &Guest) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(guest.asked_to_leave()).poll(&mut context) == Poll::Ready(())
    }

    /// When everything here happens: after what tests say, and never before a look is due.
    const NOW: u64 = 10;

    /// Connections as (peer, since when it waits; nought: it is served); then who comes, and which
    /// of them is asked to leave.
    fn check(inside: &[(u8, u64)], newcomer: u8, asked: Result<Option<usize>, PeerFull>) {
        let guests = Guests::new(100, 100);
        let seated = inside.iter().map(|(from, since)| {
            let guest = guests.welcome(peer(*from)).unwrap();
            guest.seat.waits_since.store(*since, Ordering::Release);
            guest
        });
        let seated: Vec<Guest> = seated.collect();
        let newcomer = guests.welcome(peer(newcomer)).unwrap();
        let room = guests.make_room_for(newcomer.peer, NOW);
        let left = seated.iter().position(is_asked);
        assert_eq!(room.map(|_asked| left), asked, "{inside:?}");
        assert!(!is_asked(&newcomer), "{inside:?}");
    }

    #[test]
    fn the_peer_with_most_gives_way_by_what_it_does_not_use() {
        check(&[], 1, Ok(None));
        check(&[(1, 5), (1, 4), (2, 1)], 3, Ok(Some(1)));
        check(&[(1, 0), (1, 0), (2, 7), (2, 6)], 3, Ok(Some(3)));
        check(&[(1, 0), (1, 0), (1, 0), (2, 7)], 3, Ok(Some(3)));
        check(&[(1, 0), (2, 0)], 3, Ok(None));
        // One's own first place is worth as much as another's.
        check(&[(2, 7)], 1, Ok(Some(0)));
        // Whoever has more than others makes room for himself, or goes away again.
        check(&[(1, 9), (1, 8), (2, 1)], 1, Ok(Some(1)));
        check(&[(1, 0), (1, 0), (2, 1)], 1, Err(PeerFull));
        check(&[(1, 0), (2, 1), (2, 3)], 1, Ok(Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_nobody_that_may_leave_does_not_wait_for_long() {
        let guests = Guests::new(1, 10);
        let mut first = guests.welcome(peer(1)).unwrap();
        assert!(first.takes_room());
        let mut next = guests.welcome(peer(2)).unwrap();
        let served = first.served();
        assert!(!next.takes_room());
        assert_eq!(next.find_room().await, Err(NoRoom::House));
        assert!(!is_asked(&first), "it is being served");
        drop(served);
        drop(first);
        assert_eq!(next.find_room().await, Ok(()));
    }

    #[test]
    fn who_is_served_meanwhile_stays() {
        let guests = Guests::new(1, 10);
        let guest = guests.welcome(peer(1)).unwrap();
        guest.waits();
        let now = guests.now();
        let ask = |looks| guests.make_room_for(peer(2), now + looks * LOOK_MS_MAX).unwrap();
        guest.is_writing().store(true, Ordering::Release);
        ask(0);
        assert!(!is_asked(&guest), "its answer waits to be taken");
        guest.is_writing().store(false, Ordering::Release);
        ask(1);
        let served = guest.served();
        assert!(!is_asked(&guest), "it was asked, and has a request since");
        drop(served);
        assert!(!is_asked(&guest), "nobody has asked since");
        // Later than the request that has just ended, however long this took.
        guests.make_room_for(peer(2), guests.now() + 2 * LOOK_MS_MAX).unwrap();
        assert!(is_asked(&guest));
    }

    #[test]
    fn who_has_just_come_in_has_time_for_a_request() {
        let guests = Guests::new(1, 10);
        let guest = guests.welcome(peer(1)).unwrap();
        let (came, stays) = (NOW, u64::try_from(STAY_MIN.as_millis()).unwrap());
        guest.comes_in(came);
        for (now, asked) in [(came, false), (came + stays - 1, false), (came + stays, true)] {
            guests.inside().found = Found::default();
            guests.make_room_for(peer(2), now).unwrap();
            assert_eq!(is_asked(&guest), asked, "{now}");
        }
    }

    #[test]
    fn one_look_finds_many_and_each_is_asked_once() {
        const IDLE: usize = FOUND_MAX + 2;
        let guests = Guests::new(1_000, 1_000);
        let sit = |from: u8, since: u64| {
            let guest = guests.welcome(peer(from)).unwrap();
            guest.seat.waits_since.store(since, Ordering::Release);
            guest
        };
        let mut seated: Vec<Guest> = (1..=IDLE as u64).map(|since| sit(1, since)).collect();
        let now = IDLE as u64 + 1;
        for left in (0..IDLE).rev() {
            guests.make_room_for(peer(2), now).unwrap();
            assert_eq!(seated.iter().position(is_asked), Some(0), "{left}");
            drop(seated.remove(0));
        }
        // All have left; who becomes idle is found by the next look and not before.
        guests.make_room_for(peer(2), now).unwrap();
        let late = [sit(1, now - 1), sit(1, now), sit(1, now)];
        guests.make_room_for(peer(2), now + LOOK_MS_MAX - 1).unwrap();
        assert!(!late.iter().any(is_asked));
        // What a look has found and was served since is left alone.
        guests.make_room_for(peer(2), now + LOOK_MS_MAX).unwrap();
        assert_eq!(late.iter().position(is_asked), Some(0));
        late[1].seat.waits_since.store(now + 1, Ordering::Release);
        guests.make_room_for(peer(2), now + LOOK_MS_MAX).unwrap();
        assert_eq!(late.iter().position(is_asked), Some(2));
    }

    #[test]
    fn whose_own_connection_has_become_idle_is_not_turned_away() {
        let guests = Guests::new(100, 100);
        let own = [guests.welcome(peer(1)).unwrap(), guests.welcome(peer(1)).unwrap()];
        let other = guests.welcome(peer(2)).unwrap();
        other.seat.waits_since.store(1, Ordering::Release);
        assert_eq!(guests.make_room_for(peer(1), NOW), Err(PeerFull));
        own[1].seat.waits_since.store(NOW + 1, Ordering::Release);
        assert_eq!(guests.make_room_for(peer(1), NOW + 1), Ok(Asked::Somebody));
        assert!(is_asked(&own[1]) && !is_asked(&own[0]) && !is_asked(&other));
    }

    #[test]
    fn a_peer_has_so_many_and_no_more_until_one_goes() {
        let guests = Guests::new(100, 2);
        let first = guests.welcome(peer(1)).unwrap();
        let _second = guests.welcome(peer(1)).unwrap();
        assert_eq!(guests.welcome(peer(1)).err(), Some(PeerFull));
        assert!(guests.welcome(peer(2)).is_ok());
        drop(first);
        assert!(guests.welcome(peer(1)).is_ok());
        assert_eq!(guests.inside().peers.len(), 1, "who is gone is not remembered");
    }

    #[test]
    fn a_peer_is_an_address_or_a_site() {
        let of = |text: &str| Peer::new(text.parse().unwrap());
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("::1"), of("::2"));
    }
}

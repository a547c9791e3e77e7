//! The desk of a service: how many handlers run at once, and one call at a time per branch.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use wholly_core::ids::{BranchId, Gid};

/// Handlers of [`Outside`](super::Outside) operations that run at once: they hold no connection.
const OUTSIDE_MAX: usize = 256;

/// Who may come in.
#[derive(Debug)]
pub(crate) struct Desk {
    inside: Arc<Semaphore>,
    outside: Arc<Semaphore>,
    busy: Mutex<BTreeSet<(Gid, BranchId)>>,
    left: Notify,
}

/// Through which door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// To a connection of the pool.
    Inside,
    /// To none.
    Outside,
}

/// What somebody comes for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Errand<'a> {
    /// To work on a branch, alone.
    Work(&'a Gid, &'a BranchId),
    /// To look, beside whoever works.
    Look,
}

/// A place at the desk; left by its drop, so by a handler's panic too.
#[derive(Debug)]
pub(crate) struct Seat {
    desk: Arc<Desk>,
    work: Option<(Gid, BranchId)>,
    _permit: OwnedSemaphorePermit,
}

impl Desk {
    /// A desk before a pool of so many connections.
    pub(crate) fn new(connections: u32) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        Desk {
            inside: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            outside: Arc::new(Semaphore::new(OUTSIDE_MAX)),
            busy: Mutex::new(BTreeSet::new()),
            left: Notify::new(),
        }
    }

    /// Takes a place, if there is one and nobody works on this branch.
    pub(crate) fn enter(self: &Arc<Self>, door: Door, errand: Errand<'_>) -> Option<Seat> {
        let permit = self.door(door).try_acquire_owned().ok()?;
        self.seat(permit, errand)
    }

    /// Takes a place as soon as there is one.
    pub(crate) async fn wait(self: &Arc<Self>, door: Door, errand: Errand<'_>) -> Seat {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            let permit = self.door(door).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            match self.seat(permit, errand) {
                Some(seat) => return seat,
                None => left.await,
            }
        }
    }

    fn seat(self: &Arc<Self>, permit: OwnedSemaphorePermit, errand: Errand<'_>) -> Option<Seat> {
        let work = match errand {
            Errand::Work(gid, branch) => Some((gid.clone(), branch.clone())),
            Errand::Look => None,
        };
        if let Some(work) = &work {
            let mut busy = self.busy.lock().expect("no holder panics");
            if !busy.insert(work.clone()) {
                return None;
            }
        }
        Some(Seat { desk: self.clone(), work, _permit: permit })
    }

    fn door(&self, door: Door) -> Arc<Semaphore> {
        match door {
            Door::Inside => self.inside.clone(),
            Door::Outside => self.outside.clone(),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(work) = &self.work else { return };
        if let Ok(mut busy) = self.desk.busy.lock() {
            busy.remove(work);
        }
        self.desk.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_at_a_time_per_branch_and_no_more_than_connections() {
        let desk = Arc::new(Desk::new(2));
        let (gid, other) = (Gid::new("g").unwrap(), Gid::new("h").unwrap());
        let branch = BranchId::new("b").unwrap();
        let first = desk.enter(Door::Inside, Errand::Work(&gid, &branch)).unwrap();
        assert!(desk.enter(Door::Inside, Errand::Work(&gid, &branch)).is_none(), "busy");
        assert!(desk.enter(Door::Inside, Errand::Look).is_some(), "a look needs no turn");
        let second = desk.enter(Door::Inside, Errand::Work(&other, &branch)).unwrap();
        let third = Gid::new("i").unwrap();
        assert!(desk.enter(Door::Inside, Errand::Work(&third, &branch)).is_none(), "full");
        assert!(desk.enter(Door::Inside, Errand::Look).is_none(), "full for a look too");
        assert!(desk.enter(Door::Outside, Errand::Work(&third, &branch)).is_some(), "another door");
        drop(second);
        assert!(desk.enter(Door::Inside, Errand::Work(&third, &branch)).is_some());
        drop(first);
        assert!(desk.enter(Door::Inside, Errand::Work(&gid, &branch)).is_some());
        assert!(desk.busy.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_comes_in_when_the_branch_is_left() {
        let desk = Arc::new(Desk::new(2));
        let (gid, branch) = (Gid::new("g").unwrap(), BranchId::new("b").unwrap());
        let first = desk.enter(Door::Inside, Errand::Work(&gid, &branch)).unwrap();
        let mut waiting = Box::pin(desk.wait(Door::Inside, Errand::Work(&gid, &branch)));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("came in beside another"),
            () = tokio::task::yield_now() => {}
        }
        drop(first);
        waiting.await;
    }
}

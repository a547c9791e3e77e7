//! The inbox of the log's thread: what others hand it, and how it is woken.

use crate::archive::{ArchiveDone, ArchiveError};
use crate::contract::Stats;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard};
use wholly_core::effect::Draft;
use wholly_core::ids::Position;

/// What the thread shares with those who ask.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) inbox: Mutex<Inbox>,
    pub(super) bell: Condvar,
    pub(super) stats: Mutex<Stats>,
}

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) drafts: Vec<Draft>,
    pub(super) flush: Position,
    /// What the archive's operation under way has come to.
    pub(super) archived: Option<Result<ArchiveDone, ArchiveError>>,
    pub(super) going: Going,
    pub(super) thread: Thread,
}

/// Whether the thread has to be woken; a bell that nobody waits for costs a call of the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Thread {
    /// It looks into the inbox before it sleeps.
    #[default]
    Awake,
    Asleep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Going {
    #[default]
    On,
    /// Everything that has arrived is made durable, then the thread ends.
    Out,
}

impl Shared {
    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().expect("nobody panics while holding the inbox")
    }

    pub(super) fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().expect("nobody panics while holding the figures")
    }

    /// Waits for something to do, and takes what has arrived.
    pub(super) fn wait(&self, durable: Position) -> Inbox {
        let mut inbox = self.inbox();
        while inbox.flush <= durable && inbox.going == Going::On && inbox.archived.is_none() {
            inbox.thread = Thread::Asleep;
            let woken = self.bell.wait(inbox);
            inbox = woken.expect("nobody panics while holding the inbox");
            inbox.thread = Thread::Awake;
        }
        inbox.take()
    }

    /// Waits for what the archive's operation under way comes to.
    pub(super) fn wait_archived(&self) -> Result<ArchiveDone, ArchiveError> {
        let mut inbox = self.inbox();
        loop {
            if let Some(result) = inbox.archived.take() {
                return result;
            }
            inbox = self.bell.wait(inbox).expect("nobody panics while holding the inbox");
        }
    }

    /// Tells the log's thread what the archive's operation has come to.
    pub(super) fn put_archived(&self, result: Result<ArchiveDone, ArchiveError>) {
        self.inbox().archived = Some(result);
        self.bell.notify_one();
    }
}

impl Inbox {
    pub(super) fn take(&mut self) -> Inbox {
        Inbox {
            drafts: mem::take(&mut self.drafts),
            flush: self.flush,
            archived: self.archived.take(),
            going: self.going,
            thread: self.thread,
        }
    }
}

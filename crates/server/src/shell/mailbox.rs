//! What the log reports, kept until the shell collects it: the log's thread never waits for the
//! driver, and a slow driver finds one report where there were many.

use super::{Event, Shell};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::Notify;
use wholly_core::ids::Position;
use wholly_core::input::{Input, Room};
use wholly_store::contract::{Completion, Failure, OnCompletion};

/// The reports not yet collected.
#[derive(Default)]
pub(crate) struct Mailbox {
    reports: Mutex<Reports>,
    filled: Notify,
}

#[derive(Default)]
struct Reports {
    durable: Option<Position>,
    /// Of the log.
    log: Option<Room>,
    disk: Option<Room>,
    lost: u64,
    failed: Option<Failure>,
}

impl Mailbox {
    /// What the store is given to report by.
    pub(crate) fn handler(self: &Arc<Self>) -> OnCompletion {
        let mailbox = Arc::clone(self);
        Box::new(move |completion| mailbox.put(completion))
    }

    fn put(&self, completion: Completion) {
        let mut reports = self.reports.lock().expect("nothing panics under this lock");
        match completion {
            Completion::Durable(position) => reports.durable = Some(position),
            Completion::Room(room) => reports.log = Some(room),
            Completion::Lost { count } => reports.lost += count,
            Completion::Failed(failure) => reports.failed = Some(failure),
        }
        drop(reports);
        self.filled.notify_one();
    }

    /// How much room the disk has.
    pub(crate) fn disk(&self, room: Room) {
        self.reports.lock().expect("nothing panics under this lock").disk = Some(room);
        self.filled.notify_one();
    }

    fn take(&self) -> Reports {
        std::mem::take(&mut *self.reports.lock().expect("nothing panics under this lock"))
    }
}

/// Hands reports to the shell, as long as it lives.
pub(super) async fn collect(shell: Weak<Shell>, mailbox: Arc<Mailbox>) {
    let (mut log, mut disk) = (Room::Free, Room::Free);
    loop {
        mailbox.filled.notified().await;
        let Some(shell) = shell.upgrade() else { return };
        let reports = mailbox.take();
        if let Some(position) = reports.durable {
            shell.put(Event::Synced(position));
            shell.drive();
        }
        if reports.log.is_some() || reports.disk.is_some() {
            log = reports.log.unwrap_or(log);
            disk = reports.disk.unwrap_or(disk);
            shell.input(Input::Room(if log == Room::Full { log } else { disk }));
        }
        if reports.lost > 0 {
            tracing::warn!(
                count = reports.lost,
                "outcomes were forgotten before their retention time, for want of room; raise \
                 archive.archive_bytes_max, or lower transactions.retention_ms"
            );
        }
        if let Some(failure) = reports.failed {
            return shell.fail(&failure);
        }
    }
}

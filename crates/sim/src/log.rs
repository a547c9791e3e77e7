//! Log: the shipped recovery and committer, as one thing that is read back first and used then.

use crate::chance::Chance;
use crate::disk::SimDisk;
use std::io;
use std::sync::Arc;
use wholly_core::effect::Draft;
use wholly_core::ids::{Gid, Position};
use wholly_core::input::Loaded;
use wholly_core::time::Timestamp;
use wholly_store::archive::twin::Twin;
use wholly_store::archive::{
    self, ArchiveDone, ArchiveError, ArchiveLimits, ArchiveOp, ArchiveReader,
};
use wholly_store::contract::{Completion, Filter, Lookup, Page, ReadError};
use wholly_store::disk::{Disk, DiskOp};
use wholly_store::embedded::{
    Committer, FoundArchive, OpenError, Options, Recovery, SharedIndex, lookup,
};

/// A log, being read back or in use.
pub struct Log {
    state: State,
    archive: Option<Arc<dyn ArchiveReader>>,
}

enum State {
    Reading(Box<Recovery>),
    Used {
        committer: Box<Committer>,
        index: SharedIndex,
    },
    /// Its recovery failed in the middle.
    Broken,
}

/// How much a log may take. Segments are small, so that a run sees many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// More than a run needs.
    Ample {
        /// In one segment.
        segment_bytes: u64,
    },
    /// So little that begins are refused and outcomes are forgotten before their time.
    Tight {
        /// In all.
        bytes_max: u64,
    },
}

/// So little goes into a slice that a run sees many of them.
fn limits(space: Space) -> ArchiveLimits {
    let archive_bytes_max = match space {
        Space::Ample { .. } => 64 << 20,
        Space::Tight { bytes_max } => bytes_max,
    };
    ArchiveLimits { archive_bytes_max, slice_rows_max: 7, slice_ms_max: 2_000, bulk_rows_max: 3 }
}

/// What a process finds of its archive.
fn found(twin: Option<&Twin>, space: Space) -> Option<FoundArchive> {
    twin.map(|twin| FoundArchive { limits: limits(space), slices: twin.open().slices })
}

fn options(space: Space, salt: u64, restored: Option<Timestamp>) -> Options {
    let (log_bytes_max, segment_bytes) = match space {
        Space::Ample { segment_bytes } => (64 << 20, segment_bytes),
        Space::Tight { bytes_max } => (bytes_max, bytes_max / 4),
    };
    Options {
        restored,
        ended_max: 100_000,
        log_bytes_max,
        segment_bytes,
        prewrite_bytes: segment_bytes / 8,
        batch_bytes_max: 1 << 20,
        log_per_open: 2,
        salt,
        ..Options::default()
    }
}

impl Log {
    /// Reads back what a disk holds; what must be written again is asked for as operations. Of an
    /// older copy that was put back, it is known up to when its past is lost.
    pub fn recover(
        (disk, twin): (&dyn Disk, Option<&Twin>),
        space: Space,
        (salt, restored): (u64, Option<Timestamp>),
    ) -> Result<Log, OpenError> {
        let options = options(space, salt, restored);
        let recovery = Recovery::read_beside(disk, found(twin, space), options)?;
        let archive = twin.map(|twin| twin.open().reader);
        Ok(Log { state: State::Reading(Box::new(recovery)), archive })
    }

    /// The last position that would be found on a disk on which nothing breaks.
    pub fn position_on(copy: (SimDisk, Option<Twin>), space: Space) -> Result<Position, String> {
        Log::loaded_on(copy, space).map(|loaded| loaded.position)
    }

    /// What would be found on a disk on which nothing breaks.
    pub fn loaded_on(
        (mut disk, twin): (SimDisk, Option<Twin>),
        space: Space,
    ) -> Result<Loaded, String> {
        let archive = found(twin.as_ref(), space);
        let recovery = Recovery::read_beside(&disk, archive, options(space, 0, None));
        let mut recovery = recovery.map_err(|e| e.to_string())?;
        let mut chance = Chance::new(0);
        while let Some(op) = recovery.next() {
            let result = disk.carry_out_calmly(&op, Position(0), &mut chance);
            recovery.complete(result).map_err(|failure| failure.to_string())?;
        }
        Ok(recovery.finish().loaded)
    }

    /// The next operation on the disk.
    pub fn next_op(&mut self) -> Option<DiskOp> {
        match &mut self.state {
            State::Reading(recovery) => recovery.next(),
            State::Used { committer, .. } => committer.next(),
            State::Broken => None,
        }
    }

    /// The operation under way is done.
    pub fn complete(&mut self, result: io::Result<()>) -> Vec<Completion> {
        match &mut self.state {
            State::Reading(recovery) => match recovery.complete(result) {
                Ok(()) => Vec::new(),
                Err(failure) => {
                    self.state = State::Broken;
                    vec![Completion::Failed(failure)]
                }
            },
            State::Used { committer, .. } => committer.complete(result),
            State::Broken => Vec::new(),
        }
    }

    /// Everything that was found is durable: the log is used from here on.
    pub fn take_up(&mut self) -> (Loaded, Vec<Completion>) {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Reading(recovery) => {
                let recovered = recovery.finish();
                let index = recovered.committer.index();
                let committer = Box::new(recovered.committer);
                self.state = State::Used { committer, index };
                (recovered.loaded, recovered.reports)
            }
            state @ (State::Used { .. } | State::Broken) => {
                self.state = state;
                (Loaded::default(), Vec::new())
            }
        }
    }

    /// Queues a draft.
    pub fn append(&mut self, draft: Draft) {
        match &mut self.state {
            State::Used { committer, .. } => committer.append(draft),
            State::Reading(_) | State::Broken => unreachable!("no driver before the log is used"),
        }
    }

    /// Asks that everything up to a position become durable.
    pub fn flush(&mut self, through: Position) {
        match &mut self.state {
            State::Used { committer, .. } => committer.flush(through),
            State::Reading(_) | State::Broken => unreachable!("no driver before the log is used"),
        }
    }

    /// The position of the last draft handed over.
    pub fn appended(&self) -> Position {
        match &self.state {
            State::Used { committer, .. } => committer.appended(),
            State::Reading(_) | State::Broken => Position(0),
        }
    }

    /// The highest begun ever forgotten.
    pub fn forgotten(&self) -> Timestamp {
        match &self.state {
            State::Used { index, .. } => {
                index.read().expect("nobody panics while holding the index").forgotten()
            }
            State::Reading(_) | State::Broken => Timestamp(0),
        }
    }

    /// What is durable of a transaction, and the highest begun ever forgotten.
    pub fn history(&self, gid: &Gid, disk: &dyn Disk) -> Result<Lookup, ReadError> {
        match &self.state {
            State::Used { index, .. } => match &self.archive {
                Some(archive) => archive::find(disk, index, &**archive, gid),
                None => lookup(disk, index, gid),
            },
            State::Reading(_) | State::Broken => {
                Ok(Lookup { records: Vec::new(), forgotten: Timestamp(0) })
            }
        }
    }

    /// The next operation on the archive.
    pub fn next_archive(&mut self) -> Option<ArchiveOp> {
        match &mut self.state {
            State::Used { committer, .. } => committer.next_archive(),
            State::Reading(_) | State::Broken => None,
        }
    }

    /// The archive's operation under way is done.
    pub fn complete_archive(
        &mut self,
        result: Result<ArchiveDone, ArchiveError>,
    ) -> Vec<Completion> {
        match &mut self.state {
            State::Used { committer, .. } => committer.complete_archive(result),
            State::Reading(_) | State::Broken => Vec::new(),
        }
    }

    /// Looks for a transaction that a list shows twice, or not at all.
    pub fn audit(&self) -> Result<(), String> {
        let (State::Used { committer, index }, Some(archive)) = (&self.state, &self.archive) else {
            return Ok(());
        };
        let page = Page { limit: usize::MAX, after: None };
        let listing = archive::list(index, &**archive, &Filter::default(), &page);
        let items = listing.map_err(|error| error.to_string())?.items;
        let mut gids: Vec<&Gid> = items.iter().map(|item| &item.gid).collect();
        gids.sort_unstable();
        if let Some(pair) = gids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("{} is listed twice", pair[0]));
        }
        let stats = committer.stats();
        let (listed, known) = (items.len() as u64, stats.open + stats.ended);
        match listed == known {
            true => Ok(()),
            false => Err(format!("{listed} transactions are listed, {known} are known")),
        }
    }
}

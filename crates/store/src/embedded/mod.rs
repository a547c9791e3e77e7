//! The embedded log: committer and recovery, which do no I/O, and the thread that does it.

mod archiving;
mod batch;
mod carrying;
#[cfg(feature = "sqlite")]
mod checking;
mod committer;
#[cfg(feature = "sqlite")]
mod copying;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
mod files;
mod hand_over;
mod inbox;
#[cfg(test)]
mod limit_tests;
#[cfg(feature = "sqlite")]
mod looking;
mod reading;
mod recovery;
mod removal;
#[cfg(test)]
mod simulated_disk;
mod steady;

pub use archiving::{ArchiveUse, Opener};
pub use batch::FORMAT_VERSION;
#[cfg(feature = "sqlite")]
pub use checking::{Checked, check};
pub use committer::{Committer, SharedIndex};
#[cfg(feature = "sqlite")]
pub use copying::{Copied, CopyError, copy};
pub use files::{LOCK_FILE, LOG_FOLDER};
pub use hand_over::Archiving;
#[cfg(feature = "sqlite")]
pub use looking::Looked;
pub(crate) use reading::history_bytes;
pub use reading::lookup;
pub use recovery::{Recovered, Recovery};

use crate::archive::{self, ArchiveError, ArchiveLimits, ArchiveReader, SliceFacts};
use crate::contract::{
    Completion, Failure, Filter, Listing, Lookup, OnCompletion, Page, ReadError, Stats, Store,
};
use crate::disk::{DiskOp, Segment};
use crate::index::Index;
use crate::spread::Spread;
use archiving::Archiver;
use files::Files;
use inbox::{Going, Inbox, Shared, Thread};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, RwLockReadGuard};
use std::thread::{self, JoinHandle};
use wholly_core::effect::Draft;
use wholly_core::ids::{Gid, Position};
use wholly_core::input::Loaded;
use wholly_core::record::Record;
use wholly_core::time::Timestamp;

/// The thread that does all writing and syncing.
pub const THREAD_NAME: &str = "wholly-log";

/// What bounds a log.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ended transactions that are known, at most; for a log without an archive.
    pub ended_max: usize,
    /// From here on, there is no room for new transactions.
    pub log_bytes_max: u64,
    /// With an archive, open transactions are carried out of old segments once the log takes so
    /// many times the bytes of all open ones; without, once it is three quarters full.
    pub log_per_open: u64,
    /// Length of a segment; at most a quarter of the log.
    pub segment_bytes: u64,
    /// How far ahead of its batches a segment is filled with zeros.
    pub prewrite_bytes: u64,
    /// Most that goes into one batch, except that one draft always does.
    pub batch_bytes_max: usize,
    /// Where the log is a copy that was restored: nothing that came after the copy was begun later
    /// than this, and whatever was begun up to here and is not in the log counts as forgotten.
    pub restored: Option<Timestamp>,
    /// A number nobody can guess, for the checksums; another one at each start.
    pub salt: u64,
    /// Microseconds since any one moment, to measure syncs with; they decide nothing.
    pub stopwatch: fn() -> u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ended_max: 1_000_000,
            log_bytes_max: 4 << 30,
            log_per_open: 2,
            segment_bytes: 64 << 20,
            prewrite_bytes: 1 << 20,
            batch_bytes_max: 8 << 20,
            restored: None,
            salt: 0,
            stopwatch: || 0,
        }
    }
}

impl Options {
    /// Segments so small that some of them can go while others are needed.
    fn sensible(self) -> Self {
        let segment_bytes = self.segment_bytes.min(self.log_bytes_max / 4).clamp(1 << 10, 1 << 30);
        let prewrite_bytes = self.prewrite_bytes.clamp(1, segment_bytes);
        Options { segment_bytes, prewrite_bytes, ..self }
    }
}

/// What was found of an archive when it was taken into use.
#[derive(Clone, Debug)]
pub struct FoundArchive {
    /// What bounds it.
    pub limits: ArchiveLimits,
    /// Its slices, oldest first.
    pub slices: Vec<SliceFacts>,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "data folder {path} is in use by another process; stop that one, or use another folder"
    )]
    InUse {
        /// Which folder.
        path: PathBuf,
    },
    /// The folder cannot be used.
    #[error("data folder {path} cannot be used")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A later release wrote it.
    #[error(
        "segment {segment} has format {version}, this release knows {known} and lower; nothing \
         was changed: start the release that wrote it, or a later one"
    )]
    Newer {
        /// Which segment.
        segment: Segment,
        /// Its format.
        version: u32,
        /// The highest that is known.
        known: u32,
    },
    /// The folder cannot be listed.
    #[error("listing the log's segments failed")]
    List {
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A segment cannot be read.
    #[error("reading segment {segment} failed")]
    Read {
        /// Which.
        segment: Segment,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Records that were durable are damaged.
    #[error(
        "segment {segment} is damaged at byte {offset}: {what}; decisions may be missing, so \
         nothing was started or changed: restore the data folder from a copy"
    )]
    Damaged {
        /// Which segment.
        segment: Segment,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A segment is gone.
    #[error(
        "segment {segment} is needed and not there; decisions may be missing, so nothing was \
         started or changed: restore the data folder from a copy"
    )]
    Missing {
        /// Which.
        segment: Segment,
    },
    /// The archive cannot be used.
    #[error("the archive cannot be used")]
    Archive(#[source] ArchiveError),
    /// The archive lacks what the log has handed over.
    #[error(
        "the archive does not hold the ended transactions {from} to {through}, which the log has \
         handed over to it; outcomes are missing, so nothing was started or changed: restore the \
         data folder, log and archive together, from a copy"
    )]
    ArchiveMissing {
        /// The number of the first end that is missing.
        from: u64,
        /// The number of the first end behind.
        through: u64,
    },
    /// The archive holds what the log does not know.
    #[error(
        "the archive holds {archived} ended transactions, the log knows of {ended} only: it is \
         older than its archive, so decisions are missing and nothing was started or changed; \
         restore the data folder, log and archive together, from a copy"
    )]
    ArchiveAhead {
        /// How many ends the archive has counted.
        archived: u64,
        /// How many the log has.
        ended: u64,
    },
    /// The log could not be made ready.
    #[error("making the log ready failed")]
    Failed(#[source] Failure),
    /// The thread cannot be started.
    #[error("starting the log's thread failed")]
    Thread {
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// The log of one data folder, and the thread that writes it.
pub struct Log {
    shared: Arc<Shared>,
    files: Arc<Files>,
    index: SharedIndex,
    archive: Option<Arc<dyn ArchiveReader>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Opened {
    files: Arc<Files>,
    index: SharedIndex,
    archive: Option<Arc<dyn ArchiveReader>>,
    loaded: Loaded,
}

impl Log {
    /// Takes a data folder into use and reads it back. What is loaded is durable; completions
    /// come from the log's own thread. Without an archive, the log itself keeps what has ended,
    /// as far as its bounds allow.
    pub fn open(
        path: &Path,
        options: Options,
        archive: Option<ArchiveUse>,
        on_completion: OnCompletion,
    ) -> Result<(Log, Loaded), OpenError> {
        let shared = Arc::new(Shared::default());
        let (opened, result) = mpsc::channel();
        let thread = thread::Builder::new().name(THREAD_NAME.to_owned()).spawn({
            let (path, shared) = (path.to_owned(), Arc::clone(&shared));
            let settings = Settings { path, options, archive };
            move || run(settings, &shared, on_completion, &opened)
        });
        let thread = thread.map_err(|cause| OpenError::Thread { cause })?;
        let Opened { files, index, archive, loaded } =
            result.recv().expect("the log's thread says how opening went")?;
        let thread = Mutex::new(Some(thread));
        Ok((Log { shared, files, index, archive, thread }, loaded))
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("nobody panics while holding the index")
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Store for Log {
    fn append(&self, draft: Draft) {
        self.shared.inbox().drafts.push(draft);
    }

    fn flush(&self, through: Position) {
        let mut inbox = self.shared.inbox();
        inbox.flush = inbox.flush.max(through);
        let thread = inbox.thread;
        drop(inbox);
        match thread {
            Thread::Awake => {}
            Thread::Asleep => self.shared.bell.notify_one(),
        }
    }

    fn history(&self, gid: &Gid) -> Result<Vec<Record>, ReadError> {
        Ok(self.lookup(gid)?.records)
    }

    fn list(&self, filter: &Filter, page: &Page) -> Result<Listing, ReadError> {
        match &self.archive {
            Some(archive) => archive::list(&self.index, &**archive, filter, page),
            None => Ok(self.index().list(filter, page)),
        }
    }

    fn lookup(&self, gid: &Gid) -> Result<Lookup, ReadError> {
        match &self.archive {
            Some(archive) => archive::find(&*self.files, &self.index, &**archive, gid),
            None => lookup(&*self.files, &self.index, gid),
        }
    }

    fn missing(&self, gid: &Gid) -> Option<Timestamp> {
        let may_know = |archive: &Arc<dyn ArchiveReader>| archive.may_know(gid);
        // In this order: what leaves the index is in the archive by then, and when a slice goes,
        // the index has said so before.
        if self.index().find(gid).is_some() || self.archive.as_ref().is_some_and(may_know) {
            return None;
        }
        Some(self.index().forgotten())
    }

    fn stats(&self) -> Stats {
        *self.shared.stats()
    }

    fn stop(&self) {
        self.shared.inbox().going = Going::Out;
        self.shared.bell.notify_one();
        let thread = self.thread.lock().expect("nobody panics while holding the handle").take();
        if let Some(thread) = thread {
            // A panic of the thread has been reported as a failure by its reporter.
            let _ = thread.join();
        }
    }
}

/// Reports; and if the thread panics, reports that as a failure, so that the process stops.
struct Reporter(OnCompletion);

impl Drop for Reporter {
    fn drop(&mut self) {
        if thread::panicking() {
            let operation = format!("thread {THREAD_NAME}");
            let cause = io::Error::other("it panicked, see its message");
            (self.0)(Completion::Failed(Failure { operation, cause }));
        }
    }
}

/// What a log is opened with.
struct Settings {
    path: PathBuf,
    options: Options,
    archive: Option<ArchiveUse>,
}

/// A log that has been read back, and everything its thread works with.
struct Ready {
    files: Arc<Files>,
    recovered: Recovered,
    reader: Option<Arc<dyn ArchiveReader>>,
    archiver: Option<Archiver>,
}

fn run(
    settings: Settings,
    shared: &Arc<Shared>,
    on_completion: OnCompletion,
    opened: &Sender<Result<Opened, OpenError>>,
) {
    let mut reporter = Reporter(on_completion);
    let stopwatch = settings.options.stopwatch;
    let Ready { files, recovered, reader, archiver } = match make_ready(settings, shared) {
        Ok(ready) => ready,
        Err(error) => {
            // Whoever opens waits for this.
            let _ = opened.send(Err(error));
            return;
        }
    };
    let Recovered { committer, loaded, reports } = recovered;
    *shared.stats() = committer.stats();
    let index = committer.index();
    let found = Opened { files: Arc::clone(&files), index, archive: reader, loaded };
    let _ = opened.send(Ok(found));
    for report in reports {
        (reporter.0)(report);
    }
    let us_per_sync = Spread::default();
    let mut desk = Desk { committer, files, archiver, stopwatch, us_per_sync };
    desk.commit(shared, &mut reporter);
}

fn make_ready(settings: Settings, shared: &Arc<Shared>) -> Result<Ready, OpenError> {
    let Settings { path, options, archive } = settings;
    // The folder first: nobody else uses what is in it from here on.
    let files = Arc::new(Files::open(&path)?);
    let archive = archive.map(|archive| archive.open(&path)).transpose()?;
    let found = archive.as_ref().map(|archive| archive.found.clone());
    let mut recovery = Recovery::read_beside(&*files, found, options)?;
    while let Some(op) = recovery.next() {
        recovery.complete(files.carry_out(&op)).map_err(OpenError::Failed)?;
    }
    let recovered = recovery.finish();
    let Some(archive) = archive else {
        return Ok(Ready { files, recovered, reader: None, archiver: None });
    };
    let archiver = Archiver::start(archive.writer, Arc::clone(&files), Arc::clone(shared))?;
    Ok(Ready { files, recovered, reader: Some(archive.reader), archiver: Some(archiver) })
}

/// What the log's thread works with.
struct Desk {
    committer: Committer,
    files: Arc<Files>,
    archiver: Option<Archiver>,
    stopwatch: fn() -> u64,
    us_per_sync: Spread,
}

/// Whether the thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Sound,
    Failed,
}

impl Desk {
    /// Commits until told to stop, or until something failed.
    fn commit(&mut self, shared: &Shared, reporter: &mut Reporter) {
        loop {
            let inbox = shared.wait(self.committer.durable());
            let going = inbox.going;
            let completions = self.take_in(inbox, shared);
            if self.report(completions, shared, reporter) == Condition::Failed {
                return;
            }
            if going == Going::Out {
                self.committer.flush(self.committer.appended());
            }
            while let Some(op) = self.committer.next() {
                let result = self.carry_out(&op);
                let mut completions = self.committer.complete(result);
                let inbox = shared.inbox().take();
                completions.extend(self.take_in(inbox, shared));
                if self.report(completions, shared, reporter) == Condition::Failed {
                    return;
                }
            }
            if going == Going::Out {
                self.finish_archiving(shared, reporter);
                return;
            }
        }
    }

    /// Brings a hand-over that has been begun to its end.
    fn finish_archiving(&mut self, shared: &Shared, reporter: &mut Reporter) {
        let Some(archiver) = &self.archiver else { return };
        loop {
            match self.committer.archiving() {
                Archiving::Idle => return,
                Archiving::Planned => match self.committer.next_archive() {
                    Some(op) => archiver.put(op),
                    None => return,
                },
                Archiving::UnderWay => {
                    let completions = self.committer.complete_archive(shared.wait_archived());
                    if self.report(completions, shared, reporter) == Condition::Failed {
                        return;
                    }
                }
            }
        }
    }

    fn carry_out(&mut self, op: &DiskOp) -> io::Result<()> {
        match op {
            DiskOp::Create { .. } | DiskOp::Write { .. } | DiskOp::Unlink { .. } => {
                self.files.carry_out(op)
            }
            DiskOp::Sync { .. } | DiskOp::SyncFolder => {
                let begun = (self.stopwatch)();
                let result = self.files.carry_out(op);
                self.us_per_sync.note((self.stopwatch)().saturating_sub(begun));
                result
            }
        }
    }

    fn stats(&self) -> Stats {
        Stats { us_per_sync: self.us_per_sync, ..self.committer.stats() }
    }

    /// Hands over what has arrived, and gives the archive its next work.
    fn take_in(&mut self, inbox: Inbox, shared: &Shared) -> Vec<Completion> {
        for draft in inbox.drafts {
            self.committer.append(draft);
        }
        self.committer.flush(inbox.flush);
        let archived = inbox.archived.map(|result| self.committer.complete_archive(result));
        self.carry();
        if let Some(archiver) = &self.archiver
            && let Some(op) = self.committer.next_archive()
        {
            archiver.put(op);
        }
        let Some(completions) = archived else { return Vec::new() };
        *shared.stats() = self.stats();
        completions
    }

    /// Carries open transactions out of the oldest segment, as far as the committer wants it.
    fn carry(&mut self) {
        let index = self.committer.index();
        while let Some(gid) = self.committer.to_carry() {
            // One that cannot be read keeps its segment; the next start refuses the log for it.
            if let Ok(found) = lookup(&*self.files, &index, &gid) {
                self.committer.carry(&gid, &found.records);
            }
        }
    }

    fn report(
        &self,
        completions: Vec<Completion>,
        shared: &Shared,
        reporter: &mut Reporter,
    ) -> Condition {
        if completions.is_empty() {
            return Condition::Sound;
        }
        *shared.stats() = self.stats();
        for completion in completions {
            let failed = matches!(completion, Completion::Failed(_));
            (reporter.0)(completion);
            if failed {
                return Condition::Failed;
            }
        }
        Condition::Sound
    }
}

//! The embedded log: committer and recovery, which do no I/O, and the thread that does it.

mod batch;
mod carrying;
mod committer;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
mod files;
#[cfg(test)]
mod limit_tests;
mod reading;
mod recovery;
mod removal;
#[cfg(test)]
mod simulated_disk;
mod steady;

pub use batch::FORMAT_VERSION;
pub use committer::{Committer, SharedIndex};
pub use files::{LOCK_FILE, LOG_FOLDER};
pub use reading::lookup;
pub use recovery::{Recovered, Recovery};

use crate::contract::{
    Completion, Failure, Filter, Listing, Lookup, OnCompletion, Page, ReadError, Stats, Store,
};
use crate::disk::Segment;
use files::Files;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
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
    /// Ended transactions that are known, at most.
    pub ended_max: usize,
    /// From here on, there is no room for new transactions.
    pub log_bytes_max: u64,
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
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ended_max: 1_000_000,
            log_bytes_max: 4 << 30,
            segment_bytes: 64 << 20,
            prewrite_bytes: 1 << 20,
            batch_bytes_max: 8 << 20,
            restored: None,
            salt: 0,
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
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread shares with those who ask.
#[derive(Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    bell: Condvar,
    stats: Mutex<Stats>,
}

#[derive(Default)]
struct Inbox {
    drafts: Vec<Draft>,
    flush: Position,
    going: Going,
    thread: Thread,
}

/// Whether the thread has to be woken; a bell that nobody waits for costs a call of the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Thread {
    /// It looks into the inbox before it sleeps.
    #[default]
    Awake,
    Asleep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Going {
    #[default]
    On,
    /// Everything that has arrived is made durable, then the thread ends.
    Out,
}

struct Opened {
    files: Arc<Files>,
    index: SharedIndex,
    loaded: Loaded,
}

impl Log {
    /// Takes a data folder into use and reads it back. What is loaded is durable; completions
    /// come from the log's own thread.
    pub fn open(
        path: &Path,
        options: Options,
        on_completion: OnCompletion,
    ) -> Result<(Log, Loaded), OpenError> {
        let shared = Arc::new(Shared::default());
        let (opened, result) = mpsc::channel();
        let thread = thread::Builder::new().name(THREAD_NAME.to_owned()).spawn({
            let (path, shared) = (path.to_owned(), Arc::clone(&shared));
            move || run(&path, options, &shared, on_completion, &opened)
        });
        let thread = thread.map_err(|cause| OpenError::Thread { cause })?;
        let Opened { files, index, loaded } =
            result.recv().expect("the log's thread says how opening went")?;
        let thread = Mutex::new(Some(thread));
        Ok((Log { shared, files, index, thread }, loaded))
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

    fn list(&self, filter: &Filter, page: &Page) -> Listing {
        self.index.read().expect("nobody panics while holding the index").list(filter, page)
    }

    fn lookup(&self, gid: &Gid) -> Result<Lookup, ReadError> {
        lookup(&*self.files, &self.index, gid)
    }

    fn missing(&self, gid: &Gid) -> Option<Timestamp> {
        let index = self.index.read().expect("nobody panics while holding the index");
        match index.find(gid) {
            Some(_) => None,
            None => Some(index.forgotten()),
        }
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

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().expect("nobody panics while holding the inbox")
    }

    fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().expect("nobody panics while holding the figures")
    }

    /// Waits for something to do, and takes what has arrived.
    fn wait(&self, durable: Position) -> Inbox {
        let mut inbox = self.inbox();
        while inbox.flush <= durable && inbox.going == Going::On {
            inbox.thread = Thread::Asleep;
            let woken = self.bell.wait(inbox);
            inbox = woken.expect("nobody panics while holding the inbox");
            inbox.thread = Thread::Awake;
        }
        take(&mut inbox)
    }
}

fn take(inbox: &mut Inbox) -> Inbox {
    let drafts = mem::take(&mut inbox.drafts);
    Inbox { drafts, flush: inbox.flush, going: inbox.going, thread: inbox.thread }
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

fn run(
    path: &Path,
    options: Options,
    shared: &Shared,
    on_completion: OnCompletion,
    opened: &Sender<Result<Opened, OpenError>>,
) {
    let mut reporter = Reporter(on_completion);
    let (files, recovered) = match make_ready(path, options) {
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
    let _ = opened.send(Ok(Opened { files: Arc::clone(&files), index, loaded }));
    for report in reports {
        (reporter.0)(report);
    }
    commit(committer, &files, shared, &mut reporter);
}

fn make_ready(path: &Path, options: Options) -> Result<(Arc<Files>, Recovered), OpenError> {
    let files = Arc::new(Files::open(path)?);
    let mut recovery = Recovery::read(&*files, options)?;
    while let Some(op) = recovery.next() {
        recovery.complete(files.carry_out(&op)).map_err(OpenError::Failed)?;
    }
    Ok((files, recovery.finish()))
}

/// Commits until told to stop, or until something failed.
fn commit(mut committer: Committer, files: &Files, shared: &Shared, reporter: &mut Reporter) {
    loop {
        let Inbox { drafts, flush, going, .. } = shared.wait(committer.durable());
        hand_over(&mut committer, drafts, flush);
        if going == Going::Out {
            committer.flush(committer.appended());
        }
        carry(&mut committer, files);
        while let Some(op) = committer.next() {
            let completions = committer.complete(files.carry_out(&op));
            let inbox = take(&mut shared.inbox());
            hand_over(&mut committer, inbox.drafts, inbox.flush);
            carry(&mut committer, files);
            if completions.is_empty() {
                continue;
            }
            *shared.stats() = committer.stats();
            for completion in completions {
                let failed = matches!(completion, Completion::Failed(_));
                (reporter.0)(completion);
                if failed {
                    return;
                }
            }
        }
        if going == Going::Out {
            return;
        }
    }
}

/// Carries open transactions out of the oldest segment, as far as the committer wants it.
fn carry(committer: &mut Committer, files: &Files) {
    let index = committer.index();
    while let Some(gid) = committer.to_carry() {
        // One that cannot be read keeps its segment; the next start refuses the log for it.
        if let Ok(found) = lookup(files, &index, &gid) {
            committer.carry(&gid, &found.records);
        }
    }
}

fn hand_over(committer: &mut Committer, drafts: Vec<Draft>, flush: Position) {
    for draft in drafts {
        committer.append(draft);
    }
    committer.flush(flush);
}

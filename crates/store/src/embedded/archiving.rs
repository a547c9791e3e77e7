//! The archive's thread: carries out the operations of a hand-over beside the log's own.

use super::files::Files;
use super::inbox::Shared;
use super::{FoundArchive, OpenError};
use crate::archive::{
    Archive, ArchiveError, ArchiveLimits, ArchiveOp, ArchiveReader, OpenedArchive, carry_out,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

/// The thread that does all writing of the archive.
pub(super) const THREAD_NAME: &str = "wholly-archive";

/// Opens the archive of a data folder that is in use by this process.
pub type Opener = Box<dyn FnOnce(&Path) -> Result<OpenedArchive, ArchiveError> + Send>;

/// The archive that a log is to use.
pub struct ArchiveUse {
    /// What bounds it.
    pub limits: ArchiveLimits,
    /// Opens it.
    pub opener: Opener,
}

#[cfg(feature = "sqlite")]
impl ArchiveUse {
    /// The archive on disk.
    pub fn sqlite(limits: ArchiveLimits) -> Self {
        let opener = move |path: &Path| crate::archive::sqlite::open(path, limits);
        ArchiveUse { limits, opener: Box::new(opener) }
    }
}

/// An archive that has been opened for a log.
pub(super) struct InUse {
    pub(super) writer: Box<dyn Archive>,
    pub(super) reader: Arc<dyn ArchiveReader>,
    pub(super) found: FoundArchive,
}

impl ArchiveUse {
    pub(super) fn open(self, path: &Path) -> Result<InUse, OpenError> {
        let ArchiveUse { limits, opener } = self;
        let OpenedArchive { writer, reader, slices } = opener(path).map_err(OpenError::Archive)?;
        Ok(InUse { writer, reader, found: FoundArchive { limits, slices } })
    }
}

/// The archive's thread; it ends when this goes, after the operation under way.
pub(super) struct Archiver {
    ops: Option<Sender<ArchiveOp>>,
    thread: Option<JoinHandle<()>>,
}

impl Archiver {
    pub(super) fn start(
        writer: Box<dyn Archive>,
        files: Arc<Files>,
        shared: Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let (ops, arriving) = mpsc::channel();
        let thread = thread::Builder::new().name(THREAD_NAME.to_owned());
        let thread = thread.spawn(move || run(writer, &files, &shared, &arriving));
        let thread = thread.map_err(|cause| OpenError::Thread { cause })?;
        Ok(Archiver { ops: Some(ops), thread: Some(thread) })
    }

    pub(super) fn put(&self, op: ArchiveOp) {
        let ops = self.ops.as_ref().expect("it is there until it goes");
        // A thread that broke off has said so.
        let _ = ops.send(op);
    }
}

impl Drop for Archiver {
    fn drop(&mut self) {
        self.ops = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Says that the thread broke off, if it did.
struct Alive<'a>(&'a Shared);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.put_archived(Err(ArchiveError::Thread));
        }
    }
}

fn run(
    mut writer: Box<dyn Archive>,
    files: &Files,
    shared: &Shared,
    arriving: &Receiver<ArchiveOp>,
) {
    let alive = Alive(shared);
    while let Ok(op) = arriving.recv() {
        shared.put_archived(carry_out(&op, files, &mut *writer));
    }
    drop(alive);
}

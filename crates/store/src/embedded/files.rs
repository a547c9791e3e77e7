//! The real disk: one file per segment in a folder that one process uses.

use super::OpenError;
use crate::disk::{Disk, DiskOp, Segment};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockWriteGuard};

/// The folder of the log, in the data folder.
const LOG_FOLDER: &str = "log";
/// Payloads are nobody else's to read.
const MODE: u32 = 0o600;
/// The file whose lock says that the data folder is in use.
const LOCK_FILE: &str = "lock";

/// The segments of a data folder.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// Open ones; a reader keeps a file readable while it is removed.
    open: RwLock<BTreeMap<Segment, Arc<File>>>,
    /// The lock falls with the process, however it ends.
    _lock: File,
}

impl Files {
    /// Takes a data folder into use, creating it where it is missing.
    pub(super) fn open(path: &Path) -> Result<Files, OpenError> {
        let folder = path.join(LOG_FOLDER);
        let failed = |cause| OpenError::Folder { path: path.to_owned(), cause };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = path.join(LOCK_FILE);
        let options = &mut OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(MODE);
        let lock = options.open(lock).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: path.to_owned() });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        fs::create_dir_all(&folder).map_err(failed)?;
        sync_folder(path).map_err(failed)?;
        Ok(Files { folder, open: RwLock::default(), _lock: lock })
    }

    /// Carries out one operation.
    pub(super) fn carry_out(&self, op: &DiskOp) -> io::Result<()> {
        match op {
            DiskOp::Create { segment } => {
                let options = &mut OpenOptions::new();
                let options = options.read(true).write(true).create_new(true).mode(MODE);
                let file = options.open(self.path(*segment))?;
                self.opened().insert(*segment, Arc::new(file));
                Ok(())
            }
            DiskOp::Write { segment, offset, bytes } => {
                self.file(*segment)?.write_all_at(bytes, *offset)
            }
            DiskOp::Sync { segment } => self.file(*segment)?.sync_data(),
            DiskOp::SyncFolder => sync_folder(&self.folder),
            DiskOp::Unlink { segment } => {
                let mut opened = self.opened();
                fs::remove_file(self.path(*segment))?;
                opened.remove(segment);
                Ok(())
            }
        }
    }

    fn path(&self, segment: Segment) -> PathBuf {
        self.folder.join(segment.to_string())
    }

    fn opened(&self) -> RwLockWriteGuard<'_, BTreeMap<Segment, Arc<File>>> {
        self.open.write().expect("nobody panics while holding the files")
    }

    fn file(&self, segment: Segment) -> io::Result<Arc<File>> {
        let known = self.open.read().expect("nobody panics while holding the files");
        if let Some(file) = known.get(&segment) {
            return Ok(Arc::clone(file));
        }
        drop(known);
        // Held while opening, so that no file is kept that is being removed.
        let mut opened = self.opened();
        let file = OpenOptions::new().read(true).write(true).open(self.path(segment))?;
        let file = Arc::clone(opened.entry(segment).or_insert(Arc::new(file)));
        Ok(file)
    }
}

impl Disk for Files {
    fn list(&self) -> io::Result<Vec<(Segment, u64)>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(segment) = name.to_str().and_then(Segment::named) else { continue };
            segments.push((segment, entry.metadata()?.len()));
        }
        segments.sort_unstable();
        Ok(segments)
    }

    fn read(&self, segment: Segment, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = self.file(segment)?;
        let there = file.metadata()?.len().saturating_sub(offset);
        let length = length.min(usize::try_from(there).unwrap_or(usize::MAX));
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

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
pub const LOG_FOLDER: &str = "log";
/// Payloads are nobody else's to read.
const MODE: u32 = 0o600;
/// The file whose lock says that the data folder is in use.
pub const LOCK_FILE: &str = "lock";

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
        create_folder(path, &mut sync_folder).map_err(failed)?;
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
        create_folder(&folder, &mut sync_folder).map_err(failed)?;
        // The lock's entry, and the log's where an earlier start was cut off before this.
        sync_folder(path).map_err(failed)?;
        Ok(Files { folder, open: RwLock::default(), _lock: lock })
    }

    /// Opens a data folder to look at it: nothing is created, and nobody may be using it.
    #[cfg(feature = "sqlite")]
    pub(super) fn look_at(path: &Path) -> Result<Files, OpenError> {
        let failed = |cause| OpenError::Folder { path: path.to_owned(), cause };
        let folder = path.join(LOG_FOLDER);
        fs::read_dir(&folder).map_err(failed)?;
        let lock = match File::open(path.join(LOCK_FILE)) {
            // A copy may lack it; then there is nothing that a process could hold.
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(&folder),
            opened => opened,
        };
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Files { folder, open: RwLock::default(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
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

/// Creates a folder and those above it that are missing. The entry of each that it creates is
/// synced: a log in a folder that a power cut takes away is lost with it.
fn create_folder(folder: &Path, sync: &mut impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = match folder.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return fs::create_dir(folder),
    };
    create_folder(above, sync)?;
    match fs::create_dir(folder) {
        // Another process was faster; whether its entry is synced is not known.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        created => created?,
    }
    sync(above)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_each_created_folder_is_synced() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path();
        let check = |folder: &str, expected: &[&str]| {
            let mut synced = Vec::new();
            let created = create_folder(&base.join(folder), &mut |above: &Path| {
                synced.push(above.strip_prefix(base).unwrap().display().to_string());
                sync_folder(above)
            });
            created.unwrap();
            assert!(base.join(folder).is_dir());
            assert_eq!(synced, expected, "{folder}");
        };
        check("a/b/c", &["", "a", "a/b"]);
        check("a/b/c", &[]);
        check("a/d", &["a"]);
        fs::write(base.join("file"), "").unwrap();
        for folder in ["file", "file/d"] {
            assert!(create_folder(&base.join(folder), &mut sync_folder).is_err(), "{folder}");
        }
    }
}

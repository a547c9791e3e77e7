//! Restoring: a copy of a data folder is put back, marked as one, so that the coordinator that
//! starts on it does not take what it has lost for what never was.

use crate::backup::{self, Found, INVENTORY_FILE, NOTE_FILE, UNFINISHED_FILE, Whole};
use crate::folder::FolderError;
use crate::folder::{KEY_FILE, ORIGIN_FILE, RESTORED_FILE, mark_restored};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use wholly_core::time::Timestamp;
use wholly_store::embedded::{LOCK_FILE, LOG_FOLDER};

/// Why a copy was not put back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// What is to be put back is no copy of a data folder.
    #[error("{} is no copy of a data folder: it has no {missing}", copy.display())]
    NoCopy {
        /// Which folder.
        copy: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// A coordinator runs on what is to be put back.
    #[error("{} is in use by another process", copy.display())]
    InUse {
        /// Which folder.
        copy: PathBuf,
    },
    /// It is a backup that was cut short, or is being made.
    #[error("{} is a backup that was not finished", copy.display())]
    Unfinished {
        /// Which folder.
        copy: PathBuf,
    },
    /// It is a backup, and not as it was written.
    #[error("the backup {} is damaged: {what}", copy.display())]
    Damaged {
        /// Which folder.
        copy: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is something where the data folder should be.
    #[error("{} is not empty", data.display())]
    NotEmpty {
        /// Which folder.
        data: PathBuf,
    },
    /// The disk refused.
    #[error("{act} {} failed", path.display())]
    Disk {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The mark cannot be written.
    #[error(transparent)]
    Mark(#[from] FolderError),
}

/// Files that say what a folder is, which the one that is put back is not.
const NOT_PUT_BACK: [&str; 4] = [RESTORED_FILE, INVENTORY_FILE, UNFINISHED_FILE, NOTE_FILE];

/// What was put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutBack {
    /// Files.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
}

/// Makes a data folder of a copy. It appears whole and marked, or not at all; the copy stays as it
/// is. `now` is wall time: whatever the lost log began is taken to have begun before it.
pub fn restore(copy: &Path, data: &Path, now: Timestamp) -> Result<PutBack, RestoreError> {
    let inventory = match backup::find(copy).map_err(failed("look at", copy))? {
        Found::None => None,
        Found::Finished(inventory) => Some(inventory),
        Found::Unfinished => return Err(RestoreError::Unfinished { copy: copy.to_owned() }),
    };
    for file in [KEY_FILE, ORIGIN_FILE, LOG_FOLDER] {
        if !copy.join(file).exists() {
            return Err(RestoreError::NoCopy { copy: copy.to_owned(), missing: file });
        }
    }
    let _lock = lock(copy)?;
    let is_free = match fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !is_free {
        return Err(RestoreError::NotEmpty { data: data.to_owned() });
    }
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let beside = data.with_file_name(name);
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(failed("remove", &beside))?;
    }
    let mut put_back = PutBack::default();
    copy_folder(copy, &beside, &mut put_back)?;
    if let Some(inventory) = inventory {
        let differs = inventory.differs(&beside).map_err(failed("read", &beside))?;
        if let Some(what) = differs {
            fs::remove_dir_all(&beside).map_err(failed("remove", &beside))?;
            return Err(RestoreError::Damaged { copy: copy.to_owned(), what });
        }
        // The newest backup of this folder that is known of: an alert counts from here.
        if let Ok(asked) = inventory.asked.parse() {
            let (bytes, to) = (inventory.bytes(), copy.to_owned());
            backup::note_whole(&beside, Whole { asked, bytes, to })?;
        }
    }
    mark_restored(&beside, now)?;
    fs::rename(&beside, data).map_err(failed("rename", &beside))?;
    let parent = match data.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    sync(parent)?;
    Ok(put_back)
}

/// Sees to it that nobody writes what is being copied.
fn lock(copy: &Path) -> Result<Option<File>, RestoreError> {
    let path = copy.join(LOCK_FILE);
    match File::open(&path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Err(RestoreError::InUse { copy: copy.to_owned() }),
            Err(TryLockError::Error(source)) => {
                Err(RestoreError::Disk { act: "lock", path, source })
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RestoreError::Disk { act: "open", path, source }),
    }
}

/// Copies a folder with everything in it, and syncs each file and folder.
fn copy_folder(from: &Path, to: &Path, put_back: &mut PutBack) -> Result<(), RestoreError> {
    fs::create_dir_all(to).map_err(failed("create", to))?;
    for entry in fs::read_dir(from).map_err(failed("list", from))? {
        let entry = entry.map_err(failed("list", from))?;
        let name = entry.file_name();
        let (source, target) = (entry.path(), to.join(&name));
        let kind = entry.file_type().map_err(failed("look at", &source))?;
        if kind.is_dir() {
            copy_folder(&source, &target, put_back)?;
        } else if !NOT_PUT_BACK.iter().any(|other| name == *other) {
            put_back.bytes += fs::copy(&source, &target).map_err(failed("copy", &source))?;
            put_back.files += 1;
            sync(&target)?;
        }
    }
    sync(to)
}

fn sync(path: &Path) -> Result<(), RestoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError + use<> {
    let path = path.to_owned();
    move |source| RestoreError::Disk { act, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::{self, LogUse};
    use std::os::unix::fs::PermissionsExt;

    fn copy() -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        folder::identity(copy.path(), LogUse::Fresh).unwrap();
        fs::create_dir(copy.path().join(LOG_FOLDER)).unwrap();
        fs::write(copy.path().join(LOG_FOLDER).join("1.log"), "records").unwrap();
        fs::write(copy.path().join(LOCK_FILE), "").unwrap();
        copy
    }

    #[test]
    fn a_copy_is_put_back_whole_and_marked() {
        let (copy, place) = (copy(), tempfile::tempdir().unwrap());
        let data = place.path().join("data");
        fs::create_dir(place.path().join("data.part")).unwrap();
        let put_back = restore(copy.path(), &data, Timestamp(7)).unwrap();
        assert_eq!(put_back.files, 4);
        assert_eq!(fs::read(data.join(LOG_FOLDER).join("1.log")).unwrap(), b"records");
        let mode = fs::metadata(data.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(folder::restored(&data, Timestamp(5)).unwrap(), Some(Timestamp(60_007)));
        assert_eq!(folder::restored(copy.path(), Timestamp(5)).unwrap(), None);
        assert!(!place.path().join("data.part").exists());
    }

    #[test]
    fn what_cannot_be_put_back_is_left_alone() {
        let (copy, place) = (copy(), tempfile::tempdir().unwrap());
        let check = |data: &Path, words: &str| {
            let error = restore(copy.path(), data, Timestamp(7)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        fs::write(place.path().join("other"), "").unwrap();
        check(place.path(), "is not empty");
        let data = place.path().join("data");
        let held = File::open(copy.path().join(LOCK_FILE)).unwrap();
        held.try_lock().unwrap();
        check(&data, "is in use");
        drop(held);
        fs::remove_file(copy.path().join(KEY_FILE)).unwrap();
        check(&data, "it has no capability.key");
        assert!(!data.exists());
    }
}

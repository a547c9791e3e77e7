//! What the data folder holds beside the log: the key of capabilities, the name of this log.

use crate::backup;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use wholly_core::ids::Origin;
use wholly_core::time::Timestamp;
use wholly_store::embedded::LOG_FOLDER;
use wholly_wire::capability::{CapabilityKey, KEY_BYTES};

/// File of the key of capabilities: 32 random bytes that only the owner may read.
pub(crate) const KEY_FILE: &str = "capability.key";
/// File of the log's own name, which stands in every mark.
pub(crate) const ORIGIN_FILE: &str = "origin";

/// File that says that this folder is a copy which was put back: when, in milliseconds since 1970.
/// It goes once the log itself says so.
pub(crate) const RESTORED_FILE: &str = "restored";

/// How far the clock of a lost log is taken to have been ahead of the wall: each start puts it a
/// second above its last mark, so that so many starts in quick succession are covered.
const LEAD_MS: u64 = 60_000;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
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
    /// The file is not as it was written.
    #[error("{} is damaged: {why}; restore it from a backup of the same folder", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// What operators ordered cannot be read, and guessing would call what should rest.
    #[error(
        "{} is not as it was written: {why}; mend it, or remove it and pause or drain again what \
         should rest (`wholly audit` says what was ordered)",
        path.display()
    )]
    Orders {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file that was written at the first start is gone.
    #[error(
        "{} is missing, and the log beside it is in use already; restore it from a copy of the \
         data folder",
        path.display()
    )]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// It is a backup, finished or not.
    #[error("{} is a backup, not a data folder", path.display())]
    Backup {
        /// Which folder.
        path: PathBuf,
    },
}

/// Refuses a folder that is a backup: a coordinator that started on it would take what was begun
/// and decided since for what never was.
pub(crate) fn refuse_backup(folder: &Path) -> Result<(), FolderError> {
    let path = folder.to_owned();
    match backup::find(folder) {
        Ok(backup::Found::None) => Ok(()),
        Ok(backup::Found::Finished(_) | backup::Found::Unfinished) => {
            Err(FolderError::Backup { path })
        }
        Err(source) => Err(FolderError::Disk { act: "look at", path, source }),
    }
}

/// Whether anything was ever written to the log in the same folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogUse {
    /// Nothing: the first start, or one after a first that came no further than this.
    Fresh,
    /// Something. Another key would refuse every capability that clients hold, and another name
    /// would hide this log's own rows from it at every participant.
    Used,
}

/// What was read, or made at the first start.
pub(crate) struct Identity {
    /// Makes capabilities.
    pub key: CapabilityKey,
    /// Names the log.
    pub origin: Origin,
}

/// Marks a folder as a copy that was put back, durably.
pub(crate) fn mark_restored(folder: &Path, at: Timestamp) -> Result<(), FolderError> {
    let path = folder.join(RESTORED_FILE);
    write_durably(&path, at.0.to_string().as_bytes()).map_err(|source| FolderError::Disk {
        act: "write",
        path,
        source,
    })
}

/// Where a folder was put back as a copy and has not been started since: up to when the lost log
/// can have begun anything. A log that is
/// lost beside a key and a name that are kept counts as an empty copy.
pub(crate) fn restored(folder: &Path, now: Timestamp) -> Result<Option<Timestamp>, FolderError> {
    let path = folder.join(RESTORED_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(at) => Ok(Some(now.max(Timestamp(at)).plus_ms(LEAD_MS))),
            Err(error) => {
                let why = format!("it holds no number of milliseconds: {error}");
                Err(FolderError::Damaged { path, why })
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let known = folder.join(KEY_FILE).exists() && folder.join(ORIGIN_FILE).exists();
            Ok((known && !has_log(folder)).then_some(now.plus_ms(LEAD_MS)))
        }
        Err(source) => Err(FolderError::Disk { act: "read", path, source }),
    }
}

/// Whether there is any segment of a log.
fn has_log(folder: &Path) -> bool {
    std::fs::read_dir(folder.join(LOG_FOLDER)).is_ok_and(|mut entries| entries.next().is_some())
}

/// The log says durably that it was restored: the mark has done its work.
pub(crate) fn forget_restored(folder: &Path) -> Result<(), FolderError> {
    let path = folder.join(RESTORED_FILE);
    let removed = match std::fs::remove_file(&path) {
        Ok(()) => File::open(folder).and_then(|folder| folder.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(|source| FolderError::Disk { act: "remove", path, source })
}

/// Reads key and name, or makes them for a fresh log; whatever was made is durable when this
/// returns.
pub(crate) fn identity(folder: &Path, log: LogUse) -> Result<Identity, FolderError> {
    let key_path = folder.join(KEY_FILE);
    let make_key = || random::<KEY_BYTES>(&key_path).map(|key| key.to_vec());
    let key = read_or_make(&key_path, log, make_key)?;
    let key: [u8; KEY_BYTES] = key.try_into().map_err(|key: Vec<u8>| FolderError::Damaged {
        path: key_path.clone(),
        why: format!("it has {} bytes, not {KEY_BYTES}", key.len()),
    })?;
    let path = folder.join(ORIGIN_FILE);
    let name = read_or_make(&path, log, || {
        let hex: String = random::<8>(&path)?.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(hex.into_bytes())
    })?;
    let name = String::from_utf8_lossy(&name);
    let origin = Origin::new(name.trim_end())
        .map_err(|error| FolderError::Damaged { path, why: format!("the name in it {error}") })?;
    Ok(Identity { key: CapabilityKey::new(key), origin })
}

fn random<const N: usize>(path: &Path) -> Result<[u8; N], FolderError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| FolderError::Disk {
        act: "draw random bytes for",
        path: path.to_owned(),
        source: io::Error::other(error.to_string()),
    })?;
    Ok(bytes)
}

fn read_or_make(
    path: &Path,
    log: LogUse,
    make: impl FnOnce() -> Result<Vec<u8>, FolderError>,
) -> Result<Vec<u8>, FolderError> {
    let failed = |act| move |source| FolderError::Disk { act, path: path.to_owned(), source };
    match File::open(path) {
        Ok(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(failed("read"))?;
            Ok(bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match log {
            LogUse::Used => Err(FolderError::Missing { path: path.to_owned() }),
            LogUse::Fresh => {
                let bytes = make()?;
                write_durably(path, &bytes).map_err(failed("write"))?;
                Ok(bytes)
            }
        },
        Err(error) => Err(failed("open")(error)),
    }
}

/// A whole file or none: written beside, synced, given its name, the folder synced.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("part");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().expect("a file of the data folder lies in it");
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn key_and_name_are_made_once_and_only_the_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let gid = "g".parse().unwrap();
        let first = identity(folder.path(), LogUse::Fresh).unwrap();
        let shown = first.key.capability(&gid, Timestamp(7));
        let second = identity(folder.path(), LogUse::Used).unwrap();
        assert_eq!(second.key.verify(&gid, &shown), Ok(Timestamp(7)));
        assert_eq!(second.origin, first.origin);
        let mode = std::fs::metadata(folder.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert!(identity(other.path(), LogUse::Fresh).unwrap().key.verify(&gid, &shown).is_err());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let check = |file: &str, content: &[u8], words: &str| {
            let folder = tempfile::tempdir().unwrap();
            identity(folder.path(), LogUse::Fresh).unwrap();
            std::fs::write(folder.path().join(file), content).unwrap();
            let error = identity(folder.path(), LogUse::Used).err().unwrap().to_string();
            assert!(error.contains(file) && error.contains(words), "{error}");
        };
        check(KEY_FILE, b"short", "it has 5 bytes, not 32");
        check(KEY_FILE, b"", "it has 0 bytes, not 32");
        check(ORIGIN_FILE, b"", "is empty");
        check(ORIGIN_FILE, b"a b", "not allowed");
    }

    #[test]
    fn a_copy_that_was_put_back_says_so_until_its_log_does() {
        let folder = tempfile::tempdir().unwrap();
        let restored = |now| restored(folder.path(), Timestamp(now));
        assert_eq!(restored(5).unwrap(), None);
        mark_restored(folder.path(), Timestamp(7)).unwrap();
        assert_eq!(restored(5).unwrap(), Some(Timestamp(60_007)));
        assert_eq!(restored(9).unwrap(), Some(Timestamp(60_009)));
        forget_restored(folder.path()).unwrap();
        forget_restored(folder.path()).unwrap();
        assert_eq!(restored(5).unwrap(), None);
        std::fs::write(folder.path().join(RESTORED_FILE), "then").unwrap();
        assert!(restored(5).unwrap_err().to_string().contains("no number"));
        forget_restored(folder.path()).unwrap();
        identity(folder.path(), LogUse::Fresh).unwrap();
        assert_eq!(restored(5).unwrap(), Some(Timestamp(60_005)), "a lost log is an empty copy");
        std::fs::create_dir(folder.path().join(LOG_FOLDER)).unwrap();
        std::fs::write(folder.path().join(LOG_FOLDER).join("1"), "").unwrap();
        assert_eq!(restored(5).unwrap(), None);
    }

    #[test]
    fn nobody_starts_on_a_backup() {
        let folder = tempfile::tempdir().unwrap();
        refuse_backup(folder.path()).unwrap();
        std::fs::write(folder.path().join(backup::UNFINISHED_FILE), "").unwrap();
        let error = refuse_backup(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is a backup"), "{error}");
    }

    #[test]
    fn what_a_used_log_has_lost_is_not_made_anew() {
        let check = |lost: &str| {
            let folder = tempfile::tempdir().unwrap();
            identity(folder.path(), LogUse::Fresh).unwrap();
            std::fs::remove_file(folder.path().join(lost)).unwrap();
            let error = identity(folder.path(), LogUse::Used).err().unwrap();
            assert!(matches!(&error, FolderError::Missing { .. }), "{error}");
            assert!(error.to_string().contains(lost), "{error}");
            assert!(!folder.path().join(lost).exists(), "{lost} stays away");
            // The first start may have been cut off between the two.
            identity(folder.path(), LogUse::Fresh).unwrap();
        };
        check(KEY_FILE);
        check(ORIGIN_FILE);
    }
}

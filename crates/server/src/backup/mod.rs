//! Backing up: a data folder, in use or not, is copied into a folder of its own. The coordinator
//! that uses it goes on and knows nothing of it; an inventory, written last, says that it is whole.

mod inventory;
mod note;

pub use inventory::{Entry, Found, INVENTORY_FILE, Inventory, UNFINISHED_FILE, find};
pub(crate) use note::note_whole;
pub use note::{NOTE_FILE, Note, Whole, noted};

use crate::disk::free_bytes;
use crate::folder::{KEY_FILE, ORIGIN_FILE, RESTORED_FILE};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use wholly_core::time::Timestamp;
use wholly_store::archive::sqlite::FOLDER as ARCHIVE_FOLDER;
use wholly_store::embedded::{self, Copied, CopyError, LOCK_FILE, LOG_FOLDER};
use wholly_wire::v1::time::Time;

/// What is in a backup is nobody else's to read.
const FOLDER_MODE: u32 = 0o700;
const MODE: u32 = 0o600;
/// Room that must be left besides what is copied: what arrives meanwhile is copied too.
const SPARE_BYTES: u64 = 64 << 20;
/// Bytes that are read at a time to find where the last whole line ends.
const TAIL_BYTES: u64 = 4_096;
/// The end of the names of files that are being written.
const PART: &str = ".part";

/// Why a backup was not made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What is to be backed up is no data folder.
    #[error("{} is no data folder: it has no {missing}", data.display())]
    NoData {
        /// Which folder.
        data: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// What is to be backed up is a backup itself.
    #[error("{} is a backup, not a data folder", data.display())]
    OfBackup {
        /// Which folder.
        data: PathBuf,
    },
    /// The backup would lie in what it is a backup of.
    #[error("{} lies in the data folder {}", to.display(), data.display())]
    Inside {
        /// Where it should go.
        to: PathBuf,
        /// What it should be of.
        data: PathBuf,
    },
    /// There is something where the backup should go.
    #[error("{} is not empty", to.display())]
    NotEmpty {
        /// Which folder.
        to: PathBuf,
    },
    /// Another process is making a backup there.
    #[error("another process is making a backup in {}", to.display())]
    UnderWay {
        /// Which folder.
        to: PathBuf,
    },
    /// It would not fit.
    #[error("{} has room for {free} bytes, and {needed} are needed", to.display())]
    NoRoom {
        /// Which folder.
        to: PathBuf,
        /// What there is.
        free: u64,
        /// What there should be.
        needed: u64,
    },
    /// Log and archive could not be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
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
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes copied.
    pub done: u64,
    /// Bytes to be copied, about.
    pub all: u64,
}

/// Backs a data folder up, whether a coordinator uses it or not. What is not finished is taken away
/// again; where that cannot be done, as after a kill, the folder says that it is none yet, and the
/// next backup into it takes its place.
pub fn backup(
    data: &Path,
    to: &Path,
    now: Timestamp,
    watch: &mut dyn FnMut(Progress),
) -> Result<Inventory, BackupError> {
    check_data(data)?;
    let place = Place::take(data, to)?;
    let tried = note::note_tried(data, Time(now));
    let made = make(data, &place, now, watch);
    let noted = match &made {
        Ok(inventory) => tried.and_then(|()| {
            let (asked, bytes) = (Time(now), inventory.bytes());
            let to = fs::canonicalize(to).unwrap_or_else(|_unseen| to.to_owned());
            note_whole(data, Whole { asked, bytes, to })
        }),
        Err(_unmade) => {
            // What is left says of itself that it is unfinished.
            let _ = place.clear().and_then(|()| fs::remove_file(place.unfinished()));
            tried
        }
    };
    if let Err(error) = noted {
        let reason: &dyn std::error::Error = &error;
        tracing::warn!(
            reason,
            "the data folder has no note of this backup: figures and alerts will not know of it"
        );
    }
    made
}

fn check_data(data: &Path) -> Result<(), BackupError> {
    for missing in [KEY_FILE, ORIGIN_FILE, LOG_FOLDER] {
        if !data.join(missing).exists() {
            return Err(BackupError::NoData { data: data.to_owned(), missing });
        }
    }
    match find(data).map_err(failed("look at", data))? {
        Found::None => Ok(()),
        Found::Finished(_) | Found::Unfinished => {
            Err(BackupError::OfBackup { data: data.to_owned() })
        }
    }
}

fn make(
    data: &Path,
    place: &Place,
    now: Timestamp,
    watch: &mut dyn FnMut(Progress),
) -> Result<Inventory, BackupError> {
    let to = &place.folder;
    let all = size(data).map_err(failed("look at", data))?;
    let free = free_bytes(to).map_err(failed("look at", to))?;
    if free < all + SPARE_BYTES {
        return Err(BackupError::NoRoom { to: to.clone(), free, needed: all + SPARE_BYTES });
    }
    let mut done = 0;
    let Copied { checked, .. } = embedded::copy(data, to, &mut |bytes| {
        done += bytes;
        watch(Progress { done, all: all.max(done) });
    })?;
    // After the log: of every act in it there is a line in the audit.
    copy_files(data, to)?;
    let archived: u64 = checked.slices.iter().map(|facts| facts.rows).sum();
    let mut inventory = Inventory {
        records: checked.records,
        open: checked.open,
        ended: checked.unarchived + archived,
        ..Inventory::of_this_release(Time(now).to_string())
    };
    for folder in ["", LOG_FOLDER, ARCHIVE_FOLDER] {
        list(to, folder, &mut inventory.files)?;
    }
    place.finish(&inventory)?;
    Ok(inventory)
}

/// Where a backup goes. While this lives, no other process makes one there.
struct Place {
    folder: PathBuf,
    _lock: File,
}

impl Place {
    /// Takes a folder that is empty, does not exist, or holds what a backup left unfinished.
    fn take(data: &Path, to: &Path) -> Result<Place, BackupError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(FOLDER_MODE).create(to).map_err(failed("create", to))?;
        let real = |path: &Path| fs::canonicalize(path).map_err(failed("look at", path));
        if real(to)?.starts_with(real(data)?) {
            // Only a folder that is empty goes: one that was just made.
            let _ = fs::remove_dir(to);
            return Err(BackupError::Inside { to: to.to_owned(), data: data.to_owned() });
        }
        let names = names(to).map_err(failed("list", to))?;
        let has = |file: &str| names.iter().any(|name| name == file);
        if has(INVENTORY_FILE) || !names.is_empty() && !has(UNFINISHED_FILE) {
            return Err(BackupError::NotEmpty { to: to.to_owned() });
        }
        Place::mark(to)
    }

    /// Marks a folder as one in which a backup is being made.
    fn mark(to: &Path) -> Result<Place, BackupError> {
        let path = to.join(UNFINISHED_FILE);
        let options = &mut OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(MODE);
        let lock = options.open(&path).map_err(failed("create", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(BackupError::UnderWay { to: to.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
        // The backup that was under way may have been finished since the folder was looked at: what
        // is marked by this is whole, and nobody else's mark.
        if to.join(INVENTORY_FILE).try_exists().map_err(failed("look at", to))? {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(failed("remove", &path)(error))
                }
                Ok(()) | Err(_) => Err(BackupError::NotEmpty { to: to.to_owned() }),
            };
        }
        // The mark before anything that it is the mark of.
        sync(&path).and_then(|()| sync(to)).and_then(|()| sync(above(to)))?;
        let place = Place { folder: to.to_owned(), _lock: lock };
        place.clear().map_err(failed("clear", to))?;
        Ok(place)
    }

    fn unfinished(&self) -> PathBuf {
        self.folder.join(UNFINISHED_FILE)
    }

    /// Takes away what an unfinished backup left, all but its mark.
    fn clear(&self) -> io::Result<()> {
        for name in names(&self.folder)? {
            let path = self.folder.join(&name);
            match name {
                name if name == UNFINISHED_FILE => {}
                name if name == LOG_FOLDER || name == ARCHIVE_FOLDER => fs::remove_dir_all(path)?,
                _ => fs::remove_file(path)?,
            }
        }
        Ok(())
    }

    /// The inventory takes the place of the mark, once it and all else is durable.
    fn finish(&self, inventory: &Inventory) -> Result<(), BackupError> {
        let path = self.unfinished();
        let text = serde_json::to_vec_pretty(inventory).expect("texts and numbers are JSON");
        let mut file = OpenOptions::new().write(true).open(&path).map_err(failed("open", &path))?;
        file.write_all(&text).map_err(failed("write", &path))?;
        sync(&path)?;
        let finished = self.folder.join(INVENTORY_FILE);
        fs::rename(&path, &finished).map_err(failed("rename", &path))?;
        sync(&self.folder)
    }
}

/// Copies the files beside log and archive, whole lines of the one that grows.
fn copy_files(data: &Path, to: &Path) -> Result<(), BackupError> {
    for name in copied_names(names(data).map_err(failed("list", data))?) {
        let (path, target) = (data.join(&name), to.join(&name));
        if !path.is_file() {
            continue;
        }
        let mut source = File::open(&path).map_err(failed("open", &path))?;
        let options = &mut OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(MODE);
        let mut file = options.open(&target).map_err(failed("create", &target))?;
        io::copy(&mut source, &mut file).map_err(failed("copy", &path))?;
        if name == crate::audit::FILE {
            cut_to_lines(&mut file).map_err(failed("write", &target))?;
        }
    }
    Ok(())
}

/// The files beside log and archive that belong in a backup. The audit is the last one: what
/// operators said stands there before it stands anywhere else, so of every act in the backup it has
/// the line.
fn copied_names(mut names: Vec<String>) -> Vec<String> {
    let of_the_folder = [LOCK_FILE, RESTORED_FILE, NOTE_FILE];
    names.retain(|name| !of_the_folder.contains(&name.as_str()) && !name.ends_with(PART));
    names.sort_by_key(|name| name == crate::audit::FILE);
    names
}

/// Cuts off what stands behind the last end of a line.
fn cut_to_lines(file: &mut File) -> io::Result<()> {
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end > 0 {
        let from = end.saturating_sub(TAIL_BYTES);
        block.clear();
        file.seek(SeekFrom::Start(from))?;
        file.take(end - from).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            end = from + at as u64 + 1;
            break;
        }
        end = from;
    }
    file.set_len(end)
}

/// Lists the files of a folder of the backup, each synced and read back, and syncs the folder.
fn list(backup: &Path, folder: &str, entries: &mut Vec<Entry>) -> Result<(), BackupError> {
    let at = backup.join(folder);
    for name in names(&at).map_err(failed("list", &at))? {
        let path = at.join(&name);
        if path.is_dir() || name == UNFINISHED_FILE {
            continue;
        }
        sync(&path)?;
        let opened = File::open(&path);
        let (bytes, crc32) =
            opened.and_then(|mut file| inventory::sum(&mut file)).map_err(failed("read", &path))?;
        let path = Path::new(folder).join(&name).display().to_string();
        entries.push(Entry { path, bytes, crc32 });
    }
    sync(&at)
}

/// What is in a folder, by name; ours are all text.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// Bytes of a data folder; files that go meanwhile count as none.
fn size(data: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for folder in [data.to_owned(), data.join(LOG_FOLDER), data.join(ARCHIVE_FOLDER)] {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
        }
    }
    Ok(bytes)
}

fn above(folder: &Path) -> &Path {
    match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) | None => Path::new("."),
    }
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::Disk { act, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Everything in a folder.
    fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let names = names(folder).unwrap().into_iter();
        names.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
    }

    #[test]
    fn a_backup_that_was_finished_in_between_stays() {
        let to = tempfile::tempdir().unwrap();
        fs::write(to.path().join(KEY_FILE), "a key").unwrap();
        // Another one has looked at the folder before this.
        let inventory = Inventory::of_this_release("just then".to_owned());
        let text = serde_json::to_vec(&inventory).unwrap();
        fs::write(to.path().join(INVENTORY_FILE), text).unwrap();
        let before = content(to.path());
        let taken = Place::mark(to.path()).map(|_| ());
        assert!(matches!(taken, Err(BackupError::NotEmpty { .. })), "{taken:?}");
        assert_eq!(content(to.path()), before);
        // The other one may be killed before its mark is gone again.
        fs::write(to.path().join(UNFINISHED_FILE), "").unwrap();
        assert!(matches!(find(to.path()), Ok(Found::Finished(_))));
        let before = content(to.path());
        let data = tempfile::tempdir().unwrap();
        let taken = Place::take(data.path(), to.path()).map(|_| ());
        assert!(matches!(taken, Err(BackupError::NotEmpty { .. })), "{taken:?}");
        assert_eq!(content(to.path()), before);
    }

    #[test]
    fn what_was_left_unfinished_gives_way() {
        let (data, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in [UNFINISHED_FILE, KEY_FILE] {
            fs::write(to.path().join(name), "").unwrap();
        }
        let place = Place::take(data.path(), to.path()).unwrap();
        let taken = Place::take(data.path(), to.path()).map(|_| ());
        assert!(matches!(taken, Err(BackupError::UnderWay { .. })), "{taken:?}");
        assert_eq!(names(to.path()).unwrap(), [UNFINISHED_FILE]);
        drop(place);
    }

    #[test]
    fn the_audit_is_copied_after_what_it_has_lines_of() {
        let names = [crate::audit::FILE, KEY_FILE, LOCK_FILE, crate::orders::FILE, ORIGIN_FILE]
            .map(str::to_owned);
        let copied = copied_names(names.to_vec());
        assert_eq!(copied, [KEY_FILE, crate::orders::FILE, ORIGIN_FILE, crate::audit::FILE]);
    }

    #[test]
    fn whole_lines_of_the_audit_are_copied_however_long() {
        let check = |lines: &str, whole: usize| {
            let (data, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            fs::write(data.path().join(crate::audit::FILE), lines).unwrap();
            copy_files(data.path(), to.path()).unwrap();
            let copied = fs::read(to.path().join(crate::audit::FILE)).unwrap();
            assert_eq!(copied, lines.as_bytes()[..whole], "{} bytes", lines.len());
        };
        let block = usize::try_from(TAIL_BYTES).unwrap();
        check("", 0);
        check("no end", 0);
        check("one\ntwo\n", 8);
        check("one\ntwo\nthr", 8);
        for long in [block - 1, block, block + 1, 3 * block] {
            check(&format!("one\n{}", "x".repeat(long)), 4);
            check(&"x".repeat(long), 0);
            check(&format!("{}\n", "x".repeat(long)), long + 1);
        }
    }
}

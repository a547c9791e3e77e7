//! Copying: a slice of an archive that may be in use, as it stood at one moment, by SQLite's own
//! means: the writer and other readers go on meanwhile.

use super::slice::{check_format, connect, facts, refused};
use super::{ArchiveError, Slice, SliceFacts, failed};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OptionalExtension};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Pages copied between two words on how far it is.
const PAGES_AT_A_TIME: i32 = 1_024;
/// A copy is nobody else's to read, as what it is of.
const MODE: u32 = 0o600;

/// Whether anything is still put into a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    Grows,
    Closed,
}

/// A slice as it stood at one moment. Nothing of that goes while this lives: neither with later
/// commits nor with the removal of the file.
pub(crate) struct Pinned {
    path: PathBuf,
    connection: Connection,
    pub(crate) facts: SliceFacts,
    pub(crate) growth: Growth,
}

impl Pinned {
    /// None if it is gone, or nothing was ever committed to it.
    pub(crate) fn open(folder: &Path, slice: Slice) -> Result<Option<Pinned>, ArchiveError> {
        let path = folder.join(slice.to_string());
        let pinned = connect(&path).and_then(|connection| Pinned::pin(&path, connection, slice));
        match pinned {
            // It was forgotten between being listed and being looked at.
            Err(_) if !path.exists() => Ok(None),
            pinned => pinned,
        }
    }

    fn pin(
        path: &Path,
        connection: Connection,
        slice: Slice,
    ) -> Result<Option<Pinned>, ArchiveError> {
        let failed = |error| refused("reading", path, error);
        // The first look decides which moment it is.
        connection.execute_batch("PRAGMA query_only = 1; BEGIN").map_err(failed)?;
        check_format(&connection, path)?;
        let there =
            |query: &str| connection.query_row(query, [], |_| Ok(())).optional().map_err(failed);
        if there("SELECT 1 FROM sqlite_master WHERE name = 'facts'")?.is_none() {
            return Ok(None);
        }
        let facts = facts(&connection, slice).map_err(failed)?;
        let growth = match there("SELECT 1 FROM filter")? {
            Some(()) => Growth::Closed,
            None => Growth::Grows,
        };
        Ok(Some(Pinned { path: path.to_owned(), connection, facts, growth }))
    }

    /// Makes a file of it, which must not exist; it is not synced. Says after every few pages how
    /// many bytes there are.
    pub(crate) fn copy(&self, to: &Path, watch: &mut dyn FnMut(u64)) -> Result<(), ArchiveError> {
        let options = &mut OpenOptions::new();
        let options = options.write(true).create_new(true).mode(MODE);
        options.open(to).map_err(|cause| failed("creation", to, cause))?;
        let mut target = connect(to)?;
        let written = |error| refused("copying", to, error);
        // Whoever copies syncs the file, or throws it away.
        let alone = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;";
        target.execute_batch(alone).map_err(written)?;
        let backup = Backup::new(&self.connection, &mut target).map_err(written)?;
        let mut done = 0;
        loop {
            let step = backup.step(PAGES_AT_A_TIME).map_err(written)?;
            let progress = backup.progress();
            let pages = progress.pagecount - progress.remaining;
            let pages = u64::try_from(pages).unwrap_or_default();
            let all = u64::try_from(progress.pagecount.max(1)).unwrap_or(1);
            let bytes = self.facts.bytes / all * pages;
            watch(bytes.saturating_sub(done));
            done = done.max(bytes);
            if step == StepResult::Done {
                return Ok(());
            }
            if step != StepResult::More {
                let what = format!("SQLite says {step:?} of a file that nobody writes");
                return Err(failed("copying", &self.path, what));
            }
        }
    }
}

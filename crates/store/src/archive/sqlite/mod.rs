//! The archive on disk: one SQLite file per slice, written by one thread, synced at every commit.

mod checking;
mod copying;
mod reading;
mod slice;

pub use checking::check;
pub(crate) use copying::{Growth, Pinned};
pub use reading::SqliteReader;
pub use slice::FORMAT_VERSION;

use super::filter::GidFilter;
use super::{Archive, ArchiveError, ArchiveLimits, Archived, OpenedArchive, Slice, SliceFacts};
use reading::{Access, Known, Shared};
use slice::{Opening, SliceFile};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wholly_core::ids::Gid;

/// The folder of the archive, in the data folder.
pub const FOLDER: &str = "archive";
/// What is in it is nobody else's to read.
const FOLDER_MODE: u32 = 0o700;

/// Writes the archive of one data folder.
pub struct SqliteArchive {
    shared: Arc<Shared>,
    limits: ArchiveLimits,
    /// The slice that grows.
    growing: Option<Growing>,
}

struct Growing {
    file: SliceFile,
    facts: SliceFacts,
    filter: GidFilter,
    put: Vec<Gid>,
}

/// Takes the archive of a data folder into use, creating it where it is missing.
pub fn open(data: &Path, limits: ArchiveLimits) -> Result<OpenedArchive, ArchiveError> {
    let folder = data.join(FOLDER);
    create_folder(data, &folder).map_err(|cause| failed("creation", &folder, cause))?;
    let numbers = slices_in(&folder).map_err(|cause| failed("listing", &folder, cause))?;
    let shared = Arc::new(Shared::new(folder, Access::InUse));
    let mut archive = SqliteArchive { shared: Arc::clone(&shared), limits, growing: None };
    let mut files = Vec::new();
    for slice in numbers {
        files.push((slice, SliceFile::open(&shared.path(slice))?));
    }
    let mut slices = Vec::new();
    for (slice, opening) in files {
        match opening {
            Opening::NeverCommitted(file) => {
                drop(file);
                shared.remove_files(slice)?;
            }
            Opening::Committed(file) => slices.push(archive.take_in(slice, file)?),
        }
    }
    let reader = Arc::new(SqliteReader::new(shared));
    Ok(OpenedArchive { writer: Box::new(archive), reader, slices })
}

/// Reads the archive of a data folder that nobody uses, and changes nothing.
pub(crate) fn look_at(data: &Path) -> Result<(SqliteReader, Vec<SliceFacts>), ArchiveError> {
    let folder = data.join(FOLDER);
    let numbers = match slices_in(&folder) {
        // A folder of a release that knew no archive, or one that has not been started.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        numbers => numbers.map_err(|cause| failed("listing", &folder, cause))?,
    };
    let shared = Arc::new(Shared::new(folder, Access::Looked));
    let mut slices = Vec::new();
    for slice in numbers {
        match SliceFile::look_at(&shared.path(slice))? {
            Opening::NeverCommitted(_) => {}
            Opening::Committed(file) => {
                let facts = file.facts(slice)?;
                let filter = match file.closed_filter()? {
                    Some(filter) => filter,
                    None => file.filter(facts.rows)?,
                };
                shared.publish(slice, Known { facts, filter });
                slices.push(facts);
            }
        }
    }
    Ok((SqliteReader::new(shared), slices))
}

/// The slices of a folder, oldest first.
pub(crate) fn slices_in(folder: &Path) -> io::Result<Vec<Slice>> {
    let mut slices = Vec::new();
    for entry in fs::read_dir(folder)? {
        slices.extend(entry?.file_name().to_str().and_then(Slice::named));
    }
    slices.sort_unstable();
    Ok(slices)
}

impl SqliteArchive {
    /// Takes in a slice that was committed; it may be the one that grows.
    fn take_in(&mut self, slice: Slice, file: SliceFile) -> Result<SliceFacts, ArchiveError> {
        self.close_growing()?;
        let facts = file.facts(slice)?;
        let filter = match file.closed_filter()? {
            Some(filter) => filter,
            None => {
                // What a killed process committed may be in the page cache alone.
                file.make_durable()?;
                let room = self.limits.slice_rows_max.max(facts.rows);
                let filter = file.filter(room)?;
                let (filter, put) = (filter.clone(), Vec::new());
                let known = Known { facts, filter: filter.clone() };
                self.shared.publish(slice, known);
                self.growing = Some(Growing { file, facts, filter, put });
                return Ok(facts);
            }
        };
        self.shared.publish(slice, Known { facts, filter });
        Ok(facts)
    }

    /// Closes the slice that grows for good.
    fn close_growing(&mut self) -> Result<(), ArchiveError> {
        match self.growing.take() {
            Some(growing) => growing.file.close(&growing.filter),
            None => Ok(()),
        }
    }

    fn growing(&mut self, slice: Slice) -> Result<&mut Growing, ArchiveError> {
        if self.growing.as_ref().is_none_or(|growing| growing.facts.slice != slice) {
            self.close_growing()?;
            let file = SliceFile::create(&self.shared.path(slice))?;
            sync_folder(&self.shared.folder)
                .map_err(|cause| failed("sync", &self.shared.folder, cause))?;
            self.growing = Some(Growing {
                file,
                facts: SliceFacts::empty(slice, 0),
                filter: GidFilter::sized(self.limits.slice_rows_max),
                put: Vec::new(),
            });
        }
        Ok(self.growing.as_mut().expect("it was just set"))
    }
}

impl Archive for SqliteArchive {
    fn put(&mut self, slice: Slice, ended: &[Archived]) -> Result<(), ArchiveError> {
        let growing = self.growing(slice)?;
        for one in ended {
            let known = growing.filter.may_contain(super::filter::hash(&one.gid));
            if known && growing.file.replace(&one.gid)? {
                growing.facts.rows -= 1;
            }
            growing.file.put(one)?;
            growing.facts.count(one);
            growing.filter.insert(&one.gid);
            growing.put.push(one.gid.clone());
        }
        Ok(())
    }

    fn commit(&mut self, slice: Slice, ends: Range<u64>) -> Result<SliceFacts, ArchiveError> {
        let growing = self.growing(slice)?;
        if growing.facts.through == 0 {
            growing.facts.from = ends.start;
        }
        growing.facts.through = ends.end;
        growing.file.commit(&growing.facts)?;
        growing.facts.bytes = growing.file.bytes()?;
        let (facts, put) = (growing.facts, std::mem::take(&mut growing.put));
        let room = self.limits.slice_rows_max;
        self.shared.grow(facts, &put, || GidFilter::sized(room));
        Ok(facts)
    }

    fn remove(&mut self, slice: Slice) -> Result<(), ArchiveError> {
        if self.growing.as_ref().is_some_and(|growing| growing.facts.slice == slice) {
            self.growing = None;
        }
        self.shared.forget(slice);
        self.shared.remove_files(slice)
    }
}

pub(super) fn failed(
    act: &'static str,
    path: &Path,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ArchiveError {
    ArchiveError::Disk { act, path: path.to_owned(), cause: cause.into() }
}

/// Creates a folder, its entry synced.
fn create_folder(data: &Path, folder: &PathBuf) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Ok(()) => sync_folder(data),
        // An earlier start may have been cut off between the two.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => sync_folder(data),
        Err(error) => Err(error),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

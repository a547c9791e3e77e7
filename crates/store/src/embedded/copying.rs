//! Copying: log and archive of a data folder that may be in use, as they stood at one moment, into
//! another folder. Whoever uses the folder goes on and knows nothing of it.
//!
//! The order of looking is what makes the copy whole, without any word of the coordinator's:
//!
//! 1. Slices that are closed never change: they are copied first, one by one. The one that grows is
//!    let go of meanwhile.
//! 2. All segments of the log are opened, and the last whole batch is remembered. An open file can
//!    be read to its end even after it was removed.
//! 3. The slice that grows is pinned, which says that the archive holds all ends up to n.
//! 4. The log is cut behind the last batch that relies on no more than these n ends. A batch that
//!    relies on more was written later than that, and so after everything that had been
//!    acknowledged before; and what an earlier batch needs was there in step 2.
//!
//! A cut before the batch of step 2 would leave out what was acknowledged. Only an archive that
//! lacks what its log relies on leads there, so such a folder is refused, as a start refuses it.
//!
//! The cut is made durable by a sync of ours, so that the log that is copied cannot lose what its
//! copy knows.

use super::OpenError;
use super::batch::{Batch, Head};
use super::checking::{Checked, check_log};
use super::files::{Files, LOG_FOLDER};
use super::steady::{READINGS_MAX, Whole, was_durable};
use crate::archive::sqlite::{FOLDER, Growth, Pinned, slices_in};
use crate::archive::{ArchiveError, Slice, SliceFacts};
use crate::disk::Segment;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use wholly_core::ids::Position;

/// Rounds of looking at what changed while the round before was copying.
const ROUNDS_MAX: u32 = 64;
/// Rounds in which the archive lacks what the log relies on, before that is believed: a slice may
/// have come while another one went.
const LACKING_MAX: u32 = 3;
/// Bytes copied at a time.
const BLOCK_BYTES: u64 = 1 << 20;
/// A copy is nobody else's to read, as what it is of.
const MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Everything up to this position of the log is in the copy.
    pub position: Position,
    /// What the copy holds, by a reading of it.
    pub checked: Checked,
}

/// Why log and archive could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The disk refused.
    #[error("{act} {} failed", path.display())]
    Disk {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A slice of the archive cannot be read or copied.
    #[error("copying the archive failed")]
    Archive(#[source] ArchiveError),
    /// The log that is to be copied cannot be used.
    #[error("the log cannot be copied")]
    Log(#[source] OpenError),
    /// The copy is none that a coordinator could start on.
    #[error("the copy was read back and is not whole")]
    NotWhole(#[source] OpenError),
    /// Segments or slices came and went faster than they could be looked at.
    #[error("the folder changed faster than it could be looked at, {ROUNDS_MAX} times in a row")]
    Overtaken,
}

/// Copies log and archive of a data folder, in use or not, into a folder that has neither. Nothing
/// in the copy is synced; `watch` hears of bytes as they are copied.
pub fn copy(from: &Path, to: &Path, watch: &mut dyn FnMut(u64)) -> Result<Copied, CopyError> {
    for name in [LOG_FOLDER, FOLDER] {
        let folder = to.join(name);
        let created = DirBuilder::new().mode(FOLDER_MODE).create(&folder);
        created.map_err(failed("create", &folder))?;
    }
    let mut slices = SliceCopies::new(from, to);
    let (segments, growing, cut) = slices.pin(watch)?;
    for pinned in growing {
        slices.copy(&pinned, watch)?;
    }
    if let Some(cut) = &cut {
        segments.copy(cut, &to.join(LOG_FOLDER), watch)?;
    }
    let facts = slices.copied.into_values().collect();
    let checked = Files::look_at(to).and_then(|files| check_log(&files, facts));
    // What the archive lacks there it lacked where it was copied from.
    let checked =
        checked.map_err(|error| match matches!(error, OpenError::ArchiveMissing { .. }) {
            true => CopyError::Log(error),
            false => CopyError::NotWhole(error),
        })?;
    let position = cut.map_or(Position(0), |cut| cut.head.last);
    assert_eq!(checked.records, position.0, "the copy ends where it was cut");
    Ok(Copied { position, checked })
}

/// The slices of an archive, as far as they are copied.
struct SliceCopies {
    from: PathBuf,
    to: PathBuf,
    log: PathBuf,
    copied: BTreeMap<Slice, SliceFacts>,
}

/// All that is to be copied, held as it stood at one moment.
type PinnedAll = (Segments, Vec<Pinned>, Option<Cut>);

impl SliceCopies {
    fn new(from: &Path, to: &Path) -> Self {
        let (log, copied) = (from.join(LOG_FOLDER), BTreeMap::new());
        SliceCopies { from: from.join(FOLDER), to: to.join(FOLDER), log, copied }
    }

    /// Copies what is closed, until nothing but what grows is left; pins that, and the log.
    fn pin(&mut self, watch: &mut dyn FnMut(u64)) -> Result<PinnedAll, CopyError> {
        let mut lacking = 0;
        for _ in 0..ROUNDS_MAX {
            self.copy_closed(watch)?;
            let mut segments = Segments::open(&self.log)?;
            let seen = segments.last_batch()?;
            let growing = self.pin_left()?;
            if growing.iter().any(|pinned| pinned.growth == Growth::Closed) {
                continue;
            }
            segments.open_further()?;
            let archived = growing.iter().map(|pinned| pinned.facts.through);
            let archived = archived.chain(self.copied.values().map(|facts| facts.through)).max();
            let archived = archived.unwrap_or(0);
            match segments.cut(archived, seen.as_ref())? {
                Found::Nothing => return Ok((segments, growing, None)),
                Found::Cut(cut) => return Ok((segments, growing, Some(cut))),
                Found::Gone => {}
                Found::Lacking { through } => {
                    lacking += 1;
                    if lacking == LACKING_MAX {
                        let from = archived;
                        return Err(CopyError::Log(OpenError::ArchiveMissing { from, through }));
                    }
                }
            }
        }
        Err(CopyError::Overtaken)
    }

    /// Copies the slices that are closed. None is pinned while another is copied: what grows keeps
    /// its write-ahead log for as long as that.
    fn copy_closed(&mut self, watch: &mut dyn FnMut(u64)) -> Result<(), CopyError> {
        for slice in self.left()? {
            let pinned = Pinned::open(&self.from, slice).map_err(CopyError::Archive)?;
            let Some(pinned) = pinned else { continue };
            match pinned.growth {
                Growth::Closed => self.copy(&pinned, watch)?,
                Growth::Grows => {}
            }
        }
        Ok(())
    }

    /// The slices that are not copied yet.
    fn left(&self) -> Result<Vec<Slice>, CopyError> {
        let mut slices = match slices_in(&self.from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            slices => slices.map_err(failed("list", &self.from))?,
        };
        slices.retain(|slice| !self.copied.contains_key(slice));
        Ok(slices)
    }

    /// The same, each as it stands at this moment.
    fn pin_left(&self) -> Result<Vec<Pinned>, CopyError> {
        let left = self.left()?.into_iter();
        let pinned =
            left.map(|slice| Pinned::open(&self.from, slice)).filter_map(Result::transpose);
        pinned.collect::<Result<_, _>>().map_err(CopyError::Archive)
    }

    fn copy(&mut self, pinned: &Pinned, watch: &mut dyn FnMut(u64)) -> Result<(), CopyError> {
        let slice = pinned.facts.slice;
        let to = self.to.join(slice.to_string());
        pinned.copy(&to, watch).map_err(CopyError::Archive)?;
        self.copied.insert(slice, pinned.facts);
        Ok(())
    }
}

/// The segments of a log, all opened: none goes before it is read.
struct Segments {
    folder: PathBuf,
    open: BTreeMap<Segment, File>,
}

/// Where the copy of a log ends.
struct Cut {
    segment: Segment,
    end: u64,
    head: Head,
}

impl Cut {
    fn behind(segment: Segment, batch: Batch) -> Cut {
        Cut { segment, end: batch.end as u64, head: batch.head }
    }
}

/// What was found of a log's end.
enum Found {
    /// It has no record.
    Nothing,
    Cut(Cut),
    /// A segment that is needed went before it was opened.
    Gone,
    /// All that was written since a batch was seen relies on ends that the archive has not; on so
    /// many.
    Lacking {
        through: u64,
    },
}

impl Segments {
    fn open(folder: &Path) -> Result<Segments, CopyError> {
        let mut segments = Segments { folder: folder.to_owned(), open: BTreeMap::new() };
        segments.open_further()?;
        Ok(segments)
    }

    /// Opens what is there and not open.
    fn open_further(&mut self) -> Result<(), CopyError> {
        for entry in fs::read_dir(&self.folder).map_err(failed("list", &self.folder))? {
            let name = entry.map_err(failed("list", &self.folder))?.file_name();
            let Some(segment) = name.to_str().and_then(Segment::named) else { continue };
            if self.open.contains_key(&segment) {
                continue;
            }
            let path = self.folder.join(&name);
            match File::open(&path) {
                Ok(file) => drop(self.open.insert(segment, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(failed("open", &path)(cause)),
            }
        }
        Ok(())
    }

    /// The last whole batch that can be seen.
    fn last_batch(&self) -> Result<Option<Cut>, CopyError> {
        for (segment, file) in self.open.iter().rev() {
            if let Some(batch) = self.steady(*segment, file)?.batches.pop() {
                return Ok(Some(Cut::behind(*segment, batch)));
            }
        }
        Ok(None)
    }

    /// The last batch that relies on no more than so many archived ends, durable; it is none
    /// before the one that was seen.
    fn cut(&self, archived: u64, seen: Option<&Cut>) -> Result<Found, CopyError> {
        let fits = |batch: &Batch| {
            let Head { ends_archived, ends_forgotten, .. } = batch.head;
            ends_archived <= archived || ends_archived == ends_forgotten
        };
        let least = seen.map(|seen| (seen.segment, seen.end)).unwrap_or_default();
        let mut relied = seen.map(|seen| seen.head.ends_archived);
        for (segment, file) in self.open.range(least.0..).rev() {
            let whole = self.steady(*segment, file)?;
            let late = |batch: &Batch| (*segment, batch.end as u64) >= least;
            let last = whole.batches.last().map(|batch| batch.head.ends_archived);
            relied = relied.or(last);
            let Some(batch) = whole.batches.into_iter().rfind(|b| late(b) && fits(b)) else {
                continue;
            };
            if !self.open.contains_key(&batch.head.oldest) {
                return Ok(Found::Gone);
            }
            // Where a sync failed before this file was opened, the process that uses the log has
            // ended over it.
            file.sync_data().map_err(failed("sync", &self.folder.join(segment.to_string())))?;
            return Ok(Found::Cut(Cut::behind(*segment, batch)));
        }
        Ok(match relied {
            None => Found::Nothing,
            Some(through) => Found::Lacking { through },
        })
    }

    /// A segment that may be written meanwhile. What is read while it is being written can look
    /// like damage: of a batch the second half may be there, and the one that follows it.
    fn steady(&self, segment: Segment, file: &File) -> Result<Whole, CopyError> {
        let mut readings = 1;
        loop {
            let mut bytes = Vec::new();
            let read = ReadAt { file, at: 0 }.read_to_end(&mut bytes);
            read.map_err(failed("read", &self.folder.join(segment.to_string())))?;
            let whole = Whole::of(segment, Rc::new(bytes));
            whole.seal().map_err(CopyError::Log)?;
            match whole.proof_behind() {
                None => return Ok(whole),
                Some(_) if readings < READINGS_MAX => readings += 1,
                Some(proof) => return Err(CopyError::Log(was_durable(segment, whole.end, proof))),
            }
        }
    }

    /// Copies what is needed of a log that ends with a cut.
    fn copy(&self, cut: &Cut, to: &Path, watch: &mut dyn FnMut(u64)) -> Result<(), CopyError> {
        for (segment, file) in self.open.range(cut.head.oldest..=cut.segment) {
            let path = to.join(segment.to_string());
            let options = &mut OpenOptions::new();
            let options = options.write(true).create_new(true).mode(MODE);
            let mut target = options.open(&path).map_err(failed("create", &path))?;
            let length = match *segment == cut.segment {
                true => cut.end,
                false => file.metadata().map_err(failed("look at", &path))?.len(),
            };
            let mut source = ReadAt { file, at: 0 }.take(length);
            let mut block = Vec::new();
            loop {
                block.clear();
                let read = (&mut source).take(BLOCK_BYTES).read_to_end(&mut block);
                if read.map_err(failed("read", &self.folder.join(segment.to_string())))? == 0 {
                    break;
                }
                target.write_all(&block).map_err(failed("write", &path))?;
                watch(block.len() as u64);
            }
        }
        Ok(())
    }
}

/// Reads a file from a place on, wherever others have left off.
struct ReadAt<'a> {
    file: &'a File,
    at: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CopyError + use<> {
    let path = path.to_owned();
    move |cause| CopyError::Disk { act, path, cause }
}

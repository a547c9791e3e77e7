//! The disk as the log sees it: operations as values, reads as calls.

use std::fmt;
use std::io;

/// A segment of the log: a file with a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment(pub u32);

impl Segment {
    /// The segment whose file has this name.
    pub fn named(name: &str) -> Option<Segment> {
        let segment = Segment(name.strip_suffix(".log")?.parse().ok()?);
        (segment.to_string() == name).then_some(segment)
    }
}

impl fmt::Display for Segment {
    /// As the file is called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}.log", self.0)
    }
}

/// One operation that changes the disk. The log asks for one at a time and for the next only when
/// this one is done; a failed one is never asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Create an empty file; it must not exist.
    Create {
        /// Which.
        segment: Segment,
    },
    /// Write all of these bytes; the file grows as needed.
    Write {
        /// To which file.
        segment: Segment,
        /// Where to.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Make durable what was written to a file, its length included.
    Sync {
        /// Which.
        segment: Segment,
    },
    /// Make durable which files there are.
    SyncFolder,
    /// Remove a file.
    Unlink {
        /// Which.
        segment: Segment,
    },
}

impl fmt::Display for DiskOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskOp::Create { segment } => write!(f, "create of {segment}"),
            DiskOp::Write { segment, offset, bytes } => {
                write!(f, "write of {} bytes to {segment} at byte {offset}", bytes.len())
            }
            DiskOp::Sync { segment } => write!(f, "sync of {segment}"),
            DiskOp::SyncFolder => f.write_str("sync of the log's folder"),
            DiskOp::Unlink { segment } => write!(f, "unlink of {segment}"),
        }
    }
}

/// What can be read of a disk.
pub trait Disk {
    /// Every segment and its length, in order of number.
    fn list(&self) -> io::Result<Vec<(Segment, u64)>>;

    /// Bytes of a segment from an offset on; fewer than asked for at its end.
    fn read(&self, segment: Segment, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

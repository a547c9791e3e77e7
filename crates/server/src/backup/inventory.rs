//! The inventory of a backup: every file with its length and checksum, written last. A folder that
//! lacks it is no backup, or none yet.

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The file of the inventory.
pub const INVENTORY_FILE: &str = "backup.json";
/// What stands in its place until all else is durable.
pub const UNFINISHED_FILE: &str = "backup.part";
/// The form that this release writes, and the highest it reads.
const FORM: u32 = 1;
/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// What a finished backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The form of this list.
    pub form: u32,
    /// The release that wrote it.
    pub release: String,
    /// When it was asked for; everything acknowledged before is in it.
    pub asked: String,
    /// Records in its log, counted from the first one ever.
    pub records: u64,
    /// Transactions in it that have not ended.
    pub open: u64,
    /// Ended ones that it knows.
    pub ended: u64,
    /// Every file but this one.
    pub files: Vec<Entry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path in the backup.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its checksum, CRC-32.
    pub crc32: u32,
}

/// What a folder is.
pub enum Found {
    /// A finished backup.
    Finished(Inventory),
    /// One that was cut short, or is being made.
    Unfinished,
    /// No backup: a data folder, or anything else.
    None,
}

impl Inventory {
    /// An inventory of this release, of no files.
    pub(super) fn of_this_release(asked: String) -> Inventory {
        let release = env!("CARGO_PKG_VERSION").to_owned();
        let (records, open, ended, files) = (0, 0, 0, Vec::new());
        Inventory { form: FORM, release, asked, records, open, ended, files }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|entry| entry.bytes).sum()
    }

    /// What is wrong with a folder that should hold these files, if anything is.
    pub(crate) fn differs(&self, folder: &Path) -> io::Result<Option<String>> {
        for entry in &self.files {
            let Entry { path, bytes, crc32 } = entry;
            let found = match File::open(folder.join(path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Some(format!("{path} is missing")));
                }
                opened => sum(&mut opened?)?,
            };
            if found != (*bytes, *crc32) {
                return Ok(Some(format!("{path} is not as it was written")));
            }
        }
        Ok(None)
    }
}

/// What a folder says of itself.
pub fn find(folder: &Path) -> io::Result<Found> {
    // Once there is an inventory, all is there: a mark beside it is that of one who came too late.
    let text = match fs::read(folder.join(INVENTORY_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(match folder.join(UNFINISHED_FILE).try_exists()? {
                true => Found::Unfinished,
                false => Found::None,
            });
        }
        text => text?,
    };
    let inventory: Inventory = serde_json::from_slice(&text).map_err(io::Error::other)?;
    match inventory.form <= FORM {
        true => Ok(Found::Finished(inventory)),
        false => Err(io::Error::other("a later release wrote it; use that one, or a later one")),
    }
}

/// Length and checksum of what is left of a file.
pub(super) fn sum(file: &mut File) -> io::Result<(u64, u32)> {
    let (mut hasher, mut length) = (crc32fast::Hasher::new(), 0);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok((length, hasher.finalize())),
            Ok(read) => {
                hasher.update(&block[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

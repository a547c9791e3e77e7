//! A simulated disk for tests: a page cache over a disk that loses what was not synced.

use crate::disk::{Disk, DiskOp, Segment};
use crate::suite::drafts::Chance;
use std::collections::BTreeMap;
use std::io;

/// A disk loses or keeps whole sectors.
const SECTOR_BYTES: usize = 512;

/// A folder of files, each with what is on the disk and what is in the page cache alone.
#[derive(Clone, Debug, Default)]
pub(super) struct SimulatedDisk {
    files: Vec<SimulatedFile>,
    names: BTreeMap<Segment, usize>,
    durable_names: BTreeMap<Segment, usize>,
    /// Names that came or went since the last sync of the folder.
    name_changes: Vec<(Segment, Option<usize>)>,
}

#[derive(Clone, Debug, Default)]
struct SimulatedFile {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
}

impl SimulatedDisk {
    pub(super) fn carry_out(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Create { segment } => {
                let taken = self.names.insert(*segment, self.files.len());
                assert_eq!(taken, None, "{segment} exists");
                self.name_changes.push((*segment, Some(self.files.len())));
                self.files.push(SimulatedFile::default());
            }
            DiskOp::Write { segment, offset, bytes } => {
                let file = &mut self.files[self.names[segment]];
                let offset = *offset as usize;
                put(&mut file.cached, offset, bytes);
                file.pending.push((offset, bytes.clone()));
            }
            DiskOp::Sync { segment } => {
                let file = &mut self.files[self.names[segment]];
                for (offset, bytes) in std::mem::take(&mut file.pending) {
                    put(&mut file.durable, offset, &bytes);
                }
            }
            DiskOp::SyncFolder => {
                self.name_changes.clear();
                self.durable_names = self.names.clone();
            }
            DiskOp::Unlink { segment } => {
                self.names.remove(segment).expect("only what exists is removed");
                self.name_changes.push((*segment, None));
            }
        }
    }

    /// A failed operation: of a write, some arrives; a sync drops what it should have kept, and
    /// a later one does not know of it.
    pub(super) fn fail(&mut self, op: &DiskOp, chance: &mut Chance) {
        match op {
            DiskOp::Write { segment, offset, bytes } => {
                let part = bytes[..chance.below(bytes.len() as u64 + 1) as usize].to_vec();
                let op = DiskOp::Write { segment: *segment, offset: *offset, bytes: part };
                self.carry_out(&op);
            }
            DiskOp::Sync { segment } => self.files[self.names[segment]].pending.clear(),
            DiskOp::Create { .. } | DiskOp::SyncFolder | DiskOp::Unlink { .. } => {}
        }
    }

    /// The content of a file, to be damaged by a test.
    pub(super) fn content(&mut self, segment: Segment) -> &mut Vec<u8> {
        &mut self.files[self.names[&segment]].cached
    }

    /// Takes a file away, as an accident does.
    pub(super) fn take_away(&mut self, segment: Segment) {
        self.names.remove(&segment).expect("it was there");
    }

    /// The power fails: of what was not synced, chance keeps some sectors and some names.
    pub(super) fn lose_power(&mut self, chance: &mut Chance) {
        let kept_percent = chance.one_of(&[0, 30, 70, 100]);
        for (segment, file) in std::mem::take(&mut self.name_changes) {
            if chance.percent(kept_percent) {
                match file {
                    Some(file) => self.durable_names.insert(segment, file),
                    None => self.durable_names.remove(&segment),
                };
            }
        }
        self.names = self.durable_names.clone();
        for file in &mut self.files {
            for (offset, bytes) in std::mem::take(&mut file.pending) {
                for (at, sector) in sectors(offset, &bytes) {
                    if chance.percent(kept_percent) {
                        let torn = chance.percent(5);
                        let length = if torn { chance.below(sector.len() as u64) } else { 512 };
                        let kept = &sector[..sector.len().min(length as usize)];
                        put(&mut file.durable, at, kept);
                    }
                }
            }
            file.cached = file.durable.clone();
        }
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    file.resize(file.len().max(end), 0);
    file[offset..end].copy_from_slice(bytes);
}

/// A write cut at the borders of sectors.
fn sectors(offset: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut sectors = Vec::new();
    let (mut at, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let length = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
        let (sector, behind) = rest.split_at(length);
        sectors.push((at, sector));
        (at, rest) = (at + length, behind);
    }
    sectors
}

impl Disk for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<(Segment, u64)>> {
        let length = |file: usize| self.files[file].cached.len() as u64;
        Ok(self.names.iter().map(|(segment, file)| (*segment, length(*file))).collect())
    }

    fn read(&self, segment: Segment, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = self.names.get(&segment).ok_or(io::ErrorKind::NotFound)?;
        let cached = &self.files[*file].cached;
        let from = cached.len().min(offset as usize);
        Ok(cached[from..cached.len().min(from.saturating_add(length))].to_vec())
    }
}

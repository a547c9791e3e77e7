//! Disk: a page cache over a platter, sector by sector. What was not synced may be lost, kept in
//! part, or kept out of order; a sync that failed leaves pages that look clean and are not there.

use crate::cells::Census;
use crate::chance::Chance;
use crate::odds::{Luck, Odds};
use crate::tally::{Fault, Tally};
use crate::trace::{Lines, Trace};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use wholly_core::ids::Position;
use wholly_store::disk::{Disk, DiskOp, Segment};

/// What reaches the platter whole or not at all.
pub(crate) const SECTOR_BYTES: usize = 512;

/// A disk with one folder.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    files: BTreeMap<Segment, File>,
    /// Removed, but the folder was not synced since: power loss brings them back.
    removed: BTreeMap<Segment, File>,
    /// Writes that hold drafts and are not yet all on the platter, in order.
    awaited: VecDeque<Awaited>,
    /// Everything up to here is on the platter.
    platter: Position,
    /// The last write that is known to be there: nothing behind it can prove that it was.
    last: Option<Awaited>,
}

/// A bit that is not as it was written.
#[derive(Clone, Copy, Debug)]
pub struct Rot {
    segment: Segment,
    byte: usize,
    mask: u8,
}

/// Whether there is room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Ample,
    /// There is none.
    None,
}

#[derive(Clone, Debug, Default)]
struct File {
    cache: Vec<u8>,
    platter: Vec<u8>,
    dirty: Vec<bool>,
    /// Whether its name would survive.
    named: bool,
}

#[derive(Clone, Debug)]
struct Awaited {
    segment: Segment,
    offset: usize,
    length: usize,
    through: Position,
}

/// What power loss left of the writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    Nothing,
    /// The first sectors of each file's dirty ones.
    Front,
    /// Any of them.
    Some,
    /// All but the first.
    Back,
}

impl File {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
            self.dirty.resize(end.div_ceil(SECTOR_BYTES), false);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty[offset / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES].fill(true);
        }
    }

    /// Copies one sector to the platter.
    fn settle(&mut self, sector: usize) {
        let from = sector * SECTOR_BYTES;
        let to = (from + SECTOR_BYTES).min(self.cache.len());
        if self.platter.len() < to {
            self.platter.resize(to, 0);
        }
        self.platter[from..to].copy_from_slice(&self.cache[from..to]);
    }

    fn dirty_sectors(&self) -> Vec<usize> {
        (0..self.dirty.len()).filter(|sector| self.dirty[*sector]).collect()
    }

    fn sync(&mut self) {
        for sector in 0..self.dirty.len() {
            if self.dirty[sector] {
                self.settle(sector);
                self.dirty[sector] = false;
            }
        }
    }

    /// The error leaves the pages marked clean, whether they were written or not.
    fn sync_in_vain(&mut self, chance: &mut Chance) {
        for sector in self.dirty_sectors() {
            if chance.below(2) == 0 {
                self.settle(sector);
            }
            self.dirty[sector] = false;
        }
    }

    fn holds(&self, offset: usize, length: usize) -> bool {
        let end = offset + length;
        end <= self.platter.len() && self.platter[offset..end] == self.cache[offset..end]
    }

    fn lose_power(&mut self, leaves: Leaves, chance: &mut Chance) {
        let dirty = self.dirty_sectors();
        let front = chance.below(dirty.len() as u64 + 1) as usize;
        for (at, sector) in dirty.iter().enumerate() {
            let kept = match leaves {
                Leaves::Nothing => false,
                Leaves::Front => at < front,
                Leaves::Some => chance.below(2) == 0,
                Leaves::Back => at > 0,
            };
            if kept {
                self.settle(*sector);
            }
        }
        self.cache = self.platter.clone();
        self.dirty = vec![false; self.cache.len().div_ceil(SECTOR_BYTES)];
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        SimDisk::default()
    }

    /// Does what is asked. Of a write that holds drafts, `through` is the last of them.
    pub fn carry_out(
        &mut self,
        op: &DiskOp,
        through: Position,
        luck: &mut Luck<'_>,
    ) -> io::Result<()> {
        match op {
            DiskOp::Create { segment } => self.create(*segment),
            DiskOp::Write { segment, offset, bytes } => {
                let failed = luck.strikes(Fault::WriteFailed);
                let file = self.files.get_mut(segment).ok_or(io::ErrorKind::NotFound)?;
                let offset = usize::try_from(*offset).expect("simulated files are small");
                if failed {
                    let part = luck.chance.below(bytes.len() as u64) as usize;
                    file.write(offset, &bytes[..part]);
                    return Err(io::Error::other("input/output error"));
                }
                file.write(offset, bytes);
                // What stands at the very beginning is the file's own header.
                if offset > 0 {
                    let (segment, length) = (*segment, bytes.len());
                    self.awaited.push_back(Awaited { segment, offset, length, through });
                }
                self.write_back(*segment, luck.chance);
                Ok(())
            }
            DiskOp::Sync { segment } => {
                let failed = luck.strikes(Fault::SyncFailed);
                let file = self.files.get_mut(segment).ok_or(io::ErrorKind::NotFound)?;
                if failed {
                    file.sync_in_vain(luck.chance);
                    return Err(io::Error::other("input/output error"));
                }
                file.sync();
                self.advance();
                Ok(())
            }
            DiskOp::SyncFolder => {
                for file in self.files.values_mut() {
                    file.named = true;
                }
                self.removed.clear();
                self.advance();
                Ok(())
            }
            DiskOp::Unlink { segment } => {
                let file = self.files.remove(segment).ok_or(io::ErrorKind::NotFound)?;
                if file.named {
                    self.removed.insert(*segment, file);
                }
                self.awaited.retain(|awaited| awaited.segment != *segment);
                Ok(())
            }
        }
    }

    /// Does what is asked if that takes no more room than was taken before.
    pub fn carry_out_in(
        &mut self,
        room: Room,
        (op, through): (&DiskOp, Position),
        luck: &mut Luck<'_>,
    ) -> io::Result<()> {
        let full = || io::ErrorKind::StorageFull.into();
        match (room, op) {
            (Room::None, DiskOp::Create { .. }) => Err(full()),
            (Room::None, DiskOp::Write { segment, offset, bytes }) => {
                let file = self.files.get_mut(segment).ok_or(io::ErrorKind::NotFound)?;
                let offset = usize::try_from(*offset).expect("simulated files are small");
                let fits = file.cache.len().saturating_sub(offset).min(bytes.len());
                match fits == bytes.len() {
                    true => self.carry_out(op, through, luck),
                    false => {
                        file.write(offset, &bytes[..fits]);
                        Err(full())
                    }
                }
            }
            (Room::None, DiskOp::Sync { .. } | DiskOp::SyncFolder | DiskOp::Unlink { .. })
            | (Room::Ample, _) => self.carry_out(op, through, luck),
        }
    }

    /// Does what is asked, and nothing breaks.
    pub fn carry_out_calmly(
        &mut self,
        op: &DiskOp,
        through: Position,
        chance: &mut Chance,
    ) -> io::Result<()> {
        let (mut calm, mut none) = (Odds::calm(), Tally::default());
        let (odds, tally) = (&mut calm, &mut none);
        let (census, trace) = (Census::default(), &mut Trace::new(Lines::Hashed));
        let mut luck = Luck { odds, chance, tally, census, trace, now_us: 0 };
        self.carry_out(op, through, &mut luck)
    }

    /// A process died while this was under way: some of it may have been done.
    pub fn cut_short(&mut self, op: &DiskOp, chance: &mut Chance) {
        match op {
            DiskOp::Write { segment, offset, bytes } => {
                let part = chance.below(bytes.len() as u64 + 1) as usize;
                let offset = usize::try_from(*offset).expect("simulated files are small");
                if let Some(file) = self.files.get_mut(segment) {
                    file.write(offset, &bytes[..part]);
                }
            }
            DiskOp::Create { .. }
            | DiskOp::Sync { .. }
            | DiskOp::SyncFolder
            | DiskOp::Unlink { .. } => {
                if chance.below(2) == 0 {
                    let done = self.carry_out_calmly(op, self.platter, chance);
                    debug_assert!(done.is_ok(), "nothing breaks in calm odds");
                }
            }
        }
    }

    fn create(&mut self, segment: Segment) -> io::Result<()> {
        if self.files.contains_key(&segment) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.files.insert(segment, File::default());
        Ok(())
    }

    /// Sometimes the kernel writes a dirty page by itself.
    fn write_back(&mut self, segment: Segment, chance: &mut Chance) {
        if chance.below(8) > 0 {
            return;
        }
        let Some(file) = self.files.get_mut(&segment) else { return };
        for sector in file.dirty_sectors() {
            if chance.below(2) == 0 {
                file.settle(sector);
                file.dirty[sector] = false;
            }
        }
    }

    /// Sees how far drafts have reached the platter.
    fn advance(&mut self) {
        while let Some(awaited) = self.awaited.front() {
            let there = match self.files.get(&awaited.segment) {
                Some(file) => file.named && file.holds(awaited.offset, awaited.length),
                None => true,
            };
            if !there {
                return;
            }
            self.platter = self.platter.max(awaited.through);
            self.last = self.awaited.pop_front();
        }
    }

    /// Everything up to here would survive a loss of power.
    pub fn platter(&self) -> Position {
        self.platter
    }

    /// A process has read the log back: what it found, and has made sure of, counts.
    pub fn recovered(&mut self, position: Position) {
        self.platter = position;
        self.awaited.clear();
    }

    /// The page cache is lost, and of what was in it alone, some or all.
    pub fn lose_power(&mut self, luck: &mut Luck<'_>) {
        let dirty = self.files.values().any(|file| file.dirty.contains(&true));
        let leaves = if dirty && luck.strikes(Fault::SectorsReordered) {
            Leaves::Some
        } else if dirty && luck.strikes(Fault::WriteTorn) {
            Leaves::Front
        } else {
            Leaves::Nothing
        };
        for file in self.files.values_mut() {
            file.lose_power(leaves, luck.chance);
        }
        let unnamed = self.files.values().any(|file| !file.named);
        if unnamed && luck.strikes(Fault::NameLost) {
            self.files.retain(|_, file| file.named);
        }
        for (segment, mut file) in std::mem::take(&mut self.removed) {
            if luck.strikes(Fault::NameBack) {
                file.lose_power(leaves, luck.chance);
                self.files.entry(segment).or_insert(file);
            }
        }
        for file in self.files.values_mut() {
            file.named = true;
        }
        self.awaited.clear();
    }

    /// A bit flips in a file at rest, with nothing of it un-synced, anywhere but in the last batch
    /// that is there: of that one nobody can tell a damaged copy from a write that was torn.
    pub fn rot(&mut self, chance: &mut Chance) -> Option<Rot> {
        let place = chance.below(self.files.len() as u64) as usize;
        let (segment, file) = self.files.iter_mut().nth(place)?;
        let length = file.platter.len().min(file.cache.len());
        let byte = (0..4).map(|_| chance.below(length as u64) as usize);
        // Most of a file may be zeros that nobody reads.
        let byte =
            byte.reduce(|one, two| if file.platter.get(one) == Some(&0) { two } else { one });
        let is_at_rest = file.named && !file.dirty.iter().any(|dirty| *dirty);
        let byte = byte.filter(|byte| *byte < length && is_at_rest)?;
        let last = self.last.as_ref().filter(|last| last.segment == *segment);
        if last.is_some_and(|last| (last.offset..last.offset + last.length).contains(&byte)) {
            return None;
        }
        let rot = Rot { segment: *segment, byte, mask: 1 << chance.below(8) };
        self.flip(rot);
        Some(rot)
    }

    /// Somebody has put the bit right.
    pub fn mend(&mut self, rot: Rot) {
        self.flip(rot);
    }

    fn flip(&mut self, rot: Rot) {
        let Some(file) = self.files.get_mut(&rot.segment) else { return };
        for bytes in [&mut file.cache, &mut file.platter] {
            if let Some(byte) = bytes.get_mut(rot.byte) {
                *byte ^= rot.mask;
            }
        }
    }

    /// Whether a loss of power at this moment would change nothing.
    pub fn is_settled(&self) -> bool {
        let settled = |file: &File| file.named && file.cache == file.platter;
        self.removed.is_empty() && self.files.values().all(settled)
    }

    /// The disk as some loss of power would leave it; what was removed stays so, or comes back.
    pub fn without_power(&self, chance: &mut Chance) -> SimDisk {
        let mut disk = self.clone();
        let leaves = *chance.pick(&[Leaves::Nothing, Leaves::Front, Leaves::Some, Leaves::Back]);
        let removed = std::mem::take(&mut disk.removed);
        if chance.below(2) == 0 {
            disk.files.retain(|_, file| file.named);
        }
        for (segment, file) in removed.into_iter().filter(|_| chance.below(2) == 0) {
            disk.files.entry(segment).or_insert(file);
        }
        for file in disk.files.values_mut() {
            file.lose_power(leaves, chance);
            file.named = true;
        }
        disk.awaited.clear();
        disk
    }

    /// The disk as the harshest loss of power would leave it.
    pub fn at_worst(&self) -> SimDisk {
        let mut disk = self.clone();
        let mut chance = Chance::new(0);
        disk.files.retain(|_, file| file.named);
        for file in disk.files.values_mut() {
            file.lose_power(Leaves::Nothing, &mut chance);
        }
        for (segment, mut file) in std::mem::take(&mut disk.removed) {
            file.lose_power(Leaves::Nothing, &mut chance);
            disk.files.entry(segment).or_insert(file);
        }
        disk
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<(Segment, u64)>> {
        Ok(self.files.iter().map(|(segment, file)| (*segment, file.cache.len() as u64)).collect())
    }

    fn read(&self, segment: Segment, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = self.files.get(&segment).ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.cache.len());
        let end = start.saturating_add(length).min(file.cache.len());
        Ok(file.cache[start..end].to_vec())
    }
}

/// A disk as it is read: some readings fail, some come with a flipped bit, never twice the same.
pub struct Flawed<'a> {
    disk: &'a SimDisk,
    luck: RefCell<Luck<'a>>,
    /// The first bit to flip; each time the next one.
    first: u64,
    struck: Cell<u64>,
}

impl<'a> Flawed<'a> {
    /// A disk that is about to be read.
    pub fn new(disk: &'a SimDisk, luck: Luck<'a>) -> Self {
        let first = luck.chance.bits() >> 32;
        Flawed { disk, luck: RefCell::new(luck), first, struck: Cell::new(0) }
    }

    /// How many readings were wrong.
    pub fn struck(&self) -> u64 {
        self.struck.get()
    }
}

impl Disk for Flawed<'_> {
    fn list(&self) -> io::Result<Vec<(Segment, u64)>> {
        self.disk.list()
    }

    fn read(&self, segment: Segment, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.disk.read(segment, offset, length)?;
        let mut luck = self.luck.borrow_mut();
        if luck.strikes(Fault::ReadFailed) {
            self.struck.set(self.struck.get() + 1);
            return Err(io::Error::other("input/output error"));
        }
        if !bytes.is_empty() && luck.strikes(Fault::ReadFlipped) {
            let bit = (self.first + self.struck.get()) as usize % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            self.struck.set(self.struck.get() + 1);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: Segment = Segment(1);

    fn disk_after(ops: &[DiskOp], mut odds: Odds) -> (SimDisk, Vec<bool>) {
        let (mut disk, mut chance, mut tally) = (SimDisk::new(), Chance::new(1), Tally::default());
        let census = Census::default();
        let (odds, chance, tally) = (&mut odds, &mut chance, &mut tally);
        let trace = &mut Trace::new(Lines::Hashed);
        let mut luck = Luck { odds, chance, tally, census, trace, now_us: 0 };
        let done =
            ops.iter().map(|op| disk.carry_out(op, Position(7), &mut luck).is_ok()).collect();
        (disk, done)
    }

    fn write(bytes: &[u8]) -> DiskOp {
        DiskOp::Write { segment: SEGMENT, offset: 4, bytes: bytes.to_vec() }
    }

    fn check(ops: &[DiskOp], platter: u64, worst: &[u8]) {
        let (disk, done) = disk_after(ops, Odds::calm());
        assert!(done.iter().all(|done| *done));
        assert_eq!(disk.platter(), Position(platter), "{ops:?}");
        let left = disk.at_worst().read(SEGMENT, 4, 64).unwrap_or_default();
        assert_eq!(left, worst, "{ops:?}");
    }

    #[test]
    fn only_what_was_synced_with_its_name_survives() {
        let create = DiskOp::Create { segment: SEGMENT };
        let sync = DiskOp::Sync { segment: SEGMENT };
        let folder = DiskOp::SyncFolder;
        let (one, two) = (write(b"one"), write(b"two"));
        check(&[create.clone(), one.clone(), sync.clone()], 0, b"");
        check(&[create.clone(), one.clone(), sync.clone(), folder.clone()], 7, b"one");
        check(&[create.clone(), folder.clone(), one.clone(), sync.clone(), two], 7, b"one");
        let unlink = DiskOp::Unlink { segment: SEGMENT };
        check(&[create.clone(), folder.clone(), one.clone(), sync.clone(), unlink], 7, b"one");
        check(&[create, folder, one], 0, b"");
    }

    fn with_luck<T>(act: impl FnOnce(&mut Luck<'_>) -> T) -> T {
        let (mut odds, mut chance, mut tally) = (Odds::calm(), Chance::new(1), Tally::default());
        let census = Census::default();
        let (odds, chance, tally) = (&mut odds, &mut chance, &mut tally);
        let trace = &mut Trace::new(Lines::Hashed);
        act(&mut Luck { odds, chance, tally, census, trace, now_us: 0 })
    }

    #[test]
    fn a_full_disk_takes_what_needs_no_room() {
        let (mut disk, _) = disk_after(&[DiskOp::Create { segment: SEGMENT }], Odds::calm());
        let mut ask = |room, op: DiskOp| {
            with_luck(|luck| disk.carry_out_in(room, (&op, Position(1)), luck).is_ok())
        };
        assert!(ask(Room::Ample, write(b"three")));
        assert!(ask(Room::None, write(b"other")));
        assert!(!ask(Room::None, write(b"longer")));
        assert!(!ask(Room::None, DiskOp::Create { segment: Segment(2) }));
        assert!(ask(Room::None, DiskOp::Sync { segment: SEGMENT }));
        assert_eq!(disk.read(SEGMENT, 4, 64).unwrap(), b"longe");
    }

    #[test]
    fn rot_spares_the_last_batch_and_can_be_mended() {
        let ops = [
            DiskOp::Create { segment: SEGMENT },
            DiskOp::SyncFolder,
            write(b"the last batch"),
            DiskOp::Sync { segment: SEGMENT },
        ];
        let (mut disk, _) = disk_after(&ops, Odds::calm());
        let (whole, mut chance) = (disk.read(SEGMENT, 0, 64).unwrap(), Chance::new(3));
        let mut struck = 0;
        for _ in 0..200 {
            let Some(rot) = disk.rot(&mut chance) else { continue };
            struck += 1;
            let rotten = disk.read(SEGMENT, 0, 64).unwrap();
            assert_ne!(rotten[..4], whole[..4], "only what stands before it");
            assert_eq!(rotten[4..], whole[4..]);
            disk.mend(rot);
            assert_eq!(disk.read(SEGMENT, 0, 64).unwrap(), whole);
        }
        assert!(struck > 0, "it strikes at all");
    }
}

//! Copies of a folder in use: each is whole, and has everything that was durable before it was
//! asked for.

#![cfg(feature = "sqlite")]

use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Gid, Position};
use wholly_core::record::{ClockMark, PhaseName};
use wholly_core::time::Timestamp;
use wholly_store::archive::ArchiveLimits;
use wholly_store::embedded::{ArchiveUse, CopyError, Log, OpenError, Options, check, copy};
use wholly_store::suite::drafts::{Chance, Writer};
use wholly_store::suite::{Opened, listener};

/// Copies taken of each log.
const COPIES: usize = 12;
/// Rounds that a log is written at least.
const ROUNDS: usize = 300;
/// Ended transactions that wait for the archive, at most: copies should meet hand-overs.
const WAITING_MAX: u64 = 60;
/// How long ends are kept where they are forgotten, in milliseconds of the writer's clock.
const KEPT_MS: u64 = 400;

/// A log that is written, and what is known to be durable in it.
struct Written {
    /// None between two processes.
    opened: Option<Opened>,
    writer: Writer,
    told: Arc<Mutex<Told>>,
    /// How long ends are kept, in milliseconds of the writer's clock.
    kept_ms: u64,
}

/// What was durable at one moment.
#[derive(Clone, Default)]
struct Told {
    position: Position,
    known: BTreeMap<Gid, Known>,
}

#[derive(Clone, Copy)]
struct Known {
    begun: Timestamp,
    records: u64,
    phase: PhaseName,
}

fn open(folder: &Path, options: &Options, limits: ArchiveLimits) -> Opened {
    let (on_completion, completions) = listener();
    let archive = Some(ArchiveUse::sqlite(limits));
    let (log, loaded) =
        Log::open(folder, options.clone(), archive, on_completion).expect("the folder is sound");
    Opened { store: Arc::new(log), loaded, completions }
}

impl Written {
    fn opened(&self) -> &Opened {
        self.opened.as_ref().expect("it is open")
    }

    /// Goes on until the archive holds so many, and everything that waits for it.
    fn archive(&mut self, chance: &mut Chance, archived: u64) {
        // Each is a round of the log's thread; the archive's commits take some of them.
        for _ in 0..100_000 {
            let stats = self.opened().store.stats();
            if stats.ended - stats.unarchived >= archived {
                return;
            }
            self.go_on(chance);
        }
        panic!("it never came to be so: {:?}", self.opened().store.stats());
    }

    /// A few drafts and a mark, durable when this returns.
    fn go_on(&mut self, chance: &mut Chance) {
        let waits = self.opened().store.stats().unarchived > WAITING_MAX;
        let count = if waits { 0 } else { 1 + chance.below(9) };
        let mut drafts: Vec<Draft> = (0..count).map(|_| self.writer.any()).collect();
        let clock = self.writer.clock;
        let old = clock.minus_ms(self.kept_ms);
        drafts.push(self.writer.mark(ClockMark { clock, limit: old, ended_before: old }));
        let mut known = Vec::new();
        for draft in drafts {
            if let Content::Transaction { gid, after, records, summary } = &draft.content {
                let records = after.0 + records.len() as u64;
                let (begun, phase) = (summary.begun, summary.phase);
                known.push((gid.clone(), Known { begun, records, phase }));
            }
            self.opened().store.append(draft);
        }
        self.opened().settle(self.writer.position);
        let mut told = self.told.lock().expect("nobody panics while telling");
        told.position = self.writer.position;
        told.known.extend(known);
    }
}

/// Says of a copy that it is whole, and that a log opened on it knows what had been told.
fn check_copy(copied: &Path, options: &Options, limits: ArchiveLimits, told: &Told) {
    let checked = check(copied).expect("the copy is whole");
    assert!(checked.records >= told.position.0, "{checked:?} lacks some up to {:?}", told.position);
    let opened = open(copied, options, limits);
    assert!(opened.loaded.position >= told.position);
    for (gid, known) in &told.known {
        let found = opened.store.lookup(gid).expect("it can be read");
        let forgotten = known.phase == PhaseName::Ended && known.begun <= found.forgotten;
        let records = found.records.len() as u64;
        assert!(records >= known.records || forgotten && records == 0, "{gid}: {records} records");
    }
}

fn check_copies(seed: u64, options: Options, limits: ArchiveLimits) {
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path(), &options, limits);
    let told = Arc::<Mutex<Told>>::default();
    let mut written = Written {
        opened: Some(opened),
        writer: Writer::new(seed),
        told: Arc::clone(&told),
        kept_ms: KEPT_MS,
    };
    let over = Arc::<AtomicBool>::default();
    let writing = thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let mut chance = Chance::new(seed);
            let mut rounds = 0;
            while rounds < ROUNDS || !over.load(Ordering::Relaxed) {
                written.go_on(&mut chance);
                rounds += 1;
            }
            written
        }
    });
    for _ in 0..COPIES {
        let before = told.lock().expect("nobody panics while telling").clone();
        let to = TempDir::new().expect("a folder");
        let mut bytes = 0;
        let copied = copy(folder.path(), to.path(), &mut |more| bytes += more);
        let copied = copied.expect("it can be copied");
        assert_eq!(copied.position > Position(0), bytes > 0, "{copied:?}, {bytes} bytes");
        check_copy(to.path(), &options, limits, &before);
    }
    over.store(true, Ordering::Relaxed);
    let written = writing.join().expect("the log went on");
    // Of a folder that nobody uses the copy has everything.
    drop(written);
    let told = told.lock().expect("nobody panics while telling").clone();
    let to = TempDir::new().expect("a folder");
    let copied = copy(folder.path(), to.path(), &mut |_| ()).expect("it can be copied");
    assert_eq!(copied.position, told.position);
    let archived = copied.checked.slices.last().map_or(0, |facts| facts.through);
    assert!(archived > 10, "{copied:?}");
    check_copy(to.path(), &options, limits, &told);
}

#[test]
fn a_copy_has_everything_that_was_durable_before() {
    let small = Options { segment_bytes: 8_192, prewrite_bytes: 512, ..Options::default() };
    let limits = |rows, bulk| ArchiveLimits {
        slice_rows_max: rows,
        bulk_rows_max: bulk,
        ..ArchiveLimits::default()
    };
    check_copies(1, small.clone(), limits(5, 1));
    check_copies(2, small, limits(200, 20));
    check_copies(3, Options { segment_bytes: 200_000, ..Options::default() }, limits(40, 10));
}

#[test]
fn a_log_goes_on_stops_and_starts_while_it_is_copied() {
    let limits = ArchiveLimits { slice_rows_max: 60, bulk_rows_max: 5, ..Default::default() };
    let options = Options { segment_bytes: 8_192, ..Options::default() };
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path(), &options, limits);
    let told = Arc::<Mutex<Told>>::default();
    let mut written = Written {
        opened: Some(opened),
        writer: Writer::new(9),
        told: Arc::clone(&told),
        kept_ms: KEPT_MS,
    };
    let mut chance = Chance::new(9);
    for _ in 0..ROUNDS {
        written.go_on(&mut chance);
    }
    let before = told.lock().expect("nobody panics while telling").clone();
    let to = TempDir::new().expect("a folder");
    let mut starts = 0;
    let copied = copy(folder.path(), to.path(), &mut |_| {
        for _ in 0..20 {
            written.go_on(&mut chance);
        }
        // It has the folder alone: the one before must have let go of it.
        written.opened = None;
        written.opened = Some(open(folder.path(), &options, limits));
        starts += 1;
    });
    let copied = copied.expect("it can be copied");
    assert!(starts > 1 && copied.checked.slices.len() > 1, "{starts} starts, {copied:?}");
    check_copy(to.path(), &options, limits, &before);
    let told = told.lock().expect("nobody panics while telling").clone();
    for (gid, known) in &told.known {
        let found = written.opened().store.lookup(gid).expect("it can be read");
        let forgotten = known.phase == PhaseName::Ended && known.begun <= found.forgotten;
        assert!(found.records.len() as u64 == known.records || forgotten, "{gid}");
    }
}

#[test]
fn a_folder_without_records_is_copied_as_one() {
    let (folder, to) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    drop(open(folder.path(), &Options::default(), ArchiveLimits::default()));
    let copied = copy(folder.path(), to.path(), &mut |_| ()).expect("it can be copied");
    assert_eq!((copied.position, copied.checked.records), (Position(0), 0));
    open(to.path(), &Options::default(), ArchiveLimits::default());
}

/// The archive of a folder with every file in it, which nobody uses.
fn archive_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder.join("archive")).expect("it is there");
    let files = entries.map(|entry| {
        let entry = entry.expect("a file");
        let bytes = fs::read(entry.path()).expect("it can be read");
        (entry.file_name().into_string().expect("ours are all text"), bytes)
    });
    files.collect()
}

/// What happens to an archive whose log relies on it; and that no backup is made of the two, as no
/// start is made on them.
fn check_lacking(happens: impl Fn(&Path, &BTreeMap<String, Vec<u8>>), when: &str) {
    let limits = ArchiveLimits { slice_rows_max: 40, bulk_rows_max: 5, ..Default::default() };
    let options = Options { segment_bytes: 8_192, ..Options::default() };
    let folder = TempDir::new().expect("a folder");
    let mut chance = Chance::new(5);
    let mut written = Written {
        opened: Some(open(folder.path(), &options, limits)),
        writer: Writer::new(5),
        told: Arc::default(),
        kept_ms: u64::MAX,
    };
    written.archive(&mut chance, 60);
    written.opened = None;
    let older = archive_of(folder.path());
    written.opened = Some(open(folder.path(), &options, limits));
    written.archive(&mut chance, 150);
    written.opened = None;
    happens(folder.path(), &older);
    let to = TempDir::new().expect("a folder");
    let copied = copy(folder.path(), to.path(), &mut |_| ());
    let error = copied.expect_err(when);
    let lacks = matches!(error, CopyError::Log(OpenError::ArchiveMissing { .. }));
    assert!(lacks, "{when}: {error:?}");
    assert_eq!(fs::read_dir(to.path().join("log")).expect("a folder").count(), 0, "{when}");
    check(folder.path()).expect_err("nor would it start");
}

#[test]
fn an_archive_that_lacks_what_the_log_relies_on_is_not_copied() {
    let gone = |folder: &Path| fs::remove_dir_all(folder.join("archive")).expect("it is there");
    check_lacking(|folder, _| gone(folder), "removed");
    let emptied = |folder: &Path| {
        gone(folder);
        fs::create_dir(folder.join("archive")).expect("it is gone");
    };
    check_lacking(|folder, _| emptied(folder), "emptied");
    let put_back = |folder: &Path, older: &BTreeMap<String, Vec<u8>>| {
        emptied(folder);
        for (name, bytes) in older {
            fs::write(folder.join("archive").join(name), bytes).expect("it is written");
        }
    };
    check_lacking(put_back, "put back from an older copy");
}

#[test]
fn an_archive_that_goes_while_its_log_is_written_is_not_copied() {
    let limits = ArchiveLimits { slice_rows_max: 40, bulk_rows_max: 5, ..Default::default() };
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path(), &Options::default(), limits);
    let mut written = Written {
        opened: Some(opened),
        writer: Writer::new(5),
        told: Arc::default(),
        kept_ms: u64::MAX,
    };
    let mut chance = Chance::new(5);
    written.archive(&mut chance, 60);
    for entry in fs::read_dir(folder.path().join("archive")).expect("it is there") {
        fs::remove_file(entry.expect("a file").path()).expect("it is there");
    }
    written.go_on(&mut chance);
    let to = TempDir::new().expect("a folder");
    let error = copy(folder.path(), to.path(), &mut |_| ()).expect_err("the archive is gone");
    let lacks = matches!(error, CopyError::Log(OpenError::ArchiveMissing { from: 0, .. }));
    assert!(lacks, "{error:?}");
}

#[test]
fn what_grows_is_let_go_of_while_closed_slices_are_copied() {
    let limits = ArchiveLimits { slice_rows_max: 40, bulk_rows_max: 5, ..Default::default() };
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path(), &Options::default(), limits);
    let mut written = Written {
        opened: Some(opened),
        writer: Writer::new(5),
        told: Arc::default(),
        kept_ms: u64::MAX,
    };
    let mut chance = Chance::new(5);
    written.archive(&mut chance, 130);
    written.opened().store.stop();
    let slices = archive_of(folder.path()).into_keys().filter(|name| name.ends_with(".slice"));
    let growing = slices.max().expect("it has slices");
    let growing = Connection::open(folder.path().join("archive").join(growing)).expect("one");
    growing.busy_timeout(Duration::ZERO).expect("it is set");
    let write = || {
        let same = "INSERT OR REPLACE INTO facts SELECT * FROM facts";
        growing.execute(same, []).expect("it is written");
    };
    // Says whether a reader keeps the write-ahead log.
    let cut_back = || {
        let cut = "PRAGMA wal_checkpoint(TRUNCATE)";
        let kept = growing.query_row(cut, [], |row| row.get::<_, i64>(0)).expect("it is asked");
        write();
        kept
    };
    write();
    let to = TempDir::new().expect("a folder");
    let mut kept = Vec::new();
    // What is copied first is the oldest slice.
    let copied = copy(folder.path(), to.path(), &mut |_| kept.push(cut_back()));
    let copied = copied.expect("it can be copied");
    assert!(copied.checked.slices.len() > 2, "{copied:?}");
    assert_eq!(kept[0], 0, "nobody reads what grows");
    assert!(kept.contains(&1), "it is read while it is copied itself: {kept:?}");
}

#[test]
fn a_log_hands_over_and_forgets_while_a_copy_stands_still() {
    let limits = ArchiveLimits { slice_rows_max: 40, bulk_rows_max: 5, ..Default::default() };
    let options = Options { segment_bytes: 8_192, ..Options::default() };
    let folder = TempDir::new().expect("a folder");
    let mut written = Written {
        opened: Some(open(folder.path(), &options, limits)),
        writer: Writer::new(6),
        told: Arc::default(),
        kept_ms: u64::MAX,
    };
    let mut chance = Chance::new(6);
    written.archive(&mut chance, 130);
    let slices = || -> BTreeSet<String> {
        let entries = fs::read_dir(folder.path().join("archive")).expect("it is there");
        let names = entries.map(|entry| entry.expect("a file").file_name().into_string());
        let names = names.map(|name| name.expect("ours are all text"));
        names.filter(|name| name.ends_with(".slice")).collect()
    };
    let before = slices();
    assert!(before.len() > 2, "one is copied, others wait for it: {before:?}");
    let to = TempDir::new().expect("a folder");
    let mut stood_still = 0;
    let copied = copy(folder.path(), to.path(), &mut |_| {
        stood_still += 1;
        if stood_still > 1 {
            return;
        }
        // The one that is being copied goes, those that wait, and the one that grew.
        written.kept_ms = KEPT_MS;
        for _ in 0..100_000 {
            if before.is_disjoint(&slices()) {
                return;
            }
            written.go_on(&mut chance);
        }
        panic!("a copy holds them: {:?}", written.opened().store.stats());
    });
    let copied = copied.expect("it can be copied");
    assert!(before.is_disjoint(&slices()) && stood_still > 1, "{copied:?}");
    // Nothing was written since the copy went on, so that it has all of that, too.
    let told = written.told.lock().expect("nobody panics while telling").clone();
    check_copy(to.path(), &options, limits, &told);
}

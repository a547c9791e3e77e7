//! Both archives, by the same checks; and a log that hands over to the one on disk.

use std::fs;
use std::path::Path;
use tempfile::TempDir;
use wholly_core::branch::Mode;
use wholly_core::effect::Content;
use wholly_core::ids::{Gid, Name};
use wholly_core::record::{ClockMark, Outcome, PhaseName, Summary};
use wholly_core::time::Timestamp;
use wholly_store::archive::twin::Twin;
use wholly_store::archive::{
    ArchiveError, ArchiveLimits, Archived, OpenedArchive, Slice, SliceFacts, sqlite,
};
use wholly_store::contract::{Completion, Cursor, Filter, Page, Store};
use wholly_store::embedded::{self, ArchiveUse, Log, Options};
use wholly_store::encoding::encode_record;
use wholly_store::suite::drafts::Writer;
use wholly_store::suite::{Opened, listener};

/// An archive that outlives the process which uses it.
enum Kept {
    OnDisk(TempDir),
    InMemory(Twin),
}

impl Kept {
    fn both() -> [Kept; 2] {
        [Kept::OnDisk(TempDir::new().expect("a folder")), Kept::InMemory(Twin::default())]
    }

    fn open(&self) -> OpenedArchive {
        match self {
            Kept::OnDisk(folder) => sqlite::open(folder.path(), limits()).expect("it is sound"),
            Kept::InMemory(twin) => twin.open(),
        }
    }
}

fn limits() -> ArchiveLimits {
    ArchiveLimits { slice_rows_max: 100, ..ArchiveLimits::default() }
}

/// Some that have ended; each begins when the one before has ended, every third on a long way
/// back.
fn ended(from: u64, count: u64) -> Vec<Archived> {
    let mut all = Vec::new();
    for number in from..from + count {
        let mut writer = Writer::new(number);
        let (begin, gid) = (writer.begin_as(&gid(number)), gid(number));
        let end = writer.end(&gid);
        let (mut records, mut count, mut last) = (Vec::new(), 0, None);
        for draft in [begin, end] {
            let Content::Transaction { records: some, summary, .. } = draft.content else {
                panic!("both are of a transaction")
            };
            count += some.len() as u64;
            some.iter().for_each(|record| encode_record(&gid, record, &mut records));
            last = Some(summary);
        }
        let back = if number % 3 == 0 { 40 } else { 0 };
        let begun = Timestamp(1_000 + number * 10 - back);
        let ended = Some(Timestamp(2_000 + number * 10));
        let summary = Summary { begun, ended, ..last.expect("it has ended") };
        all.push(Archived { end: number, gid, summary, count, records });
    }
    all
}

fn gid(number: u64) -> Gid {
    Gid::new(&format!("order-{number}")).expect("a gid")
}

/// Puts ends of some numbers into a slice, durably.
fn add(archive: &mut OpenedArchive, slice: u32, from: u64, count: u64) -> SliceFacts {
    let slice = Slice(slice);
    archive.writer.put(slice, &ended(from, count)).expect("it is put");
    archive.writer.commit(slice, from..from + count).expect("it is durable")
}

/// Says that an archive knows the ends of these numbers, by every way of asking, and no others.
fn check(archive: &OpenedArchive, from: u64, through: u64) {
    let mut expected: Vec<Cursor> = Vec::new();
    for one in ended(0, through + 20) {
        let found = archive.reader.find(&one.gid, from).expect("it can be read");
        match (from..through).contains(&one.end) {
            true => {
                let found = found.unwrap_or_else(|| panic!("{} is known", one.gid));
                let mut bytes = Vec::new();
                found.iter().for_each(|record| encode_record(&one.gid, record, &mut bytes));
                assert_eq!((found.len() as u64, bytes), (one.count, one.records), "{}", one.gid);
                assert!(archive.reader.may_know(&one.gid));
                expected.push(Cursor { begun: one.summary.begun, gid: one.gid });
            }
            false => assert_eq!(found, None, "{} is not known", one.gid),
        }
    }
    expected.sort();
    expected.reverse();
    for limit in [1, 7, 1_000] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = Page { limit, after };
            let page = archive.reader.list(&Filter::default(), &page, from..through);
            let page = page.expect("it can be read");
            assert!(page.items.len() <= limit);
            for item in page.items {
                listed.push(Cursor { begun: item.summary.begun, gid: item.gid });
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, expected, "pages of {limit}");
    }
}

#[test]
fn what_was_committed_is_there_and_what_was_not_is_not() {
    for kept in Kept::both() {
        let mut archive = kept.open();
        assert_eq!(archive.slices, []);
        add(&mut archive, 1, 0, 30);
        archive.writer.put(Slice(1), &ended(30, 5)).expect("it is put");
        check(&archive, 0, 30);
        drop(archive);
        let mut archive = kept.open();
        let facts: Vec<_> = archive.slices.iter().map(|f| (f.from, f.through, f.rows)).collect();
        assert_eq!(facts, [(0, 30, 30)]);
        check(&archive, 0, 30);
        let facts = add(&mut archive, 1, 30, 12);
        assert_eq!((facts.from, facts.through, facts.rows), (0, 42, 42));
        assert_eq!(facts.ended_min, Timestamp(2_000));
        assert_eq!(facts.ended_max, Timestamp(2_410));
        assert_eq!(facts.begun_max, Timestamp(1_410));
        check(&archive, 0, 42);
    }
}

#[test]
fn slices_follow_one_another_and_the_oldest_goes() {
    for kept in Kept::both() {
        let mut archive = kept.open();
        for (slice, from) in [(1, 0), (2, 20), (3, 40), (4, 60)] {
            add(&mut archive, slice, from, 20);
        }
        check(&archive, 0, 80);
        drop(archive);
        let mut archive = kept.open();
        assert_eq!(archive.slices.len(), 4);
        check(&archive, 0, 80);
        // What is forgotten is not known, whether its slice is still there or not.
        check(&archive, 20, 80);
        archive.writer.remove(Slice(1)).expect("it is removed");
        check(&archive, 20, 80);
        add(&mut archive, 5, 80, 3);
        drop(archive);
        let archive = kept.open();
        let slices: Vec<Slice> = archive.slices.iter().map(|facts| facts.slice).collect();
        assert_eq!(slices, [Slice(2), Slice(3), Slice(4), Slice(5)]);
        check(&archive, 20, 83);
    }
}

#[test]
fn a_gid_that_is_used_again_names_its_latest_transaction() {
    for kept in Kept::both() {
        let mut archive = kept.open();
        add(&mut archive, 1, 0, 10);
        for (slice, end) in [(1, 10), (2, 11)] {
            let mut again = ended(end, 1).remove(0);
            (again.gid, again.records) = (gid(4), Vec::new());
            again.count = 0;
            archive.writer.put(Slice(slice), &[again]).expect("it is put");
            archive.writer.commit(Slice(slice), end..end + 1).expect("it is durable");
            let page = Page { limit: 100, after: None };
            let page = archive.reader.list(&Filter::default(), &page, 0..end + 1);
            let mut items = page.expect("it can be read").items;
            items.retain(|item| item.gid == gid(4));
            let begins: Vec<_> = items.iter().map(|item| item.summary.begun).collect();
            assert_eq!(begins, [ended(end, 1)[0].summary.begun]);
            assert_eq!(archive.reader.find(&gid(4), 0).expect("it can be read"), Some(Vec::new()));
        }
    }
}

#[test]
fn a_page_that_finds_little_says_where_to_go_on() {
    let folder = TempDir::new().expect("a folder");
    let limits = ArchiveLimits { slice_rows_max: 100_000, ..limits() };
    let mut archive = sqlite::open(folder.path(), limits).expect("it is empty");
    let plain = ended(0, 1).remove(0);
    let name = |number: u64| Name::new(if number % 5_000 == 7 { "rare" } else { "plain" });
    let outcome = |number: u64| match number % 9_000 {
        11 => Outcome::Mixed,
        12 => Outcome::Hazard,
        _ => Outcome::AsDecided,
    };
    let many = (0..45_000).map(|end| {
        let (begun, name) = (Timestamp(end / 7), name(end).expect("a name"));
        let (outcome, modes) = (Some(outcome(end)), vec![Mode::Tcc]);
        let summary = Summary { begun, name, outcome, modes, ..plain.summary.clone() };
        Archived { end, gid: gid(end), summary, ..plain.clone() }
    });
    archive.writer.put(Slice(1), &many.collect::<Vec<_>>()).expect("it is put");
    archive.writer.commit(Slice(1), 0..45_000).expect("it is durable");
    let check = |filter: Filter, limit, expected: (usize, usize)| {
        let (mut found, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let page = archive.reader.list(&filter, &Page { limit, after }, 0..45_000);
            let page = page.expect("it can be read");
            found.extend(page.items.into_iter().map(|item| (item.summary.begun, item.gid)));
            (pages, after) = (pages + 1, page.next);
            if after.is_none() {
                break;
            }
        }
        assert!(found.is_sorted_by(|one, other| one > other), "newest begun first, none twice");
        assert_eq!((found.len(), pages), expected, "{filter:?}");
    };
    let gids = |prefix: &str| Filter { gid_prefix: prefix.to_owned(), ..Filter::default() };
    check(gids("order-1234"), 50, (11, 1));
    check(gids("order-1234"), 5, (11, 3));
    check(Filter { begun_before: Some(Timestamp(1_000)), ..gids("order-1234") }, 50, (1, 1));
    // The last ones by gid are the newest, and too many to be looked up by their gids.
    check(gids("order-44"), 500, (1_111, 7));
    check(gids("nobody"), 50, (0, 1));
    let rare = Some(Name::new("rare").expect("a name"));
    check(Filter { name: rare, ..Filter::default() }, 50, (9, 5));
    let ended = |outcome| Filter { outcome: Some(outcome), ..Filter::default() };
    check(ended(Outcome::AsDecided), 10_000, (44_990, 5));
    // The few that did not end as decided are looked for among themselves.
    check(ended(Outcome::Mixed), 50, (5, 1));
    check(ended(Outcome::Hazard), 2, (5, 3));
    check(Filter { begun_before: Some(Timestamp(3_000)), ..ended(Outcome::Mixed) }, 50, (3, 1));
    check(Filter { mode: Some(Mode::Saga), ..ended(Outcome::Hazard) }, 50, (0, 1));
    check(Filter { mode: Some(Mode::Saga), ..Filter::default() }, 50, (0, 5));
    check(Filter { mode: Some(Mode::Tcc), ..Filter::default() }, 10_000, (45_000, 5));
    // A slice of a release that knew no such index is read by its rows.
    let slice = folder.path().join("archive/0000000001.slice");
    set(&slice, "DROP INDEX ended_unlike_decided");
    check(ended(Outcome::Mixed), 50, (5, 5));
    check(Filter { begun_before: Some(Timestamp(3_000)), ..ended(Outcome::Mixed) }, 50, (3, 3));
    drop(archive);
    let checked = sqlite::check(folder.path()).expect("nothing is wrong with it");
    assert_eq!(checked.iter().map(|facts| facts.rows).collect::<Vec<_>>(), [45_000]);
}

/// What somebody did to a file of the archive, and what opening says of it.
fn check_refused(harm: impl Fn(&Path), words: &str) {
    let folder = TempDir::new().expect("a folder");
    let mut archive = sqlite::open(folder.path(), limits()).expect("it is empty");
    add(&mut archive, 1, 0, 30);
    add(&mut archive, 2, 30, 30);
    drop(archive);
    let path = folder.path().join("archive/0000000001.slice");
    harm(&path);
    let before = fs::read(&path).expect("it is there");
    let error: ArchiveError = match sqlite::open(folder.path(), limits()) {
        Ok(_) => panic!("it is refused: {words}"),
        Err(error) => error,
    };
    assert!(error.to_string().contains(words), "{error}");
    assert!(error.to_string().contains("0000000001.slice"), "{error}");
    assert_eq!(fs::read(&path).expect("it is there"), before, "nothing was changed");
}

#[test]
fn a_file_that_is_none_of_ours_is_refused() {
    check_refused(|path| fs::write(path, "not a database".repeat(100)).expect("a file"), "damaged");
    check_refused(|path| set(path, "PRAGMA user_version = 2"), "format 2");
    check_refused(|path| set(path, "PRAGMA application_id = 7"), "it is no slice of an archive");
}

fn set(path: &Path, pragma: &str) {
    let connection = rusqlite::Connection::open(path).expect("a database");
    connection.execute_batch(pragma).expect("it is set");
}

#[test]
fn a_row_that_was_changed_is_not_believed() {
    let folder = TempDir::new().expect("a folder");
    let mut archive = sqlite::open(folder.path(), limits()).expect("it is empty");
    add(&mut archive, 1, 0, 30);
    let path = folder.path().join("archive/0000000001.slice");
    set(&path, "UPDATE history SET records = zeroblob(7) WHERE number = 3");
    let error = archive.reader.find(&gid(3), 0).expect_err("it is damaged").to_string();
    assert!(error.contains("the checksum of order-3 does not match"), "{error}");
    assert!(archive.reader.find(&gid(4), 0).expect("it is sound").is_some());
}

#[test]
fn nobody_else_may_read_the_archive() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().expect("a folder");
    let mut archive = sqlite::open(folder.path(), limits()).expect("it is empty");
    add(&mut archive, 1, 0, 30);
    let archive = folder.path().join("archive");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&archive), 0o700);
    for entry in fs::read_dir(&archive).expect("a folder") {
        let path = entry.expect("a file").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

/// A log beside an archive with small slices.
struct Beside {
    folder: TempDir,
    writer: Writer,
    opened: Option<Opened>,
    limits: ArchiveLimits,
    options: Options,
}

impl Beside {
    fn new(limits: ArchiveLimits) -> Beside {
        let (folder, writer) = (TempDir::new().expect("a folder"), Writer::new(5));
        let options = Options { segment_bytes: 40_000, ..Options::default() };
        let mut beside = Beside { folder, writer, opened: None, limits, options };
        beside.open();
        beside
    }

    fn open(&mut self) {
        self.opened = None;
        let (on_completion, completions) = listener();
        let archive = Some(ArchiveUse::sqlite(self.limits));
        let opened = Log::open(self.folder.path(), self.options.clone(), archive, on_completion);
        let (log, loaded) = opened.expect("the folder is sound");
        self.opened = Some(Opened { store: std::sync::Arc::new(log), loaded, completions });
    }

    fn store(&self) -> &dyn Store {
        &*self.opened.as_ref().expect("it is open").store
    }

    fn end(&mut self, count: u64) -> Vec<(Gid, Timestamp)> {
        let mut ended = Vec::new();
        for _ in 0..count {
            let begin = self.writer.begin();
            let Content::Transaction { gid, summary, .. } = &begin.content else {
                panic!("a begin is of a transaction")
            };
            let (gid, begun) = (gid.clone(), summary.begun);
            self.store().append(begin);
            let end = self.writer.end(&gid);
            self.store().append(end);
            ended.push((gid, begun));
            if ended.len().is_multiple_of(10) || ended.len() as u64 == count {
                self.opened.as_ref().expect("it is open").settle(self.writer.position);
            }
        }
        ended
    }

    /// Marks until something is so; what the store reports besides.
    fn mark_until(&mut self, mark: ClockMark, so: impl Fn(&dyn Store) -> bool) -> Vec<Completion> {
        let mut others = Vec::new();
        // Each is a round of the log's thread; the archive's commits take some of them.
        for _ in 0..100_000 {
            if so(self.store()) {
                return others;
            }
            let draft = self.writer.mark(mark);
            self.store().append(draft);
            let opened = self.opened.as_ref().expect("it is open");
            others.extend(opened.settle(self.writer.position));
        }
        panic!("it never came to be so: {:?}", self.store().stats());
    }

    fn known(&self, ended: &[(Gid, Timestamp)]) -> usize {
        let known = ended.iter().filter(|(gid, _)| {
            let found = self.store().lookup(gid).expect("it can be read");
            assert!(found.records.is_empty() || self.store().missing(gid).is_none(), "{gid}");
            !found.records.is_empty()
        });
        known.count()
    }

    fn listed(&self) -> usize {
        let page = Page { limit: 10_000, after: None };
        let filter = Filter { state: Some(PhaseName::Ended), ..Filter::default() };
        self.store().list(&filter, &page).expect("it can be read").items.len()
    }
}

#[test]
fn a_log_that_hands_over_stays_small_and_forgets_nothing() {
    let limits = ArchiveLimits { slice_rows_max: 300, bulk_rows_max: 50, ..Default::default() };
    let mut beside = Beside::new(limits);
    let ended = beside.end(1_000);
    beside.mark_until(ClockMark::default(), |store| {
        let stats = store.stats();
        stats.unarchived < 50 && stats.segments <= 3
    });
    for _ in 0..2 {
        assert_eq!(beside.known(&ended), 1_000);
        assert_eq!(beside.listed(), 1_000);
        let stats = beside.store().stats();
        assert_eq!((stats.ended, stats.lost), (1_000, 0));
        assert!(stats.slices >= 3, "{stats:?}");
        assert!(stats.log_bytes < 200_000, "{stats:?}");
        beside.open();
    }
}

#[test]
fn whole_slices_are_forgotten_by_age() {
    let limits = ArchiveLimits { slice_rows_max: 10, bulk_rows_max: 1, ..Default::default() };
    let mut beside = Beside::new(limits);
    let ended = beside.end(100);
    beside.mark_until(ClockMark::default(), |store| store.stats().unarchived == 0);
    let clock = beside.writer.clock;
    // Half of them are old enough.
    let mark = ClockMark { clock, limit: ended[50].1, ended_before: clock.plus_ms(1) };
    beside.mark_until(mark, |store| store.stats().ended <= 60);
    let stats = beside.store().stats();
    assert!((50..=60).contains(&stats.ended), "{stats:?}");
    assert_eq!(stats.lost, 0);
    let kept = stats.ended as usize;
    for _ in 0..2 {
        assert_eq!((beside.known(&ended), beside.listed()), (kept, kept));
        let forgotten = beside.store().lookup(&ended[0].0).expect("it can be read").forgotten;
        assert_eq!(forgotten, ended[99 - kept].1);
        beside.open();
    }
}

#[test]
fn what_goes_for_want_of_room_is_counted() {
    let limits = ArchiveLimits {
        archive_bytes_max: 400_000,
        slice_rows_max: 20,
        bulk_rows_max: 10,
        ..Default::default()
    };
    let mut beside = Beside::new(limits);
    let ended = beside.end(600);
    let others = beside.mark_until(ClockMark::default(), |store| {
        let stats = store.stats();
        stats.unarchived < 10 && stats.lost > 0 && stats.archive_bytes <= 400_000
    });
    let stats = beside.store().stats();
    let counts = others.iter().map(|completion| match completion {
        Completion::Lost { count } => *count,
        Completion::Durable(_) | Completion::Room(_) | Completion::Failed(_) => 0,
    });
    assert!(counts.sum::<u64>() <= stats.lost);
    assert_eq!(stats.ended + stats.lost, 600);
    assert_eq!(beside.known(&ended) as u64, stats.ended);
}

/// What somebody takes away between two starts, and what the second says.
fn check_start(harm: impl Fn(&Path), words: &str) {
    let limits = ArchiveLimits { slice_rows_max: 100, bulk_rows_max: 10, ..Default::default() };
    let mut beside = Beside::new(limits);
    beside.end(500);
    beside.mark_until(ClockMark::default(), |store| store.stats().unarchived < 10);
    beside.mark_until(ClockMark::default(), |store| store.stats().segments < 3);
    beside.opened = None;
    harm(beside.folder.path());
    let (on_completion, _) = listener();
    let archive = Some(ArchiveUse::sqlite(limits));
    let opened = Log::open(beside.folder.path(), Options::default(), archive, on_completion);
    let error = opened.err().expect("it is refused").to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn log_and_archive_belong_together() {
    let archive = |folder: &Path| fs::remove_dir_all(folder.join("archive")).expect("it is there");
    check_start(archive, "does not hold the ended transactions 0 to");
    let middle = |folder: &Path| {
        for suffix in ["", "-wal", "-shm"] {
            let path = folder.join(format!("archive/0000000002.slice{suffix}"));
            fs::remove_file(&path).ok();
        }
    };
    check_start(middle, "does not hold the ended transactions 1");
    let log = |folder: &Path| fs::remove_dir_all(folder.join("log")).expect("it is there");
    check_start(log, "the log knows of 0 only");
}

#[test]
fn an_archive_outlives_a_log_that_was_lost() {
    let limits = ArchiveLimits { slice_rows_max: 20, bulk_rows_max: 10, ..Default::default() };
    let mut beside = Beside::new(limits);
    let before = beside.end(60);
    beside.mark_until(ClockMark::default(), |store| store.stats().unarchived == 0);
    let writer = beside.writer.clone();
    beside.opened = None;
    fs::remove_dir_all(beside.folder.path().join("log")).expect("it is there");
    let restored = Some(writer.clock.plus_ms(1_000_000));
    beside.options = Options { restored, ..beside.options.clone() };
    beside.open();
    assert_eq!((beside.known(&before), beside.listed()), (60, 60));
    // Another log, whose positions count from one again.
    beside.writer = Writer::new(77);
    beside.writer.clock = writer.clock.plus_ms(2_000_000);
    beside.options.restored = None;
    let opened = beside.opened.as_ref().expect("it is open");
    assert_eq!(opened.loaded.open, []);
    let gid = Gid::new("afterwards").expect("a gid");
    let begin = beside.writer.begin_as(&gid);
    beside.store().append(begin);
    let end = beside.writer.end(&gid);
    beside.store().append(end);
    beside.opened.as_ref().expect("it is open").settle(beside.writer.position);
    for _ in 0..2 {
        assert_eq!((beside.known(&before), beside.listed()), (60, 61));
        beside.open();
    }
}

/// Every file of a folder and what is in it, except what SQLite keeps beside a file in memory.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for sub in ["log", "archive"] {
        for entry in fs::read_dir(folder.join(sub)).expect("a folder") {
            let path = entry.expect("a file").path();
            let name = path.display().to_string();
            if !name.ends_with("-shm") && !name.ends_with("-wal") {
                files.push((name, fs::read(&path).expect("a file")));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_check_reads_everything_and_changes_nothing() {
    let limits = ArchiveLimits { slice_rows_max: 100, bulk_rows_max: 10, ..Default::default() };
    let mut beside = Beside::new(limits);
    beside.end(405);
    let begin = beside.writer.begin();
    beside.store().append(begin);
    beside.mark_until(ClockMark::default(), |store| store.stats().unarchived < 10);
    let folder = beside.folder.path().to_owned();
    let error = embedded::check(&folder).expect_err("it is in use").to_string();
    assert!(error.contains("in use by another process"), "{error}");
    let stats = beside.store().stats();
    beside.store().stop();
    beside.opened = None;
    let before = content(&folder);
    let checked = embedded::check(&folder).expect("it is sound");
    assert_eq!(content(&folder), before);
    let archived: u64 = checked.slices.iter().map(|facts| facts.rows).sum();
    assert_eq!((checked.open, archived + checked.unarchived), (1, 405));
    assert!(checked.records >= stats.durable.0 && checked.segments > 0, "{checked:?}");
    let slice = folder.join("archive/0000000002.slice");
    set(&slice, "UPDATE history SET records = zeroblob(7) WHERE number = 150");
    let error = embedded::check(&folder).expect_err("it is damaged");
    let cause = std::error::Error::source(&error).expect("it has one").to_string();
    assert!(cause.contains("0000000002.slice is damaged: the checksum of order-"), "{cause}");
}

#[test]
fn a_stop_brings_a_hand_over_to_its_end() {
    let limits = ArchiveLimits { bulk_rows_max: 1, ..Default::default() };
    let mut beside = Beside::new(limits);
    beside.end(1);
    beside.store().stop();
    beside.opened = None;
    let checked = embedded::check(beside.folder.path()).expect("it is sound");
    let rows: Vec<u64> = checked.slices.iter().map(|facts| facts.rows).collect();
    assert_eq!(rows, [1]);
}

#[test]
fn a_transaction_that_stays_open_does_not_keep_the_log_large() {
    let limits = ArchiveLimits { bulk_rows_max: 50, ..Default::default() };
    let mut beside = Beside::new(limits);
    let begin = beside.writer.begin_as(&gid(7));
    beside.store().append(begin);
    let others = beside.end(1_500);
    beside.mark_until(ClockMark::default(), |store| store.stats().segments <= 6);
    for _ in 0..2 {
        let records = beside.store().lookup(&gid(7)).expect("it can be read").records;
        assert!(!records.is_empty(), "what is open is known");
        assert_eq!((beside.known(&others), beside.store().stats().open), (1_500, 1));
        beside.open();
        assert_eq!(beside.opened.as_ref().expect("it is open").loaded.open.len(), 1);
    }
}

//! The suite, run on every backend.

use std::fs;
use std::sync::Arc;
use tempfile::TempDir;
use wholly_store::archive::ArchiveLimits;
use wholly_store::contract::{Completion, Store};
use wholly_store::embedded::{self, ArchiveUse, Log};
use wholly_store::memory::{self, Memory};
use wholly_store::suite::{Bench, Opened, listener, run, run_with_slices};

#[test]
fn the_memory_store_passes() {
    run(&mut InMemory { store: None });
}

#[test]
fn the_embedded_log_passes() {
    run(&mut OnDisk::new(embedded::Options::default(), Keeping::Log));
}

#[test]
fn the_embedded_log_passes_with_small_segments() {
    let options = embedded::Options {
        segment_bytes: 4_096,
        prewrite_bytes: 512,
        batch_bytes_max: 2_048,
        salt: 7,
        ..embedded::Options::default()
    };
    run(&mut OnDisk::new(options.clone(), Keeping::Log));
    run_with_slices(&mut OnDisk::new(options, Keeping::Archive));
}

struct InMemory {
    store: Option<Arc<Memory>>,
}

impl Bench for InMemory {
    fn fresh(&mut self, ended_max: usize) -> Opened {
        let (on_completion, completions) = listener();
        let store = Arc::new(Memory::new(&memory::Options { ended_max }, on_completion));
        self.store = Some(Arc::clone(&store));
        Opened { store, loaded: Default::default(), completions }
    }

    fn crash(&mut self, before: Opened) -> Opened {
        let store = self.store.as_ref().expect("it was opened");
        Opened { loaded: store.crash(), ..before }
    }
}

#[test]
fn the_embedded_log_passes_with_an_archive() {
    run_with_slices(&mut OnDisk::new(embedded::Options::default(), Keeping::Archive));
}

struct OnDisk {
    folders: Vec<TempDir>,
    options: embedded::Options,
    keeping: Keeping,
}

/// Who keeps what has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    Log,
    Archive,
}

impl OnDisk {
    fn new(options: embedded::Options, keeping: Keeping) -> Self {
        OnDisk { folders: Vec::new(), options, keeping }
    }

    /// So small that every check has many slices.
    fn archive(&self) -> Option<ArchiveUse> {
        let limits = ArchiveLimits { slice_rows_max: 5, bulk_rows_max: 1, ..Default::default() };
        (self.keeping == Keeping::Archive).then(|| ArchiveUse::sqlite(limits))
    }

    fn open(&mut self, folder: TempDir) -> Opened {
        let (on_completion, completions) = listener();
        let log = Log::open(folder.path(), self.options.clone(), self.archive(), on_completion);
        let (log, loaded) = log.expect("the folder is sound");
        self.folders.push(folder);
        Opened { store: Arc::new(log), loaded, completions }
    }
}

impl Bench for OnDisk {
    fn fresh(&mut self, ended_max: usize) -> Opened {
        self.options.ended_max = ended_max;
        self.folders.clear();
        self.open(TempDir::new().expect("a folder for the test"))
    }

    /// What a killed process leaves: what is in its files at one moment, with nothing flushed by a
    /// stop.
    fn crash(&mut self, before: Opened) -> Opened {
        let last = self.folders.last().expect("it was opened").path();
        let copy = TempDir::new().expect("a folder for the test");
        embedded::copy(last, copy.path(), &mut |_| ()).expect("a copy");
        drop(before);
        self.open(copy)
    }
}

#[test]
fn a_folder_is_used_by_one_process() {
    let folder = TempDir::new().expect("a folder for the test");
    let open = || {
        let (on_completion, _) = listener();
        Log::open(folder.path(), embedded::Options::default(), None, on_completion)
    };
    let (first, _) = open().expect("nobody uses it");
    let error = open().err().expect("somebody uses it");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    open().expect("nobody uses it any longer");
}

#[test]
fn a_folder_of_a_later_release_is_refused() {
    let folder = TempDir::new().expect("a folder for the test");
    fs::create_dir(folder.path().join("log")).expect("a folder");
    let mut header = b"wholly\n\0".to_vec();
    header.extend_from_slice(&(embedded::FORMAT_VERSION + 1).to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    header.extend_from_slice(b"and whatever else that release may put here");
    fs::write(folder.path().join("log/0000000001.log"), header).expect("a file");
    let (on_completion, _) = listener();
    let error = Log::open(folder.path(), embedded::Options::default(), None, on_completion).err();
    let error = error.expect("it is refused").to_string();
    assert!(error.contains("0000000001.log has format 3"), "{error}");
}

#[test]
fn a_stop_makes_durable_what_has_arrived() {
    let folder = TempDir::new().expect("a folder for the test");
    let mut writer = wholly_store::suite::drafts::Writer::new(1);
    let (on_completion, completions) = listener();
    let opened = Log::open(folder.path(), embedded::Options::default(), None, on_completion);
    let (log, _) = opened.expect("an empty folder");
    log.append(writer.begin());
    log.stop();
    let durable = completions.try_iter().last();
    assert!(matches!(durable, Some(Completion::Durable(position)) if position == writer.position));
    drop(log);
    let (on_completion, _) = listener();
    let opened = Log::open(folder.path(), embedded::Options::default(), None, on_completion);
    assert_eq!(opened.expect("a sound folder").1.position, writer.position);
}

#[test]
fn after_a_failed_operation_nothing_is_reported_durable() {
    let folder = TempDir::new().expect("a folder for the test");
    let options = embedded::Options { segment_bytes: 2_048, ..embedded::Options::default() };
    let (on_completion, completions) = listener();
    let (log, _) = Log::open(folder.path(), options, None, on_completion).expect("an empty folder");
    // The next segment cannot be created.
    fs::remove_dir_all(folder.path().join("log")).expect("it was there");
    let mut writer = wholly_store::suite::drafts::Writer::new(1);
    let failure = loop {
        log.append(writer.any());
        log.flush(writer.position);
        match completions.recv().expect("the log reports") {
            Completion::Durable(_) => {}
            Completion::Failed(failure) => break failure,
            other @ (Completion::Room(_) | Completion::Lost { .. }) => panic!("{other:?}"),
        }
    };
    assert_eq!(failure.operation, "create of 0000000002.log");
    log.append(writer.any());
    log.flush(writer.position);
    log.stop();
    assert!(completions.try_recv().is_err(), "nothing follows a failure");
}

#[test]
fn nobody_else_may_read_a_segment() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().expect("a folder for the test");
    let (on_completion, _) = listener();
    let opened = Log::open(folder.path(), embedded::Options::default(), None, on_completion);
    let _log = opened.expect("an empty folder");
    let segment = fs::metadata(folder.path().join("log/0000000001.log")).expect("a segment");
    assert_eq!(segment.permissions().mode() & 0o777, 0o600);
}

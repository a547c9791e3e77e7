//! The log of a test's process, at every level: looked at, and not kept.

use crate::{Canary, found};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines with a canary in them.
static SANG: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// How many lines there were.
static LINES: AtomicUsize = AtomicUsize::new(0);

/// Held by a test's world: from its making on all that the process logs is listened to, and when
/// it goes no canary may have sung.
#[derive(Debug)]
#[must_use]
pub struct Listener(());

impl Listener {
    /// Listens.
    ///
    /// # Panics
    /// If somebody else in this process does.
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Listener {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let lines = tracing_subscriber::fmt::layer().json().with_writer(|| Lines);
            tracing_subscriber::registry().with(lines).init();
        });
        Listener(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A test that has failed says why already.
        if !std::thread::panicking() {
            check_log();
        }
    }
}

/// Says that nothing of what was logged so far has a canary in it.
///
/// # Panics
/// If something has.
pub fn check_log() {
    // Let go of before anything panics: whoever logs meanwhile goes on.
    let sang = SANG.lock().unwrap().clone();
    assert!(sang.is_empty(), "the log says {sang:#?}");
}

/// How many lines were logged since somebody listens.
pub fn heard() -> usize {
    LINES.load(Ordering::Relaxed)
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.fetch_add(1, Ordering::Relaxed);
        let line = String::from_utf8_lossy(bytes);
        if let Some(canary) = found(&line, &Canary::ALL) {
            SANG.lock().unwrap().push(format!("{canary:?} in {line}"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

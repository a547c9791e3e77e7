//! The disk: how much room it has, so that new work is refused before a write of the log fails.

use crate::shell::{Mailbox, Shell};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use wholly_core::input::Room;

/// How often it is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Room is free again with so much more than the least: one part of it in so many.
const MORE_PART: u64 = 4;

/// Bytes that are free on the file system of a folder, for this process.
pub(crate) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Tells the shell whenever room becomes scarce, and whenever it is free again; for as long as
/// there is a shell to be told.
pub(crate) async fn watch(
    (folder, free_bytes_min): (PathBuf, u64),
    mailbox: Arc<Mailbox>,
    shell: Weak<Shell>,
) {
    let mut room = Room::Free;
    let mut seen = Seen::Yes;
    // Counted only, never held: whoever stops the shell counts on its folder being free then.
    while shell.strong_count() > 0 {
        let place = folder.clone();
        let found = tokio::task::spawn_blocking(move || free_bytes(&place)).await;
        match found.unwrap_or_else(|broken| Err(io::Error::other(broken))) {
            Ok(free) => {
                seen = Seen::Yes;
                room = told(&mailbox, room, (free, free_bytes_min));
            }
            Err(error) => {
                if seen == Seen::Yes {
                    tracing::warn!(%error, "how much room the disk has cannot be seen");
                }
                seen = Seen::No;
            }
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Whether the disk could be looked at the last time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Yes,
    No,
}

/// Tells of a change, and gives how it stands.
fn told(mailbox: &Arc<Mailbox>, before: Room, (free, free_bytes_min): (u64, u64)) -> Room {
    let after = room(before, free, free_bytes_min);
    match (before, after) {
        (Room::Free, Room::Full) => tracing::error!(
            free,
            free_bytes_min,
            "the disk has less room than log.disk_free_bytes_min; no new transactions are taken, \
             what is open goes on: make room"
        ),
        (Room::Full, Room::Free) => {
            tracing::warn!(free, "the disk has room again; new transactions are taken");
        }
        (Room::Free, Room::Free) | (Room::Full, Room::Full) => return after,
    }
    mailbox.disk(after);
    after
}

fn room(before: Room, free: u64, free_bytes_min: u64) -> Room {
    let enough = match before {
        Room::Free => free_bytes_min,
        Room::Full => free_bytes_min.saturating_add(free_bytes_min / MORE_PART),
    };
    match free >= enough {
        true => Room::Free,
        false => Room::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_scarce_below_the_least_and_free_again_with_more() {
        use Room::{Free, Full};
        for (before, free, after) in [
            (Free, 1_000, Free),
            (Free, 999, Full),
            (Full, 1_000, Full),
            (Full, 1_249, Full),
            (Full, 1_250, Free),
        ] {
            assert_eq!(room(before, free, 1_000), after, "{before:?} {free}");
        }
        assert_eq!(room(Free, 0, 0), Free, "nought is never scarce");
    }

    #[test]
    fn a_folder_has_some_room() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(folder.path()).unwrap() > 0);
        assert!(free_bytes(&folder.path().join("nobody")).is_err());
    }
}

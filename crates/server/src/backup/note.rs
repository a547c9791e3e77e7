//! The note of backups: a small file in the data folder that says when one was made last, for
//! whoever runs the coordinator, which is itself not asked.

use crate::folder::{FolderError, write_durably};
use serde::{Deserialize, Serialize};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use wholly_wire::v1::time::Time;

/// The file of the note.
pub const NOTE_FILE: &str = "backups.json";
/// The form that this release writes.
const FORM: u32 = 1;
/// The folder keeps strangers out; a backup by another user must not keep the coordinator out.
const MODE: u32 = 0o644;

/// What is known of the backups of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    form: u32,
    /// When the last one was asked for, whatever came of it.
    pub tried: Time,
    /// The last that is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Whole>,
}

/// A backup that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// When it was asked for; everything acknowledged before is in it.
    pub asked: Time,
    /// Its size.
    pub bytes: u64,
    /// The folder that it was made in.
    pub to: PathBuf,
}

/// What is noted in a data folder; nothing where no backup was made of it, or none by a release
/// that notes them. A note that cannot be read is none, and the next backup writes another.
pub fn noted(data: &Path) -> Option<Note> {
    let path = data.join(NOTE_FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::debug!(%error, path = %path.display(), "the note of backups cannot be read");
            return None;
        }
    };
    let read = serde_json::from_slice(&text);
    read.inspect_err(|error| {
        tracing::debug!(%error, path = %path.display(), "the note of backups cannot be read");
    })
    .ok()
}

/// Notes that one is asked for.
pub(crate) fn note_tried(data: &Path, tried: Time) -> Result<(), FolderError> {
    let whole = noted(data).and_then(|note| note.whole);
    write(data, &Note { form: FORM, tried, whole })
}

/// Notes that one is whole. What was asked for later, and was faster, stays noted.
pub(crate) fn note_whole(data: &Path, whole: Whole) -> Result<(), FolderError> {
    let before = noted(data);
    let tried = before.as_ref().map_or(whole.asked, |note| note.tried.max(whole.asked));
    let later = before.and_then(|note| note.whole).filter(|other| other.asked > whole.asked);
    write(data, &Note { form: FORM, tried, whole: Some(later.unwrap_or(whole)) })
}

fn write(data: &Path, note: &Note) -> Result<(), FolderError> {
    let path = data.join(NOTE_FILE);
    let text = serde_json::to_vec(note).expect("texts and numbers are JSON");
    let written = write_durably(&path, &text)
        .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(MODE)));
    written.map_err(|source| FolderError::Disk { act: "write", path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wholly_core::time::Timestamp;

    fn whole(asked: u64) -> Whole {
        Whole { asked: Time(Timestamp(asked)), bytes: asked * 10, to: "/backup/a".into() }
    }

    /// Backups as (when asked, whether this is its begin or its end), then what is noted: when the
    /// last was asked for, and the last whole one.
    fn check(backups: &[(u64, &str)], tried: u64, whole_asked: Option<u64>) {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(noted(data.path()), None);
        for (asked, what) in backups {
            match *what {
                "begins" => note_tried(data.path(), Time(Timestamp(*asked))).unwrap(),
                "ends" => note_whole(data.path(), whole(*asked)).unwrap(),
                other => panic!("{other}"),
            }
        }
        let note = noted(data.path()).unwrap();
        assert_eq!(note.tried, Time(Timestamp(tried)), "{backups:?}");
        assert_eq!(note.whole, whole_asked.map(whole), "{backups:?}");
    }

    #[test]
    fn the_last_that_is_whole_is_noted_and_that_a_later_one_is_not() {
        check(&[(1, "begins")], 1, None);
        check(&[(1, "begins"), (1, "ends")], 1, Some(1));
        check(&[(1, "begins"), (1, "ends"), (5, "begins")], 5, Some(1));
        check(&[(1, "begins"), (5, "begins"), (5, "ends"), (1, "ends")], 5, Some(5));
        // A folder that was put back is what its backup was.
        check(&[(7, "ends")], 7, Some(7));
    }

    #[test]
    fn a_note_that_cannot_be_read_is_none_and_is_written_anew() {
        let data = tempfile::tempdir().unwrap();
        for text in ["", "{", "{\"form\":1}", "{\"form\":1,\"tried\":\"then\"}"] {
            fs::write(data.path().join(NOTE_FILE), text).unwrap();
            assert_eq!(noted(data.path()), None, "{text}");
        }
        note_whole(data.path(), whole(3)).unwrap();
        assert_eq!(noted(data.path()).unwrap().whole, Some(whole(3)));
        let mode = fs::metadata(data.path().join(NOTE_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }
}

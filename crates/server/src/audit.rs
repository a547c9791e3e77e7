//! The audit: what operators asked for, a line each, durable before it is done, each chained to the
//! one before by its hash.

use crate::folder::FolderError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use wholly_core::ids::{Destination, Gid, Principal, Text};
use wholly_core::input::Action;
use wholly_core::time::Timestamp;
use wholly_wire::v1::time::Time;
use wholly_wire::words::Spelled;

/// The file, in the data folder. Only its owner may read it.
pub const FILE: &str = "audit.log";
/// What the first line says of the one before.
pub const NONE_BEFORE: &str = "none";
/// More than any line has: names, a gid, and a reason whose every byte may be escaped.
const LINE_BYTES_MAX: u64 = 16 * 1_024;
/// What stands between the part of a line that is hashed and its hash.
const HASH: &str = ",\"hash\":\"";

/// What an operator asks for, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// What.
    pub deed: Deed,
    /// Who.
    pub by: Principal,
    /// Why.
    pub reason: Text,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Something with a transaction.
    Operate {
        /// Which transaction.
        gid: Gid,
        /// What.
        action: Action,
    },
    /// A look at the payloads of a transaction.
    Payloads {
        /// Which transaction.
        gid: Gid,
    },
    /// A destination shall rest.
    Pause {
        /// Which.
        destination: Destination,
    },
    /// A destination shall be called again.
    Resume {
        /// Which.
        destination: Destination,
    },
    /// Nothing more shall begin.
    Drain,
    /// Transactions may begin again.
    Admit,
}

/// What may stand as the act of a line.
pub const ACTS: [&str; 10] = [
    "retry", "park", "resolve", "commit", "abort", "payloads", "pause", "resume", "drain", "admit",
];

/// One act of an operator. The hash covers the text of the line before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line<'a> {
    /// Which line this is, from one.
    pub n: u64,
    /// When it was asked for.
    pub at: Cow<'a, str>,
    /// Who asked.
    pub who: Cow<'a, str>,
    /// What, one of [`ACTS`].
    pub what: Cow<'a, str>,
    /// Of which transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<Cow<'a, str>>,
    /// Of which destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Cow<'a, str>>,
    /// Of which branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Cow<'a, str>>,
    /// How it was said to stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Cow<'a, str>>,
    /// Why.
    pub reason: Cow<'a, str>,
    /// The hash of the line before.
    pub before: Cow<'a, str>,
}

/// How far a chain goes. Kept elsewhere, it shows whether lines were cut off the end later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// How many lines.
    pub lines: u64,
    /// The hash of the last one.
    pub last: String,
}

impl Default for Chain {
    fn default() -> Self {
        Chain { lines: 0, last: NONE_BEFORE.to_owned() }
    }
}

/// A line that is not as it was written, or not where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {why}")]
pub struct Tampered {
    /// Which.
    pub line: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Why an audit cannot be looked through.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file cannot be read.
    #[error("read {} failed", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was changed.
    #[error("{} was changed", path.display())]
    Tampered {
        /// Which.
        path: PathBuf,
        /// Where.
        #[source]
        source: Tampered,
    },
}

/// Looks through the audit of a data folder, and hands on each line that stands as it was written;
/// no file is an empty one. A line that is being written meanwhile counts as one that was changed.
pub fn look(folder: &Path, each: impl FnMut(Line<'static>)) -> Result<Chain, VerifyError> {
    let path = folder.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => look_at(&bytes, each).map_err(|source| VerifyError::Tampered { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Chain::default()),
        Err(source) => Err(VerifyError::Read { path, source }),
    }
}

fn look_at(bytes: &[u8], mut each: impl FnMut(Line<'static>)) -> Result<Chain, Tampered> {
    let mut chain = Chain::default();
    for line in BufReader::new(bytes).split(b'\n') {
        let line = line.expect("reading memory does not fail");
        let wrong = |why| Tampered { line: chain.lines + 1, why };
        let text = std::str::from_utf8(&line).map_err(|_| wrong("is no text"))?;
        let (read, hash) = read(text).ok_or(wrong("is not as it was written"))?;
        if read.before != chain.last {
            return Err(wrong("does not follow the one before"));
        }
        if read.n != chain.lines + 1 {
            return Err(wrong("has another number"));
        }
        chain = Chain { lines: read.n, last: hash };
        each(read);
    }
    match bytes.is_empty() || bytes.ends_with(b"\n") {
        true => Ok(chain),
        false => Err(Tampered { line: chain.lines, why: "does not end" }),
    }
}

/// The line and its hash, if that is right.
fn read(text: &str) -> Option<(Line<'static>, String)> {
    let (hashed, rest) = text.rsplit_once(HASH)?;
    let hash = hash(hashed);
    let is_right = rest.strip_suffix("\"}").is_some_and(|written| written == hash);
    let line: Line<'static> = serde_json::from_str(&format!("{hashed}}}")).ok()?;
    is_right.then_some((line, hash))
}

fn hash(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        write!(hex, "{byte:02x}").expect("a string takes all");
    }
    hex
}

/// The audit of a coordinator that runs.
pub struct Audit {
    path: PathBuf,
    open: Mutex<Open>,
}

struct Open {
    /// Made by the first act.
    file: Option<File>,
    chain: Chain,
    /// After a failed write or sync nobody knows what is on the disk: nothing more is promised.
    broken: bool,
}

impl Audit {
    /// Goes on where the file of this folder ends. A line that a crash cut short belongs to an act
    /// that was not begun: it is cut off.
    pub fn open(folder: &Path) -> Result<Audit, FolderError> {
        let path = folder.join(FILE);
        let failed = |act| {
            let path = path.clone();
            move |source| FolderError::Disk { act, path, source }
        };
        let mut options = OpenOptions::new();
        let mut file = match options.read(true).append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let open = Open { file: None, chain: Chain::default(), broken: false };
                return Ok(Audit { path, open: Mutex::new(open) });
            }
            Err(error) => return Err(failed("open")(error)),
        };
        let (end, tail) = tail(&mut file).map_err(failed("read"))?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = (tail.len() - whole) as u64;
        let damaged = || FolderError::Damaged {
            path: path.clone(),
            why: "its last line is not as it was written; `wholly audit` says where".to_owned(),
        };
        if torn > LINE_BYTES_MAX {
            return Err(damaged());
        }
        if torn > 0 {
            tracing::warn!(bytes = torn, "the last line of the audit was cut short by a crash");
            file.set_len(end - torn).and_then(|()| file.sync_all()).map_err(failed("cut"))?;
        }
        let last = tail[..whole].strip_suffix(b"\n").map(|lines| {
            let start = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            std::str::from_utf8(&lines[start..]).ok().and_then(read)
        });
        let chain = match last {
            None => Chain::default(),
            Some(Some((line, last))) => Chain { lines: line.n, last },
            Some(None) => return Err(damaged()),
        };
        let open = Open { file: Some(file), chain, broken: false };
        Ok(Audit { path, open: Mutex::new(open) })
    }

    /// Writes down what an operator asks for. When this returns, it is durable.
    pub fn record(&self, at: Timestamp, act: &Act) -> io::Result<Chain> {
        let mut open = self.open.lock().expect("nothing panics under this lock");
        if open.broken {
            return Err(io::Error::other("an earlier line could not be written; see to the disk"));
        }
        let before = open.chain.last.clone();
        let line = spell(at, act, open.chain.lines + 1, &before);
        let text = serde_json::to_string(&line).expect("texts and a number are JSON");
        let hashed = text.strip_suffix('}').expect("an object ends with a brace");
        let chain = Chain { lines: line.n, last: hash(hashed) };
        let written = format!("{hashed}{HASH}{}\"}}\n", chain.last);
        // Whatever fails from here on may have left anything on the disk.
        open.broken = true;
        if open.file.is_none() {
            open.file = Some(create(&self.path)?);
        }
        let file = open.file.as_mut().expect("it was made before");
        file.write_all(written.as_bytes())?;
        file.sync_data()?;
        open.broken = false;
        open.chain = chain.clone();
        Ok(chain)
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(path)?;
    let folder = path.parent().expect("the file lies in a folder");
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// The end of the file, enough of it to hold two lines, and where it is.
fn tail(file: &mut File) -> io::Result<(u64, Vec<u8>)> {
    let end = file.seek(SeekFrom::End(0))?;
    let length = end.min(2 * LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(end - length))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok((end, tail))
}

fn spell<'a>(at: Timestamp, act: &'a Act, n: u64, before: &'a str) -> Line<'a> {
    let line = Line {
        n,
        at: Time(at).to_string().into(),
        who: act.by.as_str().into(),
        what: "".into(),
        gid: None,
        destination: None,
        branch: None,
        resolution: None,
        reason: act.reason.as_str().into(),
        before: before.into(),
    };
    match &act.deed {
        Deed::Operate { gid, action } => spell_action(line, gid, action),
        Deed::Payloads { gid } => {
            Line { what: "payloads".into(), gid: Some(gid.as_str().into()), ..line }
        }
        Deed::Pause { destination } => {
            Line { what: "pause".into(), destination: Some(destination.as_str().into()), ..line }
        }
        Deed::Resume { destination } => {
            Line { what: "resume".into(), destination: Some(destination.as_str().into()), ..line }
        }
        Deed::Drain => Line { what: "drain".into(), ..line },
        Deed::Admit => Line { what: "admit".into(), ..line },
    }
}

fn spell_action<'a>(line: Line<'a>, gid: &'a Gid, action: &'a Action) -> Line<'a> {
    let (what, branch, resolution) = match action {
        Action::Retry { branch } => ("retry", branch.as_ref(), None),
        Action::Park => ("park", None, None),
        Action::Resolve { branch, resolution } => ("resolve", Some(branch), Some(*resolution)),
        Action::Commit => ("commit", None, None),
        Action::Abort => ("abort", None, None),
    };
    Line {
        what: what.into(),
        gid: Some(gid.as_str().into()),
        branch: branch.map(|branch| branch.as_str().into()),
        resolution: resolution.map(|resolution| resolution.spell().into()),
        ..line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use wholly_core::branch::Resolution;

    fn act(n: usize) -> Act {
        let branch = "stock".parse().unwrap();
        let gid = "o-1".parse().unwrap();
        let deed = match n % 8 {
            0 => Deed::Operate { gid, action: Action::Park },
            1 => Deed::Operate { gid, action: Action::Retry { branch: Some(branch) } },
            2 => Deed::Operate { gid, action: Action::Abort },
            3 => {
                let resolution = Resolution::NotApplied;
                Deed::Operate { gid, action: Action::Resolve { branch, resolution } }
            }
            4 => Deed::Payloads { gid },
            5 => Deed::Pause { destination: "stock".parse().unwrap() },
            6 => Deed::Resume { destination: "stock".parse().unwrap() },
            _ => Deed::Drain,
        };
        let reason = Text::new(&format!("because \"{n}\"\n,\"hash\":\"")).unwrap();
        Act { deed, reason, by: "anna".parse().unwrap() }
    }

    fn write(folder: &Path, acts: std::ops::Range<usize>) -> Chain {
        let audit = Audit::open(folder).unwrap();
        let chains = acts.map(|n| audit.record(Timestamp(n as u64), &act(n)).unwrap());
        chains.last().unwrap()
    }

    #[test]
    fn acts_are_kept_in_a_chain_across_starts() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(look(folder.path(), drop).unwrap(), Chain::default());
        write(folder.path(), 0..3);
        let chain = write(folder.path(), 3..5);
        assert_eq!(look(folder.path(), drop).unwrap(), chain);
        assert_eq!(chain.lines, 5);
        let mut seen = Vec::new();
        look(folder.path(), |line| seen.push((line.n, line.what.into_owned()))).unwrap();
        let expected = ["park", "retry", "abort", "resolve", "payloads"];
        assert_eq!(seen, (1..).zip(expected.map(str::to_owned)).collect::<Vec<_>>());
        for n in 0..8 {
            let act = act(n);
            let line = spell(Timestamp(0), &act, 1, NONE_BEFORE);
            assert!(ACTS.contains(&&*line.what), "{}", line.what);
        }
        let path = folder.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.lines().nth(3).unwrap();
        assert!(line.starts_with(
            "{\"n\":4,\"at\":\"1970-01-01T00:00:00.003Z\",\"who\":\"anna\",\"what\":\"resolve\",\
             \"gid\":\"o-1\",\"branch\":\"stock\",\"resolution\":\"not_applied\",\"reason\":\
             \"because \\\"3\\\"\\n,\\\"hash\\\":\\\"\",\"before\":\""
        ));
    }

    #[test]
    fn a_line_cut_short_by_a_crash_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0..2);
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        write(folder.path(), 2..3);
        let longer = std::fs::read(&path).unwrap();
        for end in whole.len()..longer.len() {
            std::fs::write(&path, &longer[..end]).unwrap();
            Audit::open(folder.path()).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{end}");
        }
        std::fs::write(&path, &longer[..20]).unwrap();
        Audit::open(folder.path()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        write(folder.path(), 0..1);
        assert_eq!(look(folder.path(), drop).unwrap().lines, 1);
    }

    /// Every byte changed in turn, every line left out, doubled, or exchanged with the next.
    #[test]
    fn whatever_is_changed_is_found() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0..8);
        let bytes = std::fs::read(folder.path().join(FILE)).unwrap();
        let mut tried = 0;
        let mut is_found = |changed: &[u8]| {
            assert!(look_at(changed, drop).is_err(), "{}", String::from_utf8_lossy(changed));
            tried += 1;
        };
        for place in 0..bytes.len() {
            for bit in [1, 32] {
                let mut changed = bytes.clone();
                changed[place] ^= bit;
                is_found(&changed);
            }
        }
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        for at in 0..lines.len() - 1 {
            let mut without = lines.clone();
            without.remove(at);
            is_found(&without.concat());
            let mut exchanged = lines.clone();
            exchanged.swap(at, at + 1);
            is_found(&exchanged.concat());
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at]);
            is_found(&doubled.concat());
        }
        is_found(&bytes[..bytes.len() - 1]);
        assert!(tried > 1_000, "{tried}");
        assert_eq!(look_at(&bytes, drop).unwrap().lines, 8);
        // What is cut off at a line's end leaves a shorter chain: only the last hash tells.
        let shorter = look_at(&lines[..7].concat(), drop).unwrap();
        assert_ne!(shorter, look_at(&bytes, drop).unwrap());
    }

    #[test]
    fn a_file_whose_end_was_changed_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0..2);
        let path = folder.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap().replace("anna", "otto");
        std::fs::write(&path, text).unwrap();
        let refused = Audit::open(folder.path()).err().unwrap().to_string();
        assert!(refused.contains(FILE) && refused.contains("wholly audit"), "{refused}");
    }
}

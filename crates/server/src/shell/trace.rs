//! The shell's own trace: each effect as it leaves, a line of JSON each, for checkers.

use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use wholly_core::document::Response;
use wholly_core::effect::{Call, Proof};
use wholly_core::ids::{Gid, Position};
use wholly_core::rejection::Rejection;
use wholly_wire::words::Spelled;

/// A file that every call and every answer is written to before it leaves. A line that cannot be
/// written stops the process: a trace with holes proves nothing.
pub(crate) struct EffectTrace {
    file: Mutex<File>,
}

/// What an effect needed and what was durable: by the driver's proof, and by the log's own
/// reports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) proof: Proof,
    pub(super) synced: Position,
}

#[derive(Serialize)]
struct Shown<'a> {
    kind: &'static str,
    gid: Option<&'a str>,
    branch: Option<&'a str>,
    op: Option<&'static str>,
    needed: u64,
    durable: u64,
    synced: u64,
}

impl EffectTrace {
    /// Begins a trace in a fresh file.
    pub(crate) fn create(path: &Path) -> std::io::Result<Self> {
        Ok(EffectTrace { file: Mutex::new(File::create(path)?) })
    }

    pub(super) fn call(&self, call: &Call, line: Line) {
        self.write(&Shown {
            kind: "call",
            gid: Some(call.gid.as_str()),
            branch: Some(call.branch.as_str()),
            op: Some(call.op.spell()),
            ..Shown::from(line)
        });
    }

    pub(super) fn reply(&self, reply: &Result<Response, Rejection>, line: Line) {
        let gid = match reply {
            Ok(response) => subject(response),
            Err(rejection) => rejection.gid(),
        };
        let kind = match reply {
            Ok(_) => "reply",
            Err(_) => "rejection",
        };
        self.write(&Shown { kind, gid: gid.map(Gid::as_str), ..Shown::from(line) });
    }

    fn write(&self, shown: &Shown<'_>) {
        let mut text = serde_json::to_vec(shown).expect("texts and numbers have a JSON form");
        text.push(b'\n');
        let mut file = self.file.lock().expect("nothing panics under this lock");
        file.write_all(&text).expect("the trace of effects takes every line");
    }
}

impl From<Line> for Shown<'_> {
    fn from(line: Line) -> Self {
        Shown {
            kind: "",
            gid: None,
            branch: None,
            op: None,
            needed: line.proof.needed.0,
            durable: line.proof.durable.0,
            synced: line.synced.0,
        }
    }
}

fn subject(response: &Response) -> Option<&Gid> {
    match response {
        Response::Begun { gid, .. } => Some(gid),
        Response::Submitted { document, .. } | Response::Transaction { document, .. } => {
            Some(&document.gid)
        }
        Response::Registered { .. } | Response::Calls(_) => None,
    }
}

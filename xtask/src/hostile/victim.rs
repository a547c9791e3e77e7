//! The coordinator under attack: started with small limits, so that their sum says something, and
//! looked at from outside.

use super::participants::Participants;
use crate::{Failure, process};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;

/// The limits that it is started with.
pub(super) struct Limits {
    connections: u64,
    peer_connections: u64,
    calls: u64,
    destination_calls: u64,
    pub(super) open: u64,
    pub(super) header_bytes: u64,
    pub(super) body_bytes: u64,
    bodies_bytes: u64,
    reply_bytes: u64,
}

pub(super) const LIMITS: Limits = Limits {
    connections: 256,
    peer_connections: 192,
    calls: 128,
    destination_calls: 32,
    open: 100,
    header_bytes: 16 << 10,
    body_bytes: 1 << 20,
    bodies_bytes: 32 << 20,
    reply_bytes: 64 << 10,
};

/// What a head over its limit may take until it is refused in words.
const HEAD_ROOM_BYTES: u64 = 64 << 10;
/// What each body has beside the bytes that are counted in sum.
const BODY_ROOM_BYTES: u64 = 16 << 10;
/// What TLS holds of a connection: the largest message of a handshake (65,535 bytes), a record of
/// what comes, and as much of what is to leave as rustls takes at a time (64 KiB).
const TLS_BYTES: u64 = (64 + 18 + 64) << 10;

/// Connections that wait for room or are told that there is none, and those of one address too
/// many: `PORCH_MAX` and `TURNED_AWAY_MAX`.
const TURNED_AWAY: u64 = 64 + 32;

impl Limits {
    /// Each connection with its largest head and the body that is its own, each that is turned away
    /// with its largest head, all larger bodies, each
    /// call with its largest head and reply, each open transaction with the largest body that it
    /// can come in.
    pub(super) fn sum(&self) -> u64 {
        self.connections * (self.header_bytes + HEAD_ROOM_BYTES + BODY_ROOM_BYTES)
            + TURNED_AWAY * (self.header_bytes + HEAD_ROOM_BYTES)
            + self.bodies_bytes
            + self.calls * (self.header_bytes + self.reply_bytes)
            + self.open * self.body_bytes
    }

    /// The same where each connection is one of TLS, in its handshake or past it.
    pub(super) fn sum_within_tls(&self) -> u64 {
        self.sum() + self.connections * TLS_BYTES
    }
}

pub(super) struct Victim {
    child: Child,
    pub(super) address: SocketAddr,
    folder: PathBuf,
}

impl Victim {
    /// With more settings, each as `KEY=VALUE`.
    pub(super) fn start(
        program: &Path,
        participants: &Participants,
        more: &[String],
    ) -> Result<Victim, Failure> {
        let tried =
            |e: std::io::Error| Failure::new(format!("starting the coordinator failed: {e}"));
        let folder = std::env::temp_dir().join(format!("wholly-hostile-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(tried)?;
        let mut command = process::mortal("KILL");
        command.arg("--").arg(program).args(["serve", "--until-stdin-ends"]);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.join("data"));
        for (name, url) in &participants.urls {
            command.arg("--destination").arg(format!("{name}={url}"));
        }
        let Limits { connections, peer_connections, calls, destination_calls, open, .. } = LIMITS;
        for (key, value) in [
            ("requests.connections_max", connections),
            ("requests.peer_connections_max", peer_connections),
            ("requests.bodies_bytes_max", LIMITS.bodies_bytes),
            ("requests.header_bytes_max", LIMITS.header_bytes),
            ("requests.body_bytes_max", LIMITS.body_bytes),
            ("transactions.reply_bytes_max", LIMITS.reply_bytes),
            ("transactions.open_max", open),
            ("calls.calls_max", calls),
            ("calls.destination_calls_max", destination_calls),
            ("calls.timeout_ms", 2_000),
            ("calls.backoff_ms_max", 1_000),
        ] {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        for setting in more {
            command.arg("--set").arg(setting);
        }
        let log = File::create(folder.join("log")).map_err(tried)?;
        let (child, ready) = process::serve(command.stderr(log)).map_err(tried)?;
        let kept = folder.display();
        let address =
            ready.ok_or_else(|| Failure::new(format!("it does not serve; {kept}/log says why")))?;
        Ok(Victim { child, address, folder })
    }

    /// A figure of its memory in bytes, as the system gives it.
    pub(super) fn memory(&self, name: &str) -> Result<u64, Failure> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| Failure::new(format!("{path} has no {name}")))
    }

    /// Lets the peak count from here on.
    pub(super) fn forget_peak(&self) -> Result<(), Failure> {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(&path, "5").map_err(|e| Failure::new(format!("writing {path} failed: {e}")))
    }

    /// Connections of clients that it has not closed yet.
    pub(super) fn clients(&self) -> Result<usize, Failure> {
        const TABLE: &str = "/proc/net/tcp";
        let text = fs::read_to_string(TABLE)
            .map_err(|e| Failure::new(format!("reading {TABLE} failed: {e}")))?;
        let own = format!("0100007F:{:04X}", self.address.port());
        // Established, and closed by the client alone.
        let is_open = |row: &&str| {
            let mut words = row.split_whitespace().skip(1);
            words.next() == Some(&own) && matches!(words.nth(1), Some("01" | "08"))
        };
        Ok(text.lines().filter(is_open).count())
    }

    fn log(&self) -> Result<String, Failure> {
        fs::read_to_string(self.folder.join("log"))
            .map_err(|e| Failure::new(format!("reading the log failed: {e}")))
    }

    pub(super) fn log_lines(&self) -> Result<usize, Failure> {
        Ok(self.log()?.lines().count())
    }

    pub(super) fn longest_line(&self) -> Result<usize, Failure> {
        Ok(self.log()?.lines().map(str::len).max().unwrap_or(0))
    }

    /// Stops it in good order; nothing in its folder needs looking at.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        let ended = self.child.wait().map_err(|e| Failure::new(format!("waiting failed: {e}")))?;
        match ended.success() {
            true => {
                fs::remove_dir_all(&self.folder).ok();
                Ok(())
            }
            false => Err(Failure::new(format!("the coordinator ended with {ended}"))),
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

//! How the coordinator stands, for operators: `GET /v1/status`, and what their verbs answer.

use crate::v1::time::Time;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use wholly_core::document::{
    self, AgeBand, BreakerStanding, DestinationStanding, IntakeStanding, Standing,
};

/// To `GET /v1/status`, pause, resume, drain and admit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status<'a> {
    /// The coordinator's release.
    pub version: Cow<'a, str>,
    /// `open`, `drained` or `stopping`.
    pub intake: Cow<'a, str>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Time>,
    /// How late the alarm that wakes it rang the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_ms: Option<u64>,
    /// How late it rang at most since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_ms_max: Option<u64>,
    /// How full the disk is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// What the data folder knows of its backups; absent where it knows of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// When certificates cease to hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate<'a>>,
    /// Since when an operator lets nothing begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_since: Option<Time>,
    /// Who does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_by: Option<Cow<'a, str>>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_reason: Option<Cow<'a, str>>,
    /// Transactions that have not ended.
    pub remaining: u64,
    /// The same by how they stand.
    pub counts: Counts,
    /// The same by age.
    pub backlog: Vec<Band>,
    /// Stuck branches by why.
    pub stuck: Vec<StuckCount<'a>>,
    /// Destinations that open transactions name, or that rest.
    pub destinations: Vec<Destination<'a>>,
}

/// How full the disk is, and what of it is ours.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Disk {
    /// What is left for this process where the data folder is; absent in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// How large that disk is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// What the log takes.
    pub log_bytes: u64,
    /// What it may take before nothing more may begin.
    pub log_bytes_max: u64,
    /// What the archive takes.
    pub archive_bytes: u64,
    /// What it may take before it forgets early.
    pub archive_bytes_max: u64,
    /// Ended transactions that are remembered.
    pub ended: u64,
    /// Those of them that are not archived yet.
    pub unarchived: u64,
}

/// What is known of backups.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// When one was asked for last. Later than `asked`, it has not come to its end: it is being
    /// made, it failed, or it was cut short.
    pub tried: Time,
    /// When the last that is whole was asked for; absent where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Time>,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The folder it was made in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A certificate, or authorities by which others are known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificate<'a> {
    /// `listener`: what clients are shown; `clients`, `destinations`: by which they are known.
    pub of: Cow<'a, str>,
    /// When it ceases to hold.
    pub expires: Time,
}

/// Transactions that have not ended, by how they stand.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// The initiator will decide.
    pub open: Tally,
    /// The steps will decide.
    pub forward: Tally,
    /// Every branch is being told.
    pub finishing: Tally,
    /// Of all these, those with a branch that waits for an operator.
    pub stuck: Tally,
}

/// How many, and how old the oldest is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// How long ago the oldest began, a second too little at most; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<u64>,
}

/// Transactions of an age.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Band {
    /// Not older than this; absent for the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms_max: Option<u64>,
    /// The initiator will decide.
    pub open: u64,
    /// The steps will decide.
    pub forward: u64,
    /// Every branch is being told.
    pub finishing: u64,
}

/// Stuck branches of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StuckCount<'a> {
    /// The code of the refusal, `parked` or `restored`.
    pub why: Cow<'a, str>,
    /// How many.
    pub count: u64,
}

/// How a destination stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Destination<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Branches of open transactions that name it.
    pub branches: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// Calls that wait for a slot.
    pub queued: u64,
    /// Calls that wait to be sent again.
    pub waiting: u64,
    /// Calls that may be in flight at once.
    pub slots: u64,
    /// Since when nothing comes back, so that it is called by probes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<Time>,
    /// Probes that came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<u64>,
    /// Until the next probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<u64>,
    /// Since when an operator lets it rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Time>,
    /// Who does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_by: Option<Cow<'a, str>>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_reason: Option<Cow<'a, str>>,
}

/// The document of a standing.
pub fn status<'a>(version: &'static str, standing: &'a Standing) -> Status<'a> {
    let count = |band: &AgeBand| (band.open + band.forward + band.finishing) as u64;
    Status {
        version: version.into(),
        intake: match standing.intake {
            IntakeStanding::Open => "open",
            IntakeStanding::Drained => "drained",
            IntakeStanding::Stopping => "stopping",
        }
        .into(),
        started: None,
        late_ms: None,
        late_ms_max: None,
        disk: None,
        backup: None,
        certificates: Vec::new(),
        drained_since: None,
        drained_by: None,
        drained_reason: None,
        remaining: standing.backlog.iter().map(count).sum(),
        counts: counts(&standing.counts),
        backlog: standing.backlog.iter().map(band).collect(),
        stuck: standing
            .stuck
            .iter()
            .map(|(why, count)| StuckCount { why: why.as_str().into(), count: *count as u64 })
            .collect(),
        destinations: standing.destinations.iter().map(destination).collect(),
    }
}

fn counts(counts: &document::Counts) -> Counts {
    let tally =
        |tally: document::Tally| Tally { count: tally.count as u64, oldest_ms: tally.oldest_ms };
    let document::Counts { open, forward, finishing, stuck } = *counts;
    Counts {
        open: tally(open),
        forward: tally(forward),
        finishing: tally(finishing),
        stuck: tally(stuck),
    }
}

fn band(band: &AgeBand) -> Band {
    Band {
        age_ms_max: band.age_ms_max,
        open: band.open as u64,
        forward: band.forward as u64,
        finishing: band.finishing as u64,
    }
}

fn destination(row: &DestinationStanding) -> Destination<'_> {
    let (silent_since, probes, next_ms) = match row.breaker {
        BreakerStanding::Closed => (None, None, None),
        BreakerStanding::Open { since, probes, next_ms } => {
            (Some(Time(since)), Some(u64::from(probes)), next_ms)
        }
    };
    let pause = row.pause.as_ref();
    Destination {
        name: row.destination.as_str().into(),
        branches: row.branches as u64,
        in_flight: row.in_flight as u64,
        queued: row.queued as u64,
        waiting: row.waiting as u64,
        slots: row.slots as u64,
        silent_since,
        probes,
        next_ms,
        paused_since: pause.map(|pause| Time(pause.since)),
        paused_by: pause.map(|pause| pause.by.as_str().into()),
        paused_reason: pause.map(|pause| pause.reason.as_str().into()),
    }
}

//! The endpoints of v1 as functions: each is safe to repeat, and is repeated while no answer comes.

use super::Wholly;
use super::connection::{Ask, Cause, Heard, Lost, Sent};
use crate::misfit::Misfit;
use crate::outcome::Error;
use crate::trace::{self, Place};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::Instant;
use wholly_core::ids::{BranchId, Gid};
use wholly_core::limits::Limits;
use wholly_core::record::Decision;
use wholly_core::retry::backoff_ms;
use wholly_wire::headers;
use wholly_wire::problem::{Problem, Retry, row};
use wholly_wire::v1::answer::{Begun, Registered, Transaction};
use wholly_wire::v1::path::{self, Part};
use wholly_wire::v1::request;

/// Longest an answer may take beyond what the coordinator was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest the coordinator is asked to wait at once; a longer wait is asked for again.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(20);
const GID_UNKNOWN: &str = "gid_unknown";
/// Codes that are final although what was decided of the transaction cannot be said.
const OUT_OF_SIGHT: [&str; 2] = ["unknown", "unreadable"];
/// Codes of a coordinator that took the request and broke off.
const BROKEN_OFF: [&str; 2] = ["unavailable", "internal"];
/// First and longest wait between two sendings of a request that had no answer.
const BACKOFF_MS: u64 = 20;
const BACKOFF_MS_MAX: u64 = 1_000;

/// What the coordinator said.
#[derive(Debug)]
pub(crate) enum Said<T> {
    Good(T),
    Problem(Told),
}

/// A problem, and what may have become of the request nevertheless.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) problem: Box<Problem<'static>>,
    /// Whether an earlier sending of the same request may have been taken.
    pub(crate) earlier: Sent,
}

impl Told {
    /// Whether it proves that nothing was changed. A final no after a lost answer does not: the
    /// sending before it may have been taken, and the no be about this one alone.
    pub(crate) fn proves_nothing_changed(&self) -> bool {
        self.earlier == Sent::Never && !OUT_OF_SIGHT.contains(&self.problem.code.as_ref())
    }
}

/// Until when the coordinator is asked to wait before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    Decided,
    Ended,
}

impl Awaited {
    fn query(self, wait: Duration) -> String {
        let word = match self {
            Awaited::Decided => "decided",
            Awaited::Ended => "ended",
        };
        format!("?wait={word}&wait_ms={}", wait.as_millis())
    }
}

/// How long a request is repeated.
#[derive(Clone, Copy, Debug)]
enum Patience {
    /// Until what it is about is over.
    Until(Instant),
    /// So long after it first came to nothing: waiting for a good answer costs none of it.
    AfterFailure(Duration),
}

impl Patience {
    /// When it ends, if it begins to be needed.
    fn ends(self) -> Instant {
        match self {
            Patience::Until(until) => until,
            Patience::AfterFailure(patience) => Instant::now() + patience,
        }
    }
}

/// Who may act on a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) gid: &'a Gid,
    pub(crate) capability: &'a str,
}

impl Key<'_> {
    fn headers(&self) -> Vec<(&'static str, String)> {
        vec![(headers::CAPABILITY, self.capability.to_owned())]
    }
}

impl Wholly {
    /// Begins. The idempotency key makes a repeat of this very request the same begin.
    pub(crate) async fn ask_begin(
        &self,
        begin: &request::Begin<'_>,
    ) -> Result<Said<Begun<'static>>, Lost> {
        let ask = Ask {
            method: Method::POST,
            target: path::TRANSACTIONS.to_owned(),
            headers: vec![(headers::IDEMPOTENCY_KEY, random_name())],
            body: json(begin),
        };
        self.ask(ask, Duration::ZERO, self.patience()).await
    }

    /// Hands over a plan; the same again is the same plan.
    pub(crate) async fn ask_submit(
        &self,
        gid: &Gid,
        plan: &request::Submit<'_>,
    ) -> Result<Said<Transaction<'static>>, Lost> {
        let ask = Ask {
            method: Method::PUT,
            target: path::transaction(gid),
            headers: Vec::new(),
            body: json(plan),
        };
        self.ask(ask, Duration::ZERO, self.patience()).await
    }

    /// Adds a branch and waits for its try; the same again attaches to the same try.
    pub(crate) async fn ask_register(
        &self,
        key: Key<'_>,
        branch: &request::Branch<'_>,
        wait: Duration,
        until: Instant,
    ) -> Result<Said<Registered<'static>>, Lost> {
        let target = path::part(key.gid, Part::Branches);
        let ask = Ask {
            method: Method::POST,
            target: format!("{target}?wait_ms={}", wait.as_millis()),
            headers: key.headers(),
            body: json(branch),
        };
        self.ask(ask, wait, Patience::Until(until)).await
    }

    /// Asks for the commit; where it was decided before, hears how.
    pub(crate) async fn ask_commit(
        &self,
        key: Key<'_>,
        tried: &[BranchId],
        refused: &[BranchId],
        awaited: Awaited,
    ) -> Result<Said<Transaction<'static>>, Lost> {
        let names = |branches: &'_ [BranchId]| {
            branches.iter().map(|branch| branch.to_string().into()).collect::<Vec<_>>()
        };
        let body = request::Commit { tried: names(tried), refused: names(refused) };
        self.ask_decide(key, Part::Commit, json(&body), awaited).await
    }

    /// Asks for the abort; where it was decided before, hears how.
    pub(crate) async fn ask_abort(
        &self,
        key: Key<'_>,
        reason: &str,
        branch: Option<&BranchId>,
        awaited: Awaited,
    ) -> Result<Said<Transaction<'static>>, Lost> {
        let reason = wholly_core::ids::Text::cut(reason);
        let body = request::Abort {
            reason: Some(reason.as_str().into()),
            branch: branch.map(|branch| branch.as_str().into()),
        };
        self.ask_decide(key, Part::Abort, json(&body), awaited).await
    }

    async fn ask_decide(
        &self,
        key: Key<'_>,
        part: Part,
        body: Bytes,
        awaited: Awaited,
    ) -> Result<Said<Transaction<'static>>, Lost> {
        let wait = WAIT_MAX.min(self.inner.patience);
        let target = format!("{}{}", path::part(key.gid, part), awaited.query(wait));
        let ask = Ask { method: Method::POST, target, headers: key.headers(), body };
        self.ask(ask, wait, self.patience()).await
    }

    /// Asks how a transaction stands, at once or when what is awaited has come.
    pub(crate) async fn ask_document(
        &self,
        gid: &Gid,
        awaited: Option<Awaited>,
    ) -> Result<Said<Transaction<'static>>, Lost> {
        let wait = match awaited {
            Some(_) => WAIT_MAX,
            None => Duration::ZERO,
        };
        let query = awaited.map(|awaited| awaited.query(wait)).unwrap_or_default();
        let ask = Ask {
            method: Method::GET,
            target: format!("{}{query}", path::transaction(gid)),
            headers: Vec::new(),
            body: Bytes::new(),
        };
        self.ask(ask, wait, self.patience()).await
    }

    fn patience(&self) -> Patience {
        Patience::AfterFailure(self.inner.patience)
    }

    /// A pause before something is asked again that was answered "not yet": whoever answers so
    /// without having waited is not asked in a tight circle.
    pub(crate) async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(BACKOFF_MS)).await;
    }

    /// Sends until an answer comes that is one, or the time is over. A problem that says "later"
    /// is asked again, and is the answer when no time is left.
    async fn ask<T: DeserializeOwned>(
        &self,
        mut ask: Ask,
        wait: Duration,
        patience: Patience,
    ) -> Result<Said<T>, Lost> {
        ask.headers.extend(trace::current().iter().flat_map(Place::headers));
        let mut until = None;
        let limits =
            Limits { backoff_ms: BACKOFF_MS, backoff_ms_max: BACKOFF_MS_MAX, ..Limits::default() };
        let seed = random_number();
        let mut sent = Sent::Never;
        for attempt in 1.. {
            let heard = self.inner.connections.send(&ask, wait + ANSWER_TIMEOUT).await;
            let outcome = match heard.and_then(|heard| understand(&heard)) {
                Ok(Said::Problem(Told { problem, earlier })) => {
                    let told = Told { problem, earlier: sent.max(earlier) };
                    if !may_repeat(&told.problem) {
                        return Ok(Said::Problem(told));
                    }
                    sent = told.earlier.max(taken_by(&told.problem));
                    Ok(Said::Problem(Told { earlier: sent, ..told }))
                }
                Ok(said @ Said::Good(_)) => return Ok(said),
                Err(lost) => {
                    sent = sent.max(lost.sent);
                    Err(Lost { sent, cause: lost.cause })
                }
            };
            let pause = Duration::from_millis(backoff_ms(&limits, attempt, seed));
            let until = *until.get_or_insert_with(|| patience.ends());
            if Instant::now() + pause >= until {
                return outcome;
            }
            tokio::time::sleep(pause).await;
        }
        unreachable!("the loop above returns")
    }
}

/// That a gid is not known may change, but only by somebody else's begin: the asker is told.
fn may_repeat(problem: &Problem<'_>) -> bool {
    match problem.retry.known() {
        Some(Retry::Later | Retry::Now) if problem.code == GID_UNKNOWN => false,
        Some(Retry::Later | Retry::Now) => true,
        Some(Retry::Never) | None => false,
    }
}

/// An answer counts when it is what v1 says; a proxy's page says nothing of the coordinator.
fn understand<T: DeserializeOwned>(heard: &Heard) -> Result<Said<T>, Lost> {
    let lost = |cause: Cause| Lost { sent: Sent::Perhaps, cause };
    if heard.status.is_success() {
        let parsed = serde_json::from_slice(&heard.body);
        return parsed
            .map(Said::Good)
            .map_err(|error| lost(none_of_v1(heard.status, error.into())));
    }
    let parsed = serde_json::from_slice(&heard.body);
    let told = |problem| Said::Problem(Told { problem, earlier: heard.earlier });
    parsed.map(told).map_err(|error| lost(none_of_v1(heard.status, error.into())))
}

/// Whether a coordinator that says so may have taken the request all the same.
fn taken_by(problem: &Problem<'_>) -> Sent {
    let code = problem.code.as_ref();
    match row(code).is_none() || BROKEN_OFF.contains(&code) {
        true => Sent::Perhaps,
        false => Sent::Never,
    }
}

fn none_of_v1(status: StatusCode, error: Misfit) -> Cause {
    format!("an answer with status {status} that no coordinator gives: {error}").into()
}

/// What a problem means for whoever asked about this transaction.
pub(crate) fn rejected(gid: Option<&Gid>, problem: &Problem<'_>) -> Error {
    let gid = gid.cloned();
    match (problem.code.as_ref(), gid) {
        ("gid_taken", Some(gid)) => Error::AlreadyUsed { gid },
        (GID_UNKNOWN, Some(gid)) => Error::NotFound { gid },
        (code, gid) => Error::Rejected {
            code: code.to_owned(),
            detail: problem.detail.clone().into_owned(),
            gid,
        },
    }
}

/// The transaction that a problem shows, where it is about a decision made before.
pub(crate) fn decided_before<'a>(
    problem: &'a Problem<'static>,
) -> Option<(&'a Transaction<'static>, Decision)> {
    let document = problem.transaction.as_deref()?;
    Some((document, document.decided()?))
}

fn json<T: Serialize>(body: &T) -> Bytes {
    serde_json::to_vec(body).expect("bodies of v1 have text for keys").into()
}

/// Thirty-two hex digits that nobody else has.
pub(crate) fn random_name() -> String {
    format!("{:016x}{:016x}", random_number(), random_number())
}

fn random_number() -> u64 {
    getrandom::u64().expect("the system gives random numbers")
}

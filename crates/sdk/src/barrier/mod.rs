//! The barrier in a participant's own database: `wholly_core::barrier`, spelled in SQL.
//!
//! One row per branch, met by one statement, the first of the local transaction; the former
//! state comes back, and core says what it means. Twins: `sqlite`, `postgres` and `mysql`.
//!
//! The highest limit seen of a coordinator's log is held in memory ([`Limits`]) and written down
//! in the same local transaction whenever a row is replaced or cleared because of it. So a row is
//! only ever forgotten under a limit that is durable, and the hot path writes no shared row.

mod limits;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

pub(crate) use limits::{Clearing, Limits};

use crate::schema::Dialect;
use std::future::Future;
use wholly_core::barrier::{self, Inspection, State, Verdict};
use wholly_core::branch::{Answer, Op};
use wholly_core::effect::Mark;
use wholly_core::ids::{Body, BranchId, Code, Gid, Origin, Text};
use wholly_core::time::Timestamp;

/// Rows that one statement clears away.
pub const CLEAR_ROWS_MAX: u32 = 500;
/// How far a limit must have risen before rows are cleared away again.
pub const CLEAR_STEP_MS: u64 = 60_000;

/// A database that can hold the barrier: `sqlx::Sqlite` (feature `sqlite`), `sqlx::Postgres`
/// (feature `postgres`) and `sqlx::MySql` (feature `mysql`, MariaDB too).
pub trait BarrierDatabase: sqlx::Database + Table {}

/// How many local transactions of ours a database lets write at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// One; the others had better wait in line here than poll the database's lock.
    One,
    /// As many as there are connections.
    Many,
}

/// The barrier's statements. Sealed: it stands in a private module's signature only.
#[doc(hidden)]
pub trait Table: sqlx::Database + sealed::Sealed {
    /// Whose spelling the schema has.
    const DIALECT: Dialect;
    /// How a local transaction begins.
    const BEGIN: &'static str;
    /// How many may write at once.
    const WRITERS: Writers;

    /// A first op arrives: writes `tried` where no row is.
    fn meet_first(db: &mut Self::Connection, arrival: &Arrival<'_>) -> impl Found;
    /// A confirm arrives: turns `tried` into `confirmed`.
    fn meet_confirm(db: &mut Self::Connection, arrival: &Arrival<'_>) -> impl Found;
    /// A cancel or compensate arrives: turns `tried` into `cancelled`, and writes
    /// `null_cancelled` where no row is.
    fn meet_undo(db: &mut Self::Connection, arrival: &Arrival<'_>) -> impl Found;
    /// A refusal is to be kept: writes `refused` where no row is.
    fn meet_refused(
        db: &mut Self::Connection,
        arrival: &Arrival<'_>,
        code: &Code,
        detail: &Text,
    ) -> impl Found;
    /// Reads the row.
    fn find(db: &mut Self::Connection, arrival: &Arrival<'_>) -> impl Found;
    /// Adds the reply to the row that `meet_first` wrote; says how many rows it found.
    fn keep(
        db: &mut Self::Connection,
        arrival: &Arrival<'_>,
        reply: &Body,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;
    /// Fails if the transaction, in which a confirm or undo has met its row, cannot be committed.
    fn seal(
        db: &mut Self::Connection,
        arrival: &Arrival<'_>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Writes a limit down, unless a higher one is.
    fn raise(
        db: &mut Self::Connection,
        origin: &Origin,
        limit: Timestamp,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// The limit that is written down for a log, where the statements above do not look; read
    /// before the local transaction begins.
    fn written(
        db: &mut Self::Connection,
        origin: &Origin,
    ) -> impl Future<Output = Result<Timestamp, sqlx::Error>> + Send;
    /// Clears at most [`CLEAR_ROWS_MAX`] rows begun below this; says how many.
    fn clear(
        db: &mut Self::Connection,
        origin: &Origin,
        below: Timestamp,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;
    /// Makes the tables, where they are not.
    fn migrate(pool: &sqlx::Pool<Self>) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Whether nothing was done, and the same may succeed if done again.
    fn is_transient(error: &sqlx::Error) -> bool;
}

/// What a statement finds.
#[doc(hidden)]
pub trait Found: Future<Output = Result<Met, sqlx::Error>> + Send {}
impl<F: Future<Output = Result<Met, sqlx::Error>> + Send> Found for F {}

mod sealed {
    pub trait Sealed {}
    #[cfg(feature = "sqlite")]
    impl Sealed for sqlx::Sqlite {}
    #[cfg(feature = "postgres")]
    impl Sealed for sqlx::Postgres {}
    #[cfg(feature = "mysql")]
    impl Sealed for sqlx::MySql {}
}

/// A call at the barrier.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Arrival<'a> {
    /// Of which transaction.
    pub gid: &'a Gid,
    /// Of which branch.
    pub branch: &'a BranchId,
    /// What is asked.
    pub op: Op,
    /// In which log it was begun.
    pub origin: &'a Origin,
    /// When it was begun.
    pub begun: Timestamp,
    /// The highest limit of that log that this process has seen.
    pub limit: Timestamp,
}

/// What stood in the row when a call arrived.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// The call is below the limit that is written down, or begun before its row by the clock of
    /// the same log; nothing was changed.
    Stale,
    /// No row.
    Nothing,
    /// A row below its limit, which was replaced.
    Absent,
    /// This.
    State(State),
}

impl<'a> Arrival<'a> {
    /// A call with this mark, in a process that has seen this limit.
    pub fn new((gid, branch): (&'a Gid, &'a BranchId), op: Op, mark: &'a Mark) -> Self {
        Arrival { gid, branch, op, origin: &mark.origin, begun: mark.begun, limit: mark.limit }
    }
}

/// Passes the barrier: the first statement of a local transaction. The state it leads to is
/// written; a verdict to run or follow must be carried out before the commit, by [`keep`] or by
/// [`follow`].
#[doc(hidden)]
pub async fn meet<D: BarrierDatabase>(
    db: &mut D::Connection,
    arrival: &Arrival<'_>,
) -> Result<Verdict, sqlx::Error> {
    if arrival.begun < arrival.limit {
        return Ok(Verdict::Answer(barrier::stale()));
    }
    let met = match arrival.op {
        Op::Try | Op::Action => D::meet_first(&mut *db, arrival).await?,
        Op::Confirm => D::meet_confirm(&mut *db, arrival).await?,
        Op::Cancel | Op::Compensate => D::meet_undo(&mut *db, arrival).await?,
        Op::Inspect => D::find(&mut *db, arrival).await?,
    };
    if met == Met::Absent {
        D::raise(db, arrival.origin, arrival.limit).await?;
    }
    Ok(match met {
        Met::Stale => Verdict::Answer(barrier::stale()),
        Met::Nothing | Met::Absent => barrier::meet_none(arrival.op),
        Met::State(state) => state.meet(arrival.op),
    })
}

/// A local transaction that is not there to be committed.
fn ended_early() -> sqlx::Error {
    sqlx::Error::Protocol(
        "the local transaction was ended before its commit, by the database or by the handler; \
         a handler must not end it, and must pass an error of the database on"
            .into(),
    )
}

/// Keeps the reply of a try or action that was done; the last statement before the commit.
#[doc(hidden)]
pub async fn keep<D: BarrierDatabase>(
    db: &mut D::Connection,
    arrival: &Arrival<'_>,
    reply: Body,
) -> Result<Answer, sqlx::Error> {
    match D::keep(db, arrival, &reply).await? {
        1 => Ok(barrier::done(reply)),
        _ => Err(ended_early()),
    }
}

/// Ends a confirm, cancel or compensate that was done; the last statement before the commit. A
/// handler that swallowed a failed statement would otherwise be committed as nothing.
#[doc(hidden)]
pub async fn follow<D: BarrierDatabase>(
    db: &mut D::Connection,
    arrival: &Arrival<'_>,
) -> Result<Answer, sqlx::Error> {
    D::seal(db, arrival).await?;
    Ok(barrier::done(Body::default()))
}

/// Keeps a refusal, in a transaction of its own after the work was rolled back. Whatever came
/// between rules.
#[doc(hidden)]
pub async fn refuse<D: BarrierDatabase>(
    db: &mut D::Connection,
    arrival: &Arrival<'_>,
    (code, detail): (Code, Text),
) -> Result<Answer, sqlx::Error> {
    if arrival.begun < arrival.limit {
        return Ok(barrier::stale());
    }
    let met = D::meet_refused(&mut *db, arrival, &code, &detail).await?;
    if met == Met::Absent {
        D::raise(db, arrival.origin, arrival.limit).await?;
    }
    Ok(match met {
        Met::Stale => barrier::stale(),
        Met::Nothing | Met::Absent => barrier::refused(code, detail),
        Met::State(state) => match state.meet(Op::Try) {
            Verdict::Answer(answer) => answer,
            Verdict::Run
            | Verdict::Follow { .. }
            | Verdict::Remember
            | Verdict::Inspected(Inspection::None | Inspection::Found(_)) => {
                unreachable!("a try that meets a row is answered")
            }
        },
    })
}

/// What a clearing does.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The limit to be written down.
    pub limit: Timestamp,
    /// Rows begun below this go: a limit that an earlier sweep has written down. A late call that
    /// looked for the limit before it was written has met its row or come to its end since.
    pub below: Timestamp,
}

/// Writes a limit down and clears away at most [`CLEAR_ROWS_MAX`] rows; says how many are gone.
#[doc(hidden)]
pub async fn clear<D: BarrierDatabase>(
    pool: &sqlx::Pool<D>,
    origin: &Origin,
    sweep: Sweep,
) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin_with(D::BEGIN).await?;
    D::raise(&mut tx, origin, sweep.limit).await?;
    let rows = D::clear(&mut tx, origin, sweep.below).await?;
    tx.commit().await?;
    Ok(rows)
}

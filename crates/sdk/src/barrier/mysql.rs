//! The barrier on MySQL and MariaDB.

use super::sql::{Columns, bigint, blob};
use super::{Arrival, BarrierDatabase, CLEAR_ROWS_MAX, Met, Table, Writers};
use crate::schema::{self, Dialect};
use sqlx::mysql::{MySqlArguments, MySqlDatabaseError, MySqlQueryResult};
use sqlx::{MySql, Row};
use wholly_core::ids::{Body, Code, Origin, Text};
use wholly_core::time::Timestamp;

type Statement = sqlx::query::Query<'static, MySql, MySqlArguments>;
type Line = <MySql as sqlx::Database>::Row;
type Connection = <MySql as sqlx::Database>::Connection;

/// Stands for the former state of a row that was begun after the call, in the same log.
const LATER: u64 = 8;
/// Added to the former state of a row that counted as absent and was replaced.
const REPLACED: u64 = 16;

/// The call: `?` gid, branch, origin, begun, the limit seen, code, detail.
macro_rules! arrival {
    () => {
        "(SELECT ? AS gid, ? AS branch, ? AS origin, ? AS begun, ? AS seen,
                 ? AS code, ? AS detail) AS a"
    };
}

/// Whether the row counts as absent: below the limit seen of the call's log, or below the one that
/// is written down for another. A statement that writes locks the limits that it reads until the
/// local transaction ends, so it reads none of its own log: [`Table::written`] has.
macro_rules! absent {
    () => {
        "CASE WHEN wholly_barrier.origin = a.origin THEN wholly_barrier.begun < a.seen
              ELSE wholly_barrier.begun < coalesce((SELECT l.limit_ms FROM wholly_barrier_limit l
                     WHERE l.origin = wholly_barrier.origin), 0) END"
    };
}

/// Whether the row was begun after the call, in the same log: then it is of a later use of the gid.
/// A statement that waits for the row looks here at what it waited for, whatever limit was read
/// before.
macro_rules! later {
    () => {
        "wholly_barrier.origin = a.origin AND wholly_barrier.begun > a.begun"
    };
}

/// The limit that is written down for the call's log.
macro_rules! written {
    () => {
        "coalesce((SELECT w.limit_ms FROM wholly_barrier_limit w WHERE w.origin = a.origin), 0)"
    };
}

/// Inserts a row in a state, or turns the row there is. The former state comes back as the last
/// insert id, for whether a row was inserted or left as it is cannot be told by counting. Columns
/// are assigned from left to right, and what is assigned is what later ones see: `prev` is first,
/// and what says whether the row counts as absent is last.
macro_rules! insert {
    ($state:literal, $turned:literal) => {
        concat!(
            "INSERT INTO wholly_barrier
               (gid, branch, state, prev, origin, begun, code, detail)
             SELECT a.gid, a.branch, ",
            $state,
            ", 0, a.origin, a.begun, a.code, a.detail FROM ",
            arrival!(),
            "
             ON DUPLICATE KEY UPDATE
               prev = LAST_INSERT_ID(
                 CASE WHEN ",
            later!(),
            " THEN 8 WHEN ",
            absent!(),
            " THEN 16 + wholly_barrier.state ELSE wholly_barrier.state END),
               state = CASE WHEN prev > 16 THEN ",
            $state,
            $turned,
            " ELSE wholly_barrier.state END,
               reply = CASE WHEN prev > 16 THEN NULL ELSE wholly_barrier.reply END,
               code = CASE WHEN prev > 16 THEN a.code ELSE wholly_barrier.code END,
               detail = CASE WHEN prev > 16 THEN a.detail ELSE wholly_barrier.detail END,
               origin = CASE WHEN prev > 16 THEN a.origin ELSE wholly_barrier.origin END,
               begun = CASE WHEN prev > 16 THEN a.begun ELSE wholly_barrier.begun END"
        )
    };
}

const MEET_FIRST: &str = insert!("1", "");
const MEET_UNDO: &str = insert!("4", " WHEN prev = 1 THEN 3");
const MEET_REFUSED: &str = insert!("5", "");

/// `?` origin, begun, origin, begun, gid, branch, origin, the limit seen. One table and no join:
/// MySQL assigns the columns of several tables in no order that it names, and locks the limits that
/// it reads then, at read committed too.
const MEET_CONFIRM: &str = "UPDATE wholly_barrier
     SET prev = LAST_INSERT_ID(CASE WHEN origin = ? AND begun > ? THEN 8 ELSE state END),
         state = CASE WHEN origin = ? AND begun > ? THEN state WHEN state = 1 THEN 2
                      ELSE state END
     WHERE gid = ? AND branch = ?
       AND NOT CASE WHEN origin = ? THEN begun < ?
                    ELSE begun < coalesce((SELECT l.limit_ms FROM wholly_barrier_limit l
                           WHERE l.origin = wholly_barrier.origin), 0) END";

/// One row always: below what a call is stale, and the branch's row if there is one.
const FIND: &str = concat!(
    "SELECT CASE WHEN ",
    later!(),
    " THEN wholly_barrier.begun ELSE ",
    written!(),
    " END AS floor, wholly_barrier.state, wholly_barrier.reply,
       wholly_barrier.code, wholly_barrier.detail
     FROM ",
    arrival!(),
    " LEFT JOIN wholly_barrier
       ON wholly_barrier.gid = a.gid AND wholly_barrier.branch = a.branch AND NOT ",
    absent!()
);

/// What stands in a row that the local transaction has met, and so holds.
const READ: &str = "SELECT prev, state, reply, code, detail FROM wholly_barrier
     WHERE gid = ? AND branch = ? FOR UPDATE";

const KEEP: &str = "UPDATE wholly_barrier SET reply = ? WHERE gid = ? AND branch = ? AND state = 1";

/// A limit never falls: the greater one stays.
const RAISE: &str = "INSERT INTO wholly_barrier_limit (origin, limit_ms) VALUES (?, ?)
     ON DUPLICATE KEY UPDATE limit_ms = GREATEST(limit_ms, VALUES(limit_ms))";

/// Of the next local transaction of the connection alone, which is the one statement after it.
const OF_THE_COMMITTED: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

const WRITTEN: &str = "SELECT limit_ms FROM wholly_barrier_limit WHERE origin = ?";

const CLEAR: &str =
    "DELETE FROM wholly_barrier WHERE origin = ? AND begun < ? ORDER BY begun LIMIT ?";

impl BarrierDatabase for MySql {}

impl Table for MySql {
    const DIALECT: Dialect = Dialect::Mysql;
    /// At whatever isolation the pool's connections have.
    const BEGIN: &'static str = "BEGIN";
    const WRITERS: Writers = Writers::Many;

    async fn meet_first(db: &mut Connection, arrival: &Arrival<'_>) -> Result<Met, sqlx::Error> {
        let said = bind(MEET_FIRST, arrival, None).execute(&mut *db).await?;
        met(db, arrival, &said).await
    }

    async fn meet_confirm(db: &mut Connection, arrival: &Arrival<'_>) -> Result<Met, sqlx::Error> {
        let said = sqlx::query(MEET_CONFIRM)
            .bind(arrival.origin.as_str())
            .bind(bigint(arrival.begun))
            .bind(arrival.origin.as_str())
            .bind(bigint(arrival.begun))
            .bind(arrival.gid.as_str())
            .bind(arrival.branch.as_str())
            .bind(arrival.origin.as_str())
            .bind(bigint(arrival.limit))
            .execute(&mut *db)
            .await?;
        match said.rows_affected() {
            0 => Ok(Met::Nothing),
            _ => met(db, arrival, &said).await,
        }
    }

    async fn meet_undo(db: &mut Connection, arrival: &Arrival<'_>) -> Result<Met, sqlx::Error> {
        let said = bind(MEET_UNDO, arrival, None).execute(&mut *db).await?;
        met(db, arrival, &said).await
    }

    async fn meet_refused(
        db: &mut Connection,
        arrival: &Arrival<'_>,
        code: &Code,
        detail: &Text,
    ) -> Result<Met, sqlx::Error> {
        let why = Some((code, detail));
        let said = bind(MEET_REFUSED, arrival, why).execute(&mut *db).await?;
        met(db, arrival, &said).await
    }

    /// Outside of any local transaction. At read uncommitted it would tell of a row that may never
    /// be.
    async fn find(db: &mut Connection, arrival: &Arrival<'_>) -> Result<Met, sqlx::Error> {
        sqlx::raw_sql(OF_THE_COMMITTED).execute(&mut *db).await?;
        let row = bind(FIND, arrival, None).fetch_one(db).await?;
        if bigint(arrival.begun) < row.try_get::<i64, _>("floor")? {
            return Ok(Met::Stale);
        }
        match row.try_get::<Option<i16>, _>("state")? {
            Some(state) => columns(&row, state)?.met(),
            None => Ok(Met::Nothing),
        }
    }

    async fn keep(
        db: &mut Connection,
        arrival: &Arrival<'_>,
        reply: &Body,
    ) -> Result<u64, sqlx::Error> {
        let statement = sqlx::query(KEEP).bind(blob(reply));
        let statement = statement.bind(arrival.gid.as_str()).bind(arrival.branch.as_str());
        Ok(statement.execute(db).await?.rows_affected())
    }

    /// A deadlock rolls the whole transaction back, and whatever comes after it is committed
    /// statement by statement: the row is then as it was before it was met.
    async fn seal(db: &mut Connection, arrival: &Arrival<'_>) -> Result<(), sqlx::Error> {
        let row = read(db, arrival).await?;
        let state = row.map(|row| row.try_get::<i16, _>("state")).transpose()?;
        match state {
            Some(2 | 3) => Ok(()),
            Some(_) | None => Err(super::ended_early()),
        }
    }

    async fn raise(
        db: &mut Connection,
        origin: &Origin,
        limit: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let statement = sqlx::query(RAISE).bind(origin.as_str()).bind(bigint(limit));
        statement.execute(db).await?;
        Ok(())
    }

    /// Outside of any local transaction, where reading locks nothing and fixes no view of the rows.
    /// A limit that is not committed (at read uncommitted) holds as well: the coordinator gave it.
    async fn written(db: &mut Connection, origin: &Origin) -> Result<Timestamp, sqlx::Error> {
        let row = sqlx::query(WRITTEN).bind(origin.as_str()).fetch_optional(db).await?;
        let limit = row.map(|row| row.try_get::<i64, _>("limit_ms")).transpose()?.unwrap_or(0);
        Ok(Timestamp(u64::try_from(limit).unwrap_or(0)))
    }

    async fn clear(
        db: &mut Connection,
        origin: &Origin,
        below: Timestamp,
    ) -> Result<u64, sqlx::Error> {
        let statement = sqlx::query(CLEAR).bind(origin.as_str()).bind(bigint(below));
        Ok(statement.bind(CLEAR_ROWS_MAX).execute(db).await?.rows_affected())
    }

    async fn migrate(pool: &sqlx::Pool<MySql>) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(schema::print(Self::DIALECT)).execute(pool).await?;
        Ok(())
    }

    /// Deadlock; lock wait timeout; a row changed since it was read (MariaDB); lock not available
    /// (MySQL: error reference, 1205, 1213, 3572; MariaDB: 1020).
    fn is_transient(error: &sqlx::Error) -> bool {
        let Some(error) = error.as_database_error() else { return false };
        let number = error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
        error.code().is_some_and(|code| code == "40001")
            || number.is_some_and(|number| matches!(number, 1020 | 1205 | 1213 | 3572))
    }
}

/// What an insert or update found.
async fn met(
    db: &mut Connection,
    arrival: &Arrival<'_>,
    said: &MySqlQueryResult,
) -> Result<Met, sqlx::Error> {
    match said.last_insert_id() {
        0 => Ok(Met::Nothing),
        LATER => Ok(Met::Stale),
        replaced if replaced > REPLACED => Ok(Met::Absent),
        state => {
            let row = read(db, arrival).await?.ok_or(sqlx::Error::RowNotFound)?;
            columns(&row, i16::try_from(state).unwrap_or(i16::MAX))?.met()
        }
    }
}

async fn read(db: &mut Connection, arrival: &Arrival<'_>) -> Result<Option<Line>, sqlx::Error> {
    let statement = sqlx::query(READ).bind(arrival.gid.as_str()).bind(arrival.branch.as_str());
    statement.fetch_optional(db).await
}

fn bind(text: &'static str, arrival: &Arrival<'_>, refusal: Option<(&Code, &Text)>) -> Statement {
    sqlx::query(text)
        .bind(arrival.gid.to_string())
        .bind(arrival.branch.to_string())
        .bind(arrival.origin.to_string())
        .bind(bigint(arrival.begun))
        .bind(bigint(arrival.limit))
        .bind(refusal.map(|(code, _)| code.to_string()))
        .bind(refusal.map(|(_, detail)| detail.as_str().to_string()))
}

fn columns(row: &Line, code: i16) -> Result<Columns, sqlx::Error> {
    Ok(Columns {
        code,
        reply: row.try_get("reply")?,
        refusal: row.try_get("code")?,
        detail: row.try_get("detail")?,
    })
}

//! The barrier on PostgreSQL.

use super::sql::{self, Columns, bigint, blob};
use super::{Arrival, BarrierDatabase, CLEAR_ROWS_MAX, Met, Table, Writers};
use crate::schema::{self, Dialect};
use sqlx::{Postgres, Row};
use wholly_core::ids::{Body, Code, Origin, Text};
use wholly_core::time::Timestamp;

type Statement = sqlx::query::Query<'static, Postgres, <Postgres as sqlx::Database>::Arguments>;
type Line = <Postgres as sqlx::Database>::Row;
type Connection = <Postgres as sqlx::Database>::Connection;

impl BarrierDatabase for Postgres {}

impl Table for Postgres {
    const DIALECT: Dialect = Dialect::Postgres;
    /// At whatever isolation the pool's connections have.
    const BEGIN: &'static str = "BEGIN";
    const WRITERS: Writers = Writers::Many;

    async fn meet_first(db: &mut Connection, arrival: &Arrival<'_>) -> Result<Met, sqlx::Error> {
        let row = bind(sql::MEET_FIRST, arrival).fetch_optional(db).await?;
        row.map_or(Ok(Met::Stale), |row| columns(&row, "prev")?.met())
    }

    async fn meet_confirm(db: &mut Connection, arrival: &Arrival<'_>) -> Result<Met, sqlx::Error> {
        let row = bind(sql::MEET_CONFIRM, arrival).fetch_optional(&mut *db).await?;
        match row {
            Some(row) => columns(&row, "prev")?.met(),
            // Only whether it is stale counts: a try that came in between was not confirmed.
            None => match Self::find(db, arrival).await? {
                Met::Stale => Ok(Met::Stale),
                Met::Nothing | Met::Absent | Met::State(_) => Ok(Met::Nothing),
            },
        }
    }

    async fn meet_undo(db: &mut Connection, arrival: &Arrival<'_>) -> Result<Met, sqlx::Error> {
        let row = bind(sql::MEET_UNDO, arrival).fetch_optional(db).await?;
        row.map_or(Ok(Met::Stale), |row| columns(&row, "prev")?.met())
    }

    async fn meet_refused(
        db: &mut Connection,
        arrival: &Arrival<'_>,
        code: &Code,
        detail: &Text,
    ) -> Result<Met, sqlx::Error> {
        let statement = bind(sql::MEET_REFUSED, arrival);
        let statement = statement.bind(code.to_string()).bind(detail.as_str().to_string());
        let row = statement.fetch_optional(db).await?;
        row.map_or(Ok(Met::Stale), |row| columns(&row, "prev")?.met())
    }

    async fn find(db: &mut Connection, arrival: &Arrival<'_>) -> Result<Met, sqlx::Error> {
        let row = bind(sql::FIND, arrival).fetch_one(db).await?;
        if bigint(arrival.begun) < row.try_get::<i64, _>("floor")? {
            return Ok(Met::Stale);
        }
        match row.try_get::<Option<i16>, _>("state")? {
            Some(_) => columns(&row, "state")?.met(),
            None => Ok(Met::Nothing),
        }
    }

    async fn keep(
        db: &mut Connection,
        arrival: &Arrival<'_>,
        reply: &Body,
    ) -> Result<u64, sqlx::Error> {
        let statement = sqlx::query(sql::KEEP).bind(arrival.gid.as_str());
        let statement = statement.bind(arrival.branch.as_str()).bind(blob(reply));
        Ok(statement.execute(db).await?.rows_affected())
    }

    /// Committing a transaction in which a statement failed, or that a handler ended, answers
    /// success and does nothing. Any statement tells the first, the row the second.
    async fn seal(db: &mut Connection, arrival: &Arrival<'_>) -> Result<(), sqlx::Error> {
        let row = sqlx::query(sql::TURNED).bind(arrival.gid.as_str());
        match row.bind(arrival.branch.as_str()).fetch_optional(db).await? {
            Some(_) => Ok(()),
            None => Err(super::ended_early()),
        }
    }

    async fn raise(
        db: &mut Connection,
        origin: &Origin,
        limit: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let statement = sqlx::query(sql::RAISE).bind(origin.as_str()).bind(bigint(limit));
        statement.execute(db).await?;
        Ok(())
    }

    /// Each statement reads the limit itself.
    async fn written(_: &mut Connection, _: &Origin) -> Result<Timestamp, sqlx::Error> {
        Ok(Timestamp(0))
    }

    async fn clear(
        db: &mut Connection,
        origin: &Origin,
        below: Timestamp,
    ) -> Result<u64, sqlx::Error> {
        let statement = sqlx::query(sql::CLEAR).bind(origin.as_str()).bind(bigint(below));
        let rows_max = i64::from(CLEAR_ROWS_MAX);
        Ok(statement.bind(rows_max).execute(db).await?.rows_affected())
    }

    /// Under a lock: two that make one table at once would refuse each other.
    async fn migrate(pool: &sqlx::Pool<Postgres>) -> Result<(), sqlx::Error> {
        let mut tx = pool.begin_with(Self::BEGIN).await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('wholly_barrier'))")
            .execute(&mut *tx)
            .await?;
        sqlx::raw_sql(schema::print(Self::DIALECT)).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// Serialization failure, deadlock, lock not available.
    fn is_transient(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| matches!(code.as_ref(), "40001" | "40P01" | "55P03"))
    }
}

fn bind(text: &'static str, arrival: &Arrival<'_>) -> Statement {
    sqlx::query(text)
        .bind(arrival.gid.to_string())
        .bind(arrival.branch.to_string())
        .bind(arrival.origin.to_string())
        .bind(bigint(arrival.begun))
        .bind(bigint(arrival.limit))
}

fn columns(row: &Line, state: &str) -> Result<Columns, sqlx::Error> {
    Ok(Columns {
        code: row.try_get(state)?,
        reply: row.try_get("reply")?,
        refusal: row.try_get("code")?,
        detail: row.try_get("detail")?,
    })
}

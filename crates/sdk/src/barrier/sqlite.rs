//! The barrier on SQLite.

use super::sql::{self, Columns, bigint, blob};
use super::{Arrival, BarrierDatabase, CLEAR_ROWS_MAX, Met, Table, Writers};
use crate::schema::{self, Dialect};
use sqlx::{Row, Sqlite};
use wholly_core::ids::{Body, Code, Origin, Text};
use wholly_core::time::Timestamp;

type Statement = sqlx::query::Query<'static, Sqlite, <Sqlite as sqlx::Database>::Arguments>;
type Line = <Sqlite as sqlx::Database>::Row;
type Connection = <Sqlite as sqlx::Database>::Connection;

impl BarrierDatabase for Sqlite {}

impl Table for Sqlite {
    const DIALECT: Dialect = Dialect::Sqlite;
    /// Takes the write lock at once: two readers that both want to write would refuse each other.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    const WRITERS: Writers = Writers::One;

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

    /// A failed statement spoils nothing here, or ends the transaction, and then the commit fails.
    async fn seal(_: &mut Connection, _: &Arrival<'_>) -> Result<(), sqlx::Error> {
        Ok(())
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

    async fn migrate(pool: &sqlx::Pool<Sqlite>) -> Result<(), sqlx::Error> {
        let mut tx = pool.begin_with(Self::BEGIN).await?;
        sqlx::raw_sql(schema::print(Self::DIALECT)).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// Busy and locked, with all their extensions.
    fn is_transient(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code());
        let code = code.and_then(|code| code.parse::<u32>().ok());
        code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
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

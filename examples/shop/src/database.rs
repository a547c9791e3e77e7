//! A service's own SQLite database: write-ahead log, every commit synced.

use sqlx::sqlite::SqliteSynchronous;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use std::path::Path;
use std::time::Duration;

/// Connections of one service; as many handlers run at once.
const CONNECTIONS_MAX: u32 = 8;
/// How long one writer waits for another.
const BUSY_MS_MAX: u64 = 5_000;

/// Opens the database, makes its tables and fills the shelves, all of it only once.
pub async fn open(file: &Path, schema: &'static str) -> sqlx::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_millis(BUSY_MS_MAX));
    let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options);
    let pool = pool.await?;
    sqlx::raw_sql(schema).execute(&pool).await?;
    Ok(pool)
}

/// Opens the database of a service that may be running, to read and nothing else.
pub async fn open_to_read(file: &Path) -> sqlx::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .busy_timeout(Duration::from_millis(BUSY_MS_MAX));
    SqlitePoolOptions::new().max_connections(1).connect_with(options).await
}

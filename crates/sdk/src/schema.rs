//! The barrier's tables: their text for a migration, or made at once.

use std::fmt;
use std::str::FromStr;

/// Whose SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.35 or later.
    Sqlite,
    /// PostgreSQL 12 or later.
    Postgres,
    /// MySQL 8.0.19 or MariaDB 10.6, or later, with InnoDB.
    Mysql,
}

/// A dialect that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialectUnknown {
    /// What was asked for.
    pub name: String,
}

impl fmt::Display for DialectUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no schema for {:?}; there is one for sqlite, one for postgres \
             and one for mysql",
            self.name
        )
    }
}

impl std::error::Error for DialectUnknown {}

impl FromStr for Dialect {
    type Err = DialectUnknown;

    fn from_str(name: &str) -> Result<Self, DialectUnknown> {
        match name {
            "sqlite" => Ok(Dialect::Sqlite),
            "postgres" | "postgresql" => Ok(Dialect::Postgres),
            "mysql" | "mariadb" => Ok(Dialect::Mysql),
            other => Err(DialectUnknown { name: other.to_string() }),
        }
    }
}

/// The tables' text; what exists already is left as it is.
pub fn print(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
        Dialect::Mysql => MYSQL,
    }
}

/// Why the tables were not made.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The URL's database is none of ours, or its feature is off.
    #[error("no schema for {url}: this build knows {known}")]
    Unknown {
        /// What was asked for.
        url: String,
        /// What there is.
        known: &'static str,
    },
    /// The database said no.
    #[error("make the barrier's tables in {url}")]
    Database {
        /// Where.
        url: String,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
}

/// The URLs that a build with these features knows.
const KNOWN: &str = {
    let features = (cfg!(feature = "sqlite"), cfg!(feature = "postgres"), cfg!(feature = "mysql"));
    match features {
        (true, true, true) => "sqlite://, postgres:// and mysql:// URLs",
        (true, true, false) => "sqlite:// and postgres:// URLs",
        (true, false, true) => "sqlite:// and mysql:// URLs",
        (false, true, true) => "postgres:// and mysql:// URLs",
        (true, false, false) => "sqlite:// URLs",
        (false, true, false) => "postgres:// URLs",
        (false, false, true) => "mysql:// URLs",
        (false, false, false) => "none, for no database feature is on",
    }
};

/// Makes the tables in the database of this URL, where they are not.
pub async fn apply(url: &str) -> Result<(), SchemaError> {
    let scheme = url.split(':').next().unwrap_or_default();
    let made: Option<Result<(), sqlx::Error>> = match scheme {
        #[cfg(feature = "sqlite")]
        "sqlite" => Some(migrate::<sqlx::Sqlite>(url).await),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Some(migrate::<sqlx::Postgres>(url).await),
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => Some(migrate::<sqlx::MySql>(url).await),
        _ => None,
    };
    let Some(made) = made else {
        return Err(SchemaError::Unknown { url: format!("{scheme}:.."), known: KNOWN });
    };
    // A URL may hold a password: only its scheme is said.
    made.map_err(|source| SchemaError::Database { url: format!("{scheme}:.."), source })
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
async fn migrate<D: crate::barrier::BarrierDatabase>(url: &str) -> Result<(), sqlx::Error> {
    let pool = sqlx::Pool::<D>::connect(url).await?;
    let made = D::migrate(&pool).await;
    pool.close().await;
    made
}

const SQLITE: &str = "\
-- The barrier of Wholly: one row per branch, written in the local transaction it guards.
CREATE TABLE IF NOT EXISTS wholly_barrier (
  gid    TEXT    NOT NULL,  -- global transaction
  branch TEXT    NOT NULL,  -- this participant's share of it
  state  INTEGER NOT NULL,  -- 1 tried 2 confirmed 3 cancelled 4 null-cancelled 5 refused
  prev   INTEGER NOT NULL,  -- the state that the last call met
  reply  BLOB,              -- of the try or action, JSON
  code   TEXT,              -- of a refusal
  detail TEXT,              -- of a refusal, for people
  origin TEXT    NOT NULL,  -- the coordinator's log
  begun  INTEGER NOT NULL,  -- when, on that log's clock
  PRIMARY KEY (gid, branch)
) WITHOUT ROWID, STRICT;
CREATE INDEX IF NOT EXISTS wholly_barrier_age ON wholly_barrier (origin, begun);

-- Rows begun below the limit of their log count as absent and are cleared away.
CREATE TABLE IF NOT EXISTS wholly_barrier_limit (
  origin   TEXT    NOT NULL PRIMARY KEY,
  limit_ms INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
";

const POSTGRES: &str = "\
-- The barrier of Wholly: one row per branch, written in the local transaction it guards.
-- The service's role needs, beside CONNECT and USAGE on the schema:
--   GRANT SELECT, INSERT, UPDATE, DELETE ON wholly_barrier, wholly_barrier_limit TO the_role;
CREATE TABLE IF NOT EXISTS wholly_barrier (
  gid    VARCHAR(128) COLLATE \"C\" NOT NULL,  -- global transaction
  branch VARCHAR(128) COLLATE \"C\" NOT NULL,  -- this participant's share of it
  state  SMALLINT NOT NULL,  -- 1 tried 2 confirmed 3 cancelled 4 null-cancelled 5 refused
  prev   SMALLINT NOT NULL,  -- the state that the last call met
  reply  BYTEA,              -- of the try or action, JSON
  code   VARCHAR(128),       -- of a refusal
  detail TEXT,               -- of a refusal, for people
  origin VARCHAR(128) COLLATE \"C\" NOT NULL,  -- the coordinator's log
  begun  BIGINT NOT NULL,    -- when, on that log's clock
  PRIMARY KEY (gid, branch)
) WITH (fillfactor = 70);    -- room for the row's own updates on its page
CREATE INDEX IF NOT EXISTS wholly_barrier_age ON wholly_barrier (origin, begun);

-- Rows begun below the limit of their log count as absent and are cleared away.
CREATE TABLE IF NOT EXISTS wholly_barrier_limit (
  origin   VARCHAR(128) COLLATE \"C\" NOT NULL PRIMARY KEY,
  limit_ms BIGINT NOT NULL
);
";

const MYSQL: &str = "\
-- The barrier of Wholly: one row per branch, written in the local transaction it guards.
-- The service's account needs:
--   GRANT SELECT, INSERT, UPDATE, DELETE ON wholly_barrier TO the_account;
--   GRANT SELECT, INSERT, UPDATE ON wholly_barrier_limit TO the_account;
CREATE TABLE IF NOT EXISTS wholly_barrier (
  gid    VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,  -- global transaction
  branch VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,  -- this participant's share
  state  SMALLINT NOT NULL,  -- 1 tried 2 confirmed 3 cancelled 4 null-cancelled 5 refused
  prev   SMALLINT NOT NULL,  -- the state that the last call met
  reply  MEDIUMBLOB,         -- of the try or action, JSON
  code   VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin,   -- of a refusal
  detail TEXT CHARACTER SET utf8mb4,                           -- of a refusal, for people
  origin VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,  -- the coordinator's log
  begun  BIGINT NOT NULL,    -- when, on that log's clock
  PRIMARY KEY (gid, branch),
  KEY wholly_barrier_age (origin, begun)
) ENGINE = InnoDB;

-- Rows begun below the limit of their log count as absent and are cleared away.
CREATE TABLE IF NOT EXISTS wholly_barrier_limit (
  origin   VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  limit_ms BIGINT NOT NULL
) ENGINE = InnoDB;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_both_tables() {
        for name in ["sqlite", "postgres", "postgresql", "mysql", "mariadb"] {
            let text = print(name.parse().unwrap());
            for table in ["wholly_barrier (", "wholly_barrier_limit ("] {
                assert_eq!(text.matches(&format!("CREATE TABLE IF NOT EXISTS {table}")).count(), 1);
            }
        }
        let error = "oracle".parse::<Dialect>().unwrap_err();
        assert!(error.to_string().contains("one for mysql"));
    }
}

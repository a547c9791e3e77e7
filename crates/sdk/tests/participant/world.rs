//! Databases for tests, each test's own, with a table that shows every effect.

use sqlx::{Pool, Row};
use std::future::Future;
use wholly::barrier::BarrierDatabase;
use wholly_canary::Listener;
use wholly_core::ids::{BranchId, Gid};

/// How far concurrent local transactions are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Whatever the database does by itself.
    Default,
    #[cfg(feature = "mysql")]
    ReadUncommitted,
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    ReadCommitted,
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    RepeatableRead,
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    Serializable,
}

impl Isolation {
    /// Otherwise a late call may see the limit of a later use before that is committed, and has no
    /// row to wait for.
    pub(crate) fn hides_what_is_not_committed(self) -> bool {
        match self {
            Isolation::Default => true,
            #[cfg(feature = "mysql")]
            Isolation::ReadUncommitted => false,
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            Isolation::ReadCommitted | Isolation::RepeatableRead | Isolation::Serializable => true,
        }
    }
}

/// A database that tests run on.
pub(crate) trait Bed: BarrierDatabase {
    /// An empty database with the barrier's tables and the two below.
    fn make(isolation: Isolation, connections: u32) -> impl Future<Output = World<Self>> + Send;

    /// Writes that something took effect, and touches a row that others touch too.
    fn effect(
        db: &mut Self::Connection,
        key: (&Gid, &BranchId),
        what: &str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// What took effect, in order.
    fn effects(
        pool: &Pool<Self>,
        key: (&Gid, &BranchId),
    ) -> impl Future<Output = Vec<String>> + Send;

    /// Runs a statement.
    fn execute(
        db: &mut Self::Connection,
        text: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// An error of the database that asks to do the local transaction again.
    fn busy(db: &mut Self::Connection) -> impl Future<Output = sqlx::Error> + Send;

    /// How many of this database's statements wait for a lock, as far as can be seen. SQLite, whose
    /// writers ask again and again for the one lock there is, cannot tell, and says that one does.
    fn waiting(pool: &Pool<Self>) -> impl Future<Output = i64> + Send;

    /// A count.
    fn count(pool: &Pool<Self>, text: &'static str) -> impl Future<Output = i64> + Send;
}

/// A database and what keeps it.
pub(crate) struct World<D: Bed> {
    pub(crate) pool: Pool<D>,
    _folder: Option<tempfile::TempDir>,
    _listener: Listener,
}

const TABLES: &str = "
    CREATE TABLE effects (n {serial}, gid TEXT, branch TEXT, what TEXT);
    CREATE TABLE shelf (id INTEGER PRIMARY KEY, touched INTEGER NOT NULL);
    INSERT INTO shelf VALUES (0, 0), (1, 0), (2, 0);";

/// The statements, with a database's own spelling of parameters.
macro_rules! statements {
    ($db:ty, $one:literal, $two:literal, $three:literal) => {
        async fn effect(
            db: &mut Self::Connection,
            (gid, branch): (&Gid, &BranchId),
            what: &str,
        ) -> Result<(), sqlx::Error> {
            let text = concat!(
                "INSERT INTO effects (gid, branch, what) VALUES (",
                $one,
                ", ",
                $two,
                ", ",
                $three,
                ")"
            );
            let query = sqlx::query(text).bind(gid.as_str()).bind(branch.as_str()).bind(what);
            query.execute(&mut *db).await?;
            let text =
                concat!("UPDATE shelf SET touched = touched + 1 WHERE id = length(", $one, ") % 3");
            sqlx::query(text).bind(gid.as_str()).execute(&mut *db).await?;
            Ok(())
        }

        async fn effects(pool: &Pool<$db>, (gid, branch): (&Gid, &BranchId)) -> Vec<String> {
            let text = concat!(
                "SELECT what FROM effects WHERE gid = ",
                $one,
                " AND branch = ",
                $two,
                " ORDER BY n"
            );
            let query = sqlx::query(text).bind(gid.as_str()).bind(branch.as_str());
            let rows = query.fetch_all(pool).await.unwrap();
            rows.iter().map(|row| row.get("what")).collect()
        }

        async fn execute(db: &mut Self::Connection, text: &'static str) -> Result<(), sqlx::Error> {
            sqlx::raw_sql(text).execute(db).await.map(|_| ())
        }

        async fn count(pool: &Pool<$db>, text: &'static str) -> i64 {
            sqlx::query(text).fetch_one(pool).await.unwrap().get(0)
        }
    };
}

impl Bed for sqlx::Sqlite {
    async fn make(isolation: Isolation, connections: u32) -> World<Self> {
        use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
        assert_eq!(isolation, Isolation::Default, "SQLite has one isolation");
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("books.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off);
        let pool = sqlx::pool::PoolOptions::new().max_connections(connections);
        let pool = pool.connect_with(options).await.unwrap();
        let tables = TABLES.replace("{serial}", "INTEGER PRIMARY KEY");
        sqlx::raw_sql(sqlx::AssertSqlSafe(tables)).execute(&pool).await.unwrap();
        wholly::Service::new("books", pool.clone()).migrate().await.unwrap();
        World { pool, _folder: Some(folder), _listener: Listener::new() }
    }

    /// A real one needs a second writer and patience; the code is what counts.
    async fn busy(_: &mut Self::Connection) -> sqlx::Error {
        said("517")
    }

    async fn waiting(_: &Pool<Self>) -> i64 {
        1
    }

    statements!(sqlx::Sqlite, "$1", "$2", "$3");
}

#[cfg(feature = "postgres")]
impl Bed for sqlx::Postgres {
    async fn make(isolation: Isolation, connections: u32) -> World<Self> {
        use sqlx::postgres::PgConnectOptions;
        use std::sync::atomic::{AtomicU32, Ordering};
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        let url = std::env::var("WHOLLY_TEST_POSTGRES").expect(
            "WHOLLY_TEST_POSTGRES names no PostgreSQL: run `cargo xtask test`, which starts one, \
             or give the URL of one in which schemas may be made",
        );
        let n = WORLDS.fetch_add(1, Ordering::Relaxed);
        let schema = format!("books_{}_{n}", std::process::id());
        let level = match isolation {
            Isolation::Default | Isolation::ReadCommitted => "read committed",
            #[cfg(feature = "mysql")]
            Isolation::ReadUncommitted => unreachable!("PostgreSQL reads only what is committed"),
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        };
        let options: PgConnectOptions = url.parse().unwrap();
        let options = options.application_name(&schema).options([
            ("search_path", schema.as_str()),
            ("default_transaction_isolation", level),
            ("synchronous_commit", "off"),
        ]);
        let pool = sqlx::pool::PoolOptions::new().max_connections(connections);
        let pool: Pool<Self> = pool.connect_with(options).await.unwrap();
        let schema = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema};");
        let tables = schema + &TABLES.replace("{serial}", "BIGSERIAL");
        sqlx::raw_sql(sqlx::AssertSqlSafe(tables)).execute(&pool).await.unwrap();
        wholly::Service::new("books", pool.clone()).migrate().await.unwrap();
        World { pool, _folder: None, _listener: Listener::new() }
    }

    async fn busy(db: &mut Self::Connection) -> sqlx::Error {
        let raise = "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$";
        sqlx::raw_sql(raise).execute(db).await.unwrap_err()
    }

    async fn waiting(pool: &Pool<Self>) -> i64 {
        let text = "SELECT count(*) FROM pg_stat_activity
            WHERE application_name = current_setting('application_name')
              AND wait_event_type = 'Lock'";
        Self::count(pool, text).await
    }

    statements!(sqlx::Postgres, "$1", "$2", "$3");
}

#[cfg(feature = "mysql")]
impl Bed for sqlx::MySql {
    async fn make(isolation: Isolation, connections: u32) -> World<Self> {
        use sqlx::Executor;
        use sqlx::mysql::MySqlConnectOptions;
        use std::sync::atomic::{AtomicU32, Ordering};
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        let url = std::env::var("WHOLLY_TEST_MYSQL").expect(
            "WHOLLY_TEST_MYSQL names no MySQL or MariaDB: run `cargo xtask test`, which starts \
             one, or give the URL of one in which databases may be made",
        );
        let n = WORLDS.fetch_add(1, Ordering::Relaxed);
        let books = format!("books_{}_{n}", std::process::id());
        let level = match isolation {
            Isolation::ReadUncommitted => {
                "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED"
            }
            Isolation::ReadCommitted => "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            Isolation::Default | Isolation::RepeatableRead => {
                "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
            }
            Isolation::Serializable => "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        };
        let options: MySqlConnectOptions = url.parse().unwrap();
        let maker: Pool<Self> = Pool::connect_with(options.clone()).await.unwrap();
        let make = format!("DROP DATABASE IF EXISTS {books}; CREATE DATABASE {books};");
        sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&maker).await.unwrap();
        maker.close().await;
        let pool = sqlx::pool::PoolOptions::<Self>::new().max_connections(connections);
        let pool = pool.after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(level).await.map(|_| ()) })
        });
        let pool: Pool<Self> = pool.connect_with(options.database(&books)).await.unwrap();
        let tables = TABLES.replace("{serial}", "BIGINT AUTO_INCREMENT PRIMARY KEY");
        sqlx::raw_sql(sqlx::AssertSqlSafe(tables)).execute(&pool).await.unwrap();
        wholly::Service::new("books", pool.clone()).migrate().await.unwrap();
        World { pool, _folder: None, _listener: Listener::new() }
    }

    async fn busy(db: &mut Self::Connection) -> sqlx::Error {
        sqlx::raw_sql("SIGNAL SQLSTATE '40001'").execute(db).await.unwrap_err()
    }

    async fn waiting(pool: &Pool<Self>) -> i64 {
        // `innodb_trx` is a copy that is not made anew as long as somebody keeps asking for it.
        let ours = "SELECT count(*) FROM information_schema.processlist
            WHERE db = database() AND command <> 'Sleep' AND id <> connection_id()";
        let all = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'";
        let all: String = sqlx::query(all).fetch_one(pool).await.unwrap().get(1);
        Self::count(pool, ours).await.min(all.parse().unwrap())
    }

    statements!(sqlx::MySql, "?", "?", "?");
}

/// Runs a check on SQLite, and on PostgreSQL and MySQL at each of their isolation levels.
macro_rules! everywhere {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<sqlx::Sqlite>($crate::world::Isolation::Default).await;
            })+
        }
        #[cfg(feature = "postgres")]
        mod postgres_read_committed {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<sqlx::Postgres>($crate::world::Isolation::ReadCommitted).await;
            })+
        }
        #[cfg(feature = "postgres")]
        mod postgres_repeatable_read {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<sqlx::Postgres>($crate::world::Isolation::RepeatableRead).await;
            })+
        }
        #[cfg(feature = "postgres")]
        mod postgres_serializable {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<sqlx::Postgres>($crate::world::Isolation::Serializable).await;
            })+
        }
        #[cfg(feature = "mysql")]
        mod mysql_read_uncommitted {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<sqlx::MySql>($crate::world::Isolation::ReadUncommitted).await;
            })+
        }
        #[cfg(feature = "mysql")]
        mod mysql_read_committed {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<sqlx::MySql>($crate::world::Isolation::ReadCommitted).await;
            })+
        }
        #[cfg(feature = "mysql")]
        mod mysql_repeatable_read {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<sqlx::MySql>($crate::world::Isolation::RepeatableRead).await;
            })+
        }
        #[cfg(feature = "mysql")]
        mod mysql_serializable {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<sqlx::MySql>($crate::world::Isolation::Serializable).await;
            })+
        }
    };
}
pub(crate) use everywhere;

/// An error of a database with this code.
pub(crate) fn said(code: &'static str) -> sqlx::Error {
    sqlx::Error::Database(Box::new(Said(code)))
}

#[derive(Debug)]
struct Said(&'static str);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "code {}", self.0)
    }
}

impl std::error::Error for Said {}

impl sqlx::error::DatabaseError for Said {
    fn message(&self) -> &str {
        self.0
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.0.into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        sqlx::error::ErrorKind::Other
    }
}

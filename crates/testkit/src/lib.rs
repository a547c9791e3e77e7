//! A coordinator in a test: in process, in memory, and every fault over your own handlers.
//!
//! [`World::new`] starts a coordinator; [`World::serve`] lets it call a service of yours, your own
//! handlers over your own database; [`World::every_fault`] plays a business act of yours once for
//! each call that it makes and each [`Fault`] that can befall the call, and says where the books
//! do not balance.
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! # use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
//! # use sqlx::{Sqlite, SqliteConnection};
//! # use wholly::{Failure, NotDone, Operation, Saga, refuse_unless};
//! #[derive(Serialize, Deserialize, Operation)]
//! #[operation(name = "stock.lock-now", mode = saga)]
//! struct LockNow { quantity: i64 }
//!
//! struct Stock;
//!
//! impl Saga<LockNow> for Stock {
//!     type Database = Sqlite;
//!
//!     async fn action(&self, lock: &LockNow, db: &mut SqliteConnection) -> Result<(), NotDone> {
//!         let sql = "update stock set free = free - ?1, sold = sold + ?1 where free >= ?1";
//!         let taken = sqlx::query(sql).bind(lock.quantity).execute(db).await?;
//!         refuse_unless!(taken.rows_affected() == 1, "out_of_stock");
//!         Ok(())
//!     }
//!
//!     async fn compensate(
//!         &self,
//!         lock: &LockNow,
//!         _: &(),
//!         db: &mut SqliteConnection,
//!     ) -> Result<(), Failure> {
//!         let sql = "update stock set free = free + ?1, sold = sold - ?1";
//!         sqlx::query(sql).bind(lock.quantity).execute(db).await?;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
//! # let tables = "create table stock (free, sold); insert into stock values (1000, 0)";
//! # sqlx::raw_sql(tables).execute(&pool).await?;
//!
//! let world = testkit::World::new().await;
//! let stock = world.wholly().service("stock", pool.clone()).saga::<LockNow>(Stock);
//! let to = world.wholly().participant("stock");
//! world
//!     .serve(&stock)
//!     .every_fault(
//!         async |wholly| {
//!             let plan = wholly.saga("place-order").step("stock", &to, LockNow { quantity: 2 });
//!             plan.submit().await?.decided().await
//!         },
//!         async || {
//!             let sum = sqlx::query_scalar::<_, i64>("select free + sold from stock");
//!             sum.fetch_one(&pool).await.is_ok_and(|sum| sum == 1000)
//!         },
//!     )
//!     .await
//!     .assert();
//! # Ok(()) }
//! ```
//!
//! What is not simulated: the coordinator's own crash and the initiator's (the project's simulator
//! and kill tests see to these), a service's memory that is lost with its process, and faults
//! between your handler and its database.

mod answered;
mod door;
mod fault;
mod matrix;
mod network;
mod report;
mod run;
mod world;

pub use answered::{Answered, Balance};
pub use fault::Fault;
pub use matrix::Matrix;
pub use report::{Cell, Report, Verdict};
pub use wholly_core::limits::Limits;
pub use world::World;

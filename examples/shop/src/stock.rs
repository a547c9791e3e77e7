//! The stock service: locks what an order needs, then sells it or puts it back.

use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, SqliteConnection};
use wholly::{Failure, NotDone, Operation, Saga, Tcc, refuse};

/// What is on the shelf, and every movement of it.
pub const SCHEMA: &str = "
    create table if not exists stock (
        sku text primary key, received integer not null,
        free integer not null check (free >= 0),
        locked integer not null check (locked >= 0),
        sold integer not null check (sold >= 0));
    create table if not exists entries (
        order_id text not null, sku text not null,
        free integer not null, locked integer not null, sold integer not null);
    insert or ignore into stock values ('tea', 1000000, 1000000, 0, 0), ('vase', 0, 0, 0, 0);
";

/// Locks pieces for an order until the order is settled.
#[derive(Debug, Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock", mode = tcc, reply = Locked)]
pub struct Lock {
    /// For which order.
    pub order: String,
    /// Of which article.
    pub sku: String,
    /// How many.
    pub quantity: i64,
}

/// Sells pieces at once; they come back if the order fails.
#[derive(Debug, Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock-now", mode = saga, reply = Locked)]
pub struct LockNow {
    /// For which order.
    pub order: String,
    /// Of which article.
    pub sku: String,
    /// How many.
    pub quantity: i64,
}

/// Where the pieces stand.
#[derive(Debug, Serialize, Deserialize)]
pub struct Locked {
    /// The warehouse that sends them.
    pub warehouse: i64,
}

/// What the stock service offers.
pub struct Stock;

impl Tcc<Lock> for Stock {
    type Database = Sqlite;

    async fn try_(&self, lock: &Lock, db: &mut SqliteConnection) -> Result<Locked, NotDone> {
        let n = lock.quantity;
        match book(db, &lock.order, &lock.sku, Entry { free: -n, locked: n, sold: 0 }).await {
            Err(sqlx::Error::RowNotFound) => {
                refuse!("out_of_stock", "{} is out of stock", lock.sku)
            }
            moved => moved?,
        }
        Ok(Locked { warehouse: 7 })
    }

    async fn confirm(
        &self,
        lock: &Lock,
        _: &Locked,
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        let n = lock.quantity;
        Ok(book(db, &lock.order, &lock.sku, Entry { free: 0, locked: -n, sold: n }).await?)
    }

    async fn cancel(
        &self,
        lock: &Lock,
        _: &Locked,
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        let n = lock.quantity;
        Ok(book(db, &lock.order, &lock.sku, Entry { free: n, locked: -n, sold: 0 }).await?)
    }
}

impl Saga<LockNow> for Stock {
    type Database = Sqlite;

    async fn action(&self, lock: &LockNow, db: &mut SqliteConnection) -> Result<Locked, NotDone> {
        let n = lock.quantity;
        match book(db, &lock.order, &lock.sku, Entry { free: -n, locked: 0, sold: n }).await {
            Err(sqlx::Error::RowNotFound) => {
                refuse!("out_of_stock", "{} is out of stock", lock.sku)
            }
            moved => moved?,
        }
        Ok(Locked { warehouse: 7 })
    }

    async fn compensate(
        &self,
        lock: &LockNow,
        _: &Locked,
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        let n = lock.quantity;
        Ok(book(db, &lock.order, &lock.sku, Entry { free: n, locked: 0, sold: -n }).await?)
    }
}

/// How many pieces go where.
struct Entry {
    free: i64,
    locked: i64,
    sold: i64,
}

/// Moves pieces, or finds no row with enough of them free; writes the movement down under its
/// order.
async fn book(db: &mut SqliteConnection, order: &str, sku: &str, entry: Entry) -> sqlx::Result<()> {
    let moved = sqlx::query(
        "update stock set free = free + ?2, locked = locked + ?3, sold = sold + ?4
         where sku = ?1 and free + ?2 >= 0",
    )
    .bind(sku)
    .bind(entry.free)
    .bind(entry.locked)
    .bind(entry.sold)
    .execute(&mut *db)
    .await?;
    if moved.rows_affected() == 0 {
        return Err(sqlx::Error::RowNotFound);
    }
    sqlx::query("insert into entries values (?, ?, ?, ?, ?)")
        .bind(order)
        .bind(sku)
        .bind(entry.free)
        .bind(entry.locked)
        .bind(entry.sold)
        .execute(&mut *db)
        .await?;
    Ok(())
}

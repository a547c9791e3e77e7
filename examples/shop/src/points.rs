//! The points service: locks what an order costs, then spends it or gives it back.

use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, SqliteConnection};
use wholly::{Failure, NotDone, Operation, Saga, Tcc, refuse};

/// What customers have, and every movement of it.
pub const SCHEMA: &str = "
    create table if not exists accounts (
        customer text primary key, received integer not null,
        free integer not null check (free >= 0),
        locked integer not null check (locked >= 0),
        spent integer not null check (spent >= 0));
    create table if not exists entries (
        order_id text not null, customer text not null,
        free integer not null, locked integer not null, spent integer not null);
    insert or ignore into accounts values ('ann', 1000000, 1000000, 0, 0), ('bob', 0, 0, 0, 0);
";

/// Locks points for an order until the order is settled.
#[derive(Debug, Serialize, Deserialize, Operation)]
#[operation(name = "points.deduct", mode = tcc)]
pub struct Deduct {
    /// For which order.
    pub order: String,
    /// Whose.
    pub customer: String,
    /// How many.
    pub points: i64,
}

/// Spends points at once; they come back if the order fails.
#[derive(Debug, Serialize, Deserialize, Operation)]
#[operation(name = "points.deduct-now", mode = saga)]
pub struct DeductNow {
    /// For which order.
    pub order: String,
    /// Whose.
    pub customer: String,
    /// How many.
    pub points: i64,
}

/// What the points service offers.
pub struct Points;

impl Tcc<Deduct> for Points {
    type Database = Sqlite;

    async fn try_(&self, deduct: &Deduct, db: &mut SqliteConnection) -> Result<(), NotDone> {
        let n = deduct.points;
        match book(db, &deduct.order, &deduct.customer, Entry { free: -n, locked: n, spent: 0 })
            .await
        {
            Err(sqlx::Error::RowNotFound) => {
                refuse!("too_few_points", "{} has fewer than {n}", deduct.customer)
            }
            moved => moved?,
        }
        Ok(())
    }

    async fn confirm(
        &self,
        deduct: &Deduct,
        _: &(),
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        let n = deduct.points;
        Ok(book(db, &deduct.order, &deduct.customer, Entry { free: 0, locked: -n, spent: n })
            .await?)
    }

    async fn cancel(
        &self,
        deduct: &Deduct,
        _: &(),
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        let n = deduct.points;
        Ok(book(db, &deduct.order, &deduct.customer, Entry { free: n, locked: -n, spent: 0 })
            .await?)
    }
}

impl Saga<DeductNow> for Points {
    type Database = Sqlite;

    async fn action(&self, deduct: &DeductNow, db: &mut SqliteConnection) -> Result<(), NotDone> {
        let n = deduct.points;
        match book(db, &deduct.order, &deduct.customer, Entry { free: -n, locked: 0, spent: n })
            .await
        {
            Err(sqlx::Error::RowNotFound) => {
                refuse!("too_few_points", "{} has fewer than {n}", deduct.customer)
            }
            moved => moved?,
        }
        Ok(())
    }

    async fn compensate(
        &self,
        deduct: &DeductNow,
        _: &(),
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        let n = deduct.points;
        Ok(book(db, &deduct.order, &deduct.customer, Entry { free: n, locked: 0, spent: -n })
            .await?)
    }
}

/// How many points go where.
struct Entry {
    free: i64,
    locked: i64,
    spent: i64,
}

/// Moves points, or finds no row with enough of them free; writes the movement down under its
/// order.
async fn book(
    db: &mut SqliteConnection,
    order: &str,
    customer: &str,
    entry: Entry,
) -> sqlx::Result<()> {
    let moved = sqlx::query(
        "update accounts set free = free + ?2, locked = locked + ?3, spent = spent + ?4
         where customer = ?1 and free + ?2 >= 0",
    )
    .bind(customer)
    .bind(entry.free)
    .bind(entry.locked)
    .bind(entry.spent)
    .execute(&mut *db)
    .await?;
    if moved.rows_affected() == 0 {
        return Err(sqlx::Error::RowNotFound);
    }
    sqlx::query("insert into entries values (?, ?, ?, ?, ?)")
        .bind(order)
        .bind(customer)
        .bind(entry.free)
        .bind(entry.locked)
        .bind(entry.spent)
        .execute(&mut *db)
        .await?;
    Ok(())
}

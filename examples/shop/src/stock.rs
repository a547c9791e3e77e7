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

#[cfg(test)]
mod tests {
    use super::*;
    use wholly::Op;

    /// Does these in order, each on two pieces, and reads the shelf: free, locked, sold.
    async fn check(sku: &str, ops: &[Op], expected: Result<(i64, i64, i64), &str>) {
        let folder = tempfile::tempdir().unwrap();
        let pool = crate::database::open(&folder.path().join("stock.db"), SCHEMA).await.unwrap();
        let db = &mut *pool.acquire().await.unwrap();
        let (order, quantity) = (String::from("1"), 2);
        let lock = Lock { order: order.clone(), sku: sku.to_owned(), quantity };
        let now = LockNow { order, sku: sku.to_owned(), quantity };
        let locked = Locked { warehouse: 7 };
        let mut refused = None;
        for op in ops {
            let done = match op {
                Op::Try => Stock.try_(&lock, db).await.map(drop),
                Op::Confirm => Stock.confirm(&lock, &locked, db).await.map_err(Into::into),
                Op::Cancel => Stock.cancel(&lock, &locked, db).await.map_err(Into::into),
                Op::Action => Stock.action(&now, db).await.map(drop),
                Op::Compensate => Stock.compensate(&now, &locked, db).await.map_err(Into::into),
                Op::Inspect => Ok(()),
            };
            refused = done.err().or(refused);
        }
        let shelf = sqlx::query_as("select free - received, locked, sold from stock where sku = ?")
            .bind(sku)
            .fetch_one(&mut *db)
            .await
            .unwrap();
        let seen = match &refused {
            None => Ok(shelf),
            Some(NotDone::Refused(refusal)) => Err(refusal.code()),
            Some(NotDone::Failed(failure)) => panic!("{ops:?}: {failure}"),
        };
        assert_eq!(seen, expected, "{sku} {ops:?}");
    }

    #[tokio::test]
    async fn pieces_are_locked_sold_and_given_back() {
        check("tea", &[Op::Try], Ok((-2, 2, 0))).await;
        check("tea", &[Op::Try, Op::Confirm], Ok((-2, 0, 2))).await;
        check("tea", &[Op::Try, Op::Cancel], Ok((0, 0, 0))).await;
        check("tea", &[Op::Action], Ok((-2, 0, 2))).await;
        check("tea", &[Op::Action, Op::Compensate], Ok((0, 0, 0))).await;
        check("vase", &[Op::Try], Err("out_of_stock")).await;
        check("vase", &[Op::Action], Err("out_of_stock")).await;
    }
}

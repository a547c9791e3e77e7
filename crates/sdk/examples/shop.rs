//! The code of the README, as it compiles and runs: an order that happens wholly or not at all.
//!
//! ```text
//! cargo run -p wholly --example shop &
//! wholly serve --dev --destination stock=http://127.0.0.1:8081 \
//!                    --destination order=http://127.0.0.1:8081 &
//! curl 127.0.0.1:8081/orders -H 'content-type: application/json' \
//!      -d '{"id":"1","sku":"tea","quantity":2}'
//! ```

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};
use wholly::{Failure, NotDone, Operation, Participant, Saga, Service, Tcc, Wholly, refuse_unless};

const LOCK: &str =
    "update stock set free = free - ?2, locked = locked + ?2 where sku = ?1 and free >= ?2";
const SELL: &str = "update stock set locked = locked - ?2, sold = sold + ?2 where sku = ?1";
const FREE: &str = "update stock set locked = locked - ?2, free = free + ?2 where sku = ?1";

#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock", mode = tcc)]
struct Lock {
    sku: String,
    quantity: i64,
}

struct Stock;

impl Tcc<Lock> for Stock {
    type Database = Sqlite;

    async fn try_(&self, lock: &Lock, db: &mut SqliteConnection) -> Result<(), NotDone> {
        let taken = sqlx::query(LOCK).bind(&lock.sku).bind(lock.quantity).execute(db).await?;
        refuse_unless!(taken.rows_affected() == 1, "out_of_stock", "{} is out of stock", lock.sku);
        Ok(())
    }

    async fn confirm(&self, lock: &Lock, _: &(), db: &mut SqliteConnection) -> Result<(), Failure> {
        sqlx::query(SELL).bind(&lock.sku).bind(lock.quantity).execute(db).await?;
        Ok(())
    }

    async fn cancel(&self, lock: &Lock, _: &(), db: &mut SqliteConnection) -> Result<(), Failure> {
        sqlx::query(FREE).bind(&lock.sku).bind(lock.quantity).execute(db).await?;
        Ok(())
    }
}

#[derive(Clone, Serialize, Deserialize, Operation)]
#[operation(name = "order.create", mode = saga)]
struct Order {
    id: String,
    sku: String,
    quantity: i64,
}

struct Orders;

impl Saga<Order> for Orders {
    type Database = Sqlite;

    async fn action(&self, order: &Order, db: &mut SqliteConnection) -> Result<(), NotDone> {
        sqlx::query("insert into orders values (?)").bind(&order.id).execute(db).await?;
        Ok(())
    }

    async fn compensate(
        &self,
        order: &Order,
        _: &(),
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        sqlx::query("delete from orders where id = ?").bind(&order.id).execute(db).await?;
        Ok(())
    }
}

#[derive(Clone)]
struct Shop {
    wholly: Wholly,
    orders: Service<Sqlite>,
    stock: Participant,
}

async fn place_order(shop: &Shop, order: Order) -> Result<(), wholly::Error> {
    let gid = format!("order-{}", order.id);
    shop.wholly
        .transaction("place-order")
        .gid(gid)
        .run(async |tx| {
            let lock = Lock { sku: order.sku.clone(), quantity: order.quantity };
            tx.call(&shop.stock, lock).await?;
            tx.local(&shop.orders, order).await?;
            Ok(())
        })
        .await
}

async fn handle(State(shop): State<Shop>, Json(order): Json<Order>) -> String {
    match place_order(&shop, order).await {
        Ok(()) => "placed\n".to_owned(),
        Err(error) => format!("not placed: {error}\n"),
    }
}

async fn database(name: &str, schema: &'static str) -> Result<SqlitePool, sqlx::Error> {
    let pool = SqlitePool::connect(&format!("sqlite://{name}.db?mode=rwc")).await?;
    sqlx::raw_sql(schema).execute(&pool).await?;
    Ok(pool)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = database(
        "stock",
        "create table if not exists stock (sku text primary key, free integer,
                                           locked integer default 0, sold integer default 0);
         insert or ignore into stock (sku, free) values ('tea', 10);",
    )
    .await?;
    let wholly = Wholly::new("http://127.0.0.1:7700")?;
    let stock = wholly.service("stock", pool).tcc::<Lock>(Stock);
    stock.migrate().await?;
    let pool = database("order", "create table if not exists orders (id text primary key)").await?;
    let orders = wholly.service("order", pool).saga::<Order>(Orders);
    orders.migrate().await?;
    let participants = wholly.router([&stock, &orders]);
    let shop = Shop { stock: wholly.participant("stock"), orders, wholly };
    let app = Router::new().route("/orders", post(handle)).with_state(shop).merge(participants);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
    axum::serve(listener, app).await?;
    Ok(())
}

//! A service: what it offers to others, and a handler that is itself a global transaction.
//!
//! `wholly serve --dev`, then `WHOLLY_URL=http://127.0.0.1:7700 cargo run -p wholly --example
//! service`, then `curl -X POST -H 'content-type: application/json' -d
//! '{"sku":"lamp","quantity":2}' http://127.0.0.1:8080/orders`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};
use wholly::{
    BoxError, Call, Failure, NotDone, Op, Operation, Outside, Participant, Refuse, Saga, Tcc,
    Wholly, global_transaction, refuse_unless,
};

#[derive(Serialize, Deserialize)]
struct Locked {
    warehouse: u32,
}

#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock", mode = tcc, reply = Locked)]
struct Lock {
    sku: String,
    quantity: i64,
}

#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock-now", mode = saga, reply = Locked)]
struct LockNow {
    sku: String,
    quantity: i64,
}

#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "bank.charge", mode = saga)]
struct Charge {
    cents: i64,
}

struct Stock;

const TAKE: &str =
    "update stock set free = free - $1, locked = locked + $1 where sku = $2 and free >= $1";
const USE: &str = "update stock set locked = locked - $1 where sku = $2";
const RELEASE: &str = "update stock set locked = locked - $1, free = free + $1 where sku = $2";

async fn change(
    db: &mut SqliteConnection,
    statement: &'static str,
    (sku, quantity): (&str, i64),
) -> Result<u64, sqlx::Error> {
    let changed = sqlx::query(statement).bind(quantity).bind(sku).execute(db).await?;
    Ok(changed.rows_affected())
}

impl Tcc<Lock> for Stock {
    type Database = Sqlite;

    async fn try_(&self, lock: &Lock, db: &mut SqliteConnection) -> Result<Locked, NotDone> {
        // An error of the domain, made a refusal; any other error is asked again.
        u16::try_from(lock.quantity).refuse("odd_quantity")?;
        let taken = change(db, TAKE, (&lock.sku, lock.quantity)).await?;
        refuse_unless!(taken == 1, "out_of_stock", "{} is out of stock", lock.sku);
        Ok(Locked { warehouse: 7 })
    }

    async fn confirm(
        &self,
        lock: &Lock,
        _: &Locked,
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        change(db, USE, (&lock.sku, lock.quantity)).await?;
        Ok(())
    }

    async fn cancel(
        &self,
        lock: &Lock,
        _: &Locked,
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        change(db, RELEASE, (&lock.sku, lock.quantity)).await?;
        Ok(())
    }
}

impl Saga<LockNow> for Stock {
    type Database = Sqlite;

    async fn action(&self, lock: &LockNow, db: &mut SqliteConnection) -> Result<Locked, NotDone> {
        let taken = change(db, TAKE, (&lock.sku, lock.quantity)).await?;
        refuse_unless!(taken == 1, "out_of_stock", "{} is out of stock", lock.sku);
        Ok(Locked { warehouse: 7 })
    }

    async fn compensate(
        &self,
        lock: &LockNow,
        _: &Locked,
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        change(db, RELEASE, (&lock.sku, lock.quantity)).await?;
        Ok(())
    }
}

/// No database of ours: the call's key is the idempotency key for the other side.
struct Bank;

impl Outside<Charge> for Bank {
    async fn action(&self, charge: &Charge, call: &Call) -> Result<(), NotDone> {
        println!("bank, charge {} cents once under {}", charge.cents, call.key());
        Ok(())
    }

    async fn compensate(
        &self,
        charge: &Charge,
        _: Option<&()>,
        call: &Call,
    ) -> Result<(), Failure> {
        println!("bank, {} cents of {} back", charge.cents, call.key_of(Op::Action));
        Ok(())
    }
}

#[derive(Clone)]
struct App {
    wholly: Wholly,
    stock: Participant,
}

#[derive(Deserialize)]
struct Order {
    sku: String,
    quantity: i64,
}

#[derive(Serialize)]
struct Placed {
    warehouse: u32,
}

#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error(transparent)]
    Wholly(#[from] wholly::Error),
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let AppError::Wholly(error) = &self;
        let status = match error.refusal() {
            Some(_) => StatusCode::CONFLICT,
            None => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, error.to_string()).into_response()
    }
}

#[global_transaction(app.wholly, "place-order", timeout = "30s")]
async fn place_order(
    State(app): State<App>,
    Json(order): Json<Order>,
) -> Result<Json<Placed>, AppError> {
    let lock = Lock { sku: order.sku, quantity: order.quantity };
    let locked = app.stock.call(lock).await?;
    Ok(Json(Placed { warehouse: locked.warehouse }))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let wholly = Wholly::from_env()?;
    let lite = SqlitePool::connect_with(
        SqliteConnectOptions::new()
            .filename("wholly-example.sqlite")
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full),
    )
    .await?;
    let table = "create table if not exists stock (sku text primary key, free int, locked int)";
    sqlx::query(table).execute(&lite).await?;
    let rows = "insert into stock values ('lamp', 100, 0), ('gift', 100, 0) on conflict do nothing";
    sqlx::query(rows).execute(&lite).await?;

    let service = wholly.service("http://127.0.0.1:8080", lite);
    let service = service.tcc::<Lock>(Stock).saga::<LockNow>(Stock).outside::<Charge>(Bank);
    service.migrate().await?;
    let stock = wholly.participant("http://127.0.0.1:8080");
    let app = Router::new()
        .route("/orders", post(place_order))
        .merge(wholly.router([&service])) // under /wholly/, for any state
        .layer(wholly.join_layer())
        .with_state(App { wholly: wholly.clone(), stock });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, app).await?;
    Ok(())
}

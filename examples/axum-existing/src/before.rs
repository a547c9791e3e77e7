//! An ordinary order service, axum and SQLite: it writes its orders, and whether there is stock
//! for them somebody finds out later.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection as Db};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};

#[derive(Clone)]
struct App {
    database: SqlitePool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    id: String,
    sku: String,
    quantity: i64,
}

async fn place_order(
    State(app): State<App>,
    Json(order): Json<Order>,
) -> Result<Json<Order>, Failed> {
    insert(&order, &mut *app.database.acquire().await?).await?;
    Ok(Json(order))
}

/// For the clerk who finds out that there is no stock.
async fn cancel_order(
    State(app): State<App>,
    Json(order): Json<Order>,
) -> Result<StatusCode, Failed> {
    delete(&order, &mut *app.database.acquire().await?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn show_order(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Option<Order>>, Failed> {
    let row: Option<(String, String, i64)> =
        sqlx::query_as("select id, sku, quantity from orders where id = ?")
            .bind(id)
            .fetch_optional(&app.database)
            .await?;
    Ok(Json(row.map(|(id, sku, quantity)| Order { id, sku, quantity })))
}

async fn insert(order: &Order, db: &mut Db) -> Result<(), sqlx::Error> {
    let insert = sqlx::query("insert into orders values (?, ?, ?)");
    insert.bind(&order.id).bind(&order.sku).bind(order.quantity).execute(db).await?;
    Ok(())
}

async fn delete(order: &Order, db: &mut Db) -> Result<(), sqlx::Error> {
    sqlx::query("delete from orders where id = ?").bind(&order.id).execute(db).await?;
    Ok(())
}

/// An answer that says what went wrong.
struct Failed(String);

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Failed(error.to_string())
    }
}

impl axum::response::IntoResponse for Failed {
    fn into_response(self) -> axum::response::Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0).into_response()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = SqliteConnectOptions::new()
        .filename("orders.db")
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let database = SqlitePool::connect_with(options).await?;
    let table = "create table if not exists orders (id text primary key, sku text, quantity int)";
    sqlx::raw_sql(table).execute(&database).await?;

    let app = Router::new()
        .route("/orders", post(place_order).delete(cancel_order))
        .route("/orders/{id}", get(show_order))
        .with_state(App { database });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, app).await?;
    Ok(())
}

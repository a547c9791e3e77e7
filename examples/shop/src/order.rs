//! The order service: places an order as one TCC scope, or hands it over as a saga.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Sqlite, SqliteConnection};
use std::time::Duration;
use wholly::{Decided, Decision, Error, Failure, NotDone, Operation, Participant};
use wholly::{Saga, Service, Wholly};

use crate::points::{Deduct, DeductNow};
use crate::stock::{Lock, LockNow};

/// The orders; none of them is for more than a cart holds.
pub const SCHEMA: &str = "
    create table if not exists orders (
        id text primary key, sku text not null, customer text not null,
        quantity integer not null check (quantity between 1 and 100),
        points integer not null,
        state text not null check (state in ('placed', 'cancelled')));
";

/// What a customer wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Its number, chosen by the caller; one transaction each.
    pub order: String,
    /// Which article.
    pub sku: String,
    /// How many.
    pub quantity: i64,
    /// Whose points pay.
    pub customer: String,
    /// How many of them.
    pub points: i64,
}

/// What the customer hears.
#[derive(Debug, Serialize, Deserialize)]
pub struct Placed {
    /// The order.
    pub order: String,
    /// The warehouse that sends it, where the stock service has said.
    pub warehouse: Option<i64>,
}

/// Writes the order into our own database.
#[derive(Debug, Serialize, Deserialize, Operation)]
#[operation(name = "orders.create", mode = saga)]
pub struct CreateOrder {
    /// What is ordered.
    pub order: Order,
}

/// What the order service offers.
pub struct Orders;

impl Saga<CreateOrder> for Orders {
    type Database = Sqlite;

    async fn action(&self, create: &CreateOrder, db: &mut SqliteConnection) -> Result<(), NotDone> {
        let order = &create.order;
        sqlx::query("insert into orders values (?, ?, ?, ?, ?, 'placed')")
            .bind(&order.order)
            .bind(&order.sku)
            .bind(&order.customer)
            .bind(order.quantity)
            .bind(order.points)
            .execute(&mut *db)
            .await?;
        Ok(())
    }

    async fn compensate(
        &self,
        create: &CreateOrder,
        _: &(),
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        sqlx::query("update orders set state = 'cancelled' where id = ?")
            .bind(&create.order.order)
            .execute(&mut *db)
            .await?;
        Ok(())
    }
}

/// What the handler needs.
#[derive(Clone)]
pub struct Shop {
    /// The coordinator.
    pub wholly: Wholly,
    /// Our own database, as a participant in this process.
    pub orders: Service<Sqlite>,
    /// The same, as the coordinator calls it.
    pub order: Participant,
    /// The stock service.
    pub stock: Participant,
    /// The points service.
    pub points: Participant,
    /// How long an order may take before it is undone.
    pub patience: Duration,
}

/// Which pattern carries the order: `POST /orders?mode=tcc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Lock stock and points, write the order, then confirm or cancel all.
    Tcc,
    /// Hand over the steps; the coordinator does the rest though this service dies.
    Saga,
}

/// The query of `POST /orders`.
#[derive(Debug, Deserialize)]
pub struct How {
    /// Which pattern.
    pub mode: Mode,
}

/// Places an order: wholly or not at all.
pub async fn place_order(
    State(shop): State<Shop>,
    Query(how): Query<How>,
    Json(order): Json<Order>,
) -> Result<Json<Placed>, NotPlaced> {
    match how.mode {
        Mode::Tcc => place_in_one_scope(&shop, order).await,
        Mode::Saga => place_step_by_step(&shop, order).await,
    }
}

async fn place_in_one_scope(shop: &Shop, order: Order) -> Result<Json<Placed>, NotPlaced> {
    let Order { order: id, sku, quantity, customer, points } = order.clone();
    let placed = shop
        .wholly
        .transaction("place-order")
        .gid(format!("order-{id}"))
        .timeout(shop.patience)
        .run(async |tx| {
            let lock = Lock { order: id.clone(), sku, quantity };
            let locked = tx.call(&shop.stock, lock).await?;
            tx.call(&shop.points, Deduct { order: id.clone(), customer, points }).await?;
            tx.local(&shop.orders, CreateOrder { order }).await?;
            Ok(Placed { order: id, warehouse: Some(locked.warehouse) })
        });
    Ok(Json(placed.await?))
}

async fn place_step_by_step(shop: &Shop, order: Order) -> Result<Json<Placed>, NotPlaced> {
    let Order { order: id, sku, quantity, customer, points } = order.clone();
    let decided = shop
        .wholly
        .saga("place-order")
        .gid(format!("order-{id}"))
        .timeout(shop.patience)
        .step("order", &shop.order, CreateOrder { order })
        .step("stock", &shop.stock, LockNow { order: id.clone(), sku, quantity })
        .after(["order"])
        .step("points", &shop.points, DeductNow { order: id.clone(), customer, points })
        .after(["stock"])
        .submit()
        .await?
        .decided()
        .await?;
    let Decided { gid, decision, cause } = decided;
    match decision {
        Decision::Commit => Ok(Json(Placed { order: id, warehouse: None })),
        Decision::Abort => Err(NotPlaced(Error::Aborted { gid, cause, reason: None })),
    }
}

/// Why an order was not placed, or is not known to be.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NotPlaced(#[from] Error);

impl IntoResponse for NotPlaced {
    fn into_response(self) -> Response {
        let (status, state) = match self.0.is_aborted() {
            true => (StatusCode::CONFLICT, "cancelled"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not_known"),
        };
        let why = match self.0.refusal() {
            Some(code) => code.to_string(),
            None => self.0.to_string(),
        };
        (status, Json(json!({ "state": state, "why": why }))).into_response()
    }
}

//! Starts one of the three services: its database, its router, its faults.

use crate::database;
use crate::faults::Faults;
use crate::order::{self, CreateOrder, Orders, Shop, place_order};
use crate::points::{self, Deduct, DeductNow, Points};
use crate::stock::{self, Lock, LockNow, Stock};
use axum::Router;
use axum::routing::post;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use wholly::Wholly;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It takes orders and begins transactions.
    Order,
    /// It has the pieces.
    Stock,
    /// It has the points.
    Points,
}

/// What a service starts with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where its database lies.
    pub folder: PathBuf,
    /// The coordinator's address.
    pub coordinator: String,
    /// How long an order may take before it is undone.
    pub patience: Duration,
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
#[error("the {} service did not start", .role.name())]
pub struct StartError {
    role: Role,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Role {
    /// All three, in the order of the story.
    pub const ALL: [Role; 3] = [Role::Order, Role::Stock, Role::Points];

    /// Its name, as a destination of the coordinator.
    pub fn name(self) -> &'static str {
        match self {
            Role::Order => "order",
            Role::Stock => "stock",
            Role::Points => "points",
        }
    }

    /// Its database in a folder.
    pub fn file(self, folder: &Path) -> PathBuf {
        folder.join(self.name()).with_extension("db")
    }

    /// Opens its database and builds its router, faults included.
    pub async fn router(self, settings: &Settings) -> Result<Router, StartError> {
        let built = match self {
            Role::Order => order_router(settings).await,
            Role::Stock => stock_router(settings).await,
            Role::Points => points_router(settings).await,
        };
        let router = built.map_err(|source| StartError { role: self, source })?;
        Ok(Faults::default().around(router))
    }
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, router: Router) -> std::io::Result<()> {
    axum::serve(listener, router).await
}

type Built = Result<Router, Box<dyn std::error::Error + Send + Sync>>;

async fn order_router(settings: &Settings) -> Built {
    let wholly = Wholly::new(&settings.coordinator)?;
    let database = database::open(&Role::Order.file(&settings.folder), order::SCHEMA).await?;
    let orders = wholly.service("order", database).saga::<CreateOrder>(Orders);
    orders.migrate().await?;
    let participants = wholly.router([&orders]);
    let shop = Shop {
        order: wholly.participant("order"),
        stock: wholly.participant("stock"),
        points: wholly.participant("points"),
        patience: settings.patience,
        orders,
        wholly,
    };
    Ok(Router::new().route("/orders", post(place_order)).with_state(shop).merge(participants))
}

async fn stock_router(settings: &Settings) -> Built {
    let wholly = Wholly::new(&settings.coordinator)?;
    let database = database::open(&Role::Stock.file(&settings.folder), stock::SCHEMA).await?;
    let stock = wholly.service("stock", database).tcc::<Lock>(Stock).saga::<LockNow>(Stock);
    stock.migrate().await?;
    Ok(wholly.router([&stock]))
}

async fn points_router(settings: &Settings) -> Built {
    let wholly = Wholly::new(&settings.coordinator)?;
    let database = database::open(&Role::Points.file(&settings.folder), points::SCHEMA).await?;
    let points = wholly.service("points", database).tcc::<Deduct>(Points).saga::<DeductNow>(Points);
    points.migrate().await?;
    Ok(wholly.router([&points]))
}

//! The shop under every fault: each call of an order × everything that can befall it.

#![expect(clippy::unwrap_used, reason = "a test stops where its ground fails")]

use axum::Json;
use axum::extract::{Query, State};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Fault, Report, Verdict, World};
use wholly::Wholly;
use wholly_shop::books::Books;
use wholly_shop::order::{CreateOrder, How, Mode, NotPlaced, Order, Orders, Shop, place_order};
use wholly_shop::points::{Deduct, DeductNow, Points};
use wholly_shop::service::Role;
use wholly_shop::stock::{Lock, LockNow, Stock};
use wholly_shop::{database, order, points, stock};

/// Places an order of its own, by the shop's own handler.
async fn place(shop: &Shop, wholly: Wholly, mode: Mode) -> Result<(), NotPlaced> {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let order = Order {
        order: NUMBER.fetch_add(1, Ordering::Relaxed).to_string(),
        sku: "tea".to_owned(),
        quantity: 2,
        customer: "ann".to_owned(),
        points: 30,
    };
    let shop = Shop { wholly, ..shop.clone() };
    place_order(State(shop), Query(How { mode }), Json(order)).await.map(drop)
}

async fn books_balance(folder: &TempDir) -> Result<(), String> {
    let books = Books::read(folder.path()).await.map_err(|error| error.to_string())?;
    match books.balance() {
        true => Ok(()),
        false => Err(format!("{:?}; pending: {:?}", books.wrong, books.pending)),
    }
}

async fn every_fault(mode: Mode) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let file = |role: Role| role.file(folder.path());
    let orders = database::open(&file(Role::Order), order::SCHEMA).await.unwrap();
    let shelves = database::open(&file(Role::Stock), stock::SCHEMA).await.unwrap();
    let accounts = database::open(&file(Role::Points), points::SCHEMA).await.unwrap();

    let world = World::new().await;
    let wholly = world.wholly();
    let orders = wholly.service("order", orders).saga::<CreateOrder>(Orders);
    let stock = wholly.service("stock", shelves).tcc::<Lock>(Stock).saga::<LockNow>(Stock);
    let points = wholly.service("points", accounts).tcc::<Deduct>(Points).saga::<DeductNow>(Points);
    let shop = Shop {
        order: wholly.participant("order"),
        stock: wholly.participant("stock"),
        points: wholly.participant("points"),
        patience: Duration::from_secs(30),
        orders: orders.clone(),
        wholly: wholly.clone(),
    };
    world
        .serve(&orders)
        .serve(&stock)
        .serve(&points)
        .every_fault(
            async |wholly| place(&shop, wholly, mode).await,
            async || books_balance(&folder).await,
        )
        .await
}

/// All cells pass, and these are decided so.
fn check(report: &Report, cells: usize, decided: &[(&str, Fault, &'static str)]) {
    report.assert();
    println!("{report}");
    for (call, fault, expected) in decided {
        let cell =
            report.cells().iter().find(|cell| cell.call() == *call && cell.fault() == *fault);
        let verdict = cell.map(|cell| cell.verdict());
        assert_eq!(verdict, Some(Verdict::Passed(expected)), "{call} × {fault}\n{report}");
    }
    assert_eq!(report.cells().len(), cells, "{report}");
}

#[tokio::test]
async fn an_order_in_one_scope_survives_everything() {
    let report = every_fault(Mode::Tcc).await;
    // Two tries under eight faults; two confirms and two cancels under six.
    check(
        &report,
        2 * 8 + 4 * 6,
        &[
            ("stock.lock try", Fault::Refuse, "abort"),
            ("points.deduct try", Fault::CrashAfter, "commit"),
            ("points.deduct confirm", Fault::CrashMidway, "commit"),
            ("stock.lock cancel", Fault::Duplicate, "abort"),
        ],
    );
}

#[tokio::test]
async fn an_order_step_by_step_survives_everything() {
    let report = every_fault(Mode::Saga).await;
    // Three actions under eight faults, three compensations under six.
    check(
        &report,
        3 * 8 + 3 * 6,
        &[
            ("order action", Fault::Refuse, "abort"),
            ("points action", Fault::Slow, "commit"),
            ("order compensate", Fault::CrashBefore, "abort"),
            ("points compensate", Fault::Late, "abort"),
        ],
    );
}

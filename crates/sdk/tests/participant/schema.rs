//! The tables are made once, by whoever comes first, and never changed by whoever comes later.

use crate::asking::{Ask, words};
use crate::handlers::{Gate, Lock, Stock};
use crate::world::{Bed, Isolation, everywhere};
use wholly::Service;
use wholly::schema::{self, SchemaError};
use wholly_core::branch::Op;

everywhere!(many_may_make_them_at_once);

async fn many_may_make_them_at_once<D: Bed>(isolation: Isolation) {
    let world = D::make(isolation, 4).await;
    let mut connection = world.pool.acquire().await.unwrap();
    let drop_both = "DROP TABLE wholly_barrier; DROP TABLE wholly_barrier_limit";
    D::execute(&mut connection, drop_both).await.unwrap();
    drop(connection);
    let stock = Stock::<D>::new(&Gate::closed());
    let service = Service::new("stock", world.pool.clone()).tcc::<Lock>(stock);
    let making: Vec<_> = (0..4)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.migrate().await })
        })
        .collect();
    for making in making {
        making.await.unwrap().unwrap();
    }
    let router = wholly::participant::router([&service]);
    let ask = Ask::new("stock.lock", Op::Cancel, "g", "a");
    assert_eq!(words(&ask.of(&router).await), "done kept");
    service.migrate().await.unwrap();
    let state = words(&Ask::new("stock.lock", Op::Inspect, "g", "a").of(&router).await);
    assert_eq!(state, "done {\"state\":\"null_cancelled\"}", "what was there is there");
}

#[tokio::test]
async fn a_url_says_where_to_make_them() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/new.sqlite?mode=rwc", folder.path().display());
    schema::apply(&url).await.unwrap();
    schema::apply(&url).await.unwrap();
    let error = schema::apply("oracle://me:secret@db/books").await.unwrap_err();
    assert!(matches!(error, SchemaError::Unknown { .. }));
    let missing = schema::apply("sqlite:///nowhere/at/all.sqlite?secret").await.unwrap_err();
    for error in [error.to_string(), missing.to_string()] {
        assert!(!error.contains("secret"), "{error}");
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_url_of_postgres_too() {
    <sqlx::Postgres as Bed>::make(Isolation::Default, 1).await;
    schema::apply(&std::env::var("WHOLLY_TEST_POSTGRES").unwrap()).await.unwrap();
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn a_url_of_mysql_too() {
    <sqlx::MySql as Bed>::make(Isolation::Default, 1).await;
    let server = std::env::var("WHOLLY_TEST_MYSQL").unwrap();
    schema::apply(&server).await.unwrap();
}

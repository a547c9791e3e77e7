//! A database that asks to do it again is obeyed, a bounded number of times.

use crate::asking::{Ask, branch, gid, words};
use crate::handlers::{Gate, Lock, Stock};
use crate::world::{Bed, Isolation, everywhere, said};
use wholly::Service;
use wholly::participant::service::TRANSIENT_MAX;
use wholly_core::branch::Op;

everywhere!(work_is_done_again_until_the_bound);

async fn work_is_done_again_until_the_bound<D: Bed>(isolation: Isolation) {
    let world = D::make(isolation, 1).await;
    for (times, first, second) in
        [(TRANSIENT_MAX - 1, "done", "done"), (TRANSIENT_MAX, "working", "done")]
    {
        let stock = Stock::<D>::new(&Gate::closed());
        let service = Service::new("stock", world.pool.clone()).tcc::<Lock>(stock);
        let router = wholly::participant::router([&service]);
        let name = format!("again-{times}");
        let ask = Ask::new("stock.lock", Op::Try, &name, &format!("again {times}"));
        for expected in [first, second] {
            let came = words(&ask.of(&router).await);
            assert!(came.starts_with(expected), "{times} times: {came}");
        }
        let effects = D::effects(&world.pool, (&gid(&name), &branch("stock"))).await;
        assert_eq!(effects, ["first"]);
    }
}

#[tokio::test]
async fn only_what_was_not_done_is_done_again() {
    use wholly::barrier::Table;
    for (code, expected) in
        [("5", true), ("6", true), ("261", true), ("517", true), ("1", false), ("2067", false)]
    {
        assert_eq!(sqlx::Sqlite::is_transient(&said(code)), expected, "{code}");
    }
    #[cfg(feature = "postgres")]
    for (code, expected) in [
        ("40001", true),
        ("40P01", true),
        ("55P03", true),
        ("23505", false),
        ("25P02", false),
        ("57014", false),
    ] {
        assert_eq!(sqlx::Postgres::is_transient(&said(code)), expected, "{code}");
    }
    assert!(!sqlx::Sqlite::is_transient(&sqlx::Error::PoolClosed));
}

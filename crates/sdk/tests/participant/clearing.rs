//! Old rows go away by themselves, the limit that lets them go stays.

use crate::asking::{Ask, mark, words};
use crate::handlers::{Gate, Lock, Stock};
use crate::world::{Bed, Isolation, everywhere};
use wholly::Service;
use wholly::barrier::{CLEAR_ROWS_MAX, CLEAR_STEP_MS};
use wholly_core::branch::Op;

everywhere!(rows_below_the_limit_are_cleared_and_late_calls_are_stale, a_gid_is_free_again);

const ROWS: &str = "SELECT count(*) FROM wholly_barrier";
const LIMIT: &str = "SELECT coalesce(max(limit_ms), 0) FROM wholly_barrier_limit";

/// A cancel of a branch begun then, by a coordinator whose limit is this.
fn cancel(of: &str, begun: u64, limit: u64) -> Ask {
    let mut ask = Ask::new("stock.lock", Op::Cancel, of, "a");
    ask.headers.mark = mark("log-1", begun, limit);
    ask
}

async fn rows_below_the_limit_are_cleared_and_late_calls_are_stale<D: Bed>(isolation: Isolation) {
    let world = D::make(isolation, 4).await;
    let stock = Stock::<D>::new(&Gate::closed());
    let service = Service::new("stock", world.pool.clone()).tcc::<Lock>(stock);
    let router = wholly::participant::router([&service]);
    let old = CLEAR_ROWS_MAX + 3;
    for n in 0..old {
        assert_eq!(words(&cancel(&format!("old-{n}"), 500, 0).of(&router).await), "done kept");
    }
    let limit = CLEAR_STEP_MS;
    assert_eq!(words(&cancel("young", limit, limit - 1).of(&router).await), "done kept");
    assert_eq!(D::count(&world.pool, ROWS).await, i64::from(old) + 1, "not a step yet");
    assert_eq!(words(&cancel("young", limit, limit).of(&router).await), "done kept");
    let mut looks = 0;
    while D::count(&world.pool, LIMIT).await != i64::try_from(limit).unwrap() {
        looks += 1;
        assert!(looks < 10_000, "the limit is not written down");
    }
    assert_eq!(D::count(&world.pool, ROWS).await, i64::from(old) + 1, "not before all can see it");
    let (next, mut looks) = (2 * limit, 0);
    while D::count(&world.pool, ROWS).await != 2 {
        assert_eq!(words(&cancel("younger", next, next).of(&router).await), "done kept");
        looks += 1;
        assert!(looks < 10_000, "old rows are not cleared away");
    }
    assert_eq!(D::count(&world.pool, LIMIT).await, i64::try_from(next).unwrap());

    let another =
        Service::new("stock", world.pool.clone()).tcc::<Lock>(Stock::<D>::new(&Gate::closed()));
    let router = wholly::participant::router([&another]);
    let mut late = Ask::new("stock.lock", Op::Try, "old-1", "a");
    late.headers.mark = mark("log-1", 500, 0);
    assert_eq!(words(&late.of(&router).await), "refused stale", "in a process that saw no limit");
    for op in [Op::Confirm, Op::Cancel, Op::Inspect] {
        late.headers.asked.op = op;
        assert_eq!(words(&late.of(&router).await), "refused stale");
    }
    assert_eq!(D::count(&world.pool, "SELECT count(*) FROM effects").await, 0);
    assert_eq!(D::count(&world.pool, ROWS).await, 2);
}

async fn a_gid_is_free_again<D: Bed>(isolation: Isolation) {
    let world = D::make(isolation, 2).await;
    let stock = Stock::<D>::new(&Gate::closed());
    let service = Service::new("stock", world.pool.clone()).tcc::<Lock>(stock);
    let router = wholly::participant::router([&service]);
    let again = |op, begun, limit| {
        let mut ask = Ask::new("stock.lock", op, "again", "a");
        ask.headers.mark = mark("log-1", begun, limit);
        let router = router.clone();
        async move { words(&ask.of(&router).await) }
    };
    let done = "done {\"warehouse\":\"first of a\"} kept";
    assert_eq!(again(Op::Try, 100, 0).await, done);
    assert_eq!(again(Op::Confirm, 100, 0).await, "done kept");
    assert_eq!(again(Op::Cancel, 200, 100).await, "refused illegal_order", "100 is not below");
    assert_eq!(again(Op::Try, 200, 101).await, done, "another transaction");
    assert_eq!(D::count(&world.pool, "SELECT count(*) FROM effects").await, 3);
    assert_eq!(D::count(&world.pool, LIMIT).await, 101, "written down with the row it frees");
    assert_eq!(again(Op::Cancel, 100, 0).await, "refused stale");
    assert_eq!(again(Op::Confirm, 200, 101).await, "done kept");
}

/// A handler takes as long as it likes: whoever clears does not wait for it, nor does anybody for
/// whoever clears. On MySQL above read committed they do, as databases.md says.
#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn a_limit_is_written_down_beside_a_handler<D: Bed>(isolation: Isolation) {
    let world = D::make(isolation, 6).await;
    let gate = Gate::closed();
    let service = Service::new("stock", world.pool.clone()).tcc::<Lock>(Stock::<D>::new(&gate));
    let router = wholly::participant::router([&service]);
    let ask = |op, of: &str, limit| {
        let mut ask = Ask::new("stock.lock", op, of, "linger");
        ask.headers.mark = mark("log-1", CLEAR_STEP_MS, limit);
        let router = router.clone();
        async move { words(&ask.of(&router).await) }
    };
    let done = "done {\"warehouse\":\"first of linger\"} kept";
    assert_eq!(ask(Op::Try, "slow", 0).await, done);
    let confirm = tokio::spawn(ask(Op::Confirm, "slow", 0));
    gate.entered().await;
    assert_eq!(ask(Op::Cancel, "other", CLEAR_STEP_MS).await, "done kept");
    let mut looks = 0;
    while D::count(&world.pool, LIMIT).await == 0 {
        looks += 1;
        assert!(looks < 10_000, "the limit is not written down while a handler runs");
    }
    assert_eq!(ask(Op::Try, "third", CLEAR_STEP_MS).await, done, "nobody waits");
    assert!(!confirm.is_finished());
    gate.open();
    assert_eq!(confirm.await.unwrap(), "done kept");
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn mysql_a_limit_is_written_down_beside_a_handler() {
    use Isolation::{ReadCommitted, ReadUncommitted, RepeatableRead, Serializable};
    for isolation in [ReadUncommitted, ReadCommitted, RepeatableRead, Serializable] {
        a_limit_is_written_down_beside_a_handler::<sqlx::MySql>(isolation).await;
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_a_limit_is_written_down_beside_a_handler() {
    for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable]
    {
        a_limit_is_written_down_beside_a_handler::<sqlx::Postgres>(isolation).await;
    }
}

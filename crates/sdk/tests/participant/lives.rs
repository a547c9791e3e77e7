//! Two lives of one gid: a late call of the earlier one waits for the row of the later one, with
//! the limits of before, and has no part in what it then finds.

use crate::asking::{Ask, HUNG, branch, gid, mark, words};
use crate::handlers::{Gate, Lock, Stock};
use crate::world::{Bed, Isolation, everywhere};
use axum::Router;
use wholly::Service;
use wholly_core::branch::Op;

everywhere!(a_late_call_waits_for_a_later_life);

const DONE: &str = "done {\"warehouse\":\"first of wait\"} kept";

/// A call of the gid's first life, or of the one that was begun when the first was long over.
#[derive(Clone, Copy)]
enum Life {
    First,
    Second,
}

async fn ask(router: Router, of: String, op: Op, life: Life) -> String {
    let mut ask = Ask::new("stock.lock", op, &of, "wait");
    ask.headers.mark = match life {
        Life::First => mark("log-1", 100, 0),
        Life::Second => mark("log-1", 200, 150),
    };
    words(&ask.until_answered(&router).await)
}

async fn a_late_call_waits_for_a_later_life<D: Bed>(isolation: Isolation) {
    for late in [Op::Try, Op::Confirm, Op::Cancel] {
        waits::<D>(isolation, late).await;
    }
}

async fn waits<D: Bed>(isolation: Isolation, late: Op) {
    let world = D::make(isolation, 6).await;
    let gate = Gate::closed();
    // Two processes' worth: what one has seen of limits, the other has not.
    let [one, other] = [(); 2].map(|()| {
        let stock = Stock::<D>::new(&gate);
        let service = Service::new("stock", world.pool.clone()).tcc::<Lock>(stock);
        wholly::participant::router([&service])
    });
    let of = format!("lives-{late:?}").to_lowercase();
    let ask = |router: &Router, op, life| ask(router.clone(), of.clone(), op, life);

    gate.open();
    assert_eq!(ask(&one, Op::Try, Life::First).await, DONE);
    gate.entered().await;
    assert_eq!(ask(&one, Op::Confirm, Life::First).await, "done kept");

    let second = tokio::spawn(ask(&one, Op::Try, Life::Second));
    gate.entered().await;
    let late_call = tokio::spawn(ask(&other, late, Life::First));
    if isolation.hides_what_is_not_committed() {
        let waits = async {
            while D::waiting(&world.pool).await == 0 {
                assert!(!late_call.is_finished(), "{late:?} is answered beside the row");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(HUNG, waits).await.expect("a late call waits for the row");
    }
    gate.open();
    assert_eq!(second.await.unwrap(), DONE);
    assert_eq!(late_call.await.unwrap(), "refused stale", "{late:?}");

    assert_eq!(ask(&other, Op::Confirm, Life::Second).await, "done kept");
    let (gid, branch) = (gid(&of), branch("stock"));
    let effects = D::effects(&world.pool, (&gid, &branch)).await;
    assert_eq!(effects, ["first", "confirm", "first", "confirm"], "{late:?}");
}

//! Operations outside any database of ours: no barrier, a key for the other side.

use crate::asking::{Ask, HUNG, send, words};
use crate::world::{Bed, Isolation};
use axum::Router;
use axum::body::Body;
use http::StatusCode;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use wholly::participant::router::BODY_MS_MAX;
use wholly::{Call, Failure, NotDone, Operation, Outside, Service, refuse_unless};
use wholly_core::branch::{Kept, Op};
use wholly_wire::headers::BodyKind;

/// What a bank is told, and what it answers.
#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "bank.charge", mode = saga, reply = String)]
struct Charge {
    act: String,
}

/// The same at a bank that answers the same to the same key.
#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "bank.charge-kept", mode = saga, reply = String)]
struct ChargeKept {
    act: String,
}

#[derive(Clone)]
struct Bank {
    heard: Arc<Mutex<Vec<String>>>,
    /// How many stand at the counter, and how many of them may go on.
    waiting: Arc<Semaphore>,
    served: Arc<Semaphore>,
}

impl Bank {
    fn hear(&self, what: String) {
        self.heard.lock().unwrap().push(what);
    }

    async fn charge(&self, act: &str, call: &Call) -> Result<String, NotDone> {
        self.hear(call.key());
        refuse_unless!(act != "refuse", "no_money");
        if act == "wait" {
            self.waiting.add_permits(1);
            self.served.acquire().await?.forget();
        }
        if act == "fail" {
            return Err(Failure::new("no line").into());
        }
        assert_eq!(wholly::call().key(), call.key());
        Ok(format!("receipt for {act}"))
    }
}

impl Outside<Charge> for Bank {
    async fn action(&self, charge: &Charge, call: &Call) -> Result<String, NotDone> {
        self.charge(&charge.act, call).await
    }

    async fn compensate(
        &self,
        _: &Charge,
        receipt: Option<&String>,
        call: &Call,
    ) -> Result<(), Failure> {
        self.hear(format!("{} of {} {receipt:?}", call.key(), call.key_of(Op::Action)));
        Ok(())
    }
}

impl Outside<ChargeKept> for Bank {
    const ANSWERS: Kept = Kept::Kept;

    async fn action(&self, charge: &ChargeKept, call: &Call) -> Result<String, NotDone> {
        self.charge(&charge.act, call).await
    }

    async fn compensate(
        &self,
        _: &ChargeKept,
        _: Option<&String>,
        _: &Call,
    ) -> Result<(), Failure> {
        Ok(())
    }
}

async fn bank() -> (Bank, Router) {
    let world = sqlx::Sqlite::make(Isolation::Default, 1).await;
    let (waiting, served) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let bank = Bank { heard: Arc::default(), waiting, served };
    let service = Service::new("bank", world.pool.clone());
    let service = service.outside::<Charge>(bank.clone()).outside::<ChargeKept>(bank.clone());
    (bank, wholly::participant::router([&service]))
}

#[tokio::test]
async fn each_copy_of_a_call_has_the_same_key_and_no_answer_is_kept() {
    let (bank, router) = bank().await;
    let ask = |op, act| Ask::new("bank.charge", op, "g", act);
    assert_eq!(words(&ask(Op::Action, "a").of(&router).await), "done \"receipt for a\"");
    assert_eq!(words(&ask(Op::Action, "a").of(&router).await), "done \"receipt for a\"");
    assert_eq!(words(&ask(Op::Action, "refuse").of(&router).await), "refused no_money");
    assert_eq!(words(&ask(Op::Action, "fail").of(&router).await), "unknown");
    assert_eq!(words(&ask(Op::Compensate, "a").of(&router).await), "done");
    let mut envelope = ask(Op::Compensate, "a");
    envelope.headers.body = BodyKind::Envelope;
    envelope.body = "{\"payload\":{\"act\":\"a\"},\"reply\":\"r-1\",\"replies\":{}}".into();
    assert_eq!(words(&envelope.of(&router).await), "done");
    let (action, undo) = ("g/stock/action", "g/stock/compensate of g/stock/action");
    let expected = [action, action, action, action, &format!("{undo} None")];
    let heard = bank.heard.lock().unwrap().clone();
    assert_eq!(heard[..5], expected);
    assert_eq!(heard[5..], [format!("{undo} Some(\"r-1\")")]);
}

#[tokio::test]
async fn who_is_answered_the_same_says_so() {
    let (_, router) = bank().await;
    let ask = |op, act| Ask::new("bank.charge-kept", op, "g", act);
    assert_eq!(words(&ask(Op::Action, "a").of(&router).await), "done \"receipt for a\" kept");
    assert_eq!(words(&ask(Op::Action, "refuse").of(&router).await), "refused no_money kept");
    assert_eq!(words(&ask(Op::Compensate, "a").of(&router).await), "done kept");
}

#[tokio::test]
async fn no_barrier_row_is_no_inspection() {
    let (_, router) = bank().await;
    assert_eq!(
        words(&Ask::new("bank.charge", Op::Inspect, "g", "a").of(&router).await),
        "refused no_row_kept"
    );
    assert_eq!(words(&Ask::new("bank.charge", Op::Confirm, "g", "a").of(&router).await), "unknown");
    assert_eq!(
        words(&Ask::new("bank.charge", Op::Try, "g", "a").of(&router).await),
        "refused operation_unknown"
    );
}

/// As `participant/desk.rs` has it.
const OUTSIDE_MAX: usize = 256;

#[tokio::test]
async fn so_many_are_outside_at_once_and_one_more_is_told_to_come_again() {
    let (bank, router) = bank().await;
    let ask = |number: usize, act| Ask::new("bank.charge", Op::Action, &format!("g-{number}"), act);
    let mut asked = Vec::new();
    for number in 0..OUTSIDE_MAX {
        let (ask, router) = (ask(number, "wait"), router.clone());
        asked.push(tokio::spawn(async move { words(&ask.of(&router).await) }));
    }
    let all = u32::try_from(OUTSIDE_MAX).unwrap();
    let standing = tokio::time::timeout(HUNG, bank.waiting.acquire_many(all)).await;
    standing.expect("all of them come in").unwrap().forget();
    assert_eq!(words(&ask(OUTSIDE_MAX, "a").of(&router).await), "working");
    assert_eq!(bank.heard.lock().unwrap().len(), OUTSIDE_MAX, "its handler has not run");
    // One leaves, and there is room for one.
    bank.served.add_permits(1);
    assert_eq!(
        words(&ask(OUTSIDE_MAX, "a").until_answered(&router).await),
        "done \"receipt for a\""
    );
    bank.served.add_permits(OUTSIDE_MAX - 1);
    for asked in asked {
        assert_eq!(asked.await.unwrap(), "done \"receipt for wait\"");
    }
}

/// A call whose body has not arrived when so much time has gone by, and arrives then, unless it has
/// been answered before.
async fn arrives_after(router: &Router, timeout_ms: u64, ms: u64) -> StatusCode {
    let mut ask = Ask::new("bank.charge", Op::Action, "g", "a");
    ask.headers.timeout_ms = timeout_ms;
    let ((awaited, waits), (go, let_go)) = (oneshot::channel(), oneshot::channel());
    // Its end is what it still lacks.
    let end = async move {
        awaited.send(()).expect("the test waits");
        let _ = let_go.await;
        None
    };
    let request = ask.request().map(|body| Body::new(body.with_trailers(end)));
    let router = router.clone();
    let answered = tokio::spawn(async move { send(&router, request).await });
    waits.await.expect("somebody reads it");
    tokio::time::advance(Duration::from_millis(ms)).await;
    // Whoever that wakes has run, and has answered if it gives the body up.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    match answered.is_finished() {
        true => drop(go),
        false => go.send(()).expect("it is waited for"),
    }
    answered.await.unwrap().status()
}

#[tokio::test(start_paused = true)]
async fn a_body_is_waited_for_within_its_time_and_not_after_it() {
    // A thread at work keeps the clock where it stands, until it is moved by hand.
    let (_still, dropped) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || dropped.recv());
    let (bank, router) = bank().await;
    for (timeout_ms, max) in [(60_000, BODY_MS_MAX), (BODY_MS_MAX + 1, BODY_MS_MAX), (500, 500)] {
        let before = bank.heard.lock().unwrap().len();
        let late = arrives_after(&router, timeout_ms, max).await;
        assert_eq!(late, StatusCode::REQUEST_TIMEOUT, "{timeout_ms} {max}");
        assert_eq!(bank.heard.lock().unwrap().len(), before, "nothing was done");
        let in_time = arrives_after(&router, timeout_ms, max - 1).await;
        assert_eq!(in_time, StatusCode::OK, "{timeout_ms} {max}");
        assert_eq!(bank.heard.lock().unwrap().len(), before + 1);
    }
}

//! Operations outside any database of ours: no barrier, a key for the other side.

use crate::asking::{Ask, words};
use crate::world::{Bed, Isolation};
use axum::Router;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
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

#[derive(Clone, Default)]
struct Bank {
    heard: Arc<Mutex<Vec<String>>>,
}

impl Bank {
    fn hear(&self, what: String) {
        self.heard.lock().unwrap().push(what);
    }

    async fn charge(&self, act: &str, call: &Call) -> Result<String, NotDone> {
        self.hear(call.key());
        refuse_unless!(act != "refuse", "no_money");
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
    let bank = Bank::default();
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

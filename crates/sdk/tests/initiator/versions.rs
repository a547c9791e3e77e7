//! Releases side by side: what this SDK asks is kept, and it reads answers of a later coordinator.

use crate::double::{Act, Double, Heard, begun, document, done, problem, refused, tried};
use crate::{Lock, LockNow, Locked, NoCustomer};
use serde_json::{Map, Value, json};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};
use std::fmt::Write;
use std::time::Duration;
use wholly::{BoxError, Error, Failure, NotDone, Tcc, Wait};

/// What the SDK of this version asks. A coordinator's test sends it all again, so this file stays
/// as it is once the version is released; an SDK that asks otherwise gets a file beside it.
const KEPT: &str = include_str!("../../../server/tests/requests/sdk-0.1.txt");

/// Does nothing, in the initiator's own database.
struct Books;

impl Tcc<Lock> for Books {
    type Database = Sqlite;

    async fn try_(&self, lock: &Lock, _: &mut SqliteConnection) -> Result<Locked, NotDone> {
        Ok(Locked { warehouse: lock.sku })
    }

    async fn confirm(&self, _: &Lock, _: &Locked, _: &mut SqliteConnection) -> Result<(), Failure> {
        Ok(())
    }

    async fn cancel(&self, _: &Lock, _: &Locked, _: &mut SqliteConnection) -> Result<(), Failure> {
        Ok(())
    }
}

/// A request as it is kept: without what is different each time.
fn keep(kept: &mut String, heard: &Heard) {
    let (target, query) = heard.line.split_once('?').unwrap_or((&heard.line, ""));
    write!(kept, "\n{target}").unwrap();
    let fields = query.split('&').filter(|field| !field.is_empty());
    for (at, field) in fields.enumerate() {
        let mark = if at == 0 { '?' } else { '&' };
        let field = if field.starts_with("wait_ms=") { "wait_ms=1000" } else { field };
        write!(kept, "{mark}{field}").unwrap();
    }
    kept.push('\n');
    for (name, value) in &heard.headers {
        let value = if name == "idempotency-key" { "key-1" } else { value };
        if !matches!(name.as_str(), "host" | "content-length" | "connection") {
            writeln!(kept, "{name}: {value}").unwrap();
        }
    }
    writeln!(kept, "{}", format!("| {}", heard.body).trim_end()).unwrap();
}

fn keep_all(kept: &mut String, what: &str, double: &Double) {
    write!(kept, "\n# {what}\n").unwrap();
    double.heard().iter().for_each(|heard| keep(kept, heard));
}

#[tokio::test]
async fn what_is_asked_is_what_was_kept() {
    let mut kept = String::from("What the SDK of 0.1 asks, by what its user does.\n");

    let acts = [done(), refused("out_of_stock"), tried(r#""done""#)];
    let script: &[(&str, &[Act])] = &[("register", &acts)];
    let double = Double::start(script).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("place-order").timeout(Duration::from_secs(60));
    let said = run.run(async |tx| {
        tx.call(&stock, Lock { sku: 0 }).branch("stock").await?;
        tx.call(&stock, Lock { sku: 1 }).branch("more").await.unwrap_err();
        tx.call(&stock, LockNow { sku: 2 }).await?;
        Ok(())
    });
    said.await.unwrap();
    keep_all(&mut kept, "a scope that commits", &double);

    let double = Double::start(&[]).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("place-order").gid("g-1").wait(Wait::Ended);
    let said = run.run(async |tx| -> Result<(), BoxError> {
        tx.call(&stock, Lock { sku: 0 }).await?;
        Err(NoCustomer.into())
    });
    said.await.unwrap_err();
    keep_all(&mut kept, "a scope that aborts, and waits for the end", &double);

    let double = Double::start(&[]).await;
    let stock = double.wholly.participant("stock");
    let saga = double
        .wholly
        .saga("place-order")
        .gid("g-1")
        .timeout(Duration::from_mins(5))
        .step("order", &stock, LockNow { sku: 1 })
        .step("stock", &stock, LockNow { sku: 2 })
        .after(["order"])
        .reads(["order"])
        .forward("mail", &stock, LockNow { sku: 3 })
        .after(["order", "stock"])
        .submit()
        .await
        .unwrap();
    saga.ended().await.unwrap();
    let found = double.wholly.find("g-1");
    found.get().await.unwrap();
    found.decided().await.unwrap();
    keep_all(&mut kept, "a plan, and looking for it", &double);

    let double = Double::start(&[]).await;
    let stock = double.wholly.participant("stock");
    let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
    let orders = double.wholly.service("stock", pool).tcc::<Lock>(Books);
    orders.migrate().await.unwrap();
    let run = double.wholly.transaction("place-order");
    let said = run.run(async |tx| -> Result<(), BoxError> {
        tx.local(&orders, Lock { sku: 4 }).branch("order").await?;
        tx.call(&stock, Lock { sku: 5 }).await?;
        Ok(())
    });
    said.await.unwrap();
    keep_all(&mut kept, "a scope with a branch of its own", &double);

    assert!(kept == KEPT, "an SDK of another version? what it asks differs:\n{kept}");
}

/// The same with fields that nobody knows, in every object of it.
fn with_more(body: &str) -> String {
    fn grow(value: Value) -> Value {
        match value {
            Value::Object(object) => {
                let mut grown: Map<String, Value> =
                    object.into_iter().map(|(name, value)| (name, grow(value))).collect();
                grown.insert("of_a_later_release".into(), json!({"a": [1, {"b": null}]}));
                Value::Object(grown)
            }
            Value::Array(list) => list.into_iter().map(grow).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
        }
    }
    grow(serde_json::from_str(body).unwrap()).to_string()
}

fn grown(act: Act) -> Act {
    match act {
        Act::Say(status, body) => Act::Say(status, with_more(&body)),
        other => other,
    }
}

/// A document with a branch whose every word is of a later release.
fn strange(state: &str, decision: &str, outcome: &str) -> Act {
    let body = document(state, decision, outcome, if decision.is_empty() { "" } else { "omen" });
    let branch = r#""branches":[{"branch":"b","mode":"quantum","to":"stock","operation":"o",
        "state":"dreaming","stuck":{"why":"boredom","op":"ponder"},"resolution":"perhaps"}]"#;
    grown(Act::Say(200, body.replace(r#""branches":[]"#, branch)))
}

#[tokio::test]
async fn fields_of_a_later_coordinator_are_passed_over() {
    let script: &[(&str, &[Act])] = &[
        ("begin", &[grown(begun())]),
        ("register", &[grown(done()), grown(refused("out_of_stock"))]),
        ("commit", &[strange("finishing", "commit", "")]),
        ("submit", &[strange("forward", "", "")]),
        ("get", &[strange("ended", "commit", "as_decided")]),
    ];
    let double = Double::start(script).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n");
    let said = run.run(async |tx| {
        tx.call(&stock, Lock { sku: 0 }).await?;
        let refused = tx.call(&stock, Lock { sku: 1 }).await.unwrap_err();
        assert!(refused.is_refused("out_of_stock"), "{refused}");
        Ok(())
    });
    said.await.unwrap();
    let saga = double.wholly.saga("n").gid("g-1").step("a", &stock, LockNow { sku: 1 });
    assert!(saga.submit().await.unwrap().ended().await.unwrap().is_committed());
    assert_eq!(double.kinds(), "begin register register commit submit get");
}

#[tokio::test]
async fn words_of_a_later_coordinator_are_waited_out() {
    let known = Act::Say(200, document("ended", "abort", "as_decided", "refusal"));
    let script: &[(&str, &[Act])] = &[("get", &[strange("dreaming", "", ""), known])];
    let double = Double::start(script).await;
    let ended = double.wholly.find("g-1").ended().await.unwrap();
    assert!(!ended.is_committed());
    assert_eq!(double.kinds(), "get get");
}

#[tokio::test]
async fn problems_of_a_later_coordinator_are_told_by_their_code() {
    let strange = problem(409, "of_a_later_release", "tomorrow", "");
    let double = Double::start(&[("submit", &[grown(strange)])]).await;
    let stock = double.wholly.participant("stock");
    let saga = double.wholly.saga("n").gid("g-1").step("a", &stock, LockNow { sku: 1 });
    match saga.submit().await {
        Err(Error::Rejected { code, .. }) => assert_eq!(code, "of_a_later_release"),
        other => panic!("{other:?}"),
    }
    assert_eq!(double.kinds(), "submit", "what may be repeated is said in words that are known");
}

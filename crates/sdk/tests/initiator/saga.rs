//! A plan: what is handed over, what is safe to repeat, what is said of its end.

use crate::LockNow;
use crate::double::{Act, Double, document, problem};
use std::time::Duration;
use wholly::{Cause, Decision, Error, Outcome};

#[tokio::test]
async fn a_plan_is_handed_over_in_one_request() {
    let double = Double::start(&[]).await;
    let (stock, mail) = (double.wholly.participant("stock"), double.wholly.participant("mail"));
    let saga = double
        .wholly
        .saga("place-order")
        .gid("g-1")
        .timeout(Duration::from_mins(5))
        .step("order", &stock, LockNow { sku: 1 })
        .step("stock", &stock, LockNow { sku: 2 })
        .after(["order"])
        .reads(["order"])
        .forward("mail", &mail, LockNow { sku: 3 })
        .after(["order", "stock"])
        .submit()
        .await
        .unwrap();
    assert_eq!(saga.gid().as_str(), "g-1");
    let submit = double.first("submit").await;
    assert_eq!(submit.line, "PUT /v1/transactions/g-1");
    assert_eq!(
        submit.body,
        concat!(
            r#"{"name":"place-order","timeout_ms":300000,"steps":["#,
            r#"{"branch":"order","to":"stock","operation":"stock.lock-now","payload":{"sku":1}},"#,
            r#"{"branch":"stock","to":"stock","operation":"stock.lock-now","payload":{"sku":2},"#,
            r#""after":["order"],"reads":["order"]},"#,
            r#"{"branch":"mail","to":"mail","operation":"stock.lock-now","payload":{"sku":3},"#,
            r#""after":["order","stock"],"forward":true}]}"#
        )
    );
    let ended = saga.ended().await.unwrap();
    assert!(ended.is_committed());
    assert_eq!((ended.decision, ended.outcome), (Decision::Commit, Outcome::AsDecided));
    ended.committed().unwrap();
}

async fn check(script: &[(&'static str, &[Act])], expected: &str) {
    let double = Double::start(script).await;
    let stock = double.wholly.participant("stock");
    let plan = double.wholly.saga("n").gid("g-1").step("a", &stock, LockNow { sku: 1 });
    let seen = match plan.submit().await {
        Ok(_) => format!("submitted {}", double.kinds()),
        Err(Error::AlreadyUsed { gid }) => format!("already used {gid}"),
        Err(Error::Unknown { gid, .. }) => format!("unknown {gid}"),
        Err(Error::Rejected { code, .. }) => format!("rejected {code}"),
        Err(other) => format!("{other:?}"),
    };
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn handing_over_is_safe_to_repeat() {
    let forward = Act::Say(200, document("forward", "", "", ""));
    check(&[("submit", &[Act::HangUp, forward])], "submitted submit submit").await;
    check(&[("submit", &[Act::HangUp])], "unknown g-1").await;
    check(&[("submit", &[problem(409, "gid_taken", "never", "")])], "already used g-1").await;
    let invalid = problem(400, "plan_invalid", "never", "");
    check(&[("submit", &[invalid])], "rejected plan_invalid").await;
}

#[tokio::test]
async fn a_plan_that_cannot_be_said_is_not_sent() {
    let double = Double::start(&[]).await;
    let stock = double.wholly.participant("stock");
    let early = double.wholly.saga("n").after(["a"]).step("a", &stock, LockNow { sku: 1 });
    let error = early.submit().await.unwrap_err().to_string();
    assert_eq!(error, "the plan \"n\" says after before its first step");
    let gid = double.wholly.saga("n").gid("a b").step("a", &stock, LockNow { sku: 1 });
    let error = gid.submit().await.unwrap_err().to_string();
    assert!(error.starts_with("the gid \"a b\" has a character at byte 1"), "{error}");
    assert_eq!(double.kinds(), "");
}

#[tokio::test]
async fn a_gid_is_found_whoever_began_it() {
    let said = |state: &str, decision: &str, outcome: &str| {
        Act::Say(200, document(state, decision, outcome, "deadline"))
    };
    let get: &[Act] = &[
        said("forward", "", ""),
        said("forward", "", ""),
        said("finishing", "abort", ""),
        said("ended", "abort", "as_decided"),
    ];
    let double = Double::start(&[("get", get)]).await;
    let found = double.wholly.find("g-1");
    assert_eq!(found.get().await.unwrap().state.as_str(), "forward");
    let decided = found.decided().await.unwrap();
    assert_eq!((decided.decision, decided.cause), (Decision::Abort, Cause::Deadline));
    let ended = found.ended().await.unwrap();
    let error = ended.committed().unwrap_err();
    assert!(matches!(error, Error::Aborted { cause: Cause::Deadline, .. }), "{error:?}");
    assert_eq!(
        double.nth("get", 3).await.line.split("&").next().unwrap(),
        "GET /v1/transactions/g-1?wait=decided"
    );
}

#[tokio::test]
async fn a_gid_that_nobody_knows_is_not_final() {
    let unknown = problem(404, "gid_unknown", "never", "");
    let double = Double::start(&[("get", &[unknown])]).await;
    let error = double.wholly.find("g-1").ended().await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn a_submitted_plan_can_be_turned_back() {
    let abort = document("finishing", "abort", "", "initiator");
    let get = Act::Say(200, document("finishing", "abort", "", "initiator"));
    let script: &[(&str, &[Act])] = &[("abort", &[Act::Say(200, abort)]), ("get", &[get])];
    let double = Double::start(script).await;
    let stock = double.wholly.participant("stock");
    let plan = double.wholly.saga("n").step("a", &stock, LockNow { sku: 1 });
    let saga = plan.submit().await.unwrap();
    assert_eq!(saga.gid().as_str().len(), 32);
    let decided = saga.abort("not wanted").await.unwrap();
    assert!(!decided.is_committed());
    let abort = double.first("abort").await;
    assert_eq!(abort.headers["wholly-capability"], "1.cap");
    assert_eq!(abort.body, r#"{"reason":"not wanted"}"#);
}

//! Answers lost, late and wrong: what is asked again, and what is said in the end.

use crate::Lock;
use crate::double::{Act, Double, begun, committed, document, done, problem};
use std::slice::from_ref;
use std::time::Duration;
use wholly::{Cause, Error, Wholly};

/// Runs one call in one transaction against the script; the kinds heard and what came of it.
async fn run(script: &[(&'static str, &[Act])]) -> (String, Result<u32, Error>) {
    let double = Double::start(script).await;
    let stock = double.wholly.participant("stock");
    let said = double
        .wholly
        .transaction("place-order")
        .gid("g-1")
        .timeout(double.patience)
        .run(async |tx| Ok(tx.call(&stock, Lock { sku: 1 }).await?.warehouse))
        .await;
    (double.kinds(), said)
}

async fn check(script: &[(&'static str, &[Act])], kinds: &str) {
    let (heard, said) = run(script).await;
    assert_eq!(said.unwrap(), 7, "{heard}");
    assert_eq!(heard, kinds);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    check(&[], "begin register commit").await;
    check(&[("begin", &[Act::HangUp, begun()])], "begin begin register commit").await;
    check(&[("register", &[Act::HangUp, done()])], "begin register register commit").await;
    check(&[("commit", &[Act::HangUp, committed()])], "begin register commit commit").await;
}

#[tokio::test]
async fn a_page_of_a_proxy_is_no_answer() {
    let page = Act::Say(200, "<html>welcome</html>".into());
    let gateway = Act::Say(502, "bad gateway".into());
    check(&[("begin", &[page.clone(), begun()])], "begin begin register commit").await;
    check(&[("commit", &[page, gateway, committed()])], "begin register commit commit commit")
        .await;
}

#[tokio::test]
async fn what_says_later_is_asked_again() {
    let starting = problem(503, "starting", "later", "");
    check(&[("begin", &[starting.clone(), begun()])], "begin begin register commit").await;
    check(&[("commit", &[starting, committed()])], "begin register commit commit").await;
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let Act::Say(status, body) = begun() else { unreachable!() };
    check(&[("begin", &[Act::SayAndClose(status, body)])], "begin register commit").await;
}

#[tokio::test]
async fn a_begin_is_repeated_under_one_key() {
    let double = Double::start(&[("begin", &[Act::HangUp, begun()])]).await;
    double.wholly.transaction("n").run(async |_| Ok(())).await.unwrap();
    let keys = [double.nth("begin", 1).await, double.nth("begin", 2).await]
        .map(|begin| begin.headers["idempotency-key"].clone());
    assert_eq!(keys[0], keys[1]);
    assert!(!keys[0].is_empty());
    double.wholly.transaction("n").run(async |_| Ok(())).await.unwrap();
    assert_ne!(double.nth("begin", 3).await.headers["idempotency-key"], keys[0]);
}

#[tokio::test]
async fn the_capability_is_shown() {
    let double = Double::start(&[]).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n").gid("g-1").timeout(Duration::from_secs(9));
    run.run(async |tx| Ok(tx.call(&stock, Lock { sku: 4 }).await?)).await.unwrap();
    for kind in ["register", "commit"] {
        assert_eq!(double.first(kind).await.headers["wholly-capability"], "1.cap");
    }
    let begin = double.first("begin").await;
    assert_eq!(begin.body, r#"{"name":"n","gid":"g-1","timeout_ms":9000}"#);
    let register = double.first("register").await;
    assert!(register.line.starts_with("POST /v1/transactions/g-1/branches?wait_ms="));
    let branch = r#"{"branch":"stock.lock","mode":"tcc","to":"stock","operation":"stock.lock","#;
    assert_eq!(register.body, format!(r#"{branch}"payload":{{"sku":4}},"call":true}}"#));
    let commit = double.first("commit").await;
    assert!(commit.line.starts_with("POST /v1/transactions/g-1/commit?wait=decided&wait_ms="));
    assert_eq!(commit.body, r#"{"tried":["stock.lock"]}"#);
}

async fn check_error(script: &[(&'static str, &[Act])], expected: &str) {
    let (heard, said) = run(script).await;
    let error = said.unwrap_err();
    wholly_canary::check_error(&error);
    let seen = match error {
        Error::Aborted { cause, reason, .. } => {
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("aborted {cause:?}{reason}")
        }
        Error::Unknown { gid, .. } => format!("unknown {gid}"),
        Error::AlreadyUsed { gid } => format!("already used {gid}"),
        Error::Unreachable { .. } => "unreachable".into(),
        Error::Rejected { code, .. } => format!("rejected {code}"),
        other => format!("{other:?}"),
    };
    assert!(seen.starts_with(expected), "{heard}: {seen}");
}

#[tokio::test]
async fn what_is_not_committed_says_why() {
    let aborted = document("finishing", "abort", "", "deadline");
    let deadline = problem(409, "decided", "never", &aborted);
    check_error(&[("commit", from_ref(&deadline))], "aborted Deadline").await;
    check_error(&[("commit", &[Act::HangUp, deadline.clone()])], "aborted Deadline").await;
    check_error(&[("commit", &[Act::HangUp])], "unknown g-1").await;
    check_error(&[("commit", &[problem(404, "gid_unknown", "later", "")])], "unknown g-1").await;
    check_error(&[("commit", &[problem(503, "starting", "later", "")])], "unknown g-1").await;
    check_error(&[("begin", &[problem(409, "gid_taken", "never", "")])], "already used g-1").await;
    check_error(&[("begin", &[problem(503, "draining", "later", "")])], "rejected draining").await;
    check_error(&[("begin", &[Act::HangUp])], "unreachable").await;
    check_error(&[("register", &[deadline])], "aborted Initiator: g-1 was aborted").await;
    let unnamed = problem(400, "destination_not_named", "never", "");
    check_error(&[("register", &[unnamed])], "aborted Initiator: the coordinator refused").await;
    check_error(&[("register", &[Act::HangUp])], "aborted Initiator: stock.lock of g-1 gave").await;
}

#[tokio::test]
async fn a_commit_that_is_rejected_leaves_nothing_open() {
    let script: &[(&str, &[Act])] = &[("commit", &[problem(403, "capability_wrong", "never", "")])];
    let double = Double::start(script).await;
    let said = double.wholly.transaction("n").run(async |_| Ok(())).await;
    assert!(matches!(said, Err(Error::Rejected { .. })), "{said:?}");
    double.first("abort").await;
}

#[tokio::test]
async fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let wholly = Wholly::with_patience(&url, Duration::from_millis(50)).unwrap();
    let said = wholly.transaction("n").run(async |_| Ok(())).await;
    assert!(matches!(&said, Err(Error::Unreachable { url: at, .. }) if *at == url), "{said:?}");
}

#[tokio::test]
async fn an_abort_that_nobody_answers_is_still_an_abort() {
    let double = Double::start(&[("abort", &[Act::HangUp])]).await;
    let said = double.wholly.transaction("n").run(async |_| -> Result<(), _> { Err("no")? }).await;
    assert!(matches!(&said, Err(Error::Aborted { cause: Cause::Initiator, .. })), "{said:?}");
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// A client outlives the runtime that its connections ran on.
#[test]
fn a_client_serves_runtime_after_runtime() {
    let serving = runtime();
    let double = serving.block_on(Double::start(&[]));
    for _ in 0..3 {
        let runtime = runtime();
        let run = double.wholly.transaction("n").run(async |_| Ok(()));
        runtime.block_on(run).unwrap();
    }
    assert_eq!(double.kinds(), "begin commit begin commit begin commit");
}

/// The deadline aborts what a process that ends leaves open.
#[test]
fn a_runtime_that_ends_takes_its_scopes_along() {
    let serving = runtime();
    let double = serving.block_on(Double::start(&[]));
    let runtime = runtime();
    let (wholly, stock) = (double.wholly.clone(), double.wholly.participant("stock"));
    let scope = runtime.spawn(async move {
        let run = wholly.transaction("n").run(async |tx| {
            tx.call(&stock, Lock { sku: 1 }).await?;
            crate::never().await;
            Ok(())
        });
        run.await
    });
    serving.block_on(double.first("register"));
    drop(runtime);
    assert!(serving.block_on(scope).unwrap_err().is_cancelled());
    assert!(!double.kinds().contains("commit"));
}

//! The rules of the scope: what commits, what aborts, what is named.

use crate::double::{Act, Double, document, done, problem, refused, tried};
use crate::{Lock, Locked, NoCustomer, never};
use std::slice::from_ref;
use std::time::Duration;
use wholly::{
    BoxError, Cause, Decision, Error, InCurrentTransaction, JoinedFailed, Loss, Transaction,
    Unsettled, Wait,
};

#[tokio::test]
async fn ok_commits_and_names_what_was_seen() {
    let script: &[(&str, &[Act])] = &[("register", &[done(), refused("out_of_stock"), done()])];
    let double = Double::start(script).await;
    let (stock, points) = (double.wholly.participant("stock"), double.wholly.participant("points"));
    let run = double.wholly.transaction("place-order");
    let said = run.run(async |tx| {
        tx.call(&points, Lock { sku: 0 }).branch("points").await?;
        match tx.call(&stock, Lock { sku: 1 }).await {
            Err(error) if error.is_refused("out_of_stock") => {}
            other => panic!("{other:?}"),
        }
        Ok(tx.call(&stock, Lock { sku: 2 }).await?)
    });
    assert_eq!(said.await.unwrap(), Locked { warehouse: 7 });
    let commit = double.first("commit").await;
    assert_eq!(commit.body, r#"{"tried":["points","stock.lock-2"],"refused":["stock.lock"]}"#);
    assert_eq!(double.kinds(), "begin register register register commit");
}

#[tokio::test]
async fn calls_run_side_by_side() {
    let double = Double::start(&[("register", &[Act::Hold, Act::Hold, done()])]).await;
    let stock = double.wholly.participant("stock");
    let both = double.wholly.transaction("n").run(async |tx| {
        let calls = async {
            Ok::<_, BoxError>(tokio::try_join!(
                tx.call(&stock, Lock { sku: 1 }),
                tx.call(&stock, Lock { sku: 2 })
            )?)
        };
        let both_came = async {
            double.nth("register", 2).await;
            double.release();
            double.release();
        };
        tokio::join!(calls, both_came).0
    });
    both.await.unwrap();
    assert_eq!(double.kinds(), "begin register register commit");
}

#[tokio::test]
async fn err_aborts_and_comes_back_as_it_was() {
    let double = Double::start(&[]).await;
    let run = double.wholly.transaction("n");
    let said = run.run(async |_| -> Result<(), _> { Err(NoCustomer.into()) }).await;
    let error = said.unwrap_err();
    assert!(error.reason::<NoCustomer>().is_some());
    assert!(error.reason::<std::fmt::Error>().is_none());
    assert!(error.is_aborted());
    assert_eq!(error.gid().unwrap().as_str(), "g-1");
    let abort = double.first("abort").await;
    assert_eq!(abort.body, r#"{"reason":"the customer is not known"}"#);
    assert_eq!(double.kinds(), "begin abort");
}

#[tokio::test]
async fn a_refusal_passed_on_aborts_and_is_named() {
    let double = Double::start(&[("register", &[refused("out_of_stock")])]).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n");
    let said = run.run(async |tx| Ok(tx.call(&stock, Lock { sku: 1 }).await?)).await;
    let error = said.unwrap_err();
    assert!(error.is_refused("out_of_stock") && !error.is_refused("other"));
    assert_eq!(error.refusal().unwrap().as_str(), "out_of_stock");
    let abort = double.first("abort").await;
    assert!(abort.body.ends_with(r#","branch":"stock.lock"}"#), "{}", abort.body);
    assert!(abort.body.contains("stock.lock of g-1 was refused (out_of_stock): none left"));
}

#[tokio::test]
async fn a_dropped_call_makes_the_commit_an_abort() {
    let double = Double::start(&[("register", &[Act::Hold])]).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n");
    let said = run.run(async |tx| {
        tokio::select! {
            _ = tx.call(&stock, Lock { sku: 1 }) => panic!("it is held"),
            _ = double.first("register") => {}
        }
        Ok(())
    });
    let error = said.await.unwrap_err();
    assert!(matches!(error, Error::Aborted { cause: Cause::Unknown, .. }), "{error:?}");
    let unsettled = error.reason::<Unsettled>().unwrap();
    assert_eq!((unsettled.branch.as_str(), unsettled.how), ("stock.lock", Loss::Dropped));
    assert_eq!(double.kinds(), "begin register abort");
}

#[tokio::test]
async fn a_call_that_was_never_awaited_is_none() {
    let double = Double::start(&[]).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n");
    let said = run.run(async |tx| {
        drop(tx.call(&stock, Lock { sku: 1 }));
        Ok(())
    });
    said.await.unwrap();
    assert_eq!(double.kinds(), "begin commit");
}

#[tokio::test]
async fn an_unknown_call_may_not_be_survived() {
    let double = Double::start(&[("register", &[tried(r#""unknown""#)])]).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n").timeout(Duration::from_millis(100));
    let said = run.run(async |tx| {
        let error = tx.call(&stock, Lock { sku: 1 }).await.unwrap_err();
        assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
        Ok(())
    });
    let error = said.await.unwrap_err();
    assert_eq!(error.reason::<Unsettled>().unwrap().how, Loss::Unanswered);
    assert!(!double.kinds().contains("commit"));
}

#[tokio::test]
async fn a_call_that_outlives_the_body_makes_the_commit_an_abort() {
    let double = Double::start(&[("register", &[Act::Hold])]).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n");
    let said = run.run(async |tx| {
        let call = tx.call(&stock, Lock { sku: 1 });
        tokio::spawn(call);
        double.first("register").await;
        Ok(())
    });
    let error = said.await.unwrap_err();
    assert_eq!(error.reason::<Unsettled>().unwrap().how, Loss::Dropped);
}

#[tokio::test]
async fn nothing_is_called_after_the_body() {
    let double = Double::start(&[]).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n");
    let kept: Transaction = run.run(async |tx| Ok(tx)).await.unwrap();
    let error = kept.call(&stock, Lock { sku: 1 }).await.unwrap_err();
    assert!(matches!(error, Error::Over { operation: "stock.lock", .. }), "{error:?}");
    assert_eq!(double.kinds(), "begin commit");
}

#[tokio::test]
async fn a_reply_of_another_shape_is_said_with_its_operation() {
    let double = Double::start(&[("register", &[tried(r#""done","reply":"x""#)])]).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n");
    let said = run.run(async |tx| Ok(tx.call(&stock, Lock { sku: 1 }).await?)).await;
    let error = said.unwrap_err();
    let shape = error.reason::<Error>().unwrap().to_string();
    assert!(shape.starts_with("the reply of stock.lock does not fit its type"), "{shape}");
}

#[tokio::test]
async fn a_dropped_scope_aborts() {
    let double = Double::start(&[]).await;
    let run = double.wholly.transaction("n").run(async |_| {
        never().await;
        Ok(())
    });
    tokio::select! {
        _ = run => panic!("it never ends"),
        _ = double.first("begin") => {}
    }
    // The begin's answer may not have been read yet: then nothing was opened that could abort.
    let run = double.wholly.transaction("n").run(async |tx| {
        tx.call(&double.wholly.participant("stock"), Lock { sku: 1 }).await?;
        never().await;
        Ok(())
    });
    tokio::select! {
        _ = run => panic!("it never ends"),
        _ = double.first("register") => {}
    }
    let abort = double.first("abort").await;
    assert_eq!(abort.body, r#"{"reason":"the body was dropped before its end"}"#);
    assert!(!double.kinds().contains("commit"));
}

#[tokio::test]
async fn a_panic_aborts() {
    let double = Double::start(&[]).await;
    let wholly = double.wholly.clone();
    let task = tokio::spawn(async move {
        wholly.transaction("n").run(async |_| -> Result<(), _> { panic!("on purpose") }).await
    });
    assert!(task.await.unwrap_err().is_panic());
    let abort = double.first("abort").await;
    assert_eq!(abort.body, r#"{"reason":"the body panicked"}"#);
    assert!(!double.kinds().contains("commit"));
}

#[tokio::test]
async fn a_commit_survives_its_caller() {
    let script: &[(&str, &[Act])] = &[("commit", &[Act::Hold, Act::HangUp, done()])];
    let double = Double::start(script).await;
    let run = double.wholly.transaction("n").run(async |_| Ok(()));
    tokio::select! {
        _ = run => panic!("it is held"),
        _ = double.first("commit") => {}
    }
    double.release();
    // Its answer is lost, and it is asked for again although nobody waits.
    double.nth("commit", 2).await;
    assert!(!double.kinds().contains("abort"));
}

async fn check_wait(script: &[(&'static str, &[Act])], kinds: &str, expected: &str) {
    let double = Double::start(script).await;
    let said = double.wholly.transaction("n").wait(Wait::Ended).run(async |_| Ok(())).await;
    let seen = match said {
        Ok(()) => "committed".to_owned(),
        Err(Error::NotAsDecided { decision: Decision::Commit, outcome, .. }) => {
            format!("commit, {outcome:?}")
        }
        Err(Error::Parked { decision, .. }) => format!("parked {decision:?}"),
        Err(Error::EndUnknown { decision, .. }) => format!("{decision:?}, end unknown"),
        Err(Error::Aborted { cause, .. }) => format!("aborted {cause:?}"),
        Err(other) => format!("{other:?}"),
    };
    assert_eq!(seen, expected);
    assert!(double.kinds().starts_with(kinds), "{}", double.kinds());
    let commit = double.first("commit").await;
    assert!(commit.line.contains("/commit?wait=ended&wait_ms="), "{}", commit.line);
}

#[tokio::test]
async fn the_end_is_waited_for_if_asked() {
    let said = |status, state: &str, decision: &str, outcome: &str| {
        Act::Say(status, document(state, decision, outcome, "initiator"))
    };
    let (ended, not_yet) =
        (said(200, "ended", "commit", "as_decided"), said(202, "finishing", "commit", ""));
    check_wait(&[("commit", from_ref(&ended))], "begin commit", "committed").await;
    check_wait(&[("commit", from_ref(&not_yet))], "begin commit get", "committed").await;
    let get: &[Act] = &[not_yet.clone(), not_yet.clone(), said(200, "ended", "commit", "mixed")];
    let script: &[(&str, &[Act])] = &[("commit", from_ref(&not_yet)), ("get", get)];
    check_wait(script, "begin commit get get get", "commit, Mixed").await;
    let script: &[(&str, &[Act])] = &[("commit", from_ref(&not_yet)), ("get", &[Act::HangUp])];
    check_wait(script, "begin commit get", "Commit, end unknown").await;
    let parked = not_yet_parked();
    check_wait(&[("commit", &[parked])], "begin commit", "parked Some(Commit)").await;
    let aborted = document("ended", "abort", "as_decided", "deadline");
    let decided = problem(409, "decided", "never", &aborted);
    check_wait(&[("commit", &[decided])], "begin commit", "aborted Deadline").await;
}

fn not_yet_parked() -> Act {
    let body = document("finishing", "commit", "", "initiator");
    Act::Say(202, body.replace("\"parked\":false", "\"parked\":true"))
}

#[tokio::test]
async fn an_abort_whose_end_is_not_learnt_says_so_to_who_waited_for_it() {
    let begun = Act::Say(202, document("finishing", "abort", "", "initiator"));
    let lost = [("get", from_ref(&Act::HangUp)), ("abort", from_ref(&begun))];
    let unanswered = [("abort", from_ref(&Act::HangUp))];
    for script in [&lost[..], &unanswered[..]] {
        for wait in [Wait::Ended, Wait::Decided] {
            let said = ended_by_refusal(script, wait).await;
            match (wait, &said) {
                (Wait::Ended, Error::EndUnknown { decision: Decision::Abort, .. })
                | (Wait::Decided, Error::Aborted { cause: Cause::Initiator, .. }) => (),
                _ => panic!("{wait:?}: {said:?}"),
            }
            assert!(said.is_refused("out_of_stock"), "{said:?}");
            assert_eq!(said.gid().unwrap().as_str(), "g-1");
        }
    }
}

async fn ended_by_refusal(script: &[(&'static str, &[Act])], wait: Wait) -> Error {
    let refusal = [refused("out_of_stock")];
    let script: Vec<_> = script.iter().copied().chain([("register", &refusal[..])]).collect();
    let double = Double::start(&script).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n").wait(wait);
    run.run(async |tx| Ok(tx.call(&stock, Lock { sku: 1 }).await?)).await.unwrap_err()
}

#[tokio::test]
async fn words_of_a_later_release_are_not_final() {
    let odd = Act::Say(200, document("finishing", "postponed", "", "initiator"));
    let double = Double::start(&[("commit", &[odd])]).await;
    let said = double.wholly.transaction("n").run(async |_| Ok(())).await;
    assert!(matches!(said, Err(Error::Unknown { .. })), "{said:?}");
}

#[tokio::test]
async fn a_scope_within_a_scope_joins() {
    let double = Double::start(&[]).await;
    let stock = double.wholly.participant("stock");
    let inner = async || {
        let stock = &stock;
        let run = double.wholly.transaction("inner");
        run.run(async move |tx| Ok(tx.call(stock, Lock { sku: 1 }).await?)).await
    };
    let outer = double.wholly.transaction("outer").run(async |tx| {
        tx.call(&stock, Lock { sku: 1 }).await?;
        Ok(inner().await?)
    });
    outer.await.unwrap();
    assert_eq!(double.kinds(), "begin register register commit");
    let commit = double.first("commit").await;
    assert_eq!(commit.body, r#"{"tried":["stock.lock","stock.lock-2"]}"#);
}

#[tokio::test]
async fn a_joined_scope_that_fails_fails_the_whole() {
    let double = Double::start(&[]).await;
    let outer = double.wholly.transaction("outer").run(async |_| {
        let inner = double.wholly.transaction("inner");
        let said = inner.run(async |_| -> Result<(), _> { Err(NoCustomer.into()) }).await;
        assert!(said.unwrap_err().reason::<NoCustomer>().is_some());
        Ok(())
    });
    let error = outer.await.unwrap_err();
    assert_eq!(error.reason::<JoinedFailed>().unwrap().why, "the customer is not known");
    assert_eq!(double.kinds(), "begin abort");
}

#[tokio::test]
async fn the_task_carries_its_transaction_and_spawned_ones_do_if_told() {
    let double = Double::start(&[]).await;
    let stock = double.wholly.participant("stock");
    assert!(wholly::current().is_none());
    let outside = stock.call(Lock { sku: 1 }).await.unwrap_err();
    assert!(matches!(outside, Error::NoTransaction { operation: "stock.lock" }), "{outside:?}");
    let run = double.wholly.transaction("n");
    let said = run.run(async |tx| {
        assert_eq!(wholly::current().unwrap().gid(), tx.gid());
        stock.call(Lock { sku: 1 }).await?;
        let here = async { wholly::current().is_some() };
        let there = async { wholly::current().is_some() };
        let told = tokio::spawn(here.in_current_transaction()).await?;
        let untold = tokio::spawn(there).await?;
        Ok((told, untold))
    });
    assert_eq!(said.await.unwrap(), (true, false));
    assert_eq!(double.kinds(), "begin register commit");
}

/// Whatever a server spawns must be Send, with borrowed and owned captures.
#[tokio::test]
async fn scopes_run_under_spawn() {
    let double = Double::start(&[]).await;
    let (wholly, stock) = (double.wholly.clone(), double.wholly.participant("stock"));
    let task = tokio::spawn(async move {
        let run = wholly.transaction("n").gid(format!("order-{}", 1));
        run.run(async |tx| {
            let (locked, other) = tokio::try_join!(
                tx.call(&stock, Lock { sku: 1 }),
                tx.call(&stock, Lock { sku: 2 }).branch("second"),
            )?;
            Ok(locked.warehouse + other.warehouse)
        })
        .await
    });
    assert_eq!(task.await.unwrap().unwrap(), 14);
}

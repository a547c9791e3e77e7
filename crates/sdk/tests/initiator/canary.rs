//! Canaries: credential, capability, payloads and replies of these tests come out of no error, of
//! nothing that prints itself, and of no log.

use crate::double::{Act, CAPABILITY, Double, problem, refused, tried};
use crate::{Lock, LockNow};
use std::error::Error as _;
use std::fmt::Debug;
use wholly::{Error, Wholly};
use wholly_canary::{Canary, NEXT, PAYLOAD, REPLY, SECRET, check_error, found};

fn silent(what: &impl Debug) {
    wholly_canary::check("what prints itself", &format!("{what:?} {what:#?}"));
}

/// An error with all its causes.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// A scope of one call, which ends in an error that says this.
async fn check(script: &[(&'static str, &[Act])], expected: &str) {
    let double = Double::start(script).await;
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n").timeout(double.patience);
    let said = run.run(async |tx| {
        silent(&tx);
        let calling = tx.call(&stock, Lock { sku: 1 });
        silent(&calling);
        Ok(calling.await?)
    });
    let error = said.await.unwrap_err();
    check_error(&error);
    if let Some(reason) = error.reason::<Error>() {
        check_error(reason);
    }
    assert!(chain(&error).contains(expected), "{expected}: {}", chain(&error));
}

#[tokio::test]
async fn no_error_says_what_it_is_about() {
    let reply = |json: &str| tried(&format!(r#""done","reply":{json}"#));
    let check_reply = async |json: &str, expected: &str| {
        check(&[("register", &[reply(json)])], expected).await;
    };
    check_reply(&format!("\"{REPLY}\""), "expected struct Locked").await;
    check_reply(&format!("{{\"warehouse\":\"{REPLY}\"}}"), "expected u32").await;
    check_reply(&format!("{{\"{REPLY}\":7}}"), "missing field `warehouse`").await;
    check(&[("register", &[refused("out_of_stock")])], "none left").await;
    check(&[("register", &[Act::HangUp])], "gave").await;
    check(&[("begin", &[problem(401, "credential_wrong", "never", "")])], "credential_wrong").await;
    check(&[("commit", &[problem(403, "capability_wrong", "never", "")])], "capability_wrong")
        .await;
    // What is said `later` is waited for only as long as a client is patient.
    let odd = format!(r#"{{"gid":"g-1","capability":["{CAPABILITY}"],"retry":"later"}}"#);
    check(&[("begin", &[Act::Say(201, odd)])], "that no coordinator gives").await;
    let odd = format!(r#"{{"gid":"g-1","deadline":"{CAPABILITY}","retry":"later"}}"#);
    check(&[("commit", &[Act::Say(200, odd)])], "that no coordinator gives").await;
}

#[tokio::test]
async fn nothing_that_prints_itself_says_a_secret() {
    let double = Double::start(&[]).await;
    let stock = double.wholly.participant("stock");
    let saga = double.wholly.saga("n").gid("g-1").step("a", &stock, LockNow { sku: 1 });
    let submitted = saga.submit().await.unwrap();
    silent(&submitted);
    silent(&submitted.get().await.unwrap());
    silent(&submitted.ended().await.unwrap());
    silent(&double.wholly.find("g-1"));
    silent(&(&double.wholly, &stock));
    silent(&(double.wholly.join_layer(), double.wholly.propagate_to(["points"])));
    for wrong in [&SECRET[..20], &format!("{SECRET} é"), &format!("{SECRET},{NEXT},{SECRET}")] {
        let client = Wholly::new("http://wholly").unwrap();
        check_error(&client.credential("orders", wrong).unwrap_err());
    }
    let payload = serde_json::to_string(&Lock { sku: 1 }).unwrap();
    assert_eq!(found(&payload, &[Canary::Payload]), Some(Canary::Payload), "{PAYLOAD}: {payload}");
}

#[tokio::test]
async fn what_is_logged_is_listened_to() {
    let before = wholly_canary::heard();
    let double =
        Double::start(&[("abort", &[problem(403, "capability_wrong", "never", "")])]).await;
    let run = double.wholly.transaction("n").run(async |_| {
        crate::never().await;
        Ok(())
    });
    tokio::select! {
        _ = run => panic!("it never ends"),
        _ = double.first("begin") => {}
    }
    let stock = double.wholly.participant("stock");
    let run = double.wholly.transaction("n").run(async |tx| {
        tx.call(&stock, Lock { sku: 1 }).await?;
        crate::never().await;
        Ok(())
    });
    tokio::select! {
        _ = run => panic!("it never ends"),
        _ = double.first("register") => {}
    }
    // The log says that the abort was refused, a little after the refusal has come.
    double.first("abort").await;
    while wholly_canary::heard() == before {
        tokio::task::yield_now().await;
    }
}

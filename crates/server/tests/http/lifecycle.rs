//! Good requests: begin, register, commit, abort, submit, wait, list, history.

use crate::world::World;
use serde_json::json;
use wholly_canary::REPLY;
use wholly_wire::headers::{CAPABILITY, IDEMPOTENCY_KEY};

#[tokio::test]
async fn a_transaction_is_begun_tried_and_committed() {
    let world = World::start().await;
    let begun = world.ask("POST /v1/transactions", &[], r#"{"name":"shop","gid":"o-1"}"#).await;
    assert_eq!((begun.status, begun.header("location")), (201, Some("/v1/transactions/o-1")));
    let capability = begun.json()["capability"].as_str().unwrap().to_string();
    let shown = [(CAPABILITY, capability.as_str())];
    let branch = json!({"branch": "stock", "mode": "tcc", "to": "stock", "operation": "lock",
                        "payload": {"sku": 1}, "call": true})
    .to_string();
    let registered = world.ask("POST /v1/transactions/o-1/branches", &shown, &branch).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    let answer = registered.json();
    assert_eq!(
        (&answer["answer"], &answer["reply"]),
        (&json!("done"), &json!({"op": "try", "secret": REPLY}))
    );
    assert!(answer["mark"].as_str().unwrap().starts_with("origin="), "{answer}");
    let again = world.ask("POST /v1/transactions/o-1/branches", &shown, &branch).await;
    assert_eq!((again.status, again.json()), (200, answer));

    let body = r#"{"tried":["stock"]}"#;
    let line = "POST /v1/transactions/o-1/commit?wait=ended";
    let committed = world.ask(line, &shown, body).await;
    assert_eq!(committed.status, 200, "{committed:?}");
    let document = committed.json();
    assert_eq!(document["state"], "ended");
    assert_eq!(
        (&document["decision"], &document["outcome"]),
        (&json!("commit"), &json!("as_decided"))
    );
    assert_eq!(document["cause"], "initiator");
    assert_eq!(document["branches"][0]["state"], "confirmed");
    let again = world.ask(line, &shown, body).await;
    assert_eq!((again.status, again.json()["decision"].clone()), (200, json!("commit")));
    let found = world.get("/v1/transactions/o-1").await;
    assert_eq!((found.status, found.json()), (200, document));
}

#[tokio::test]
async fn a_begin_is_repeatable_by_its_key_alone() {
    let world = World::start().await;
    let key = [(IDEMPOTENCY_KEY, "k-1")];
    let body = r#"{"name":"shop"}"#;
    let first = world.ask("POST /v1/transactions", &key, body).await;
    let second = world.ask("POST /v1/transactions", &key, r#"{ "name" : "shop" }"#).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(first.json(), second.json());
    let other = world.ask("POST /v1/transactions", &key, r#"{"name":"shops"}"#).await;
    assert_eq!((other.status, other.code().as_str()), (409, "idempotency_mismatch"));
    assert_eq!(other.json()["gid"], first.json()["gid"]);
    let with_gid = world.ask("POST /v1/transactions", &key, r#"{"name":"shop","gid":"g"}"#).await;
    assert_eq!((with_gid.status, with_gid.code().as_str()), (409, "idempotency_mismatch"));
    let issued = world.ask("POST /v1/transactions", &[], body).await;
    let another = world.ask("POST /v1/transactions", &[], body).await;
    assert_ne!(issued.json()["gid"], another.json()["gid"]);
    assert_eq!(issued.json()["gid"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn a_plan_is_carried_out_and_found_again() {
    let world = World::start().await;
    let plan = world.plan(&["one", "two"]);
    let done = world.ask("PUT /v1/transactions/p-1?wait=ended", &[], &plan).await;
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(done.header("location"), Some("/v1/transactions/p-1"));
    let document = done.json();
    assert_eq!((&document["decision"], &document["state"]), (&json!("commit"), &json!("ended")));
    assert_eq!(document["branches"][1]["after"], json!(["s0"]));
    assert_eq!(document["branches"][1]["reply"], json!({"op": "action", "secret": REPLY}));
    let again = world.ask("PUT /v1/transactions/p-1", &[], &plan).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["capability"], document["capability"]);
    let other = world.ask("PUT /v1/transactions/p-1", &[], &world.plan(&["one"])).await;
    assert_eq!((other.status, other.code().as_str()), (409, "gid_taken"));
    let world = world.restart().await;
    let found = world.ask("PUT /v1/transactions/p-1?wait=ended", &[], &plan).await;
    assert_eq!((found.status, found.json()), (200, document));
}

#[tokio::test]
async fn a_refused_step_turns_the_plan() {
    let world = World::start().await;
    let plan = world.plan(&["one", "refuse"]);
    let turned = world.ask("PUT /v1/transactions/p-2?wait=ended", &[], &plan).await.json();
    assert_eq!((&turned["decision"], &turned["cause"]), (&json!("abort"), &json!("refusal")));
    assert_eq!(turned["cause_branch"], "s1");
    assert_eq!(turned["branches"][0]["state"], "compensated");
    assert_eq!(turned["branches"][1]["state"], "refused");
    let refusal = json!({"code": "no_way", "detail": "not today", "kept": true});
    assert_eq!(turned["branches"][1]["refusal"], refusal);
}

#[tokio::test]
async fn time_over_is_no_error() {
    let world = World::start().await;
    let plan = world.plan(&["hang"]);
    let line = "PUT /v1/transactions/p-3?wait=decided&wait_ms=1";
    let waited = world.ask(line, &[], &plan).await;
    assert_eq!(waited.status, 202, "{waited:?}");
    assert_eq!(
        (&waited.json()["state"], &waited.json()["decision"]),
        (&json!("forward"), &json!(null))
    );
    let asked = world.get("/v1/transactions/p-3?wait=ended&wait_ms=1").await;
    assert_eq!(asked.status, 202);
    let shown = world.get("/v1/transactions/p-3").await;
    assert_eq!(shown.status, 200);
}

#[tokio::test]
async fn a_try_that_hangs_is_unknown_and_its_commit_an_abort() {
    let world = World::start().await;
    let capability = world.begin("o-2").await;
    let shown = [(CAPABILITY, capability.as_str())];
    let branch = r#"{"branch":"b","mode":"tcc","to":"stock","operation":"hang","call":true}"#;
    let line = "POST /v1/transactions/o-2/branches?wait_ms=1";
    let registered = world.ask(line, &shown, branch).await;
    assert_eq!((registered.status, &registered.json()["answer"]), (201, &json!("unknown")));
    let committed = world.ask("POST /v1/transactions/o-2/commit", &shown, "").await;
    assert_eq!((committed.status, committed.code().as_str()), (409, "decided"), "{committed:?}");
    let document = &committed.json()["transaction"];
    assert_eq!((&document["decision"], &document["cause"]), (&json!("abort"), &json!("unknown")));
}

#[tokio::test]
async fn what_is_decided_stays_so() {
    let world = World::start().await;
    let capability = world.begin("o-3").await;
    let shown = [(CAPABILITY, capability.as_str())];
    let body = r#"{"reason":"changed my mind"}"#;
    let aborted = world.ask("POST /v1/transactions/o-3/abort", &shown, body).await;
    assert_eq!((aborted.status, &aborted.json()["reason"]), (200, &json!("changed my mind")));
    let again = world.ask("POST /v1/transactions/o-3/abort", &shown, "").await;
    assert_eq!(again.status, 200, "{again:?}");
    let branch = r#"{"branch":"b","mode":"tcc","to":"stock","operation":"lock"}"#;
    for (part, body) in [("commit", ""), ("branches", branch)] {
        let late = world.ask(&format!("POST /v1/transactions/o-3/{part}"), &shown, body).await;
        assert_eq!((late.status, late.code().as_str()), (409, "decided"), "{part}");
        let problem = late.json();
        assert_eq!(problem["transaction"]["decision"], "abort", "{part}");
        assert_eq!((&problem["gid"], &problem["retry"]), (&json!("o-3"), &json!("never")));
    }
}

#[tokio::test]
async fn an_action_for_a_lost_begin_settles_it() {
    let lost = World::start().await;
    // A capability of ours for a gid of which nothing is known: its begin was lost.
    let key = wholly_server::transport::Coordinator::capability_key(&**lost.running.coordinator());
    let given = lost.begin("o-5").await;
    let begun = key.verify(&"o-5".parse().unwrap(), &given).unwrap();
    let capability = key.capability(&"o-4".parse().unwrap(), begun);
    let shown = [(CAPABILITY, capability.as_str())];
    assert_eq!(lost.get("/v1/transactions/o-4").await.code(), "gid_unknown");
    let committed = lost.ask("POST /v1/transactions/o-4/commit", &shown, "").await;
    assert_eq!((committed.status, committed.code().as_str()), (409, "decided"));
    let document = lost.get("/v1/transactions/o-4").await.json();
    assert_eq!((&document["decision"], &document["cause"]), (&json!("abort"), &json!("unknown")));
}

#[tokio::test]
async fn what_another_copy_of_the_log_began_is_not_said_to_be_aborted() {
    let copy = World::start().await;
    // A capability of ours, of a time at which no coordinator over this log can have given it.
    let key = wholly_server::transport::Coordinator::capability_key(&**copy.running.coordinator());
    let now = wholly_server::transport::Coordinator::now(&**copy.running.coordinator());
    for begun in [now.minus_ms(60_000), now.plus_ms(60_000)] {
        let capability = key.capability(&"o-6".parse().unwrap(), begun);
        let shown = [(CAPABILITY, capability.as_str())];
        let aborted = copy.ask("POST /v1/transactions/o-6/abort", &shown, "").await;
        assert_eq!((aborted.status, aborted.code().as_str()), (410, "unknown"));
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let world = World::start().await;
    for gid in ["l-1", "l-2", "l-3"] {
        let plan = world.plan(&["one"]);
        let line = format!("PUT /v1/transactions/{gid}?wait=ended");
        assert_eq!(world.ask(&line, &[], &plan).await.status, 201);
    }
    let hanging = world.plan(&["hang"]);
    world.ask("PUT /v1/transactions/m-1", &[], &hanging).await;
    let gids = |heard: &crate::world::Heard| -> Vec<String> {
        let items = heard.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["gid"].as_str().unwrap().to_string()).collect()
    };
    let ended = world.get("/v1/transactions?state=ended&gid_prefix=l-").await;
    assert_eq!(gids(&ended), ["l-3", "l-2", "l-1"]);
    let item = &ended.json()["items"][0];
    assert_eq!((&item["outcome"], &item["modes"]), (&json!("as_decided"), &json!(["saga"])));
    let first = world.get("/v1/transactions?state=ended&limit=2").await;
    assert_eq!(gids(&first), ["l-3", "l-2"]);
    let next = first.json()["next"].as_str().unwrap().to_string();
    let second = world.get(&format!("/v1/transactions?state=ended&limit=2&cursor={next}")).await;
    assert_eq!(gids(&second), ["l-1"]);
    let waiting = world.get("/v1/transactions?waits_for=stock").await;
    assert_eq!(gids(&waiting), ["m-1"]);
    let call = &waiting.json()["items"][0]["calls"][0];
    assert_eq!((&call["branch"], &call["op"]), (&json!("s0"), &json!("action")));
    let saga = world.get("/v1/transactions?mode=saga&state=ended").await;
    assert_eq!(gids(&saga), ["l-3", "l-2", "l-1"]);
    assert_eq!(gids(&world.get("/v1/transactions?mode=tcc").await), Vec::<String>::new());
    let begun = |item: usize| ended.json()["items"][item]["begun"].as_str().unwrap().to_string();
    // Two may have been begun in the same millisecond, none before the first.
    let from = format!("/v1/transactions?gid_prefix=l-&begun_from={}", begun(2));
    assert_eq!(gids(&world.get(&from).await), ["l-3", "l-2", "l-1"]);
    let until = format!("/v1/transactions?gid_prefix=l-&begun_until={}", begun(2));
    assert_eq!(gids(&world.get(&until).await), Vec::<String>::new());
    let wrong = world.get("/v1/transactions?begun_from=yesterday").await;
    assert_eq!((wrong.status, wrong.code()), (400, "field_invalid".to_owned()));
    assert_eq!(gids(&world.get("/v1/transactions?name=other").await), Vec::<String>::new());
    assert_eq!(gids(&world.get("/v1/transactions?older_than_ms=3600000").await).len(), 0);
    assert_eq!(gids(&world.get("/v1/transactions?stuck=true").await).len(), 0);
}

#[tokio::test]
async fn the_history_tells_what_happened() {
    let world = World::start().await;
    let plan = world.plan(&["one", "refuse"]);
    world.ask("PUT /v1/transactions/h-1?wait=ended", &[], &plan).await;
    let history = world.get("/v1/transactions/h-1/history").await.json();
    let told: Vec<String> = history["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let text = |name: &str| record[name].as_str().unwrap_or("").to_string();
            [text("what"), text("branch"), text("op"), text("answer")].join(" ").trim().to_string()
        })
        .collect();
    assert_eq!(
        told,
        [
            "submitted",
            "answered s0 action done",
            "answered s1 action refused",
            "decided s1",
            "answered s0 compensate done",
            "ended",
        ]
    );
    assert_eq!(history["records"][0]["branches"], json!(["s0", "s1"]));
    assert_eq!(history["records"][5]["outcome"], "as_decided");
}

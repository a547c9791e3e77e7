//! What an operator can do: retry, park, resolve, abort; always with a reason.

use crate::world::World;
use serde_json::json;
use wholly_core::time::Timestamp;
use wholly_server::egress::Rule;
use wholly_tls::authority::Authority;

#[tokio::test]
async fn a_stuck_branch_is_seen_and_resolved() {
    let world = World::start().await;
    let plan = world.plan(&["stick", "refuse"]);
    world.ask("PUT /v1/transactions/s-1?wait=decided", &[], &plan).await;
    let parked = wait_until_parked(&world, "s-1").await;
    assert_eq!((&parked["stuck"], &parked["outcome"]), (&json!(1), &json!(null)));
    let stuck = &parked["branches"][0]["stuck"];
    assert_eq!((&stuck["why"], &stuck["op"]), (&json!("refused"), &json!("compensate")));
    assert_eq!(stuck["refusal"]["code"], "no_way");
    let listed = wait_until_listed(&world, "/v1/transactions?stuck=true").await;
    assert_eq!((&listed["gid"], &listed["stuck"]), (&json!("s-1"), &json!(1)));
    let first = json!({ "branch": "s0", "stuck": parked["branches"][0]["stuck"] });
    assert_eq!(listed["first_stuck"], first, "{listed}");
    let counts = &world.get("/v1/status").await.json()["counts"];
    for (kind, count) in [("open", 0), ("forward", 0), ("finishing", 1), ("stuck", 1)] {
        assert_eq!(counts[kind]["count"], count, "{kind}: {counts}");
        assert_eq!(counts[kind]["oldest_ms"].is_u64(), count > 0, "{kind}: {counts}");
    }

    let body = r#"{"reason":"looked","branch":"s0","resolution":"applied"}"#;
    let resolved = world.ask("POST /v1/transactions/s-1/resolve", &[], body).await;
    assert_eq!(resolved.status, 200, "{resolved:?}");
    let ended = world.get("/v1/transactions/s-1?wait=ended").await.json();
    assert_eq!((&ended["state"], &ended["outcome"]), (&json!("ended"), &json!("mixed")));
    assert_eq!(ended["branches"][0]["resolution"], "applied");
    let again = world.ask("POST /v1/transactions/s-1/resolve", &[], body).await;
    assert_eq!((again.status, again.code().as_str()), (409, "already_ended"));
}

/// The compensation is refused soon; asking for the end again and again waits for that.
async fn wait_until_parked(world: &World, gid: &str) -> serde_json::Value {
    for _ in 0..1_000 {
        let path = format!("/v1/transactions/{gid}?wait=ended&wait_ms=5");
        let document = world.get(&path).await.json();
        if document["parked"] == true {
            return document;
        }
    }
    panic!("{gid} is not parked");
}

/// Lists show what is durable, and being stuck is durable a little later than it is seen.
async fn wait_until_listed(world: &World, path: &str) -> serde_json::Value {
    for _ in 0..1_000 {
        let listed = world.get(path).await.json()["items"][0].clone();
        if !listed.is_null() {
            return listed;
        }
    }
    panic!("{path} lists nothing");
}

#[tokio::test]
async fn an_operator_parks_and_lets_go() {
    let world = World::start().await;
    world.ask("PUT /v1/transactions/s-2", &[], &world.plan(&["hang"])).await;
    let body = r#"{"reason":"the bank is down"}"#;
    let parked = world.ask("POST /v1/transactions/s-2/park", &[], body).await;
    assert_eq!((parked.status, &parked.json()["parked"]), (200, &json!(true)), "{parked:?}");
    let freed = world.ask("POST /v1/transactions/s-2/retry", &[], body).await;
    assert_eq!((freed.status, &freed.json()["stuck"]), (200, &json!(0)), "{freed:?}");
    let history = world.get("/v1/transactions/s-2/history").await.json();
    let last = history["records"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["what"], &last["by"]), (&json!("retried"), &json!("anonymous")));
    assert_eq!(last["reason"], "the bank is down");
}

#[tokio::test]
async fn an_operator_aborts_without_a_capability() {
    let world = World::start().await;
    world.begin("s-3").await;
    let line = "POST /v1/transactions/s-3/operator-abort";
    let aborted = world.ask(line, &[], r#"{"reason":"its service is gone"}"#).await;
    assert_eq!(aborted.status, 200, "{aborted:?}");
    let document = aborted.json();
    assert_eq!((&document["decision"], &document["cause"]), (&json!("abort"), &json!("operator")));
    assert_eq!(document["reason"], "anonymous: its service is gone");
}

#[tokio::test]
async fn an_operator_says_why_and_of_what() {
    let world = World::start().await;
    world.begin("s-4").await;
    let cases = [
        ("retry", "", 400, "field_missing"),
        ("park", r#"{"reason":""}"#, 400, "field_invalid"),
        ("park", r#"{"reason":"r","branch":"b"}"#, 400, "unknown_field"),
        ("resolve", r#"{"reason":"r","branch":"b"}"#, 400, "field_missing"),
        ("resolve", r#"{"reason":"r","branch":"b","resolution":"done"}"#, 400, "field_invalid"),
        ("resolve", r#"{"reason":"r","branch":"b","resolution":"applied"}"#, 404, "branch_unknown"),
        ("retry", r#"{"reason":"r","branch":"b"}"#, 404, "branch_unknown"),
        ("operator-abort", "", 400, "field_missing"),
    ];
    for (part, body, status, code) in cases {
        let heard = world.ask(&format!("POST /v1/transactions/s-4/{part}"), &[], body).await;
        assert_eq!((heard.status, heard.code().as_str()), (status, code), "{part} {body}");
    }
    for part in ["retry", "park", "operator-abort"] {
        let line = format!("POST /v1/transactions/nobody/{part}");
        let heard = world.ask(&line, &[], r#"{"reason":"r"}"#).await;
        assert_eq!((heard.status, heard.code().as_str()), (404, "gid_unknown"), "{part}");
    }
}

/// What an operator sees of a destination; null if there is nothing.
async fn destination(world: &World, name: &str) -> serde_json::Value {
    let heard = world.get("/v1/status").await;
    assert_eq!(heard.status, 200, "{heard:?}");
    let status = heard.json();
    let rows = status["destinations"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_destination_rests_until_it_is_resumed() {
    let world = World::start().await;
    let body = r#"{"destination":"stock","reason":"the schema is migrated"}"#;
    let paused = world.ask("POST /v1/destinations/pause", &[], body).await;
    assert_eq!(paused.status, 200, "{paused:?}");
    assert_eq!(destination(&world, "stock").await["paused_reason"], "the schema is migrated");
    let plan = world.plan(&["lock"]);
    let accepted = world.ask("PUT /v1/transactions/p-1", &[], &plan).await;
    assert_eq!(accepted.status, 201, "{accepted:?}");
    let held = destination(&world, "stock").await;
    assert_eq!((&held["queued"], &held["in_flight"]), (&json!(1), &json!(0)), "{held}");
    let history = world.get("/v1/transactions/p-1/history").await;
    assert!(history.body.contains("paused by an operator"), "{history:?}");
    let resumed = world.ask("POST /v1/destinations/resume", &[], body).await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    let ended = world.get("/v1/transactions/p-1?wait=ended").await.json();
    assert_eq!(ended["state"], "ended");
    let gone = destination(&world, "stock").await;
    assert!(gone["paused_since"].is_null(), "{gone}");
    let nowhere = r#"{"destination":"nowhere","reason":"a slip"}"#;
    let refused = world.ask("POST /v1/destinations/pause", &[], nowhere).await;
    assert_eq!(refused.code(), "destination_unknown");
}

#[tokio::test]
async fn a_drained_coordinator_ends_what_is_open_and_begins_nothing() {
    let world = World::start().await;
    let capability = world.begin("d-1").await;
    let drained = world.ask("POST /v1/drain", &[], r#"{"reason":"an upgrade"}"#).await;
    let status = drained.json();
    assert_eq!((&status["intake"], &status["remaining"]), (&json!("drained"), &json!(1)));
    let refused = world.ask("POST /v1/transactions", &[], r#"{"name":"test"}"#).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "draining"));
    let shown = [("wholly-capability", capability.as_str())];
    let commit = world.ask("POST /v1/transactions/d-1/commit?wait=ended", &shown, "{}").await;
    assert_eq!(commit.status, 200, "{commit:?}");
    assert_eq!(world.get("/v1/status").await.json()["remaining"], 0);
    let admitted = world.ask("POST /v1/admit", &[], r#"{"reason":"not today"}"#).await;
    assert_eq!(admitted.json()["intake"], "open");
    world.begin("d-2").await;
    let nameless = world.ask("POST /v1/drain", &[], r#"{"reason":" "}"#).await;
    assert_eq!(nameless.code(), "field_invalid");
}

/// What the audit has of each act: who, what, of what, why.
fn audited(world: &World) -> Vec<String> {
    let text = std::fs::read_to_string(world.data().join("audit.log")).unwrap_or_default();
    let lines = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let word = |field: &str| line[field].as_str().unwrap_or("-").to_owned();
        ["who", "what", "gid", "destination", "reason"].map(word).join(" ")
    });
    lines.collect()
}

#[tokio::test]
async fn what_was_ordered_holds_through_every_start() {
    let world = World::start().await;
    let pause = r#"{"destination":"stock","reason":"migration"}"#;
    assert_eq!(world.ask("POST /v1/destinations/pause", &[], pause).await.status, 200);
    assert_eq!(world.ask("POST /v1/drain", &[], r#"{"reason":"upgrade"}"#).await.status, 200);
    let world = world.restart().await;
    let status = world.get("/v1/status").await.json();
    assert_eq!(
        (&status["intake"], &status["drained_by"]),
        (&json!("drained"), &json!("anonymous"))
    );
    assert_eq!(status["drained_reason"], "upgrade");
    let begin = world.ask("POST /v1/transactions", &[], r#"{"name":"test"}"#).await;
    assert_eq!((begin.status, begin.code().as_str()), (503, "draining"));
    assert_eq!(destination(&world, "stock").await["paused_reason"], "migration");
    assert!(world.get("/metrics").await.body.contains("wholly_destinations_paused{"));
    assert_eq!(world.ask("POST /v1/admit", &[], r#"{"reason":"done"}"#).await.status, 200);
    let plan = world.plan(&["lock"]);
    assert_eq!(world.ask("PUT /v1/transactions/p-9", &[], &plan).await.status, 201);
    let held = destination(&world, "stock").await;
    assert_eq!((&held["queued"], &held["in_flight"]), (&json!(1), &json!(0)), "{held}");
    assert_eq!(world.ask("POST /v1/destinations/resume", &[], pause).await.status, 200);
    assert_eq!(world.get("/v1/transactions/p-9?wait=ended").await.json()["state"], "ended");
    assert_eq!(
        audited(&world),
        [
            "anonymous pause - stock migration",
            "anonymous drain - - upgrade",
            "anonymous admit - - done",
            "anonymous resume - stock migration",
        ]
    );
    let world = world.restart().await;
    let status = world.get("/v1/status").await.json();
    assert_eq!((&status["intake"], &status["destinations"]), (&json!("open"), &json!([])));
}

#[tokio::test]
async fn participants_are_asked_what_their_rows_say() {
    let world = World::start().await;
    let plan = json!({"name": "test", "steps": [
        {"branch": "kept", "to": "stock", "operation": "lock"},
        {"branch": "gone", "to": "http://127.0.0.1:1", "operation": "o", "after": ["kept"]},
        {"branch": "next", "to": "http://127.0.0.1:1", "operation": "o", "after": ["gone"]},
    ]});
    let line = "PUT /v1/transactions/r-1";
    assert_eq!(world.ask(line, &[], &plan.to_string()).await.status, 201);
    let before = world.get("/v1/transactions/r-1/history").await.json()["records"].clone();
    let said = world.get("/v1/transactions/r-1/rows").await;
    assert_eq!(said.status, 200, "{said:?}");
    let said = said.json();
    let rows: Vec<_> = said["rows"].as_array().unwrap().iter().collect();
    assert_eq!((&rows[0]["asked"], &rows[0]["row"]), (&json!("answered"), &json!("tried")));
    assert_eq!((&rows[1]["asked"], &rows[1]["row"]), (&json!("unanswered"), &json!(null)));
    assert!(rows[1]["detail"].as_str().unwrap().contains("connect to"), "{said}");
    assert_eq!(rows[2]["asked"], "not_asked");
    // Looking leaves no record: what was there is there, and nothing of an inspection.
    let after = world.get("/v1/transactions/r-1/history").await;
    let records = after.json()["records"].as_array().unwrap().clone();
    assert!(records.starts_with(before.as_array().unwrap()), "{after:?}");
    assert!(!after.body.contains("inspected"), "{after:?}");
    let pause = r#"{"destination":"stock","reason":"migration"}"#;
    assert_eq!(world.ask("POST /v1/destinations/pause", &[], pause).await.status, 200);
    let said = world.get("/v1/transactions/r-1/rows").await.json();
    assert_eq!(said["rows"][0]["asked"], "paused");
    assert_eq!(world.get("/v1/transactions/nobody/rows").await.code(), "gid_unknown");
}

#[tokio::test]
async fn payloads_are_shown_by_one_request_alone_and_each_look_is_audited() {
    let world = World::start().await;
    let step = |branch: &str, payload: &str| {
        let (to, operation) = ("stock", "lock");
        json!({"branch": branch, "to": to, "operation": operation, "payload": payload})
    };
    let long = "x".repeat(200_000);
    let steps: Vec<_> = (0..6).map(|at| step(&format!("s{at}"), &format!("{at}{long}"))).collect();
    let capability = world.begin("p-2").await;
    let shown = [("wholly-capability", capability.as_str())];
    for step in &steps {
        let mut branch = step.clone();
        branch["mode"] = json!("tcc");
        let line = "POST /v1/transactions/p-2/branches";
        let registered = world.ask(line, &shown, &branch.to_string()).await;
        assert_eq!(registered.status, 201, "{}", registered.head);
    }
    for path in ["", "/history", "/rows"] {
        let seen = world.get(&format!("/v1/transactions/p-2{path}")).await;
        assert!(!seen.body.contains("xxx"), "{path} shows a payload");
    }
    assert_eq!(audited(&world), Vec::<String>::new());
    let line = "POST /v1/transactions/p-2/payloads";
    let seen = world.ask(line, &[], r#"{"reason":"a dispute"}"#).await.json();
    let payloads = seen["payloads"].as_array().unwrap();
    assert_eq!((payloads.len(), &payloads[5]["bytes"]), (6, &json!(200_003)));
    assert_eq!(payloads[4]["payload"], format!("4{long}"));
    assert_eq!(payloads[5]["payload"], json!(null), "six are over one mebibyte");
    let one = world.ask(line, &[], r#"{"reason":"the last","branch":"s5"}"#).await.json();
    assert_eq!(one["payloads"][0]["payload"], format!("5{long}"));
    let none = world.ask(line, &[], r#"{"reason":"a slip","branch":"s9"}"#).await;
    assert_eq!((none.status, none.code().as_str()), (404, "branch_unknown"));
    assert_eq!(world.ask(line, &[], "{}").await.code(), "field_missing");
    let nobody = world.ask(&line.replace("p-2", "nobody"), &[], r#"{"reason":"why"}"#).await;
    assert_eq!(nobody.code(), "gid_unknown");
    assert_eq!(
        audited(&world),
        [
            "anonymous payloads p-2 - a dispute",
            "anonymous payloads p-2 - the last",
            "anonymous payloads p-2 - a slip",
            "anonymous payloads nobody - why",
        ]
    );
}

#[tokio::test]
async fn the_status_says_how_full_the_disk_is() {
    let world = World::start().await;
    let status = world.get("/v1/status").await.json();
    let disk = &status["disk"];
    let number = |field: &str| disk[field].as_u64().unwrap_or_else(|| panic!("{field}: {disk}"));
    assert!(number("size_bytes") >= number("free_bytes"));
    assert!(number("log_bytes_max") >= number("log_bytes") && number("log_bytes") > 0, "{disk}");
    assert!(status["started"].is_string() && status["late_ms_max"].is_u64(), "{status}");
}

#[tokio::test]
async fn the_status_says_when_a_backup_was_made_and_up_to_when_certificates_hold() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("known").write(folder.path());
    let world = World::start_with(|config| {
        let secured = Rule { ca: Some(ca), ..Rule::new("https://127.0.0.1:1") };
        config.destinations.insert("secured".into(), secured);
    })
    .await;
    let status = world.get("/v1/status").await.json();
    assert_eq!(status["backup"], json!(null), "{status}");
    let certificates = json!([{"of": "destinations", "expires": "2049-12-31T23:59:59.000Z"}]);
    assert_eq!(status["certificates"], certificates);
    let figures = world.get("/metrics").await.body;
    assert!(!figures.contains("wholly_backup"), "none was made");

    let to = folder.path().join("first");
    let made = wholly_server::backup(world.data(), &to, Timestamp(1_000), &mut |_| {}).unwrap();
    let status = world.get("/v1/status").await.json();
    let first = json!({
        "tried": "1970-01-01T00:00:01.000Z", "asked": "1970-01-01T00:00:01.000Z",
        "bytes": made.bytes(), "to": to.canonicalize().unwrap(),
    });
    assert_eq!(status["backup"], first);
    assert!(!to.join("backups.json").exists(), "a note is of the folder, not of its copies");

    // One that fails after it was begun: there is something that cannot be copied.
    let odd = world.data().join("odd");
    std::os::unix::fs::symlink("/proc/self/mem", &odd).unwrap();
    let to = folder.path().join("second");
    wholly_server::backup(world.data(), &to, Timestamp(5_000), &mut |_| {}).unwrap_err();
    std::fs::remove_file(odd).unwrap();
    let status = world.get("/v1/status").await.json();
    assert_eq!(status["backup"]["tried"], "1970-01-01T00:00:05.000Z");
    assert_eq!(status["backup"]["asked"], first["asked"]);
    let figures = world.get("/metrics").await.body;
    for line in ["wholly_backup_time_seconds 1", "wholly_backup_tried_time_seconds 5"] {
        assert!(figures.lines().any(|shown| shown == line), "{line} is not in\n{figures}");
    }

    // What was put back counts as the last one of its folder.
    let restored = folder.path().join("restored");
    wholly_server::restore(&folder.path().join("first"), &restored, Timestamp(9_000)).unwrap();
    let whole = wholly_server::backup::noted(&restored).unwrap().whole.unwrap();
    assert_eq!((whole.asked.0, whole.to), (Timestamp(1_000), folder.path().join("first")));
}

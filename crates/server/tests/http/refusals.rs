//! Bad requests: each has a code, a status, and a detail that says what to do.

use crate::canary;
use crate::world::{Heard, World};
use wholly_wire::headers::{CAPABILITY, IDEMPOTENCY_KEY};
use wholly_wire::problem::row;

const JSON: (&str, &str) = ("content-type", "application/json");
const BEGIN: &str = "POST /v1/transactions";

/// Every problem is one of the table, and says what to do.
fn check(heard: &Heard, code: &str, detail: &str) {
    let row = row(code).unwrap();
    let problem = heard.json();
    assert_eq!((heard.code().as_str(), heard.status), (code, row.status), "{heard:?}");
    assert_eq!(heard.header("content-type"), Some("application/problem+json"), "{heard:?}");
    assert_eq!(problem["type"], format!("/v1/problems/{code}"));
    let said = problem["detail"].as_str().unwrap();
    assert!(said.contains(detail), "{said:?} should say {detail:?}");
    assert_eq!(heard.header("retry-after").is_some(), problem["retry"] == "later", "{heard:?}");
}

async fn check_body(world: &World, line: &str, body: &str, (code, detail): (&str, &str)) {
    check(&world.ask(line, &[], body).await, code, detail);
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let world = World::start().await;
    let put = "PUT /v1/transactions/g";
    let deep = format!(r#"{{"name":{}"#, "[".repeat(10_000));
    let deep_payload = world.plan(&["one"]).replace(
        &canary::payload(0).to_string(),
        &format!("{}{}", "[".repeat(1_000), "]".repeat(1_000)),
    );
    let unknown = world.plan(&["one"]).replace("\"to\"", "\"too\"");
    let cases = [
        (BEGIN, "{", ("malformed_json", "line 1 column 1; send one JSON object")),
        (BEGIN, "name=x", ("malformed_json", "send one JSON object")),
        (BEGIN, deep.as_str(), ("malformed_json", "recursion limit")),
        (BEGIN, "[]", ("field_invalid", "the body must be a JSON object")),
        (BEGIN, "{}", ("field_missing", "name is missing; add it")),
        (BEGIN, r#"{"name":"x","git":"g"}"#, ("unknown_field", "no git; did you mean gid?")),
        (BEGIN, r#"{"name":"x","gid":"../etc"}"#, ("field_invalid", "use letters, digits and")),
        (BEGIN, r#"{"name":"x","gid":"a'b"}"#, ("field_invalid", "gid has a character at byte 1")),
        (BEGIN, r#"{"name":"x","timeout_ms":"1"}"#, ("field_invalid", "must be an integer")),
        (put, "", ("field_missing", "name is missing")),
        (put, r#"{"name":"x","steps":[]}"#, ("plan_invalid", "it has no step")),
        (put, unknown.as_str(), ("unknown_field", "steps[0].too; did you mean to?")),
        (put, deep_payload.as_str(), ("field_invalid", "nested deeper than 64 levels; flatten it")),
    ];
    for (line, body, expected) in cases {
        check_body(&world, line, body, expected).await;
    }
    let field = world.ask(put, &[], &unknown).await.json()["field"].clone();
    assert_eq!(field, "steps[0].too");
}

#[tokio::test]
async fn plans_that_cannot_be_carried_out() {
    let world = World::start().await;
    let put = "PUT /v1/transactions/g";
    let plan = world.plan(&["a", "b", "c"]);
    let cases = [
        (plan.replace(r#""after":[]"#, r#""after":["s2"]"#), "waits for itself in a circle"),
        (plan.replace(r#""after":[]"#, r#""after":["x"]"#), "names x, which is no step"),
        (plan.replace("\"s1\"", "\"s0\""), "step s0 stands twice"),
        (
            plan.replace(r#""after":[]"#, r#""after":[],"forward":true"#),
            "a step that is never undone",
        ),
        (plan.replace(r#""after":[]"#, r#""after":[],"reads":["s2"]"#), "add it to after"),
    ];
    for (body, detail) in cases {
        check_body(&world, put, &body, ("plan_invalid", detail)).await;
    }
    let unknown = plan.replace("\"stock\"", "\"stocks\"");
    check_body(&world, put, &unknown, ("destination_unknown", "add it under [destinations]")).await;
    check(&world.get("/v1/transactions/g").await, "gid_unknown", "this is not final");
}

#[tokio::test]
async fn destinations_that_are_not_named() {
    let world = World::start().await;
    let capability = world.begin("d").await;
    for to in [
        "stocks",
        "STOCK",
        "http://example.com",
        "http://10.0.0.1:80",
        "http://user@127.0.0.1",
        "file:///etc/passwd",
        "http://0x7f000001@evil.example",
        "//stock",
        "stock/../x",
    ] {
        let branch = format!(r#"{{"branch":"b","mode":"tcc","to":"{to}","operation":"o"}}"#);
        let shown = [(CAPABILITY, capability.as_str())];
        let heard = world.ask("POST /v1/transactions/d/branches", &shown, &branch).await;
        check(&heard, "destination_unknown", "add it under [destinations], or by --destination");
        assert_eq!(heard.json()["field"], "to");
        let begin = format!(r#"{{"name":"n","branches":[{branch}]}}"#);
        let heard = world.ask(BEGIN, &[], &begin).await;
        check(&heard, "destination_unknown", "add it under");
        assert_eq!(heard.json()["field"], "branches[0].to");
    }
    let blank =
        r#"{"name":"n","branches":[{"branch":"b","mode":"tcc","to":"a b","operation":"o"}]}"#;
    check(&world.ask(BEGIN, &[], blank).await, "field_invalid", "branches[0].to has a character");
}

#[tokio::test]
async fn capabilities_that_are_not_shown_or_not_ours() {
    let world = World::start().await;
    let own = world.begin("c-1").await;
    let other = world.begin("c-2").await;
    let branch = r#"{"branch":"b","mode":"tcc","to":"stock","operation":"o"}"#;
    let forged = format!("{}.{}", own.split_once('.').unwrap().0, "A".repeat(43));
    let older = format!("1.{}", own.split_once('.').unwrap().1);
    for (part, body) in [("branches", branch), ("commit", "{}"), ("abort", "{}")] {
        let line = format!("POST /v1/transactions/c-1/{part}");
        let missing = world.ask(&line, &[], body).await;
        check(&missing, "capability_missing", "send the one that the begin of c-1 returned");
        for wrong in [other.as_str(), forged.as_str(), older.as_str(), "", "x", "..", "1."] {
            let heard = world.ask(&line, &[(CAPABILITY, wrong)], body).await;
            check(&heard, "capability_wrong", "send the one that its begin returned");
            assert_eq!(heard.json()["gid"], "c-1");
        }
    }
    let shown = [(CAPABILITY, own.as_str())];
    let unknown = world.ask("POST /v1/transactions/c-3/commit", &shown, "").await;
    check(&unknown, "capability_wrong", "not of c-3");
    let document = world.get("/v1/transactions/c-1").await.json();
    assert_eq!(
        (document["state"].as_str(), &document["branches"]),
        (Some("open"), &serde_json::json!([]))
    );
}

#[tokio::test]
async fn names_that_are_in_use() {
    let world = World::start().await;
    let capability = world.begin("n-1").await;
    let again = world.ask(BEGIN, &[], r#"{"name":"test","gid":"n-1"}"#).await;
    check(&again, "gid_taken", "take another");
    assert!(!again.body.contains(&capability), "a stranger does not get the capability");
    let plan = world.ask("PUT /v1/transactions/n-1", &[], &world.plan(&["a"])).await;
    check(&plan, "gid_taken", "take another");
    let shown = [(CAPABILITY, capability.as_str())];
    let branch = r#"{"branch":"b","mode":"tcc","to":"stock","operation":"o","payload":1}"#;
    let line = "POST /v1/transactions/n-1/branches";
    assert_eq!(world.ask(line, &shown, branch).await.status, 201);
    let other = branch.replace(":1", ":2");
    check(&world.ask(line, &shown, &other).await, "branch_taken", "take another name");
    let both = r#"{"tried":["b"],"refused":["b"]}"#;
    let commit = "POST /v1/transactions/n-1/commit";
    check(&world.ask(commit, &shown, both).await, "branch_contradicted", "name it once");
    let nobody = r#"{"tried":["x"]}"#;
    check(
        &world.ask(commit, &shown, nobody).await,
        "branch_unknown",
        "its branches are those that were registered",
    );
}

#[tokio::test]
async fn paths_methods_and_parameters_that_do_not_exist() {
    let world = World::start().await;
    let lines = [
        ("GET /", "route_unknown", "/v1/openapi.json lists them all"),
        ("GET /v1/transactions/", "route_unknown", "/v1/openapi.json"),
        ("GET /v1/transactions/a/b/c", "route_unknown", "/v1/openapi.json"),
        ("GET /v1/../healthz", "route_unknown", "/v1/openapi.json"),
        ("GET /v1/problems/none", "route_unknown", "/v1/openapi.json"),
        ("DELETE /v1/transactions/g", "method_not_allowed", "use PUT, GET"),
        ("GET /v1/transactions/a%2Fb", "field_invalid", "gid has a character at byte 1"),
        ("GET /v1/transactions/%00", "field_invalid", "gid has a character at byte 0"),
        ("GET /v1/transactions/%ff", "field_invalid", "percent-encoding"),
        ("GET /v1/transactions/-a", "field_invalid", "beginning with a letter or digit"),
        ("GET /v1/transactions/g?wat=ended", "unknown_field", "did you mean wait?"),
        ("GET /v1/transactions/g?wait=long", "field_invalid", "none of decided, ended, no"),
        ("GET /v1/transactions/g?wait=ended&wait_ms=30001", "field_invalid", "30000; ask again"),
        ("GET /v1/transactions?limit=0", "field_invalid", "from 1 to 500; follow next"),
        ("GET /v1/transactions?limit=501", "field_invalid", "from 1 to 500"),
        ("GET /v1/transactions?cursor=x", "field_invalid", "take it from next as it is"),
        ("GET /v1/transactions?state=done", "field_invalid", "open, forward, finishing, ended"),
        ("GET /v1/transactions?stuck=1", "field_invalid", "must be true or false"),
        ("GET /v1/transactions?older_than_ms=1h", "field_invalid", "must be an integer"),
        ("GET /v1/transactions?waits_for=a%20b", "field_invalid", "waits_for has a character"),
        ("GET /v1/transactions/nobody", "gid_unknown", "this is not final"),
        ("GET /v1/transactions/nobody/history", "gid_unknown", "this is not final"),
    ];
    for (line, code, detail) in lines {
        check(&world.ask(line, &[], "").await, code, detail);
    }
    let long = format!("GET /v1/transactions/{}", "a".repeat(129));
    check(&world.ask(&long, &[], "").await, "field_invalid", "longer than 128 bytes");
    let heard = world.ask("POST /healthz", &[], "").await;
    assert_eq!(heard.header("allow"), Some("GET"));
}

#[tokio::test]
async fn bodies_that_are_not_declared_as_json() {
    let world = World::start().await;
    let ask = async |content_type: &str| {
        let body = r#"{"name":"x"}"#;
        let request = format!(
            "POST /v1/transactions HTTP/1.1\r\nhost: localhost\r\n{content_type}content-length: \
             {}\r\n\r\n{body}",
            body.len()
        );
        world.send(request.as_bytes()).await
    };
    for wrong in [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/jsonp\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: application/json; charset=latin1\r\n",
        "content-type: application/json\r\ncontent-type: text/plain\r\n",
    ] {
        check(&ask(wrong).await, "content_type", "send content-type: application/json");
    }
    for right in [
        "content-type: application/json\r\n",
        "Content-Type: Application/JSON\r\n",
        "content-type: application/json; charset=utf-8\r\n",
        "content-type: application/json;charset=\"UTF-8\"\r\n",
    ] {
        let heard = ask(right).await;
        assert_eq!(heard.status, 201, "{right}: {heard:?}");
    }
}

#[tokio::test]
async fn hosts_that_are_not_ours_and_web_pages() {
    let world = World::start().await;
    let port = world.addr().port();
    let ask = async |headers: String| {
        world.send(format!("GET /v1 HTTP/1.1\r\n{headers}\r\n").as_bytes()).await
    };
    for host in ["evil.example", "10.0.0.1", "localhost.evil.example:7700"] {
        let heard = ask(format!("host: {host}\r\n")).await;
        check(&heard, "host_forbidden", "add the name to hosts in its configuration");
    }
    check(&ask(String::new()).await, "host_forbidden", "send a Host header");
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        let heard = ask(format!("host: localhost:{port}\r\norigin: {origin}\r\n")).await;
        check(&heard, "origin_forbidden", "send it from a program");
    }
    let same = ask(format!("host: localhost:{port}\r\norigin: http://localhost:{port}\r\n")).await;
    assert_eq!(same.status, 200, "{same:?}");
    let absolute = "GET http://evil.example/v1 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    check(&world.send(absolute.as_bytes()).await, "host_forbidden", "evil.example");
    let absolute = "GET http://localhost/v1 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert_eq!(world.send(absolute.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn idempotency_keys_that_are_none() {
    let world = World::start().await;
    for wrong in ["", "a b", "schl\u{fc}ssel", &"k".repeat(513)] {
        let heard = world.ask(BEGIN, &[(IDEMPOTENCY_KEY, wrong)], r#"{"name":"x"}"#).await;
        check(&heard, "idempotency_key_invalid", "use 1 to 512 printable ASCII characters");
    }
    let twice = [(IDEMPOTENCY_KEY, "a"), (IDEMPOTENCY_KEY, "b")];
    let heard = world.ask(BEGIN, &twice, r#"{"name":"x"}"#).await;
    check(&heard, "idempotency_key_invalid", "stands twice");
    let longest = "k".repeat(512);
    let heard = world.ask(BEGIN, &[(IDEMPOTENCY_KEY, &longest)], r#"{"name":"x"}"#).await;
    assert_eq!(heard.status, 201);
    let content_type = [JSON];
    let heard = world.ask(BEGIN, &content_type, r#"{"name":"x"}"#).await;
    check(&heard, "content_type", "two types");
}

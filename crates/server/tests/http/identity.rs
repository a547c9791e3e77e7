//! Who may ask what: every route against every role, and strangers; changed secrets.

use crate::world::{Heard, World};
use serde_json::json;
use wholly_canary::{NEXT, SECRET};
use wholly_server::Config;
use wholly_server::keyring::Grant;
use wholly_wire::base64;
use wholly_wire::credential::{Credential, Role, Secrets};
use wholly_wire::words::Spelled;

fn grant(id: &str, secrets: &str, role: Role) -> (String, Grant) {
    let credential = Credential::new(id, Secrets::parse(secrets).unwrap()).unwrap();
    (id.to_owned(), Grant { credential, role })
}

pub(crate) fn known(config: &mut Config) {
    config.dev = false;
    config.credentials = [
        grant("orders", SECRET, Role::Service),
        grant("stock", SECRET, Role::Service),
        grant("anna", SECRET, Role::Operator),
        grant("prometheus", SECRET, Role::Metrics),
    ]
    .into();
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", base64::padded(format!("{id}:{secret}").as_bytes()))
}

async fn ask_as(world: &World, id: &str, secret: &str, line: &str, body: &str) -> Heard {
    world.ask(line, &[("authorization", &basic(id, secret))], body).await
}

/// The table that people read; a test of the routes holds it to the code.
fn rows() -> Vec<(String, Vec<Role>)> {
    let page = include_str!("../../../../docs/operate/identity.md");
    let rows = page.lines().filter_map(|line| {
        let (request, roles) = line.strip_prefix("| `")?.split_once("` | ")?;
        let is_request = ["GET ", "POST ", "PUT "].iter().any(|method| request.starts_with(method));
        let line = request.replace("{gid}", "g-1").replace("{code}", "gid_taken");
        let roles = roles.trim_end_matches(" |").split(", ").filter_map(Role::parse).collect();
        is_request.then_some((line, roles))
    });
    rows.collect()
}

fn code(heard: &Heard) -> String {
    match heard.status {
        401 | 403 => heard.code(),
        _ => "asked".to_owned(),
    }
}

#[tokio::test]
async fn every_route_is_for_its_roles_and_for_nobody_else() {
    let world = World::start_with(known).await;
    let callers =
        [("orders", Role::Service), ("anna", Role::Operator), ("prometheus", Role::Metrics)];
    let rows = rows();
    assert!(rows.len() >= 19);
    for (line, roles) in rows {
        let body = match line.starts_with("GET") {
            true => "",
            false => "{}",
        };
        for (id, role) in callers {
            let heard = ask_as(&world, id, SECRET, &line, body).await;
            // A service is admitted, and hears that it has shown no capability.
            let heard = match code(&heard).as_str() {
                "capability_missing" => "asked".to_owned(),
                other => other.to_owned(),
            };
            let expected = match roles.is_empty() || roles.contains(&role) {
                true => "asked",
                false => "role_forbidden",
            };
            assert_eq!(heard, expected, "{line} as {id}");
        }
        let strangers = [
            (None, "credential_missing"),
            (Some(basic("orders", NEXT)), "credential_wrong"),
            (Some(basic("nobody", SECRET)), "credential_wrong"),
            (Some(basic("", SECRET)), "credential_wrong"),
            (Some(basic("Orders", SECRET)), "credential_wrong"),
            (Some(format!("Bearer {SECRET}")), "credential_wrong"),
            (Some(String::new()), "credential_wrong"),
        ];
        for (shown, expected) in strangers {
            let headers: Vec<(&str, &str)> =
                shown.iter().map(|shown| ("authorization", shown.as_str())).collect();
            let heard = world.ask(&line, &headers, body).await;
            let expected = if roles.is_empty() { "asked" } else { expected };
            assert_eq!(code(&heard), expected, "{line} {shown:?}");
            if heard.status == 401 {
                assert_eq!(heard.header("www-authenticate"), Some("Basic realm=\"wholly\""));
            }
        }
    }
}

#[tokio::test]
async fn strangers_do_not_hear_what_exists() {
    let world = World::start_with(known).await;
    for line in ["GET /v1/nothing", "GET /", "DELETE /v1/transactions/g", "GET /metrics/"] {
        assert_eq!(code(&world.ask(line, &[], "").await), "credential_missing", "{line}");
        let heard = ask_as(&world, "anna", SECRET, line, "").await;
        assert!([404, 405].contains(&heard.status), "{line}: {heard:?}");
    }
    let two = basic("orders", SECRET);
    let two = [("authorization", two.as_str()), ("authorization", two.as_str())];
    assert_eq!(code(&world.ask("GET /v1", &two, "").await), "credential_wrong");
    assert_eq!(code(&ask_as(&world, "orders", SECRET, "GET /metrics", "").await), "role_forbidden");
    let figures = ask_as(&world, "prometheus", SECRET, "GET /metrics", "").await;
    for (why, count) in [("missing", 4), ("wrong", 1), ("role", 1)] {
        let figure = format!("wholly_credentials_refused_total{{why=\"{why}\"}} {count}\n");
        assert!(figures.body.contains(&figure), "{figure} is not in\n{}", figures.body);
    }
}

#[tokio::test]
async fn a_principal_is_the_credentials_name() {
    let world = World::start_with(known).await;
    let begin = async |id: &str| {
        let shown = basic(id, SECRET);
        let headers = [("authorization", shown.as_str()), ("idempotency-key", "k-1")];
        let heard = world.ask("POST /v1/transactions", &headers, r#"{"name":"test"}"#).await;
        assert_eq!(heard.status, 201, "{heard:?}");
        heard.json()["gid"].as_str().unwrap().to_owned()
    };
    let (one, other) = (begin("orders").await, begin("stock").await);
    assert_ne!(one, other, "idempotency keys are each one's own");
    let line = format!("GET /v1/transactions/{one}");
    let document = ask_as(&world, "anna", SECRET, &line, "").await.json();
    assert_eq!(document["principal"], json!("orders"));
    let plan = world.plan(&["hang"]);
    ask_as(&world, "orders", SECRET, "PUT /v1/transactions/s-1", &plan).await;
    let reason = r#"{"reason":"the bank is down"}"#;
    let parked = ask_as(&world, "anna", SECRET, "POST /v1/transactions/s-1/park", reason).await;
    assert_eq!(parked.status, 200, "{parked:?}");
    let line = "GET /v1/transactions/s-1/history";
    let history = ask_as(&world, "anna", SECRET, line, "").await.json();
    let records = history["records"].as_array().unwrap();
    assert!(records.iter().any(|record| record["by"] == "anna"), "{history}");
}

#[tokio::test]
async fn what_an_operator_asks_for_is_in_the_audit_before_it_is_answered() {
    let world = World::start_with(known).await;
    let verify = || wholly_server::audit::look(world.data(), drop).unwrap();
    ask_as(&world, "orders", SECRET, "PUT /v1/transactions/s-1", &world.plan(&["hang"])).await;
    assert_eq!(verify().lines, 0, "services are not written down");
    let reason = r#"{"reason":"the bank is down"}"#;
    for (n, (line, status)) in
        [("s-1/park", 200), ("s-1/retry", 200), ("nobody/park", 404)].into_iter().enumerate()
    {
        let line = format!("POST /v1/transactions/{line}");
        let heard = ask_as(&world, "anna", SECRET, &line, reason).await;
        assert_eq!(heard.status, status, "{heard:?}");
        assert_eq!(verify().lines, n as u64 + 1, "{line}");
    }
    ask_as(&world, "orders", SECRET, "POST /v1/transactions/s-1/park", reason).await;
    ask_as(&world, "anna", NEXT, "POST /v1/transactions/s-1/park", reason).await;
    ask_as(&world, "anna", SECRET, "POST /v1/transactions/s-1/park", "{}").await;
    assert_eq!(verify().lines, 3, "who may not act, or says nothing, is not written down");
    let text = std::fs::read_to_string(world.data().join("audit.log")).unwrap();
    assert_eq!(text.matches("\"who\":\"anna\"").count(), 3, "{text}");
    assert_eq!(text.matches("the bank is down").count(), 3, "{text}");
}

#[tokio::test]
async fn a_secret_is_changed_without_a_restart() {
    let world = World::start_with(known).await;
    let check = async |secret: &str, expected: &str| {
        let heard = ask_as(&world, "orders", secret, "GET /v1", "").await;
        assert_eq!(code(&heard), expected, "{secret}");
    };
    let reload = |secrets: &str| {
        let credentials = [grant("orders", secrets, Role::Service)].into();
        world.running.reload(&Config { credentials, ..Config::default() })
    };
    check(SECRET, "asked").await;
    check(NEXT, "credential_wrong").await;
    reload(&format!("{NEXT},{SECRET}")).unwrap();
    check(SECRET, "asked").await;
    check(NEXT, "asked").await;
    reload(NEXT).unwrap();
    check(SECRET, "credential_wrong").await;
    check(NEXT, "asked").await;
    let opened = world.running.reload(&Config::default()).unwrap_err();
    assert!(opened.to_string().contains("names no credential"), "{opened}");
    check(SECRET, "credential_wrong").await;
    check(NEXT, "asked").await;
}

/// A capability that nobody was given for the transaction `mine`: made of its own, and of that of
/// `other`.
type Forged = (&'static str, fn(&str, &str) -> Option<String>);

const FORGED: &[Forged] = &[
    ("none", |_, _| None),
    ("an empty one", |_, _| Some(String::new())),
    ("another transaction's", |_, other| Some(other.to_owned())),
    ("the begun of its own, the tag of another", |mine, other| {
        let (begun, tag) = (mine.split_once('.')?.0, other.split_once('.')?.1);
        Some(format!("{begun}.{tag}"))
    }),
    ("a later begun", |mine, _| {
        let (begun, tag) = mine.split_once('.')?;
        Some(format!("{}.{tag}", begun.parse::<u64>().unwrap() + 1))
    }),
    ("an earlier begun", |mine, _| {
        let (begun, tag) = mine.split_once('.')?;
        Some(format!("{}.{tag}", begun.parse::<u64>().unwrap() - 1))
    }),
    ("a begun with a nought before it", |mine, _| Some(format!("0{mine}"))),
    ("a bit of the tag turned", |mine, _| {
        let (begun, tag) = mine.split_once('.')?;
        let mut bytes = base64::decode(base64::URL, tag)?;
        bytes[7] ^= 1;
        let mut text = format!("{begun}.");
        base64::encode(base64::URL, &bytes, &mut text);
        Some(text)
    }),
    ("a tag cut short", |mine, _| Some(mine[..mine.len() - 1].to_owned())),
    ("a tag made longer", |mine, _| Some(format!("{mine}A"))),
    ("a padded tag", |mine, _| Some(format!("{mine}="))),
    ("another coordinator's", |mine, _| {
        let (begun, _) = mine.split_once('.')?;
        let key = wholly_wire::capability::CapabilityKey::new([7; 32]);
        let begun = wholly_core::time::Timestamp(begun.parse().unwrap());
        Some(key.capability(&"mine".parse().unwrap(), begun))
    }),
    ("a service's secret", |_, _| Some(SECRET.to_owned())),
];

#[tokio::test]
async fn no_forged_capability_opens_anything() {
    let world = World::start_with(known).await;
    let begin = async |gid: &str| {
        let body = json!({"name": "test", "gid": gid}).to_string();
        let heard = ask_as(&world, "orders", SECRET, "POST /v1/transactions", &body).await;
        heard.json()["capability"].as_str().unwrap().to_owned()
    };
    let (mine, other) = (begin("mine").await, begin("other").await);
    let branch = json!({"branch": "b", "mode": "tcc", "to": "stock", "operation": "o"});
    let actions = [("branches", branch), ("commit", json!({})), ("abort", json!({}))];
    let (mut tried, mut accepted) = (0, Vec::new());
    for (action, body) in &actions {
        for (name, forge) in FORGED {
            let (who, forged) = (basic("orders", SECRET), forge(&mine, &other));
            let mut headers = vec![("authorization", who.as_str())];
            headers.extend(forged.as_deref().map(|forged| ("wholly-capability", forged)));
            let line = format!("POST /v1/transactions/mine/{action}");
            let heard = world.ask(&line, &headers, &body.to_string()).await;
            tried += 1;
            if !["capability_missing", "capability_wrong"].contains(&code(&heard).as_str()) {
                accepted.push(format!("{action}: {name}: {heard:?}"));
            }
        }
    }
    let classes = FORGED.len();
    println!("{classes} classes of forged capabilities x {} actions: {tried} tried", actions.len());
    assert_eq!((tried, accepted), (classes * actions.len(), Vec::new()));
    let state = ask_as(&world, "anna", SECRET, "GET /v1/transactions/mine", "").await.json();
    assert_eq!((&state["state"], &state["branches"]), (&json!("open"), &json!([])));
    let headers = [("authorization", basic("orders", SECRET)), ("wholly-capability", mine)];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let heard = world.ask("POST /v1/transactions/mine/abort", &headers, "{}").await;
    assert_eq!(heard.status, 200, "its own opens it: {heard:?}");
}

//! Limits of the protocol, each at the limit, where it is accepted, and one above, where the
//! refusal names it, its value and what to do.

use crate::world::{Heard, World};
use serde_json::{Value, json};
use wholly_server::Config;

/// A request of a given size.
struct Ask {
    line: String,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

/// One limit and what reaches it.
struct Limit {
    /// What the refusal names: the limit, or the field whose form it is part of.
    named: &'static str,
    max: usize,
    set: fn(&mut Config),
    ask: fn(&World, usize) -> Ask,
    refused: (u16, &'static str),
}

const FIELD: (u16, &str) = (400, "field_invalid");
const TOO_LARGE: (u16, &str) = (413, "too_large");
const PLAN: (u16, &str) = (400, "plan_invalid");

fn ask(line: impl Into<String>, body: Value) -> Ask {
    Ask { line: line.into(), headers: Vec::new(), body }
}

/// A begin of its own kind for each size.
fn begin(more: Value) -> Ask {
    let mut body = json!({"name": "n"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ask("POST /v1/transactions", body)
}

fn branch(name: &str, payload: Value) -> Value {
    json!({"branch": name, "mode": "tcc", "to": "stock", "operation": "o", "payload": payload})
}

fn submit(gid: &str, steps: Value) -> Ask {
    ask(format!("PUT /v1/transactions/{gid}"), json!({"name": "n", "steps": steps}))
}

fn step(name: &str) -> Value {
    json!({"branch": name, "to": "stock", "operation": "o"})
}

/// Into the transaction that every world has open.
fn register(body: Value) -> Ask {
    ask("POST /v1/transactions/open/branches", body)
}

fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// Text of so many bytes, of half as many characters.
fn wide(bytes: usize) -> String {
    format!("{}{}", "é".repeat(bytes / 2), "x".repeat(bytes % 2))
}

/// JSON of so many bytes.
fn payload(bytes: usize) -> Value {
    long(bytes - 2).into()
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

/// A URL of so many bytes, which `--dev` lets stand for itself.
fn url(world: &World, bytes: usize) -> String {
    let base = format!("{}/", world.participant.url);
    format!("{base}{}", long(bytes - base.len()))
}

/// What the request line and the other headers have of the head: `GET /v1`, `host: localhost`,
/// `content-length: 0` and `x: `, each header with its separators.
const HEAD_BYTES: usize = 3 + 3 + (4 + 9 + 4) + (14 + 1 + 4) + (1 + 4);

const LIMITS: &[Limit] = &[
    Limit {
        named: "gid is longer than 128 bytes",
        max: 128,
        set: |_| {},
        ask: |_, size| submit(&long(size), json!([step("a")])),
        refused: FIELD,
    },
    Limit {
        named: "gid is longer than 128 bytes",
        max: 128,
        set: |_| {},
        ask: |_, size| begin(json!({"gid": long(size)})),
        refused: FIELD,
    },
    Limit {
        named: "name is longer than 128 bytes",
        max: 128,
        set: |_| {},
        ask: |_, size| begin(json!({"name": long(size)})),
        refused: FIELD,
    },
    Limit {
        named: "branch is longer than 128 bytes",
        max: 128,
        set: |_| {},
        ask: |_, size| register(branch(&long(size), json!(1))),
        refused: FIELD,
    },
    Limit {
        named: "steps[0].operation is longer than 128 bytes",
        max: 128,
        set: |_| {},
        ask: |_, size| {
            let step = json!({"branch": "a", "to": "stock", "operation": long(size)});
            submit(&format!("o-{size}"), json!([step]))
        },
        refused: FIELD,
    },
    Limit {
        named: "steps[0].to is longer than 512 bytes",
        max: 512,
        set: |_| {},
        ask: |world, size| {
            let step = json!({"branch": "a", "to": url(world, size), "operation": "o"});
            submit(&format!("t-{size}"), json!([step]))
        },
        refused: FIELD,
    },
    Limit {
        named: "reason is longer than 1024 bytes",
        max: 1_024,
        set: |_| {},
        ask: |_, size| ask("POST /v1/transactions/open/abort", json!({"reason": long(size)})),
        refused: FIELD,
    },
    Limit {
        named: "reason is longer than 1024 bytes",
        max: 1_024,
        set: |_| {},
        ask: |_, size| ask("POST /v1/transactions/open/abort", json!({"reason": wide(size)})),
        refused: FIELD,
    },
    Limit {
        named: "reason is longer than 1024 bytes",
        max: 1_024,
        set: |_| {},
        ask: |_, size| {
            ask("POST /v1/transactions/open/operator-abort", json!({"reason": wide(size)}))
        },
        refused: FIELD,
    },
    Limit {
        named: "idempotency-key is longer than 512 bytes",
        max: 512,
        set: |_| {},
        ask: |_, size| Ask { headers: vec![("idempotency-key", long(size))], ..begin(json!({})) },
        refused: (400, "idempotency_key_invalid"),
    },
    Limit {
        named: "limit payload_bytes_max, which is 100; send less",
        max: 100,
        set: |config| config.limits.payload_bytes_max = 100,
        ask: |_, size| begin(json!({"branches": [branch("a", payload(size))]})),
        refused: TOO_LARGE,
    },
    Limit {
        named: "limit payload_bytes_max, which is 100; send less",
        max: 100,
        set: |config| config.limits.payload_bytes_max = 100,
        ask: |_, size| register(branch("a", payload(size))),
        refused: TOO_LARGE,
    },
    Limit {
        named: "the payload of step a is over 100 bytes (payload_bytes_max)",
        max: 100,
        set: |config| config.limits.payload_bytes_max = 100,
        ask: |_, size| {
            let mut step = step("a");
            step["payload"] = payload(size);
            submit(&format!("p-{size}"), json!([step]))
        },
        refused: PLAN,
    },
    Limit {
        named: "payload is nested deeper than 64 levels; flatten it",
        max: 64,
        set: |_| {},
        ask: |_, size| register(branch("a", nested(size))),
        refused: FIELD,
    },
    Limit {
        named: "limit branches_max, which is 3; send less",
        max: 3,
        set: |config| config.limits.branches_max = 3,
        ask: |_, size| {
            let branches: Vec<_> =
                (0..size).map(|at| branch(&format!("b{at}"), json!(1))).collect();
            begin(json!({"branches": branches}))
        },
        refused: TOO_LARGE,
    },
    Limit {
        named: "more than 3 steps (branches_max); split it",
        max: 3,
        set: |config| config.limits.branches_max = 3,
        ask: |_, size| {
            let steps: Vec<_> = (0..size).map(|at| step(&format!("s{at}"))).collect();
            submit(&format!("s-{size}"), steps.into())
        },
        refused: PLAN,
    },
    Limit {
        named: "step last reads more than 2 replies (reads_max); read fewer",
        max: 2,
        set: |config| config.limits.reads_max = 2,
        ask: |_, size| {
            let names: Vec<_> = (0..size).map(|at| format!("s{at}")).collect();
            let mut last = step("last");
            (last["after"], last["reads"]) = (json!(names), json!(names));
            let steps: Vec<_> = names.iter().map(|name| step(name)).chain([last]).collect();
            submit(&format!("r-{size}"), steps.into())
        },
        refused: PLAN,
    },
    Limit {
        named: "limit timeout_ms_max, which is 70000; send less",
        max: 70_000,
        set: |config| config.limits.timeout_ms_max = 70_000,
        ask: |_, size| begin(json!({"timeout_ms": size})),
        refused: TOO_LARGE,
    },
    Limit {
        named: "limit timeout_ms_max, which is 70000; send less",
        max: 70_000,
        set: |config| config.limits.timeout_ms_max = 70_000,
        ask: |_, size| {
            let mut plan = submit(&format!("d-{size}"), json!([step("a")]));
            plan.body["timeout_ms"] = size.into();
            plan
        },
        refused: TOO_LARGE,
    },
    Limit {
        named: "limit wait_ms_max, which is 5; ask again after",
        max: 5,
        set: |config| config.limits.wait_ms_max = 5,
        ask: |_, size| {
            let line = format!("GET /v1/transactions/open?wait=ended&wait_ms={size}");
            ask(line, Value::Null)
        },
        refused: FIELD,
    },
    Limit {
        named: "limit must be from 1 to 500",
        max: 500,
        set: |_| {},
        ask: |_, size| ask(format!("GET /v1/transactions?limit={size}"), Value::Null),
        refused: FIELD,
    },
    Limit {
        named: "gid_prefix is longer than 128 bytes",
        max: 128,
        set: |_| {},
        ask: |_, size| ask(format!("GET /v1/transactions?gid_prefix={}", long(size)), Value::Null),
        refused: FIELD,
    },
    Limit {
        named: "limit header_bytes_max, 16384; send less",
        max: 16_384,
        set: |_| {},
        ask: |_, size| {
            let headers = vec![("x", long(size - HEAD_BYTES))];
            Ask { headers, ..ask("GET /v1", Value::Null) }
        },
        refused: (431, "header_too_large"),
    },
    Limit {
        named: "as many bytes of payloads and replies are open as open_bytes_max allows, 800; try \
                again later",
        // The last eighth is kept for branches of what is open.
        max: 700,
        set: |config| config.limits.open_bytes_max = 800,
        ask: |_, size| begin(json!({"branches": [branch("a", payload(size))]})),
        refused: (503, "open_bytes_full"),
    },
];

impl Ask {
    async fn send(self, world: &World, capability: &str) -> Heard {
        let Ask { line, headers, body } = self;
        let mut headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if line.contains("/open/") {
            headers.push(("wholly-capability", capability));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        world.ask(&line, &headers, &body).await
    }
}

#[tokio::test]
async fn each_limit_of_a_request_holds_at_the_limit_and_one_above() {
    for Limit { named, max, set, ask, refused } in LIMITS {
        let world = World::start_with(*set).await;
        let capability = world.begin("open").await;
        let above = ask(&world, max + 1).send(&world, &capability).await;
        assert_eq!((above.status, above.code().as_str()), *refused, "{named}: {above:?}");
        let detail = above.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(named), "{named}: {detail}");
        // What to do stands behind what is wrong.
        assert!(detail.contains("; "), "{named}: {detail}");
        let at = ask(&world, *max).send(&world, &capability).await;
        assert!((200..300).contains(&at.status), "{named} at {max}: {at:?}");
    }
}

/// One limit of what there is at once: the nth of its kind.
struct Count {
    named: &'static str,
    max: usize,
    set: fn(&mut Config),
    ask: fn(&World, usize) -> Ask,
    refused: (u16, &'static str),
}

const COUNTS: &[Count] = &[
    Count {
        named: "as many transactions are open as open_max allows, 4; try again later",
        // One is open in every world.
        max: 3,
        set: |config| config.limits.open_max = 4,
        ask: |_, _| begin(json!({})),
        refused: (503, "open_full"),
    },
    Count {
        named: "as many destinations are named by open transactions as destinations_max allows, 2",
        max: 2,
        set: |config| config.limits.destinations_max = 2,
        ask: |world, nth| {
            let to = format!("{}/{nth}", world.participant.url);
            let branch = json!({"branch": "a", "mode": "tcc", "to": to, "operation": "o"});
            begin(json!({"branches": [branch]}))
        },
        refused: (503, "destinations_full"),
    },
    Count {
        named: "limit branches_max, which is 2; send less",
        max: 2,
        set: |config| config.limits.branches_max = 2,
        ask: |_, nth| register(branch(&format!("b{nth}"), json!(nth))),
        refused: TOO_LARGE,
    },
];

#[tokio::test]
async fn each_limit_of_what_there_is_at_once_holds_at_the_limit_and_one_above() {
    for Count { named, max, set, ask, refused } in COUNTS {
        let world = World::start_with(*set).await;
        let capability = world.begin("open").await;
        for nth in 1..=*max {
            let heard = ask(&world, nth).send(&world, &capability).await;
            assert!((200..300).contains(&heard.status), "{named}: {nth} of {max}: {heard:?}");
        }
        let above = ask(&world, max + 1).send(&world, &capability).await;
        assert_eq!((above.status, above.code().as_str()), *refused, "{named}: {above:?}");
        let detail = above.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(named) && detail.contains("; "), "{named}: {detail}");
        let later = above.header("retry-after").is_some();
        assert_eq!(later, above.status == 503, "{named}: {above:?}");
    }
}

#[tokio::test]
async fn a_head_has_at_most_a_hundred_headers() {
    let world = World::start().await;
    for (count, status) in [(100, 200), (101, 431)] {
        // One of them is the host.
        let more: String = (1..count).map(|nth| format!("x-{nth}: 1\r\n")).collect();
        let request = format!("GET /v1 HTTP/1.1\r\nhost: localhost\r\n{more}\r\n");
        assert_eq!(world.send(request.as_bytes()).await.status, status, "{count}");
    }
}

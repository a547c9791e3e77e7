//! Calls that nobody signed for this service, and those that were changed on the way: none is
//! believed, none has an effect, and none is answered.

use crate::asking::{Ask, branch, gid, read, send};
use crate::handlers::{Gate, Lock, LockNow, Stock};
use crate::world::{Bed, Isolation, World};
use axum::Router;
use axum::body::Body;
use http::header::HeaderValue;
use http::{HeaderName, Request, StatusCode, Uri};
use sqlx::Sqlite;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};
use wholly::{Service, Wholly};
use wholly_canary::{NEXT, SECRET};
use wholly_core::branch::Op;
use wholly_wire::credential::{Credential, Secrets};
use wholly_wire::headers::{self, ANSWER};
use wholly_wire::signature::{self, METHOD, PATH, Signed, Validity};
use wholly_wire::words::Spelled;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// How a call is signed.
#[derive(Clone, Copy)]
struct Pen {
    id: &'static str,
    secret: &'static str,
    audience: &'static str,
    at: u64,
}

impl Pen {
    fn good() -> Pen {
        Pen { id: "stock", secret: SECRET, audience: "stock", at: now() }
    }

    fn sign(self, mut request: Request<Body>, body: &str) -> Request<Body> {
        let secrets = Secrets::parse(self.secret).unwrap();
        let credential = Credential::new(self.id, secrets).unwrap();
        put(&mut request, headers::AUDIENCE, self.audience);
        put(&mut request, headers::CONTENT_DIGEST, &signature::content_digest(body.as_bytes()));
        let key = credential.secrets().first().signing_key();
        let validity = Validity::of_call(self.at, 5_000);
        let Signed { input, signature } = key.sign(self.id, validity, |name| match name {
            METHOD => Some(Cow::from(request.method().as_str())),
            PATH => Some(Cow::from(request.uri().path())),
            header => request.headers().get(header).map(|value| value.to_str().unwrap().into()),
        });
        put(&mut request, headers::SIGNATURE_INPUT, &input);
        put(&mut request, headers::SIGNATURE, &signature);
        request
    }
}

fn put(request: &mut Request<Body>, name: &'static str, text: &str) {
    let value = HeaderValue::from_str(text).unwrap();
    request.headers_mut().insert(HeaderName::from_static(name), value);
}

struct Stand {
    world: World<Sqlite>,
    router: Router,
}

impl Stand {
    async fn new(secret: &str) -> Stand {
        let world = Sqlite::make(Isolation::Default, 2).await;
        let service = Service::new("stock", world.pool.clone())
            .tcc::<Lock>(Stock::<Sqlite>::new(&Gate::closed()))
            .saga::<LockNow>(Stock::<Sqlite>::new(&Gate::closed()));
        let wholly = Wholly::new("http://wholly").unwrap().credential("stock", secret).unwrap();
        let router = wholly.router([&service]);
        Stand { world, router }
    }

    async fn effects(&self, of: &str) -> Vec<String> {
        Sqlite::effects(&self.world.pool, (&gid(of), &branch("stock"))).await
    }

    async fn is_believed(&self, request: Request<Body>) -> bool {
        let (head, body) = read(send(&self.router, request).await).await;
        let is_answered = head.headers.contains_key(ANSWER);
        assert_eq!(is_answered, head.status != StatusCode::UNAUTHORIZED, "{head:?} {body}");
        assert!(is_answered || body.contains("call_not_believed"), "{body}");
        is_answered
    }
}

fn ask(op: Op, of: &str) -> Ask {
    Ask::new("stock.lock", op, of, "a")
}

/// A call, signed as it should be, or however a stranger would have it.
type Forgery = (&'static str, fn(&Ask) -> Request<Body>);

fn changed(ask: &Ask, change: impl FnOnce(&mut Request<Body>)) -> Request<Body> {
    let mut request = Pen::good().sign(ask.request(), &ask.body);
    change(&mut request);
    request
}

fn written(ask: &Ask, pen: Pen) -> Request<Body> {
    pen.sign(ask.request(), &ask.body)
}

const FORGERIES: &[Forgery] = &[
    ("unsigned", Ask::request),
    ("another path", |ask| {
        changed(ask, |call| *call.uri_mut() = Uri::from_static("/wholly/stock.free"))
    }),
    ("another audience", |ask| changed(ask, |call| put(call, headers::AUDIENCE, "points"))),
    ("another transaction", |ask| changed(ask, |call| put(call, headers::GID, "order-2"))),
    ("another branch", |ask| changed(ask, |call| put(call, headers::BRANCH, "stock-2"))),
    ("another operation", |ask| changed(ask, |call| put(call, headers::OPERATION, "stock.free"))),
    ("another op", |ask| {
        changed(ask, |call| {
            let other = if call.headers()[headers::OP] == "try" { "cancel" } else { "try" };
            put(call, headers::OP, other);
        })
    }),
    ("another mark", |ask| {
        changed(ask, |call| put(call, headers::MARK, "origin=log-1;begun=1001;limit=0"))
    }),
    ("another layout", |ask| changed(ask, |call| put(call, headers::BODY, "envelope"))),
    ("a layout that stands twice", |ask| {
        changed(ask, |call| {
            for _ in 0..2 {
                let layout = HeaderValue::from_static("envelope");
                call.headers_mut().append(HeaderName::from_static(headers::BODY), layout);
            }
        })
    }),
    ("another body", |ask| {
        changed(ask, |call| *call.body_mut() = Body::from("{\"act\":\"other\"}"))
    }),
    ("a second header", |ask| {
        changed(ask, |call| {
            let other = HeaderValue::from_static("order-2");
            call.headers_mut().append(HeaderName::from_static(headers::GID), other);
        })
    }),
    ("expired", |ask| written(ask, Pen { at: now() - 300, ..Pen::good() })),
    ("of the future", |ask| written(ask, Pen { at: now() + 300, ..Pen::good() })),
    ("of a stranger", |ask| written(ask, Pen { secret: NEXT, ..Pen::good() })),
    ("of another credential", |ask| written(ask, Pen { id: "points", ..Pen::good() })),
    ("for another service", |ask| written(ask, Pen { audience: "points", ..Pen::good() })),
    ("without a signature", |ask| {
        changed(ask, |call| drop(call.headers_mut().remove(headers::SIGNATURE)))
    }),
];

#[tokio::test]
async fn no_forged_call_has_an_effect_or_an_answer() {
    let stand = Stand::new(SECRET).await;
    let (mut tried, mut accepted) = (0, Vec::new());
    for op in Op::ALL {
        for (name, forge) in FORGERIES {
            tried += 1;
            if stand.is_believed(forge(&ask(*op, "order-1"))).await {
                accepted.push(format!("{op:?}: {name}"));
            }
        }
    }
    let (classes, ops) = (FORGERIES.len(), Op::ALL.len());
    println!("{classes} classes of forged calls x {ops} ops: {tried} tried, {accepted:?} accepted");
    assert_eq!((tried, accepted), (classes * ops, Vec::new()));
    assert_eq!(stand.effects("order-1").await, [""; 0]);
    for op in [Op::Try, Op::Inspect, Op::Confirm] {
        let ask = ask(op, "order-1");
        assert!(stand.is_believed(written(&ask, Pen::good())).await, "{op:?}");
    }
    assert_eq!(stand.effects("order-1").await.len(), 2);
}

#[tokio::test]
async fn a_replayed_call_has_no_second_effect() {
    // What a branch has done after each call, whose copies are played before the next.
    let branches: &[&[(Op, &str, usize)]] = &[
        &[
            (Op::Try, "stock.lock", 1),
            (Op::Inspect, "stock.lock", 1),
            (Op::Confirm, "stock.lock", 2),
        ],
        &[(Op::Try, "stock.lock", 1), (Op::Cancel, "stock.lock", 2)],
        &[(Op::Cancel, "stock.lock", 0)],
        &[(Op::Action, "stock.lock-now", 1), (Op::Compensate, "stock.lock-now", 2)],
        &[(Op::Compensate, "stock.lock-now", 0)],
    ];
    let stand = Stand::new(SECRET).await;
    let mut played = Vec::new();
    for (at, calls) in branches.iter().enumerate() {
        let of = format!("order-{at}");
        for (op, operation, effects) in *calls {
            let call = Ask::new(operation, *op, &of, "a");
            let pen = Pen::good();
            for copy in 0..4 {
                // Each is the same, to the byte of its signature.
                assert!(stand.is_believed(written(&call, pen)).await, "{op:?} {copy}");
                assert_eq!(stand.effects(&of).await.len(), *effects, "{of} {op:?} {copy}");
            }
            let late = Pen { at: pen.at - 300, ..pen };
            assert!(!stand.is_believed(written(&call, late)).await, "{op:?}, after its time");
            assert_eq!(stand.effects(&of).await.len(), *effects, "{of} {op:?}, after its time");
            played.push(*op);
        }
    }
    assert!(Op::ALL.iter().all(|op| played.contains(op)), "{played:?}");
}

#[tokio::test]
async fn while_a_secret_is_changed_both_are_believed() {
    let stand = Stand::new(&format!("{SECRET},{NEXT}")).await;
    for (of, secret) in [("order-1", SECRET), ("order-2", NEXT)] {
        let call = written(&ask(Op::Try, of), Pen { secret, ..Pen::good() });
        assert!(stand.is_believed(call).await, "{of}");
        assert_eq!(stand.effects(of).await.len(), 1);
    }
}

#[tokio::test]
async fn a_nested_router_believes_the_path_that_was_called() {
    let stand = Stand::new(SECRET).await;
    let router: Router = Router::new().nest("/shop", stand.router.clone());
    let ask = ask(Op::Try, "order-1");
    let mut request = ask.request();
    *request.uri_mut() = Uri::from_static("/shop/wholly/stock.lock");
    let request = Pen::good().sign(request, &ask.body);
    let (head, body) = read(send(&router, request).await).await;
    assert_eq!(head.status, StatusCode::OK, "{body}");
    let elsewhere = Pen::good().sign(ask.request(), &ask.body);
    let (mut head, body) = elsewhere.into_parts();
    head.uri = Uri::from_static("/shop/wholly/stock.lock");
    let (head, _) = read(send(&router, Request::from_parts(head, body)).await).await;
    assert_eq!(head.status, StatusCode::UNAUTHORIZED);
}

//! Canaries: what a participant is given and what it replies comes out of no refusal, no failure
//! and no log. Every payload and every reply of these tests is one, and so are the secrets.

use crate::asking::{Ask, words};
use crate::handlers::{Gate, Lock, Stock};
use crate::world::{Bed, Isolation, World};
use axum::Router;
use sqlx::Sqlite;
use wholly::Service;
use wholly_canary::{Canary, PAYLOAD, REPLY, found};
use wholly_core::branch::{Answer, Op};
use wholly_wire::headers::BodyKind;

struct Stand {
    _world: World<Sqlite>,
    router: Router,
}

impl Stand {
    async fn new() -> Stand {
        let world = <Sqlite as Bed>::make(Isolation::Default, 2).await;
        let service = Service::new("stock", world.pool.clone());
        let service = service.tcc::<Lock>(Stock::<Sqlite>::new(&Gate::closed()));
        wholly_canary::check("a service", &format!("{:?}", world.pool));
        let router = wholly::participant::router([&service]);
        Stand { _world: world, router }
    }

    /// A call with this body is answered so; the answer's detail says this, and no canary.
    async fn check(&self, (kind, body): (BodyKind, &str), op: Op, of: &str, expected: &str) {
        let mut ask = Ask::new("stock.lock", op, of, "a");
        (ask.headers.body, ask.body) = (kind, body.to_owned());
        let answer = ask.of(&self.router).await;
        let said = match &answer {
            Answer::Refused(refusal) => format!("{} {}", words(&answer), refusal.detail.as_str()),
            Answer::Unknown { detail } => format!("unknown {}", detail.as_str()),
            Answer::Done { .. } | Answer::Working => words(&answer),
        };
        assert_eq!(found(&said, &Canary::ALL), None, "{op:?} {body}: {said}");
        assert!(said.starts_with("unknown") || said.starts_with("refused"), "{said}");
        assert!(said.contains(expected), "{op:?} {body}: {said}, not {expected}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_quoted() {
    let stand = Stand::new().await;
    let payload = |json: &str| (BodyKind::Payload, json.replace("MARK", PAYLOAD));
    let envelope = |json: &str| (BodyKind::Envelope, json.replace("MARK", REPLY));
    let cases = [
        (payload("\"MARK\""), "payload_invalid", "expected struct Lock"),
        (payload("{\"MARK\":1}"), "payload_invalid", "missing field `act`"),
        (payload("{\"act\":\"MARK"), "payload_invalid", "EOF while parsing a string"),
        (envelope("\"MARK\""), "no envelope", "expected struct Envelope"),
        (
            envelope("{\"payload\":{\"act\":\"read\"},\"replies\":{\"order\":\"MARK\"}}"),
            "the reply of order",
            "expected struct Locked",
        ),
    ];
    for (n, ((kind, body), first, second)) in cases.iter().enumerate() {
        for expected in [first, second] {
            stand.check((*kind, body), Op::Try, &format!("g-{n}"), expected).await;
        }
    }
    // What was tried is not confirmed by a payload that is none, and the log says why.
    let tried = Ask::new("stock.lock", Op::Try, "h", "a").of(&stand.router).await;
    assert!(words(&tried).starts_with("done"), "{tried:?}");
    let before = wholly_canary::heard();
    let (kind, body) = payload("\"MARK\"");
    stand.check((kind, &body), Op::Confirm, "h", "expected struct Lock").await;
    assert!(wholly_canary::heard() > before, "a handler that failed is logged");
}

//! By HTTP: what each call is answered, what it leaves, and what no answer is.

use crate::asking::{Ask, branch, gid, mark, read, send, words};
use crate::handlers::{Gate, Lock, LockNow, Locked, Stock};
use crate::world::{Bed, Isolation, World, everywhere};
use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use tokio::io::AsyncWriteExt;
use wholly::Service;
use wholly_core::branch::{Answer, Op};
use wholly_wire::headers::{self, ANSWER, BodyKind};

everywhere!(
    calls_in_any_order_have_one_effect,
    failed_work_leaves_nothing,
    what_is_too_long_is_not_kept,
    a_broken_connection_stops_nothing,
    no_more_at_once_than_connections,
    a_step_reads_what_it_is_given,
);

/// A service on a database, and the gate its handlers wait at.
struct Stand<D: Bed> {
    world: World<D>,
    gate: Gate,
    router: Router,
}

impl<D: Bed> Stand<D> {
    async fn new(isolation: Isolation, connections: u32) -> Self {
        let (world, gate) = (D::make(isolation, connections).await, Gate::closed());
        let service = Service::new("stock", world.pool.clone())
            .tcc::<Lock>(Stock::<D>::new(&gate))
            .saga::<LockNow>(Stock::<D>::new(&gate));
        Stand { world, gate, router: wholly::participant::router([&service]) }
    }

    async fn ask(&self, op: Op, of: &str, act: &str) -> Answer {
        Ask::new("stock.lock", op, of, act).of(&self.router).await
    }

    async fn effects(&self, of: &str) -> Vec<String> {
        D::effects(&self.world.pool, (&gid(of), &branch("stock"))).await
    }

    /// Calls of one branch, each answered so; then these effects stand.
    async fn check(&self, of: &str, calls: &[(Op, &str, &str)], effects: &[&str]) {
        for (n, (op, act, expected)) in calls.iter().enumerate() {
            let came = words(&self.ask(*op, of, act).await);
            assert_eq!(came, *expected, "call {n} of {of}: {op:?} {act}");
        }
        assert_eq!(self.effects(of).await, effects, "{of}");
    }
}

const DONE: &str = "done {\"warehouse\":\"first of a\"} kept";
const CANCELLED: &str = "done {\"state\":\"cancelled\",\
    \"reply\":{\"warehouse\":\"first of a\"}}";

async fn calls_in_any_order_have_one_effect<D: Bed>(isolation: Isolation) {
    use Op::{Cancel, Confirm, Inspect, Try};
    let stand = Stand::<D>::new(isolation, 3).await;
    let hanging = "refused hanging kept";
    let illegal = "refused illegal_order";
    let out = "refused out_of_stock kept";
    let (a, no) = ("a", "refuse");
    stand.check("twice", &[(Try, a, DONE), (Try, a, DONE)], &["first"]).await;
    let confirmed = [(Try, a, DONE), (Confirm, a, "done kept"), (Confirm, a, "done kept")];
    stand.check("confirmed", &confirmed, &["first", "confirm"]).await;
    stand.check("confirmed", &[(Cancel, a, illegal), (Try, a, DONE)], &["first", "confirm"]).await;
    let cancelled = [(Try, a, DONE), (Cancel, a, "done kept"), (Cancel, a, "done kept")];
    stand.check("cancelled", &cancelled, &["first", "cancel"]).await;
    let late = [(Try, a, hanging), (Confirm, a, illegal), (Inspect, a, CANCELLED)];
    stand.check("cancelled", &late, &["first", "cancel"]).await;
    let null = [(Cancel, a, "done kept"), (Try, a, hanging), (Cancel, a, "done kept")];
    stand.check("null", &null, &[]).await;
    stand.check("null", &[(Inspect, a, "done {\"state\":\"null_cancelled\"}")], &[]).await;
    let early = [(Confirm, a, illegal), (Inspect, a, "done {\"state\":\"none\"}"), (Try, a, DONE)];
    stand.check("early", &early, &["first"]).await;
    let refused = [(Try, no, out), (Try, no, out), (Cancel, no, "done kept"), (Try, no, out)];
    stand.check("refused", &refused, &[]).await;
    stand.check("refused", &[(Inspect, no, "done {\"state\":\"refused\"}")], &[]).await;
    let again = stand.ask(Op::Try, "refused", "refuse").await;
    let Answer::Refused(refusal) = again else { panic!("answered {again:?}") };
    assert_eq!(refusal.detail.as_str(), "refused is out of stock");
}

async fn failed_work_leaves_nothing<D: Bed>(isolation: Isolation) {
    use Op::{Cancel, Confirm, Inspect, Try};
    // One connection: whoever spoils it is found out by the next call.
    let stand = Stand::<D>::new(isolation, 1).await;
    let none = "done {\"state\":\"none\"}";
    for act in ["fail", "panic", "rollback"] {
        let calls = [(Try, act, "unknown"), (Inspect, act, none), (Try, "a", DONE)];
        stand.check(act, &calls, &["first"]).await;
    }
    let stubborn = [(Try, "stubborn"), (Confirm, "stubborn")];
    for (op, act) in stubborn {
        stand.ask(op, "stubborn", act).await;
    }
    stand.check("stubborn", &[(Confirm, "stubborn", "unknown")], &["first"]).await;
    stand.check("stubborn", &[(Cancel, "stubborn", "unknown")], &["first"]).await;
    let garbled = Ask { body: "{\"quantity\":".into(), ..Ask::new("stock.lock", Try, "bad", "") };
    let refused = words(&garbled.of(&stand.router).await);
    assert_eq!(refused, "refused payload_invalid kept");
    stand.check("bad", &[(Try, "a", "refused payload_invalid kept")], &[]).await;
    stand.check("bad", &[(Cancel, "a", "done kept")], &[]).await;
    // A failed statement spoils the whole transaction on PostgreSQL, and nothing on SQLite; said
    // done must mean done on both.
    let cases =
        [("swallow", Try, "first"), ("deaf", Confirm, "confirm"), ("undone", Confirm, "confirm")];
    for (act, op, what) in cases {
        if op == Confirm {
            stand.ask(Try, act, act).await;
        }
        let done = stand.ask(op, act, act).await;
        let stands = stand.effects(act).await.contains(&what.to_string());
        assert_eq!(words(&done).starts_with("done"), stands, "{act}");
    }
}

async fn what_is_too_long_is_not_kept<D: Bed>(isolation: Isolation) {
    let reply = Locked { warehouse: "first of a".into() };
    let max = serde_json::to_vec(&reply).unwrap().len();
    for (bytes, expected, effects) in
        [(max, DONE, vec!["first".to_string()]), (max - 1, "unknown", vec![])]
    {
        let world = D::make(isolation, 2).await;
        let service = Service::new("stock", world.pool.clone())
            .tcc::<Lock>(Stock::<D>::new(&Gate::closed()))
            .reply_bytes_max(bytes);
        let router = wholly::participant::router([&service]);
        let ask = Ask::new("stock.lock", Op::Try, "g", "a");
        assert_eq!(words(&ask.of(&router).await), expected);
        assert_eq!(D::effects(&world.pool, (&gid("g"), &branch("stock"))).await, effects);
    }
    let stand = Stand::<D>::new(isolation, 2).await;
    let none = "done {\"state\":\"none\"}";
    let calls = [(Op::Try, "big", "unknown"), (Op::Inspect, "big", none)];
    stand.check("big", &calls, &[]).await;
}

async fn a_broken_connection_stops_nothing<D: Bed>(isolation: Isolation) {
    let stand = Stand::<D>::new(isolation, 2).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(axum::serve(listener, stand.router.clone()).into_future());
    let ask = Ask::new("stock.lock", Op::Try, "g", "wait");
    let mut text = "POST /wholly/stock.lock HTTP/1.1\r\nhost: stock\r\n".to_string();
    for (name, value) in ask.headers.pairs() {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{}", ask.body.len(), ask.body);
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    connection.write_all(text.as_bytes()).await.unwrap();
    stand.gate.entered().await;
    drop(connection);
    tokio::select! {
        answer = ask.of(&stand.router) => assert_eq!(words(&answer), "working"),
        () = stand.gate.entered() => panic!("a second copy runs beside the first"),
    }
    let look = words(&stand.ask(Op::Inspect, "g", "wait").await);
    assert_eq!(look, "done {\"state\":\"none\"}", "what is not committed is not there");
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled(), "the server is gone");
    stand.gate.open();
    let answer = ask.until_answered(&stand.router).await;
    assert_eq!(words(&answer), "done {\"warehouse\":\"first of wait\"} kept");
    assert_eq!(stand.effects("g").await, ["first"]);
    assert!(stand.gate.entered.try_acquire().is_err(), "the handler ran once");
}

async fn no_more_at_once_than_connections<D: Bed>(isolation: Isolation) {
    let stand = Stand::<D>::new(isolation, 2).await;
    let ask = |of: &str| {
        let (ask, router) = (Ask::new("stock.lock", Op::Try, of, "wait"), stand.router.clone());
        tokio::spawn(async move { words(&ask.until_answered(&router).await) })
    };
    let first = ask("one");
    stand.gate.entered().await;
    let second = ask("two");
    while stand.ask(Op::Inspect, "three", "a").await != Answer::Working {
        tokio::task::yield_now().await;
    }
    assert_eq!(words(&stand.ask(Op::Try, "three", "a").await), "working");
    stand.gate.open();
    stand.gate.open();
    let done = "done {\"warehouse\":\"first of wait\"} kept";
    assert_eq!((first.await.unwrap().as_str(), second.await.unwrap().as_str()), (done, done));
    assert_eq!(stand.effects("three").await, [""; 0]);
    stand.check("three", &[(Op::Try, "a", DONE)], &["first"]).await;
}

async fn a_step_reads_what_it_is_given<D: Bed>(isolation: Isolation) {
    let stand = Stand::<D>::new(isolation, 2).await;
    let mut ask = Ask::new("stock.lock", Op::Try, "g", "read");
    assert_eq!(words(&ask.of(&stand.router).await), "unknown", "it was given none");
    ask.headers.body = BodyKind::Envelope;
    ask.body = "{\"payload\":{\"act\":\"read\"},\"reply\":null,\
        \"replies\":{\"order\":{\"warehouse\":\"seven\"}}}"
        .into();
    let done = "done {\"warehouse\":\"seven\"} kept";
    assert_eq!(words(&ask.of(&stand.router).await), done);
    ask.body = "{\"payload\":".into();
    assert_eq!(words(&ask.of(&stand.router).await), "unknown");
}

async fn stand() -> Stand<sqlx::Sqlite> {
    Stand::new(Isolation::Default, 2).await
}

#[tokio::test]
async fn a_saga_is_called_by_its_own_words() {
    let stand = stand().await;
    let ask =
        async |op, of, act| words(&Ask::new("stock.lock-now", op, of, act).of(&stand.router).await);
    assert_eq!(ask(Op::Action, "g", "a").await, "done kept");
    assert_eq!(ask(Op::Action, "g", "a").await, "done kept");
    assert_eq!(ask(Op::Compensate, "g", "a").await, "done kept");
    assert_eq!(ask(Op::Compensate, "g", "a").await, "done kept");
    assert_eq!(ask(Op::Action, "g", "a").await, "refused hanging kept");
    assert_eq!(stand.effects("g").await, ["first", "compensate"]);
    assert_eq!(ask(Op::Compensate, "h", "a").await, "done kept");
    assert_eq!(ask(Op::Action, "h", "a").await, "refused hanging kept");
    assert_eq!(stand.effects("h").await, [""; 0]);
    assert_eq!(ask(Op::Try, "i", "a").await, "refused operation_unknown");
    assert_eq!(ask(Op::Confirm, "i", "a").await, "unknown");
}

#[tokio::test]
async fn what_nobody_offers_is_refused_at_first_and_unknown_later() {
    let stand = stand().await;
    for (op, expected) in [
        (Op::Try, "refused operation_unknown"),
        (Op::Action, "refused operation_unknown"),
        (Op::Confirm, "unknown"),
        (Op::Cancel, "unknown"),
        (Op::Compensate, "unknown"),
        (Op::Inspect, "unknown"),
    ] {
        let ask = Ask::new("stock.sell", op, "g", "a");
        assert_eq!(words(&ask.of(&stand.router).await), expected, "{op:?}");
    }
}

#[tokio::test]
async fn a_call_without_its_headers_is_no_call() {
    let stand = stand().await;
    let check = async |name: &str, value: Option<&str>| {
        let mut request = Ask::new("stock.lock", Op::Try, "g", "a").request();
        let headers = request.headers_mut();
        headers.remove(name);
        if let Some(value) = value {
            headers.insert(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        let (head, body) = read(send(&stand.router, request).await).await;
        assert_eq!(head.status, StatusCode::BAD_REQUEST, "{name} {value:?}");
        assert!(head.headers.get(ANSWER).is_none());
        assert!(body.contains("call_invalid"), "{body}");
    };
    for name in [
        headers::GID,
        headers::BRANCH,
        headers::OP,
        headers::OPERATION,
        headers::TIMEOUT_MS,
        headers::MARK,
    ] {
        check(name, None).await;
        check(name, Some("\u{e9}")).await;
        check(name, Some("")).await;
    }
    check(headers::GID, Some("a b")).await;
    check(headers::OP, Some("drop")).await;
    check(headers::OPERATION, Some("stock.lock-now")).await;
    check(headers::TIMEOUT_MS, Some("-1")).await;
    check(headers::MARK, Some("origin=a;begun=1")).await;
    check(headers::BODY, Some("xml")).await;
    assert_eq!(stand.effects("g").await, [""; 0]);
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_read() {
    let stand = stand().await;
    let max = wholly::participant::CALL_BYTES_MAX;
    for (bytes, expected) in [(max, StatusCode::OK), (max + 1, StatusCode::PAYLOAD_TOO_LARGE)] {
        let ask = Ask::new("stock.lock", Op::Try, &format!("g-{bytes}"), "a");
        let mut body = ask.body.clone().into_bytes();
        body.resize(bytes, b' ');
        let (head, _) = ask.request().into_parts();
        let request = Request::from_parts(head, Body::from(body));
        assert_eq!(send(&stand.router, request).await.status(), expected);
    }
}

#[tokio::test]
async fn a_mark_beyond_its_own_limit_is_stale() {
    let stand = stand().await;
    let mut ask = Ask::new("stock.lock", Op::Try, "g", "a");
    ask.headers.mark = mark("log-1", 99, 100);
    assert_eq!(words(&ask.of(&stand.router).await), "refused stale");
    assert_eq!(stand.effects("g").await, [""; 0]);
}

#[tokio::test]
async fn without_its_tables_a_service_says_what_to_do() {
    let stand = stand().await;
    sqlx::raw_sql("DROP TABLE wholly_barrier").execute(&stand.world.pool).await.unwrap();
    let answer = stand.ask(Op::Try, "g", "a").await;
    let Answer::Unknown { detail } = answer else { panic!("answered {answer:?}") };
    assert!(detail.as_str().contains("wholly schema apply"));
}

#[tokio::test]
#[should_panic(expected = "which another does too")]
async fn two_services_cannot_offer_one_operation() {
    let world = <sqlx::Sqlite as Bed>::make(Isolation::Default, 1).await;
    let stock = || Stock::<sqlx::Sqlite>::new(&Gate::closed());
    let service = |name| Service::new(name, world.pool.clone()).tcc::<Lock>(stock());
    let _: Router = wholly::participant::router([&service("one"), &service("two")]);
}

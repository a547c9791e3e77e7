//! Limits of size, time and number, at the limit and one above.

use crate::canary;
use crate::world::{Heard, World, read};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use wholly_server::transport::http::{PORCH_MAX, TURNED_AWAY_MAX};

const HEAD: &str = "PUT /v1/transactions/g HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
                    application/json\r\n";

/// A body of exactly so many bytes, which ends in blanks.
fn padded(body: &str, bytes: usize) -> String {
    format!("{body}{}", " ".repeat(bytes - body.len()))
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let world = World::start().await;
    let max = 1024 * 1024;
    let plan = world.plan(&["one"]);
    for (bytes, status) in [(max, 201), (max + 1, 413)] {
        let body = padded(&plan, bytes);
        let heard = world.ask(&format!("PUT /v1/transactions/b-{bytes}"), &[], &body).await;
        assert_eq!(heard.status, status, "{bytes}");
    }
    let chunk = format!("{:x}\r\n{}\r\n", max + 1, "x".repeat(max + 1));
    let request = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    let heard = world.send(request.as_bytes()).await;
    assert_eq!((heard.status, heard.code().as_str()), (413, "too_large"));
    let detail = heard.json()["detail"].as_str().unwrap().to_string();
    assert!(detail.contains("body_bytes_max, which is 1048576; send less"), "{detail}");
    // Nothing of the body needs to arrive.
    let heard = world.send(format!("{HEAD}content-length: 99999999999\r\n\r\n").as_bytes()).await;
    assert_eq!((heard.status, heard.code().as_str()), (413, "too_large"));
}

#[tokio::test]
async fn a_payload_has_a_limit() {
    let world = World::start_with(|config| config.limits.payload_bytes_max = 100).await;
    let plan = world.plan(&["one"]);
    for (bytes, status) in [(100, 201), (101, 400)] {
        let payload = format!("\"{}\"", "x".repeat(bytes - 2));
        let body = plan.replace(&canary::payload(0).to_string(), &payload);
        let heard = world.ask(&format!("PUT /v1/transactions/p-{bytes}"), &[], &body).await;
        assert_eq!(heard.status, status, "{heard:?}");
    }
}

#[tokio::test]
async fn headers_have_a_limit() {
    let world = World::start().await;
    // What the request line and the other headers take is no matter at this distance.
    for (bytes, status) in [(15 * 1024, 200), (17 * 1024, 431), (60 * 1024, 431)] {
        let large = "x".repeat(bytes);
        let heard = world.ask("GET /v1", &[("x-large", &large)], "").await;
        assert_eq!(heard.status, status, "{bytes}");
        if status == 431 {
            assert_eq!(heard.code(), "header_too_large");
        }
    }
    let large = format!("GET /v1/transactions/{}", "x".repeat(17 * 1024));
    assert_eq!(world.ask(&large, &[], "").await.code(), "header_too_large");
    let huge = "x".repeat(1024 * 1024);
    assert_eq!(world.ask("GET /v1", &[("x-large", &huge)], "").await.status, 431);
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let request = format!("GET /v1 HTTP/1.1\r\nhost: localhost\r\n{many}\r\n");
    assert_eq!(world.send(request.as_bytes()).await.status, 431);
}

#[tokio::test]
async fn a_slow_body_is_not_waited_for() {
    let world = World::start_with(|config| config.requests.body_ms_max = 20).await;
    let heard = world.send(format!("{HEAD}content-length: 100\r\n\r\n{{").as_bytes()).await;
    assert_eq!((heard.status, heard.code().as_str()), (408, "request_timeout"));
    let detail = heard.json()["detail"].as_str().unwrap().to_string();
    assert!(detail.contains("did not arrive within 20 ms; send it again"), "{detail}");
}

#[tokio::test]
async fn a_slow_head_is_not_waited_for() {
    let world = World::start_with(|config| config.requests.header_ms_max = 20).await;
    let mut stream = TcpStream::connect(world.addr()).await.unwrap();
    stream.write_all(b"GET /v1 HTT").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let world = World::start().await;
    let plan = world.plan(&["one"]);
    let mut stream = TcpStream::connect(world.addr()).await.unwrap();
    let request = format!("{HEAD}content-length: {}\r\n\r\n{plan}", plan.len() + 1);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 20"), "{rest:?}");
    assert_eq!(world.get("/v1/transactions/g").await.code(), "gid_unknown");
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.addr()).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /v1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert_eq!(read(&mut stream).await.status, 200);
    }
    stream.write_all(b"GET /none HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut stream).await.status, 404);
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut stream).await.status, 400);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "what could not be read ends the connection");
}

const ABOUT: &[u8] = b"GET /v1 HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A coordinator of one connection, which is being served: all of its request has arrived but the
/// body.
async fn full_house() -> (World, TcpStream, String) {
    let world = World::start_with(|config| {
        config.requests.connections_max = 1;
        config.requests.body_ms_max = 600_000;
    })
    .await;
    let plan = world.plan(&["one"]);
    let mut first = TcpStream::connect(world.addr()).await.unwrap();
    let head = format!("{HEAD}expect: 100-continue\r\ncontent-length: {}\r\n\r\n", plan.len());
    first.write_all(head.as_bytes()).await.unwrap();
    // Whoever hears that he may go on is being served, and stays.
    let mut heard = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    first.read_exact(&mut heard).await.unwrap();
    (world, first, plan)
}

#[tokio::test]
async fn connections_have_a_limit() {
    let (world, mut first, plan) = full_house().await;
    for _ in 0..3 {
        let heard = world.get("/v1").await;
        assert_eq!((heard.status, heard.code().as_str()), (503, "overloaded"));
        let headers = (heard.header("retry-after"), heard.header("connection"));
        assert_eq!(headers, (Some("1"), Some("close")));
        let detail = heard.json()["detail"].as_str().unwrap().to_string();
        assert!(detail.contains("connections_max allows, 1, are in use"), "{detail}");
        let heard = world.get("/healthz").await;
        assert_eq!((heard.status, heard.header("connection")), (200, Some("close")));
    }
    // Not for a name that it does not answer for.
    let strange = b"GET /healthz HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    assert_eq!(world.send(strange).await.status, 503);
    // Who is inside has lost nothing, and gives way once it does nothing.
    first.write_all(plan.as_bytes()).await.unwrap();
    assert_eq!(read(&mut first).await.status, 201);
    until(&world, "/v1", 200).await;
}

/// One connection does what it does and no more; the next one gets its place.
async fn check_gives_way(sent: &[u8]) {
    let world = World::start_with(|config| config.requests.connections_max = 1).await;
    let mut idle = TcpStream::connect(world.addr()).await.unwrap();
    idle.write_all(sent).await.unwrap();
    if sent == ABOUT {
        assert_eq!(read(&mut idle).await.status, 200);
    }
    until_let_in(&world, [127, 0, 0, 2]).await;
    let mut rest = Vec::new();
    // Closed, in whatever way, and without a word.
    let _ = idle.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

/// Comes again and again from there until it is served.
async fn until_let_in(world: &World, from: [u8; 4]) {
    for _ in 0..10_000 {
        let mut next = connect_from(world, from).await;
        next.write_all(ABOUT).await.unwrap();
        match read(&mut next).await.status {
            200 => return,
            // Whoever came in before has half a second for a request.
            status => assert_eq!(status, 503),
        }
    }
    panic!("it is never let in");
}

#[tokio::test]
async fn an_idle_connection_makes_room() {
    check_gives_way(b"").await;
    check_gives_way(ABOUT).await;
    check_gives_way(b"GET /v1 HTT").await;
}

async fn connect_from(world: &World, address: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    socket.connect(world.addr()).await.unwrap()
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let world = World::start_with(|config| config.requests.peer_connections_max = 2).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(world.addr()).await.unwrap();
        stream.write_all(ABOUT).await.unwrap();
        assert_eq!(read(&mut stream).await.status, 200);
        open.push(stream);
    }
    let heard = world.get("/v1").await;
    assert_eq!((heard.status, heard.code().as_str()), (429, "connections_full"));
    assert_eq!(
        (heard.header("retry-after"), heard.header("connection")),
        (Some("1"), Some("close"))
    );
    let detail = heard.json()["detail"].as_str().unwrap().to_string();
    assert!(detail.contains("peer_connections_max allows, 2; close some"), "{detail}");
    // Others are served, and so is this one when one of its connections is gone.
    let mut other = connect_from(&world, [127, 0, 0, 2]).await;
    other.write_all(ABOUT).await.unwrap();
    assert_eq!(read(&mut other).await.status, 200);
    open.pop();
    until(&world, "/v1", 200).await;
    assert_eq!(open.len(), 1);
}

#[tokio::test]
async fn so_many_hear_why_they_are_turned_away_and_further_ones_nothing() {
    let world = World::start_with(|config| config.requests.peer_connections_max = 1).await;
    let mut served = TcpStream::connect(world.addr()).await.unwrap();
    served.write_all(ABOUT).await.unwrap();
    assert_eq!(read(&mut served).await.status, 200);
    check_turned_away(&world, TURNED_AWAY_MAX, "HTTP/1.1 429").await;
}

#[tokio::test]
async fn so_many_wait_for_room_and_further_ones_are_closed() {
    let (world, mut first, plan) = full_house().await;
    check_turned_away(&world, PORCH_MAX, "HTTP/1.1 503").await;
    first.write_all(plan.as_bytes()).await.unwrap();
    assert_eq!(read(&mut first).await.status, 201);
    until_let_in(&world, [127, 0, 0, 2]).await;
}

/// So many say nothing: the last of them hears this once it asks, and one more hears nothing.
async fn check_turned_away(world: &World, max: usize, hears: &str) {
    // On a machine that stands still for long, those who say nothing are gone before the last
    // one comes; then all of it is tried again.
    for _ in 0..10 {
        let mut waiting = Vec::new();
        for _ in 0..max {
            waiting.push(TcpStream::connect(world.addr()).await.unwrap());
        }
        let mut one_more = TcpStream::connect(world.addr()).await.unwrap();
        let _ = one_more.write_all(ABOUT).await;
        let mut heard = Vec::new();
        let _ = one_more.read_to_end(&mut heard).await;
        let mut last = waiting.pop().unwrap();
        let _ = last.write_all(ABOUT).await;
        let mut why = Vec::new();
        let _ = last.read_to_end(&mut why).await;
        if heard.is_empty() && why.starts_with(hears.as_bytes()) {
            return;
        }
    }
    panic!("those who are turned away have no bound");
}

#[tokio::test]
async fn bodies_have_a_limit_in_sum() {
    const KIB: usize = 1_024;
    let world = World::start_with(|config| {
        config.requests.body_bytes_max = 40 * KIB;
        config.requests.bodies_bytes_max = 40 * KIB;
    })
    .await;
    let plan = padded(&world.plan(&["one"]), 40 * KIB);
    let mut slow = connect_from(&world, [127, 0, 0, 2]).await;
    let head = format!("{HEAD}content-length: {}\r\n\r\n", plan.len());
    slow.write_all(format!("{head}{}", &plan[..plan.len() - 1]).as_bytes()).await.unwrap();
    // Another large one is refused once that has arrived, small ones are not.
    let refused = until_refused(&world, &plan).await;
    assert_eq!(refused.code(), "bodies_full");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let detail = refused.json()["detail"].as_str().unwrap().to_string();
    assert!(detail.contains("bodies_bytes_max allows, 40960, or"), "{detail}");
    let small = padded(&world.plan(&["one"]), 16 * KIB);
    let heard = world.ask("PUT /v1/transactions/small", &[], &small).await;
    assert_eq!(heard.status, 201, "{heard:?}");
    // The slow one loses nothing, and leaves room.
    slow.write_all(&plan.as_bytes()[plan.len() - 1..]).await.unwrap();
    assert_eq!(read(&mut slow).await.status, 201);
    let heard = world.ask("PUT /v1/transactions/later", &[], &plan).await;
    assert_eq!(heard.status, 201, "{heard:?}");
}

/// Sends the same plan until there is no room for it.
async fn until_refused(world: &World, plan: &str) -> Heard {
    for _ in 0..10_000 {
        let heard = world.ask("PUT /v1/transactions/other", &[], plan).await;
        if heard.status == 503 {
            return heard;
        }
        assert!(matches!(heard.status, 200 | 201), "{heard:?}");
    }
    panic!("it is never refused");
}

#[tokio::test]
async fn waiting_has_a_limit_and_who_goes_away_makes_room() {
    let world = World::start_with(|config| config.limits.transaction_waiters_max = 1).await;
    world.begin("w-1").await;
    let path = "/v1/transactions/w-1?wait=ended&wait_ms=";
    let mut waiting = TcpStream::connect(world.addr()).await.unwrap();
    let request = format!("GET {path}30000 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    waiting.write_all(request.as_bytes()).await.unwrap();
    until(&world, &format!("{path}1"), 503).await;
    let refused = world.get(&format!("{path}1")).await;
    assert_eq!(refused.code(), "waiters_full");
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(waiting);
    until(&world, &format!("{path}1"), 202).await;
}

/// Asks until the answer has this status.
async fn until(world: &World, path: &str, status: u16) {
    for _ in 0..10_000 {
        if world.get(path).await.status == status {
            return;
        }
    }
    panic!("{path} never answers {status}");
}

#[tokio::test]
async fn a_stop_lets_requests_end() {
    let world = World::start_with(|config| config.requests.stop_ms_max = 10_000).await;
    world.begin("w-2").await;
    let mut waiting = TcpStream::connect(world.addr()).await.unwrap();
    let request = "GET /v1/transactions/w-2?wait=ended&wait_ms=30000 HTTP/1.1\r\nhost: \
                   localhost\r\n\r\n";
    waiting.write_all(request.as_bytes()).await.unwrap();
    until_waiting(&world).await;
    let World { running, .. } = world;
    running.stop().await.unwrap();
    assert_eq!(read(&mut waiting).await.status, 202);
}

#[tokio::test]
async fn a_stop_closes_what_is_left() {
    let world = World::start_with(|config| config.requests.stop_ms_max = 20).await;
    let mut slow = TcpStream::connect(world.addr()).await.unwrap();
    slow.write_all(b"GET /v1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut slow).await.status, 200);
    slow.write_all(format!("{HEAD}expect: 100-continue\r\ncontent-length: 9\r\n\r\n").as_bytes())
        .await
        .unwrap();
    // Whoever hears that it may go on is being served.
    let mut heard = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    slow.read_exact(&mut heard).await.unwrap();
    let World { running, .. } = world;
    running.stop().await.unwrap();
    let mut rest = Vec::new();
    // Closed, in whatever way, and not answered once its time for the body is over.
    let _ = slow.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

/// Asks for something else until one request waits.
async fn until_waiting(world: &World) {
    for _ in 0..10_000 {
        if world.running.waiters() > 0 {
            return;
        }
        world.get("/healthz").await;
    }
    panic!("nobody waits");
}

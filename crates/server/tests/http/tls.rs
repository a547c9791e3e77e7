//! TLS of the listener: real handshakes with a real coordinator, and what comes of those that are
//! none.

use crate::world::{Heard, World, read};
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wholly_server::config::TlsConfig;
use wholly_server::{Config, Coordinator, ServeError};
use wholly_tls::authority::{Authority, Issued};
use wholly_tls::{Caller, Calling, Names, OldestVersion, PeerName, Stream};

/// Longest that anything here may take; nothing does.
const PATIENCE: Duration = Duration::from_secs(120);

struct Files {
    folder: TempDir,
    known: Authority,
}

impl Files {
    fn new() -> Files {
        Files { folder: tempfile::tempdir().unwrap(), known: Authority::new("known") }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The listener's files; what was there before is written over.
    fn listener(&self, issued: &Issued) -> TlsConfig {
        let (certificate, key) = issued.write(self.path(), "listener");
        TlsConfig { certificate: Some(certificate), key: Some(key), ..TlsConfig::default() }
    }

    fn calling(&self, identity: Option<&Issued>) -> Calling {
        let ca = Some(self.known.write(self.path()));
        Calling { ca, identity: identity.map(|issued| issued.write(self.path(), "client")) }
    }

    fn caller(&self, identity: Option<&Issued>) -> Caller {
        Caller::open(&self.calling(identity)).unwrap()
    }
}

async fn connect(world: &World, caller: &Caller, name: &str) -> Result<Stream<TcpStream>, String> {
    let stream = TcpStream::connect(world.addr()).await.unwrap();
    let secured = caller.secure(&PeerName::new(name).unwrap(), stream).await;
    secured.map_err(|error| error.source.to_string())
}

const REQUEST: &[u8] = b"GET /v1 HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Asks once over a connection, which stays.
async fn ask(stream: &mut Stream<TcpStream>) -> Result<Heard, String> {
    stream.write_all(REQUEST).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.map_err(|error| error.to_string())?;
    Ok(read(&mut (&first[..]).chain(stream)).await)
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it does not take that long")
}

/// A figure, from within the process.
fn failed(world: &World, why: &str) -> String {
    use wholly_server::transport::Coordinator as _;
    let text = world.running.coordinator().metrics_text();
    let name = format!("wholly_handshakes_failed_total{{why=\"{why}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
}

#[tokio::test]
async fn clients_are_answered_within_tls_and_only_there() {
    use wholly_server::transport::Coordinator as _;
    let files = Files::new();
    let tls = files.listener(&files.known.issue(&["localhost", "127.0.0.1"]));
    let world = World::start_with(|config| config.tls = tls).await;
    assert_eq!(world.running.url(), format!("https://{}", world.addr()));
    let caller = files.caller(None);
    let text = world.running.coordinator().metrics_text();
    // Up to when the authority of these tests makes them hold.
    let expiry = "wholly_certificate_expiry_time_seconds{of=\"listener\"} 2524607999";
    assert!(text.lines().any(|line| line == expiry), "{text}");
    for name in ["localhost", "127.0.0.1"] {
        let mut stream = connect(&world, &caller, name).await.unwrap();
        for _ in 0..2 {
            assert_eq!(ask(&mut stream).await.unwrap().status, 200);
        }
    }
    assert!(connect(&world, &caller, "stock").await.unwrap_err().contains("not valid for name"));
    // A client that does not speak TLS hears no HTTP, and neither does one who came too late.
    let mut plain = TcpStream::connect(world.addr()).await.unwrap();
    plain.write_all(REQUEST).await.unwrap();
    let mut heard = Vec::new();
    let _ = in_time(plain.read_to_end(&mut heard)).await;
    assert!(!String::from_utf8_lossy(&heard).contains("HTTP"), "{heard:?}");
    assert_eq!((failed(&world, "failed"), failed(&world, "late")), ("2".into(), "0".into()));
}

#[tokio::test]
async fn a_certificate_is_read_again_while_connections_go_on() {
    let files = Files::new();
    let tls = files.listener(&files.known.issue(&["first"]));
    let configured = Config { tls: tls.clone(), ..Config::in_process(files.path()) };
    let world = World::start_with(|config| config.tls = tls.clone()).await;
    let caller = files.caller(None);
    let mut before = connect(&world, &caller, "first").await.unwrap();
    assert_eq!(ask(&mut before).await.unwrap().status, 200);

    files.listener(&files.known.issue(&["second"]));
    world.running.reload(&configured).unwrap();
    assert!(connect(&world, &caller, "first").await.is_err());
    let mut after = connect(&world, &caller, "second").await.unwrap();
    assert_eq!(ask(&mut after).await.unwrap().status, 200);
    assert_eq!(ask(&mut before).await.unwrap().status, 200, "what stood goes on");

    // Half of a rotation: the key is there, its certificate is not yet.
    std::fs::write(tls.key.as_ref().unwrap(), files.known.issue(&["third"]).key).unwrap();
    let error = world.running.reload(&configured).unwrap_err().to_string();
    assert!(error.contains("is not that of the first certificate"), "{error}");
    std::fs::remove_file(tls.certificate.as_ref().unwrap()).unwrap();
    let error = world.running.reload(&configured).unwrap_err().to_string();
    assert!(error.contains("listener.pem failed; name a file"), "{error}");
    let mut still = connect(&world, &caller, "second").await.unwrap();
    assert_eq!(ask(&mut still).await.unwrap().status, 200, "the one of before stays");

    let off = Config { tls: TlsConfig::default(), ..configured };
    let error = world.running.reload(&off).unwrap_err().to_string();
    assert!(error.contains("only at a start"), "{error}");
    assert_eq!(ask(&mut before).await.unwrap().status, 200);
}

#[tokio::test]
async fn clients_show_a_certificate_where_one_is_wanted() {
    let files = Files::new();
    let tls = files.listener(&files.known.issue(&["localhost"]));
    let client_ca = Some(files.known.write(files.path()));
    let named = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let client_names = Some(Names::parse(&names).unwrap());
        TlsConfig { client_ca: client_ca.clone(), client_names, ..tls.clone() }
    };
    let world =
        World::start_with(|config| config.tls = named(&["orders", "spiffe://shop/b"])).await;
    let asked = async |identity: Option<Issued>| {
        // Of TLS 1.3 a client hears only afterwards that its certificate is not believed.
        let mut stream = connect(&world, &files.caller(identity.as_ref()), "localhost").await?;
        ask(&mut stream).await.map(|heard| heard.status)
    };
    assert_eq!(asked(Some(files.known.issue(&["orders"]))).await, Ok(200));
    assert!(asked(None).await.is_err());
    assert!(asked(Some(Authority::new("known").issue(&["orders"]))).await.is_err());
    assert_eq!(
        (failed(&world, "certificate"), failed(&world, "not_named")),
        ("2".into(), "0".into())
    );

    let orders = || Some(files.known.issue(&["orders"]));
    let points = || Some(files.known.issue(&["points"]));
    assert_eq!(asked(Some(files.known.issue(&["b", "spiffe://shop/b"]))).await, Ok(200));
    assert!(asked(points()).await.is_err());
    assert_eq!(
        (failed(&world, "certificate"), failed(&world, "not_named")),
        ("2".into(), "1".into())
    );
    // The list is read again with the files; who was let in stays.
    let mut before = connect(&world, &files.caller(orders().as_ref()), "localhost").await.unwrap();
    assert_eq!(ask(&mut before).await.unwrap().status, 200);
    let base = Config::in_process(files.path());
    world.running.reload(&Config { tls: named(&["points"]), ..base.clone() }).unwrap();
    assert!(asked(orders()).await.is_err());
    assert_eq!(asked(points()).await, Ok(200));
    assert_eq!(ask(&mut before).await.unwrap().status, 200);
    world.running.reload(&Config { tls: named(&["*"]), ..base.clone() }).unwrap();
    assert_eq!((asked(orders()).await, asked(points()).await), (Ok(200), Ok(200)));
    let nobody = TlsConfig { client_names: None, ..named(&["orders"]) };
    world.running.reload(&Config { tls: nobody, ..base }).unwrap();
    assert!(asked(orders()).await.is_err(), "whoever names nobody lets nobody in");
}

#[tokio::test]
async fn clients_that_are_out_of_date_are_served_only_where_that_is_said() {
    let files = Files::new();
    let tls = files.listener(&files.known.issue(&["localhost"]));
    let configured = Config { tls: tls.clone(), ..Config::in_process(files.path()) };
    let world = World::start_with(|config| config.tls = tls.clone()).await;
    let (outdated, current) = (Caller::outdated(&files.calling(None)).unwrap(), files.caller(None));
    let error = connect(&world, &outdated, "localhost").await.unwrap_err();
    assert!(error.contains("ProtocolVersion"), "{error}");
    assert_eq!(failed(&world, "failed"), "1");

    let lenient = TlsConfig { min_version: OldestVersion::Tls12, ..tls };
    world.running.reload(&Config { tls: lenient, ..configured.clone() }).unwrap();
    let mut old = connect(&world, &outdated, "localhost").await.unwrap();
    assert_eq!(ask(&mut old).await.unwrap().status, 200);
    let mut latest = connect(&world, &current, "localhost").await.unwrap();
    assert_eq!(ask(&mut latest).await.unwrap().status, 200);

    world.running.reload(&configured).unwrap();
    assert!(connect(&world, &outdated, "localhost").await.is_err());
    assert_eq!(ask(&mut old).await.unwrap().status, 200, "what stood goes on");
}

#[tokio::test]
async fn a_slow_handshake_holds_nobody_up_and_is_cut() {
    let files = Files::new();
    let tls = files.listener(&files.known.issue(&["localhost"]));
    let world = World::start_with(|config| {
        config.tls = tls;
        config.requests.handshake_ms_max = 20;
    })
    .await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(world.addr()).await.unwrap();
        // A record is announced, and does not come.
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        slow.push(stream);
    }
    for stream in &mut slow {
        let mut heard = Vec::new();
        // It is closed, in whatever way.
        let _ = in_time(stream.read_to_end(&mut heard)).await;
    }
    assert_eq!(failed(&world, "late"), "8");
}

/// As [`a_slow_handshake_holds_nobody_up_and_is_cut`], with time that is never over.
#[tokio::test]
async fn whoever_never_shakes_hands_holds_up_neither_others_nor_a_stop() {
    let files = Files::new();
    let tls = files.listener(&files.known.issue(&["localhost"]));
    let world = World::start_with(|config| {
        config.tls = tls;
        config.requests.handshake_ms_max = 3_600_000;
        config.requests.stop_ms_max = 3_600_000;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(world.addr()).await.unwrap());
    }
    let mut stream = connect(&world, &files.caller(None), "localhost").await.unwrap();
    assert_eq!(ask(&mut stream).await.unwrap().status, 200);
    drop(stream);
    in_time(world.running.stop()).await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_stop_the_start_before_anything_is_touched() {
    let files = Files::new();
    let tls = files.listener(&files.known.issue(&["localhost"]));
    let data = files.path().join("data");
    let key = Some(files.known.issue(&["other"]).write(files.path(), "other").1);
    let config = Config { tls: TlsConfig { key, ..tls }, ..Config::in_process(&data) };
    let error = Coordinator::start(config).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ServeError::Tls(_)), "{error}");
    assert!(!data.exists());
}

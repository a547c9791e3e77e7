//! Real handshakes, over a pipe in memory: who is let in, who is believed, and what is said.

use super::authority::{Authority, Issued, Validity, self_signed};
use super::*;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// Time that is never over.
const PATIENCE: Duration = Duration::from_secs(600);

/// An authority, whom both sides believe, and one whom nobody does.
struct World {
    folder: TempDir,
    known: Authority,
    stranger: Authority,
}

/// How one handshake went, on either side, with a few words over it where it succeeded.
#[derive(Debug)]
struct Went {
    accepted: String,
    called: String,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let (known, stranger) = (Authority::new("known"), Authority::new("stranger"));
        World { folder, known, stranger }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn listening(&self, issued: &Issued) -> Listening {
        let (certificate, key) = issued.write(self.path(), "listener");
        Listening::new(certificate, key)
    }

    /// Lets in only whom the known authority has signed.
    fn strict(&self) -> Listening {
        self.strict_for(Names::Any)
    }

    /// Lets in only who bears one of these names besides.
    fn strict_for(&self, names: Names) -> Listening {
        let listening = self.listening(&self.known.issue(&["stock"]));
        let ca = self.known.write(self.path());
        Listening { clients: Some(Clients { ca, names }), ..listening }
    }

    fn calling(&self, identity: Option<&Issued>) -> Calling {
        let ca = Some(self.known.write(self.path()));
        Calling { ca, identity: identity.map(|issued| issued.write(self.path(), "caller")) }
    }
}

/// Both sides over one pipe.
async fn went(acceptor: &Acceptor, caller: &Caller, peer: &str) -> Went {
    let (near, far) = duplex(1 << 16);
    let peer = PeerName::new(peer).unwrap();
    let accepting = async {
        match acceptor.accept(near, PATIENCE).await {
            Ok(mut stream) => said(&mut stream, b"pong").await,
            Err(error) => format!("{}: {error}: {}", error.word(), cause(&error)),
        }
    };
    let calling = async {
        match caller.secure(&peer, far).await {
            Ok(mut stream) => said(&mut stream, b"ping").await,
            Err(error) => format!("{error}: {}", cause(&error)),
        }
    };
    let (accepted, called) = tokio::join!(accepting, calling);
    Went { accepted, called }
}

/// Says something and reads what the other side does.
async fn said(stream: &mut Stream<DuplexStream>, word: &[u8]) -> String {
    let mut heard = [0; 4];
    // Whoever was refused hears so here.
    let spoken = async {
        stream.write_all(word).await?;
        stream.flush().await?;
        stream.read_exact(&mut heard).await.map(|_| ())
    };
    match spoken.await {
        Ok(()) => String::from_utf8(heard.to_vec()).unwrap(),
        Err(error) => error.to_string(),
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

async fn check(listening: &Listening, calling: &Calling, peer: &str, expected: (&str, &str)) {
    let acceptor = Acceptor::open(listening).unwrap();
    let seen = went(&acceptor, &Caller::open(calling).unwrap(), peer).await;
    assert!(seen.accepted.contains(expected.0), "{seen:?}, not {expected:?}");
    assert!(seen.called.contains(expected.1), "{seen:?}, not {expected:?}");
}

const WELL: (&str, &str) = ("ping", "pong");

#[tokio::test]
async fn whoever_is_called_proves_to_be_that() {
    let world = World::new();
    let calling = world.calling(None);
    let is = |issued: &Issued| world.listening(issued);
    let good = is(&world.known.issue(&["stock", "*.shop.internal", "127.0.0.1", "::1"]));
    for peer in ["stock", "STOCK", "a.shop.internal", "127.0.0.1", "[::1]", "::1"] {
        check(&good, &calling, peer, WELL).await;
    }
    for peer in
        ["points", "a.b.shop.internal", "shop.internal", "127.0.0.2", "[::2]", "stock.evil.example"]
    {
        check(&good, &calling, peer, ("failed: ", "certificate not valid for name")).await;
    }
    let past = is(&world.known.issue_for(&["stock"], Validity::Past));
    check(&past, &calling, "stock", ("failed: ", "certificate expired")).await;
    let future = is(&world.known.issue_for(&["stock"], Validity::Future));
    check(&future, &calling, "stock", ("failed: ", "certificate not valid yet")).await;
    let unknown = ("failed: ", "UnknownIssuer");
    check(&is(&world.stranger.issue(&["stock"])), &calling, "stock", unknown).await;
    check(&is(&self_signed(&["stock"])), &calling, "stock", unknown).await;
    // Of the same name, with a key of its own: it is not the name that is believed.
    let forged = Authority::new("known").issue(&["stock"]);
    check(&is(&forged), &calling, "stock", ("failed: ", "invalid peer certificate")).await;
}

#[tokio::test]
async fn where_clients_need_a_certificate_one_of_the_authority_is_needed() {
    let world = World::new();
    let strict = world.strict();
    let check = async |issued: Option<Issued>, expected| {
        check(&strict, &world.calling(issued.as_ref()), "stock", expected).await;
    };
    check(Some(world.known.issue(&["orders"])), WELL).await;
    check(None, ("certificate: ", "CertificateRequired")).await;
    let refused = ("certificate: ", "alert");
    check(Some(world.stranger.issue(&["orders"])), refused).await;
    check(Some(self_signed(&["orders"])), refused).await;
    check(Some(world.known.issue_for(&["orders"], Validity::Past)), refused).await;
    check(Some(world.known.issue_for(&["orders"], Validity::Future)), refused).await;
}

#[tokio::test]
async fn of_those_with_a_certificate_only_who_is_named_is_let_in() {
    let world = World::new();
    let list = ["orders.internal", "spiffe://shop/Billing"].map(str::to_owned);
    let strict = world.strict_for(Names::parse(&list).unwrap());
    let check = async |names: &[&str], expected| {
        let issued = world.known.issue(names);
        check(&strict, &world.calling(Some(&issued)), "stock", expected).await;
    };
    for names in [
        &["orders.internal"][..],
        &["Orders.INTERNAL"],
        &["points.internal", "orders.internal"],
        &["spiffe://shop/Billing"],
        &["10.0.0.7", "spiffe://shop/Billing"],
    ] {
        check(names, WELL).await;
    }
    for names in [
        &["points.internal"][..],
        &["orders"],
        &["a.orders.internal"],
        &["*.internal"],
        &["orders.internal.evil.example"],
        &["spiffe://shop/billing"],
        &["spiffe://shop/Billing/more"],
        &["https://orders.internal"],
        &["10.0.0.7"],
    ] {
        check(names, ("not_named: the client is not named: its certificate is for", "alert")).await;
    }
    // What the authority has not signed is not even asked for its names.
    let stranger = world.stranger.issue(&["orders.internal"]);
    let seen = Acceptor::open(&strict).unwrap();
    let seen = went(&seen, &Caller::open(&world.calling(Some(&stranger))).unwrap(), "stock").await;
    assert!(seen.accepted.starts_with("certificate: "), "{seen:?}");
    // A list without a name is nobody's.
    let nobody = Acceptor::open(&world.strict_for(Names::default())).unwrap();
    let orders = world.calling(Some(&world.known.issue(&["orders.internal"])));
    let seen = went(&nobody, &Caller::open(&orders).unwrap(), "stock").await;
    assert!(seen.accepted.starts_with("not_named: "), "{seen:?}");
}

/// Not even by a session that it had before.
#[tokio::test]
async fn who_is_taken_off_the_list_is_let_in_no_more() {
    let world = World::new();
    let names = |name: &str| Names::parse(&[name.to_owned()]).unwrap();
    let acceptor = Acceptor::open(&world.strict_for(names("orders"))).unwrap();
    let caller = Caller::open(&world.calling(Some(&world.known.issue(&["orders"])))).unwrap();
    for _ in 0..2 {
        assert_eq!(went(&acceptor, &caller, "stock").await.called, "pong");
    }
    acceptor.reload(&world.strict_for(names("points"))).unwrap();
    let seen = went(&acceptor, &caller, "stock").await;
    assert!(seen.accepted.starts_with("not_named: "), "{seen:?}");
    acceptor.reload(&world.strict_for(names("orders"))).unwrap();
    assert_eq!(went(&acceptor, &caller, "stock").await.called, "pong");
}

#[tokio::test]
async fn an_older_version_is_spoken_only_where_that_is_said() {
    let world = World::new();
    let listening = world.listening(&world.known.issue(&["stock"]));
    let calling = world.calling(None);
    let old = Listening { oldest: OldestVersion::Tls12, ..listening.clone() };
    let trust = |oldest| Trust::of(calling.clone(), oldest).caller().unwrap().clone();
    let outdated = Caller::outdated(&calling).unwrap();
    let check = async |acceptor: &Acceptor, caller: &Caller, expected: (&str, &str)| {
        let seen = went(acceptor, caller, "stock").await;
        assert!(seen.accepted.contains(expected.0), "{seen:?}, not {expected:?}");
        assert!(seen.called.contains(expected.1), "{seen:?}, not {expected:?}");
    };
    let [strict, lenient] = [&listening, &old].map(|files| Acceptor::open(files).unwrap());
    check(&strict, &outdated, ("failed: ", "ProtocolVersion")).await;
    check(&strict, &trust(OldestVersion::Tls12), WELL).await;
    check(&lenient, &outdated, WELL).await;
    check(&lenient, &trust(OldestVersion::Tls13), WELL).await;
    let outdated = Acceptor::outdated(&listening).unwrap();
    check(&outdated, &trust(OldestVersion::Tls13), ("failed: ", "ProtocolVersion")).await;
    check(&outdated, &trust(OldestVersion::Tls12), WELL).await;
    check(&outdated, &Caller::open(&calling).unwrap(), ("failed: ", "ProtocolVersion")).await;
}

#[tokio::test]
async fn a_certificate_that_is_read_again_is_the_next_connections() {
    let world = World::new();
    let first = world.listening(&world.known.issue(&["first"]));
    let acceptor = Acceptor::open(&first).unwrap();
    let caller = Caller::open(&world.calling(None)).unwrap();
    let (near, far) = duplex(1 << 16);
    let peer = PeerName::new("first").unwrap();
    let (near, far) = tokio::join!(acceptor.accept(near, PATIENCE), caller.secure(&peer, far));
    let (mut near, mut far) = (near.unwrap(), far.unwrap());

    let past = world.listening(&world.known.issue_for(&["first"], Validity::Past));
    let expiry = acceptor.own().first().unwrap();
    acceptor.reload(&past).unwrap();
    assert!(acceptor.own().first().unwrap() < expiry, "it is that of the files read last");
    let second = world.listening(&world.known.issue(&["second"]));
    assert!(acceptor.own().first().unwrap() < expiry, "files that lie there unread do not count");
    acceptor.reload(&second).unwrap();
    assert_eq!(acceptor.own().first(), Some(expiry));
    assert_eq!(went(&acceptor, &caller, "second").await.called, "pong");
    assert!(went(&acceptor, &caller, "first").await.called.contains("not valid for name"));
    // What stood before goes on.
    let (heard, answered) = tokio::join!(said(&mut near, b"pong"), said(&mut far, b"ping"));
    assert_eq!((heard.as_str(), answered.as_str()), WELL);

    std::fs::write(&second.key, world.known.issue(&["second"]).key).unwrap();
    assert!(matches!(acceptor.reload(&second), Err(TlsError::KeyMismatch { .. })));
    assert_eq!(went(&acceptor, &caller, "second").await.called, "pong", "the one of before stays");
}

/// A session that is taken up again is one of the same certificate, so it is as good.
#[tokio::test]
async fn a_caller_that_comes_back_is_let_in_and_one_more_strictly_asked_is_not() {
    let world = World::new();
    let listening = world.listening(&world.known.issue(&["stock"]));
    let acceptor = Acceptor::open(&listening).unwrap();
    let caller = Caller::open(&world.calling(None)).unwrap();
    for _ in 0..3 {
        assert_eq!(went(&acceptor, &caller, "stock").await.called, "pong");
    }
    acceptor.reload(&world.strict()).unwrap();
    let seen = went(&acceptor, &caller, "stock").await;
    assert!(seen.accepted.starts_with("certificate: "), "{seen:?}");
}

#[tokio::test]
async fn what_is_no_handshake_is_let_go() {
    let world = World::new();
    let acceptor = Acceptor::open(&world.listening(&world.known.issue(&["stock"]))).unwrap();
    let check = async |says: Option<&[u8]>, within: Duration, expected: &str| {
        let (near, mut far) = duplex(1 << 16);
        match says {
            Some(bytes) => far.write_all(bytes).await.unwrap(),
            None => drop(far),
        }
        let seen = acceptor.accept(near, within).await.unwrap_err();
        assert_eq!(seen.word(), expected, "{says:?}: {seen:?}");
    };
    check(Some(b"GET / HTTP/1.1\r\nhost: stock\r\n\r\n"), PATIENCE, "failed").await;
    check(Some(&[0; 64]), PATIENCE, "failed").await;
    check(None, PATIENCE, "broken").await;
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let world = World::new();
    let acceptor = Acceptor::open(&world.listening(&world.known.issue(&["stock"]))).unwrap();
    let (near, mut far) = duplex(1 << 16);
    // The start of a handshake, and no more.
    far.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let slow = acceptor.accept(near, Duration::from_millis(20));
    let caller = Caller::open(&world.calling(None)).unwrap();
    let (slow, other) = tokio::join!(slow, went(&acceptor, &caller, "stock"));
    assert!(matches!(slow, Err(Unaccepted::Late { within_ms: 20 })));
    assert_eq!(other.called, "pong", "nobody waits for the slow one");
}

#[tokio::test]
async fn a_plain_server_is_not_spoken_to() {
    let world = World::new();
    let caller = Caller::open(&world.calling(None)).unwrap();
    let (mut near, far) = duplex(1 << 16);
    near.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let peer = PeerName::new("stock").unwrap();
    let seen = caller.secure(&peer, far).await.unwrap_err();
    assert_eq!(seen.to_string(), "TLS with stock failed");
    assert!(cause(&seen).contains("InvalidContentType"), "{seen:?}");
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_what_to_do() {
    let world = World::new();
    let (certificate, key) = world.known.issue(&["a"]).write(world.path(), "a");
    let (_, other_key) = world.known.issue(&["b"]).write(world.path(), "b");
    let write = |name: &str, text: &str| -> PathBuf {
        let path = world.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let empty = write("empty", "");
    let torn = write("torn", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let junk = write("junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let odd = write("odd", "-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n");
    let nowhere = world.path().join("nowhere");
    let check = |certificate: &Path, key: &Path, ca: Option<&Path>, words: &[&str]| {
        let clients = ca.map(|ca| Clients { ca: ca.to_owned(), names: Names::Any });
        let listening = Listening::new(certificate.to_owned(), key.to_owned());
        let listening = Listening { clients, ..listening };
        let error = Acceptor::open(&listening).expect_err("it cannot be used");
        let said = format!("{error}: {}", cause(&error));
        for word in words {
            assert!(said.contains(word), "{said:?} does not say {word:?}");
        }
        let secret = std::fs::read_to_string(&other_key).unwrap();
        assert!(!format!("{said} {error:?}").contains(secret.lines().nth(1).unwrap()), "{said}");
    };
    check(&nowhere, &key, None, &["nowhere", "this user may read", "No such file"]);
    check(&certificate, &nowhere, None, &["nowhere", "this user may read"]);
    check(&empty, &key, None, &["empty holds no certificate", "BEGIN CERTIFICATE"]);
    check(&key, &key, None, &["a.key holds no certificate"]);
    check(&torn, &key, None, &["torn is no PEM file", "no -----END line"]);
    check(&junk, &key, None, &["junk", "cannot be used"]);
    check(&certificate, &certificate, None, &["a.pem holds no private key", "passphrase"]);
    check(&certificate, &odd, None, &["odd is no PEM file", "not base64"]);
    check(&certificate, &other_key, None, &["b.key is not that of", "a.pem", "made together"]);
    check(&certificate, &key, Some(&nowhere), &["nowhere"]);
    check(&certificate, &key, Some(&empty), &["empty holds no certificate"]);
    check(&certificate, &key, Some(&junk), &["junk cannot be an authority's"]);
}

#[test]
fn a_host_is_named_as_its_certificate_would() {
    let check = |host: &str, expected: bool| {
        assert_eq!(PeerName::new(host).is_some(), expected, "{host}");
    };
    for host in ["stock", "my_stock.shop.internal", "10.0.0.7", "::1", "[2001:db8::7]"] {
        check(host, true);
    }
    for host in ["", "a b", "*", "stock:80", "[::1", "http://stock"] {
        check(host, false);
    }
}

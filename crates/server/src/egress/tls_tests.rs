//! Destinations within TLS: only whoever proves to be the host of the URL is asked anything.

use super::tests::{Conduct, REPLY_BYTES_MAX, Server, call, done, spell};
use super::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::net::TcpListener;
use wholly_tls::authority::{Authority, Issued, Validity, self_signed};
use wholly_tls::{Acceptor, Listening, OldestVersion};

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

    fn ca(&self) -> PathBuf {
        self.known.write(self.path())
    }

    fn good(&self) -> Issued {
        self.known.issue(&["localhost", "127.0.0.1"])
    }

    async fn server(&self, issued: &Issued, conduct: Conduct) -> Server {
        let (certificate, key) = issued.write(self.path(), "server");
        let listening = Listening::new(certificate, key);
        Server::secured(conduct, Acceptor::open(&listening).unwrap()).await
    }
}

/// An egress with one destination, `stock`, that is known by this file.
fn egress(url: &str, ca: Option<PathBuf>) -> Arc<Egress> {
    let rules = BTreeMap::from([("stock".to_owned(), Rule { ca, ..Rule::new(url) })]);
    let destinations = Destinations::new(&rules, Urls::Loopback, 8).unwrap();
    Egress::new(destinations, REPLY_BYTES_MAX, Arc::default())
}

/// The same, with whom no version older than this is spoken.
fn egress_from(oldest: OldestVersion, url: &str, ca: PathBuf) -> Arc<Egress> {
    let rule = Rule { ca: Some(ca), tls_min_version: oldest, ..Rule::new(url) };
    let rules = BTreeMap::from([("stock".to_owned(), rule)]);
    let destinations = Destinations::new(&rules, Urls::Loopback, 8).unwrap();
    Egress::new(destinations, REPLY_BYTES_MAX, Arc::default())
}

/// What comes of a call, and whether nothing came back.
async fn heard(egress: &Egress, called: &Call) -> (String, bool) {
    let sent = egress.call_in(called, None).await;
    let silent = matches!(sent, Sent::Silent(_));
    (spell(&sent.answer()), silent)
}

/// A server with this certificate is called by this host, and asked nothing.
async fn check_refused(files: &Files, issued: &Issued, host: &str, expected: &str) {
    let server = files.server(issued, Conduct::Answer(done("1"))).await;
    let url = server.url.replace("127.0.0.1", host);
    let egress = egress(&url, Some(files.ca()));
    for _ in 0..2 {
        let (seen, silent) = heard(&egress, &call("stock")).await;
        let start = format!("unknown: connect to {} failed: TLS with {host} failed: ", &url[8..]);
        assert!(seen.starts_with(&start) && seen.contains(expected), "{seen}, not {expected}");
        assert!(silent, "the breaker counts it as one that takes no connection");
    }
    assert_eq!(server.seen().1, 0, "{expected}: it was asked something");
}

#[tokio::test]
async fn a_destination_that_is_out_of_date_is_spoken_with_where_its_rule_says_so() {
    let files = Files::new();
    let (certificate, key) = files.good().write(files.path(), "server");
    let acceptor = Acceptor::outdated(&Listening::new(certificate, key)).unwrap();
    let server = Server::secured(Conduct::Answer(done("1")), acceptor).await;
    let strict = egress_from(OldestVersion::Tls13, &server.url, files.ca());
    let (seen, silent) = heard(&strict, &call("stock")).await;
    assert!(seen.contains("ProtocolVersion") && silent, "{seen}");
    assert_eq!(server.seen().1, 0, "it was asked nothing");
    let lenient = egress_from(OldestVersion::Tls12, &server.url, files.ca());
    assert_eq!(heard(&lenient, &call("stock")).await.0, heard_well(&files).await);
    assert_eq!(server.seen().1, 1);
}

/// What is heard of a server that answers so.
async fn heard_well(files: &Files) -> String {
    let server = files.server(&files.good(), Conduct::Answer(done("1"))).await;
    heard(&egress(&server.url, Some(files.ca())), &call("stock")).await.0
}

#[tokio::test]
async fn whoever_does_not_prove_to_be_the_host_is_not_asked() {
    let files = Files::new();
    let check =
        async |issued, expected| check_refused(&files, &issued, "localhost", expected).await;
    check(files.known.issue(&["points"]), "not valid for name").await;
    check(files.known.issue(&["localhost.evil.example"]), "not valid for name").await;
    check(files.known.issue(&["127.0.0.1"]), "not valid for name").await;
    check(files.known.issue_for(&["localhost"], Validity::Past), "expired").await;
    check(files.known.issue_for(&["localhost"], Validity::Future), "not valid yet").await;
    check(Authority::new("stranger").issue(&["localhost"]), "UnknownIssuer").await;
    check(Authority::new("known").issue(&["localhost"]), "invalid peer certificate").await;
    check(self_signed(&["localhost"]), "UnknownIssuer").await;
    check_refused(&files, &files.known.issue(&["localhost"]), "127.0.0.1", "not valid for").await;
}

#[tokio::test]
async fn whoever_does_is_called_as_ever() {
    let files = Files::new();
    let server = files.server(&files.good(), Conduct::Answer(done("1"))).await;
    for url in [server.url.clone(), server.url.replace("127.0.0.1", "localhost")] {
        let before = server.seen();
        let egress = egress(&url, Some(files.ca()));
        for _ in 0..5 {
            assert_eq!(heard(&egress, &call("stock")).await, ("done 1".to_owned(), false));
        }
        assert_eq!(server.seen(), (before.0 + 1, before.1 + 5), "one handshake for all");
    }
    // A connection that was closed meanwhile costs no answer.
    let closing = files.server(&files.good(), Conduct::AnswerAndClose(done("2"))).await;
    let closed = egress(&closing.url, Some(files.ca()));
    for _ in 0..3 {
        assert_eq!(heard(&closed, &call("stock")).await.0, "done 2");
    }
    let forgetful = files.server(&files.good(), Conduct::AnswerThenClose(1)).await;
    let asked = egress(&forgetful.url, Some(files.ca()));
    for _ in 0..2 {
        assert_eq!(heard(&asked, &call("stock")).await.0, "done 1");
    }
    assert_eq!(forgetful.seen(), (2, 3), "the second call was read twice");
    let fits = format!("\"{}\"", "1".repeat(REPLY_BYTES_MAX - 2));
    let large = files.server(&files.good(), Conduct::Answer(done(&fits))).await;
    let whole = heard(&egress(&large.url, Some(files.ca())), &call("stock")).await.0;
    assert_eq!(whole, format!("done {fits}"));
}

#[tokio::test]
async fn plain_text_and_tls_do_not_meet() {
    let files = Files::new();
    let plain = Server::start(Conduct::Answer(done("1"))).await;
    let url = plain.url.replace("http://", "https://");
    let (seen, silent) = heard(&egress(&url, Some(files.ca())), &call("stock")).await;
    assert!(seen.contains("TLS with 127.0.0.1 failed") && silent, "{seen}");
    assert_eq!(plain.seen(), (1, 0), "it was asked nothing");

    let secured = files.server(&files.good(), Conduct::Answer(done("1"))).await;
    let url = secured.url.replace("https://", "http://");
    let (seen, _) = heard(&egress(&url, None), &call("stock")).await;
    assert!(seen.starts_with("unknown: the "), "{seen}");
    assert_eq!(secured.seen().1, 0);
}

/// Whoever is found by an address says so by the address; whom the system believes is not us.
#[tokio::test]
async fn what_nobody_named_is_known_by_the_authorities_of_the_system() {
    let files = Files::new();
    let server = files.server(&files.good(), Conduct::Answer(done("1"))).await;
    let dev = egress("http://stock", None);
    let (seen, _) = heard(&dev, &call(&server.url)).await;
    assert!(seen.starts_with("unknown: "), "{seen}");
    assert_eq!(server.seen().1, 0);
    let none = BTreeMap::new();
    let known = Destinations::known_by(Some(files.ca()), &none, Urls::Loopback, 8).unwrap();
    let known = Egress::new(known, REPLY_BYTES_MAX, Arc::default());
    assert_eq!(heard(&known, &call(&server.url)).await.0, "done 1");
}

#[tokio::test]
async fn a_handshake_takes_no_longer_than_its_call_may() {
    let files = Files::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let egress = egress(&url, Some(files.ca()));
    let slow = Call { timeout_ms: 100, ..call("stock") };
    let (seen, silent) = heard(&egress, &slow).await;
    // It is the connection's time and the call's that are over, and either may be seen first.
    let late = ["no answer within 100 ms", "timed out"].iter().any(|words| seen.contains(words));
    assert!(late && silent, "{seen}");
    drop(listener);
}

#[tokio::test]
async fn other_authorities_count_from_the_next_call_on() {
    let files = Files::new();
    let server = files.server(&files.good(), Conduct::Answer(done("1"))).await;
    let egress = egress(&server.url, Some(files.ca()));
    assert_eq!(heard(&egress, &call("stock")).await.0, "done 1");
    let other = Authority::new("other").write(files.path());
    let rules =
        BTreeMap::from([("stock".to_owned(), Rule { ca: Some(other), ..Rule::new(&server.url) })]);
    egress.replace(Destinations::new(&rules, Urls::Refused, 8).unwrap());
    assert!(heard(&egress, &call("stock")).await.0.contains("UnknownIssuer"));
    assert_eq!(server.seen().1, 1, "neither by the connection that lay idle");
}

#[test]
fn a_file_of_authorities_is_read_before_the_first_call() {
    let files = Files::new();
    let check = |name: &str, url: &str, ca: Option<PathBuf>, expected: &str| {
        let rules = BTreeMap::from([(name.to_owned(), Rule { ca, ..Rule::new(url) })]);
        let read = Destinations::new(&rules, Urls::Refused, 8).unwrap().read_authorities();
        let said = read.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{said}");
    };
    let nowhere = Some(files.path().join("nowhere.pem"));
    check("stock", "https://stock", Some(files.ca()), "");
    check("stock", "https://stock", nowhere.clone(), "nowhere.pem failed");
    check("svc-*", "https://*.internal", nowhere.clone(), "nowhere.pem failed");
    check("stock", "http://stock", nowhere, "");
}

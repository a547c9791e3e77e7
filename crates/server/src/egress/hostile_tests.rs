//! Hostile destinations: no spelling, redirect or answer of a name server leads where no call may
//! go. The table is `hostile.txt`; the forbidden place counts whoever comes.

use super::names::{Finding, Resolver};
use super::tests::{Conduct, REPLY_BYTES_MAX, Server, call, done, spell};
use super::*;
use crate::config::{Config, Flags};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, UdpSocket};

/// Rows of the table.
const TABLE: &str = include_str!("hostile.txt");
const HOSTILE_MIN: usize = 200;

/// Where a row may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Never,
    Named,
    Here,
    /// As `Here`, within TLS, which the listener does not speak: it is reached, and asked nothing.
    Secured,
}

/// Every row and, of one for plain text, its twin within TLS; for a listener at this port.
fn rows(port: u16) -> Vec<(Verdict, String)> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows = lines.map(|line| {
        let (word, text) = line.split_once(' ').unwrap();
        let verdict = match word {
            "never" => Verdict::Never,
            "named" => Verdict::Named,
            "here" => Verdict::Here,
            other => panic!("{other} is no verdict"),
        };
        (verdict, unescape(text).replace("PORT", &port.to_string()))
    });
    let mut rows: Vec<_> = rows.collect();
    let twins = rows.iter().filter_map(|(verdict, url)| {
        let verdict = match verdict {
            Verdict::Here => Verdict::Secured,
            Verdict::Never | Verdict::Named | Verdict::Secured => *verdict,
        };
        Some((verdict, format!("https://{}", url.strip_prefix("http://")?)))
    });
    let twins: Vec<_> = twins.collect();
    rows.extend(twins);
    let never = rows.iter().filter(|(verdict, _)| *verdict == Verdict::Never).count();
    assert!(never >= HOSTILE_MIN, "{never}");
    rows
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            plain.push(next);
            continue;
        }
        match rest.next() {
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('n') => plain.push('\n'),
            Some('0') => plain.push('\0'),
            Some('\\') => plain.push('\\'),
            Some('u') => {
                let digits: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                plain.push(char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap());
            }
            other => panic!("{other:?} is no escape: {text}"),
        }
    }
    plain
}

/// A participant at every address of this machine.
async fn forbidden(conduct: Conduct) -> (Server, u16) {
    let everywhere = match TcpListener::bind("[::]:0").await {
        Ok(listener) => listener,
        Err(_no_ipv6) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
    };
    let port = everywhere.local_addr().unwrap().port();
    (Server::over(everywhere, conduct), port)
}

fn egress_to(rules: &[(&str, String)], urls: Urls, resolver: &Arc<NameServer>) -> Arc<Egress> {
    let rules = rules.iter().map(|(name, url)| ((*name).to_owned(), Rule::new(url))).collect();
    let destinations = Destinations::new(&rules, urls, 8).unwrap();
    let resolver = Arc::clone(resolver);
    Egress::new(destinations.resolved_by(resolver), REPLY_BYTES_MAX, Arc::default())
}

#[tokio::test]
async fn no_configuration_names_a_hostile_destination() {
    let (server, port) = forbidden(Conduct::Answer(done("1"))).await;
    let resolver = NameServer::start(&[("*", &[&["127.0.0.1"]])]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let from_file = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
    for (verdict, url) in rows(port) {
        let rules = BTreeMap::from([("stock".to_owned(), Rule::new(&url))]);
        let may = verdict != Verdict::Never;
        assert_eq!(Destinations::new(&rules, Urls::Refused, 8).is_ok(), may, "{url:?}");
        let quoted = serde_json::Value::from(url.clone());
        for text in [
            format!("[destinations]\nstock = {quoted}\n"),
            format!("[destinations.stock]\nurl = {quoted}\n"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(Config::load(&from_file, []).is_ok(), may, "{url:?} in a file");
        }
        std::fs::write(file.path(), "").unwrap();
        let word = format!("stock={url}");
        let flags = Flags { destinations: vec![word.clone()], ..from_file.clone() };
        assert_eq!(Config::load(&flags, []).is_ok(), may, "--destination {word:?}");
        if !url.contains(char::is_whitespace) {
            let set = [("WHOLLY_DESTINATIONS".to_owned(), word)];
            assert_eq!(Config::load(&from_file, set).is_ok(), may, "WHOLLY_DESTINATIONS {url:?}");
        }
        // What the operator may name is reached where it is this machine: the listener counts.
        if verdict == Verdict::Here {
            let before = server.seen();
            let egress = egress_to(&[("stock", url.clone())], Urls::Refused, &resolver);
            assert_eq!(spell(&egress.call(&call("stock")).await), "done 1", "{url}");
            assert_eq!(server.seen(), (before.0 + 1, before.1 + 1), "{url}");
        }
        if verdict == Verdict::Secured {
            let before = server.seen();
            let egress = egress_to(&[("stock", url.clone())], Urls::Refused, &resolver);
            let heard = spell(&egress.call(&call("stock")).await);
            assert!(heard.starts_with("unknown: "), "{url}: {heard}");
            assert_eq!(server.seen().1, before.1, "{url} was asked something");
        }
    }
}

#[tokio::test]
async fn no_request_names_a_hostile_destination() {
    let (server, port) = forbidden(Conduct::Answer(done("1"))).await;
    let resolver = NameServer::start(&[("*", &[&["127.0.0.1"]])]).await;
    let dev = egress_to(&[], Urls::Loopback, &resolver);
    let plain = egress_to(&[("stock", "http://stock".to_owned())], Urls::Refused, &resolver);
    for (verdict, url) in rows(port) {
        let Ok(destination) = Destination::new(&url) else {
            assert_eq!(verdict, Verdict::Never, "{url:?}");
            continue;
        };
        let before = server.seen();
        assert!(plain.check(&destination).is_err(), "{url} without --dev");
        let heard = spell(&plain.call(&Call { destination, ..call("stock") }).await);
        assert!(heard.starts_with("unknown: destination "), "{url}: {heard}");
        assert_eq!(server.seen(), before, "{url} was reached without --dev");
        let (may, answers) = match verdict {
            Verdict::Here => (true, true),
            Verdict::Secured => (true, false),
            Verdict::Never | Verdict::Named => (false, false),
        };
        assert_eq!(dev.check(&url.parse().unwrap()).is_ok(), may, "{url} with --dev");
        let heard = spell(&dev.call(&call(&url)).await);
        assert_eq!(heard == "done 1", answers, "{url} with --dev: {heard}");
        assert_eq!(server.seen().1 != before.1, answers, "{url} with --dev");
        assert!(may || server.seen() == before, "{url} was reached with --dev");
    }
}

/// Whoever asks chooses what stands for a pattern's star.
#[tokio::test]
async fn no_pattern_is_filled_with_a_hostile_destination() {
    let (server, port) = forbidden(Conduct::Answer(done("1"))).await;
    let resolver = NameServer::start(&[("*", &[&["127.0.0.1"]])]).await;
    let rules = [
        ("bare-*", format!("http://*:{port}")),
        ("net-*", format!("http://*.internal:{port}")),
        ("sub-*", format!("http://svc-*.internal:{port}/a")),
        ("tls-*", format!("https://*.internal:{port}")),
        ("own-*", format!("http://127.0.0.*:{port}")),
        ("path-*", format!("http://127.0.0.1:{port}/*")),
    ];
    let egress = egress_to(&rules, Urls::Refused, &resolver);
    let mut filled = 0;
    for (_, url) in rows(port) {
        let host = url.split_once("://").map_or(url.as_str(), |(_scheme, rest)| rest);
        let whole = host.strip_suffix(&format!(":{port}")).unwrap_or(host);
        for filler in [whole, whole.split(['.', '/', '@', ':', '%']).next().unwrap()] {
            for pattern in ["bare-", "net-", "sub-", "own-", "tls-"] {
                let Ok(destination) = Destination::new(&format!("{pattern}{filler}")) else {
                    continue;
                };
                filled += usize::from(egress.check(&destination).is_ok());
                let heard = spell(&egress.call(&Call { destination, ..call("x") }).await);
                assert!(heard.starts_with("unknown: "), "{pattern}{filler}: {heard}");
            }
            if let Ok(destination) = Destination::new(&format!("path-{filler}"))
                && let Ok(place) = egress.destinations().place(&destination)
            {
                assert_eq!(place.address.authority, format!("127.0.0.1:{port}"), "{filler}");
                assert_eq!(place.address.prefix.matches('/').count(), 1, "{filler}");
            }
        }
    }
    assert!(filled > 50, "only {filled} came as far as the name server");
    assert_eq!(server.seen(), (0, 0));
    let heard = spell(&egress.call(&call("bare-localhost")).await);
    assert!(heard.contains("the * of a pattern cannot stand for that"), "{heard}");
    assert_eq!(spell(&egress.call(&call("path-a")).await), "done 1", "the host is the operator's");
}

#[tokio::test]
async fn no_redirect_leads_to_a_hostile_destination() {
    let (target, port) = forbidden(Conduct::Answer(done("1"))).await;
    let resolver = NameServer::start(&[("*", &[&["127.0.0.1"]])]).await;
    let dev = egress_to(&[], Urls::Loopback, &resolver);
    let mut statuses = [300, 301, 302, 303, 305, 307, 308, 201, 401, 407, 421, 503].iter().cycle();
    for (_, url) in rows(port) {
        let status = statuses.next().unwrap();
        let moved = format!(
            "HTTP/1.1 {status} Moved\r\ncontent-length: 0\r\nlocation: {url}\r\n\
             content-location: {url}\r\nrefresh: 0;url={url}\r\nlink: <{url}>;rel=next\r\n\
             alt-svc: http/1.1=\"127.0.0.1:{port}\"\r\nretry-after: 0\r\n\r\n"
        );
        let server = Server::start(Conduct::AnswerAndClose(moved)).await;
        let heard = spell(&dev.call(&call(&server.url)).await);
        assert!(heard.starts_with("unknown: "), "{url:?}: {heard}");
        assert_eq!(server.seen(), (1, 1), "{url:?}: asked once and not again");
    }
    assert_eq!(target.seen(), (0, 0));
}

/// What the name server says second is what a call must not follow.
async fn check_rebinding(first: &[&str], then: &[&str]) {
    let (server, port) = forbidden(Conduct::AnswerAndClose(done("1"))).await;
    let resolver = NameServer::start(&[("*", &[first, then])]).await;
    let rules = [("stock", format!("http://stock.test:{port}"))];
    let egress = egress_to(&rules, Urls::Refused, &resolver);
    let stock = call("stock");
    assert_eq!(spell(&egress.call(&stock).await), "done 1", "{first:?}");
    for _ in 0..3 {
        egress.destinations().place(&stock.destination).unwrap().names.forget().await;
        let heard = spell(&egress.call(&stock).await);
        assert!(heard.contains("which is not called"), "{then:?}: {heard}");
    }
    assert_eq!(server.seen(), (1, 1), "{then:?}");
    assert!(resolver.asked.load(Ordering::SeqCst) >= 8, "an A and an AAAA record for each");
}

#[tokio::test]
async fn a_name_that_is_bound_again_is_not_followed() {
    for then in [
        &["0.0.0.0"][..],
        &["::"],
        &["::ffff:0.0.0.0"],
        &["169.254.169.254"],
        &["::ffff:169.254.169.254"],
        &["64:ff9b::a9fe:a9fe"],
        &["2002:a9fe:a9fe::1"],
        &["fe80::1"],
        &["fd00:ec2::254"],
        &["100.100.100.200"],
        &["255.255.255.255"],
        &["224.0.0.1"],
        &["ff02::1"],
        &["127.0.0.1", "169.254.169.254"],
        &["127.0.0.1", "::"],
        &["0.0.0.0", "127.0.0.1"],
    ] {
        check_rebinding(&["127.0.0.1"], then).await;
    }
}

#[tokio::test]
async fn a_name_that_may_not_be_this_machine_is_not_followed_there() {
    let (server, port) = forbidden(Conduct::Answer(done("1"))).await;
    for found in [
        &["127.0.0.1"][..],
        &["::1"],
        &["127.8.8.8"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::1"],
        &["0.0.0.0"],
        &["::"],
        &["203.0.113.7", "127.0.0.1"],
    ] {
        let resolver = NameServer::start(&[("*", &[found])]).await;
        let rules = [("svc-*", format!("http://*.internal:{port}"))];
        let egress = egress_to(&rules, Urls::Refused, &resolver);
        let heard = spell(&egress.call(&call("svc-a")).await);
        assert!(heard.contains("which is not called"), "{found:?}: {heard}");
    }
    // With --dev it is the other way about: `localhost` may be nothing else.
    for found in [&["203.0.113.7"][..], &["0.0.0.0"], &["::"], &["127.0.0.1", "203.0.113.7"]] {
        let resolver = NameServer::start(&[("localhost", &[found])]).await;
        let dev = egress_to(&[], Urls::Loopback, &resolver);
        let heard = spell(&dev.call(&call(&format!("http://localhost:{port}"))).await);
        assert!(heard.contains("which is not called"), "{found:?}: {heard}");
    }
    assert_eq!(server.seen(), (0, 0));
}

/// A connection stays with the address it was opened to, and only a look-up opens another.
#[tokio::test]
async fn an_idle_connection_does_not_follow_its_name() {
    let (server, port) = forbidden(Conduct::AnswerThenClose(3)).await;
    let resolver = NameServer::start(&[("*", &[&["127.0.0.1"], &["0.0.0.0"]])]).await;
    let rules = [("stock", format!("http://stock.test:{port}"))];
    let egress = egress_to(&rules, Urls::Refused, &resolver);
    let stock = call("stock");
    for _ in 0..3 {
        assert_eq!(spell(&egress.call(&stock).await), "done 1");
        egress.destinations().place(&stock.destination).unwrap().names.forget().await;
    }
    assert_eq!(server.seen(), (1, 3), "one connection, opened to where it might go");
    let heard = spell(&egress.call(&stock).await);
    assert!(heard.contains("leads to 0.0.0.0, which is not called"), "{heard}");
    assert_eq!(server.seen(), (1, 4), "read once more by whom it was open to, not sent again");
}

#[tokio::test]
async fn a_name_server_that_says_nothing_of_use_costs_one_unknown() {
    let (server, port) = forbidden(Conduct::Answer(done("1"))).await;
    let resolver = NameServer::start(&[("empty.test", &[&[]]), ("*", &[&["127.0.0.1"]])]).await;
    let rules = [
        ("empty", format!("http://empty.test:{port}")),
        ("stock", format!("http://stock.test:{port}")),
    ];
    let egress = egress_to(&rules, Urls::Refused, &resolver);
    let heard = spell(&egress.call(&call("empty")).await);
    assert!(heard.ends_with("has no address"), "{heard}");
    assert_eq!(spell(&egress.call(&call("stock")).await), "done 1");
    assert_eq!(server.seen(), (1, 1));
}

/// What a name is answered with, one time after another, and the last for ever.
type Script = Vec<Vec<IpAddr>>;

const A: u16 = 1;
const AAAA: u16 = 28;

/// A name server over UDP, whose answers live for no time, and the resolver that asks it.
struct NameServer {
    at: SocketAddr,
    asked: AtomicUsize,
    scripts: HashMap<String, Script>,
    times: Mutex<HashMap<String, usize>>,
}

impl NameServer {
    /// Serves these names; `*` is every other.
    async fn start(scripts: &[(&str, &[&[&str]])]) -> Arc<NameServer> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let parse = |found: &&[&str]| found.iter().map(|ip| ip.parse().unwrap()).collect();
        let scripts = scripts
            .iter()
            .map(|(name, times)| ((*name).to_owned(), times.iter().map(parse).collect::<Script>()));
        let server = Arc::new(NameServer {
            at: socket.local_addr().unwrap(),
            asked: AtomicUsize::new(0),
            scripts: scripts.collect(),
            times: Mutex::default(),
        });
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let answer = serving.answer(&query[..length]);
                if socket.send_to(&answer, from).await.is_err() {
                    return;
                }
            }
        });
        server
    }

    fn answer(&self, query: &[u8]) -> Vec<u8> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (name, end) = read_name(query);
        let kind = u16::from_be_bytes([query[end], query[end + 1]]);
        let script = self.scripts.get(&name).or_else(|| self.scripts.get("*"));
        let mut times = self.times.lock().unwrap();
        let time = times.entry(name).or_insert(0);
        let found = script.map_or(&[][..], |script| &script[(*time).min(script.len() - 1)]);
        // Both records of one look-up are of the same time; AAAA is asked for last.
        *time += usize::from(kind == AAAA);
        let records: Vec<Vec<u8>> = found
            .iter()
            .filter_map(|ip| match (ip, kind) {
                (IpAddr::V4(four), A) => Some(four.octets().to_vec()),
                (IpAddr::V6(six), AAAA) => Some(six.octets().to_vec()),
                (IpAddr::V4(_) | IpAddr::V6(_), _) => None,
            })
            .collect();
        let mut answer = query[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
        answer.extend(&query[12..end + 4]);
        for record in records {
            // The name above, the type, class IN, no time to live.
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 0, 0, u8::try_from(record.len()).unwrap()]);
            answer.extend(record);
        }
        answer
    }
}

/// The name of a message's only question, and where it ends.
fn read_name(message: &[u8]) -> (String, usize) {
    let mut labels = Vec::new();
    let mut at = 12;
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8(message[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    (labels.join("."), at + 1)
}

impl Resolver for NameServer {
    fn find(&self, name: String, port: u16) -> Finding {
        let at = self.at;
        Box::pin(async move {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            socket.connect(at).await?;
            let mut found = Vec::new();
            for kind in [A, AAAA] {
                found.extend(ask(&socket, &name, kind).await?);
            }
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
        })
    }
}

async fn ask(socket: &UdpSocket, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let mut query = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.bytes());
    }
    query.push(0);
    query.extend(kind.to_be_bytes());
    query.extend([0, 1]);
    socket.send(&query).await?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).await?;
    let (_, question_end) = read_name(&answer[..length]);
    let mut at = question_end + 4;
    let mut found = Vec::new();
    for _ in 0..answer[7] {
        let (start, bytes) = (at + 12, usize::from(answer[at + 11]));
        let data = &answer[start..start + bytes];
        found.push(match bytes {
            4 => IpAddr::from(<[u8; 4]>::try_from(data).unwrap()),
            _ => IpAddr::from(<[u8; 16]>::try_from(data).unwrap()),
        });
        at = start + bytes;
    }
    Ok(found)
}

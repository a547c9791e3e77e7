//! The attacks: each leaves its connections open while healthy calls are counted.

use super::participants::{BAD, bomb};
use super::victim::{LIMITS, Victim};
use crate::Failure;
use crate::http::Ask;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that an attack opens from each of its addresses: more than one may have.
const CONNECTIONS: usize = 240;
/// Where attacks come from; whoever means well is elsewhere.
pub(super) const ONE: &[[u8; 4]] = &[[127, 0, 0, 2]];
pub(super) const MANY: &[[u8; 4]] = &[[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4]];
/// Longest wait for a byte of an answer, after which it counts as none.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long whoever is turned away stays away, as he is told.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Transactions of four large payloads.
const LARGE: usize = 40;
/// Connections that are no attack's: those of the questions asked meanwhile.
const CLIENTS_KEPT: usize = 5;
/// Requests with something random in them.
const RANDOM: usize = 1_500;

/// One way to do harm.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) logs: Logs,
    pub(super) run: fn(&Ground) -> Result<Held, Failure>,
}

/// What the attack itself makes the coordinator write into its log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Logs {
    Nothing,
    /// A few lines for each transaction.
    Transactions,
}

/// Connections that stay open until they are dropped.
#[derive(Default)]
pub(super) struct Held {
    pub(super) name: &'static str,
    pub(super) streams: Vec<TcpStream>,
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack { name: "nothing", logs: Logs::Nothing, run: |_| Ok(Held::default()) },
    Attack {
        name: "idle connections",
        logs: Logs::Nothing,
        run: |g| g.hold("idle", ONE, |_| Vec::new()),
    },
    Attack { name: "slow heads", logs: Logs::Nothing, run: |g| g.hold("heads", ONE, slow_head) },
    Attack { name: "slow bodies", logs: Logs::Nothing, run: |g| g.hold("bodies", ONE, slow_body) },
    Attack {
        name: "slow chunks",
        logs: Logs::Nothing,
        run: |g| g.hold("chunks", ONE, slow_chunks),
    },
    Attack {
        name: "idle from everywhere",
        logs: Logs::Nothing,
        run: |g| g.hold("idle-many", MANY, |_| Vec::new()),
    },
    Attack {
        name: "heads from everywhere",
        logs: Logs::Nothing,
        run: |g| g.hold("heads-many", MANY, slow_head),
    },
    Attack {
        name: "bodies from everywhere",
        logs: Logs::Nothing,
        run: |g| g.hold("bodies-many", MANY, slow_body),
    },
    Attack { name: "large beside large", logs: Logs::Transactions, run: large_beside_large },
    Attack {
        name: "answers not taken",
        logs: Logs::Nothing,
        run: |g| g.hold("reads", ONE, pipelined),
    },
    Attack { name: "huge heads", logs: Logs::Nothing, run: huge_heads },
    Attack { name: "huge bodies", logs: Logs::Nothing, run: huge_bodies },
    Attack { name: "compressed bodies", logs: Logs::Nothing, run: compressed },
    Attack { name: "deep JSON", logs: Logs::Nothing, run: deep },
    Attack { name: "random words", logs: Logs::Nothing, run: random_words },
    Attack { name: "random destinations", logs: Logs::Transactions, run: random_destinations },
    Attack { name: "bad participants", logs: Logs::Transactions, run: bad_participants },
    Attack { name: "large and open", logs: Logs::Transactions, run: large_and_open },
];

/// What attacks work on.
pub(super) struct Ground {
    /// What is attacked.
    pub(super) at: SocketAddr,
    /// Where it is asked by HTTP: there, or at a tunnel into its TLS.
    pub(super) asked: SocketAddr,
}

impl Ground {
    /// Opens as many connections as an attack has, and writes to each.
    pub(super) fn hold(
        &self,
        name: &'static str,
        from: &[[u8; 4]],
        bytes: fn(usize) -> Vec<u8>,
    ) -> Result<Held, Failure> {
        hold(self.at, name, from, bytes)
    }

    /// The same where it is asked: within TLS.
    pub(super) fn within(
        &self,
        name: &'static str,
        from: &[[u8; 4]],
        bytes: fn(usize) -> Vec<u8>,
    ) -> Result<Held, Failure> {
        hold(self.asked, name, from, bytes)
    }

    /// Asks until the connections of an attack are seen to be gone.
    pub(super) fn settle(&self, victim: &Victim) -> Result<(), Failure> {
        let began = Instant::now();
        while victim.clients()? > CLIENTS_KEPT {
            if began.elapsed() > PATIENCE {
                return Err(Failure::new("connections stay though their clients are gone"));
            }
            // In a full house it may hear nothing.
            self.ask("GET", "/healthz", None).ok();
        }
        Ok(())
    }

    pub(super) fn open(&self, from: [u8; 4]) -> io::Result<TcpStream> {
        open(self.at, from)
    }

    /// Whether a saga of two steps ends well while the attack goes on. In a full house it comes
    /// again, as every client does.
    #[expect(clippy::disallowed_methods, reason = "a client waits as Retry-After tells it")]
    pub(super) fn healthy(&self, held: &Held, at: usize) -> bool {
        let gid = format!("healthy-{}-{at}-{}", held.name, held.streams.len());
        let step = |branch: &str| json!({"branch": branch, "to": "good", "operation": "o"});
        let plan = json!({"name": "healthy", "steps": [step("a"), step("b")]});
        let path = format!("/v1/transactions/{gid}?wait=ended&wait_ms=30000");
        let began = Instant::now();
        let mut heard = self.ask("PUT", &path, Some(&plan));
        while heard.as_ref().map_or(true, |(_, body)| body["code"] == "overloaded")
            && began.elapsed() < PATIENCE
        {
            thread::sleep(RETRY_AFTER);
            heard = self.ask("PUT", &path, Some(&plan));
        }
        heard.is_ok_and(|(_, body)| body["outcome"] == "as_decided" && body["decision"] == "commit")
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), Failure> {
        let ask = Ask { method, path, headers: &[], body, patience: PATIENCE };
        let heard = ask.send(self.asked).map_err(|e| Failure::new(e.0))?;
        Ok((heard.status, heard.body))
    }

    /// Sends bytes and reads the status of the answer.
    fn status(&self, bytes: &[u8]) -> Result<u16, Failure> {
        let tried = |e: io::Error| Failure::new(format!("no answer: {e}"));
        let mut stream = self.open(ONE[0]).map_err(tried)?;
        stream.write_all(bytes).ok();
        let mut seen = [0; 12];
        stream.read_exact(&mut seen).map_err(tried)?;
        let status = String::from_utf8_lossy(&seen[9..]).parse();
        status.map_err(|e| Failure::new(format!("an answer without status: {e}")))
    }

    fn expect(&self, what: &str, bytes: &[u8], expected: u16) -> Result<(), Failure> {
        match self.status(bytes)? {
            status if status == expected => Ok(()),
            other => Err(Failure::new(format!("{what} is answered {other}, not {expected}"))),
        }
    }

    /// The figures, a line each.
    pub(super) fn figures(&self) -> Result<Vec<String>, Failure> {
        let tried = |e: io::Error| Failure::new(format!("reading the figures failed: {e}"));
        let mut stream = open(self.asked, [127, 0, 0, 1]).map_err(tried)?;
        let ask =
            format!("GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.asked);
        stream.write_all(ask.as_bytes()).map_err(tried)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(tried)?;
        let lines = text.lines().filter(|line| line.starts_with("wholly_"));
        Ok(lines.map(str::to_owned).collect())
    }
}

fn hold(
    to: SocketAddr,
    name: &'static str,
    from: &[[u8; 4]],
    bytes: fn(usize) -> Vec<u8>,
) -> Result<Held, Failure> {
    let mut streams = Vec::new();
    for at in 0..CONNECTIONS * from.len() {
        let opened = open(to, from[at % from.len()]);
        let mut stream = opened.map_err(|e| Failure::new(format!("{name} {at}: {e}")))?;
        // What is refused meanwhile is closed, and then not everything can be written.
        stream.write_all(&bytes(at)).ok();
        streams.push(stream);
    }
    Ok(Held { name, streams })
}

fn open(to: SocketAddr, from: [u8; 4]) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    Ok(stream)
}

const PUT: &str = "content-type: application/json\r\nhost: localhost\r\n";

pub(super) fn slow_head(_at: usize) -> Vec<u8> {
    let long = "x".repeat(LIMITS.header_bytes as usize - 100);
    format!("GET /v1 HTTP/1.1\r\nhost: localhost\r\nx-slow: {long}").into_bytes()
}

/// All of a body but its last byte.
pub(super) fn slow_body(at: usize) -> Vec<u8> {
    let bytes = LIMITS.body_bytes as usize;
    let head =
        format!("PUT /v1/transactions/slow-{at} HTTP/1.1\r\n{PUT}content-length: {bytes}\r\n");
    format!("{head}\r\n{}", " ".repeat(bytes - 1)).into_bytes()
}

/// One address sends all that it may; a large plan from another one is taken all the same.
fn large_beside_large(ground: &Ground) -> Result<Held, Failure> {
    let held = ground.hold("large-bodies", ONE, slow_body)?;
    let payload = "x".repeat(250 << 10);
    let step = |at: usize| {
        let branch = format!("b-{at}");
        json!({"branch": branch, "to": "good", "operation": "o", "payload": payload})
    };
    let plan = json!({"name": "large", "steps": [step(0), step(1), step(2)]});
    for at in 0..4 {
        let path = format!("/v1/transactions/beside-{at}?wait=ended&wait_ms=30000");
        let (status, body) = ground.ask("PUT", &path, Some(&plan))?;
        if status != 201 {
            return Err(Failure::new(format!("beside-{at} is answered {status}: {body}")));
        }
    }
    Ok(held)
}

/// The same in pieces of a byte, and without an end.
fn slow_chunks(at: usize) -> Vec<u8> {
    let head = format!("PUT /v1/transactions/slow-{at} HTTP/1.1\r\n{PUT}");
    let chunks = "1\r\n \r\n".repeat(100_000);
    format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}").into_bytes()
}

/// Many requests with large answers, none of which is read.
pub(super) fn pipelined(_at: usize) -> Vec<u8> {
    "GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(200).into_bytes()
}

/// At the limit, one above, and far above.
fn huge_heads(ground: &Ground) -> Result<Held, Failure> {
    let limit = LIMITS.header_bytes as usize;
    // The line's method and path, and each header with its colon, blank and end of line.
    let others = "GET".len() + "/v1".len() + "host".len() + "localhost".len() + 4 + "x".len() + 4;
    for (bytes, status) in [(limit, 200), (limit + 1, 431), (1 << 20, 431)] {
        let long = "x".repeat(bytes - others);
        let request = format!("GET /v1 HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n");
        ground.expect(&format!("a head of {bytes} bytes"), request.as_bytes(), status)?;
    }
    ground.hold("huge", ONE, |_| {
        format!("GET /v1 HTTP/1.1\r\nx: {}", "x".repeat(1 << 20)).into_bytes()
    })
}

fn huge_bodies(ground: &Ground) -> Result<Held, Failure> {
    let limit = LIMITS.body_bytes as usize;
    let plan = r#"{"name":"n","steps":[{"branch":"b","to":"good","operation":"o"}]}"#;
    for (bytes, status) in [(limit, 201), (limit + 1, 413), (8 * limit, 413)] {
        let blanks = " ".repeat(bytes - plan.len());
        let head = format!("PUT /v1/transactions/huge-{bytes} HTTP/1.1\r\n{PUT}");
        let request = format!("{head}content-length: {bytes}\r\n\r\n{plan}{blanks}");
        ground.expect(&format!("a body of {bytes} bytes"), request.as_bytes(), status)?;
    }
    let announced = format!("PUT /v1/transactions/h HTTP/1.1\r\n{PUT}content-length: 1");
    ground.expect(
        "an announced body",
        format!("{announced}{}\r\n\r\n", "0".repeat(15)).as_bytes(),
        413,
    )?;
    ground.hold("huge-bodies", ONE, |_| {
        let head =
            format!("PUT /v1/transactions/h HTTP/1.1\r\n{PUT}transfer-encoding: chunked\r\n\r\n");
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
        (head + &chunk.repeat(40)).into_bytes()
    })
}

/// Refused as what they are without being unpacked: no JSON.
fn compressed(ground: &Ground) -> Result<Held, Failure> {
    let packed = bomb();
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"] {
        let head = format!(
            "PUT /v1/transactions/packed HTTP/1.1\r\n{PUT}content-encoding: {encoding}\r\n\
             content-length: {}\r\n\r\n",
            packed.len()
        );
        let request = [head.as_bytes(), &packed].concat();
        ground.expect(&format!("a body packed by {encoding}"), &request, 400)?;
    }
    Ok(Held { name: "packed", streams: Vec::new() })
}

fn deep(ground: &Ground) -> Result<Held, Failure> {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 400_000 / open.len();
        let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let step = format!(r#"{{"branch":"b","to":"good","operation":"o","payload":{nested}}}"#);
        for body in [nested.clone(), format!(r#"{{"name":"n","steps":[{step}]}}"#)] {
            let head = format!("PUT /v1/transactions/deep HTTP/1.1\r\n{PUT}");
            let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            let status = ground.status(request.as_bytes())?;
            if !matches!(status, 400 | 413) {
                return Err(Failure::new(format!("deep JSON is answered {status}")));
            }
        }
    }
    Ok(Held { name: "deep", streams: Vec::new() })
}

/// Routes, methods, gids and queries that nobody has heard of.
fn random_words(ground: &Ground) -> Result<Held, Failure> {
    for at in 0..RANDOM {
        let line = match at % 5 {
            0 => format!("GET /v1/random-{at}"),
            1 => format!("BREW{at} /v1"),
            2 => format!("GET /v1/transactions/random-{at}"),
            3 => format!("GET /v1/transactions?random_{at}=1"),
            _ => format!("POST /v1/transactions/random-{at}/retry"),
        };
        let request = format!("{line} HTTP/1.1\r\n{PUT}content-length: 2\r\n\r\n{{}}");
        let status = ground.status(request.as_bytes())?;
        if !(400..500).contains(&status) {
            return Err(Failure::new(format!("{line} is answered {status}")));
        }
    }
    Ok(Held { name: "random", streams: Vec::new() })
}

/// Names that meet a pattern, and operations, each asked for once.
fn random_destinations(ground: &Ground) -> Result<Held, Failure> {
    for at in 0..RANDOM / 5 {
        let step =
            json!({"branch": "b", "to": format!("svc-{at}"), "operation": format!("o-{at}")});
        let plan = json!({"name": format!("name-{at}"), "steps": [step]});
        let path = format!("/v1/transactions/named-{at}?wait=ended&wait_ms=30000");
        let (status, body) = ground.ask("PUT", &path, Some(&plan))?;
        if status != 201 {
            return Err(Failure::new(format!("named-{at} is answered {status}: {body}")));
        }
    }
    Ok(Held { name: "named", streams: Vec::new() })
}

/// A few transactions for each participant that means no good; they go on to the end of the run.
fn bad_participants(ground: &Ground) -> Result<Held, Failure> {
    for name in BAD {
        for at in 0..6 {
            let step = json!({"branch": "b", "to": name, "operation": "o"});
            let plan = json!({"name": name, "steps": [step]});
            let path = format!("/v1/transactions/{name}-{at}?wait=ended&wait_ms=100");
            let (status, body) = ground.ask("PUT", &path, Some(&plan))?;
            if status != 202 {
                return Err(Failure::new(format!("{name} brings {status}: {body}")));
            }
        }
    }
    Ok(Held { name: "bad", streams: Vec::new() })
}

/// Large transactions for a participant that never answers; those that are healthy still find room.
fn large_and_open(ground: &Ground) -> Result<Held, Failure> {
    let payload = "x".repeat(250 << 10);
    let step = |at: usize| {
        let branch = format!("b-{at}");
        json!({"branch": branch, "to": "never", "operation": "o", "payload": payload})
    };
    let plan = json!({"name": "large", "steps": [step(0), step(1), step(2), step(3)]});
    for at in 0..LARGE {
        let (status, body) =
            ground.ask("PUT", &format!("/v1/transactions/large-{at}"), Some(&plan))?;
        if status != 201 {
            return Err(Failure::new(format!("large-{at} is answered {status}: {body}")));
        }
    }
    Ok(Held { name: "large", streams: Vec::new() })
}

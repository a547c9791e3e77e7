//! A coordinator's double: it answers by script, so that answers can be lost, late or wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use wholly::Wholly;
use wholly_canary::{Listener, PAYLOAD, REPLY, SECRET};
use wholly_wire::credential::{Credential, Secrets};

/// What a begin gives, and what a request of another service brings along.
pub(crate) const CAPABILITY: &str = "1.canary-secret-capability";

/// How long a client is patient where its patience must run out.
const IMPATIENT: Duration = Duration::from_millis(150);
/// How long it is elsewhere: longer than any machine stalls.
const PATIENT: Duration = Duration::from_secs(30);

/// What the double does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers with this status and body.
    Say(u16, String),
    /// Takes the request and closes the connection.
    HangUp,
    /// Answers as `Say` does, then closes the connection.
    SayAndClose(u16, String),
    /// Takes the request and holds it until [`Double::release`], then goes on with the next act.
    Hold,
}

impl Act {
    /// Whether a client asks again until its patience runs out.
    fn is_asked_again(&self) -> bool {
        match self {
            Act::Say(_, body) | Act::SayAndClose(_, body) => body.contains("\"later\""),
            Act::HangUp => true,
            Act::Hold => false,
        }
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// `begin`, `register`, `commit`, `abort`, `get` or `submit`.
    pub(crate) kind: &'static str,
    /// Method, path and query.
    pub(crate) line: String,
    /// Headers by name; the capability as `1.cap`, the credential as `Basic SHOWN`.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body as text, without the card that is in every payload.
    pub(crate) body: String,
}

#[derive(Clone)]
pub(crate) struct Double {
    pub(crate) wholly: Wholly,
    pub(crate) patience: Duration,
    shared: Arc<Shared>,
    _listener: Arc<Listener>,
}

struct Shared {
    script: Mutex<BTreeMap<&'static str, Vec<Act>>>,
    heard: watch::Sender<Vec<Heard>>,
    released: Semaphore,
}

pub(crate) fn document(state: &str, decision: &str, outcome: &str, cause: &str) -> String {
    let word = |text: &str| match text {
        "" => "null".to_owned(),
        text => format!("\"{text}\""),
    };
    format!(
        r#"{{"gid":"g-1","name":"n","principal":"anonymous","state":"{state}","decision":{},
        "outcome":{},"cause":{},"parked":{},"stuck":0,"begun":"2026-01-01T00:00:00.000Z",
        "changed":"2026-01-01T00:00:00.000Z","deadline":null,"branches":[],
        "of_a_later_release":1}}"#,
        word(decision),
        word(outcome),
        word(cause),
        state == "parked",
    )
}

pub(crate) fn problem(status: u16, code: &str, retry: &str, transaction: &str) -> Act {
    let transaction = match transaction {
        "" => "null",
        text => text,
    };
    let body = format!(
        r#"{{"type":"/v1/problems/{code}","title":"t","status":{status},"code":"{code}",
        "detail":"d","retry":"{retry}","transaction":{transaction}}}"#
    );
    Act::Say(status, body)
}

pub(crate) fn committed() -> Act {
    Act::Say(200, document("finishing", "commit", "", "initiator"))
}

pub(crate) fn aborted() -> Act {
    Act::Say(200, document("finishing", "abort", "", "initiator"))
}

pub(crate) fn begun() -> Act {
    let deadline = "2026-01-01T00:01:00.000Z";
    let body = format!(r#"{{"gid":"g-1","capability":"{CAPABILITY}","deadline":"{deadline}"}}"#);
    Act::Say(201, body)
}

/// Alone with a begin, this shows the capability.
fn submitted() -> Act {
    let shown = format!("\"branches\":[],\"capability\":\"{CAPABILITY}\",");
    Act::Say(201, document("forward", "", "", "").replace("\"branches\":[],", &shown))
}

pub(crate) fn tried(answer: &str) -> Act {
    Act::Say(
        201,
        format!(r#"{{"branch":"b","answer":{answer},"mark":"origin=o;begun=1;limit=0"}}"#),
    )
}

pub(crate) fn done() -> Act {
    tried(&format!(r#""done","reply":{{"warehouse":7,"secret":"{REPLY}"}}"#))
}

pub(crate) fn refused(code: &str) -> Act {
    let refusal = format!(r#"{{"code":"{code}","detail":"none left","kept":true}}"#);
    tried(&format!(r#""refused","refusal":{refusal}"#))
}

impl Double {
    /// Listens, and answers well unless the script says otherwise. The last act of a kind stays.
    pub(crate) async fn start(script: &[(&'static str, &[Act])]) -> Double {
        let heard = Arc::new(Listener::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ends_badly = |acts: &[Act]| acts.last().is_some_and(Act::is_asked_again);
        let patience = match script.iter().any(|(_, acts)| ends_badly(acts)) {
            true => IMPATIENT,
            false => PATIENT,
        };
        let mut acts = BTreeMap::from([
            ("begin", vec![begun()]),
            ("register", vec![done()]),
            ("commit", vec![committed()]),
            ("abort", vec![aborted()]),
            ("get", vec![Act::Say(200, document("ended", "commit", "as_decided", "initiator"))]),
            ("submit", vec![submitted()]),
        ]);
        for (kind, said) in script {
            acts.insert(kind, said.to_vec());
        }
        let shared = Arc::new(Shared {
            script: Mutex::new(acts),
            heard: watch::Sender::default(),
            released: Semaphore::new(0),
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(serving.clone(), socket));
            }
        });
        let wholly = Wholly::with_patience(&url, patience).unwrap();
        let wholly = wholly.credential("orders", SECRET).unwrap();
        Double { wholly, patience, shared, _listener: heard }
    }

    /// Everything heard so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared.heard.borrow().clone()
    }

    /// The kinds of everything heard so far.
    pub(crate) fn kinds(&self) -> String {
        self.heard().iter().map(|heard| heard.kind).collect::<Vec<_>>().join(" ")
    }

    /// The first request of a kind, waited for.
    pub(crate) async fn first(&self, kind: &str) -> Heard {
        self.nth(kind, 1).await
    }

    /// The n-th request of a kind, waited for.
    pub(crate) async fn nth(&self, kind: &str, n: usize) -> Heard {
        let mut receiver = self.shared.heard.subscribe();
        let find = |heard: &[Heard]| heard.iter().filter(|h| h.kind == kind).nth(n - 1).cloned();
        let found = receiver.wait_for(|heard| find(heard).is_some()).await.unwrap();
        find(&found).unwrap()
    }

    /// Lets one held request go on.
    pub(crate) fn release(&self) {
        self.shared.released.add_permits(1);
    }
}

impl Shared {
    fn next(&self, kind: &'static str) -> Act {
        let mut script = self.script.lock().unwrap();
        let acts = script.get_mut(kind).unwrap();
        match acts.len() {
            1 => acts[0].clone(),
            _ => acts.remove(0),
        }
    }
}

async fn serve(shared: Arc<Shared>, mut socket: TcpStream) {
    let mut buffer = Vec::new();
    loop {
        let Some(heard) = read(&mut socket, &mut buffer).await else { return };
        let kind = heard.kind;
        shared.heard.send_modify(|all| all.push(heard));
        let mut act = shared.next(kind);
        while let Act::Hold = act {
            shared.released.acquire().await.unwrap().forget();
            act = shared.next(kind);
        }
        let (status, body, closes) = match act {
            Act::Say(status, body) => (status, body, false),
            Act::SayAndClose(status, body) => (status, body, true),
            Act::HangUp | Act::Hold => return,
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        if socket.write_all(format!("{head}{body}").as_bytes()).await.is_err() || closes {
            return;
        }
    }
}

async fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Heard> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.replace(CAPABILITY, "1.cap")))
        .collect();
    let shown = headers.insert("authorization".into(), "Basic SHOWN".into());
    let secrets = Secrets::parse(SECRET).unwrap();
    let known = Credential::new("orders", secrets).unwrap().authorization();
    assert!(shown.as_ref() == Some(&known), "{line} shows another credential than its own");
    let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    while buffer.len() < end + length {
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(buffer[end..end + length].to_vec()).unwrap();
    buffer.drain(..end + length);
    let card = format!("\"card\":\"{PAYLOAD}\",");
    assert_eq!(body.contains("\"payload\":"), body.contains(&card), "{body}");
    let body = body.replace(&card, "");
    let kind = match line.split(['?', ' ']).nth(1).unwrap() {
        "/v1/transactions" => "begin",
        path if path.ends_with("/branches") => "register",
        path if path.ends_with("/commit") => "commit",
        path if path.ends_with("/abort") => "abort",
        _ if line.starts_with("PUT") => "submit",
        _ => "get",
    };
    Some(Heard { kind, line, headers, body })
}

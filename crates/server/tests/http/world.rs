//! A coordinator on a free port, a participant, and a client that writes and reads bytes.

use crate::canary;
use crate::participant::Participant;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wholly_canary::Listener;
use wholly_described::Came;
use wholly_server::egress::Rule;
use wholly_server::{Config, Coordinator, Running};

/// A coordinator and one participant, named `stock`.
pub(crate) struct World {
    pub(crate) running: Running,
    /// Its URL may stand for itself, by `--dev`.
    pub(crate) participant: Participant,
    folder: Folder,
}

/// A data folder; when it goes, so must every canary be silent.
pub(crate) struct Folder(TempDir, Listener);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap(), Listener::new())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test that has failed says why already.
        if !std::thread::panicking() {
            canary::check_kept(self.path());
        }
    }
}

/// What a client heard.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_string()
    }
}

impl World {
    pub(crate) async fn start() -> World {
        World::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(configure: impl FnOnce(&mut Config)) -> World {
        let (folder, participant) = (Folder::new(), Participant::start().await);
        let running = start(&folder, &participant, configure).await;
        World { running, participant, folder }
    }

    /// The same folder under a fresh coordinator.
    pub(crate) async fn restart(self) -> World {
        self.restart_with(|_| {}).await
    }

    pub(crate) async fn restart_with(self, configure: impl FnOnce(&mut Config)) -> World {
        let World { running, participant, folder } = self;
        running.stop().await.unwrap();
        let running = start(&folder, &participant, configure).await;
        World { running, participant, folder }
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// `POST /path` with a JSON body and further headers.
    pub(crate) async fn ask(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Heard {
        ask(self.addr(), line, headers, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Heard {
        self.ask(&format!("GET {path}"), &[], "").await
    }

    pub(crate) async fn send(&self, request: &[u8]) -> Heard {
        exchange(self.addr(), request).await
    }

    /// Begins a transaction and gives its capability.
    pub(crate) async fn begin(&self, gid: &str) -> String {
        let body = format!(r#"{{"name":"test","gid":"{gid}"}}"#);
        let heard = self.ask("POST /v1/transactions", &[], &body).await;
        assert_eq!(heard.status, 201, "{heard:?}");
        heard.json()["capability"].as_str().unwrap().to_string()
    }

    /// A plan of one step per operation, each after the one before.
    pub(crate) fn plan(&self, operations: &[&str]) -> String {
        let mut steps = Vec::new();
        for (at, operation) in operations.iter().enumerate() {
            let after: Vec<String> = (0..at).map(|step| format!("s{step}")).collect();
            steps.push(serde_json::json!({
                "branch": format!("s{at}"), "to": "stock", "operation": operation,
                "payload": canary::payload(at), "after": after,
            }));
        }
        serde_json::json!({"name": "test", "steps": steps}).to_string()
    }
}

async fn start(
    folder: &Folder,
    participant: &Participant,
    configure: impl FnOnce(&mut Config),
) -> Running {
    let mut config = Config::in_process(folder.path());
    config.log.segment_bytes = 1 << 20;
    config.destinations.insert("stock".into(), Rule::new(&participant.url));
    configure(&mut config);
    Coordinator::start(config).await.unwrap()
}

/// Asks whoever listens there: `POST /path`, further headers and a JSON body.
pub(crate) async fn ask(
    addr: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Heard {
    let mut request = format!("{line} HTTP/1.1\r\nhost: localhost\r\n");
    if !body.is_empty() {
        request.push_str("content-type: application/json\r\n");
    }
    request.push_str(&format!("content-length: {}\r\n", body.len()));
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    exchange(addr, request.as_bytes()).await
}

/// Sends bytes. What is answered, and what is accepted, is as described, and no canary sings.
async fn exchange(addr: SocketAddr, request: &[u8]) -> Heard {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The other side may answer and close before everything is written.
    let _ = stream.write_all(request).await;
    let heard = read(&mut stream).await;
    let Heard { status, head, body } = &heard;
    wholly_described::check(request, &Came { status: *status, head, body });
    wholly_canary::check_answer(request, head, body);
    heard
}

/// Reads one answer.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Heard {
    let mut bytes = Vec::new();
    let head = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            break head.to_string();
        }
        let count = stream.read_buf(&mut bytes).await.unwrap();
        assert!(count > 0, "the answer broke off: {text:?}");
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut heard = Heard { status, head, body: String::new() };
    let length: usize = heard.header("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = bytes.split_off(heard.head.len() + 4);
    while body.len() < length {
        assert!(stream.read_buf(&mut body).await.unwrap() > 0, "the body broke off: {heard:?}");
    }
    heard.body = String::from_utf8(body).unwrap();
    heard
}

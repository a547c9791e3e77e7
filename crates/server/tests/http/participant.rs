//! Those whom a coordinator calls: a server of a few lines, and the participant built on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use wholly_canary::REPLY;

/// Serves until the test ends: says to each request, by its head and body, what is said to it;
/// where that is nothing, it never answers. Gives its URL.
pub(crate) async fn serve(
    answer: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&answer)));
        }
    });
    url
}

async fn converse<F: Fn(&str, &str) -> Option<String>>(mut stream: TcpStream, answer: Arc<F>) {
    let mut seen = Vec::new();
    while stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if body.len() < header(head, "content-length").parse().unwrap_or(0) {
            continue;
        }
        seen.clear();
        let Some(said) = answer(head, body) else { return std::future::pending().await };
        if stream.write_all(said.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The value of a header of a request; nothing where it is not there.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let found = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_default()
}

/// A participant, named `stock`: it does what the operation's name says. `refuse` refuses a try or
/// an action, `hang` never answers one, `stick` refuses what may not be refused, `mute` is done
/// without a reply; `twice` fails at first, `late` until it is let go. All else is done, with a
/// canary in its reply.
#[derive(Default)]
pub(crate) struct Participant {
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
    /// Told of every call that is heard.
    pub(crate) heard: Arc<Notify>,
    pub(crate) lets: Arc<AtomicBool>,
}

impl Participant {
    pub(crate) async fn start() -> Participant {
        let mut made = Participant::default();
        let (kept, told) = (Arc::clone(&made.heads), Arc::clone(&made.heard));
        let may = Arc::clone(&made.lets);
        made.url = serve(move |head, _body| {
            let operation = header(head, "wholly-operation");
            let is_first = {
                let mut heads = kept.lock().unwrap();
                heads.push(head.to_owned());
                let same = |before: &&String| header(before, "wholly-operation") == operation;
                heads.iter().filter(same).count() == 1
            };
            told.notify_one();
            let fails = match operation {
                "twice" => is_first,
                "late" => !may.load(Ordering::SeqCst),
                _ => false,
            };
            match fails {
                true => Some("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_owned()),
                false => answer(head),
            }
        })
        .await;
        made
    }

    /// The values that a header had, call by call.
    pub(crate) fn said(&self, name: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        heads.iter().map(|head| header(head, name).to_owned()).collect()
    }

    /// Every `branch op` it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        let (branches, ops) = (self.said("wholly-branch"), self.said("wholly-op"));
        branches.iter().zip(ops).map(|(branch, op)| format!("{branch} {op}")).collect()
    }
}

fn answer(head: &str) -> Option<String> {
    let (operation, op) = (header(head, "wholly-operation"), header(head, "wholly-op"));
    let is_first = matches!(op, "try" | "action");
    let (status, word, reply) = match (operation, is_first) {
        ("hang", true) => return None,
        ("refuse", true) | ("stick", false) => {
            ("409 Conflict", "refused", r#"{"code":"no_way","detail":"not today"}"#.to_owned())
        }
        _ if op == "inspect" => ("200 OK", "done", r#"{"state":"tried"}"#.to_owned()),
        ("mute", _) => ("200 OK", "done", String::new()),
        _ => ("200 OK", "done", format!(r#"{{"op":"{op}","secret":"{REPLY}"}}"#)),
    };
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nwholly-answer: {word};gid={};\
         branch={};operation={operation};op={op};kept\r\ncontent-length: {}\r\n\r\n{reply}",
        header(head, "wholly-gid"),
        header(head, "wholly-branch"),
        reply.len(),
    ))
}

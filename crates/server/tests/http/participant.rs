//! A participant of a few lines: keeps what it is asked, answers as it is told.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it answers to an operation and op.
type Rule = dyn Fn(&str, &str) -> Said + Send + Sync;

/// An answer, before the echo.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Done(&'static str),
    Refused(&'static str),
}

/// A participant that runs until the test ends.
pub(crate) struct Participant {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Participant {
    pub(crate) async fn start(
        rule: impl Fn(&str, &str) -> Said + Send + Sync + 'static,
    ) -> Participant {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (rule, seen): (Arc<Rule>, _) = (Arc::new(rule), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&rule), Arc::clone(&seen)));
            }
        });
        Participant { url, asked }
    }

    /// Every `branch op` it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn converse(mut stream: TcpStream, rule: Arc<Rule>, asked: Arc<Mutex<Vec<String>>>) {
    let mut seen = Vec::new();
    while stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let value = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        if body.len() < value("content-length").parse().unwrap_or(0) {
            continue;
        }
        seen.clear();
        let (operation, op) = (value("wholly-operation"), value("wholly-op"));
        let (gid, branch) = (value("wholly-gid"), value("wholly-branch"));
        asked.lock().unwrap().push(format!("{branch} {op}"));
        let (status, word, body) = match rule(&operation, &op) {
            Said::Done(reply) => ("200 OK", "done", reply.to_owned()),
            Said::Refused(code) => ("409 Conflict", "refused", format!("{{\"code\":\"{code}\"}}")),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nwholly-answer: {word};gid={gid};branch={branch};\
             operation={operation};op={op};kept\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

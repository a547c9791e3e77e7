//! A client of a few lines: one request per connection, the answer as it is.

use crate::described::{self, Came};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    head: String,
    pub(crate) text: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The status and, for a problem, its code.
    pub(crate) fn code(&self) -> (u16, String) {
        let code = serde_json::from_str::<Value>(&self.text).unwrap_or_default();
        (self.status, code["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// Sends JSON, with headers besides. What is answered, and what is accepted, is as described.
pub(crate) async fn send(
    to: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Heard {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut text = format!("{line} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    text.push_str(&format!(
        "content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
    let request = text;
    let mut stream = TcpStream::connect(to).await.expect("the coordinator listens");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).await.unwrap();
    let seen = String::from_utf8(seen).unwrap();
    let (head, text) = seen.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {seen:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    described::check(request.as_bytes(), &Came { status, head, body: text });
    Heard { status, head: head.to_owned(), text: text.to_owned() }
}

/// Asks without a body.
pub(crate) async fn get(to: SocketAddr, path: &str) -> Heard {
    send(to, &format!("GET {path}"), &[], &Value::Null).await
}

//! HTTP as the tasks need it: one request a connection, JSON both ways.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Null where the body is empty or no JSON.
    pub(crate) body: Value,
}

/// Why nothing came back; whether the request was received is not known.
#[derive(Debug)]
pub(crate) struct Unanswered(pub(crate) String);

/// A request.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<&'a Value>,
    /// Longest wait for a byte.
    pub(crate) patience: Duration,
}

impl Ask<'_> {
    /// Sends it and reads the whole answer.
    pub(crate) fn send(&self, to: SocketAddr) -> Result<Reply, Unanswered> {
        self.exchange(to).map_err(|e| Unanswered(format!("{} {}: {e}", self.method, self.path)))
    }

    fn exchange(&self, to: SocketAddr) -> std::io::Result<Reply> {
        let mut stream = TcpStream::connect_timeout(&to, self.patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.patience))?;
        let body = self.body.map(Value::to_string).unwrap_or_default();
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {to}\r\n", self.method, self.path);
        head.push_str("connection: close\r\n");
        if self.body.is_some() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
            head.push_str("content-type: application/json\r\n");
        }
        for (name, value) in self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| std::io::Error::other("the answer was not whole"))
    }
}

/// Reads an answer that ends with its connection; none if it was cut off.
fn parse(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let body = &answer[end + 4..];
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    if length.is_some_and(|length: usize| length != body.len()) {
        return None;
    }
    Some(Reply { status, body: serde_json::from_slice(body).unwrap_or(Value::Null) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Option<(u16, &str)>) {
        let found = parse(answer.as_bytes()).map(|reply| (reply.status, reply.body.to_string()));
        assert_eq!(found, expected.map(|(status, body)| (status, body.to_owned())), "{answer}");
    }

    #[test]
    fn reads_whole_answers_only() {
        check("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", Some((201, "{}")));
        check("HTTP/1.1 204 No Content\r\n\r\n", Some((204, "null")));
        check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}", None);
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", None);
        check("", None);
    }
}

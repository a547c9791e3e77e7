//! HTTP as a command needs it: one connection a request, JSON in and out, bounded in time and size.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use wholly_tls::{PeerName, Stream, Trust};

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most characters of an answer that is no JSON, or too deep a one, that are shown.
const QUOTED_CHARS_MAX: usize = 300;
/// How long a request that is abandoned has to go out.
const LINGER: Duration = Duration::from_millis(5);

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body; null where it is empty, a text where it is no JSON.
    pub(crate) body: Value,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The address is none.
    #[error("`{url}` is no address of the form http://HOST:PORT")]
    Address {
        /// What was given.
        url: String,
    },
    /// Nobody listens there; the request was not sent.
    #[error("cannot connect to {url}")]
    Connect {
        /// Where.
        url: String,
        /// Why.
        source: std::io::Error,
    },
    /// Whoever listens there does not speak TLS, or does not prove to be the host of the URL; the
    /// request was not sent.
    #[error("cannot speak TLS with {url}")]
    Unsecured {
        /// Where.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was sent, perhaps; no whole answer came.
    #[error("the connection to {url} broke before the answer was whole")]
    Broken {
        /// Where.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was sent, perhaps; time was over first.
    #[error("{url} did not answer within {within_ms} ms")]
    Late {
        /// Where.
        url: String,
        /// How long it had.
        within_ms: u128,
    },
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    method: Method,
    url: String,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
    within: Duration,
    trust: Arc<Trust>,
}

impl std::fmt::Display for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

impl Ask {
    /// Reads something.
    pub(crate) fn read(url: impl Into<String>) -> Ask {
        Ask {
            method: Method::GET,
            url: url.into(),
            body: None,
            headers: Vec::new(),
            within: Duration::from_secs(40),
            trust: Arc::default(),
        }
    }

    /// Sends something.
    pub(crate) fn post(url: impl Into<String>, body: Value) -> Ask {
        Ask { method: Method::POST, body: Some(body), ..Ask::read(url) }
    }

    /// Removes something.
    pub(crate) fn delete(url: impl Into<String>) -> Ask {
        Ask { method: Method::DELETE, ..Ask::read(url) }
    }

    /// Gives up after this long.
    pub(crate) fn within(self, within: Duration) -> Ask {
        Ask { within, ..self }
    }

    /// Believes only these, within TLS.
    pub(crate) fn trusting(self, trust: &Arc<Trust>) -> Ask {
        Ask { trust: Arc::clone(trust), ..self }
    }

    /// Sends these headers along.
    pub(crate) fn with(self, headers: impl Iterator<Item = (&'static str, String)>) -> Ask {
        Ask { headers: headers.collect(), ..self }
    }

    /// Sends it and goes away without waiting for an answer.
    pub(crate) async fn abandon(self) -> Result<(), Unanswered> {
        let (uri, stream) = self.connect().await?;
        let url = self.url.clone();
        let broken = |source| Unanswered::Broken { url: url.clone(), source };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(error.into()))?;
        let request = self.request(&uri).map_err(|error| broken(error.into()))?;
        let answer = sender.send_request(request);
        // Polled until the request is out, then dropped with the connection.
        tokio::select! {
            biased;
            ended = connection => ended.map_err(|error| broken(error.into())),
            _ = answer => Ok(()),
            () = tokio::time::sleep(LINGER) => Ok(()),
        }
    }

    /// Sends it and reads the whole answer.
    pub(crate) async fn send(self) -> Result<Reply, Unanswered> {
        let (url, within) = (self.url.clone(), self.within);
        match tokio::time::timeout(within, self.exchange()).await {
            Ok(answer) => answer,
            Err(_) => Err(Unanswered::Late { url, within_ms: within.as_millis() }),
        }
    }

    async fn connect(&self) -> Result<(Uri, Stream<TcpStream>), Unanswered> {
        let url = self.url.clone();
        let uri: Uri = self.url.parse().map_err(|_| Unanswered::Address { url: url.clone() })?;
        let no_address = || Unanswered::Address { url: url.clone() };
        let authority = uri.authority().ok_or_else(no_address)?;
        let (peer, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(PeerName::new(authority.host()).ok_or_else(no_address)?), 443),
            Some(_) | None => return Err(no_address()),
        };
        let place = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(port));
        let stream = TcpStream::connect(place).await;
        let stream = stream.map_err(|source| Unanswered::Connect { url: url.clone(), source })?;
        let delay = stream.set_nodelay(true);
        delay.map_err(|error| Unanswered::Broken { url: url.clone(), source: error.into() })?;
        let Some(peer) = peer else { return Ok((uri, Stream::Plain(stream))) };
        let unsecured = |source| Unanswered::Unsecured { url: url.clone(), source };
        let caller = self.trust.caller().map_err(|error| unsecured(error.into()))?;
        let secured = caller.secure(&peer, stream).await;
        Ok((uri, secured.map_err(|error| unsecured(error.into()))?))
    }

    async fn exchange(self) -> Result<Reply, Unanswered> {
        let url = self.url.clone();
        let broken = |source| Unanswered::Broken { url: url.clone(), source };
        let (uri, stream) = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(error.into()))?;
        let connection = tokio::spawn(connection);
        let request = self.request(&uri).map_err(|error| broken(error.into()))?;
        let response = sender.send_request(request).await.map_err(|error| broken(error.into()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        connection.abort();
        Ok(Reply { status, headers, body: parse(&body.map_err(broken)?.to_bytes()) })
    }

    fn request(&self, uri: &Uri) -> http::Result<Request<Full<Bytes>>> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let mut builder = Request::builder().method(&self.method).uri(path).header(HOST, host);
        for (name, value) in &self.headers {
            builder = builder.header(*name, value);
        }
        match &self.body {
            Some(body) => builder
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(body.to_string()))),
            None => builder.body(Full::default()),
        }
    }
}

fn parse(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| {
        let mut quoted = String::from_utf8_lossy(bytes);
        if let Some((cut, _)) = quoted.char_indices().nth(QUOTED_CHARS_MAX) {
            quoted.to_mut().replace_range(cut.., "…");
        }
        Value::String(quoted.into_owned())
    })
}

/// Spells a text for a path or a query.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use wholly_tls::authority::Authority;
    use wholly_tls::{Acceptor, Calling, Listening};

    #[test]
    fn texts_are_escaped_for_paths_and_queries() {
        assert_eq!(escape("order-4711.2_~"), "order-4711.2_~");
        assert_eq!(escape("a/b c&d=é"), "a%2Fb%20c%26d%3D%C3%A9");
    }

    #[test]
    fn only_the_start_of_an_unreadable_answer_is_quoted() {
        let quoted = |text: &str| parse(text.as_bytes()).as_str().map(str::to_owned).unwrap();
        let fits = "é".repeat(QUOTED_CHARS_MAX);
        assert_eq!(quoted(&fits), fits);
        assert_eq!(quoted(&format!("{fits}é")), format!("{fits}…"));
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(quoted(&deep), format!("{}…", "[".repeat(QUOTED_CHARS_MAX)));
    }

    /// What a peer that says these bytes and closes is taken for.
    async fn check(says: &'static str, expected: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let peer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 1_024];
            let n = stream.read(&mut heard).await.unwrap();
            stream.write_all(says.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&heard[..n]).into_owned()
        });
        let seen = match Ask::post(url, serde_json::json!({"a": 1})).send().await {
            Ok(reply) => format!("{} {}", reply.status.as_u16(), reply.body),
            Err(error) => crate::complaint::chain(&error),
        };
        assert!(seen.contains(expected), "{says}: {seen}");
        let heard = peer.await.unwrap();
        assert!(heard.starts_with("POST /v1 HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains("content-type: application/json"), "{heard}");
    }

    #[tokio::test]
    async fn an_answer_is_whole_or_it_is_none() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"b\":2}", "200 {\"b\":2}").await;
        check("HTTP/1.1 204 No Content\r\n\r\n", "204 null").await;
        check("HTTP/1.1 502 Bad\r\ncontent-length: 2\r\n\r\nno", "502 \"no\"").await;
        check("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"b\":2}", "broke before").await;
        check("", "broke before the answer was whole").await;
    }

    #[tokio::test]
    async fn what_cannot_be_asked_says_why() {
        let check = async |url: &str, expected: &str| {
            let error = Ask::read(url).send().await.unwrap_err();
            assert!(crate::complaint::chain(&error).contains(expected), "{url}: {error}");
        };
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        check(&format!("http://{free}/"), "cannot connect").await;
        check(&format!("https://{free}/"), "cannot connect").await;
        check("ftp://localhost/", "no address of the form").await;
        check("stock", "no address of the form").await;
    }

    #[tokio::test]
    async fn within_tls_only_who_proves_to_be_the_host_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("known");
        let (certificate, key) = authority.issue(&["localhost"]).write(folder.path(), "peer");
        let listening = Listening::new(certificate, key);
        let acceptor = Acceptor::open(&listening).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever does not believe this one goes away.
                if let Ok(mut stream) = acceptor.accept(stream, Duration::from_secs(600)).await {
                    assert!(stream.read(&mut [0; 1_024]).await.unwrap() > 0);
                    let says = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n7";
                    stream.write_all(says).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        });
        let check = async |authority: &Authority, host: &str, expected: &str| {
            let ca = Some(authority.write(folder.path()));
            let trust = Arc::new(Trust::new(Calling { ca, identity: None }));
            let ask = Ask::read(format!("https://{host}:{port}/v1")).trusting(&trust);
            let seen = match ask.send().await {
                Ok(reply) => format!("{} {}", reply.status.as_u16(), reply.body),
                Err(error) => crate::complaint::chain(&error),
            };
            assert!(seen.contains(expected), "{host}: {seen}");
        };
        check(&authority, "localhost", "200 7").await;
        check(&authority, "127.0.0.1", "cannot speak TLS with").await;
        check(&Authority::new("stranger"), "localhost", "UnknownIssuer").await;
    }
}

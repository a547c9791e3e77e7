//! Connections to the coordinator: a small pool, one request and one answer at a time on each.

use super::address::{Address, Scheme};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::error::Error as StdError;
use std::fmt;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
#[cfg(feature = "tls")]
use wholly_tls::Trust;
use wholly_wire::credential::Credential;

/// Connections kept for the next request.
const IDLE_MAX: usize = 64;
/// Connections open at once; further requests wait for one.
const CONNECTIONS_MAX: usize = 1_024;
/// Longest a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest answer that is read: a document of a transaction with all its replies fits.
const ANSWER_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// Something cannot be asked, or the answer did not come.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// One request, ready to be sent as often as needed.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Path and query below the coordinator's URL.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// JSON, or nothing.
    pub(crate) body: Bytes,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// Whether the coordinator may have taken the request before, without an answer.
    pub(crate) earlier: Sent,
}

/// No answer came.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) sent: Sent,
    pub(crate) cause: Cause,
}

/// Whether the coordinator may have taken a request of which no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sent {
    /// It cannot have.
    Never,
    /// It may have.
    Perhaps,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sent {
            Sent::Never => f.write_str("the request could not be sent"),
            Sent::Perhaps => f.write_str("the request was sent, but no answer came"),
        }
    }
}

impl StdError for Lost {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

/// The pool. It opens connections when they are needed and belongs to no runtime: a connection
/// whose runtime is gone is closed, and another is opened.
pub(crate) struct Connections {
    address: Address,
    /// The value of the header `authorization`, where the coordinator is told who asks.
    authorization: Option<HeaderValue>,
    /// Whom it believes to be the coordinator.
    #[cfg(feature = "tls")]
    trust: Arc<Trust>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    slots: Semaphore,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("url", &self.address.url).finish_non_exhaustive()
    }
}

impl Connections {
    pub(crate) fn new(address: Address) -> Connections {
        Connections {
            address,
            authorization: None,
            #[cfg(feature = "tls")]
            trust: Arc::default(),
            idle: Mutex::default(),
            slots: Semaphore::new(CONNECTIONS_MAX),
        }
    }

    /// To the same coordinator as the same service, by no connection that stands.
    fn again(&self) -> Connections {
        Connections {
            authorization: self.authorization.clone(),
            #[cfg(feature = "tls")]
            trust: Arc::clone(&self.trust),
            ..Connections::new(self.address.clone())
        }
    }

    /// To the same coordinator, which must prove to be it by these; none where it is spoken to in
    /// plain text, which proves nothing and shows everybody the secret.
    #[cfg(feature = "tls")]
    pub(crate) fn trusting(&self, trust: Trust) -> Option<Connections> {
        match self.address.scheme {
            Scheme::Http => None,
            Scheme::Https(_) => Some(Connections { trust: Arc::new(trust), ..self.again() }),
        }
    }

    /// To the same coordinator, which is told who asks.
    pub(crate) fn as_of(&self, credential: &Credential) -> Connections {
        let text = credential.authorization();
        let mut value = HeaderValue::try_from(text).expect("base64 is visible ASCII");
        value.set_sensitive(true);
        Connections { authorization: Some(value), ..self.again() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.address.url
    }

    /// Sends a request once and reads its answer whole, both within the time given.
    pub(crate) async fn send(&self, ask: &Ask, within: Duration) -> Result<Heard, Lost> {
        let mut sent = Sent::Never;
        match tokio::time::timeout(within, self.exchange(ask, &mut sent)).await {
            Ok(Ok(heard)) => Ok(heard),
            Ok(Err(cause)) => Err(Lost { sent, cause }),
            Err(_) => {
                let cause = format!("no answer within {} ms", within.as_millis()).into();
                Err(Lost { sent, cause })
            }
        }
    }

    async fn exchange(&self, ask: &Ask, sent: &mut Sent) -> Result<Heard, Cause> {
        let _slot = self.slots.acquire().await?;
        // A kept connection may have been closed at the other end while it lay idle. That says
        // nothing of the coordinator, so the request is tried once more on a fresh one.
        if let Some(mut kept) = self.take_idle() {
            *sent = Sent::Perhaps;
            if let Ok(heard) = self.exchange_on(&mut kept, ask).await {
                self.keep(kept);
                return Ok(heard);
            }
        }
        let mut fresh = self.connect().await?;
        let earlier = std::mem::replace(sent, Sent::Perhaps);
        let heard = self.exchange_on(&mut fresh, ask).await?;
        self.keep(fresh);
        Ok(Heard { earlier, ..heard })
    }

    async fn exchange_on(
        &self,
        connection: &mut SendRequest<Full<Bytes>>,
        ask: &Ask,
    ) -> Result<Heard, Cause> {
        connection.ready().await?;
        let answer = connection.send_request(self.request(ask)?).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
        Ok(Heard { status: head.status, body, earlier: Sent::Never })
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, Cause> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{}{}", self.address.prefix, ask.target))
            .header(header::HOST, self.address.host.clone())
            .header(header::ACCEPT, "application/json");
        if !ask.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value.clone());
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        Ok(request.body(Full::new(ask.body.clone()))?)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Cause> {
        let connecting = async {
            let socket = TcpStream::connect(&self.address.socket).await?;
            socket.set_nodelay(true)?;
            match &self.address.scheme {
                Scheme::Http => speak(socket).await,
                #[cfg(feature = "tls")]
                Scheme::Https(peer) => {
                    speak(self.trust.caller()?.secure(peer, socket).await?).await
                }
            }
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| format!("no connection to {} in time", self.address.socket))?
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(kept) = idle.pop() {
            if !kept.is_closed() {
                return Some(kept);
            }
        }
        None
    }

    /// The last one kept is the first one taken, so that those not needed grow old and go.
    fn keep(&self, connection: SendRequest<Full<Bytes>>) {
        if connection.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }
}

/// Speaks HTTP over a stream, in a task of its own.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, Cause> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors come out of the sender as well, where they are handled.
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A coordinator that answers one request with so many blanks.
    async fn answering(bytes: usize) -> Connections {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0, "a whole request");
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            // Whoever finds it too long closes, with a part of it unread.
            let _ = stream.write_all(&vec![b' '; bytes]).await;
        });
        Connections::new(Address::parse(&url).unwrap())
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limit_and_one_byte_more_is_none() {
        let ask = Ask {
            method: Method::GET,
            target: "/v1".to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        };
        let hung = Duration::from_secs(600);
        let heard = answering(ANSWER_BYTES_MAX).await.send(&ask, hung).await.unwrap();
        assert_eq!((heard.status, heard.body.len()), (StatusCode::OK, ANSWER_BYTES_MAX));
        let lost = answering(ANSWER_BYTES_MAX + 1).await.send(&ask, hung).await.unwrap_err();
        assert_eq!(lost.sent, Sent::Perhaps);
        assert_eq!(lost.cause.to_string(), "length limit exceeded");
    }
}

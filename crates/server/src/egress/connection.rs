//! One HTTP/1.1 connection out, driven by whoever uses it: no task of its own, no hop between
//! tasks, nothing that reads while it lies idle.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wholly_tls::{Caller, PeerName, Stream, Unsecured};

/// Most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 * 1_024;

/// An open connection with room for one request at a time. It is large, so it is handed about in
/// a box.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<Stream<TcpStream>>, Full<Bytes>>,
    state: State,
    /// When it last came back from an exchange.
    pub(super) idle_since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
}

/// A whole answer as it came, before anybody judges it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) head: Parts,
    pub(super) body: Bytes,
}

/// Why an exchange brought no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The connection was closed before a byte of an answer came: the request may not have been
    /// read at all.
    #[error("the connection was closed before an answer")]
    Stale(#[source] hyper::Error),
    #[error("the answer cannot be read")]
    Head(#[source] hyper::Error),
    #[error("the answer broke off in its body")]
    Body(#[source] hyper::Error),
    #[error("the answer has more than {bytes_max} bytes (reply_bytes_max)")]
    TooLarge { bytes_max: usize },
    /// An end that only a closed connection marks cannot be told from a participant that died.
    #[error("the answer says neither content-length nor chunked, so its end cannot be known")]
    NoLength,
}

/// Why no connection came about. Nothing of a request was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOpen {
    #[error(transparent)]
    Unreached(#[from] std::io::Error),
    /// It was reached, and did not prove to be whom the URL names.
    #[error(transparent)]
    Unsecured(#[from] Unsecured),
}

impl ExchangeError {
    /// Whether nothing came back at all.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            ExchangeError::Stale(_) => true,
            ExchangeError::Head(_)
            | ExchangeError::Body(_)
            | ExchangeError::TooLarge { .. }
            | ExchangeError::NoLength => false,
        }
    }
}

impl Connection {
    /// Connects to the first of the addresses that takes a connection and, where it is secured,
    /// proves to be whom it should. Time is shared out evenly, so that a dead first address does
    /// not cost the others their turn.
    pub(super) async fn open(
        addresses: &[SocketAddr],
        secured: Option<(&Caller, &PeerName)>,
        deadline: Instant,
    ) -> Result<Box<Self>, NotOpen> {
        let mut last = NotOpen::from(std::io::Error::from(std::io::ErrorKind::NotConnected));
        for (tried, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let turns = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            match tokio::time::timeout(left / turns, reach(*address, secured)).await {
                Ok(Ok(stream)) => return Ok(Self::over(stream).await?),
                Ok(Err(error)) => last = error,
                Err(_elapsed) => {
                    last = std::io::Error::from(std::io::ErrorKind::TimedOut).into();
                }
            }
        }
        Err(last)
    }

    async fn over(stream: Stream<TcpStream>) -> Result<Box<Self>, std::io::Error> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        let idle_since = Instant::now();
        Ok(Box::new(Connection { sender, driver, state: State::Open, idle_since }))
    }

    /// Whether it can take a request: open as far as can be seen without waiting.
    pub(super) async fn is_usable(&mut self) -> bool {
        poll_fn(|context| {
            self.drive(context);
            Poll::Ready(())
        })
        .await;
        self.state == State::Open && self.sender.is_ready()
    }

    /// Sends a request and reads the whole answer, at most so many bytes of body.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<Seen, ExchangeError> {
        let mut response = pin!(self.sender.send_request(request));
        let response = poll_fn(|context| {
            self.drive(context);
            response.as_mut().poll(context)
        })
        .await
        .map_err(|error| match error.is_parse() {
            true => ExchangeError::Head(error),
            false => ExchangeError::Stale(error),
        })?;
        let (head, body) = response.into_parts();
        let body = self.read(&head, body, bytes_max).await?;
        Ok(Seen { head, body })
    }

    async fn read(
        &mut self,
        head: &Parts,
        mut body: Incoming,
        bytes_max: usize,
    ) -> Result<Bytes, ExchangeError> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        if !has_known_end(head) {
            return Err(ExchangeError::NoLength);
        }
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(ExchangeError::TooLarge { bytes_max });
        }
        let mut whole = Gathered::Nothing;
        while let Some(frame) = self.next_frame(&mut body).await {
            let frame = frame.map_err(ExchangeError::Body)?;
            if let Ok(piece) = frame.into_data() {
                whole = whole.with(piece);
            }
            if whole.len() > bytes_max {
                return Err(ExchangeError::TooLarge { bytes_max });
            }
        }
        Ok(whole.into_bytes())
    }

    async fn next_frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<Result<hyper::body::Frame<Bytes>, hyper::Error>> {
        poll_fn(|context| {
            // Asking is what makes the driver read on.
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) {
                return Poll::Ready(frame);
            }
            self.drive(context);
            Pin::new(&mut *body).poll_frame(context)
        })
        .await
    }

    /// Lets the connection write what it has and read what came. What goes wrong is seen by the
    /// response or the body that it belongs to.
    fn drive(&mut self, context: &mut Context<'_>) {
        if self.state == State::Open && Pin::new(&mut self.driver).poll(context).is_ready() {
            self.state = State::Closed;
        }
    }
}

/// One address, up to where a request may be sent.
async fn reach(
    address: SocketAddr,
    secured: Option<(&Caller, &PeerName)>,
) -> Result<Stream<TcpStream>, NotOpen> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    match secured {
        None => Ok(Stream::Plain(stream)),
        Some((caller, peer)) => Ok(caller.secure(peer, stream).await?),
    }
}

/// Whether the head says where the body ends. A transfer coding overrides the length, and only
/// `chunked`, as the last one, has an end of its own.
fn has_known_end(head: &Parts) -> bool {
    match head.headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        Some(codings) => {
            let last = codings.as_bytes().rsplit(|byte| *byte == b',').next();
            last.unwrap_or_default().trim_ascii().eq_ignore_ascii_case(b"chunked")
        }
        None => head.headers.contains_key(CONTENT_LENGTH) || head.status == StatusCode::NO_CONTENT,
    }
}

/// A body in the making: most come in one piece and are not copied.
enum Gathered {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Gathered {
    fn with(self, piece: Bytes) -> Self {
        match self {
            Gathered::Nothing => Gathered::One(piece),
            Gathered::One(first) => {
                let mut many = BytesMut::with_capacity(first.len() + piece.len());
                many.extend_from_slice(&first);
                many.extend_from_slice(&piece);
                Gathered::Many(many)
            }
            Gathered::Many(mut many) => {
                many.extend_from_slice(&piece);
                Gathered::Many(many)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Gathered::Nothing => 0,
            Gathered::One(piece) => piece.len(),
            Gathered::Many(many) => many.len(),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Gathered::Nothing => Bytes::new(),
            Gathered::One(piece) => piece,
            Gathered::Many(many) => many.freeze(),
        }
    }
}

/// Connections that wait for their next use, the warmest on top. Each has a place among those of
/// all destinations: were they bounded one by one, whoever names many destinations of a pattern
/// would take the descriptors that the log needs.
pub(super) struct Pool {
    idle: std::sync::Mutex<Vec<Idle>>,
    places: Arc<Semaphore>,
}

type Idle = (Box<Connection>, OwnedSemaphorePermit);

/// How long a connection may lie idle.
const IDLE_MAX: Duration = Duration::from_secs(30);

impl Pool {
    /// An empty pool, whose connections lie on these places.
    pub(super) fn new(places: &Arc<Semaphore>) -> Self {
        Pool { idle: std::sync::Mutex::new(Vec::new()), places: Arc::clone(places) }
    }

    /// The one used last, if it still stands.
    pub(super) async fn take(&self) -> Option<Box<Connection>> {
        loop {
            let taken = self.idle.lock().expect("nothing panics under this lock").pop();
            let (mut connection, _place) = taken?;
            if connection.idle_since.elapsed() < IDLE_MAX && connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps it for the next call, if it can take one and there is a place.
    pub(super) async fn put(&self, mut connection: Box<Connection>) {
        if !connection.is_usable().await {
            return;
        }
        connection.idle_since = Instant::now();
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            self.idle.lock().expect("nothing panics under this lock").push((connection, place));
        }
    }

    /// Closes what has been idle too long.
    pub(super) fn sweep(&self) {
        let mut idle = self.idle.lock().expect("nothing panics under this lock");
        idle.retain(|(connection, _place)| connection.idle_since.elapsed() < IDLE_MAX);
    }
}

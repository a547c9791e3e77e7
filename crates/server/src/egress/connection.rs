//! One HTTP/1.1 connection out, driven by whoever uses it: no task of its own, no hop between
//! tasks, nothing that reads while it lies idle.

use super::response::{
    self, After, AnswerLine, BodyEnd, ChunkError, Chunks, HEAD_BYTES_MAX, Head, HeadError,
};
use bytes::{Buf, BytesMut};
use http::StatusCode;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Room to read into.
const READ_BYTES: usize = 4 * 1_024;
/// Up to here a body is sent in one piece with its head.
const TOGETHER_BYTES_MAX: usize = 16 * 1_024;

/// An open connection with room for one request at a time.
pub(super) struct Connection {
    stream: TcpStream,
    read: BytesMut,
    written: Vec<u8>,
    after: After,
    /// When it last came back from an exchange.
    pub(super) idle_since: Instant,
}

/// A whole answer as it came, before anybody judges it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: StatusCode,
    pub(super) answer: AnswerLine,
    pub(super) body: Vec<u8>,
}

/// Why an exchange brought no whole answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// The connection was closed before a byte of an answer came: the request may not have been
    /// read at all.
    #[error("the connection was closed before an answer")]
    Stale(#[source] io::Error),
    #[error("the answer cannot be read")]
    Head(#[from] HeadError),
    #[error("the answer broke off in its body")]
    Body(#[source] io::Error),
    #[error("the answer broke off in its body")]
    Chunk(#[from] ChunkError),
    #[error("the answer has more than {bytes_max} bytes (reply_bytes_max)")]
    TooLarge { bytes_max: usize },
    /// An end that only a closed connection marks cannot be told from a participant that died.
    #[error("the answer says neither content-length nor chunked, so its end cannot be known")]
    NoLength,
}

impl Connection {
    /// Connects to the first of the addresses that takes a connection. Time is shared out evenly,
    /// so that a dead first address does not cost the others their turn.
    pub(super) async fn open(addresses: &[SocketAddr], deadline: Instant) -> io::Result<Box<Self>> {
        let mut last = io::Error::from(io::ErrorKind::NotConnected);
        for (tried, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let turns = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            match tokio::time::timeout(left / turns, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Self::over(stream),
                Ok(Err(error)) => last = error,
                Err(_elapsed) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    fn over(stream: TcpStream) -> io::Result<Box<Self>> {
        stream.set_nodelay(true)?;
        Ok(Box::new(Connection {
            stream,
            read: BytesMut::with_capacity(READ_BYTES),
            written: Vec::new(),
            after: After::Kept,
            idle_since: Instant::now(),
        }))
    }

    /// Whether it can take a request: open, and nothing came that nobody asked for, as far as can
    /// be seen without waiting.
    pub(super) fn is_usable(&self) -> bool {
        let silent = match self.stream.try_read(&mut [0]) {
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        self.after == After::Kept && self.read.is_empty() && silent
    }

    /// Sends a request, whose head the caller writes, and reads the whole answer, at most so many
    /// bytes of body.
    pub(super) async fn exchange(
        &mut self,
        write_head: impl FnOnce(&mut Vec<u8>),
        body: &[u8],
        bytes_max: usize,
    ) -> Result<Seen, ExchangeError> {
        // Until the answer is whole, whatever ends this leaves a connection nobody can use.
        self.after = After::Closed;
        self.written.clear();
        write_head(&mut self.written);
        self.send(body).await.map_err(ExchangeError::Stale)?;
        let head = self.read_head().await?;
        let body = match head.end {
            BodyEnd::Length(length) => self.read_length(length, bytes_max).await?,
            BodyEnd::Chunked => self.read_chunks(bytes_max).await?,
            BodyEnd::Unsaid => return Err(ExchangeError::NoLength),
        };
        self.after = head.after;
        Ok(Seen { status: head.status, answer: head.answer, body })
    }

    async fn send(&mut self, body: &[u8]) -> io::Result<()> {
        if body.len() <= TOGETHER_BYTES_MAX {
            self.written.extend_from_slice(body);
            return self.stream.write_all(&self.written).await;
        }
        self.stream.write_all(&self.written).await?;
        self.stream.write_all(body).await
    }

    /// Reads heads until one is final.
    async fn read_head(&mut self) -> Result<Head, ExchangeError> {
        let mut pieces = 0_usize;
        loop {
            // What cannot become a head is seen at its first piece; then only a whole one is worth
            // reading again.
            let worth = pieces == 1 || has_blank_line(&self.read);
            if worth && let Some((head, used)) = response::parse(&self.read)? {
                self.read.advance(used);
                if !head.status.is_informational() {
                    return Ok(head);
                }
                continue;
            }
            if self.read.len() >= HEAD_BYTES_MAX {
                return Err(HeadError::TooLong.into());
            }
            match self.fill().await {
                Ok(0) if pieces == 0 => {
                    return Err(ExchangeError::Stale(io::ErrorKind::UnexpectedEof.into()));
                }
                Err(error) if pieces == 0 => return Err(ExchangeError::Stale(error)),
                Ok(0) | Err(_) => return Err(HeadError::BrokenOff.into()),
                Ok(_some) => pieces += 1,
            }
        }
    }

    async fn read_length(
        &mut self,
        length: u64,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ExchangeError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > bytes_max {
            return Err(ExchangeError::TooLarge { bytes_max });
        }
        let here = self.read.split_to(length.min(self.read.len()));
        let mut body = Vec::with_capacity(length);
        body.extend_from_slice(&here);
        if body.len() < length {
            let at = body.len();
            body.resize(length, 0);
            self.stream.read_exact(&mut body[at..]).await.map_err(ExchangeError::Body)?;
        }
        Ok(body)
    }

    async fn read_chunks(&mut self, bytes_max: usize) -> Result<Vec<u8>, ExchangeError> {
        let mut chunks = Chunks::new(bytes_max);
        loop {
            let used = chunks.feed(&self.read)?;
            self.read.advance(used);
            if let Some(body) = chunks.whole() {
                return Ok(body);
            }
            if self.fill().await.map_err(ExchangeError::Body)? == 0 {
                return Err(ExchangeError::Body(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.read.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.read).await
    }
}

fn has_blank_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\r" || pair == b"\n\n")
}

/// Connections that wait for their next use, the warmest on top.
pub(super) struct Pool {
    #[expect(clippy::vec_box, reason = "a connection is large, and moved at every use")]
    idle: std::sync::Mutex<Vec<Box<Connection>>>,
    idle_max: usize,
}

/// How long a connection may lie idle.
const IDLE_MAX: Duration = Duration::from_secs(30);

impl Pool {
    /// An empty pool that keeps at most so many.
    pub(super) fn new(idle_max: usize) -> Self {
        Pool { idle: std::sync::Mutex::new(Vec::new()), idle_max }
    }

    /// The one used last, if it still stands.
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        loop {
            let taken = self.idle.lock().expect("nothing panics under this lock").pop();
            let connection = taken?;
            if connection.idle_since.elapsed() < IDLE_MAX && connection.is_usable() {
                return Some(connection);
            }
        }
    }

    /// Keeps it for the next call, if it can take one.
    pub(super) fn put(&self, mut connection: Box<Connection>) {
        if !connection.is_usable() {
            return;
        }
        connection.idle_since = Instant::now();
        let mut idle = self.idle.lock().expect("nothing panics under this lock");
        if idle.len() < self.idle_max {
            idle.push(connection);
        }
    }

    /// Closes what has been idle too long.
    pub(super) fn sweep(&self) {
        let mut idle = self.idle.lock().expect("nothing panics under this lock");
        idle.retain(|connection| connection.idle_since.elapsed() < IDLE_MAX);
    }
}

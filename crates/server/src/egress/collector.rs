//! The collector of spans: the one place beside participants to which anything is sent. The
//! configuration names it, and the same rules of addresses hold.

use super::address::{Address, AddressError, Reach, ResolveError};
use super::connection::{Connection, ExchangeError, Seen};
use super::names::Names;
use super::trust::{Security, Trusts};
use crate::spans::Place;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use std::error::Error as StdError;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wholly_tls::{OldestVersion, TlsError};

/// Where spans are taken, below a collector's URL.
const PATH: &str = "/v1/traces";
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;

/// One collector, and at most one connection to it.
pub(crate) struct Collector {
    address: Address,
    names: Names,
    security: Security,
    uri: Uri,
    host: HeaderValue,
    timeout: Duration,
    kept: Option<Box<Connection>>,
}

/// What a collector said to a batch.
pub(crate) enum Taken {
    /// It has it; this is what it answered.
    Whole(Bytes),
    /// It would take it later.
    Later { status: StatusCode, after: Option<Duration> },
}

/// Why a collector has not taken a batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectorError {
    #[error("no answer within {timeout_ms} ms")]
    Timeout { timeout_ms: u128 },
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("connect to {authority} failed")]
    Connect {
        authority: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    #[error(transparent)]
    Authorities(#[from] TlsError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("the collector answers {status}")]
    Status { status: StatusCode },
}

impl CollectorError {
    /// Whether sending the same again would come to the same.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            CollectorError::Status { status } => !is_later(*status),
            CollectorError::Timeout { .. }
            | CollectorError::Resolve(_)
            | CollectorError::Connect { .. }
            | CollectorError::Authorities(_)
            | CollectorError::Exchange(_) => false,
        }
    }
}

/// The statuses after which the protocol asks for another sending.
fn is_later(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

impl Collector {
    /// The collector at this URL; nothing is connected yet.
    pub(crate) fn new(url: &str, place: Place, timeout: Duration) -> Result<Self, AddressError> {
        let address = Address::parse(url)?;
        address.check(Reach::Configured)?;
        let path = match place {
            Place::Below => format!("{}{PATH}", address.prefix),
            // What follows host and port, to the letter: a last slash is of it.
            Place::Itself => format!("/{}", url.splitn(4, '/').nth(3).unwrap_or_default()),
        };
        let uri = path.parse().map_err(|_| AddressError::Path)?;
        let host = HeaderValue::try_from(&address.authority).map_err(|_| AddressError::Host)?;
        // By the authorities that the system believes.
        let security =
            Security::of(&address, &Trusts::default().of(None, OldestVersion::default()));
        let names = Names::default();
        Ok(Collector { address, names, security, uri, host, timeout, kept: None })
    }

    /// Hands a batch over, once. A connection that was kept may have been closed meanwhile; then
    /// it goes over a fresh one: a collector that has a batch twice shows its spans once.
    pub(crate) async fn post(&mut self, body: Bytes) -> Result<Taken, CollectorError> {
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.attempt(body, deadline)).await {
            Ok(Ok(seen)) => judge(seen),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(CollectorError::Timeout { timeout_ms: self.timeout.as_millis() }),
        }
    }

    async fn attempt(&mut self, body: Bytes, deadline: Instant) -> Result<Seen, CollectorError> {
        // Taken out: what breaks off is not used again.
        if let Some(mut kept) = self.kept.take()
            && kept.is_usable().await
        {
            match kept.exchange(self.request(&body), ANSWER_BYTES_MAX).await {
                Ok(seen) => {
                    self.kept = Some(kept);
                    return Ok(seen);
                }
                Err(ExchangeError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let addresses = self.address.resolve(Reach::Configured, &self.names).await?;
        let secured = self.security.caller()?;
        let opened = Connection::open(&addresses, secured, deadline).await;
        let mut fresh = opened.map_err(|error| {
            let authority = self.address.authority.clone();
            CollectorError::Connect { authority, source: Box::new(error) }
        })?;
        let seen = fresh.exchange(self.request(&body), ANSWER_BYTES_MAX).await?;
        self.kept = Some(fresh);
        Ok(seen)
    }

    fn request(&self, body: &Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }
}

fn judge(seen: Seen) -> Result<Taken, CollectorError> {
    let status = seen.head.status;
    if status.is_success() {
        return Ok(Taken::Whole(seen.body));
    }
    if !is_later(status) {
        return Err(CollectorError::Status { status });
    }
    let after = seen.head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    Ok(Taken::Later { status, after })
}

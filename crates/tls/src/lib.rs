//! TLS for all that Wholly says over a network: who is believed, who vouches for us, and a stream
//! that is either plain or not.
//!
//! Reading order: `stream` is what both sides speak over, `accepting` is the side that listens,
//! `clients` whom it lets in, `calling` the side that calls, `files` what both read, `expiry` up to
//! when that holds. TLS 1.3, and 1.2 where `version` says so, by rustls with ring; HTTP/1.1 alone.

mod accepting;
#[cfg(feature = "authority")]
pub mod authority;
mod calling;
mod clients;
mod error;
mod expiry;
mod files;
mod stream;
mod version;

pub use accepting::{Acceptor, Listening, Unaccepted};
pub use calling::{Caller, Calling, PeerName, Trust, Unsecured};
pub use clients::{Clients, Names, NamesError, NotNamed};
pub use error::TlsError;
pub use expiry::Expiries;
pub use stream::Stream;
pub use version::OldestVersion;

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// The only protocol that is spoken within.
const ALPN: &[u8] = b"http/1.1";

/// Named wherever one is needed: the process may hold another by default, or two and so none.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests;

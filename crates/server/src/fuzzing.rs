//! For the fuzzer alone: ways to parts of the coordinator that nobody else calls by themselves.

use crate::config::{Config, ConfigError};
use crate::egress::{Address, Destinations, NotNamed, Reach, ResolveError, Rule};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::net::SocketAddr;
use wholly_core::branch::Answer;
use wholly_core::effect::Call;
use wholly_core::ids::Destination;
use wholly_core::time::Timestamp;
use wholly_store::contract::{Filter, Page};
use wholly_wire::edge::EdgeRejection;

/// Reads the text of a configuration file.
pub fn configuration(text: &str) -> Result<Config, ConfigError> {
    Config::from_text(text)
}

/// Reads the query of a list.
pub fn list_query(text: &str, now: Timestamp) -> Result<(Filter, Page), EdgeRejection> {
    crate::transport::http::read_list(text, now)
}

/// The address that a destination's calls go to, and how far they may lead.
pub fn address(
    destinations: &Destinations,
    destination: &Destination,
) -> Result<(Address, Reach), NotNamed> {
    destinations.address(destination)
}

/// What a resolver found, if all of it may be connected to.
pub fn within_reach(
    address: &Address,
    reach: Reach,
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, ResolveError> {
    address.within_reach(reach, found)
}

/// Judges what came back for a call; header values that HTTP cannot carry are left out.
pub fn judge(call: &Call, rule: &Rule, seen: &Response<'_>) -> Answer {
    let mut headers = HeaderMap::new();
    for value in &seen.answers {
        if let Ok(value) = http::HeaderValue::from_bytes(value) {
            headers.append(wholly_wire::headers::ANSWER, value);
        }
    }
    let status = StatusCode::from_u16(seen.status).unwrap_or(StatusCode::OK);
    crate::egress::judge(call, rule, status, headers, Bytes::copy_from_slice(seen.body))
}

/// What a participant, or whoever stands in its place, sent back.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    /// Its status; 200 where it is none.
    pub status: u16,
    /// Every header `wholly-answer`.
    pub answers: Vec<&'a [u8]>,
    /// Its body.
    pub body: &'a [u8],
}

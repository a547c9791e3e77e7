//! What the edge refuses before the rules are asked: a closed set, as `core::rejection` is.

use crate::credential::Role;
use crate::nearest::nearest;
use crate::words::Spelled;
use std::fmt;
use wholly_core::ids::{Destination, Gid};

/// Why a request was not even understood, or may not be asked. Nothing was changed by it, except
/// where [`EdgeRejection::Unavailable`] and [`EdgeRejection::Internal`] say that this is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeRejection {
    /// The body is no JSON.
    MalformedJson {
        /// What and where.
        why: String,
    },
    /// A field or parameter that does not exist.
    UnknownField {
        /// Its path, as `steps[0].too`.
        field: String,
        /// The one that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A field that must be there.
    FieldMissing {
        /// Its path.
        field: String,
    },
    /// A field whose value cannot be.
    FieldInvalid {
        /// Its path.
        field: String,
        /// What is wrong and what would be right, after the field's name.
        why: String,
    },
    /// The body is not declared as JSON.
    ContentType {
        /// What it is declared as; empty if nothing was said.
        seen: String,
    },
    /// The body is over its limit.
    BodyTooLarge {
        /// The limit `body_bytes_max`.
        max: u64,
    },
    /// Clients send as many bytes of bodies as they may, all together or this one alone.
    BodiesFull {
        /// The limit `bodies_bytes_max`.
        max: u64,
    },
    /// The address that asks has as many connections as it may.
    ConnectionsFull {
        /// The limit `peer_connections_max`.
        max: u64,
    },
    /// All connections that there may be are in use.
    Overloaded {
        /// The limit `connections_max`.
        max: u64,
    },
    /// The headers are over their limit.
    HeaderTooLarge {
        /// The limit `header_bytes_max`.
        max: u64,
    },
    /// The request did not arrive in time.
    RequestTimeout {
        /// The limit `body_ms_max`.
        ms: u64,
    },
    /// The path is there, but not for this method.
    MethodNotAllowed {
        /// What it can be asked with, as for the header `allow`.
        allowed: String,
    },
    /// No such path.
    RouteUnknown,
    /// The request names a host that this coordinator does not answer for.
    HostForbidden {
        /// Which; empty if none.
        host: String,
    },
    /// The request comes from a web page.
    OriginForbidden {
        /// Which.
        origin: String,
    },
    /// The request does not say who asks.
    CredentialMissing,
    /// Who asks is not known, or has shown something else than its secret.
    CredentialWrong,
    /// Who asks may not ask this.
    RoleForbidden {
        /// What its credential is for.
        role: Role,
        /// What this is for, as a sentence goes on.
        needs: String,
    },
    /// No capability was shown.
    CapabilityMissing {
        /// For which transaction.
        gid: Gid,
    },
    /// The capability is not of this transaction.
    CapabilityWrong {
        /// Which transaction.
        gid: Gid,
    },
    /// The configuration does not name the destination.
    DestinationUnknown {
        /// Which.
        destination: Destination,
        /// The field that names it.
        field: String,
    },
    /// The idempotency key is none.
    IdempotencyKeyInvalid {
        /// What is wrong.
        why: String,
    },
    /// The coordinator stopped before it could answer: whether the request took effect is not
    /// known.
    Unavailable,
    /// A broken promise of ours: whether the request took effect is not known.
    Internal,
}

impl EdgeRejection {
    /// An unknown field, with the known one that was probably meant.
    pub fn unknown_field(
        path: String,
        name: &str,
        known: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        EdgeRejection::UnknownField { field: path, nearest: nearest(name, known) }
    }

    /// A field whose value cannot be.
    pub fn invalid(field: impl Into<String>, why: impl fmt::Display) -> Self {
        EdgeRejection::FieldInvalid { field: field.into(), why: why.to_string() }
    }

    /// The code a program reads.
    pub fn code(&self) -> &'static str {
        match self {
            EdgeRejection::MalformedJson { .. } => "malformed_json",
            EdgeRejection::UnknownField { .. } => "unknown_field",
            EdgeRejection::FieldMissing { .. } => "field_missing",
            EdgeRejection::FieldInvalid { .. } => "field_invalid",
            EdgeRejection::ContentType { .. } => "content_type",
            EdgeRejection::BodyTooLarge { .. } => "too_large",
            EdgeRejection::BodiesFull { .. } => "bodies_full",
            EdgeRejection::ConnectionsFull { .. } => "connections_full",
            EdgeRejection::Overloaded { .. } => "overloaded",
            EdgeRejection::HeaderTooLarge { .. } => "header_too_large",
            EdgeRejection::RequestTimeout { .. } => "request_timeout",
            EdgeRejection::MethodNotAllowed { .. } => "method_not_allowed",
            EdgeRejection::RouteUnknown => "route_unknown",
            EdgeRejection::HostForbidden { .. } => "host_forbidden",
            EdgeRejection::OriginForbidden { .. } => "origin_forbidden",
            EdgeRejection::CredentialMissing => "credential_missing",
            EdgeRejection::CredentialWrong => "credential_wrong",
            EdgeRejection::RoleForbidden { .. } => "role_forbidden",
            EdgeRejection::CapabilityMissing { .. } => "capability_missing",
            EdgeRejection::CapabilityWrong { .. } => "capability_wrong",
            EdgeRejection::DestinationUnknown { .. } => "destination_unknown",
            EdgeRejection::IdempotencyKeyInvalid { .. } => "idempotency_key_invalid",
            EdgeRejection::Unavailable => "unavailable",
            EdgeRejection::Internal => "internal",
        }
    }

    /// The field it is about, where it is about one.
    pub fn field(&self) -> Option<&str> {
        match self {
            EdgeRejection::UnknownField { field, .. }
            | EdgeRejection::FieldMissing { field }
            | EdgeRejection::FieldInvalid { field, .. }
            | EdgeRejection::DestinationUnknown { field, .. } => Some(field),
            EdgeRejection::MalformedJson { .. }
            | EdgeRejection::ContentType { .. }
            | EdgeRejection::BodyTooLarge { .. }
            | EdgeRejection::BodiesFull { .. }
            | EdgeRejection::ConnectionsFull { .. }
            | EdgeRejection::Overloaded { .. }
            | EdgeRejection::HeaderTooLarge { .. }
            | EdgeRejection::RequestTimeout { .. }
            | EdgeRejection::MethodNotAllowed { .. }
            | EdgeRejection::RouteUnknown
            | EdgeRejection::HostForbidden { .. }
            | EdgeRejection::OriginForbidden { .. }
            | EdgeRejection::CredentialMissing
            | EdgeRejection::CredentialWrong
            | EdgeRejection::RoleForbidden { .. }
            | EdgeRejection::CapabilityMissing { .. }
            | EdgeRejection::CapabilityWrong { .. }
            | EdgeRejection::IdempotencyKeyInvalid { .. }
            | EdgeRejection::Unavailable
            | EdgeRejection::Internal => None,
        }
    }
}

const ROUTE_UNKNOWN: &str = "there is no such path; /v1/openapi.json lists them all";
const CREDENTIAL_MISSING: &str = "the request does not say who asks; send id and secret of a \
                                  credential, as `curl -u ID:SECRET` does";
const CREDENTIAL_WRONG: &str = "no credential of this coordinator has that id and secret; send \
                                those of one that its configuration names";
const NO_CONTENT_TYPE: &str = "the body has no content type; send content-type: application/json";
const UNAVAILABLE: &str = "the coordinator stopped before it could answer, so it is not known \
                           whether this took effect; send the same again, or ask for the \
                           transaction";
const INTERNAL: &str = "the coordinator broke a promise of its own, so it is not known whether \
                        this took effect; ask for the transaction, and report what its log says";

impl fmt::Display for EdgeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EdgeRejection::MalformedJson { why } => {
                write!(f, "the body is not JSON: {why}; send one JSON object")
            }
            EdgeRejection::UnknownField { field, nearest: Some(known) } => {
                write!(f, "there is no {field}; did you mean {known}?")
            }
            EdgeRejection::UnknownField { field, nearest: None } => {
                write!(f, "there is no {field}; leave it out")
            }
            EdgeRejection::FieldMissing { field } => write!(f, "{field} is missing; add it"),
            EdgeRejection::FieldInvalid { field, why } => write!(f, "{field} {why}"),
            EdgeRejection::ContentType { seen } if seen.is_empty() => f.write_str(NO_CONTENT_TYPE),
            EdgeRejection::ContentType { seen } => {
                write!(f, "the body is declared as {seen:?}; send content-type: application/json")
            }
            EdgeRejection::BodyTooLarge { max } => body_too_large(*max, f),
            EdgeRejection::HeaderTooLarge { max } => {
                write!(f, "the headers are over the limit header_bytes_max, {max}; send less")
            }
            EdgeRejection::BodiesFull { max } => bodies_full(*max, f),
            EdgeRejection::ConnectionsFull { max } => connections_full(*max, f),
            EdgeRejection::Overloaded { max } => overloaded(*max, f),
            EdgeRejection::RequestTimeout { ms } => {
                write!(f, "the body did not arrive within {ms} ms; send it again, faster")
            }
            EdgeRejection::MethodNotAllowed { allowed } => {
                write!(f, "this path is not for that method; use {allowed}")
            }
            EdgeRejection::RouteUnknown => f.write_str(ROUTE_UNKNOWN),
            EdgeRejection::HostForbidden { host } if host.is_empty() => {
                f.write_str("the request names no host; send a Host header")
            }
            EdgeRejection::HostForbidden { host } => write!(
                f,
                "this coordinator does not answer for host {host:?}; use its own address, or add \
                 the name to hosts in its configuration"
            ),
            EdgeRejection::OriginForbidden { origin } => write!(
                f,
                "requests of web pages are refused, and this one comes from {origin:?}; send it \
                 from a program"
            ),
            EdgeRejection::CredentialMissing => f.write_str(CREDENTIAL_MISSING),
            EdgeRejection::CredentialWrong => f.write_str(CREDENTIAL_WRONG),
            EdgeRejection::RoleForbidden { role, needs } => {
                write!(f, "this is for {needs}; show another credential than a {}'s", role.spell())
            }
            EdgeRejection::CapabilityMissing { gid } => write!(
                f,
                "header wholly-capability is missing; send the one that the begin of {gid} returned"
            ),
            EdgeRejection::CapabilityWrong { gid } => write!(
                f,
                "header wholly-capability is not of {gid}; send the one that its begin returned"
            ),
            EdgeRejection::DestinationUnknown { destination, .. } => write!(
                f,
                "no destination {:?} is configured; add it under [destinations], or by \
                 --destination NAME=URL",
                destination.as_str()
            ),
            EdgeRejection::IdempotencyKeyInvalid { why } => {
                write!(f, "header idempotency-key {why}; use 1 to 512 printable ASCII characters")
            }
            EdgeRejection::Unavailable => f.write_str(UNAVAILABLE),
            EdgeRejection::Internal => f.write_str(INTERNAL),
        }
    }
}

fn body_too_large(max: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "the body is over the limit body_bytes_max, which is {max}; send less")
}

fn bodies_full(max: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "clients send as many bytes of bodies at once as bodies_bytes_max allows, {max}, or this \
         one sends half of them; try again later, or send less"
    )
}

fn connections_full(max: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "this address has as many connections as peer_connections_max allows, {max}; close some \
         or use them again, or raise the limit"
    )
}

fn overloaded(max: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "all connections that connections_max allows, {max}, are in use; try again later, or raise \
         the limit"
    )
}

impl std::error::Error for EdgeRejection {}

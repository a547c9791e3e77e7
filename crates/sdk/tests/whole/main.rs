//! The whole: an initiator, a coordinator in process, participants over HTTP, books that balance.

#![expect(clippy::unwrap_used, reason = "a test stops where its ground fails")]

mod canary;
mod identity;
mod plans;
mod scopes;
#[cfg(feature = "tls")]
mod tls;
mod world;

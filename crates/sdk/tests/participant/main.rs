//! Participants against real databases: the barrier's SQL equals its rules, and no order, copy or
//! crash of calls has a second effect.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod asking;
mod canary;
mod clearing;
mod forged;
mod handlers;
mod http;
mod lives;
mod outside;
mod races;
mod same_as_core;
mod schema;
mod spans;
mod transient;
mod versions;
mod world;

//! The coordinator as its clients and participants meet it: real sockets, a real log.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod bounds;
mod canary;
mod hostile;
mod identity;
mod lifecycle;
mod limits;
mod observed;
mod operators;
mod pages;
mod participant;
mod refusals;
mod requests;
mod spans;
mod tls;
mod versions;
mod whole;
mod world;

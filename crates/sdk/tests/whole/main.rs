//! The whole: an initiator, a coordinator in process, participants over HTTP, books that balance.

mod plans;
mod scopes;
mod world;

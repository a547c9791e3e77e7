//! The program as people and operators meet it: real processes, real sockets, real files.

#![expect(clippy::unwrap_used, reason = "a test stops where its ground fails")]

mod backup;
mod certificates;
mod commands;
mod identity;
mod process;
mod watched;

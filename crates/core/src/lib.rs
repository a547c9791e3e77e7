//! The protocol: what a global transaction is, how it is decided, and the loop that drives it.
//!
//! No I/O, no clock, no chance, no dependency: time, random seeds and digests arrive as values.
//! Reading order: the words (`ids` to `rejection`), the rules (`transaction`, `modes`), the loop
//! (`driver`).
#![no_std]

extern crate alloc;

pub mod barrier;
pub mod branch;
pub mod document;
pub mod driver;
pub mod effect;
pub mod ids;
pub mod input;
pub mod limits;
pub mod modes;
pub mod mutants;
pub mod plan;
pub mod record;
pub mod rejection;
pub mod retry;
pub mod time;
pub mod transaction;

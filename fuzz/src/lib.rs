//! Fuzzing: arbitrary inputs into what reads them, with the promises as oracle.
//!
//! Each target is one function over bytes that panics where a promise is broken. The program runs
//! them under libFuzzer; a plain test runs them over what was found before.

mod addresses;
mod answers;
mod capabilities;
mod configuration;
mod driver;
mod headers;
mod lists;
mod log;
mod plans;
mod records;
mod requests;
mod signatures;

use std::sync::OnceLock;

/// One thing that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its folder of found inputs, of its seeds, and on the command line.
    pub name: &'static str,
    /// Longest input worth trying, in bytes.
    pub bytes_max: usize,
    /// Runs it over one input, and panics where a promise is broken.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "records", bytes_max: 1_024, run: records::run },
    Target { name: "log", bytes_max: 512, run: log::run },
    Target { name: "requests", bytes_max: 2_048, run: requests::run },
    Target { name: "lists", bytes_max: 512, run: lists::run },
    Target { name: "headers", bytes_max: 512, run: headers::run },
    Target { name: "capabilities", bytes_max: 256, run: capabilities::run },
    Target { name: "signatures", bytes_max: 1_024, run: signatures::run },
    Target { name: "addresses", bytes_max: 640, run: addresses::run },
    Target { name: "answers", bytes_max: 1_024, run: answers::run },
    Target { name: "plans", bytes_max: 1_024, run: plans::run },
    Target { name: "configuration", bytes_max: 1_024, run: configuration::run },
    Target { name: "driver", bytes_max: 2_048, run: driver::run },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Whether a target with steps shows each: `WHOLLY_FUZZ_TRACE`, for reading what was found.
fn is_traced() -> bool {
    static TRACED: OnceLock<bool> = OnceLock::new();
    *TRACED.get_or_init(|| std::env::var_os("WHOLLY_FUZZ_TRACE").is_some())
}

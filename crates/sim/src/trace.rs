//! Trace: one line per event for people, one hash per run for machines.

use std::hash::Hasher;
use std::io::Write;
use wholly_core::retry::mix;

/// Whether lines are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// To standard output.
    Printed,
    /// Only the hash is kept.
    Hashed,
}

/// What has happened in a run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    events: u64,
    lines: Lines,
}

impl Trace {
    /// A run of which nothing has been seen yet.
    pub fn new(lines: Lines) -> Self {
        Trace { hash: 0, events: 0, lines }
    }

    /// Takes an event: its numbers into the hash, its words to the reader if there is one.
    pub fn note(&mut self, at_us: u64, numbers: [u64; 3], words: impl FnOnce() -> String) {
        self.events += 1;
        let mut hash = mix(self.hash ^ at_us);
        for number in numbers {
            hash = mix(hash ^ number);
        }
        self.hash = hash;
        match self.lines {
            Lines::Printed => {
                say(&format!("{:>6}.{:03} {}", at_us / 1_000, at_us % 1_000, words()));
            }
            Lines::Hashed => {}
        }
    }

    /// The hash of everything so far: equal for equal seeds.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Whether anybody reads the lines.
    pub fn lines(&self) -> Lines {
        self.lines
    }
}

/// Prints a line, if anybody still listens: a reader may leave before the end.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A number for a text, the same in every run and build (FNV-1a).
pub fn number_of(text: &str) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(text.as_bytes());
    hasher.finish()
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// What a reader of the lines should know.
pub const LEGEND: &str = "\
time.us  who      what
         disk     what the disk is asked, what it does, what it loses
         core     what the driver is told (<) and asks for (>): append, call, reply
         part N   participant N: a call arrives (<), a local transaction commits (=), it answers (>)
         client N initiator or submitter N: asks (>), hears (<)
         world    faults, restarts, healing";

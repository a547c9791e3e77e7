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
    let mut hasher = Fnv::default();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// A hash that is quick for short texts.
#[derive(Clone, Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

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
time.us  virtual milliseconds and microseconds since the start of the run
who      disk      what the coordinator's disk is asked, and how that went; platter P: a loss of
                   power would leave everything up to position P
         core      the driver: starts, hears (<), asks for (>) an append, a call, a reply
         part N    participant N: a call arrives (<), it commits locally (=), it answers (>)
         client N  who asks (>) and hears (<); client 0 is the operator
         world     what breaks, for whom, and what is set right; strike K is what
                   --strikes calls it
what     tN        the transaction that --only counts as N; xHEX: a gid that the coordinator issued
         bN        the branch N of its transaction
         #N        the client's own number of a request; Go: it begins; Silence: no reply in time;
                   Timer: its own pause is over; Quiet: no answer of a participant in time
         request N the coordinator's number of a request; attempt N: sendings since its start
         life N    how often it was started before
         append to P gid after V [..]
                   records that end at position P, after version V of the transaction
         Proof     the position that an effect needed, and what was known to be durable
         Begun, Registered, Answered, Decided, Stuck, Retried, Parked, Resolved, Ended
                   the records, as crates/core/src/record.rs explains them
         Done, Refused, Working, Unknown
                   answers; kept: the same will be answered again, come what may";

//! What a command prints, to a reader that may leave in the middle.

use std::fmt;
use std::io::{self, Write};

/// Prints a line to stdout, in the form of `println!`.
macro_rules! say {
    ($($line:tt)*) => { crate::out::line(format_args!($($line)*)) };
}

/// Prints a line to stdout. A reader that has gone, as `head` does, misses nothing.
pub(crate) fn line(line: fmt::Arguments<'_>) {
    // Nobody is left who could be told of a failure.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

//! How far the demonstration is: a bar on a terminal, plain lines elsewhere.

use super::play::Verdict;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// Where progress goes.
pub(crate) enum Progress {
    /// A bar that is gone at the end.
    Bar(ProgressBar),
    /// A line for each scene that ended.
    Lines {
        /// How many ended.
        done: usize,
        /// How many there are.
        all: usize,
    },
}

impl Progress {
    /// Begins with so many scenes ahead.
    pub(crate) fn start(all: usize) -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress::Lines { done: 0, all };
        }
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} scenes  {msg}");
        let bar = ProgressBar::new(u64::try_from(all).expect("a count fits 64 bits"));
        bar.set_style(style.expect("the template is well-formed"));
        Progress::Bar(bar)
    }

    /// A scene has ended.
    pub(crate) fn tell(&mut self, scene: &str, verdict: &Verdict) {
        let books = if verdict.wrong.is_empty() { "books right" } else { "BOOKS WRONG" };
        match self {
            Progress::Bar(bar) => {
                bar.set_message(format!("{scene}: {books}"));
                bar.inc(1);
            }
            Progress::Lines { done, all } => {
                *done += 1;
                eprintln!("{done} of {all}: {scene}: {}, {books}", verdict.ended);
            }
        }
    }

    /// All have.
    pub(crate) fn end(&self) {
        match self {
            Progress::Bar(bar) => bar.finish_and_clear(),
            Progress::Lines { .. } => {}
        }
    }
}

//! How far a long act is: a bar on a terminal, nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// So few are done before anybody looks.
const FEW: usize = 5;

/// A bar that is gone when this is.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Begins with so many ahead, each of which this is done to.
    pub(crate) fn over(count: usize, act: &'static str) -> Progress {
        if count <= FEW || !std::io::stderr().is_terminal() {
            return Progress(None);
        }
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos} of {len}, {eta} to go");
        let bar = ProgressBar::new(u64::try_from(count).expect("a count fits 64 bits"));
        bar.set_style(style.expect("the template is well-formed"));
        bar.set_message(act);
        Progress(Some(bar))
    }

    /// Prints above the bar.
    pub(crate) fn tell(&self, print: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// One more is over.
    pub(crate) fn step(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_printed_with_a_bar_and_without() {
        for progress in [Progress(None), Progress(Some(ProgressBar::hidden()))] {
            let mut lines = 0;
            progress.tell(|| lines += 1);
            progress.step();
            assert_eq!(lines, 1);
            assert_eq!(progress.0.as_ref().map_or(1, ProgressBar::position), 1);
        }
    }
}

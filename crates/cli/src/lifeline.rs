//! A child's lifeline: its stdin. When it ends the parent is gone, and the child goes too.

use crate::complaint::{Complaint, Kind};
use std::io::BufRead;
use tokio::sync::mpsc;

/// The parent at the other end of stdin.
pub(crate) struct Lifeline {
    lines: mpsc::Receiver<String>,
}

impl Lifeline {
    /// Listens to stdin on a thread of its own: reading it cannot be given up otherwise.
    pub(crate) fn start() -> Lifeline {
        let (tell, lines) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut said = std::io::stdin().lock().lines().map_while(Result::ok);
            // A parent says a line at most; whoever does not listen has no use for it.
            while said.next().is_some_and(|line| tell.blocking_send(line).is_ok()) {}
        });
        Lifeline { lines }
    }

    /// The next line that the parent says.
    pub(crate) async fn line(&mut self) -> Result<String, Complaint> {
        let line = self.lines.recv().await;
        line.ok_or_else(|| Complaint::new(Kind::NotDone, "stdin ended before its first line"))
    }

    /// Waits until the parent is gone.
    pub(crate) async fn ended(&mut self) {
        while self.lines.recv().await.is_some() {}
    }
}

//! What may ask a process to stop: a terminal, an operator, the end of its parent.

use crate::complaint::{Complaint, Kind};
use crate::lifeline::Lifeline;

/// Everything that may ask for a stop.
pub(crate) struct Stop {
    lifeline: Option<Lifeline>,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens for SIGTERM, and to the parent if there is one.
    pub(crate) fn listen(lifeline: Option<Lifeline>) -> Result<Stop, Complaint> {
        #[cfg(unix)]
        let terminate = {
            use tokio::signal::unix::{SignalKind, signal};
            signal(SignalKind::terminate()).map_err(|error| {
                Complaint::because(Kind::NotDone, "SIGTERM cannot be listened for", &error)
                    .means("nothing was started")
            })?
        };
        Ok(Stop {
            lifeline,
            #[cfg(unix)]
            terminate,
        })
    }

    /// Waits until one of them asks: SIGINT, SIGTERM, the end of the parent.
    pub(crate) async fn asked(&mut self) {
        let parent = async {
            match &mut self.lifeline {
                Some(lifeline) => lifeline.ended().await,
                None => std::future::pending().await,
            }
        };
        #[cfg(unix)]
        let terminate = self.terminate.recv();
        #[cfg(not(unix))]
        let terminate = std::future::pending::<Option<()>>();
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate => {}
            () = parent => {}
        }
    }
}

//! What asks a coordinator to read its destinations again.

use crate::complaint::{Complaint, Kind};
use wholly_server::Config;

/// SIGHUP, where it means that.
pub(crate) struct Reload {
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Reload {
    /// Listens for SIGHUP; but a developer's coordinator ends with its terminal, which sends it.
    #[cfg(unix)]
    pub(crate) fn listen(config: &Config) -> Result<Reload, Complaint> {
        use tokio::signal::unix::{SignalKind, signal};
        if config.dev {
            return Ok(Reload { hangup: None });
        }
        let hangup = signal(SignalKind::hangup()).map_err(|error| {
            Complaint::because(Kind::NotDone, "SIGHUP cannot be listened for", &error)
                .means("nothing was started")
                .advice("see that this process may handle signals")
        })?;
        Ok(Reload { hangup: Some(hangup) })
    }

    /// Waits until it is asked for.
    pub(crate) async fn asked(&mut self) {
        #[cfg(unix)]
        if let Some(hangup) = &mut self.hangup
            && hangup.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

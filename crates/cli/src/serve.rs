//! `wholly serve`: the coordinator as a process, until it is told to stop.

use crate::arguments::Serve;
use crate::complaint::{Complaint, Kind};
use crate::demo::READY;
use crate::lifeline::Lifeline;
use crate::stop::Stop;
use wholly_server::config::ConfigError;
use wholly_server::{Config, Coordinator, Flags, ServeError};

/// Serves until SIGINT, SIGTERM or the end of its parent; then stops in good order.
pub(crate) async fn run(serve: Serve) -> Result<(), Complaint> {
    let lifeline = serve.until_stdin_ends.then(Lifeline::start);
    let config = Config::load(&flags(serve), variables()).map_err(|error| wrong(&error))?;
    let mut stop = Stop::listen(lifeline)?;
    let running = Coordinator::start(config).await.map_err(|error| not_started(&error))?;
    tracing::info!("{}", running.greeting());
    say!("{READY}{}", running.url());
    tokio::select! {
        () = stop.asked() => {
            tracing::info!("stopping: no new transactions; what is open goes on at the next start");
            running.stop().await.map_err(|error| stopped(&error))
        }
        why = running.failed() => {
            running.abandon();
            Err(stopped(&ServeError::Failed { why }))
        }
    }
}

fn flags(serve: Serve) -> Flags {
    Flags {
        config: serve.config,
        data: serve.data,
        listen: serve.listen,
        dev: serve.dev,
        insecure: serve.insecure,
        destinations: serve.destinations,
        set: serve.set,
        trace_effects: serve.trace_effects,
    }
}

/// The environment, as far as it is text.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.into_string().ok()?))
    })
}

fn wrong(error: &ConfigError) -> Complaint {
    Complaint::because(Kind::Usage, "the configuration is wrong", error)
        .means("nothing was started, no file was touched")
        .advice("correct it; `wholly serve --help` names the flags")
}

fn not_started(error: &ServeError) -> Complaint {
    Complaint::because(Kind::NotDone, "the coordinator did not start", error)
        .means("nothing was changed; what its log holds is safe and goes on at the next start")
}

fn stopped(error: &ServeError) -> Complaint {
    Complaint::because(Kind::NotDone, "the coordinator did not stop in good order", error)
        .means("whatever was acknowledged is in the log; nothing further was promised")
        .advice("see to the cause, then start it again on the same folder")
}

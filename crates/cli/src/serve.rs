//! `wholly serve`: the coordinator as a process, until it is told to stop.

use crate::arguments::Serve;
use crate::complaint::{Complaint, Kind};
use crate::demo::READY;
use crate::lifeline::Lifeline;
use crate::stop::Stop;
use tokio::signal::unix::{SignalKind, signal};
use wholly_server::config::ConfigError;
use wholly_server::{Config, Coordinator, Flags, Running, ServeError};

/// Serves until SIGINT, SIGTERM or the end of its parent; then stops in good order. On SIGHUP it
/// reads its destinations again.
pub(crate) async fn run(serve: Serve) -> Result<(), Complaint> {
    let lifeline = serve.until_stdin_ends.then(Lifeline::start);
    let flags = flags(serve);
    let config = Config::load(&flags, variables()).map_err(|error| wrong(&error))?;
    let mut stop = Stop::listen(lifeline)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| {
        Complaint::because(Kind::NotDone, "SIGHUP cannot be listened for", &error)
            .means("nothing was started")
    })?;
    let running = Coordinator::start(config).await.map_err(|error| not_started(&error))?;
    tracing::info!("{}", running.greeting());
    say!("{READY}{}", running.url());
    loop {
        tokio::select! {
            () = stop.asked() => break,
            why = running.failed() => {
                running.abandon();
                return Err(stopped(&ServeError::Failed { why }));
            }
            _ = hangup.recv() => reread(&running, &flags),
        }
    }
    tracing::info!("stopping: no new transactions; what is open goes on at the next start");
    running.stop().await.map_err(|error| stopped(&error))
}

/// Takes the destinations from the configuration as it stands; a wrong one changes nothing.
fn reread(running: &Running, flags: &Flags) {
    let read = Config::load(flags, variables());
    let taken = read.map_err(|error| wrong(&error).to_string()).and_then(|config| {
        let names: Vec<&str> = config.destinations.keys().map(String::as_str).collect();
        let names = names.join(" ");
        running.replace_destinations(&config).map(|()| names).map_err(|error| error.to_string())
    });
    match taken {
        Ok(names) => tracing::info!(%names, "the destinations were read again"),
        Err(why) => tracing::error!(%why, "the destinations stay as they were"),
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

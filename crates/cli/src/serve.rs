//! `wholly serve`: the coordinator as a process, until it is told to stop.

use crate::arguments::Serve;
use crate::complaint::{Complaint, Kind, chain};
use crate::demo::READY;
use crate::lifeline::Lifeline;
use crate::notify::{Stage, notify};
use crate::reload::Reload;
use crate::stop::Stop;
use wholly_server::config::ConfigError;
use wholly_server::{
    ArchiveError, Config, Coordinator, Flags, FolderError, OpenError, Running, ServeError,
};

/// Serves until SIGINT, SIGTERM or the end of its parent; then stops in good order. SIGHUP lets it
/// read its destinations again.
pub(crate) async fn run(serve: Serve) -> Result<(), Complaint> {
    let lifeline = serve.until_stdin_ends.then(Lifeline::start);
    let prints = serve.print_config;
    let flags = flags(serve);
    let config = Config::load(&flags, variables()).map_err(|error| wrong(&error))?;
    if prints {
        return print_config(config);
    }
    let mut stop = Stop::listen(lifeline)?;
    let mut reload = Reload::listen(&config)?;
    let running = Coordinator::start(config).await.map_err(|error| not_started(&error))?;
    tracing::info!("{}", running.greeting());
    say!("{READY}{}", running.url());
    notify(Stage::Ready);
    loop {
        tokio::select! {
            () = stop.asked() => {
                notify(Stage::Stopping);
                tracing::info!(
                    "stopping: no new transactions; what is open goes on at the next start"
                );
                return running.stop().await.map_err(|error| stopped(&error));
            }
            () = reload.asked() => load_destinations(&running, &flags),
            why = running.failed() => {
                running.abandon();
                return Err(stopped(&ServeError::Failed { why }));
            }
        }
    }
}

/// Reads the configuration again; calls the destinations, knows the credentials and shows the
/// certificate in it from here on. Those of before stay where it is wrong.
fn load_destinations(running: &Running, flags: &Flags) {
    const KEPT: &str = "the configuration is wrong; the destinations of before stay, and so do \
                        credentials and certificates";
    let config = match Config::load(flags, variables()) {
        Ok(config) => config,
        Err(error) => return tracing::error!(error = %chain(&error), "{KEPT}"),
    };
    match running.reload(&config) {
        Ok(()) => {
            let (destinations, credentials) = (config.destinations.len(), config.credentials.len());
            tracing::info!(destinations, credentials, "the destinations were read again");
        }
        Err(error) => tracing::error!(error = %chain(&error), "{KEPT}"),
    }
}

/// Prints what a coordinator with this configuration would run under.
fn print_config(mut config: Config) -> Result<(), Complaint> {
    config.fit_open_files().map_err(|error| not_started(&error.into()))?;
    say!("{}", config.effective().trim_end());
    Ok(())
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
    const GOES_ON: &str = "no transaction was changed; what is open goes on at the next start";
    let (means, advice) = match error {
        ServeError::Folder(error) => folder(error),
        ServeError::Log(error) => log(error),
        ServeError::Tls(_) | ServeError::Entrance(_) => {
            ("no file was touched", "see to that file, then start it again")
        }
        ServeError::Destination(_) => ("no file was touched", "correct the destination"),
        ServeError::Collector { .. } => ("no file was touched", "correct tracing.otlp"),
        ServeError::NobodyKnown => ("nothing was changed", "name a credential"),
        ServeError::Descriptors(_) => {
            ("no file was touched", "raise the limit of open files, then start it again")
        }
        ServeError::Listen { .. } => (
            "no file was touched",
            "stop what listens there, or give an address of this machine that is free",
        ),
        ServeError::Trace { .. } => {
            (GOES_ON, "name a file that can be written, or leave --trace-effects out")
        }
        ServeError::Paused { .. } => (GOES_ON, "raise calls.destinations_max, then start it again"),
        ServeError::Random { .. } => (GOES_ON, "see that the system gives random numbers"),
        ServeError::Failed { .. } => (GOES_ON, "see to the cause, then start it again"),
    };
    Complaint::because(Kind::NotDone, "the coordinator did not start", error)
        .means(means)
        .advice(advice)
}

/// What a folder that cannot be used means, and what to do.
fn folder(error: &FolderError) -> (&'static str, &'static str) {
    match error {
        FolderError::Disk { .. } => (
            "no transaction was changed",
            "see that the data folder can be read and written, then start it again",
        ),
        FolderError::Orders { .. } => (
            "no transaction was changed; what should rest or begin nothing is not known",
            "mend or remove orders.json, then start it again; order anew what should hold",
        ),
        FolderError::Damaged { .. } | FolderError::Missing { .. } => (
            "no transaction was changed; without that file clients and participants would not \
             know this coordinator again",
            "restore that one file from a copy of this data folder, then start it again",
        ),
        FolderError::Backup { .. } => (
            "nothing was changed; a coordinator that started on it would not know what was begun \
             and decided since",
            "put it back first: wholly restore BACKUP --data DIR",
        ),
    }
}

/// What a log that cannot be used means, and what to do.
pub(crate) fn log(error: &OpenError) -> (&'static str, &'static str) {
    const UNCHANGED: &str = "no transaction was changed";
    match error {
        OpenError::InUse { .. } => (
            "nothing was changed; the process that has the folder goes on",
            "stop that process, or name another folder with --data",
        ),
        OpenError::Folder { .. } | OpenError::List { .. } => {
            (UNCHANGED, "see that the data folder can be read and written, then start it again")
        }
        OpenError::Newer { .. } => (
            "nothing was changed; what the log holds is safe",
            "start the release that wrote it, or a later one",
        ),
        OpenError::Read { .. } => (
            "nothing was changed; whether what cannot be read is lost is not known",
            "see to the disk; what it cannot give back, restore from a copy of the data folder",
        ),
        OpenError::Archive(ArchiveError::Newer { .. }) => (
            "nothing was changed; what the archive holds is safe",
            "start the release that wrote it, or a later one",
        ),
        OpenError::Archive(
            ArchiveError::Disk { .. } | ArchiveError::Log(_) | ArchiveError::Thread,
        ) => (UNCHANGED, "see that the archive can be read and written, then start it again"),
        OpenError::Archive(ArchiveError::Damaged { .. }) => (
            "nothing was changed; outcomes may be lost, what is open is in the log",
            "keep the folder as it is for a look, and start on a whole copy of it",
        ),
        OpenError::ArchiveMissing { .. } | OpenError::ArchiveAhead { .. } => (
            "nothing was changed; log and archive are not of the same time, so that either \
             decisions or outcomes are missing",
            "restore both together from one copy of the data folder",
        ),
        OpenError::Damaged { .. } | OpenError::Missing { .. } => (
            "nothing was changed, but decisions may be lost: participants may hold what nobody \
             tells them to keep or to undo",
            "keep the folder as it is for a look, and start on a whole copy of it",
        ),
        OpenError::Failed(_) => (
            "whatever was acknowledged is in the log; nothing was promised since",
            "see to the disk, then start it again",
        ),
        OpenError::Thread { .. } => (UNCHANGED, "see that this process may start threads"),
    }
}

fn stopped(error: &ServeError) -> Complaint {
    Complaint::because(Kind::NotDone, "the coordinator did not stop in good order", error)
        .means("whatever was acknowledged is in the log; nothing further was promised")
        .advice("see to the cause, then start it again on the same folder")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;
    use std::path::PathBuf;

    #[test]
    fn what_it_means_for_the_data_depends_on_what_is_wrong() {
        let check = |error: ServeError, data: &str, to_do: &str| {
            let said = not_started(&error).to_string();
            let (_, means) = said.split_once("\n  data: ").unwrap();
            let (means, advice) = means.split_once("\n  to do: ").unwrap();
            assert!(means.contains(data) && advice.contains(to_do), "{said}");
        };
        let path = || PathBuf::from("/d/capability.key");
        let listen = "127.0.0.1:7700".parse().unwrap();
        let taken = ServeError::Listen { listen, source: Error::other("in use") };
        check(taken, "no file was touched", "free");
        let damaged = FolderError::Damaged { path: path(), why: "it is short".into() };
        check(damaged.into(), "would not know this coordinator", "from a copy");
        let backup = FolderError::Backup { path: path() };
        check(backup.into(), "what was begun and decided since", "wholly restore");
        let missing = FolderError::Missing { path: path() };
        check(missing.into(), "would not know this coordinator", "from a copy");
        check(OpenError::InUse { path: path() }.into(), "goes on", "--data");
        let newer = OpenError::Newer { segment: Default::default(), version: 2, known: 1 };
        check(newer.into(), "is safe", "a later one");
        let torn = OpenError::Damaged {
            segment: Default::default(),
            offset: 7,
            what: "no checksum".into(),
        };
        check(torn.into(), "decisions may be lost", "a whole copy");
        let gone = OpenError::Missing { segment: Default::default() };
        check(gone.into(), "decisions may be lost", "a whole copy");
        let unread =
            OpenError::Read { segment: Default::default(), cause: Error::other("bad sector") };
        check(unread.into(), "is not known", "see to the disk");
        let trace = ServeError::Trace { path: path(), source: Error::other("read-only") };
        check(trace, "goes on at the next start", "--trace-effects");
    }
}

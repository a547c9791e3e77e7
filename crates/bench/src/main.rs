//! The measure: what a coordinator gives and takes, always beside something of the same run.

mod client;
mod ended;
mod floor;
mod isolation;
mod load;
mod open;
mod paired;
mod participants;
mod process;
mod report;
mod soak;
mod steady;
mod throughput;

use clap::{Parser, Subcommand};
use client::Broken;
use paired::Subject;
use participants::Believes;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the coordinator; without a command, its throughput beside the floor.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Measure>,
    /// Shorter and fewer slices.
    #[arg(long, global = true)]
    quick: bool,
    /// One JSON document instead of a table.
    #[arg(long, global = true)]
    json: bool,
    /// The program to measure.
    #[arg(long, global = true, default_value = "target/release/wholly")]
    wholly: PathBuf,
    /// Where data folders and the floor's log are made; a real disk.
    #[arg(long, global = true, default_value = "target")]
    folder: PathBuf,
    /// Be a child of this process, and end with it.
    #[arg(long, hide = true)]
    parent: Option<u32>,
    /// Be the floor, with its log in this folder.
    #[arg(long, hide = true, requires = "participants")]
    floor: Option<PathBuf>,
    /// Whom the floor calls.
    #[arg(long, hide = true)]
    participants: Option<SocketAddr>,
    /// Be a participant with books in this folder, over the listener that stands at stdin.
    #[arg(long, hide = true)]
    books: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Measure {
    /// What a dead destination takes from healthy ones.
    Isolation(isolation::Options),
    /// Lists, starts and memory beside 10⁶ ended transactions.
    Ended,
    /// What signatures take of the whole path.
    Signed,
    /// What spans take of it, where a collector takes them.
    Spans,
    /// What TLS takes of it, of clients and participants alike.
    Tls,
    /// What another build gives beside this one.
    Build(paired::Build),
    /// A long load with kills: nothing lost, nothing twice, memory and descriptors flat.
    Soak(soak::Options),
}

/// What every measure stands on.
pub(crate) struct Ground {
    pub(crate) program: PathBuf,
    /// Removed in the end.
    pub(crate) folder: PathBuf,
    /// Where empty participants listen.
    pub(crate) participants: SocketAddr,
    pub(crate) length: Length,
    pub(crate) form: Form,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Quick,
    Full,
}

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
}

impl Ground {
    /// Says how far it is, where no program reads along.
    pub(crate) fn say(&self, text: &str) {
        match self.form {
            Form::Text => eprintln!("{text}"),
            Form::Json => {}
        }
    }

    /// A folder that is removed as soon as it is let go.
    pub(crate) fn fresh_folder(&self, name: &str) -> Result<TempDir, Broken> {
        let folder = tempfile::Builder::new().prefix(name).tempdir_in(&self.folder);
        folder.map_err(|e| Broken(format!("a folder in {}: {e}", self.folder.display())))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    match runtime.block_on(run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Broken(why)) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Broken> {
    match arguments.parent {
        Some(parent) => tokio::select! {
            ended = child(arguments) => ended,
            () = process::orphaned(parent) => Ok(()),
        },
        None => tokio::select! {
            ended = measure(arguments) => ended,
            () = interrupted() => Err(Broken("interrupted".into())),
        },
    }
}

/// What this program is when it has started itself.
async fn child(arguments: &Arguments) -> Result<(), Broken> {
    if let (Some(folder), Some(participants)) = (&arguments.floor, arguments.participants) {
        let served = floor::serve(folder, participants).await;
        return served.map_err(|e| Broken(format!("the floor: {e}")));
    }
    match &arguments.books {
        Some(folder) => soak::books::serve(folder).await,
        None => Err(Broken("a child must be something".into())),
    }
}

async fn measure(arguments: &Arguments) -> Result<(), Broken> {
    let folder = tempfile::tempdir_in(&arguments.folder)
        .map_err(|e| Broken(format!("a folder in {}: {e}", arguments.folder.display())))?;
    let participants = participants::serve(Believes::All, None)
        .await
        .map_err(|e| Broken(format!("participants: {e}")))?;
    let ground = Ground {
        program: arguments.wholly.clone(),
        folder: folder.path().to_path_buf(),
        participants,
        length: if arguments.quick { Length::Quick } else { Length::Full },
        form: if arguments.json { Form::Json } else { Form::Text },
    };
    match &arguments.command {
        None => throughput::run(&ground).await,
        Some(Measure::Isolation(options)) => isolation::run(&ground, options).await,
        Some(Measure::Ended) => ended::run(&ground).await,
        Some(Measure::Signed) => paired::run(&ground, &Subject::Signed).await,
        Some(Measure::Spans) => paired::run(&ground, &Subject::Spans).await,
        Some(Measure::Tls) => paired::run(&ground, &Subject::Tls).await,
        Some(Measure::Build(build)) => paired::run(&ground, &Subject::Build(build.clone())).await,
        Some(Measure::Soak(options)) => soak::run(&ground, options).await,
    }
}

/// Whoever stops us lets us remove what we made; children go with us.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

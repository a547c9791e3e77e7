//! The measure: throughput, latency, CPU, forced writes and bytes, beside the floor of one run.
//!
//! Coordinator and floor take turns in short slices, so that a change of the machine's speed
//! meets both; every figure is a median over the slices.

mod client;
mod floor;
mod load;
mod open;
mod participants;
mod process;
mod report;

use clap::Parser;
use client::Broken;
use load::{Server, Workload};
use process::Coordinator;
use report::{Row, Sample};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the coordinator beside the floor.
#[derive(Parser)]
struct Arguments {
    /// 64 clients only, short slices.
    #[arg(long)]
    quick: bool,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
    /// The program to measure.
    #[arg(long, default_value = "target/release/wholly")]
    wholly: PathBuf,
    /// Where data folders and the floor's log are made; a real disk.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Be the floor, with its log in this folder.
    #[arg(long, hide = true, requires = "participants")]
    floor: Option<PathBuf>,
    /// Whom the floor calls.
    #[arg(long, hide = true)]
    participants: Option<SocketAddr>,
}

/// What is measured.
struct Course {
    clients: &'static [usize],
    pairs: usize,
    slice: Duration,
}

const FULL: Course = Course { clients: &[1, 16, 64, 256], pairs: 5, slice: Duration::from_secs(3) };
const QUICK: Course = Course { clients: &[64], pairs: 3, slice: Duration::from_secs(2) };

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
    if let (Some(folder), Some(participants)) = (&arguments.floor, arguments.participants) {
        return floor::serve(folder, participants)
            .await
            .map_err(|e| Broken(format!("the floor: {e}")));
    }
    let folder = tempfile::tempdir_in(&arguments.folder)
        .map_err(|e| Broken(format!("a folder in {}: {e}", arguments.folder.display())))?;
    let participants =
        participants::serve().await.map_err(|e| Broken(format!("participants: {e}")))?;
    let course = match arguments.quick {
        true => QUICK,
        false => FULL,
    };
    let coordinator = Coordinator {
        program: arguments.wholly.clone(),
        data: folder.path().join("data"),
        participants,
    };
    let rows = measure(&course, &coordinator, folder.path(), arguments).await?;
    let open = match arguments.quick {
        true => None,
        false => Some(open::measure(&coordinator, folder.path()).await?),
    };
    report::print(&rows, open.as_ref(), arguments.json);
    Ok(())
}

async fn measure(
    course: &Course,
    coordinator: &Coordinator,
    folder: &Path,
    arguments: &Arguments,
) -> Result<Vec<Row>, Broken> {
    let (server, _) = coordinator.start().await?;
    let floor = process::start_floor(folder, coordinator.participants).await?;
    let mut rows = Vec::new();
    for workload in [Workload::Saga, Workload::Tcc] {
        for clients in course.clients {
            if !arguments.json {
                eprintln!("{}, {clients} clients", workload.name());
            }
            let slice =
                |target, address| load::run(address, target, workload, *clients, course.slice);
            // Connections, caches and the first pages of the log are not what is measured.
            let warm = Duration::from_millis(500);
            load::run(server.address, Server::Coordinator, workload, *clients, warm).await?;
            load::run(floor.address, Server::Floor, workload, *clients, warm).await?;
            let mut samples = Vec::new();
            for _ in 0..course.pairs {
                let before = Counters::read(&server).await?;
                let own = slice(Server::Coordinator, server.address).await?;
                let after = Counters::read(&server).await?;
                let floor_cpu = floor.cpu_seconds()?;
                let beside = slice(Server::Floor, floor.address).await?;
                let floor_cpu = floor.cpu_seconds()? - floor_cpu;
                samples.push(Sample { own, beside, spent: after.since(&before), floor_cpu });
            }
            rows.push(Row::new(workload, *clients, &samples));
        }
    }
    server.kill().await?;
    floor.kill().await?;
    Ok(rows)
}

/// What a coordinator has spent.
pub(crate) struct Counters {
    pub(crate) cpu_seconds: f64,
    pub(crate) syncs: f64,
    pub(crate) log_bytes: f64,
}

impl Counters {
    async fn read(server: &process::Server) -> Result<Counters, Broken> {
        Ok(Counters {
            cpu_seconds: server.cpu_seconds()?,
            syncs: server.metric("wholly_log_flushes_total").await?,
            log_bytes: server.metric("wholly_log_batch_bytes_total").await?,
        })
    }

    fn since(&self, before: &Counters) -> Counters {
        Counters {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            syncs: self.syncs - before.syncs,
            log_bytes: self.log_bytes - before.log_bytes,
        }
    }
}

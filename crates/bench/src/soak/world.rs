//! The world of a soak: a coordinator and two participants with books, each a process that is
//! killed and started again; looked at from outside.

use super::books::Sum;
use super::crowd::Told;
use super::sample::Sample;
use crate::Ground;
use crate::client::{Broken, Client, Target};
use crate::process::{self, Coordinator, Server};
use bytes::Bytes;
use hdrhistogram::Histogram;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::watch;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Coordinator,
    A,
    B,
}

pub(super) struct World<'a> {
    ground: &'a Ground,
    how: Coordinator,
    /// None while it is being killed and started.
    server: Option<Server>,
    participants: [Participant; 2],
    addresses: watch::Sender<SocketAddr>,
    life: u32,
    kills: (u32, u32),
}

/// A process with books, and the listener that outlives it.
struct Participant {
    listener: TcpListener,
    folder: PathBuf,
    server: Option<Server>,
}

impl Participant {
    async fn start(folder: PathBuf) -> Result<Participant, Broken> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .map_err(|e| Broken(format!("listening failed: {e}")))?;
        let mut participant = Participant { listener, folder, server: None };
        participant.begin_life().await?;
        Ok(participant)
    }

    async fn begin_life(&mut self) -> Result<(), Broken> {
        let listener = self.listener.try_clone();
        let listener = listener.map_err(|e| Broken(format!("sharing a listener: {e}")))?;
        let mut command = process::ourselves()?;
        command.arg("--books").arg(&self.folder).stdin(Stdio::from(OwnedFd::from(listener)));
        self.server = Some(process::spawn(command, "").await?);
        Ok(())
    }

    fn address(&self) -> Result<SocketAddr, Broken> {
        self.listener.local_addr().map_err(|e| Broken(format!("its address: {e}")))
    }

    async fn sum(&self) -> Result<Sum, Broken> {
        let mut client = Client::connect(&Target::from(self.address()?)).await?;
        let (_, body) = client.send("GET", "/sum", &[], Bytes::new()).await?;
        serde_json::from_slice(&body).map_err(|e| Broken(format!("the books' sum: {e}")))
    }
}

impl World<'_> {
    pub(super) async fn start(ground: &Ground, retention: Duration) -> Result<World<'_>, Broken> {
        let folder = |name: &str| ground.folder.join(name);
        let participants = [
            Participant::start(folder("books-a")).await?,
            Participant::start(folder("books-b")).await?,
        ];
        let mut how = Coordinator::new(&ground.program, folder("data"), ground.participants);
        how.destinations =
            vec![("a", participants[0].address()?), ("b", participants[1].address()?)];
        how.settings = vec![
            format!("transactions.retention_ms={}", retention.as_millis()),
            "calls.timeout_ms=1000".into(),
            "calls.backoff_ms_max=1000".into(),
            "log.segment_bytes=16777216".into(),
        ];
        let (server, _) = how.start().await?;
        let addresses = watch::Sender::new(server.address);
        let server = Some(server);
        Ok(World { ground, how, server, participants, addresses, life: 1, kills: (0, 0) })
    }

    /// Where the coordinator is, in each of its lives.
    pub(super) fn addresses(&self) -> watch::Receiver<SocketAddr> {
        self.addresses.subscribe()
    }

    fn server(&self) -> Result<&Server, Broken> {
        self.server.as_ref().ok_or_else(|| Broken("the coordinator was not started again".into()))
    }

    /// Kills one as a crash would, and starts it again.
    pub(super) async fn kill(&mut self, victim: Victim) -> Result<(), Broken> {
        let participant = match victim {
            Victim::Coordinator => {
                if let Some(server) = self.server.take() {
                    server.kill().await?;
                }
                let (server, _) = self.how.start().await?;
                self.addresses.send_replace(server.address);
                self.server = Some(server);
                self.life += 1;
                self.kills.0 += 1;
                return Ok(());
            }
            Victim::A => &mut self.participants[0],
            Victim::B => &mut self.participants[1],
        };
        if let Some(server) = participant.server.take() {
            server.kill().await?;
        }
        participant.begin_life().await?;
        self.kills.1 += 1;
        Ok(())
    }

    /// What it takes and gives, with the times of what has ended since the last look.
    pub(super) async fn look(
        &self,
        since_start: Duration,
        since_last: Duration,
        took: &Histogram<u64>,
    ) -> Result<Sample, Broken> {
        let server = self.server()?;
        Ok(Sample {
            seconds: since_start.as_secs_f64(),
            life: self.life,
            kills: self.kills,
            per_second: took.len() as f64 / since_last.as_secs_f64(),
            p99_ms: took.value_at_quantile(0.99) as f64 / 1_000.0,
            memory_mib: server.memory_mib()?,
            descriptors: server.descriptors()?,
            threads: server.threads()?,
            data_mib: bytes_in(&self.how.data) as f64 / f64::from(1 << 20),
            open: server.metric("wholly_transactions").await?,
        })
    }

    /// Waits until nothing is left that has not ended; says how long that took.
    pub(super) async fn all_ended(&self, most: Duration) -> Result<Duration, Broken> {
        let begun = Instant::now();
        loop {
            let open = self.server()?.metric("wholly_transactions").await?;
            if open == 0.0 {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > most {
                return Err(Broken(format!("{open} transactions have not ended after {most:?}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The books beside what clients were told; says what does not add up.
    pub(super) async fn compare(&self, told: &Told) -> Result<Vec<String>, Broken> {
        let applied = told.committed as i64;
        let expected = Sum { applied, hashes: told.hashes, held: 0 };
        let mut wrong = Vec::new();
        for (name, participant) in ["a", "b"].into_iter().zip(&self.participants) {
            let sum = participant.sum().await?;
            if sum != expected {
                wrong.push(format!("the books of {name} say {sum:?} instead of {expected:?}"));
            }
        }
        Ok(wrong)
    }

    /// Whether the archive's first slice is gone.
    pub(super) fn has_turned_over(&self) -> Result<bool, Broken> {
        let folder = self.how.data.join("archive");
        let first = folder.join("0000000001.slice");
        match folder.is_dir() {
            true => Ok(!first.exists()),
            false => Err(Broken(format!("there is no archive in {}", folder.display()))),
        }
    }

    /// Stops the coordinator in good order and has its folder read as a start would.
    pub(super) async fn stop_and_check(&mut self) -> Result<(), Broken> {
        if let Some(server) = self.server.take() {
            server.stop().await?;
        }
        let mut command = Command::new(&self.ground.program);
        command.args(["check", "data"]).arg(&self.how.data).kill_on_drop(true);
        let output = command.output().await.map_err(|e| Broken(format!("{command:?}: {e}")))?;
        match output.status.success() {
            true => Ok(()),
            false => {
                let said = String::from_utf8_lossy(&output.stdout);
                Err(Broken(format!("`check data` ended with {}: {said}", output.status)))
            }
        }
    }
}

/// The sizes of all files; one that goes away meanwhile counts nothing.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&entry.path()),
        Ok(found) => found.len(),
        Err(_gone) => 0,
    };
    entries.flatten().map(size).sum()
}

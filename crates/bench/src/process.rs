//! Child processes: started on free ports, measured from outside, ended with us.
//!
//! A coordinator stops when its standard input ends, and children of this program when they have
//! another parent: so none outlives us, however we end.

use crate::client::{Broken, Client, Target};
use bytes::Bytes;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Clock ticks per second in /proc, fixed by the kernel's interface for user programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// How soon a child notices that it is alone.
const PARENT_LOOKED_AT_EVERY: Duration = Duration::from_millis(200);

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// How a coordinator is started.
#[derive(Clone, Debug)]
pub(crate) struct Coordinator {
    /// The program `wholly`.
    pub(crate) program: PathBuf,
    /// Its data folder.
    pub(crate) data: PathBuf,
    /// Whom it calls, and where they listen.
    pub(crate) destinations: Vec<(&'static str, SocketAddr)>,
    /// What is set otherwise than by default, each as `key=value`.
    pub(crate) settings: Vec<String>,
    /// Its configuration file.
    pub(crate) config: Option<PathBuf>,
}

impl Coordinator {
    /// One that calls `a` and `b`, which listen at the same place.
    pub(crate) fn new(program: &Path, data: PathBuf, participants: SocketAddr) -> Coordinator {
        Coordinator {
            program: program.to_path_buf(),
            data,
            destinations: vec![("a", participants), ("b", participants)],
            settings: Vec::new(),
            config: None,
        }
    }

    /// Starts it and waits until it says that it serves; says how long that took.
    pub(crate) async fn start(&self) -> Result<(Server, Duration), Broken> {
        let start = Instant::now();
        let mut command = Command::new(&self.program);
        command.args(["serve", "--until-stdin-ends", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(&self.data);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        for (name, address) in &self.destinations {
            command.arg("--destination").arg(format!("{name}=http://{address}"));
        }
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command.env("WHOLLY_LOG", "error").stdin(Stdio::piped());
        let server = spawn(command, "ready ").await?;
        Ok((server, start.elapsed()))
    }
}

/// This program again, in another part: it ends when we do.
pub(crate) fn ourselves() -> Result<Command, Broken> {
    let program = std::env::current_exe().map_err(|e| Broken(format!("own path: {e}")))?;
    let mut command = Command::new(program);
    command.arg("--parent").arg(std::process::id().to_string()).stdin(Stdio::null());
    Ok(command)
}

/// Ends when somebody else has become the parent: whoever started us is gone.
pub(crate) async fn orphaned(parent: u32) {
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(PARENT_LOOKED_AT_EVERY).await;
    }
}

/// Starts the floor.
pub(crate) async fn start_floor(folder: &Path, participants: SocketAddr) -> Result<Server, Broken> {
    let mut command = ourselves()?;
    command.arg("--floor").arg(folder).arg("--participants").arg(participants.to_string());
    spawn(command, "").await
}

/// Starts a server and reads its address from the line that begins so.
pub(crate) async fn spawn(mut command: Command, begins: &str) -> Result<Server, Broken> {
    let mut child = command
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| Broken(format!("{command:?}: {e}")))?;
    let output = child.stdout.take().ok_or_else(|| Broken("a server has no output".into()))?;
    let mut lines = BufReader::new(output).lines();
    loop {
        let line = lines.next_line().await.map_err(|e| Broken(format!("its output: {e}")))?;
        let line = line.ok_or_else(|| Broken(format!("{command:?} ended before it served")))?;
        if let Some(text) = line.trim().strip_prefix(begins) {
            let text = text.split_once("://").map_or(text, |(_scheme, address)| address);
            let address = text.parse().map_err(|e| Broken(format!("address {text:?}: {e}")))?;
            return Ok(Server { child, address });
        }
    }
}

impl Server {
    /// Kills it at once, as a crash would, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<(), Broken> {
        self.child.kill().await.map_err(|e| Broken(format!("kill: {e}")))
    }

    /// Stops it in good order.
    pub(crate) async fn stop(mut self) -> Result<(), Broken> {
        drop(self.child.stdin.take());
        let ended = self.child.wait().await.map_err(|e| Broken(format!("waiting: {e}")))?;
        match ended.success() {
            true => Ok(()),
            false => Err(Broken(format!("a server ended with {ended}"))),
        }
    }

    /// CPU seconds it has used, user and system.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Broken> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        match (ticks(11), ticks(12)) {
            (Some(user), Some(system)) => Ok((user + system) / TICKS_PER_SECOND),
            (_, _) => Err(Broken("/proc gives no CPU time".into())),
        }
    }

    /// Resident memory in MiB.
    pub(crate) fn memory_mib(&self) -> Result<f64, Broken> {
        self.status("VmRSS:").map(|kib| kib / 1024.0)
    }

    /// Threads.
    pub(crate) fn threads(&self) -> Result<f64, Broken> {
        self.status("Threads:")
    }

    /// Files and sockets that it has open.
    pub(crate) fn descriptors(&self) -> Result<f64, Broken> {
        let folder = format!("/proc/{}/fd", self.id()?);
        let entries = std::fs::read_dir(&folder);
        entries.map(|all| all.count() as f64).map_err(|e| Broken(format!("{folder}: {e}")))
    }

    fn status(&self, name: &str) -> Result<f64, Broken> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|text| text.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| Broken(format!("/proc gives no {name}")))
    }

    fn id(&self) -> Result<u32, Broken> {
        self.child.id().ok_or_else(|| Broken("the server has ended".into()))
    }

    fn proc(&self, file: &str) -> Result<String, Broken> {
        let id = self.id()?;
        std::fs::read_to_string(format!("/proc/{id}/{file}"))
            .map_err(|e| Broken(format!("/proc of the server: {e}")))
    }

    /// A counter from its metrics, summed over labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64, Broken> {
        let mut client = Client::connect(&Target::from(self.address)).await?;
        let (_, body) = client.send("GET", "/metrics", &[], Bytes::new()).await?;
        let text = String::from_utf8_lossy(&body);
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            (rest.starts_with(' ') || rest.starts_with('{'))
                .then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        };
        let values: Vec<f64> = text.lines().filter_map(value).collect();
        match values.is_empty() {
            true => Err(Broken(format!("no metric {name}"))),
            false => Ok(values.iter().sum()),
        }
    }
}

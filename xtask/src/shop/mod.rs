//! The shop as real processes: coordinator and three services, started, killed, started again.

mod books;
mod client;
mod ledger;

pub(crate) use books::Books;
pub(crate) use client::{Client, Order};
pub(crate) use ledger::Ledger;

use crate::services::free_port;
use crate::{Failure, process, programs};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};

/// Longest wait of the coordinator between two sendings of a call.
pub(crate) const BACKOFF_MS_MAX: u64 = 1_000;
/// Longest wait of the coordinator for an answer to a call.
pub(crate) const CALL_TIMEOUT_MS: u64 = 300;
/// How long a transaction may stay open without a decision.
pub(crate) const OPEN_MS_MAX: u64 = 2_000;

/// A process of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Member {
    Coordinator,
    Order,
    Stock,
    Points,
}

impl Member {
    pub(crate) const ALL: [Member; 4] =
        [Member::Coordinator, Member::Order, Member::Stock, Member::Points];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Member::Coordinator => "coordinator",
            Member::Order => "order",
            Member::Stock => "stock",
            Member::Points => "points",
        }
    }
}

/// How a start went.
pub(crate) enum Launch {
    /// It says that it serves.
    Serves,
    /// It ended without saying so.
    Ended(ExitStatus),
}

/// The processes, their addresses and their folder, which goes when nothing was wrong.
pub(crate) struct Shop {
    program: PathBuf,
    pub(crate) folder: PathBuf,
    addresses: BTreeMap<Member, SocketAddr>,
    running: BTreeMap<Member, Child>,
    /// What its members log; by default what they do for everybody.
    logged: Option<&'static str>,
}

impl Shop {
    /// An empty shop in a folder of its own, around the release build.
    pub(crate) fn new(root: &Path, name: &str) -> Result<Shop, Failure> {
        let program = programs::wholly(root)?;
        let folder = std::env::temp_dir().join(format!("wholly-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder)
            .map_err(|e| Failure::new(format!("making {} failed: {e}", folder.display())))?;
        let mut addresses = BTreeMap::new();
        for member in Member::ALL {
            addresses.insert(member, SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
        }
        Ok(Shop { program, folder, addresses, running: BTreeMap::new(), logged: None })
    }

    pub(crate) fn address(&self, member: Member) -> SocketAddr {
        self.addresses[&member]
    }

    /// Where the coordinator keeps its log.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join(Member::Coordinator.name())
    }

    /// Starts a member and waits until it serves.
    pub(crate) fn start(&mut self, member: Member) -> Result<(), Failure> {
        self.start_under(member, &[])
    }

    /// The same under another program, as `strace` with its options.
    pub(crate) fn start_under(&mut self, member: Member, above: &[String]) -> Result<(), Failure> {
        match self.launch(member, above)? {
            Launch::Serves => Ok(()),
            Launch::Ended(status) => {
                let log = self.log(member);
                let (name, log) = (member.name(), log.display());
                Err(Failure::new(format!("{name} ended with {status}; {log} says why")))
            }
        }
    }

    /// The same where the member may end before it serves.
    pub(crate) fn launch(&mut self, member: Member, above: &[String]) -> Result<Launch, Failure> {
        let tried = |e| Failure::new(format!("starting {} failed: {e}", member.name()));
        let log = OpenOptions::new().create(true).append(true).open(self.log(member));
        let mut command = process::mortal("KILL");
        command.envs(self.logged.map(|level| ("WHOLLY_LOG", level)));
        command.arg("--").args(above).arg(&self.program).args(self.arguments(member));
        // It also ends with its input: `setpriv` reaches only the program above it.
        let (child, ready) = process::serve(command.stderr(log.map_err(tried)?)).map_err(tried)?;
        self.running.insert(member, child);
        match ready {
            Some(_) => Ok(Launch::Serves),
            None => self.wait(member).map(Launch::Ended),
        }
    }

    /// Has members that are started from here on log at every level.
    pub(crate) fn log_everything(&mut self) {
        self.logged = Some("trace");
    }

    /// How many lines its logs have, of which none may show what a payload holds; each that does.
    pub(crate) fn leaks(&self) -> Result<(usize, Vec<String>), Failure> {
        let (mut lines, mut leaks) = (0, Vec::new());
        for member in Member::ALL {
            let file = self.log(member);
            let log = fs::read(&file)
                .map_err(|e| Failure::new(format!("reading {} failed: {e}", file.display())))?;
            let log = String::from_utf8_lossy(&log);
            lines += log.lines().count();
            let shows = log.lines().filter(|line| line.contains(client::CARD));
            leaks.extend(shows.map(|line| format!("{} logs a payload: {line}", member.name())));
        }
        match lines {
            0 => Err(Failure::new("nobody logs, so nothing shows that logs are silent")),
            _ => Ok((lines, leaks)),
        }
    }

    fn log(&self, member: Member) -> PathBuf {
        self.folder.join(format!("{}.log", member.name()))
    }

    pub(crate) fn start_all(&mut self) -> Result<(), Failure> {
        Member::ALL.into_iter().try_for_each(|member| self.start(member))
    }

    /// Kills a member with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self, member: Member) -> Result<(), Failure> {
        let Some(child) = self.running.get_mut(&member) else { return Ok(()) };
        child.kill().map_err(|e| Failure::new(format!("killing {} failed: {e}", member.name())))?;
        self.wait(member).map(|_| ())
    }

    /// Lets a member end by itself, its input over, and says how it did.
    pub(crate) fn stop(&mut self, member: Member) -> Result<ExitStatus, Failure> {
        if let Some(child) = self.running.get_mut(&member) {
            drop(child.stdin.take());
        }
        self.wait(member)
    }

    /// Waits until a member has ended.
    pub(crate) fn wait(&mut self, member: Member) -> Result<ExitStatus, Failure> {
        let child = self.running.remove(&member);
        let mut child =
            child.ok_or_else(|| Failure::new(format!("{} is not there", member.name())))?;
        child.wait().map_err(|e| Failure::new(format!("waiting for {} failed: {e}", member.name())))
    }

    /// Reads the books of all three databases.
    pub(crate) fn books(&self) -> Result<Books, Failure> {
        Books::read(&self.program, &self.folder)
    }

    /// Removes the folder: nothing in it needs looking at.
    pub(crate) fn clear(mut self) {
        self.kill_all();
        fs::remove_dir_all(&self.folder).ok();
    }

    fn kill_all(&mut self) {
        for child in self.running.values_mut() {
            child.kill().ok();
            child.wait().ok();
        }
        self.running.clear();
    }

    fn arguments(&self, member: Member) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let listen = self.address(member).to_string();
        let mut arguments: Vec<String> = match member {
            Member::Coordinator => {
                ["serve", "--data", &text(&self.data())].map(String::from).into()
            }
            Member::Order | Member::Stock | Member::Points => {
                let url = format!("http://{}", self.address(Member::Coordinator));
                let patience = OPEN_MS_MAX.to_string();
                let folder = text(&self.folder);
                let words = ["shop-service", member.name(), "--data", &folder];
                let more = ["--coordinator", &url, "--patience-ms", &patience];
                words.into_iter().chain(more).map(String::from).collect()
            }
        };
        arguments.extend(["--listen".into(), listen, "--until-stdin-ends".into()]);
        if member == Member::Coordinator {
            for other in [Member::Order, Member::Stock, Member::Points] {
                let destination = format!("{}=http://{}", other.name(), self.address(other));
                arguments.extend(["--destination".into(), destination]);
            }
            for (key, value) in [
                ("calls.backoff_ms", 20),
                ("calls.backoff_ms_max", BACKOFF_MS_MAX),
                ("calls.timeout_ms", CALL_TIMEOUT_MS),
            ] {
                arguments.extend(["--set".into(), format!("{key}={value}")]);
            }
        }
        arguments
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Runs a task on a shop; what it leaves stays where something was wrong, and is named.
pub(crate) fn with<T>(
    root: &Path,
    name: &str,
    task: impl FnOnce(&mut Shop) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut shop = Shop::new(root, name)?;
    match task(&mut shop) {
        Ok(value) => {
            shop.clear();
            Ok(value)
        }
        Err(failure) => {
            let kept = shop.folder.display();
            Err(Failure::new(format!("{failure}\nlogs and books are kept in {kept}")))
        }
    }
}

/// The bound of promise 6 once a deadline has passed: a saga of three steps may have all three
/// still to make, and then to take back.
pub(crate) const END_MS_MAX: u64 = 2 * BACKOFF_MS_MAX + 6 * CALL_TIMEOUT_MS + 1_000;

//! Real servers for tests: found or installed, started privately on free ports, stopped for sure.

use crate::{Failure, process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

/// The variable that tells tests where PostgreSQL is.
const POSTGRES_URL: &str = "WHOLLY_TEST_POSTGRES";
/// The account PostgreSQL runs as where we are root, which it refuses to be.
const POSTGRES_ACCOUNT: &str = "postgres";
/// What the Debian package must not do: make and start a cluster of the system's own.
const CREATE_CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";
/// PostgreSQL's fast shutdown: open connections are closed.
const SHUT_DOWN: &str = "INT";
/// Durable as by default; room for prepared transactions, and small enough for a test machine.
const POSTGRES_SETTINGS: [&str; 5] = [
    "max_prepared_transactions=64",
    "max_connections=200",
    "shared_buffers=64MB",
    "listen_addresses=127.0.0.1",
    "log_min_messages=warning",
];

/// A program that tests need and the Debian package that has it.
struct Need {
    program: &'static str,
    package: &'static str,
}

const NEEDS: [Need; 3] = [
    Need { program: "postgres", package: "postgresql" },
    Need { program: "strace", package: "strace" },
    Need { program: "setpriv", package: "util-linux" },
];

/// The task `services`.
pub(crate) fn run(words: &[&str]) -> Result<(), Failure> {
    match words {
        [] => {
            for need in &NEEDS {
                let found =
                    find(need.program).map_or("missing".into(), |p| p.display().to_string());
                println!("{:<10}{found}", need.program);
            }
            Ok(())
        }
        ["install"] => install(),
        ["start"] => {
            let services = Services::start()?;
            println!("export {POSTGRES_URL}={}", services.postgres_url);
            println!("runs until its input ends (Ctrl-D)");
            std::io::stdin().lines().for_each(drop);
            Ok(())
        }
        ["start", program, args @ ..] => {
            let services = Services::start()?;
            let mut command = Command::new(program);
            services.tell(command.args(args));
            process::run_command(&mut command)
        }
        [other, ..] => Err(Failure::new(format!("services has no action `{other}`"))),
    }
}

/// Installs by apt what is missing, where it may; else says what to install.
pub(crate) fn install() -> Result<(), Failure> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| find(need.program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if !is_root()? || find("apt-get").is_none() {
        let programs: Vec<&str> = missing.iter().map(|need| need.program).collect();
        return Err(Failure::new(format!(
            "{} missing; as root on Debian this installs by itself, elsewhere install the \
             packages {}",
            programs.join(", "),
            packages.join(", "),
        )));
    }
    if packages.contains(&"postgresql") {
        forbid_system_cluster()?;
    }
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-y", "-o", "Dpkg::Options::=--force-confold"]).args(words);
        // Nobody is there to be asked, and our own file about clusters stays.
        command.env("DEBIAN_FRONTEND", "noninteractive").env("UCF_FORCE_CONFFOLD", "1");
        process::run_command(&mut command)
    };
    apt(&["update"])?;
    apt(&[&["install", "--no-install-recommends"], &packages[..]].concat())?;
    match NEEDS.iter().find(|need| find(need.program).is_none()) {
        Some(need) => Err(Failure::new(format!(
            "package {} was installed, but {} is not found",
            need.package, need.program
        ))),
        None => Ok(()),
    }
}

fn forbid_system_cluster() -> Result<(), Failure> {
    let path = Path::new(CREATE_CLUSTER);
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().expect("the path has a folder");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, "create_main_cluster = false\n"))
        .map_err(|e| Failure::new(format!("writing {CREATE_CLUSTER} failed: {e}")))
}

/// Servers that end with this value, or with this process however that ends.
pub(crate) struct Services {
    pub(crate) postgres_url: String,
    postgres: Child,
    folder: PathBuf,
}

impl Services {
    /// Finds or installs what is needed, and starts it.
    pub(crate) fn start() -> Result<Services, Failure> {
        install()?;
        remove_stale_folders();
        let folder = std::env::temp_dir().join(format!("{FOLDER}{}", std::process::id()));
        let account = Account::find()?;
        account.make_folder(&folder)?;
        let bin = find("postgres").expect("installed above");
        let bin = bin.parent().expect("a program lies in a folder");
        let data = folder.join("postgres");
        let mut initdb = account.command(&bin.join("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U"]);
        initdb.arg(POSTGRES_ACCOUNT).arg("-D").arg(&data).stdout(Stdio::null());
        process::run_command(&mut initdb)?;
        let port = free_port()?;
        let mut command = account.command(&bin.join("postgres"));
        command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-k"]).arg(&folder);
        for setting in POSTGRES_SETTINGS {
            command.args(["-c", setting]);
        }
        let tried = |e| Failure::new(format!("starting postgres failed: {e}"));
        let mut postgres = command.stderr(Stdio::piped()).spawn().map_err(tried)?;
        let said = postgres.stderr.take().expect("its output is piped");
        let postgres_url = format!("postgres://{POSTGRES_ACCOUNT}@127.0.0.1:{port}/postgres");
        let services = Services { postgres_url, postgres, folder };
        wait_until_ready(said)?;
        Ok(services)
    }

    /// Tells a command where the servers are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env(POSTGRES_URL, &self.postgres_url);
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        process::signal(&self.postgres, SHUT_DOWN);
        self.postgres.wait().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// The beginning of our folders' names; what follows is the process that made it.
const FOLDER: &str = "wholly-services-";

/// Removes what a task that was killed could not.
fn remove_stale_folders() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// PostgreSQL says when it is ready; what it says before is told if it ends without.
fn wait_until_ready(said: ChildStderr) -> Result<(), Failure> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        // Reads on after the ready line, so that the server never waits for a full pipe.
        BufReader::new(said).lines().map_while(Result::ok).for_each(|line| {
            sender.send(line).ok();
        });
    });
    let mut before = String::new();
    for line in lines {
        if line.contains("ready to accept connections") {
            return Ok(());
        }
        before.push_str(&line);
        before.push('\n');
    }
    Err(Failure::new(format!("postgres ended before it was ready:\n{before}")))
}

/// Whom servers run as.
enum Account {
    /// Ourselves: we are not root.
    Own,
    /// A user of the system.
    Other { uid: u32, gid: u32 },
}

impl Account {
    fn find() -> Result<Account, Failure> {
        if !is_root()? {
            return Ok(Account::Own);
        }
        let uid = id(&["-u", POSTGRES_ACCOUNT])?;
        let gid = id(&["-g", POSTGRES_ACCOUNT])?;
        Ok(Account::Other { uid, gid })
    }

    fn make_folder(&self, folder: &Path) -> Result<(), Failure> {
        let tried = |e| Failure::new(format!("making {} failed: {e}", folder.display()));
        fs::create_dir(folder).map_err(tried)?;
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => chown(folder, Some(*uid), Some(*gid)).map_err(tried),
        }
    }

    /// A command under this account that is told to end when we do.
    fn command(&self, program: &Path) -> Command {
        let mut command = process::mortal(SHUT_DOWN);
        if let Account::Other { uid, gid } = self {
            command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}"));
            command.arg("--clear-groups");
        }
        // It cannot enter the folder of whoever called us.
        command.arg("--").arg(program).current_dir("/");
        command
    }
}

fn is_root() -> Result<bool, Failure> {
    Ok(id(&["-u"])? == 0)
}

fn id(args: &[&str]) -> Result<u32, Failure> {
    let said = process::output(Path::new("/"), "id", args.iter().copied())?;
    said.trim().parse().map_err(|e| Failure::new(format!("`id` said {said:?}: {e}")))
}

/// Ports below those from which the system takes one for an outgoing connection: such a connection
/// could hold the port of a server that is being started again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port of the loopback that nobody listens on.
pub(crate) fn free_port() -> Result<u16, Failure> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let span = u32::from(PORTS.end - PORTS.start);
    // Tasks side by side begin at different places.
    let begin = std::process::id().wrapping_mul(101);
    for _ in 0..span {
        let offset = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % span;
        let port = PORTS.start + u16::try_from(offset).expect("below the span");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Failure::new(format!("no port of {PORTS:?} is free")))
}

/// Where a program is: on the path, or where Debian puts PostgreSQL's newest.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        std::cmp::Reverse(name.and_then(|name| name.parse::<u32>().ok()))
    });
    folders.extend(versions.into_iter().map(|path| path.join("bin")));
    folders.into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

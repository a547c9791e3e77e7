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
pub(crate) const POSTGRES_URL: &str = "WHOLLY_TEST_POSTGRES";
/// The variable that tells tests where MariaDB or MySQL is.
pub(crate) const MYSQL_URL: &str = "WHOLLY_TEST_MYSQL";
/// The account the servers run as where we are root, which PostgreSQL refuses to be. Its package
/// makes it.
const ACCOUNT: &str = "postgres";
/// What the Debian package must not do: make and start a cluster of the system's own.
const CREATE_CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";
/// PostgreSQL's fast shutdown: open connections are closed.
const POSTGRES_SHUT_DOWN: &str = "INT";
/// MariaDB's shutdown.
const MYSQL_SHUT_DOWN: &str = "TERM";
/// What PostgreSQL says when it is ready.
const POSTGRES_READY: &str = "ready to accept connections";
/// What MariaDB says when it is ready.
const MYSQL_READY: &str = "ready for connections";
/// Durable as by default; room for prepared transactions, and small enough for a test machine.
const POSTGRES_SETTINGS: [&str; 5] = [
    "max_prepared_transactions=64",
    "max_connections=200",
    "shared_buffers=64MB",
    "listen_addresses=127.0.0.1",
    "log_min_messages=warning",
];
/// Durable as by default, and small enough for a test machine.
const MYSQL_SETTINGS: [&str; 4] = [
    "--bind-address=127.0.0.1",
    "--max-connections=400",
    "--innodb-buffer-pool-size=64M",
    "--skip-name-resolve",
];

/// A program that tests need and the Debian package that has it.
struct Need {
    program: &'static str,
    package: &'static str,
}

const NEEDS: [Need; 6] = [
    Need { program: "postgres", package: "postgresql" },
    // The package with the server alone starts no service.
    Need { program: "mariadbd", package: "mariadb-server-core" },
    Need { program: "my_print_defaults", package: "mariadb-client-core" },
    Need { program: "strace", package: "strace" },
    Need { program: "setpriv", package: "util-linux" },
    Need { program: "g++", package: "g++" },
];

/// The task `services`.
pub(crate) fn run(words: &[&str]) -> Result<(), Failure> {
    match words {
        [] => {
            for need in &NEEDS {
                let found =
                    find(need.program).map_or("missing".into(), |p| p.display().to_string());
                println!("{:<18}{found}", need.program);
            }
            Ok(())
        }
        ["install"] => install(),
        ["start"] => {
            let services = Services::start()?;
            println!("export {POSTGRES_URL}={}", services.postgres.url);
            println!("export {MYSQL_URL}={}", services.mysql.url);
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
    install_of(&NEEDS.map(|need| need.program))
}

/// The same for these programs alone.
pub(crate) fn install_of(programs: &[&str]) -> Result<(), Failure> {
    let is_missing =
        |need: &&Need| programs.contains(&need.program) && find(need.program).is_none();
    let missing: Vec<&Need> = NEEDS.iter().filter(is_missing).collect();
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
    match NEEDS.iter().find(is_missing) {
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
    postgres: Server,
    mysql: Server,
    _folder: Folder,
}

impl Services {
    /// Finds or installs what is needed, and starts it.
    pub(crate) fn start() -> Result<Services, Failure> {
        install()?;
        remove_stale_folders();
        let account = Account::find()?;
        let folder = Folder::make(&account)?;
        Ok(Services {
            postgres: start_postgres(&account, &folder.path)?,
            mysql: start_mysql(&account, &folder.path)?,
            _folder: folder,
        })
    }

    /// An empty database of PostgreSQL: host, port and name, as `127.0.0.1:5432/name`.
    pub(crate) fn postgres_database(&self, name: &str) -> Result<String, Failure> {
        let address = self.postgres.url.split('@').nth(1).and_then(|rest| rest.split('/').next());
        let address = address.expect("the URL is ours: account, address, database");
        let (host, port) = address.split_once(':').expect("an address has a port");
        let createdb = find("createdb").ok_or_else(|| {
            Failure::new("postgres is there, but not createdb of the same package")
        })?;
        let mut command = Command::new(createdb);
        command.args(["-h", host, "-p", port, "-U", ACCOUNT, name]);
        process::run_command(&mut command)?;
        Ok(format!("{address}/{name}"))
    }

    /// Tells a command where the servers are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env(POSTGRES_URL, &self.postgres.url).env(MYSQL_URL, &self.mysql.url);
    }
}

fn start_postgres(account: &Account, folder: &Path) -> Result<Server, Failure> {
    let bin = find("postgres").expect("installed before");
    let bin = bin.parent().expect("a program lies in a folder");
    let data = folder.join("postgres");
    let mut initdb = account.command(&bin.join("initdb"), POSTGRES_SHUT_DOWN);
    initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", ACCOUNT]);
    initdb.arg("-D").arg(&data).stdout(Stdio::null());
    process::run_command(&mut initdb)?;
    let port = free_port()?;
    let mut command = account.command(&bin.join("postgres"), POSTGRES_SHUT_DOWN);
    command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-k"]).arg(folder);
    for setting in POSTGRES_SETTINGS {
        command.args(["-c", setting]);
    }
    let url = format!("postgres://{ACCOUNT}@127.0.0.1:{port}/postgres");
    Server::start(command, url, POSTGRES_SHUT_DOWN, POSTGRES_READY)
}

fn start_mysql(account: &Account, folder: &Path) -> Result<Server, Failure> {
    let data = folder.join("mysql");
    let install = find("mariadb-install-db").ok_or_else(|| {
        Failure::new("mariadbd is there, but not mariadb-install-db of the same package")
    })?;
    let mut install = account.command(&install, MYSQL_SHUT_DOWN);
    install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
    install.arg(option("--datadir", &data)).stdout(Stdio::null());
    process::run_command(&mut install)?;
    let port = free_port()?;
    let mariadbd = find("mariadbd").expect("installed before");
    let mut command = account.command(&mariadbd, MYSQL_SHUT_DOWN);
    command.arg("--no-defaults").arg(option("--datadir", &data));
    command.arg(option("--socket", &folder.join("mysql.sock"))).arg(format!("--port={port}"));
    command.args(MYSQL_SETTINGS);
    let url = format!("mysql://root@127.0.0.1:{port}/mysql");
    Server::start(command, url, MYSQL_SHUT_DOWN, MYSQL_READY)
}

pub(crate) fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// One server.
pub(crate) struct Server {
    url: String,
    process: Child,
    shut_down: &'static str,
}

impl Server {
    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(
        mut command: Command,
        url: String,
        shut_down: &'static str,
        ready: &'static str,
    ) -> Result<Server, Failure> {
        let tried = |e| Failure::new(format!("starting the server of {url} failed: {e}"));
        let spawned = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut process = spawned.map_err(tried)?;
        let said = process.stderr.take().expect("its output is piped");
        let server = Server { url, process, shut_down };
        wait_until(ready, said)?;
        Ok(server)
    }

    /// Where it is, for clients.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::signal(&self.process, self.shut_down);
        self.process.wait().ok();
    }
}

/// Where the servers keep their data, until this value goes.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make(account: &Account) -> Result<Folder, Failure> {
        let path = std::env::temp_dir().join(format!("{FOLDER}{}", std::process::id()));
        account.make_folder(&path)?;
        Ok(Folder { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
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

/// A server says when it is ready; what it says before is told if it ends without.
fn wait_until(ready: &'static str, said: ChildStderr) -> Result<(), Failure> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        // Reads on after the ready line, so that the server never waits for a full pipe.
        BufReader::new(said).lines().map_while(Result::ok).for_each(|line| {
            sender.send(line).ok();
        });
    });
    let mut before = String::new();
    for line in lines {
        if line.contains(ready) {
            return Ok(());
        }
        before.push_str(&line);
        before.push('\n');
    }
    Err(Failure::new(format!("a server ended before it said {ready:?}:\n{before}")))
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
        let uid = id(&["-u", ACCOUNT])?;
        let gid = id(&["-g", ACCOUNT])?;
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

    /// A command under this account that is sent this signal when we end.
    fn command(&self, program: &Path, shut_down: &str) -> Command {
        let mut command = process::mortal(shut_down);
        if let Account::Other { uid, gid } = self {
            command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}"));
            command.arg("--clear-groups");
        }
        // It cannot enter the folder of whoever called us.
        command.arg("--").arg(program).current_dir("/");
        command
    }
}

pub(crate) fn is_root() -> Result<bool, Failure> {
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

/// Where a program is: on the path, where Debian puts servers that are not on everybody's path, or
/// its newest PostgreSQL.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        std::cmp::Reverse(name.and_then(|name| name.parse::<u32>().ok()))
    });
    folders.extend(versions.into_iter().map(|path| path.join("bin")));
    folders.into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

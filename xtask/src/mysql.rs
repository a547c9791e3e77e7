//! MySQL proper: unpacked beside what is built, where the system's archive has it, with every
//! library of its own; the barrier's tests are run on it.

use crate::process::{self, Counts};
use crate::services::{MYSQL_URL, POSTGRES_URL, Server, find, free_port, is_root, option};
use crate::{Failure, programs};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package with the server. A stable Debian has MariaDB alone; the release that it is made of
/// has both, with libraries and a loader too young for the system's own.
const PACKAGE: &str = "mysql-server-core";
const RELEASE: &str = "sid";
/// What the packages of a Debian archive are signed with.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What the server depends on and does not load: scripts, and tables of character sets.
const NOT_LOADED: [&str; 3] = ["perl", "libperl", "libc-gconv"];
/// What MySQL says when it is ready.
const READY: &str = "ready for connections";
const SHUT_DOWN: &str = "TERM";
/// Durable as by default, and small enough for a test machine.
const SETTINGS: [&str; 6] = [
    "--bind-address=127.0.0.1",
    "--max-connections=400",
    "--innodb-buffer-pool-size=64M",
    "--skip-name-resolve",
    "--mysqlx=OFF",
    "--secure-file-priv=",
];

/// The task `mysql`.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let counts = tests(root)?;
    println!("{counts}");
    match (counts.failed, counts.skipped) {
        (0, 0) => Ok(()),
        (0, _) => Err(Failure::new("MySQL proper is not to be had here")),
        (_, _) => Err(Failure::new("the barrier's tests failed on MySQL proper")),
    }
}

/// Runs the tests of the barrier that need MySQL or MariaDB on MySQL proper, where it can be had.
pub(crate) fn tests(root: &Path) -> Result<Counts, Failure> {
    let installed = match installed(root) {
        Ok(installed) => installed,
        Err(failure) => {
            println!("MySQL proper: NOT RUN, for {failure}");
            return Ok(Counts { skipped: 1, ..Counts::default() });
        }
    };
    let folder = std::env::temp_dir().join(format!("wholly-mysql-{}", std::process::id()));
    let counts = start(&installed, &folder).and_then(|server| {
        let mut command = Command::new("cargo");
        command.args("test --locked -p wholly --all-features --test participant".split(' '));
        // Its databases are MySQL's alone, whatever else the environment names.
        command.args(["--", "mysql"]).current_dir(root);
        command.env(MYSQL_URL, server.url()).env_remove(POSTGRES_URL);
        process::run_tests(&mut command)
    });
    fs::remove_dir_all(&folder).ok();
    counts
}

/// Names are not looked up, so `root@localhost` is nobody that comes by network.
const ACCOUNTS: &str = "CREATE USER 'root'@'127.0.0.1';
GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
";

/// An unpacked server.
struct Installed {
    /// The folder that stands for the system's `/usr`.
    usr: PathBuf,
    libraries: PathBuf,
    loader: PathBuf,
}

impl Installed {
    fn in_folder(folder: &Path) -> Result<Installed, Failure> {
        let usr = folder.join("usr");
        let missing = |what: &str| {
            Failure::new(format!("there is no {what} in {}; remove that folder", folder.display()))
        };
        let libraries = entry(&usr.join("lib"), |name| name.ends_with("-linux-gnu"))
            .ok_or_else(|| missing("folder of libraries"))?;
        let loader = entry(&libraries, |name| name.starts_with("ld-linux"))
            .ok_or_else(|| missing("loader"))?;
        Ok(Installed { usr, libraries, loader })
    }

    /// The server, loaded by the loader that came with it.
    fn command(&self) -> Result<Command, Failure> {
        let mut command = process::mortal(SHUT_DOWN);
        command.arg("--").arg(&self.loader).arg("--library-path").arg(&self.libraries);
        command.arg(self.usr.join("sbin/mysqld")).arg("--no-defaults");
        command.arg(option("--basedir", &self.usr));
        command.arg(option("--lc-messages-dir", &self.usr.join("share/mysql")));
        if is_root()? {
            command.arg("--user=root");
        }
        command.args(SETTINGS);
        Ok(command)
    }
}

fn entry(folder: &Path, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut fitting = entries.filter(|entry| entry.file_name().to_str().is_some_and(&fits));
    fitting.next().map(|entry| entry.path())
}

/// Makes an empty database and serves it.
fn start(installed: &Installed, folder: &Path) -> Result<Server, Failure> {
    fs::create_dir_all(folder).map_err(|e| failed("making", folder, &e))?;
    let (data, accounts) = (folder.join("data"), folder.join("accounts.sql"));
    fs::write(&accounts, ACCOUNTS).map_err(|e| failed("writing", &accounts, &e))?;
    let mut make = installed.command()?;
    make.arg("--initialize-insecure").arg(option("--init-file", &accounts));
    make.arg(option("--datadir", &data)).stdout(Stdio::null());
    process::run_command(&mut make)?;
    let port = free_port()?;
    let mut command = installed.command()?;
    command.arg(option("--datadir", &data)).arg(format!("--port={port}"));
    command.arg(option("--socket", &folder.join("mysql.sock")));
    // The account has no password, so that its proof needs no TLS.
    let url = format!("mysql://root@127.0.0.1:{port}/mysql?ssl-mode=disabled");
    Server::start(command, url, SHUT_DOWN, READY)
}

/// Unpacked before, or by this.
fn installed(root: &Path) -> Result<Installed, Failure> {
    let kept = programs::target(root).join("mysql-proper");
    let unpacked = kept.join("unpacked");
    if !unpacked.exists() {
        unpack(&kept, &unpacked)?;
    }
    Installed::in_folder(&unpacked)
}

/// Fetches the package and all it depends on by apt, with settings, lists and a state of its own:
/// what the system has installed is neither looked at nor touched.
fn unpack(kept: &Path, unpacked: &Path) -> Result<(), Failure> {
    for program in ["apt-get", "dpkg-deb"] {
        find(program).ok_or_else(|| Failure::new(format!("`{program}` is not there")))?;
    }
    if !Path::new(KEYS).exists() {
        return Err(Failure::new(format!("the keys of Debian's archive are not at {KEYS}")));
    }
    let (apt, part) = (kept.join("apt"), kept.join("part"));
    for folder in ["lists/partial", "cache/archives/partial"].map(|name| apt.join(name)) {
        fs::create_dir_all(&folder).map_err(|e| failed("making", &folder, &e))?;
    }
    let write = |name: &str, text: &str| {
        let file = apt.join(name);
        fs::write(&file, text).map_err(|e| failed("writing", &file, &e))
    };
    write("status", "")?;
    write("sources.list", &format!("deb [signed-by={KEYS}] {} {RELEASE} main\n", archive()?))?;
    apt_get(&apt, &["update"])?;
    apt_get(&apt, &["install", "--no-install-recommends", "--download-only", PACKAGE])?;
    fs::remove_dir_all(&part).ok();
    let archives = apt.join("cache/archives");
    let files = fs::read_dir(&archives).map_err(|e| failed("reading", &archives, &e))?;
    for file in files.flatten().map(|entry| entry.path()) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".deb") && !NOT_LOADED.iter().any(|not| name.starts_with(not)) {
            let mut extract = Command::new("dpkg-deb");
            process::run_command(extract.arg("-x").arg(&file).arg(&part))?;
        }
    }
    fs::rename(&part, unpacked).map_err(|e| failed("naming", unpacked, &e))?;
    fs::remove_dir_all(&apt).map_err(|e| failed("removing", &apt, &e))
}

/// Where the system itself has its Debian packages from.
fn archive() -> Result<String, Failure> {
    let words = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"];
    let uris = process::output(Path::new("/"), "apt-get", words)?;
    let debian = uris.lines().find(|uri| uri.trim_end_matches('/').ends_with("/debian"));
    let none = || Failure::new("apt knows no archive of Debian's");
    debian.map(str::to_owned).ok_or_else(none)
}

fn apt_get(apt: &Path, words: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-y"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
    for (name, place) in [
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::State::lists", "lists"),
        ("Dir::State::status", "status"),
        ("Dir::Cache", "cache"),
    ] {
        command.arg("-o").arg(option(name, &apt.join(place)));
    }
    for setting in [
        "Dir::Etc::sourceparts=-",
        "Dir::Etc::preferences=-",
        "Dir::Etc::preferencesparts=-",
        // It could not enter our folder as the user that it otherwise becomes.
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
        "Acquire::Retries=1",
        "Acquire::http::Timeout=30",
    ] {
        command.args(["-o", setting]);
    }
    process::run_command(&mut command)
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{doing} {} failed: {error}", path.display()))
}

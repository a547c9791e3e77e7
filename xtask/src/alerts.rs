//! Alerts: Prometheus' own tool reads the rules, and plays to each of them what must raise it and
//! what must not.

use crate::Failure;
use crate::process::{self, Counts};
use crate::services::find;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RULES: &str = "deploy/prometheus/wholly-rules.yml";
const TESTS: &str = "deploy/prometheus/wholly-rules.test.yml";
const TOOL: &str = "promtool";
/// The Debian package that has it, of which nothing but the tool is wanted: installed whole, it
/// would start a service.
const PACKAGE: &str = "prometheus";

/// The task `alerts`.
pub(crate) fn run(root: &Path) -> Result<Counts, Failure> {
    let Some(promtool) = promtool(root)? else {
        println!(
            "alerts: {TOOL} is not there, nor apt-get and dpkg-deb to take it from the package \
             {PACKAGE} with; the rules are not run"
        );
        return Ok(Counts { skipped: 1, ..Counts::default() });
    };
    for words in [["check", "rules", RULES], ["test", "rules", TESTS]] {
        process::run_command(Command::new(&promtool).args(words).current_dir(root))?;
    }
    Ok(Counts::one())
}

/// The tool: on the path, as it was taken before, or taken out of its package.
fn promtool(root: &Path) -> Result<Option<PathBuf>, Failure> {
    let folder = root.join("target/tools");
    let taken = folder.join(TOOL);
    if let Some(found) = find(TOOL).or_else(|| taken.is_file().then(|| taken.clone())) {
        return Ok(Some(found));
    }
    if find("apt-get").is_none() || find("dpkg-deb").is_none() {
        return Ok(None);
    }
    // A folder of its own, so that tasks side by side do not meet; the last step is one rename.
    let work = folder.join(format!("{PACKAGE}-{}", std::process::id()));
    let done = take(&work, &taken);
    fs::remove_dir_all(&work).ok();
    done.map(|()| Some(taken))
}

fn take(work: &Path, taken: &Path) -> Result<(), Failure> {
    let tried = |e| Failure::new(format!("taking {TOOL} out of {PACKAGE} failed: {e}"));
    fs::create_dir_all(work).map_err(tried)?;
    let apt = |words: &[&str]| {
        process::run_command(Command::new("apt-get").arg("-q").args(words).current_dir(work))
    };
    // Lists that are there may be old, or may not be.
    if apt(&["download", PACKAGE]).is_err() {
        apt(&["update"])?;
        apt(&["download", PACKAGE])?;
    }
    let mut files = fs::read_dir(work).map_err(tried)?.map_while(Result::ok);
    let package = files.find(|file| file.path().extension().is_some_and(|end| end == "deb"));
    let package = package.ok_or_else(|| Failure::new("apt-get downloaded no package"))?.path();
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(package).arg("all").current_dir(work);
    process::run_command(&mut unpack)?;
    fs::rename(work.join("all/usr/bin").join(TOOL), taken).map_err(tried)
}

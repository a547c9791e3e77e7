//! The repository's own programs, built once each: release for what users run, `sim` for the
//! simulator. One selection of packages for each profile, since cargo unites features over what is
//! selected and would otherwise build dependencies twice.

use crate::{Failure, process};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program `wholly`.
pub(crate) fn wholly(root: &Path) -> Result<PathBuf, Failure> {
    Ok(release(root)?.join("wholly"))
}

/// Builds the release programs and says in which folder they lie.
pub(crate) fn release(root: &Path) -> Result<PathBuf, Failure> {
    let args =
        "build --quiet --locked --release -p wholly-cli -p wholly-bench -p participant-by-hand";
    process::run(root, "cargo", args.split(' '))?;
    Ok(target(root).join("release"))
}

/// The task `sim`; `mutants` is one of its words.
pub(crate) fn sim(root: &Path, words: &[&str]) -> Result<(), Failure> {
    let args = "run --quiet --locked --profile sim -p wholly-sim --features mutants --";
    process::run(root, "cargo", args.split(' ').chain(words.iter().copied()))
}

/// Seeds whose runs are compared across builds.
const COMPARED: &str = "50";

/// The same seeds give the same runs, event by event, with optimizations and without.
pub(crate) fn sim_repeats(root: &Path) -> Result<(), Failure> {
    let hashes = |profile: &str| {
        let args = format!(
            "run --quiet --locked --profile {profile} -p wholly-sim --features mutants -- \
             --hashes --from 1 --seeds {COMPARED}"
        );
        process::output(root, "cargo", args.split(' '))
    };
    let (plain, optimized) = (hashes("dev")?, hashes("sim")?);
    let differing = plain.lines().zip(optimized.lines()).find(|(one, other)| one != other);
    match (differing, plain == optimized && !plain.is_empty()) {
        (None, true) => {
            println!("{COMPARED} seeds run alike in both builds");
            Ok(())
        }
        (Some((one, other)), _) => {
            Err(Failure::new(format!("a seed runs as `{one}` in one build, `{other}` in another")))
        }
        (None, false) => Err(Failure::new("the builds do not say the same number of hashes")),
    }
}

/// The task `models`. Its own selection of packages: the explorer's dependencies are nobody else's.
pub(crate) fn models(root: &Path, words: &[&str]) -> Result<(), Failure> {
    let args = "run --quiet --locked --profile sim -p wholly-models --features mutants --";
    process::run(root, "cargo", args.split(' ').chain(words.iter().copied()))
}

/// The task `bench`.
pub(crate) fn bench(root: &Path, words: &[&str]) -> Result<(), Failure> {
    let folder = release(root)?;
    let mut command = Command::new(folder.join("wholly-bench"));
    command.arg("--wholly").arg(folder.join("wholly"));
    command.arg("--folder").arg(target(root)).args(words).current_dir(root);
    process::run_command(&mut command)
}

/// The task `demo`, for the tests: what `cargo run --release -- demo` does.
pub(crate) fn demo(root: &Path) -> Result<(), Failure> {
    let mut command = Command::new(wholly(root)?);
    process::run_command(command.arg("demo").current_dir(root))
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    }
}

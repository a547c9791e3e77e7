//! Two proofs about core: it depends on nothing, and it needs no std.

use crate::{Failure, process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `cargo tree` of core, all kinds of dependencies, prints core alone.
pub(crate) fn core_has_no_dependency(root: &Path) -> Result<(), Failure> {
    let args = "tree --locked -p wholly-core -e normal,build,dev --all-features";
    let said = process::output(root, "cargo", args.split(' '))?;
    match said.trim().lines().count() {
        1 => Ok(()),
        _ => Err(Failure::new(format!("core depends on something:\n{said}"))),
    }
}

/// Links core into a library that brings its own panic handler and allocator. With std anywhere
/// in core, the panic handler is there twice and the compiler says so (E0152).
pub(crate) fn core_links_without_std(root: &Path) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("wholly-no-std-{}", std::process::id()));
    let result = link(&root.join("crates/core/src/lib.rs"), &folder);
    fs::remove_dir_all(&folder).ok();
    result
}

fn link(core: &Path, folder: &PathBuf) -> Result<(), Failure> {
    fs::create_dir_all(folder)
        .map_err(|e| Failure::new(format!("making {} failed: {e}", folder.display())))?;
    let program = folder.join("alone.rs");
    fs::write(&program, ALONE)
        .map_err(|e| Failure::new(format!("writing {} failed: {e}", program.display())))?;
    let args = ["--crate-name=wholly_core", "--crate-type=rlib", "--cap-lints=allow"];
    rustc(core, folder, &args)?;
    let library = format!("wholly_core={}/libwholly_core.rlib", folder.display());
    rustc(&program, folder, &["--crate-type=staticlib", "--extern", &library])
}

fn rustc(file: &Path, folder: &Path, args: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new("rustc");
    command.args(["--edition=2024", "-Cpanic=abort", "--out-dir"]).arg(folder);
    command.args(args).arg(file);
    let output =
        command.output().map_err(|e| Failure::new(format!("starting rustc failed: {e}")))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(Failure::new(format!("{} does not link without std:\n{said}", file.display())))
        }
    }
}

/// The library: no std, a panic handler, an allocator, a use of core.
const ALONE: &str = "#![no_std]
extern crate alloc;
use core::alloc::{GlobalAlloc, Layout};
struct Nothing;
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 { core::ptr::null_mut() }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
#[global_allocator]
static ALLOCATOR: Nothing = Nothing;
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
pub use wholly_core as used;
";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, core: &str) -> Result<(), Failure> {
        let folder =
            std::env::temp_dir().join(format!("wholly-proof-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("core.rs");
        fs::write(&file, core).unwrap();
        let result = link(&file, &folder);
        fs::remove_dir_all(&folder).unwrap();
        result
    }

    #[test]
    fn a_core_without_std_links() {
        let core = "#![no_std]\nextern crate alloc;\npub type Words = alloc::string::String;\n";
        assert!(check("good", core).is_ok());
    }

    #[test]
    fn a_core_that_smuggles_std_in_does_not() {
        let core = "#![no_std]\nextern crate std;\npub type Clock = std::time::Instant;\n";
        let failure = check("bad", core).expect_err("std is found");
        assert!(failure.to_string().contains("E0152"), "{failure}");
    }
}

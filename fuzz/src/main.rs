//! The program `wholly-fuzz`: libFuzzer over the target that `WHOLLY_FUZZ_TARGET` names.
//!
//! libFuzzer allows one entry a program; choosing inside means that all targets link once. Asked
//! for the target `--list`, it names them, each with its longest input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use wholly_fuzz::{TARGETS, Target};

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

fuzz_target!(init: { CHOSEN.get_or_init(chosen); }, |bytes: &[u8]| {
    (CHOSEN.get_or_init(chosen).run)(bytes);
});

fn chosen() -> &'static Target {
    let name = std::env::var("WHOLLY_FUZZ_TARGET").unwrap_or_default();
    if name == "--list" {
        for Target { name, bytes_max, .. } in TARGETS {
            println!("{name} {bytes_max}");
        }
        std::process::exit(0);
    }
    wholly_fuzz::target(&name).unwrap_or_else(|| {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("WHOLLY_FUZZ_TARGET is none of {}", known.join(", "));
        std::process::exit(2)
    })
}

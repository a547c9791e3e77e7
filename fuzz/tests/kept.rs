//! Every input that was found or is a seed, once more, without the fuzzer.

use std::fs;
use std::path::{Path, PathBuf};
use wholly_fuzz::{TARGETS, Target};

/// The inputs that lie in a folder of a target.
fn inputs(folder: &str, target: &Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target.name);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn replay(folder: &str) -> usize {
    let mut count = 0;
    for target in TARGETS {
        for path in inputs(folder, target) {
            println!("{} {}", target.name, path.display());
            (target.run)(&fs::read(&path).expect("it is there"));
            count += 1;
        }
    }
    count
}

#[test]
fn what_was_found_stays_mended() {
    assert!(replay("found") > 0, "what was found is kept");
}

#[test]
fn seeds_pass() {
    assert!(replay("seeds") > 0, "there are seeds");
}

#[test]
fn every_folder_of_inputs_is_a_targets() {
    for folder in ["found", "seeds"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(wholly_fuzz::target(&name).is_some(), "{name} is no target");
        }
    }
}

#[test]
fn any_bytes_pass() {
    // A few thousand bytes that nobody chose, so that each target runs here too.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for length in 0..200 {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        for target in TARGETS {
            (target.run)(&bytes);
        }
    }
}

//! The repository as tidy reads it: Rust files, other texts, and what cargo says of the workspace.

use super::source::Source;
use crate::Failure;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The folders whose Rust files are read.
const ROOMS: [&str; 5] = ["crates", "docs", "examples", "fuzz", "xtask"];
/// The single files that rules read.
const TEXTS: [&str; 11] = [
    "ARCHITECTURE.md",
    "Cargo.toml",
    "Cargo.lock",
    "fuzz/Cargo.lock",
    "README.md",
    "docs/modes/saga.md",
    "docs/modes/tcc.md",
    "docs/participants/testing.md",
    "docs/operate/configuration.md",
    "docs/operate/limits.md",
    "docs/internals/promises.md",
];

/// What the rules look at.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) sources: Vec<Source>,
    pub(crate) texts: BTreeMap<String, String>,
    /// `cargo metadata`, all packages.
    pub(crate) metadata: Value,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(crate) fn read(root: &Path) -> Result<Tree, Failure> {
        let mut tree = Tree::default();
        for room in ROOMS {
            tree.walk(root, room)?;
        }
        tree.sources.sort_by(|a, b| a.path.cmp(&b.path));
        for name in TEXTS {
            tree.texts.insert(name.into(), read(&root.join(name))?);
        }
        let args =
            "metadata --format-version 1 --locked --filter-platform x86_64-unknown-linux-gnu";
        let said = crate::process::output(root, "cargo", args.split(' '))?;
        tree.metadata = serde_json::from_str(&said)
            .map_err(|e| Failure::new(format!("cargo metadata was not understood: {e}")))?;
        Ok(tree)
    }

    /// A text that may be missing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    fn walk(&mut self, root: &Path, folder: &str) -> Result<(), Failure> {
        let tried = |e| Failure::new(format!("reading folder {folder} failed: {e}"));
        for entry in fs::read_dir(root.join(folder)).map_err(tried)? {
            let entry = entry.map_err(tried)?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                if !path.ends_with("/target") {
                    self.walk(root, &path)?;
                }
            } else if path.ends_with(".rs") {
                self.sources.push(Source::new(&path, &read(&entry.path())?));
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|e| Failure::new(format!("reading {} failed: {e}", path.display())))
}

#[cfg(test)]
impl Tree {
    /// The tree that a fixture describes, and where it says that a finding must be: files under
    /// `=== path` lines, each line with a finding ending in `~~`. A finding on a whole file is
    /// marked at its `===` line.
    pub(crate) fn parse(fixture: &str) -> (Tree, Vec<(String, usize)>) {
        let mut tree = Tree::default();
        let mut expected = Vec::new();
        for part in fixture.split("=== ").skip(1) {
            let (path, text) = part.split_once('\n').expect("a path and a text");
            let name = path.trim_end_matches("~~").trim().to_owned();
            let lines = [path].into_iter().chain(text.lines()).enumerate();
            let marked = lines.filter(|(_, line)| line.ends_with("~~"));
            expected.extend(marked.map(|(line, _)| (name.clone(), line)));
            let text: String = text
                .lines()
                .map(|l| format!("{}\n", l.trim_end_matches("~~").trim_end()))
                .collect();
            if name == "metadata.json" {
                tree.metadata = serde_json::from_str(&text).expect("JSON");
            } else if name.ends_with(".rs") {
                tree.sources.push(Source::new(&name, &text));
            } else {
                tree.texts.insert(name, text);
            }
        }
        (tree, expected)
    }
}

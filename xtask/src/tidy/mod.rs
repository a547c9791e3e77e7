//! Tidy: every rule of STYLE and ARCHITECTURE that a program can check.

mod exceptions;
mod map;
mod proof;
mod rules;
mod source;
mod tree;

use crate::{Failure, process};
use exceptions::Exceptions;
use std::path::Path;
use tree::Tree;

/// A rule over the tree. Its fixture `xtask/fixtures/NAME.txt` fails it and a test proves so.
struct Rule {
    name: &'static str,
    /// What it demands, and why, in one sentence.
    says: &'static str,
    check: fn(&Tree) -> Vec<Finding>,
}

/// A place where a rule is broken.
#[derive(Debug)]
struct Finding {
    path: String,
    /// Counted from one; zero for the whole file.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: path.into(), line, what: what.into() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// All but clippy.
    Fast,
    Whole,
}

/// The task `tidy`.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<(), Failure> {
    let mut depth = Depth::Whole;
    for option in options {
        match *option {
            "--fast" => depth = Depth::Fast,
            "--explain" => return explain(),
            "--write-map" => return map::write(root),
            "--write-codes" => return CODES.write(root),
            "--write-keys" => return KEYS.write(root),
            other => return Err(Failure::new(format!("tidy has no option `{other}`"))),
        }
    }
    let mut parts: Vec<(&str, Result<(), Failure>)> = vec![
        ("rules", check_rules(root)),
        ("core-alone", proof::core_has_no_dependency(root)),
        ("core-no-std", proof::core_links_without_std(root)),
        ("format", process::run(root, "cargo", ["fmt", "--all", "--check"])),
        ("format of fuzz", process::run(&root.join("fuzz"), "cargo", ["fmt", "--check"])),
    ];
    if depth == Depth::Whole && parts.iter().all(|(_, result)| result.is_ok()) {
        let clippy = "clippy --quiet --workspace --all-targets --all-features -- -D warnings";
        parts.push(("clippy", process::run(root, "cargo", clippy.split(' '))));
        let clippy = "clippy --quiet --all-targets --manifest-path fuzz/Cargo.toml -- -D warnings";
        parts.push(("page of codes", CODES.check(root)));
        parts.push(("page of keys", KEYS.check(root)));
        parts.push(("clippy of fuzz", process::run(root, "cargo", clippy.split(' '))));
    }
    let failed: Vec<_> =
        parts.iter().filter_map(|(name, result)| Some((name, result.as_ref().err()?))).collect();
    for (name, failure) in &failed {
        println!("tidy: {name}: {failure}");
    }
    println!("tidy: {} passed, {} failed", parts.len() - failed.len(), failed.len());
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::new("not tidy")),
    }
}

/// A page drawn from a table in the code by an example of the crate that has it. A test of that
/// crate holds the page to the table, too.
struct Drawn {
    page: &'static str,
    args: &'static str,
    option: &'static str,
}

const CODES: Drawn = Drawn {
    page: "docs/codes.md",
    args: "run --quiet --locked -p wholly-wire --example codes",
    option: "--write-codes",
};
const KEYS: Drawn = Drawn {
    page: "docs/operate/configuration.md",
    args: "run --quiet --locked -p wholly-server --example keys",
    option: "--write-keys",
};

impl Drawn {
    fn write(&self, root: &Path) -> Result<(), Failure> {
        let text = process::output(root, "cargo", self.args.split(' '))?;
        let path = root.join(self.page);
        std::fs::write(&path, text)
            .map_err(|e| Failure::new(format!("writing {} failed: {e}", path.display())))
    }

    fn check(&self, root: &Path) -> Result<(), Failure> {
        let path = root.join(self.page);
        let kept = std::fs::read_to_string(&path)
            .map_err(|e| Failure::new(format!("reading {} failed: {e}", path.display())))?;
        match process::output(root, "cargo", self.args.split(' '))? == kept {
            true => Ok(()),
            false => {
                let Drawn { page, option, .. } = self;
                Err(Failure::new(format!("{page} differs: `cargo xtask tidy {option}`")))
            }
        }
    }
}

fn check_rules(root: &Path) -> Result<(), Failure> {
    let tree = Tree::read(root)?;
    let mut exceptions = Exceptions::read(root)?;
    let mut count = 0;
    for rule in rules::ALL {
        for finding in (rule.check)(&tree) {
            let line = source_line(&tree, &finding);
            if exceptions.covers(rule.name, &finding, line) {
                continue;
            }
            count += 1;
            println!("{}:{}: {}: {}", finding.path, finding.line, rule.name, finding.what);
        }
    }
    for stale in exceptions.stale() {
        count += 1;
        println!("{stale}");
    }
    let (rules, files) = (rules::ALL.len(), tree.sources.len());
    println!("{rules} rules over {files} Rust files: {count} findings");
    match count {
        0 => Ok(()),
        _ => Err(Failure::new("`cargo xtask tidy --explain` says why each rule is there")),
    }
}

fn source_line<'a>(tree: &'a Tree, finding: &Finding) -> &'a str {
    let source = tree.sources.iter().find(|source| source.path == finding.path);
    let text = source.map_or(tree.text(&finding.path), |source| &source.text);
    text.lines().nth(finding.line.wrapping_sub(1)).unwrap_or("")
}

fn explain() -> Result<(), Failure> {
    for rule in rules::ALL {
        println!("{:<14}{}", rule.name, rule.says);
    }
    for (name, says) in [
        (
            "exceptions",
            "xtask/tidy-exceptions.txt holds only what still breaks a rule, and counts it",
        ),
        ("core-alone", "core has no dependency of any kind: `cargo tree` prints one line"),
        (
            "core-no-std",
            "core links into a program without std, so that no clock or socket can hide",
        ),
        ("format", "rustfmt has the last word on layout"),
        ("page of codes", "docs/codes.md is drawn from the table of codes"),
        ("page of keys", "the tables of docs/operate/configuration.md are drawn from the code"),
        ("clippy", "no warning, in tests and with all features"),
    ] {
        println!("{name:<14}{says}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Each rule finds just what its fixture marks: the marked lines fail, the others pass.
    #[test]
    fn every_rule_finds_what_its_fixture_marks() {
        for rule in rules::ALL {
            let own = Path::new(env!("CARGO_MANIFEST_DIR"));
            let path = own.join(format!("fixtures/{}.txt", rule.name));
            let text = std::fs::read_to_string(&path).expect("every rule has a fixture");
            let (tree, expected) = Tree::parse(&text);
            let found = (rule.check)(&tree);
            let places = found.iter().map(|finding| (finding.path.clone(), finding.line));
            let places: BTreeSet<_> = places.collect();
            assert!(!expected.is_empty(), "the fixture of {} marks nothing", rule.name);
            let expected: BTreeSet<_> = expected.into_iter().collect();
            assert_eq!(places, expected, "{}: {found:#?}", rule.name);
        }
    }

    #[test]
    fn the_names_of_rules_differ() {
        let names: BTreeSet<_> = rules::ALL.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), rules::ALL.len());
    }
}

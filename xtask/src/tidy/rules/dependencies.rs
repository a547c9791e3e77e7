//! Dependencies: why each is there, where it comes from, under which licence.

use crate::tidy::Finding;
use crate::tidy::tree::Tree;
use std::collections::BTreeMap;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Libraries that must not slip in, with what is used instead.
const BANNED: [(&str, &str); 4] = [
    ("aws-lc-sys", "rustls with ring"),
    ("openssl-sys", "rustls with ring"),
    ("native-tls", "rustls with ring"),
    ("rustls-pemfile", "rustls::pki_types::pem"),
];

/// Licences a dependency may be under.
const LICENCES: [&str; 9] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Sections of the root manifest in which every line gives its reason.
const REASONED: [&str; 3] =
    ["[workspace.dependencies]", "[workspace.lints.rust]", "[workspace.lints.clippy]"];

/// Every member, shared dependency and lint has a comment on its line. Our own rooms, which are
/// members, are explained there; a group of switches of one kind speaks for itself by its name.
pub(crate) fn reasons(tree: &Tree) -> Vec<Finding> {
    const MANIFEST: &str = "Cargo.toml";
    let mut found = Vec::new();
    let (mut section, mut is_list) = ("", false);
    for (index, line) in tree.text(MANIFEST).lines().enumerate() {
        let bare = line.trim();
        if bare.starts_with('[') {
            section = bare;
        }
        is_list = match bare {
            "members = [" => true,
            "]" => false,
            _ => is_list,
        };
        let is_member = is_list && bare.starts_with('"');
        let is_entry = REASONED.contains(&section) && bare.contains('=') && !bare.starts_with('#');
        let is_own = bare.contains("path = \"");
        if (is_member || (is_entry && !is_own)) && !line.contains("# ") {
            found.push(Finding::new(MANIFEST, index + 1, "says no reason: `# why it is there`"));
        }
    }
    found
}

/// The lock files hold no banned package, none from elsewhere, none in two versions.
pub(crate) fn bans(tree: &Tree) -> Vec<Finding> {
    ["Cargo.lock", "fuzz/Cargo.lock"].into_iter().flat_map(|lock| bans_of(tree, lock)).collect()
}

fn bans_of(tree: &Tree, lock: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, line) in tree.text(lock).lines().enumerate() {
        if let Some(name) = value(line, "name") {
            if let Some((_, instead)) = BANNED.iter().find(|(banned, _)| *banned == name) {
                found.push(Finding::new(lock, index + 1, format!("{name} is banned: {instead}")));
            }
            let count = seen.entry(name).or_default();
            *count += 1;
            if *count == 2 {
                found.push(Finding::new(lock, index + 1, format!("{name} is there twice")));
            }
        }
        if let Some(source) = value(line, "source")
            && source != REGISTRY
        {
            found.push(Finding::new(lock, index + 1, format!("{source} is not the registry")));
        }
    }
    found
}

fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')
}

/// The licence of every package offers a choice that is on the list.
pub(crate) fn licences(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in tree.metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or("");
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_free(licence) {
            let what = format!("{name} is under `{licence}`, which is not on the list");
            found.push(Finding::new("Cargo.lock", 0, what));
        }
    }
    found
}

/// Reads an SPDX expression: `OR` offers, `AND` demands, and binds more tightly.
fn is_free(licence: &str) -> bool {
    let licence = licence.replace('/', " OR ");
    if let Some((before, rest)) = licence.split_once('(') {
        let (inner, after) = rest.split_once(')').unwrap_or((rest, ""));
        let inner = if is_free(inner) { LICENCES[0] } else { "none" };
        return is_free(&format!("{before}{inner}{after}"));
    }
    let choices = licence.split(" OR ");
    let mut is_offered = choices
        .map(|choice| choice.split(" AND ").all(|demanded| LICENCES.contains(&demanded.trim())));
    is_offered.any(|is_free| is_free)
}

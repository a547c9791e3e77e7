//! Rooms: words that only some folders may say, and the files in which a mode is named.

use crate::tidy::Finding;
use crate::tidy::source::{Source, is_word_char, words};
use crate::tidy::tree::Tree;

/// Spellings that stay in their rooms.
struct Kept {
    spellings: &'static [&'static str],
    /// Where tidy looks.
    of: &'static [&'static str],
    /// Where it is allowed all the same.
    rooms: &'static [&'static str],
    why: &'static str,
}

const KEPT: &[Kept] = &[
    Kept {
        spellings: &["SystemTime::now", "Instant::now"],
        of: &["crates/", "examples/", "xtask/"],
        rooms: &[
            "crates/server/",
            "crates/sdk/",
            "crates/cli/",
            "crates/bench/",
            "crates/sim/src/main.rs",
            "crates/models/src/main.rs",
            "examples/",
            "xtask/",
        ],
        why: "time comes in as a value; clocks are read in server, sdk, cli, bench, sim's main \
              and models'",
    },
    Kept {
        spellings: &["getrandom", "RandomState", "thread_rng"],
        of: &["crates/"],
        rooms: &["crates/server/", "crates/sdk/", "crates/cli/", "crates/bench/"],
        why: "chance comes in as a value",
    },
    Kept {
        spellings: &["serde", "serde_json", "Serialize", "Deserialize"],
        of: &["crates/core/", "crates/store/"],
        rooms: &[],
        why: "wire spells for the network, store's own encoding for the disk",
    },
    Kept {
        spellings: &["TcpStream::connect", "TcpSocket", "client::conn", "hyper_util::client"],
        of: &["crates/server/src/"],
        rooms: &["crates/server/src/egress/", "crates/server/src/egress.rs"],
        why: "every outgoing call passes egress",
    },
    Kept {
        spellings: &["wholly_core::modes", "core::modes"],
        of: &["crates/server/", "crates/store/", "crates/wire/"],
        rooms: &[],
        why: "the rules of modes are core's",
    },
    Kept {
        spellings: &["std::fs", "std::net", "std::thread"],
        of: &["crates/wire/", "crates/sim/src/", "crates/core/", "crates/macros/"],
        rooms: &["crates/sim/src/main.rs"],
        why: "files, sockets and threads belong to store, server and programs",
    },
];

/// Names of modes, as parts of words.
const MODES: [&str; 4] = ["tcc", "saga", "Tcc", "Saga"];
/// Where naming a mode needs a place on the list. What is on the list stands in ARCHITECTURE.md,
/// below this heading, each file or folder in backticks at the start of an item.
const NAMED_IN: [&str; 3] = ["crates/core/src/", "crates/server/src/", "crates/store/src/"];
const HEADING: &str = "## Where a mode is named";

/// Nothing is said outside its room.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let leaves = leaves(tree.text("ARCHITECTURE.md"));
    let mut found = Vec::new();
    for source in &tree.sources {
        for kept in KEPT {
            if !starts(&source.path, kept.of) || starts(&source.path, kept.rooms) {
                continue;
            }
            for spelling in kept.spellings {
                for at in words(&source.code, spelling) {
                    let what = format!("`{spelling}`: {}", kept.why);
                    found.push(Finding::new(&source.path, source.line_at(at), what));
                }
            }
        }
        if starts(&source.path, &NAMED_IN) && !starts(&source.path, &leaves) {
            found.extend(modes(source));
        }
    }
    found
}

fn starts(path: &str, beginnings: &[impl AsRef<str>]) -> bool {
    beginnings.iter().any(|beginning| path.starts_with(beginning.as_ref()))
}

fn leaves(architecture: &str) -> Vec<String> {
    let section = architecture.split_once(HEADING).map_or("", |(_, rest)| rest);
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let items = section.lines().filter_map(|line| line.strip_prefix("- `"));
    items.filter_map(|item| Some(item.split_once('`')?.0.to_owned())).collect()
}

fn modes(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for text in [&source.code, &source.strings] {
        for mode in MODES {
            for (at, _) in text.match_indices(mode) {
                if !source.is_test(at) && stands_alone(text, at, mode) {
                    let line = source.line_at(at);
                    let what = format!("`{mode}`: a mode is named only where {HEADING:?} lists");
                    found.push(Finding::new(&source.path, line, what));
                }
            }
        }
    }
    found
}

/// Whether it is a word, or a part of one in snake or camel case.
fn stands_alone(text: &str, at: usize, mode: &str) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at + mode.len()..].chars().next();
    let is_camel = mode.starts_with(char::is_uppercase);
    let begins = is_camel || before.is_none_or(|c| c == '_' || !is_word_char(c));
    begins && after.is_none_or(|c| !c.is_lowercase())
}

//! Arrows: which crate may use which, of ours and of others.

use crate::tidy::Finding;
use crate::tidy::tree::Tree;
use serde_json::Value;

/// What a crate may use.
struct Room {
    name: &'static str,
    ours: &'static [&'static str],
    /// Of ours, in its tests alone.
    in_tests: &'static [&'static str],
    others: Others,
}

/// Libraries that are not ours.
enum Others {
    /// Any but these.
    AllBut(&'static [&'static str]),
    /// None but these.
    Only(&'static [&'static str]),
}

const NETWORK: &[&str] = &["tokio", "hyper", "hyper-util", "axum", "reqwest", "sqlx"];

const ROOMS: &[Room] = &[
    Room { name: "wholly-core", ours: &[], in_tests: &[], others: Others::Only(&[]) },
    Room {
        name: "wholly-wire",
        ours: &["wholly-core"],
        in_tests: &[],
        others: Others::AllBut(NETWORK),
    },
    Room {
        name: "wholly-store",
        ours: &["wholly-core"],
        in_tests: &[],
        others: Others::Only(&["crc32fast", "rusqlite", "thiserror", "tempfile"]),
    },
    Room {
        name: "wholly-macros",
        ours: &[],
        in_tests: &[],
        others: Others::Only(&["syn", "quote", "proc-macro2"]),
    },
    Room {
        name: "wholly-tls",
        ours: &[],
        in_tests: &["wholly-tls"],
        others: Others::AllBut(&["hyper", "hyper-util", "axum", "reqwest", "sqlx"]),
    },
    Room {
        name: "wholly",
        ours: &["wholly-core", "wholly-wire", "wholly-macros", "wholly-tls"],
        in_tests: &["wholly-server", "wholly-described", "wholly-canary"],
        others: Others::AllBut(&[]),
    },
    Room {
        name: "wholly-server",
        ours: &["wholly-core", "wholly-wire", "wholly-store", "wholly-tls"],
        in_tests: &["wholly-described", "wholly-canary"],
        others: Others::AllBut(&["axum", "reqwest", "sqlx"]),
    },
    Room {
        name: "wholly-canary",
        ours: &["wholly-wire"],
        in_tests: &[],
        others: Others::Only(&["tracing-subscriber"]),
    },
    Room {
        name: "wholly-described",
        ours: &["wholly-canary", "wholly-wire"],
        in_tests: &[],
        others: Others::Only(&["serde_json", "tokio"]),
    },
    Room {
        name: "wholly-sim",
        ours: &["wholly-core", "wholly-wire", "wholly-store"],
        in_tests: &[],
        others: Others::AllBut(NETWORK),
    },
    Room {
        name: "wholly-models",
        ours: &["wholly-core"],
        in_tests: &[],
        others: Others::Only(&["stateright"]),
    },
    Room {
        name: "wholly-bench",
        ours: &["wholly-core", "wholly-wire", "wholly-store", "wholly-server", "wholly-tls"],
        in_tests: &[],
        others: Others::AllBut(&[]),
    },
    Room {
        name: "wholly-testkit",
        ours: &["wholly-core", "wholly-wire", "wholly-store", "wholly-server", "wholly"],
        in_tests: &["wholly-canary"],
        others: Others::AllBut(&["reqwest"]),
    },
    Room {
        name: "wholly-shop",
        ours: &["wholly"],
        in_tests: &["wholly-testkit"],
        others: Others::AllBut(&[]),
    },
    Room {
        name: "axum-existing",
        ours: &["wholly", "wholly-shop"],
        in_tests: &[],
        others: Others::AllBut(&[]),
    },
    // By hand: what it is for is to do without ours.
    Room { name: "participant-by-hand", ours: &[], in_tests: &[], others: Others::AllBut(&[]) },
    Room {
        name: "wholly-cli",
        ours: &[
            "wholly",
            "wholly-core",
            "wholly-wire",
            "wholly-store",
            "wholly-tls",
            "wholly-server",
            "wholly-shop",
        ],
        in_tests: &["wholly-described", "wholly-canary"],
        others: Others::AllBut(&[]),
    },
    Room {
        name: "xtask",
        ours: &[],
        in_tests: &[],
        others: Others::Only(&["serde_json", "socket2"]),
    },
];

/// Every dependency of a member, of any kind, is one its room allows.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let packages = tree.metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let members: Vec<&Value> = packages.iter().filter(|p| p["source"].is_null()).collect();
    let mut found = Vec::new();
    for member in members {
        let name = member["name"].as_str().unwrap_or("");
        let manifest = manifest(tree, member);
        let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
            found.push(Finding::new(&manifest, 0, format!("{name} has no row in tidy's ROOMS")));
            continue;
        };
        for dependency in member["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or("");
            let is_ours = ROOMS.iter().any(|room| room.name == other);
            let is_allowed = match (is_ours, &room.others) {
                (true, _) => {
                    let is_for_tests = dependency["kind"] == "dev";
                    room.ours.contains(&other) || (is_for_tests && room.in_tests.contains(&other))
                }
                (false, Others::AllBut(banned)) => !banned.contains(&other),
                (false, Others::Only(allowed)) => allowed.contains(&other),
            };
            if !is_allowed {
                found.push(Finding::new(&manifest, 0, format!("{name} may not use {other}")));
            }
        }
    }
    found
}

fn manifest(tree: &Tree, package: &Value) -> String {
    let root = tree.metadata["workspace_root"].as_str().unwrap_or("");
    let path = package["manifest_path"].as_str().unwrap_or("");
    path.strip_prefix(root).unwrap_or(path).trim_start_matches('/').to_owned()
}

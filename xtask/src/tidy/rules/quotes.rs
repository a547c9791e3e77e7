//! Quotes: the Rust code on a page is quoted from a file that compiles.

use crate::tidy::Finding;
use crate::tidy::tree::Tree;
use std::collections::BTreeSet;

/// Pages, and the files they quote.
const QUOTES: [(&str, &str); 4] = [
    ("README.md", "crates/sdk/examples/shop.rs"),
    ("docs/modes/saga.md", "examples/shop/src/order.rs"),
    ("docs/modes/tcc.md", "examples/shop/src/order.rs"),
    ("docs/participants/testing.md", "examples/shop/tests/every_fault.rs"),
];

/// Every line between ```` ```rust ```` and ```` ``` ```` stands in the file, however indented.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (page, file) in QUOTES {
        let source = tree.sources.iter().find(|source| source.path == file);
        let lines: BTreeSet<&str> =
            source.map_or("", |source| &source.text).lines().map(str::trim).collect();
        let mut is_code = false;
        for (index, line) in tree.text(page).lines().enumerate() {
            let line = line.trim();
            if line.starts_with("```") {
                is_code = line == "```rust";
            } else if is_code && !line.is_empty() && !lines.contains(line) {
                let what = format!("this line does not stand in {file}");
                found.push(Finding::new(page, index + 1, what));
            }
        }
    }
    found
}

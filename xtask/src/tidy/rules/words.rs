//! Words: what comments do not say, and what things are not called.

use crate::tidy::Finding;
use crate::tidy::source::{is_word_char, words};
use crate::tidy::tree::Tree;

/// What a comment may not say, and why.
const FORBIDDEN: [(&str, &str); 16] = [
    ("now", TIMELESS),
    ("newly", TIMELESS),
    ("brand-new", TIMELESS),
    ("the new", TIMELESS),
    ("is new", TIMELESS),
    ("no longer", TIMELESS),
    ("for the moment", TIMELESS),
    ("todo", DONE),
    ("fixme", DONE),
    ("hack", DONE),
    ("xxx", DONE),
    ("sub-transaction", "the glossary says branch"),
    ("empty rollback", "the glossary says null compensation"),
    ("prepared message", "the glossary says half message"),
    ("suspended", "the glossary says parked"),
    ("action type", "the glossary says op"),
];
const TIMELESS: &str = "a comment is timeless; what changed is for the commit";
const DONE: &str = "do it, or leave it out";

/// Ends of type names that say that nobody decided what the thing is.
const VAGUE: [&str; 6] = ["Manager", "Helper", "Util", "Processor", "Data", "Info"];

/// Comments keep to the words; code in backticks and in examples is not read.
pub(crate) fn comments(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        let mut is_example = false;
        for (index, line) in source.comments.lines().enumerate() {
            if line.contains("```") {
                is_example = !is_example;
            }
            if is_example || line.trim().is_empty() {
                continue;
            }
            let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
            let prose = prose.to_lowercase();
            for (word, why) in FORBIDDEN {
                if words(&prose, word).next().is_some() {
                    found.push(Finding::new(&source.path, index + 1, format!("`{word}`: {why}")));
                }
            }
        }
    }
    found
}

/// Types and functions are named for what they are.
pub(crate) fn names(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        for keyword in ["struct", "enum", "trait", "type", "fn", "mod"] {
            for at in words(&source.code, keyword) {
                let rest = source.code[at + keyword.len()..].trim_start();
                let name: String = rest.chars().take_while(|c| is_word_char(*c)).collect();
                if is_vague(&name) {
                    let what = format!("`{name}` says too little");
                    found.push(Finding::new(&source.path, source.line_at(at), what));
                }
            }
        }
    }
    found
}

fn is_vague(name: &str) -> bool {
    let ends = VAGUE.iter().any(|end| name.ends_with(end));
    ends || name.starts_with("get_") || ["util", "utils", "helper", "helpers"].contains(&name)
}

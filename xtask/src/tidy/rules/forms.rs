//! Forms: captions, lengths, how a lint is silenced, no ignored test.

use crate::tidy::Finding;
use crate::tidy::source::{Source, words};
use crate::tidy::tree::Tree;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;

/// The first line is a caption: a sentence about the whole file.
pub(crate) fn caption(tree: &Tree) -> Vec<Finding> {
    let bare = tree.sources.iter().filter(|source| source.caption().is_none());
    let what = "begins with `//! ` and a sentence on what it is";
    bare.map(|source| Finding::new(&source.path, 1, what)).collect()
}

/// Functions, files and lines are not too long.
pub(crate) fn length(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        for function in source.functions() {
            let lines = function.last - function.first + 1;
            if lines > FUNCTION_LINES_MAX {
                let what = format!("`{}` has {lines} lines of {FUNCTION_LINES_MAX}", function.name);
                found.push(Finding::new(&source.path, function.first, what));
            }
        }
        let lines = source.lines_without_tests();
        if lines > FILE_LINES_MAX {
            let what = format!("has {lines} lines of {FILE_LINES_MAX} without its tests");
            found.push(Finding::new(&source.path, 0, what));
        }
        for (index, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                let what = format!("{columns} columns of {COLUMNS_MAX}");
                found.push(Finding::new(&source.path, index + 1, what));
            }
        }
    }
    found
}

/// No `allow`; an `expect` gives its reason.
pub(crate) fn silence(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        for attribute in attributes(source) {
            let text = &source.code[attribute.clone()];
            let line = source.line_at(attribute.start);
            if words(text, "allow(").next().is_some() {
                found.push(Finding::new(&source.path, line, "`expect` instead of `allow`"));
            }
            if words(text, "expect(").next().is_some() && words(text, "reason").next().is_none() {
                found.push(Finding::new(&source.path, line, "`expect` without a reason"));
            }
        }
    }
    found
}

/// No test is ignored, and none sleeps.
pub(crate) fn tests(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        let ignored = attributes(source)
            .into_iter()
            .filter(|attribute| words(&source.code[attribute.clone()], "ignore").next().is_some());
        found.extend(ignored.map(|attribute| {
            let line = source.line_at(attribute.start);
            Finding::new(&source.path, line, "assert what happens instead, with the reason")
        }));
        let sleeps = words(&source.code, "sleep(").filter(|at| source.is_test(*at));
        found.extend(sleeps.map(|at| {
            let what = "a test waits for what it waits for: a line, an answer, an exit";
            Finding::new(&source.path, source.line_at(at), what)
        }));
    }
    found
}

/// Where attributes stand, from `#` to the closing bracket.
fn attributes(source: &Source) -> Vec<std::ops::Range<usize>> {
    let code = &source.code;
    let starts = code.match_indices('#').map(|(at, _)| at);
    let starts = starts.filter(|at| code[at + 1..].trim_start_matches('!').starts_with('['));
    let ranges = starts.map(|start| {
        let mut depth = 0;
        for (at, b) in code.bytes().enumerate().skip(start) {
            depth += i32::from(b == b'[') - i32::from(b == b']');
            if b == b']' && depth == 0 {
                return start..at + 1;
            }
        }
        start..code.len()
    });
    ranges.collect()
}

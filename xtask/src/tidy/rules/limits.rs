//! Limits: every bound that the code names has a row on the page of limits, and a test; and so has
//! every promise on the page of promises.

use crate::tidy::Finding;
use crate::tidy::source::Source;
use crate::tidy::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

const LIMITS: &str = "docs/operate/limits.md";
const KEYS: &str = "docs/operate/configuration.md";
const PROMISES: &str = "docs/internals/promises.md";
const SETTINGS: &str = "crates/server/src/config/settings.rs";
/// Where limits are named; what the command line and the tools bound is their own.
const ROOMS: [&str; 5] = [
    "crates/core/src/",
    "crates/wire/src/",
    "crates/store/src/",
    "crates/server/src/",
    "crates/sdk/src/",
];
/// Options of which not all are keys of the configuration.
const OPTIONS: &str = "crates/store/src/embedded/mod.rs";
/// The promises of security, by their numbers.
const PROMISES_MAX: usize = 14;

/// A row of a page: its line, and its cells.
struct Row<'a> {
    line: usize,
    section: &'a str,
    cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn of(text: &'a str) -> Vec<Row<'a>> {
        let mut section = "";
        let mut rows = Vec::new();
        for (index, line) in text.lines().enumerate() {
            section = line.strip_prefix("## ").unwrap_or(section);
            let Some(inner) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) else {
                continue;
            };
            rows.push(Row { line: index + 1, section, cells: inner.split(" | ").collect() });
        }
        rows
    }

    fn cell(&self, at: usize) -> &'a str {
        self.cells.get(at).copied().unwrap_or_default()
    }

    fn word(&self, at: usize) -> &'a str {
        self.cell(at).trim_matches('`')
    }
}

/// The page of limits against the code.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let rows = Row::of(tree.text(LIMITS));
    let keyed = rows.iter().filter(|row| row.section == "By configuration");
    let keyed: Vec<&Row<'_>> = keyed.filter(|row| row.cell(0).starts_with('`')).collect();
    let others = rows.iter().filter(|row| matches!(row.section, "Fixed" | "Paces"));
    let others: Vec<&Row<'_>> = others.filter(|row| row.cell(0).starts_with('`')).collect();
    check_keys(tree, &keyed, &mut found);
    check_named(tree, &others, &mut found);
    for row in keyed.iter().chain(&others).filter(|row| row.section != "Paces") {
        check_tests(tree, LIMITS, row, &mut found);
    }
    found
}

/// Every number of the configuration has a row that says what its own page says.
fn check_keys(tree: &Tree, rows: &[&Row<'_>], found: &mut Vec<Finding>) {
    let said: BTreeMap<&str, (&str, &str)> = Row::of(tree.text(KEYS))
        .iter()
        .map(|row| (row.word(0), (row.cell(1), row.cell(2))))
        .collect();
    let keys = tree.sources.iter().find(|source| source.path == SETTINGS).map(keys);
    let keys = keys.unwrap_or_default();
    for (key, line) in &keys {
        if !rows.iter().any(|row| row.word(0) == key) {
            found.push(Finding::new(SETTINGS, *line, format!("`{key}` has no row in {LIMITS}")));
        }
    }
    for row in rows {
        let key = row.word(0);
        if !keys.contains_key(key) {
            found.push(Finding::new(LIMITS, row.line, format!("no key is `{key}`")));
        } else if said.get(key) != Some(&(row.cell(1), row.cell(2))) {
            let what = format!("`{key}` has another default or range in {KEYS}");
            found.push(Finding::new(LIMITS, row.line, what));
        }
    }
}

/// The keys whose values are numbers, with their lines.
fn keys(source: &Source) -> BTreeMap<String, usize> {
    let starts = ["number(", "count("];
    let calls = starts
        .iter()
        .flat_map(|start| source.code.match_indices(start).map(|(at, _)| at + start.len()));
    let keys = calls.filter(|at| !source.is_test(*at)).filter_map(|at| {
        let rest = source.text[at..].trim_start().strip_prefix('"')?;
        let (key, _) = rest.split_once('"')?;
        key.contains('.').then(|| (key.to_owned(), source.line_at(at)))
    });
    keys.collect()
}

/// Every constant that bounds something has a row with its value, every row its constant.
fn check_named(tree: &Tree, rows: &[&Row<'_>], found: &mut Vec<Finding>) {
    let mut known = BTreeSet::new();
    for source in tree.sources.iter().filter(|s| ROOMS.iter().any(|r| s.path.starts_with(r))) {
        let path = source.path.trim_start_matches("crates/");
        for (name, value, line) in constants(source).into_iter().chain(options(source)) {
            let row = rows.iter().find(|row| (row.word(0), row.word(1)) == (&name, path));
            let is_bound = name.ends_with("_MAX") || name.ends_with("_max");
            match (row, value) {
                (None, _) if is_bound => {
                    let what = format!("`{name}` has no row in {LIMITS}");
                    found.push(Finding::new(&source.path, line, what));
                }
                (Some(row), Some(value)) if row.word(2) != value => {
                    let what = format!("`{name}` is `{value}`");
                    found.push(Finding::new(LIMITS, row.line, what));
                }
                (None | Some(_), _) => {}
            }
            known.insert((name, path.to_owned()));
        }
    }
    for row in rows {
        if !known.contains(&(row.word(0).to_owned(), row.word(1).to_owned())) {
            let what = format!("`{}` does not stand in {}", row.word(0), row.word(1));
            found.push(Finding::new(LIMITS, row.line, what));
        }
    }
}

/// Name, value and line of each constant.
fn constants(source: &Source) -> Vec<(String, Option<String>, usize)> {
    let starts = source.code.match_indices("const ").map(|(at, word)| (at, at + word.len()));
    let outside = starts.filter(|(at, _)| !source.is_test(*at));
    let constants = outside.filter_map(|(at, start)| {
        let (declared, _) = source.text[start..].split_once(';')?;
        let (name, rest) = declared.split_once(": ")?;
        let (_, value) = rest.split_once(" = ")?;
        let is_name =
            name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        is_name.then(|| (name.to_owned(), Some(value), source.line_at(at)))
    });
    constants.collect()
}

/// Fields of options that bound something and are no key of the configuration.
fn options(source: &Source) -> Vec<(String, Option<String>, usize)> {
    if source.path != OPTIONS {
        return Vec::new();
    }
    let fields = source.code.lines().enumerate().filter_map(|(index, line)| {
        let (name, _) = line.trim().strip_prefix("pub ")?.split_once("_max: ")?;
        Some((format!("{name}_max"), None, index + 1))
    });
    let is_key = |name: &str| KEYED_OPTIONS.contains(&name);
    fields.filter(|(name, _, _)| !is_key(name)).collect()
}

/// Fields of options that the configuration sets under the same name.
const KEYED_OPTIONS: [&str; 2] = ["log_bytes_max", "ended_max"];

/// Every promise has a row, and every row a test.
pub(crate) fn promises(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let rows = Row::of(tree.text(PROMISES));
    let is_promise =
        |row: &&Row<'_>| row.cell(0).strip_prefix('S').is_some_and(|n| n.parse::<usize>().is_ok());
    let rows: Vec<&Row<'_>> = rows.iter().filter(is_promise).collect();
    let named: Vec<String> = rows.iter().map(|row| row.cell(0).to_owned()).collect();
    let expected: Vec<String> = (1..=PROMISES_MAX).map(|n| format!("S{n}")).collect();
    if named != expected {
        found.push(Finding::new(PROMISES, 0, format!("names {named:?} in place of {expected:?}")));
    }
    for row in rows {
        check_tests(tree, PROMISES, row, &mut found);
    }
    found
}

/// The last cell of a row names tests that are there: `room/file.rs::name`, or a task.
fn check_tests(tree: &Tree, page: &str, row: &Row<'_>, found: &mut Vec<Finding>) {
    let tests = row.cells.last().copied().unwrap_or_default();
    let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
    if tests.is_empty() {
        found.push(Finding::new(page, row.line, format!("{} has no test", row.cell(0))));
    }
    for test in tests {
        if !is_there(tree, test) {
            found.push(Finding::new(page, row.line, format!("there is no test `{test}`")));
        }
    }
}

fn is_there(tree: &Tree, test: &str) -> bool {
    if let Some(task) = test.strip_prefix("cargo xtask ") {
        let main = tree.sources.iter().find(|source| source.path == "xtask/src/main.rs");
        let named = format!("\"{}\"", task.split(' ').next().unwrap_or_default());
        return main.is_some_and(|main| main.text.contains(&named));
    }
    let Some((path, name)) = test.split_once("::") else { return false };
    let paths = [path.to_owned(), format!("crates/{path}")];
    let mut sources = tree.sources.iter().filter(|source| paths.contains(&source.path));
    sources.any(|source| {
        let declared = format!("fn {name}");
        source.code.match_indices(&declared).any(|(at, _)| {
            let next = source.code[at + declared.len()..].chars().next();
            source.is_test(at) && matches!(next, Some('(' | '<'))
        })
    })
}

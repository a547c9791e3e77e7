//! What does not keep a rule yet, each with its reason: a list that may only shrink.

use super::Finding;
use crate::Failure;
use std::path::Path;

const FILE: &str = "xtask/tidy-exceptions.txt";

/// One allowed breach.
struct Exception {
    rule: String,
    path: String,
    /// A part of the line or of the message; empty for all of that rule in that file.
    part: String,
    line: usize,
    is_used: bool,
}

/// The list.
pub(crate) struct Exceptions {
    entries: Vec<Exception>,
    faults: Vec<String>,
}

impl Exceptions {
    pub(crate) fn read(root: &Path) -> Result<Exceptions, Failure> {
        let text = std::fs::read_to_string(root.join(FILE))
            .map_err(|e| Failure::new(format!("reading {FILE} failed: {e}")))?;
        Ok(Exceptions::parse(&text))
    }

    /// One entry a line, `rule | path | part | reason`, under a line `at most N entries`.
    fn parse(text: &str) -> Exceptions {
        let mut list = Exceptions { entries: Vec::new(), faults: Vec::new() };
        let mut entries_max = None;
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(count) = line.strip_prefix("at most ") {
                entries_max = count.strip_suffix(" entries").and_then(|n| n.parse().ok());
                continue;
            }
            let fields: Vec<&str> = line.split('|').map(str::trim).collect();
            match fields[..] {
                [rule, path, part, reason] if !reason.is_empty() => list.entries.push(Exception {
                    rule: rule.into(),
                    path: path.into(),
                    part: part.into(),
                    line: index + 1,
                    is_used: false,
                }),
                _ => list.faults.push(format!(
                    "{FILE}:{}: an entry is `rule | path | part | reason`",
                    index + 1
                )),
            }
        }
        let count = list.entries.len();
        if entries_max != Some(count) {
            list.faults.push(format!(
                "{FILE}:1: the list holds {count} entries and says {entries_max:?}; it may only \
                 shrink, and its count with it"
            ));
        }
        list
    }

    /// Whether a finding is on the list.
    pub(crate) fn covers(&mut self, rule: &str, finding: &Finding, source_line: &str) -> bool {
        let mut entries = self.entries.iter_mut();
        let entry = entries.find(|entry| {
            entry.rule == rule
                && entry.path == finding.path
                && (source_line.contains(&entry.part) || finding.what.contains(&entry.part))
        });
        match entry {
            Some(entry) => {
                entry.is_used = true;
                true
            }
            None => false,
        }
    }

    /// What is wrong with the list itself: entries that cover nothing, above all.
    pub(crate) fn stale(&self) -> Vec<String> {
        let unused = self.entries.iter().filter(|entry| !entry.is_used);
        let unused = unused
            .map(|entry| format!("{FILE}:{}: covers nothing any more; take it out", entry.line));
        self.faults.iter().cloned().chain(unused).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, covered: &[(&str, &str)], faults: usize) {
        let mut list = Exceptions::parse(text);
        for (path, line) in covered {
            assert!(list.covers("length", &Finding::new(path, 3, "too long"), line), "{line}");
        }
        assert_eq!(list.stale().len(), faults, "{:?}", list.stale());
    }

    #[test]
    fn an_entry_covers_its_finding() {
        let text = "at most 1 entries\nlength | a.rs | long line | generated\n";
        check(text, &[("a.rs", "a long line of code")], 0);
    }

    #[test]
    fn an_entry_that_covers_nothing_fails() {
        check("at most 1 entries\nlength | a.rs | long line | generated\n", &[], 1);
    }

    #[test]
    fn the_list_may_not_grow_unseen() {
        let text = "at most 1 entries\nlength | a.rs | | one\nlength | b.rs | | two\n";
        check(text, &[("a.rs", ""), ("b.rs", "")], 1);
    }

    #[test]
    fn an_entry_gives_its_reason() {
        check("at most 0 entries\nlength | a.rs | long line |\n", &[], 1);
    }
}

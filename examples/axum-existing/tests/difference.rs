//! Adopting Wholly changes at most thirty lines of an ordinary service.

/// Lines added and lines removed, together: a changed line counts twice.
const LINES_MAX: usize = 30;

/// Lines of code, without indentation; blank lines and comments do not count.
fn code(source: &str) -> Vec<&str> {
    let lines = source.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).collect()
}

/// The length of the longest common subsequence, row by row.
fn common(a: &[&str], b: &[&str]) -> usize {
    let mut above = vec![0; b.len() + 1];
    for left in a {
        let mut row = vec![0; b.len() + 1];
        for (at, right) in b.iter().enumerate() {
            row[at + 1] = match left == right {
                true => above[at] + 1,
                false => row[at].max(above[at + 1]),
            };
        }
        above = row;
    }
    above[b.len()]
}

fn difference(before: &str, after: &str) -> usize {
    let (before, after) = (code(before), code(after));
    before.len() + after.len() - 2 * common(&before, &after)
}

#[test]
fn adopting_wholly_changes_at_most_thirty_lines() {
    let lines = difference(include_str!("../src/before.rs"), include_str!("../src/after.rs"));
    assert!(lines > 0, "the two are the same");
    assert!(lines <= LINES_MAX, "{lines} lines differ");
}

#[test]
fn a_changed_line_counts_twice_and_a_comment_not_at_all() {
    assert_eq!(difference("a\nb\nc", "a\nx\nc\nd\n\n// e"), 3);
    assert_eq!(difference("a\n  b", "  a\nb"), 0);
}

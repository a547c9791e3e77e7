//! The nearest known word to a misspelt one, for messages that help.

/// The known word that takes the fewest edits to become, if that is at most a third of its length
/// (and at least one).
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.len() / 3).max(1))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals and replacements from one word to the other (Levenshtein 1965), in bytes.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(nearest(word, ["name", "gid", "timeout_ms", "branches"]), expected, "{word}");
    }

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        check("nam", Some("name"));
        check("Name", Some("name"));
        check("timeout", Some("timeout_ms"));
        check("timeoutMs", Some("timeout_ms"));
        check("branchs", Some("branches"));
        check("id", Some("gid"));
        check("payload", None);
        check("", None);
    }
}

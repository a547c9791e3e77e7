//! How many slots a destination has: by its name, or by the pattern that its name matches.

use crate::ids::Destination;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Names with one `*` in them: what it stands for is one part of a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern {
    before: String,
    after: String,
}

impl NamePattern {
    /// The pattern of a name with exactly one `*`.
    pub fn new(name: &str) -> Option<NamePattern> {
        let (before, after) = name.split_once('*')?;
        let (before, after) = (String::from(before), String::from(after));
        (!after.contains('*')).then_some(NamePattern { before, after })
    }

    /// What the `*` stands for in a name.
    pub fn matched<'a>(&self, name: &'a str) -> Option<&'a str> {
        let inner = name.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())?;
        is_label(inner).then_some(inner)
    }
}

/// Whether a text is one part of a DNS name. Underscores are no part of a host name by the book,
/// but container networks give them.
pub fn is_label(text: &str) -> bool {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The slots that a configuration gives; what it does not name has `destination_calls_max`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SlotRules {
    /// By name: these go before patterns.
    pub exact: BTreeMap<Destination, Option<usize>>,
    /// By pattern, each before those it goes before; one that says nothing counts as well.
    pub patterns: Vec<(NamePattern, Option<usize>)>,
}

impl SlotRules {
    pub(super) fn of(&self, destination: &Destination) -> Option<usize> {
        match self.exact.get(destination) {
            Some(slots) => *slots,
            None => {
                let name = destination.as_str();
                let mut patterns = self.patterns.iter();
                patterns.find(|(pattern, _)| pattern.matched(name).is_some())?.1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_patterns_and_the_first_pattern_before_the_others() {
        let pattern = |name: &str, slots| (NamePattern::new(name).unwrap(), slots);
        let rules = SlotRules {
            exact: [("svc-a", Some(1)), ("svc-b", None)]
                .map(|(name, slots)| (Destination::new(name).unwrap(), slots))
                .into(),
            patterns: alloc::vec![
                pattern("svc-x*", Some(2)),
                pattern("svc-y*", None),
                pattern("svc-*", Some(3)),
            ],
        };
        let check = |name: &str, expected| {
            assert_eq!(rules.of(&Destination::new(name).unwrap()), expected, "{name}");
        };
        check("svc-a", Some(1));
        check("svc-b", None);
        check("svc-xa", Some(2));
        check("svc-ya", None);
        check("svc-c", Some(3));
        check("svc-", None);
        check("svc-C", None);
        check("stock", None);
        assert_eq!(NamePattern::new("stock"), None);
        assert_eq!(NamePattern::new("a*b*"), None);
    }
}

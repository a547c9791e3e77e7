//! Spellings of the closed words of the protocol, and the open form in which a client reads them.

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use wholly_core::branch::{Mode, Op, Resolution};
use wholly_core::record::{Cause, Decision, Outcome, PhaseName};

/// A closed set of words, each with one spelling.
pub trait Spelled: Copy + Eq + fmt::Debug + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// How it is written.
    fn spell(self) -> &'static str;

    /// The word that is written so.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|word| word.spell() == text)
    }

    /// All spellings, for messages.
    fn spellings() -> String {
        let words: Vec<&str> = Self::ALL.iter().map(|word| word.spell()).collect();
        words.join(", ")
    }
}

/// Gives a closed enum its spellings.
macro_rules! words {
    ($name:ident { $($word:ident => $text:literal),+ $(,)? }) => {
        impl $crate::words::Spelled for $name {
            const ALL: &'static [Self] = &[$($name::$word),+];

            fn spell(self) -> &'static str {
                match self {
                    $($name::$word => $text,)+
                }
            }
        }
    };
}
pub(crate) use words;

words!(Mode { Tcc => "tcc", Saga => "saga" });
words!(Op {
    Try => "try",
    Confirm => "confirm",
    Cancel => "cancel",
    Action => "action",
    Compensate => "compensate",
    Inspect => "inspect",
});
words!(Resolution { Applied => "applied", NotApplied => "not_applied", Unknown => "unknown" });
words!(PhaseName {
    Open => "open",
    Forward => "forward",
    Finishing => "finishing",
    Ended => "ended",
});
words!(Decision { Commit => "commit", Abort => "abort" });
words!(Cause {
    Initiator => "initiator",
    Refusal => "refusal",
    Unknown => "unknown",
    Deadline => "deadline",
    Operator => "operator",
});
words!(Outcome { AsDecided => "as_decided", Mixed => "mixed", Hazard => "hazard" });

/// A word as a client reads it: one that it does not know is kept, and is never final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word<T> {
    /// One of ours.
    Known(T),
    /// One that a later release knows.
    Other(Box<str>),
}

impl<T: Spelled> Word<T> {
    /// The word, if it is one of ours.
    pub fn known(&self) -> Option<T> {
        match self {
            Word::Known(word) => Some(*word),
            Word::Other(_) => None,
        }
    }

    /// Whether it is this one.
    pub fn is(&self, word: T) -> bool {
        self.known() == Some(word)
    }

    /// How it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Word::Known(word) => word.spell(),
            Word::Other(text) => text,
        }
    }
}

impl<T: Spelled> From<T> for Word<T> {
    fn from(word: T) -> Self {
        Word::Known(word)
    }
}

impl<T: Spelled> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<T: Spelled> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Spelled> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Ok(match T::parse(&text) {
            Some(word) => Word::Known(word),
            None => Word::Other(text.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Spelled>(count: usize) {
        assert_eq!(T::ALL.len(), count);
        for word in T::ALL {
            assert_eq!(T::parse(word.spell()), Some(*word));
            let json = serde_json::to_string(&Word::Known(*word)).unwrap();
            assert_eq!(serde_json::from_str::<Word<T>>(&json).unwrap(), Word::Known(*word));
        }
        let other: Word<T> = serde_json::from_str("\"later\"").unwrap();
        assert_eq!((other.known(), other.as_str()), (None, "later"));
        assert_eq!(serde_json::to_string(&other).unwrap(), "\"later\"");
    }

    #[test]
    fn every_word_is_read_as_it_is_written_and_others_are_kept() {
        check::<Mode>(2);
        check::<Op>(6);
        check::<Resolution>(3);
        check::<PhaseName>(4);
        check::<Decision>(2);
        check::<Cause>(5);
        check::<Outcome>(3);
    }
}

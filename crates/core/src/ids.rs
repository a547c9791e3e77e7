//! Names and numbers: each a type of its own, valid by construction.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

/// Longest gid, branch, name, operation or code in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest reason or refusal detail in bytes.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Longest destination (a name, or a URL where the configuration allows it) in bytes.
pub const DESTINATION_BYTES_MAX: usize = 512;

/// Why a text is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NameError {
    /// Nothing was given.
    Empty,
    /// Longer than its limit, in bytes.
    TooLong {
        /// The limit it passes.
        bytes_max: usize,
    },
    /// A character that a name may not have, at this byte.
    Character {
        /// Where it stands.
        at: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => f.write_str("is empty"),
            NameError::TooLong { bytes_max } => {
                write!(f, "is longer than {bytes_max} bytes; shorten it")
            }
            NameError::Character { at } => write!(
                f,
                "has a character at byte {at} that is not allowed; use letters, digits and \
                 . _ : -, beginning with a letter or digit"
            ),
        }
    }
}

impl core::error::Error for NameError {}

fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes_max: NAME_BYTES_MAX });
    }
    for (at, byte) in text.bytes().enumerate() {
        let inner = at > 0 && matches!(byte, b'.' | b'_' | b':' | b'-');
        if !byte.is_ascii_alphanumeric() && !inner {
            return Err(NameError::Character { at });
        }
    }
    Ok(())
}

fn check_destination(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > DESTINATION_BYTES_MAX {
        return Err(NameError::TooLong { bytes_max: DESTINATION_BYTES_MAX });
    }
    match text.bytes().position(|byte| !byte.is_ascii_graphic()) {
        Some(at) => Err(NameError::Character { at }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the text once; inside, it is always valid.
            pub fn new(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok($name(Arc::from(text)))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", &self.0)
            }
        }

        impl core::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
    };
}

name!(
    /// The id of a global transaction: `[A-Za-z0-9][A-Za-z0-9._:-]{0,127}`.
    Gid, check_name
);
name!(
    /// The name of a branch within its transaction, chosen by the initiator; the form of a gid.
    BranchId, check_name
);
name!(
    /// The name of a kind of transaction, as `place-order`; the form of a gid.
    Name, check_name
);
name!(
    /// What a participant offers, as `stock.lock`; the form of a gid.
    Operation, check_name
);
name!(
    /// The code of a refusal, as `out_of_stock`; the form of a gid.
    Code, check_name
);
name!(
    /// Where a branch's operation is offered: a destination's name, or a URL where the
    /// configuration lets one stand for itself.
    Destination, check_destination
);
name!(
    /// Who asks: the id of a credential.
    Principal, check_name
);
name!(
    /// The client's key that makes a begin repeatable.
    IdempotencyKey, check_destination
);
name!(
    /// The coordinator's log that a transaction was begun in; part of the mark.
    Origin, check_name
);

/// A reason or detail for people: at most [`TEXT_BYTES_MAX`] bytes, perhaps empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text(String);

impl Text {
    /// Takes a text that fits its limit.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(NameError::TooLong { bytes_max: TEXT_BYTES_MAX });
        }
        Ok(Text(String::from(text)))
    }

    /// Takes as much of a text as fits, cut at a character.
    pub fn cut(text: &str) -> Self {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Text(String::from(&text[..end]))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Bytes that core carries and never looks into: a payload or a reply.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Body(Arc<[u8]>);

impl Body {
    /// Shares the bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Body(Arc::from(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Body {
    /// Says the length alone: payloads stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The digest of a parsed request, made at the edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "digest {:02x}{:02x}..", self.0[0], self.0[1])
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
    };
}

number!(
    /// A branch's place in its transaction, by registration. Inside only; outside it has a name.
    BranchIndex(u16)
);
number!(
    /// How many records of one transaction there are; counts from one.
    Version(u64)
);
number!(
    /// How many records of a shard there are; counts from one. Durability is a prefix of these.
    Position(u64)
);
number!(
    /// The number of a shard's lease: an append of an older one is refused.
    Epoch(u64)
);
number!(
    /// A request on its way through the driver; the shell gives the number.
    RequestId(u64)
);
number!(
    /// One sending of a call; never given twice by one driver.
    CallId(u64)
);

impl BranchIndex {
    /// As an index into the branches.
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

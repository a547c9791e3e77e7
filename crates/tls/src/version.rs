//! The versions that are spoken: 1.3 alone, or 1.2 beside it where that is said.

use rustls::SupportedProtocolVersion as Version;
use rustls::version::{TLS12, TLS13};

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OldestVersion {
    /// 1.2, for who has nothing later; 1.3 with everybody else.
    Tls12,
    /// 1.3 alone.
    #[default]
    Tls13,
}

impl OldestVersion {
    /// Every version, as people write it.
    pub const SPELLED: [(&str, OldestVersion); 2] =
        [("1.3", OldestVersion::Tls13), ("1.2", OldestVersion::Tls12)];

    /// As people write it.
    pub fn spell(self) -> &'static str {
        match self {
            OldestVersion::Tls12 => "1.2",
            OldestVersion::Tls13 => "1.3",
        }
    }

    pub(crate) fn versions(self) -> &'static [&'static Version] {
        static BOTH: [&Version; 2] = [&TLS13, &TLS12];
        static LATEST: [&Version; 1] = [&TLS13];
        match self {
            OldestVersion::Tls12 => &BOTH,
            OldestVersion::Tls13 => &LATEST,
        }
    }
}

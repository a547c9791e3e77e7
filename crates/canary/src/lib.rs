//! Canaries: planted in the secrets, payloads and replies of tests; where one comes out that should
//! not, in a log, an answer, an error, a figure or the audit, the test fails.

#![expect(clippy::unwrap_used, reason = "what is for tests stops where its ground fails")]

mod answer;
mod log;

pub use answer::check_answer;
pub use log::{Listener, check_log, heard};

use std::error::Error;
use std::sync::OnceLock;
use wholly_wire::base64;

/// A credential's secret.
pub const SECRET: &str = "canary-secret-4f1d8a2b9c7e6053-abcdef";
/// The secret that takes its place, or that nobody gave.
pub const NEXT: &str = "canary-secret-next-77aa55cc33ee11-xyz";
/// In payloads.
pub const PAYLOAD: &str = "canary-payload-91b3";
/// In replies.
pub const REPLY: &str = "canary-reply-6c02";

/// Where one is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// In a credential's secret, a key, a capability.
    Secret,
    /// In a payload.
    Payload,
    /// In a reply.
    Reply,
}

impl Canary {
    /// All of them.
    pub const ALL: [Canary; 3] = [Canary::Secret, Canary::Payload, Canary::Reply];

    /// What all that is planted there begins with.
    pub const fn stem(self) -> &'static str {
        match self {
            Canary::Secret => "canary-secret",
            Canary::Payload => "canary-payload",
            Canary::Reply => "canary-reply",
        }
    }

    fn spellings(self) -> &'static [String] {
        static SPELLED: OnceLock<[Vec<String>; 3]> = OnceLock::new();
        &SPELLED.get_or_init(|| Canary::ALL.map(|canary| spell(canary.stem())))[self as usize]
    }
}

/// The first of these that stands in a text, in any spelling that bytes are given in.
pub fn found(text: &str, canaries: &[Canary]) -> Option<Canary> {
    let sings = |canary: &&Canary| canary.spellings().iter().any(|spelt| text.contains(spelt));
    canaries.iter().find(sings).copied()
}

/// Says that none stands in what was said.
///
/// # Panics
/// If one does.
pub fn check(what: &str, said: &str) {
    assert_eq!(found(said, &Canary::ALL), None, "{what} says it: {said}");
}

/// The same of an error: of what it and its causes say to people, and to programmers.
///
/// # Panics
/// If one stands there.
pub fn check_error(error: &(dyn Error + 'static)) {
    let mut next = Some(error);
    while let Some(error) = next {
        check("an error", &format!("{error}\n{error:?}"));
        next = error.source();
    }
}

/// As it is, as a list of numbers, in base 16, and in base 64 wherever it begins there.
fn spell(stem: &str) -> Vec<String> {
    let numbers: Vec<String> = stem.bytes().map(|byte| byte.to_string()).collect();
    let hex = stem.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut spelt = vec![stem.to_owned(), numbers.join(", "), hex];
    for before in 0..3 {
        let bytes = [&[0; 2][..before], stem.as_bytes()].concat();
        let mut text = String::new();
        base64::encode(base64::STANDARD, &bytes, &mut text);
        // Without the letters that hold bits of what stands before or after it.
        spelt.push(text[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned());
    }
    spelt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_in_every_spelling() {
        for (canary, text) in [
            (Canary::Secret, SECRET),
            (Canary::Secret, NEXT),
            (Canary::Payload, PAYLOAD),
            (Canary::Reply, REPLY),
        ] {
            let bytes = text.as_bytes();
            let mut said = vec![format!("it is {text}!"), format!("{bytes:?}")];
            said.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
            for user in ["", "a:", "anna:"].map(|user| format!("{user}{text}")) {
                said.push(base64::padded(user.as_bytes()));
            }
            for said in said {
                assert_eq!(found(&said, &Canary::ALL), Some(canary), "{said}");
                let others = Canary::ALL.map(|other| (other != canary).then_some(other));
                let others: Vec<Canary> = others.into_iter().flatten().collect();
                assert_eq!(found(&said, &others), None, "{said}");
            }
        }
        assert_eq!(found("a canary sings", &Canary::ALL), None);
    }

    #[test]
    fn an_error_is_asked_for_its_causes() {
        #[derive(Debug)]
        struct Quiet(std::io::Error);
        impl std::fmt::Display for Quiet {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("it went wrong")
            }
        }
        impl Error for Quiet {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let sings = |text: &str| {
            let error = Quiet(std::io::Error::other(text.to_owned()));
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check_error(&error))).is_err()
        };
        assert!(sings(PAYLOAD));
        assert!(!sings("no"));
    }
}

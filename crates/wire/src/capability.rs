//! The capability: who shows it was given it at the begin of this very transaction.

use crate::base64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::fmt::Write as _;
use wholly_core::ids::{Gid, IdempotencyKey, Principal};
use wholly_core::time::Timestamp;

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;

const CAPABILITY_LABEL: &[u8] = b"wholly-capability-1";
const GID_LABEL: &[u8] = b"wholly-gid-1";

/// The secret that capabilities and derived gids are made with. It stays out of logs.
#[derive(Clone)]
pub struct CapabilityKey([u8; KEY_BYTES]);

impl fmt::Debug for CapabilityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("capability key")
    }
}

/// The text is no capability of ours for this gid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapabilityWrong;

impl fmt::Display for CapabilityWrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a capability of this transaction")
    }
}

impl std::error::Error for CapabilityWrong {}

impl CapabilityKey {
    /// Takes the secret.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        CapabilityKey(key)
    }

    /// The capability for a transaction: `begun.mac`.
    pub fn capability(&self, gid: &Gid, begun: Timestamp) -> String {
        let tag = self.tag(gid, begun).finalize().into_bytes();
        let mut text = begun.0.to_string();
        text.push('.');
        base64::encode(base64::URL, &tag, &mut text);
        text
    }

    /// The begun that a capability for this gid names. Compares in constant time, and takes each
    /// capability in one spelling only.
    pub fn verify(&self, gid: &Gid, capability: &str) -> Result<Timestamp, CapabilityWrong> {
        let (number, tag) = capability.split_once('.').ok_or(CapabilityWrong)?;
        let begun = number.parse::<u64>().map_err(|_| CapabilityWrong)?;
        if begun.to_string() != number {
            return Err(CapabilityWrong);
        }
        let tag = base64::decode(base64::URL, tag).ok_or(CapabilityWrong)?;
        let begun = Timestamp(begun);
        match self.tag(gid, begun).verify_slice(&tag) {
            Ok(()) => Ok(begun),
            Err(_) => Err(CapabilityWrong),
        }
    }

    /// The gid of a begin that names an idempotency key and no gid: a repeat finds the same.
    pub fn derived_gid(&self, principal: &Principal, key: &IdempotencyKey) -> Gid {
        let mut mac = self.mac(GID_LABEL);
        update_text(&mut mac, principal.as_str());
        update_text(&mut mac, key.as_str());
        let tag = mac.finalize().into_bytes();
        hex_gid(&tag[..16])
    }

    fn tag(&self, gid: &Gid, begun: Timestamp) -> Hmac<Sha256> {
        let mut mac = self.mac(CAPABILITY_LABEL);
        update_text(&mut mac, gid.as_str());
        mac.update(&begun.0.to_be_bytes());
        mac
    }

    fn mac(&self, label: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        mac.update(label);
        mac
    }
}

/// The gid made of 128 random bits.
pub fn issued_gid(random: [u8; 16]) -> Gid {
    hex_gid(&random)
}

fn hex_gid(bytes: &[u8]) -> Gid {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all");
    }
    Gid::new(&text).expect("hex digits are a gid")
}

/// The length goes before the text, so that two texts never run into each other.
fn update_text(mac: &mut Hmac<Sha256>, text: &str) {
    mac.update(&(text.len() as u64).to_be_bytes());
    mac.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> CapabilityKey {
        CapabilityKey::new([7; 32])
    }

    fn gid(text: &str) -> Gid {
        text.parse().unwrap()
    }

    #[test]
    fn a_capability_opens_its_own_transaction_only() {
        let made = key().capability(&gid("order-1"), Timestamp(1_700_000_000_000));
        assert!(made.starts_with("1700000000000."), "{made}");
        assert_eq!(key().verify(&gid("order-1"), &made), Ok(Timestamp(1_700_000_000_000)));
        let other_key = CapabilityKey::new([8; 32]);
        assert_eq!(other_key.verify(&gid("order-1"), &made), Err(CapabilityWrong));
        assert_eq!(key().verify(&gid("order-2"), &made), Err(CapabilityWrong));
        assert_eq!(
            key().verify(&gid("order-1"), &made.replacen('1', "2", 1)),
            Err(CapabilityWrong)
        );
    }

    #[test]
    fn no_other_spelling_is_taken() {
        let made = key().capability(&gid("g"), Timestamp(42));
        let (number, tag) = made.split_once('.').unwrap();
        for wrong in [
            String::new(),
            ".".to_string(),
            number.to_string(),
            format!("{number}."),
            format!(".{tag}"),
            format!("+{made}"),
            format!("0{made}"),
            format!(" {made}"),
            format!("{made} "),
            format!("{made}="),
            format!("{number}.{}", &tag[..42]),
            format!("{number}.{tag}A"),
            format!("{number}.{}", tag.replace(&tag[..1], "+")),
            format!("{}.{tag}", u128::MAX),
        ] {
            assert_eq!(key().verify(&gid("g"), &wrong), Err(CapabilityWrong), "{wrong}");
        }
        for place in 0..tag.len() {
            let mut bytes = tag.as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let wrong = format!("{number}.{}", String::from_utf8(bytes).unwrap());
            assert_eq!(key().verify(&gid("g"), &wrong), Err(CapabilityWrong), "{wrong}");
        }
    }

    /// A million guesses, each well-formed: another tag, a tag with one bit turned, the capability
    /// of another transaction or of another begin.
    #[test]
    fn a_million_guesses_open_nothing() {
        const GUESSES: u64 = 1_000_000;
        let (key, gid, begun) = (key(), gid("order-1"), 1_700_000_000_000);
        let made = key.capability(&gid, Timestamp(begun));
        let (_, tag) = made.split_once('.').unwrap();
        let tag: [u8; 32] = base64::decode(base64::URL, tag).unwrap().try_into().unwrap();
        let mut opened = [0; 3];
        for guess in 0..GUESSES {
            let class = (guess % 3) as usize;
            let chance = wholly_core::retry::mix(guess);
            let mut guessed = (begun, tag);
            match class {
                0 => {
                    for (at, chunk) in guessed.1.chunks_mut(8).enumerate() {
                        let word = wholly_core::retry::mix(chance ^ at as u64);
                        chunk.copy_from_slice(&word.to_be_bytes());
                    }
                }
                1 => guessed.1[(chance % 32) as usize] ^= 1 << (chance >> 8 & 7),
                _ => guessed.0 += 1 + chance % 1_000_000,
            }
            let mut text = format!("{}.", guessed.0);
            base64::encode(base64::URL, &guessed.1, &mut text);
            opened[class] += usize::from(key.verify(&gid, &text).is_ok());
        }
        println!("{GUESSES} guesses (tag drawn, a bit turned, another begun): {opened:?} opened");
        assert_eq!(opened, [0; 3]);
        assert!(key.verify(&gid, &made).is_ok());
    }

    #[test]
    fn a_gid_follows_from_principal_and_key_alone() {
        let derive = |principal: &str, word: &str| {
            key().derived_gid(&principal.parse().unwrap(), &word.parse().unwrap())
        };
        assert_eq!(derive("shop", "a1"), derive("shop", "a1"));
        assert_eq!(derive("shop", "a1").as_str().len(), 32);
        assert_ne!(derive("shop", "a1"), derive("shop", "a2"));
        assert_ne!(derive("shopa", "1"), derive("shop", "a1"));
        assert_ne!(
            CapabilityKey::new([8; 32])
                .derived_gid(&"shop".parse().unwrap(), &"a1".parse().unwrap()),
            derive("shop", "a1")
        );
        assert_eq!(issued_gid([0xab; 16]).as_str(), "ab".repeat(16));
    }

    #[test]
    fn the_key_stays_out_of_logs() {
        assert_eq!(format!("{:?}", key()), "capability key");
    }
}

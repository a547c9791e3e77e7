//! The capability: only what was made for this gid with this key is taken, in one spelling.

use arbitrary::{Arbitrary, Unstructured};
use wholly_core::ids::Gid;
use wholly_core::time::Timestamp;
use wholly_wire::capability::{CapabilityKey, KEY_BYTES};

/// A capability that was made, and how it was changed.
#[derive(Debug, Arbitrary)]
struct Input<'a> {
    key: [u8; KEY_BYTES],
    other_key: [u8; KEY_BYTES],
    gid: &'a str,
    other_gid: &'a str,
    begun: u64,
    other_begun: u64,
    place: u8,
    byte: u8,
    shown: &'a str,
}

/// Nothing but the one text is a capability.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let named = |text: &str, instead: &str| {
        Gid::new(text).unwrap_or_else(|_| Gid::new(instead).expect("a gid"))
    };
    let (gid, other_gid) = (named(input.gid, "g"), named(input.other_gid, "h"));
    let key = CapabilityKey::new(input.key);
    let begun = Timestamp(input.begun);
    let made = key.capability(&gid, begun);
    assert_eq!(key.verify(&gid, &made), Ok(begun), "what was made is taken");
    let refused = |gid: &Gid, shown: &str| {
        assert!(key.verify(gid, shown).is_err(), "{gid} {shown} is none, {made} is");
    };
    if other_gid != gid {
        refused(&other_gid, &made);
    }
    if input.other_key != input.key {
        refused(&gid, &CapabilityKey::new(input.other_key).capability(&gid, begun));
    }
    // Whoever compares learns what was made with this key in an earlier run, at another begun.
    if let Ok(begun) = key.verify(&gid, input.shown) {
        assert_eq!(input.shown, key.capability(&gid, begun), "{gid}: taken in another spelling");
    }
    let (_, tag) = made.split_once('.').expect("a number, a dot, a tag");
    if input.other_begun != input.begun {
        refused(&gid, &format!("{}.{tag}", input.other_begun));
    }
    let mut changed = made.clone().into_bytes();
    let place = usize::from(input.place) % changed.len();
    changed[place] = input.byte;
    if let Ok(changed) = String::from_utf8(changed)
        && changed != made
    {
        refused(&gid, &changed);
    }
}

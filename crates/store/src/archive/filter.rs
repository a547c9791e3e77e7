//! A filter of gids: says for certain of most that a slice does not know them, from memory.

use wholly_core::ids::Gid;
use wholly_core::retry::mix;

/// Bits per gid: about one in a thousand that are not there is taken for one that may be.
const BITS_PER_GID: u64 = 16;
/// Bits set for a gid, all in one block.
const PROBES: u32 = 6;
/// A block is what a processor fetches at once.
const BLOCK_WORDS: usize = 8;

/// A Bloom filter in blocks. It stands on the disk as its words, little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GidFilter {
    words: Vec<u64>,
}

impl GidFilter {
    /// An empty filter, sized for so many gids.
    pub(crate) fn sized(gids: u64) -> Self {
        let bits = gids.max(1) * BITS_PER_GID;
        let blocks = bits.div_ceil(64 * BLOCK_WORDS as u64);
        GidFilter { words: vec![0; blocks as usize * BLOCK_WORDS] }
    }

    pub(crate) fn insert(&mut self, gid: &Gid) {
        let (block, bits) = self.place(hash(gid));
        for (word, bit) in bits {
            self.words[block + word] |= 1 << bit;
        }
    }

    pub(crate) fn may_contain(&self, hash: GidHash) -> bool {
        let (block, mut bits) = self.place(hash);
        bits.all(|(word, bit)| self.words[block + word] & 1 << bit != 0)
    }

    fn place(&self, hash: GidHash) -> (usize, impl Iterator<Item = (usize, u32)> + use<>) {
        let blocks = (self.words.len() / BLOCK_WORDS) as u64;
        let block = ((u128::from(hash.0) * u128::from(blocks)) >> 64) as usize;
        let bits = mix(hash.0);
        let places = (0..PROBES).map(move |probe| {
            let nine = (bits >> (probe * 9)) as usize % (64 * BLOCK_WORDS);
            (nine / 64, (nine % 64) as u32)
        });
        (block * BLOCK_WORDS, places)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// None if these are not a filter's bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(8 * BLOCK_WORDS) {
            return None;
        }
        let words = bytes.chunks_exact(8);
        let words = words.map(|w| u64::from_le_bytes(w.try_into().expect("eight bytes")));
        Some(GidFilter { words: words.collect() })
    }
}

/// A gid's hash; the same in every release, for it stands behind what is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GidHash(u64);

pub(crate) fn hash(gid: &Gid) -> GidHash {
    let bytes = gid.as_str().bytes();
    let fnv = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    GidHash(mix(bytes.fold(0xcbf2_9ce4_8422_2325, fnv)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gid(kind: &str, number: u32) -> Gid {
        Gid::new(&format!("{kind}-{number}")).unwrap()
    }

    #[test]
    fn what_is_there_is_found_and_what_is_not_hardly_ever() {
        for count in [1, 7, 1_000, 40_000] {
            let mut filter = GidFilter::sized(u64::from(count));
            (0..count).for_each(|number| filter.insert(&gid("order", number)));
            assert!((0..count).all(|number| filter.may_contain(hash(&gid("order", number)))));
            let wrong = (0..40_000).filter(|n| filter.may_contain(hash(&gid("other", *n))));
            let wrong = wrong.count();
            assert!(wrong < 200, "{wrong} of 40,000 with {count}");
        }
    }

    #[test]
    fn its_bytes_are_the_same_in_every_release() {
        let mut filter = GidFilter::sized(10);
        filter.insert(&gid("order", 1));
        assert_eq!(crc32fast::hash(&filter.to_bytes()), 4_273_079_299);
        assert_eq!(GidFilter::from_bytes(&filter.to_bytes()), Some(filter));
        assert_eq!(GidFilter::from_bytes(&[0; 63]), None);
        assert_eq!(GidFilter::from_bytes(&[]), None);
    }
}

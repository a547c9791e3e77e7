//! Chance: every draw of a run, from one 64-bit seed, in as many streams as there are things that
//! happen: leaving one out leaves the draws of all others as they are.

use wholly_core::retry::mix;

/// A stream of draws that repeats with its seed (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

/// A probability in parts per million.
pub type Ppm = u32;

impl Chance {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Chance { state: mix(seed) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let drawn = mix(self.state);
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        drawn
    }

    /// A number below a bound, which is at least one.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product: no division, and a bias below 2^-32 for our bounds.
        ((u128::from(self.bits()) * u128::from(bound.max(1))) >> 64) as u64
    }

    /// A number from the first to the last, both included.
    pub fn within(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// Whether something of this probability happens; if so, a name for it of 24 bits.
    pub fn hits(&mut self, ppm: Ppm) -> Option<u64> {
        if ppm == 0 {
            return None;
        }
        let drawn = self.bits();
        let below = (u128::from(drawn) * 1_000_000) >> 64;
        (below < u128::from(ppm)).then_some(drawn & 0xff_ffff)
    }

    /// One of several, which are not none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// A small number more often than a large one: from the first to the last, both included.
    pub fn skewed(&mut self, first: u64, last: u64) -> u64 {
        let span = last - first + 1;
        let low = self.below(span).min(self.below(span));
        first + low.min(self.below(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_bounds_hold() {
        let draw = |seed| {
            let mut chance = Chance::new(seed);
            (0..100).map(|_| chance.within(3, 9)).collect::<Vec<u64>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(7).iter().all(|n| (3..=9).contains(n)));
    }

    #[test]
    fn a_probability_is_kept_roughly() {
        let mut chance = Chance::new(5);
        let hits = (0..100_000).filter(|_| chance.hits(250_000).is_some()).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!(!(0..1_000).any(|_| chance.hits(0).is_some()));
    }
}

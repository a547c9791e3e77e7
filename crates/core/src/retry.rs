//! Backoff: how long until the next sending, as a pure function of a seed.

use crate::limits::Limits;

/// Milliseconds to wait after so many sendings without an answer: doubling from `backoff_ms` up
/// to `backoff_ms_max`, strayed by the jitter, never above the cap plus its jitter.
pub fn backoff_ms(limits: &Limits, attempts: u32, seed: u64) -> u64 {
    let doublings = attempts.saturating_sub(1).min(32);
    let wait = limits.backoff_ms.saturating_mul(1 << doublings).min(limits.backoff_ms_max);
    let span = wait * limits.backoff_jitter_percent / 100;
    match (span * 2).checked_add(1) {
        Some(width) if span > 0 => wait - span + mix(seed ^ u64::from(attempts)) % width,
        Some(_) | None => wait,
    }
}

/// Spreads a number over all 64 bits (the finalizer of SplitMix64, Steele et al. 2014).
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_within_the_jitter() {
        let limits = Limits::default();
        for (attempts, middle) in [(1, 100), (2, 200), (5, 1_600), (11, 60_000), (4_000, 60_000)] {
            for seed in 0..200 {
                let wait = backoff_ms(&limits, attempts, seed);
                assert!(wait >= middle * 8 / 10 && wait <= middle * 12 / 10, "{attempts} {wait}");
            }
        }
    }

    #[test]
    fn without_jitter_it_is_exact() {
        let limits = Limits { backoff_jitter_percent: 0, ..Limits::default() };
        assert_eq!(backoff_ms(&limits, 3, 7), 400);
    }
}

//! A spread: how many numbers of which size there were, in powers of two.

/// Bounds of a spread: the last is 2²³.
const BOUNDS: usize = 24;

/// Counts numbers by the lowest power of two that is not below them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    within: [u64; BOUNDS],
    count: u64,
    sum: u64,
}

impl Spread {
    /// Counts one more.
    pub fn note(&mut self, number: u64) {
        let power = number
            .checked_next_power_of_two()
            .map_or(BOUNDS, |power| usize::try_from(power.trailing_zeros()).expect("a power fits"));
        if let Some(count) = self.within.get_mut(power) {
            *count += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(number);
    }

    /// Each bound, and how many were above the one before and not above it.
    pub fn within(&self) -> impl Iterator<Item = (u64, u64)> {
        self.within.iter().enumerate().map(|(power, count)| (1 << power, *count))
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_under_the_first_bound_that_is_not_below_it() {
        let check = |number: u64, expected: Option<u64>| {
            let mut spread = Spread::default();
            spread.note(number);
            let found = spread.within().find(|(_, count)| *count > 0).map(|(bound, _)| bound);
            assert_eq!(found, expected, "{number}");
            assert_eq!((spread.count(), spread.sum()), (1, number));
        };
        check(0, Some(1));
        check(1, Some(1));
        check(2, Some(2));
        check(3, Some(4));
        check(1 << 23, Some(1 << 23));
        check((1 << 23) + 1, None);
        check(u64::MAX, None);
    }
}

//! Flat: whether a figure has grown over the judged time, and how fast.
//!
//! The slope is the median of the slopes between all pairs of samples (Theil and Sen), which a few
//! odd ones do not move. A figure is flat if the growth over the judged time that this slope makes
//! is no more than a share of its median, or than an amount that is nothing.

/// What growth is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// Of the median.
    pub(super) share: f64,
    /// Whatever the median is.
    pub(super) amount: f64,
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trend {
    pub(super) median: f64,
    pub(super) per_hour: f64,
    /// Over the judged time.
    pub(super) growth: f64,
    pub(super) allowed: f64,
}

impl Trend {
    /// Of samples: hours and figure. Needs at least two.
    pub(super) fn of(samples: &[(f64, f64)], allowed: Allowed) -> Trend {
        let mut slopes = Vec::new();
        for (at, one) in samples.iter().enumerate() {
            for other in &samples[at + 1..] {
                slopes.push((other.1 - one.1) / (other.0 - one.0));
            }
        }
        let per_hour = median(slopes);
        let median = median(samples.iter().map(|(_, figure)| *figure).collect());
        let hours = match (samples.first(), samples.last()) {
            (Some(first), Some(last)) => last.0 - first.0,
            (None, _) | (_, None) => 0.0,
        };
        let allowed = (allowed.share * median).max(allowed.amount);
        Trend { median, per_hour, growth: per_hour * hours, allowed }
    }

    /// Less is no growth.
    pub(super) fn is_flat(&self) -> bool {
        self.growth <= self.allowed
    }
}

fn median(figures: Vec<f64>) -> f64 {
    crate::report::median(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(figures: impl Fn(f64) -> f64, expected: bool) {
        let samples: Vec<(f64, f64)> =
            (0..120).map(|at| f64::from(at) / 240.0).map(|hours| (hours, figures(hours))).collect();
        let trend = Trend::of(&samples, Allowed { share: 0.05, amount: 8.0 });
        assert_eq!(trend.is_flat(), expected, "{trend:?}");
    }

    #[test]
    fn what_stays_or_falls_or_swings_is_flat_and_what_grows_is_not() {
        check(|_| 100.0, true);
        check(|hours| 100.0 - 50.0 * hours, true);
        check(|hours| 100.0 + 30.0 * (hours * 400.0).sin(), true);
        check(|hours| if hours > 0.45 { 300.0 } else { 100.0 }, true);
        check(|hours| 100.0 + 10.0 * hours, true);
        check(|hours| 100.0 + 40.0 * hours, false);
        check(|hours| 1_000.0 + 90.0 * hours, true);
        check(|hours| 1_000.0 + 110.0 * hours, false);
    }
}

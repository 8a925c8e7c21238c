//! Backoff: the delay before the next attempt.

use std::time::Duration;

/// Exponential delays between two bounds with full jitter on the upper half.
///
/// Full jitter spreads clients that lost the same broker at the same moment (AWS Architecture
/// Blog, "Exponential Backoff And Jitter", 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
}

impl Default for Backoff {
    /// 50 ms to 1 s: a broker that restarts is found again within a second, which leaves one for
    /// logging in and declaring.
    fn default() -> Self {
        Self { min: Duration::from_millis(50), max: Duration::from_secs(1) }
    }
}

impl Backoff {
    /// The delay before attempt `n + 1` after `n` failures (1 or more): between half of and
    /// the whole of `min × 2^(n-1)`, at most `max`. `random` is any number.
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1).min(31));
        let whole = self.min.saturating_mul(doubled).min(self.max);
        let half = whole / 2;
        let span = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        half + Duration::from_micros(random % span)
    }
}

/// A number that differs between calls and processes; for jitter, not for secrets.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_between_the_bounds() {
        let backoff = Backoff { min: Duration::from_millis(10), max: Duration::from_millis(50) };
        for (failures, low, high) in
            [(1, 5, 10), (2, 10, 20), (3, 20, 40), (4, 25, 50), (90, 25, 50)]
        {
            for random in [0, 1, 12_345, u64::MAX] {
                let delay = backoff.delay(failures, random);
                assert!(delay >= Duration::from_millis(low), "{failures} {delay:?}");
                assert!(delay <= Duration::from_millis(high), "{failures} {delay:?}");
            }
        }
    }
}

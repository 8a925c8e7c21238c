//! Pace: what a message costs a guest, so that a batch stays well within its time.

use std::time::Duration;

/// The cost of one message, measured.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Nanoseconds a message; 0 before the first call.
    cost: u64,
}

impl Pace {
    /// Records a call over `messages` messages that took `spent`.
    pub(crate) fn record(&mut self, spent: Duration, messages: usize) {
        let each = nanos(spent) / (messages.max(1) as u64);
        // Rises at once and falls slowly: one slow batch is warning enough.
        self.cost = each.max(self.cost - self.cost / 8);
    }

    /// Messages that take about a fifth of `limit`, at least one.
    pub(crate) fn batch(&self, limit: Duration) -> usize {
        usize::try_from(nanos(limit) / 5 / self.cost.max(1)).unwrap_or(usize::MAX).max(1)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_shrink_at_once_and_grow_back() {
        let (mut pace, limit) = (Pace::default(), Duration::from_millis(250));
        assert!(pace.batch(limit) > 1_000_000);
        pace.record(Duration::from_millis(64), 64);
        assert_eq!(pace.batch(limit), 50);
        pace.record(Duration::from_secs(1), 1);
        assert_eq!(pace.batch(limit), 1);
        for _ in 0..100 {
            pace.record(Duration::from_micros(10), 1);
        }
        assert!(pace.batch(limit) > 64);
    }
}

//! Capability `clock`. Without it a guest's clock stands at its batch's receive time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch, now.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A guest's view of time.
#[derive(Debug)]
pub(crate) struct Clock {
    granted: bool,
    received_us: u64,
    /// The last monotonic reading, in nanoseconds.
    last_ns: u64,
}

impl Clock {
    pub(crate) fn new(granted: bool) -> Self {
        Self { granted, received_us: now_us(), last_ns: 0 }
    }

    /// A new batch was received.
    pub(crate) fn receive(&mut self, received_us: u64) {
        self.received_us = received_us;
    }

    /// Wall clock, microseconds since the Unix epoch.
    pub(crate) fn wall_us(&self) -> u64 {
        if self.granted { now_us() } else { self.received_us }
    }

    /// Never goes back. Without the grant it counts readings, a nanosecond each, so that a
    /// guest that divides by a difference does not divide by zero.
    pub(crate) fn monotonic_ns(&mut self) -> u64 {
        let now = self.wall_us().saturating_mul(1000);
        self.last_ns = now.max(self.last_ns.saturating_add(1));
        self.last_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_without_a_grant_stands_at_the_receive_time() {
        let mut clock = Clock::new(false);
        clock.receive(7);
        assert_eq!((clock.wall_us(), clock.wall_us()), (7, 7));
        assert_eq!((clock.monotonic_ns(), clock.monotonic_ns()), (7000, 7001));
        clock.receive(5);
        assert_eq!((clock.wall_us(), clock.monotonic_ns()), (5, 7002));
    }
}

//! The wall clock, for times that must mean the same after a restart.
//!
//! A clock that jumps forward ends entries early, and what is swept then is forgotten; one that
//! jumps back lets them live longer. Neither fails.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The end of an entry that has none.
pub(crate) const NEVER: u64 = u64::MAX;

/// Milliseconds since 1970; 0 before.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// When what begins now and lasts `ttl` ends: never, if that is past all counting.
pub(crate) fn end(ttl: Duration) -> u64 {
    now().saturating_add(millis(ttl).max(1))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_length_of_time_is_too_much() {
        assert_eq!(end(Duration::MAX), NEVER);
        assert!(end(Duration::ZERO) > 0);
        assert!((now()..=end(Duration::from_secs(1))).contains(&end(Duration::ZERO)));
    }
}

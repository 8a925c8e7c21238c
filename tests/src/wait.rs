//! Waiting: for a condition, up to a deadline that fails the test.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A point in time that a test must not pass.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// `seconds` from now.
    pub fn after(seconds: u64) -> Self {
        Self(Instant::now() + Duration::from_secs(seconds))
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        Instant::now() >= self.0
    }
}

/// Asks `condition` until it gives something; fails when `deadline` passes before.
///
/// # Errors
/// The deadline's passing, or the condition's own error, with `what` was waited for.
pub fn until<T>(
    what: &str,
    deadline: Deadline,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    loop {
        if let Some(found) = condition().map_err(|error| error.context(what.to_owned()))? {
            return Ok(found);
        }
        if deadline.passed() {
            bail!("waited in vain: {what}");
        }
        pause();
    }
}

/// The interval between two looks at what cannot be waited for in another way.
pub(crate) fn pause() {
    thread::park_timeout(Duration::from_millis(20));
}

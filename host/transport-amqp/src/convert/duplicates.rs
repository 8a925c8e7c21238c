//! Duplicates: header names that stand twice in one table. The client's tables have one value a name, so
//! the others are lost; that is counted, and said once.

use std::sync::atomic::{AtomicU64, Ordering};

/// Of one sink, over all its connections.
#[derive(Debug, Default)]
pub(crate) struct Duplicates(AtomicU64);

impl Duplicates {
    /// A second value of `name` is left out.
    pub(super) fn found(&self, name: &str) {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                header = name,
                "a message has two headers of one name; the first is published, the other is lost \
                 (said once, counted in lockgate_duplicate_headers_total)"
            );
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

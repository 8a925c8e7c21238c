//! Budget: the bytes of messages that were taken from a broker and are still in memory somewhere.
//!
//! A body that a budget keeps counts until the last of its copies is dropped, wherever that is: in
//! the inbox, in a lane, in a block that a target does not take. So a connection that is made anew
//! still counts what the last one left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

/// What a message takes besides its body, about: its head as it is read, and its places in queues.
const OVERHEAD: usize = 1024;

/// A limit for one source, over all its connections.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    held: AtomicUsize,
    /// Somebody waits for room.
    wanted: AtomicBool,
    freed: Notify,
}

/// A body, and what it counts.
struct Kept {
    body: Bytes,
    size: usize,
    budget: Arc<Budget>,
}

impl Budget {
    /// `usize::MAX` is no limit.
    pub(crate) fn new(limit: usize) -> Self {
        let (held, wanted, freed) = Default::default();
        Self { limit, held, wanted, freed }
    }

    /// Whether a message with a body of so many bytes may be taken: always, where nothing else is
    /// held.
    pub(crate) fn has_room(&self, body: usize) -> bool {
        let held = self.held.load(Ordering::SeqCst);
        held == 0 || held.saturating_add(body).saturating_add(OVERHEAD) <= self.limit
    }

    /// Counts `body` until its last copy is dropped.
    pub(crate) fn keep(self: &Arc<Self>, body: Bytes) -> Bytes {
        if self.limit == usize::MAX {
            return body;
        }
        let size = body.len() + OVERHEAD;
        self.held.fetch_add(size, Ordering::SeqCst);
        Bytes::from_owner(Kept { body, size, budget: self.clone() })
    }

    /// Waits until there is room as [`Budget::has_room`] says. Cancel-safe.
    pub(crate) async fn room(&self, body: usize) {
        // Set before the look, so that who frees something after it rings.
        self.wanted.store(true, Ordering::SeqCst);
        while !self.has_room(body) {
            self.freed.notified().await;
        }
        self.wanted.store(false, Ordering::SeqCst);
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.size, Ordering::SeqCst);
        if self.budget.wanted.load(Ordering::SeqCst) {
            self.budget.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_is_kept_counts_until_its_last_copy_is_gone() {
        let budget = Arc::new(Budget::new(10_000));
        let one = budget.keep(vec![0; 5_000].into());
        assert!(budget.has_room(2_000) && !budget.has_room(5_000));
        assert!(budget.room(5_000).now_or_never().is_none());
        let copy = one.clone();
        drop(one);
        assert!(!budget.has_room(5_000));
        drop(copy);
        assert!(budget.room(5_000).now_or_never().is_some());
    }

    #[test]
    fn one_message_above_the_limit_goes_alone() {
        let budget = Arc::new(Budget::new(100));
        assert!(budget.has_room(1 << 20));
        let large = budget.keep(vec![0; 1 << 20].into());
        assert!(!budget.has_room(0));
        drop(large);
        let empty = budget.keep(Bytes::new());
        assert!(!budget.has_room(1 << 20), "an empty body counts too");
        drop(empty);
        assert!(budget.has_room(1 << 20));
    }

    #[tokio::test]
    async fn who_waits_is_told() {
        let budget = Arc::new(Budget::new(10_000));
        let kept = budget.keep(vec![0; 9_000].into());
        let waits = {
            let budget = budget.clone();
            async move { budget.room(9_000).await }
        };
        let waiting = tokio::spawn(waits);
        tokio::task::yield_now().await;
        drop(kept);
        waiting.await.unwrap();
    }
}

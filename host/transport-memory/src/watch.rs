//! Watching: waiting until a queue is as one wants it.

use tokio::sync::oneshot;

/// What a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages that are with no consumer.
    pub ready: usize,
    /// Bytes of their bodies.
    pub ready_bytes: usize,
    /// Messages sent to consumers and not settled, those waiting for a retry included.
    pub unsettled: usize,
    pub consumers: usize,
}

/// Somebody who waits; told once, with what holds then.
pub(crate) struct Watcher {
    pub(crate) queue: usize,
    pub(crate) wanted: Box<dyn Fn(&QueueStats) -> bool + Send>,
    pub(crate) tell: Option<oneshot::Sender<QueueStats>>,
}

impl Watcher {
    /// Whether it still waits after a look at its queue.
    pub(crate) fn look(&mut self, stats: &QueueStats) -> bool {
        let gone = self.tell.as_ref().is_none_or(oneshot::Sender::is_closed);
        if gone || !(self.wanted)(stats) {
            return !gone;
        }
        if let Some(tell) = self.tell.take() {
            // Whoever waited may have gone this moment; nobody misses it.
            let _gone = tell.send(*stats);
        }
        false
    }
}

//! AckHandle: the one-shot right to settle a delivery.
//!
//! Dropped unsettled it means requeue, so a lost task or a panic can double a message but never
//! lose it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What the broker is told about a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: the broker may forget it.
    Ack,
    /// Give up: the broker applies its own dead-letter policy.
    Reject,
    /// Not done, for a reason of ours: deliver it again.
    Requeue,
    /// Not done, the message's own failure: deliver it again after at least this delay, and
    /// count the failure where the broker counts.
    RetryAfter(Duration),
}

/// Where settlements go; implemented by each source. Calls never block and never fail: a source
/// whose connection is gone ignores them, for the broker has requeued everything already.
pub trait Settle: Send + Sync {
    /// Settles the delivery that this source numbered `tag`.
    fn settle(&self, tag: u64, settlement: Settlement);

    /// False once a settlement can no longer reach the broker (the delivery will come back).
    fn is_live(&self) -> bool {
        true
    }
}

/// The right to settle one delivery, once.
pub struct AckHandle {
    to: Option<(Arc<dyn Settle>, u64)>,
}

impl AckHandle {
    pub fn new(settle: Arc<dyn Settle>, tag: u64) -> Self {
        Self { to: Some((settle, tag)) }
    }

    /// Settles; consumes the right.
    pub fn settle(mut self, settlement: Settlement) {
        if let Some((settle, tag)) = self.to.take() {
            settle.settle(tag, settlement);
        }
    }

    /// False once settling is pointless: the source's connection is gone and the broker has
    /// requeued the delivery.
    pub fn is_live(&self) -> bool {
        self.to.as_ref().is_some_and(|(settle, _)| settle.is_live())
    }
}

impl Drop for AckHandle {
    fn drop(&mut self) {
        if let Some((settle, tag)) = self.to.take() {
            settle.settle(tag, Settlement::Requeue);
        }
    }
}

impl fmt::Debug for AckHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Some((_, tag)) => write!(f, "AckHandle(tag {tag})"),
            None => f.write_str("AckHandle(settled)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Record(Mutex<Vec<(u64, Settlement)>>);

    impl Settle for Record {
        fn settle(&self, tag: u64, settlement: Settlement) {
            self.0.lock().unwrap().push((tag, settlement));
        }
    }

    fn check(act: impl FnOnce(AckHandle), expected: &[(u64, Settlement)]) {
        let record = Arc::new(Record::default());
        act(AckHandle::new(record.clone(), 7));
        assert_eq!(*record.0.lock().unwrap(), expected);
    }

    #[test]
    fn dropped_means_requeue() {
        check(drop, &[(7, Settlement::Requeue)]);
    }

    #[test]
    fn settles_once() {
        check(|ack| ack.settle(Settlement::Ack), &[(7, Settlement::Ack)]);
    }
}

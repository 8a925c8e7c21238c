//! AckHandle: the one-shot right to settle a delivery.
//!
//! Dropped unsettled it means requeue, so a lost task or a panic can double a message but never
//! lose it. Split for fan-out, it is done when every child is, and the worst child decides.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
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
    to: Option<Target>,
}

enum Target {
    Broker { settle: Arc<dyn Settle>, tag: u64 },
    Child(Arc<Split>),
}

/// What the children of one split share. The last child out settles the parent.
struct Split {
    pending: AtomicUsize,
    worst: AtomicU8,
    retry_ms: AtomicUsize,
    settle: Arc<dyn Settle>,
    tag: u64,
}

impl AckHandle {
    pub fn new(settle: Arc<dyn Settle>, tag: u64) -> Self {
        Self {
            to: Some(Target::Broker { settle, tag }),
        }
    }

    /// Settles; consumes the right.
    pub fn settle(mut self, settlement: Settlement) {
        if let Some(target) = self.to.take() {
            target.settle(settlement);
        }
    }

    /// False once settling is pointless: the source's connection is gone and the broker has
    /// requeued the delivery.
    pub fn is_live(&self) -> bool {
        match &self.to {
            Some(Target::Broker { settle, .. }) => settle.is_live(),
            Some(Target::Child(split)) => split.settle.is_live(),
            None => false,
        }
    }

    /// Splits into `copies` children. The parent is settled when the last child is: `Ack` only
    /// if all were acked, else by the worst (ack < reject < retry < requeue).
    ///
    /// Zero copies settle nothing: the handle is dropped, which requeues.
    pub fn split(mut self, copies: usize) -> Vec<AckHandle> {
        if copies == 1 {
            return vec![self];
        }
        let split = match (copies, self.to.take()) {
            (0, to) => {
                self.to = to;
                return Vec::new();
            }
            (_, None) => return Vec::new(),
            (_, Some(Target::Broker { settle, tag })) => Arc::new(Split {
                pending: AtomicUsize::new(copies),
                worst: AtomicU8::new(0),
                retry_ms: AtomicUsize::new(0),
                settle,
                tag,
            }),
            (_, Some(Target::Child(split))) => {
                // A child that splits again adds its copies to the same count, less itself.
                split.pending.fetch_add(copies - 1, Ordering::AcqRel);
                split
            }
        };
        (0..copies)
            .map(|_| AckHandle {
                to: Some(Target::Child(split.clone())),
            })
            .collect()
    }
}

impl Drop for AckHandle {
    fn drop(&mut self) {
        if let Some(target) = self.to.take() {
            target.settle(Settlement::Requeue);
        }
    }
}

impl fmt::Debug for AckHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Some(Target::Broker { tag, .. }) => write!(f, "AckHandle(tag {tag})"),
            Some(Target::Child(split)) => write!(f, "AckHandle(child of tag {})", split.tag),
            None => f.write_str("AckHandle(settled)"),
        }
    }
}

impl Target {
    fn settle(self, settlement: Settlement) {
        match self {
            Self::Broker { settle, tag } => settle.settle(tag, settlement),
            Self::Child(split) => split.settle_child(settlement),
        }
    }
}

impl Split {
    fn settle_child(&self, settlement: Settlement) {
        let rank = match settlement {
            Settlement::Ack => 0,
            Settlement::Reject => 1,
            Settlement::RetryAfter(after) => {
                let ms = usize::try_from(after.as_millis()).unwrap_or(usize::MAX);
                self.retry_ms.fetch_max(ms, Ordering::AcqRel);
                2
            }
            Settlement::Requeue => 3,
        };
        self.worst.fetch_max(rank, Ordering::AcqRel);
        if self.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let settlement = match self.worst.load(Ordering::Acquire) {
            0 => Settlement::Ack,
            1 => Settlement::Reject,
            2 => {
                let ms = self.retry_ms.load(Ordering::Acquire) as u64;
                Settlement::RetryAfter(Duration::from_millis(ms))
            }
            _ => Settlement::Requeue,
        };
        self.settle.settle(self.tag, settlement);
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
        check(|ack| drop(ack.split(0)), &[(7, Settlement::Requeue)]);
    }

    #[test]
    fn settles_once() {
        check(|ack| ack.settle(Settlement::Ack), &[(7, Settlement::Ack)]);
    }

    #[test]
    fn a_split_waits_for_its_last_child() {
        check(
            |ack| {
                let mut children = ack.split(3);
                children.pop().unwrap().settle(Settlement::Ack);
                let grandchildren = children.pop().unwrap().split(2);
                for child in grandchildren {
                    child.settle(Settlement::Ack);
                }
                children.pop().unwrap().settle(Settlement::Ack);
            },
            &[(7, Settlement::Ack)],
        );
        check(
            |ack| {
                let mut children = ack.split(2);
                children.pop().unwrap().settle(Settlement::Ack);
                std::mem::forget(children);
            },
            &[],
        );
    }

    #[test]
    fn the_worst_child_decides() {
        let retry = Settlement::RetryAfter(Duration::from_millis(5));
        for (children, expected) in [
            (
                vec![Settlement::Ack, Settlement::Reject],
                Settlement::Reject,
            ),
            (vec![Settlement::Reject, retry, Settlement::Ack], retry),
            (vec![Settlement::Requeue, retry], Settlement::Requeue),
        ] {
            check(
                |ack| {
                    for (child, settlement) in ack.split(children.len()).into_iter().zip(children) {
                        child.settle(settlement);
                    }
                },
                &[(7, expected)],
            );
        }
    }
}

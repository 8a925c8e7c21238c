//! Stats: what a plugin stage did, as counters that all its lanes share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use lockgate_message::FaultKind;

use crate::capabilities::metrics::{GuestMetric, GuestMetrics};

const KINDS: [FaultKind; 10] = [
    FaultKind::Trap,
    FaultKind::Deadline,
    FaultKind::Memory,
    FaultKind::Stack,
    FaultKind::BadOutput,
    FaultKind::OutputTooLarge,
    FaultKind::MissingExport,
    FaultKind::Denied,
    FaultKind::TooLarge,
    FaultKind::BreakerOpen,
];

/// Counters of one stage. Relaxed: each is exact, a snapshot of several is not one instant.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) calls: AtomicU64,
    pub(crate) messages: AtomicU64,
    faults: [AtomicU64; KINDS.len()],
    pub(crate) sandboxes: AtomicU64,
    pub(crate) memory: AtomicUsize,
    pub(crate) log_lines: AtomicU64,
    pub(crate) log_lines_dropped: AtomicU64,
    pub(crate) guest: GuestMetrics,
}

/// What [`Stats`] read at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatsSnapshot {
    /// Calls into the guest, one per batch.
    pub calls: u64,
    /// Messages judged, faults included.
    pub messages: u64,
    /// Messages that ended in a fault, by kind; only kinds that occurred.
    pub faults: Vec<(FaultKind, u64)>,
    /// Sandboxes made: one a lane, one more for each trap and recycling.
    pub sandboxes: u64,
    /// Linear memory held now, over all lanes, in bytes.
    pub memory: usize,
    /// Log lines written.
    pub log_lines: u64,
    /// Log lines dropped because there were too many a second.
    pub log_lines_dropped: u64,
    /// What the guest counts itself.
    pub guest: Vec<GuestMetric>,
}

impl Stats {
    pub(crate) fn count(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn fault(&self, kind: FaultKind) {
        let counters = KINDS.iter().zip(&self.faults);
        for (_, counter) in counters.filter(|(of, _)| **of == kind) {
            Self::count(counter, 1);
        }
    }

    pub(crate) fn snapshot(&self) -> StatsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatsSnapshot {
            calls: read(&self.calls),
            messages: read(&self.messages),
            faults: KINDS
                .into_iter()
                .zip(self.faults.iter().map(read))
                .filter(|(_, count)| *count > 0)
                .collect(),
            sandboxes: read(&self.sandboxes),
            memory: self.memory.load(Ordering::Relaxed),
            log_lines: read(&self.log_lines),
            log_lines_dropped: read(&self.log_lines_dropped),
            guest: self.guest.snapshot(),
        }
    }
}

//! Counters and state of one pipeline, for metrics, health and the ledger identity.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_message::Outcome;

use crate::condition::Conditions;
use crate::letter_log::LetterLog;

/// Everything countable about one running pipeline.
pub struct Stats {
    lanes: Vec<Mutex<LaneCounts>>,
    pub stages: Vec<Arc<StageStats>>,
    /// From taking a delivery to settling it.
    pub delivery_seconds: Histogram,
    /// From the first publish of a block to its last confirm.
    pub confirm_seconds: Histogram,
    pub reconnects: AtomicU64,
    pub conditions: Conditions,
    /// Tells the log of dead letters.
    pub(crate) letters: Arc<LetterLog>,
}

/// received = delivered + filtered + dead-lettered + deferred + requeued + in flight, in every
/// snapshot: all are changed under one lock per lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub received: u64,
    pub in_flight: u64,
    pub delivered: u64,
    pub filtered: u64,
    pub dead_lettered: u64,
    pub deferred: u64,
    pub requeued: u64,
}

type LaneCounts = Snapshot;

impl Snapshot {
    /// The count of one outcome.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Delivered => self.delivered,
            Outcome::Filtered => self.filtered,
            Outcome::DeadLettered => self.dead_lettered,
            Outcome::Deferred => self.deferred,
            Outcome::Requeued => self.requeued,
        }
    }

    fn outcome_mut(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Delivered => &mut self.delivered,
            Outcome::Filtered => &mut self.filtered,
            Outcome::DeadLettered => &mut self.dead_lettered,
            Outcome::Deferred => &mut self.deferred,
            Outcome::Requeued => &mut self.requeued,
        }
    }

    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.in_flight += other.in_flight;
        for outcome in Outcome::ALL {
            *self.outcome_mut(outcome) += other.outcome(outcome);
        }
    }
}

/// Counters of one stage over all lanes.
pub struct StageStats {
    pub name: String,
    verdicts: [AtomicU64; VERDICTS.len()],
    reasons: Mutex<std::collections::BTreeMap<Arc<str>, u64>>,
    /// Time of the stage, a message.
    pub seconds: Histogram,
}

/// The labels of the verdict counter, in the order of its slots.
pub(crate) const VERDICTS: [&str; 10] =
    ["pass", "modify", "route", "emit", "drop", "reject", "retry", "wait", "fail", "fault"];

impl StageStats {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            verdicts: Default::default(),
            reasons: Mutex::default(),
            seconds: Histogram::default(),
        }
    }

    pub(crate) fn add_verdicts(&self, counts: &[u64; VERDICTS.len()]) {
        for (slot, count) in self.verdicts.iter().zip(counts) {
            if *count > 0 {
                slot.fetch_add(*count, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn add_reason(&self, reason: &Arc<str>) {
        *lock(&self.reasons).entry(reason.clone()).or_default() += 1;
    }

    /// Verdict words with their counts.
    pub fn verdicts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        VERDICTS.into_iter().zip(self.verdicts.iter().map(|slot| slot.load(Ordering::Relaxed)))
    }

    /// Plugin reasons with their counts; bounded by what `describe` registers.
    pub fn reasons(&self) -> Vec<(Arc<str>, u64)> {
        lock(&self.reasons).iter().map(|(reason, count)| (reason.clone(), *count)).collect()
    }
}

impl Stats {
    pub(crate) fn new(pipeline: &str, lanes: usize, stages: Vec<Arc<StageStats>>) -> Self {
        Self {
            lanes: (0..lanes).map(|_| Mutex::default()).collect(),
            stages,
            delivery_seconds: Histogram::default(),
            confirm_seconds: Histogram::default(),
            reconnects: AtomicU64::new(0),
            conditions: Conditions::new(pipeline),
            letters: Arc::new(LetterLog::new(pipeline)),
        }
    }

    /// Counts over all lanes; the identity holds in it.
    pub fn snapshot(&self) -> Snapshot {
        let mut total = Snapshot::default();
        for lane in &self.lanes {
            total.add(&lock(lane));
        }
        total
    }

    /// `count` deliveries were given to `lane`.
    pub(crate) fn received(&self, lane: usize, count: u64) {
        self.with(lane, |counts| {
            counts.received += count;
            counts.in_flight += count;
        });
    }

    /// Deliveries of `lane` were settled, so many by each outcome.
    pub(crate) fn settled(&self, lane: usize, outcomes: &[(Outcome, u64)]) {
        self.with(lane, |counts| {
            for (outcome, count) in outcomes {
                counts.in_flight = counts.in_flight.saturating_sub(*count);
                *counts.outcome_mut(*outcome) += count;
            }
        });
    }

    fn with(&self, lane: usize, change: impl FnOnce(&mut LaneCounts)) {
        if let Some(counts) = self.lanes.get(lane) {
            change(&mut lock(counts));
        }
    }
}

/// A histogram with fixed buckets, lock-free to write.
#[derive(Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
}

/// Upper bounds in seconds: half-decades from 100 ns to 10 s.
const BOUNDS: [f64; 16] =
    [1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0];

impl Histogram {
    /// Counts `count` observations of `each`.
    pub fn observe(&self, each: Duration, count: u64) {
        let seconds = each.as_secs_f64();
        let at = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(count, Ordering::Relaxed);
        }
        let nanos = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX).saturating_mul(count);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Sum in seconds, count, and the count of each bucket with its upper bound in seconds
    /// (the last one is infinite).
    pub fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> =
            bounds.zip(self.buckets.iter().map(|b| b.load(Ordering::Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9, count, buckets)
    }
}

/// Counters stay usable after a panic elsewhere: a poisoned lock is taken all the same.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_holds_in_every_snapshot() {
        let stats = Stats::new("p", 2, Vec::new());
        stats.received(0, 10);
        stats.received(1, 5);
        stats.settled(0, &[(Outcome::Delivered, 3), (Outcome::Filtered, 2)]);
        let snapshot = stats.snapshot();
        let outcomes: u64 = Outcome::ALL.into_iter().map(|o| snapshot.outcome(o)).sum();
        assert_eq!(snapshot.received, outcomes + snapshot.in_flight);
        assert_eq!((snapshot.received, snapshot.in_flight), (15, 10));
    }

    #[test]
    fn a_histogram_keeps_sum_and_buckets() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_micros(2), 3);
        histogram.observe(Duration::from_secs(60), 1);
        let (sum, count, buckets) = histogram.read();
        assert!((sum - 60.000_006).abs() < 1e-9);
        assert_eq!(count, 4);
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1)));
        assert_eq!(buckets.iter().find(|(bound, _)| *bound == 3e-6), Some(&(3e-6, 3)));
    }
}

//! Deadlines: the epochs that a ticker thread counts, and the time that one guest call has left.
//!
//! A guest that is at half of its time has the processor time of its thread looked at, so that
//! on a starved machine a call is ended for what it did, not for what it waited. Calls that end
//! before, which is all but a few, cost no system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// An epoch: the resolution of every time limit.
const TICK: Duration = Duration::from_millis(1);
/// The tick while no guest runs: what an idle process wakes up for, and what the first deadline
/// after a rest can be late by.
const IDLE_TICK: Duration = Duration::from_millis(10);

/// Epochs gone by, and up to which one somebody has a deadline.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    now: AtomicU64,
    until: AtomicU64,
}

impl Epochs {
    /// Keeps the ticker quick for so many epochs.
    fn need(&self, epochs: u64) {
        let until = self.now.load(Ordering::Relaxed).saturating_add(epochs);
        if self.until.load(Ordering::Relaxed) < until {
            self.until.fetch_max(until, Ordering::Relaxed);
        }
    }
}

/// Advances the epoch until the engine is gone.
pub(crate) fn tick(engine: &wasmtime::EngineWeak, epochs: &Epochs, stopped: &Receiver<()>) {
    loop {
        let now = epochs.now.load(Ordering::Relaxed);
        let idle = now > epochs.until.load(Ordering::Relaxed);
        match stopped.recv_timeout(if idle { IDLE_TICK } else { TICK }) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return,
        }
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
        epochs.now.store(now + 1, Ordering::Relaxed);
    }
}

/// The deadline of one guest call.
#[derive(Debug)]
pub(crate) struct Deadline {
    epochs: Arc<Epochs>,
    /// Half of the call's time, in milliseconds.
    half: u64,
    /// Processor time of the thread when the first half was over.
    used: Option<Duration>,
}

impl Deadline {
    pub(crate) fn new(epochs: Arc<Epochs>) -> Self {
        Self { epochs, half: 0, used: None }
    }

    /// A call starts that may take `time`; says in how many epochs to look at it again.
    pub(crate) fn start(&mut self, time: Duration) -> u64 {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::from(u32::MAX));
        self.half = time.div_ceil(2).max(1);
        self.used = None;
        self.look_again(self.half)
    }

    /// The epochs are over: how many more there are, `None` for an end.
    pub(crate) fn over(&mut self) -> Option<u64> {
        self.over_at(processor_time())
    }

    fn over_at(&mut self, now: Duration) -> Option<u64> {
        let Some(then) = self.used else {
            self.used = Some(now);
            return Some(self.look_again(self.half));
        };
        let used = now.saturating_sub(then).as_millis();
        let left = self.half.saturating_sub(u64::try_from(used).unwrap_or(u64::MAX));
        // A tenth is within what clocks and ticks differ by.
        (left > self.half / 10 + 1).then(|| self.look_again(left))
    }

    fn look_again(&self, epochs: u64) -> u64 {
        // The current epoch is partly over.
        self.epochs.need(epochs + 1);
        epochs + 1
    }
}

/// What this thread used of the processor.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call of 100 ms whose thread had used so much each time its epochs were over.
    #[track_caller]
    fn check(used: &[u64], expected: &[Option<u64>]) {
        let mut deadline = Deadline::new(Arc::default());
        assert_eq!(deadline.start(Duration::from_millis(100)), 51);
        let got = used.iter().map(|ms| deadline.over_at(Duration::from_millis(*ms)));
        assert_eq!(got.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_runaway_ends_and_a_starved_call_goes_on() {
        check(&[7_000, 7_050], &[Some(51), None]);
        check(&[7_000, 7_046], &[Some(51), None]);
        check(&[7_000, 7_010, 7_030, 7_049], &[Some(51), Some(41), Some(21), None]);
    }
}

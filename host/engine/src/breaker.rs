//! Breaker: pauses a stage whose plugin keeps failing, instead of burning a core on it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::BreakerLimits;

/// One stage's breaker, shared by its lanes.
#[derive(Debug)]
pub(crate) struct Breaker {
    limits: BreakerLimits,
    stage: String,
    /// Whether `state.pause` is set; read without the lock on every call.
    open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the latest faults were, at most `limits.faults` of them.
    faults: VecDeque<Instant>,
    pause: Option<Pause>,
}

#[derive(Debug)]
struct Pause {
    until: Instant,
    length: Duration,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Closed,
    /// One message may be tried; the caller reports by [`Breaker::close`] or [`Breaker::fault`].
    Probe,
    Open,
}

impl Breaker {
    pub(crate) fn new(stage: &str, limits: BreakerLimits) -> Self {
        Self {
            limits,
            stage: stage.to_owned(),
            open: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn admit(&self, now: impl FnOnce() -> Instant) -> Admission {
        if !self.is_open() {
            return Admission::Closed;
        }
        let now = now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.pause {
            None => Admission::Closed,
            Some(pause) if now < pause.until => Admission::Open,
            Some(pause) => {
                // A prober that never reports leaves the pause to run again.
                pause.until = now + pause.length;
                Admission::Probe
            }
        }
    }

    /// A probe went well.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State::default();
        self.open.store(false, Ordering::Relaxed);
        tracing::info!(stage = %self.stage, "plugin works again, stage resumed");
    }

    /// A message ended in a fault at `now`; of an open breaker, a probe did.
    pub(crate) fn fault(&self, now: Instant) {
        if self.limits.faults == 0 {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pause) = &mut state.pause {
            pause.length = (pause.length * 2).min(self.limits.max_pause);
            pause.until = now + pause.length;
            return;
        }
        if state.faults.len() == self.limits.faults {
            state.faults.pop_front();
        }
        state.faults.push_back(now);
        let since = state.faults.front().map_or(Duration::MAX, |first| now.duration_since(*first));
        if state.faults.len() == self.limits.faults && since <= self.limits.window {
            let length = self.limits.pause;
            state.pause = Some(Pause { until: now + length, length });
            self.open.store(true, Ordering::Relaxed);
            tracing::error!(
                stage = %self.stage,
                faults = self.limits.faults,
                "plugin keeps failing, stage paused"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_probes_backs_off_and_closes() {
        let limits = BreakerLimits { faults: 3, ..BreakerLimits::default() };
        let (breaker, t0) = (Breaker::new("s", limits), Instant::now());
        let at = |ms| t0 + Duration::from_millis(ms);
        let check = |ms, expected| assert_eq!(breaker.admit(|| at(ms)), expected, "at {ms} ms");
        // Two old faults and one new do not open it, three within the window do.
        for ms in [0, 1, 11_000] {
            breaker.fault(at(ms));
        }
        check(11_000, Admission::Closed);
        breaker.fault(at(11_001));
        breaker.fault(at(11_002));
        check(11_003, Admission::Open);
        // One probe a pause, and the pause doubles when it fails.
        check(12_002, Admission::Probe);
        check(12_002, Admission::Open);
        breaker.fault(at(12_003));
        check(14_002, Admission::Open);
        check(14_003, Admission::Probe);
        breaker.close();
        check(14_004, Admission::Closed);
    }

    #[test]
    fn can_be_switched_off() {
        let limits = BreakerLimits { faults: 0, ..BreakerLimits::default() };
        let breaker = Breaker::new("s", limits);
        for _ in 0..100 {
            breaker.fault(Instant::now());
        }
        assert!(!breaker.is_open());
    }
}

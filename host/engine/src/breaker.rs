//! Breaker: pauses a stage whose plugin keeps failing, instead of burning a core on it, and one whose
//! sandboxes the machine has no memory for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockgate_message::Fault;

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

/// How long after the end of a pause the stage still counts as paused when no message came that
/// could have tried it.
const STALE: Duration = Duration::from_secs(10);

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
    why: Why,
}

/// Why a stage is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its plugin keeps failing; the last fault.
    Faults(String),
    /// The machine refuses what a sandbox needs.
    Machine(String),
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

    /// Why the stage is paused, if it is. A pause that ran out counts for a while, for only a message
    /// can end it, and not for ever, for there may be none.
    pub(crate) fn why(&self, now: Instant) -> Option<Why> {
        if !self.is_open() {
            return None;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .pause
            .as_ref()
            .filter(|pause| now < pause.until + STALE)
            .map(|pause| pause.why.clone())
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

    /// The machine refused what a sandbox needs, at `now`: a pause at once, which does not get
    /// longer, for an attempt costs little.
    pub(crate) fn starve(&self, now: Instant, refusal: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = matches!(&state.pause, Some(Pause { why: Why::Machine(_), .. }));
        let length = self.limits.pause;
        let why = Why::Machine(refusal.to_owned());
        state.pause = Some(Pause { until: now + length, length, why });
        self.open.store(true, Ordering::Relaxed);
        if !known {
            tracing::error!(
                stage = %self.stage,
                cause = refusal,
                retry_ms = length.as_millis(),
                "the machine refuses what the plugin's sandbox needs, stage paused; messages wait"
            );
        }
    }

    /// A message ended in a fault at `now`; of an open breaker, a probe did.
    pub(crate) fn fault(&self, now: Instant, fault: &Fault) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A plugin that fails has got what it needs from the machine.
        if matches!(&state.pause, Some(Pause { why: Why::Machine(_), .. })) {
            state.pause = None;
            self.open.store(false, Ordering::Relaxed);
            tracing::info!(stage = %self.stage, "sandboxes can be made again, stage resumed");
        }
        if self.limits.faults == 0 {
            return;
        }
        if let Some(pause) = &mut state.pause {
            pause.length = (pause.length * 2).min(self.limits.max_pause);
            pause.until = now + pause.length;
            pause.why = Why::Faults(fault.to_string());
            return;
        }
        if state.faults.len() == self.limits.faults {
            state.faults.pop_front();
        }
        state.faults.push_back(now);
        let since = state.faults.front().map_or(Duration::MAX, |first| now.duration_since(*first));
        if state.faults.len() == self.limits.faults && since <= self.limits.window {
            let length = self.limits.pause;
            let why = Why::Faults(fault.to_string());
            state.pause = Some(Pause { until: now + length, length, why });
            self.open.store(true, Ordering::Relaxed);
            tracing::error!(
                stage = %self.stage,
                faults = self.limits.faults,
                cause = %fault,
                pause_ms = length.as_millis(),
                "plugin keeps failing, stage paused; messages wait"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use lockgate_message::FaultKind;

    use super::*;

    fn trap() -> Fault {
        Fault { kind: FaultKind::Trap, text: "unreachable".into() }
    }

    #[test]
    fn opens_probes_backs_off_and_closes() {
        let limits = BreakerLimits { faults: 3, ..BreakerLimits::default() };
        let (breaker, t0) = (Breaker::new("s", limits), Instant::now());
        let at = |ms| t0 + Duration::from_millis(ms);
        let check = |ms, expected| assert_eq!(breaker.admit(|| at(ms)), expected, "at {ms} ms");
        // Two old faults and one new do not open it, three within the window do.
        for ms in [0, 1, 11_000] {
            breaker.fault(at(ms), &trap());
        }
        check(11_000, Admission::Closed);
        breaker.fault(at(11_001), &trap());
        breaker.fault(at(11_002), &trap());
        check(11_003, Admission::Open);
        // One probe a pause, and the pause doubles when it fails.
        check(12_002, Admission::Probe);
        check(12_002, Admission::Open);
        breaker.fault(at(12_003), &trap());
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
            breaker.fault(Instant::now(), &trap());
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn the_machine_s_refusal_pauses_at_once_and_says_why() {
        let limits = BreakerLimits { faults: 2, ..BreakerLimits::default() };
        let (breaker, t0) = (Breaker::new("s", limits), Instant::now());
        let at = |ms| t0 + Duration::from_millis(ms);
        breaker.starve(at(0), "no memory");
        assert_eq!(breaker.why(at(1)), Some(Why::Machine("no memory".into())));
        for ms in [1_000, 2_000, 3_000] {
            assert_eq!(breaker.admit(|| at(ms - 1)), Admission::Open, "{ms}");
            assert_eq!(breaker.admit(|| at(ms)), Admission::Probe, "{ms}");
            breaker.starve(at(ms), "no memory");
        }
        // A pause that nobody can end, for want of messages, is not told for ever.
        assert_eq!((breaker.why(at(13_999)).is_some(), breaker.why(at(14_000))), (true, None));
        // A fault of the plugin shows that the machine gives again, and counts as the first.
        breaker.fault(at(4_000), &trap());
        assert_eq!((breaker.is_open(), breaker.why(at(4_000))), (false, None));
        breaker.fault(at(4_001), &trap());
        assert_eq!(breaker.why(at(4_001)), Some(Why::Faults("trap: unreachable".into())));
    }
}

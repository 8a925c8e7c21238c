//! Deadlines: the epochs that a ticker thread counts, and the time that one guest call has left.
//!
//! A guest that is at half of its time has the processor time of its thread looked at, so that
//! on a starved machine a call is ended for what it did, not for what it waited. Calls that end
//! before, which is all but a few, cost no system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time of an epoch is a tenth of the shortest time limit, within these bounds. Each one
/// wakes a thread: at a millisecond that was a twentieth of all processor time of the daemon.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(10);

/// Epochs gone by, and up to which one somebody has a deadline.
#[derive(Clone, Debug)]
pub(crate) struct Epochs {
    shared: Arc<Shared>,
    wake: Sender<()>,
}

#[derive(Debug)]
struct Shared {
    now: AtomicU64,
    until: AtomicU64,
    /// Time of an epoch, milliseconds.
    tick: AtomicU64,
    /// The ticker waits to be woken, for nobody has a deadline.
    asleep: AtomicBool,
}

impl Epochs {
    /// Epochs, and what [`Ticker::run`] advances them with.
    pub(crate) fn new() -> (Self, Ticker) {
        let (wake, woken) = channel();
        let shared = Arc::new(Shared {
            now: AtomicU64::new(0),
            until: AtomicU64::new(0),
            tick: AtomicU64::new(millis(LONGEST)),
            asleep: AtomicBool::new(false),
        });
        (Self { shared: shared.clone(), wake }, Ticker { shared, woken })
    }

    /// There are calls that may take `time`.
    pub(crate) fn resolve(&self, time: Duration) {
        let tick = (time / 10).clamp(SHORTEST, LONGEST);
        self.shared.tick.fetch_min(millis(tick), Ordering::Relaxed);
    }

    /// In how many epochs `ms` will have gone by, until when the ticker ticks.
    fn after(&self, ms: u64) -> u64 {
        let Shared { now, until, tick, asleep } = &*self.shared;
        // The current epoch is partly over.
        let epochs = ms.div_ceil(tick.load(Ordering::Relaxed).max(1)) + 1;
        let needed = now.load(Ordering::Relaxed).saturating_add(epochs);
        if until.load(Ordering::Relaxed) < needed {
            until.fetch_max(needed, Ordering::SeqCst);
            if asleep.swap(false, Ordering::SeqCst) {
                // Fails only when the ticker is gone, and the engine with it.
                let _ = self.wake.send(());
            }
        }
        epochs
    }
}

/// Advances the epochs on a thread of its own.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    woken: Receiver<()>,
}

impl Ticker {
    /// Runs until the engine or every handle of the epochs is gone.
    pub(crate) fn run(self, engine: &wasmtime::EngineWeak) {
        let Self { shared, woken } = self;
        loop {
            let now = shared.now.load(Ordering::Relaxed);
            if now > shared.until.load(Ordering::SeqCst) {
                shared.asleep.store(true, Ordering::SeqCst);
                // Whoever raised it before has not seen the other.
                let raised = now <= shared.until.load(Ordering::SeqCst);
                if !(raised && shared.asleep.swap(false, Ordering::SeqCst)) {
                    let Ok(()) = woken.recv() else { return };
                }
            }
            let tick = Duration::from_millis(shared.tick.load(Ordering::Relaxed));
            if let Err(RecvTimeoutError::Disconnected) = woken.recv_timeout(tick) {
                return;
            }
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            shared.now.store(now + 1, Ordering::Relaxed);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::from(u32::MAX))
}

/// The deadline of one guest call.
#[derive(Debug)]
pub(crate) struct Deadline {
    epochs: Epochs,
    /// Half of the call's time, in milliseconds.
    half: u64,
    /// Processor time of the thread when the first half was over.
    used: Option<Duration>,
}

impl Deadline {
    pub(crate) fn new(epochs: Epochs) -> Self {
        Self { epochs, half: 0, used: None }
    }

    /// A call starts that may take `time`; says in how many epochs to look at it again.
    pub(crate) fn start(&mut self, time: Duration) -> u64 {
        self.half = millis(time).div_ceil(2).max(1);
        self.used = None;
        self.epochs.after(self.half)
    }

    /// The epochs are over: how many more there are, `None` for an end.
    pub(crate) fn over(&mut self) -> Option<u64> {
        self.over_at(processor_time())
    }

    fn over_at(&mut self, now: Duration) -> Option<u64> {
        let Some(then) = self.used else {
            self.used = Some(now);
            return Some(self.epochs.after(self.half));
        };
        let left = self.half.saturating_sub(millis(now.saturating_sub(then)));
        // A tenth is within what clocks and ticks differ by.
        (left > self.half / 10 + 1).then(|| self.epochs.after(left))
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
        let (epochs, _ticker) = Epochs::new();
        epochs.resolve(Duration::from_millis(10));
        let mut deadline = Deadline::new(epochs);
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

    #[test]
    fn the_ticker_sleeps_until_there_is_a_deadline() {
        let engine = wasmtime::Engine::default();
        let (epochs, ticker) = Epochs::new();
        let weak = engine.weak();
        let thread = std::thread::spawn(move || ticker.run(&weak));
        let asleep = || epochs.shared.asleep.load(Ordering::SeqCst);
        let wait = |until: &dyn Fn() -> bool| {
            while !until() {
                std::thread::yield_now();
            }
        };
        for _ in 0..3 {
            wait(&asleep);
            let now = epochs.shared.now.load(Ordering::SeqCst);
            let due = now + epochs.after(20);
            wait(&|| epochs.shared.now.load(Ordering::SeqCst) >= due);
        }
        drop(epochs);
        thread.join().unwrap();
    }
}

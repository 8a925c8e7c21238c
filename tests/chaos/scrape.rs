//! Scrape: reads the daemon's own counts all the time, from a thread of its own, and checks in
//! every reading that they add up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockgate_tests::{Admin, Deadline, until};

/// The time between two readings, and so how exactly the first message after a fault is timed.
const EVERY: Duration = Duration::from_millis(20);
const OUTCOMES: [&str; 5] = ["delivered", "filtered", "dead_lettered", "deferred", "requeued"];

/// What one pipeline says at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    /// In the order of the documentation: delivered, filtered, dead-lettered, deferred, requeued.
    pub(crate) settled: [u64; 5],
    pub(crate) in_flight: u64,
}

/// One scrape: the counts of each pipeline, in the order in which they were asked for.
#[derive(Clone, Debug)]
struct Reading {
    /// When it was begun.
    at: Instant,
    counts: Vec<Counts>,
}

/// The thread and what it knows.
pub(crate) struct Scrape {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    admin: Admin,
    pipelines: Vec<String>,
    state: Mutex<State>,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    latest: Option<Reading>,
    readings: u64,
    /// Readings that do not add up.
    wrong: Vec<String>,
    watch: Option<Watch>,
}

/// Whose counts come next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Same,
    New,
}

/// Waits for each pipeline to have delivered so many.
struct Watch {
    /// A reading that was begun before may still tell of another process.
    since: Instant,
    base: Vec<u64>,
    first: Vec<Option<Instant>>,
}

impl Scrape {
    pub(crate) fn start(admin: Admin, pipelines: Vec<String>) -> Self {
        let (state, stop) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { admin, pipelines, state, stop });
        let scraping = shared.clone();
        let thread = thread::spawn(move || {
            while !scraping.stop.load(Ordering::Relaxed) {
                // Nobody answers while the daemon is dead.
                drop(scraping.read());
                thread::park_timeout(EVERY);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// From now on looks for `more` deliveries than those counted so far; than none in a new
    /// process.
    pub(crate) fn watch(&self, process: Process, more: u64) {
        let mut state = self.shared.state();
        let none = vec![0; self.shared.pipelines.len()];
        let known = state.latest.as_ref().filter(|_| process == Process::Same);
        let counted = known
            .map_or(none, |latest| latest.counts.iter().map(|counts| counts.settled[0]).collect());
        let base: Vec<_> = counted.into_iter().map(|count| count + more).collect();
        let first = vec![None; base.len()];
        state.watch = Some(Watch { since: Instant::now(), base, first });
    }

    /// When each pipeline delivered something after [`Scrape::watch`]; none before all did.
    pub(crate) fn first(&self) -> Option<Vec<Instant>> {
        self.shared.state().watch.as_ref()?.first.iter().copied().collect()
    }

    /// A reading that was begun after this call.
    pub(crate) fn fresh(&self) -> Result<Vec<Counts>> {
        let now = Instant::now();
        until("a reading of the metrics", Deadline::after(60), || {
            let state = self.shared.state();
            let fresh = state.latest.as_ref().filter(|reading| reading.at >= now);
            Ok(fresh.map(|reading| reading.counts.clone()))
        })
    }

    /// How many readings there were, and those that did not add up.
    pub(crate) fn readings(&self) -> (u64, Vec<String>) {
        let state = self.shared.state();
        (state.readings, state.wrong.clone())
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<()> {
        let at = Instant::now();
        let (status, text) = self.admin.get("/metrics")?;
        ensure!(status == 200, "/metrics says {status}");
        let counts = self.pipelines.iter().map(|pipeline| Counts::read(&text, pipeline));
        let counts = counts.collect::<Result<Vec<_>>>()?;
        let now = Instant::now();
        let mut state = self.state();
        state.readings += 1;
        for (counts, pipeline) in counts.iter().zip(&self.pipelines) {
            if !counts.add_up() {
                state.wrong.push(format!("{pipeline}: {counts:?}"));
            }
        }
        if let Some(Watch { since, base, first }) = &mut state.watch
            && at >= *since
        {
            for ((counts, base), first) in counts.iter().zip(base).zip(first) {
                if counts.settled[0] >= *base {
                    first.get_or_insert(now);
                }
            }
        }
        state.latest = Some(Reading { at, counts });
        Ok(())
    }
}

impl Counts {
    fn read(text: &str, pipeline: &str) -> Result<Self> {
        let sample = |name: &str, label: &str| -> Result<u64> {
            let pipeline = format!("pipeline=\"{pipeline}\"");
            let is = |line: &&str| {
                let name = line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
                name && line.contains(&pipeline) && line.contains(label)
            };
            let line = text.lines().find(is).with_context(|| format!("no {name} {label}"))?;
            Ok(line.rsplit(' ').next().context("no value")?.parse()?)
        };
        let mut settled = [0; OUTCOMES.len()];
        for (outcome, count) in OUTCOMES.iter().zip(&mut settled) {
            *count = sample("lockgate_messages_settled_total", &format!("outcome=\"{outcome}\""))?;
        }
        let received = sample("lockgate_messages_received_total", "")?;
        let in_flight = sample("lockgate_in_flight", "")?;
        Ok(Self { received, settled, in_flight })
    }

    fn add_up(&self) -> bool {
        self.received == self.settled.iter().sum::<u64>() + self.in_flight
    }
}

#[test]
fn counts_are_read_by_pipeline_and_must_add_up() {
    let mut text = String::from(
        "# TYPE lockgate_in_flight gauge\n\
         lockgate_messages_received_total{pipeline=\"p\"} 20\n\
         lockgate_messages_received_total{pipeline=\"q\"} 99\n\
         lockgate_in_flight{pipeline=\"p\"} 5\n",
    );
    for (n, outcome) in OUTCOMES.iter().enumerate() {
        text += &format!(
            "lockgate_messages_settled_total{{pipeline=\"p\",outcome=\"{outcome}\"}} {}\n",
            n + 1
        );
    }
    let counts = Counts::read(&text, "p").unwrap();
    assert_eq!(counts, Counts { received: 20, settled: [1, 2, 3, 4, 5], in_flight: 5 });
    assert!(counts.add_up());
    assert!(!Counts { received: 21, ..counts }.add_up());
    assert!(Counts::read(&text, "q").is_err());
}

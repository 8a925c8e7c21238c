//! One run of a plan, from empty queues to the verdict.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockgate_tests::{Deadline, Scene, report, until};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::ledger::{Ledger, Verdict};
use crate::message::{BY_PIKA, Kind, OUTLETS};
use crate::pika;
use crate::plan::{Fault, Plan};
use crate::stage::{PIPELINES, PREFETCH, Stage, Times};
use crate::traffic::Traffic;

/// Messages after the last fault, over which the daemon's counters must equal the ledger's.
const TAIL: u64 = 2_000;
/// Most warnings and errors in the log a fault: two pipelines with a source and a target each, and
/// some leeway for those that fail in more than one way.
const LINES: u64 = 10;
/// Seconds that the publisher may take for what it has to send before a fault.
const DUE: u64 = 600;

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// Most doubles that the promise allows.
    pub(crate) doubled_at_most: u64,
    pub(crate) times: BTreeMap<Fault, Vec<Times>>,
    pub(crate) took: Duration,
    /// Readings of the metrics, and those that did not add up.
    pub(crate) readings: (u64, Vec<String>),
    /// Where the daemon's counters and the ledger differ; empty when they do not.
    pub(crate) miscounted: Vec<String>,
    /// Warnings and errors in the daemon's log, and the most that are no flood.
    pub(crate) complaints: (u64, u64),
    /// The message that was taken away, when the run was to be found out.
    pub(crate) stolen: Option<u64>,
}

/// Runs `plan` on a scene; with `steal`, takes a message away from an output.
pub(crate) fn run(plan: &Plan, scene: Scene, name: &str, steal: bool) -> Result<Outcome> {
    let start = Instant::now();
    let run = format!("{name}-{}-{}", plan.seed, std::process::id());
    let ledger = Arc::new(Mutex::new(Ledger::new(&run)));
    let traffic = Traffic { url: scene.url().to_owned(), run: run.into(), ledger };
    let mut stage = Stage::set(scene, &traffic)?;
    let clients = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (goal, goals) = watch::channel(plan.messages);
    let publisher = pika::Publisher::start(&traffic.url)?;
    clients.spawn(traffic.clone().publish(publisher, plan.rate, goals));
    let stolen = if steal { Some(take_one(&clients, &stage, &traffic)?) } else { None };
    for outlet in OUTLETS.into_iter().filter(|outlet| !BY_PIKA.contains(outlet)) {
        clients.spawn(traffic.clone().consume(outlet));
    }
    let other_consumer = pika::consume(&traffic)?;
    let mut times = BTreeMap::<Fault, Vec<Times>>::new();
    for (at, (due, fault)) in plan.faults.iter().enumerate() {
        reach(&mut stage, &traffic, *due)?;
        // There must be something to come back to: the publisher goes on through the fault.
        goal.send_modify(|goal| *goal = u64::MAX);
        let taken = stage.suffer(*fault).with_context(|| format!("fault {at}: {fault}"))?;
        goal.send_modify(|goal| *goal = plan.messages.max(traffic.ledger().sent()));
        times.entry(*fault).or_default().push(taken);
        if at % 50 == 49 {
            let (done, of, sent) = (at + 1, plan.faults.len(), traffic.ledger().sent());
            report(&format!(
                "chaos: {done} of {of} faults, {sent} messages, {:.0?}",
                start.elapsed()
            ));
        }
    }
    reach(&mut stage, &traffic, plan.messages)?;
    stage.settle(&traffic)?;
    let miscounted = tail(&mut stage, &traffic, &goal)?;
    let readings = stage.scrape.readings();
    stage.host.drain()?;
    // The consumers give back what they have not acked, so that it can be seen.
    clients.shutdown_timeout(Duration::from_secs(10));
    drop(other_consumer);
    stage.empty(&traffic)?;
    let verdict = traffic.ledger().verdict();
    let doubling = plan.faults.iter().filter(|(_, fault)| fault.doubles()).count() as u64;
    let doubled_at_most = doubling * PREFETCH * PIPELINES.len() as u64;
    let bad = |line: &&str| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
    let complaints = stage.host.log().lines().filter(bad).count() as u64;
    let complaints = (complaints, LINES * (plan.faults.len() as u64 + 1));
    let took = start.elapsed();
    Ok(Outcome { verdict, doubled_at_most, times, took, readings, miscounted, complaints, stolen })
}

/// Waits until the publisher has sent so many.
fn reach(stage: &mut Stage, traffic: &Traffic, count: u64) -> Result<()> {
    until("the publisher", Deadline::after(DUE), || {
        stage.host.alive()?;
        Ok((traffic.ledger().sent() >= count).then_some(()))
    })
}

/// Eats a message before anybody counts it.
fn take_one(clients: &Runtime, stage: &Stage, traffic: &Traffic) -> Result<u64> {
    stage.scene.topology().reach(&traffic.named("a"), 1, Deadline::after(60))?;
    clients.block_on(traffic.steal("a"))
}

/// A new daemon, messages, no faults: its counters and the ledger must agree to the last message.
fn tail(stage: &mut Stage, traffic: &Traffic, goal: &watch::Sender<u64>) -> Result<Vec<String>> {
    stage.host.drain()?;
    stage.host.restart()?;
    stage.host.wait_ready()?;
    let counted = || OUTLETS.map(|outlet| traffic.ledger().arrivals(outlet));
    let (before, first) = (counted(), traffic.ledger().sent());
    let last = first + TAIL;
    goal.send_modify(|goal| *goal = last);
    reach(stage, traffic, last)?;
    stage.settle(traffic)?;
    let after = counted();
    let came: BTreeMap<_, _> =
        OUTLETS.iter().zip(before.iter().zip(after)).map(|(o, (b, a))| (*o, a - b)).collect();
    let came = |outlet: &str| came.get(outlet).copied().unwrap_or_default();
    let sent =
        |kinds: &[Kind]| (first..last).filter(|seq| kinds.contains(&Kind::of(*seq))).count() as u64;
    let unkeyed = [Kind::A, Kind::B, Kind::Nowhere, Kind::Drop, Kind::Both, Kind::Split];
    // What goes to two outlets is one delivery.
    let delivered = came("a") + came("b") + came("left");
    let expected = [
        (sent(&unkeyed), [delivered, sent(&[Kind::Drop]), came("dead"), 0, 0]),
        (sent(&[Kind::Keyed]), [came("keys"), 0, 0, 0, 0]),
    ];
    let counts = stage.scrape.fresh()?;
    ensure!(counts.len() == expected.len(), "{counts:?}");
    let mut miscounted = Vec::new();
    if came("left") != came("right") {
        miscounted.push(format!("{} came to left, {} to right", came("left"), came("right")));
    }
    for ((counts, (received, settled)), pipeline) in counts.iter().zip(expected).zip(PIPELINES) {
        if (counts.received, counts.settled, counts.in_flight) != (received, settled, 0) {
            miscounted
                .push(format!("{pipeline}: {counts:?}, by the ledger {received} {settled:?}"));
        }
    }
    Ok(miscounted)
}

impl Outcome {
    /// All that must not be, in words.
    pub(crate) fn broken(&self) -> Vec<String> {
        let mut broken = self.verdict.broken(self.doubled_at_most);
        broken.extend(self.miscounted.iter().map(|wrong| format!("miscounted: {wrong}")));
        let (_, wrong) = &self.readings;
        if let Some(first) = wrong.first() {
            broken.push(format!("{} readings do not add up: {first}", wrong.len()));
        }
        let (complaints, most) = self.complaints;
        if complaints > most {
            broken.push(format!("{complaints} warnings and errors logged, more than {most}"));
        }
        broken
    }
}

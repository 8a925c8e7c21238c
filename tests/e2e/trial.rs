//! Trial: a pipeline behind the fault proxy, and what every trouble must look like: said by
//! `/readyz` and `/metrics` while it lasts, in a line or two of the log, and over afterwards with
//! nothing lost.

use std::fs;

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, Ledger, Lockgate, Proxy, Scene, until};

/// Deliveries in flight, the pipeline's prefetch: what a fault can double.
pub(crate) const WINDOW: u64 = 200;
/// Most lines of the log that one trouble may take: more is a flood.
pub(crate) const LINES: usize = 5;
/// Seconds until a trouble must be noticed, and until it must be over.
const PATIENCE: u64 = 60;

pub(crate) struct Trial {
    pub(crate) scene: Scene,
    pub(crate) proxy: Proxy,
    pub(crate) host: Lockgate,
    /// Length of the log before the trouble.
    log_before: usize,
}

impl Trial {
    /// Starts the pipeline of [`Scene::pass_through`], by way of the proxy, after `edit` of its
    /// text.
    pub(crate) fn start(scene: Scene, edit: impl Fn(String) -> String) -> Result<Self> {
        let proxy = Proxy::before(scene.url())?;
        let pipeline = scene.pass_through()?;
        let text = fs::read_to_string(&pipeline)?.replace(scene.url(), &proxy.url());
        fs::write(&pipeline, edit(text))?;
        let host = scene.start("host", &pipeline)?;
        Ok(Self { scene, proxy, host, log_before: 0 })
    }

    /// The trouble begins: what is logged from now on is about it.
    pub(crate) fn begin(&mut self) {
        self.log_before = self.host.log().len();
    }

    /// Waits until health and metrics say that the pipeline does not work.
    pub(crate) fn noticed(&mut self) -> Result<()> {
        self.told(false)
    }

    /// Waits until it works again; then the log must have told of the trouble, and not on and on.
    pub(crate) fn over(&mut self) -> Result<()> {
        self.told(true)?;
        let lines = self.complaints();
        ensure!((1..=LINES).contains(&lines.len()), "{} lines: {lines:#?}", lines.len());
        Ok(())
    }

    /// Waits until `/readyz` and `/metrics` both say whether the pipeline works: one after the
    /// other can be about different moments, when source and target do not get well together.
    fn told(&mut self, works: bool) -> Result<()> {
        let name = self.scene.name();
        let what = format!("/readyz and /metrics to say that it works: {works}");
        until(&what, Deadline::after(PATIENCE), || {
            self.host.alive()?;
            // One short of file descriptors does not always answer.
            let Ok((status, text)) = self.host.get("/readyz") else { return Ok(None) };
            let Ok(metric) = self.host.metric(&["lockgate_ready{", name]) else { return Ok(None) };
            let health = if works { status == 200 } else { status == 503 && text.contains(name) };
            Ok((health && metric == f64::from(u8::from(works))).then_some(()))
        })
    }

    /// Warnings and errors since the trouble began.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.host.log();
        let lines = log.get(self.log_before..).unwrap_or_default().lines();
        let bad = lines.filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
        bad.map(str::to_owned).collect()
    }

    /// Publishes `count` messages of run `run` and waits for the broker to have them.
    pub(crate) fn publish(&self, run: &str, count: u64) -> Result<()> {
        self.scene.publish(run, count).pass().with("--kind=small").run()
    }

    /// Takes all that came of run `run` and compares; the daemon is still at work.
    pub(crate) fn ledger(&self, run: &str, count: u64) -> Result<Ledger> {
        let (out, dead) = (self.scene.named("out"), self.scene.named("dead"));
        self.scene.collect(run, &[&out, &dead], count)?;
        self.scene.ledger(run, "pass", &[("out", &out), ("dead", &dead)])
    }

    /// Everything came, and no more twice than was in flight.
    pub(crate) fn nothing_lost(mut self, run: &str, count: u64) -> Result<()> {
        let ledger = self.ledger(run, count)?;
        ledger.at_least_once()?;
        ensure!(ledger.count("doubled") <= WINDOW, "{} doubled", ledger.count("doubled"));
        self.host.drain()
    }
}

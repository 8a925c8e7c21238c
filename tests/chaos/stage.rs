//! Stage: the broker, the proxy, the daemon with its two pipelines, the traffic; and the faults
//! that are done to them.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockgate_tests::{Deadline, Lockgate, Proxy, Rabbit, Scene, Trouble, until};
use serde_json::json;

use crate::message::OUTLETS;
use crate::plan::Fault;
use crate::scrape::{Process, Scrape};
use crate::traffic::Traffic;

/// Deliveries in flight a pipeline: what a fault can double.
pub(crate) const PREFETCH: u64 = 200;
pub(crate) const PIPELINES: [&str; 2] = ["chaos", "chaos-keys"];
/// Seconds until the daemon must be at work again after anything.
const BACK: u64 = 120;
/// Seconds; a silent peer is given up after two to two and a half of them.
const HEARTBEAT: u64 = 5;

/// Messages of each pipeline that a slow network lasts for.
const SLOW: u64 = 200;

pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) proxy: Proxy,
    pub(crate) host: Lockgate,
    pub(crate) scrape: Scrape,
}

/// How long things took that one fault set going.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Until the first message was delivered, for each pipeline; with latency, the last of [`SLOW`].
    pub(crate) back: Vec<Duration>,
    /// Until a silent network was noticed by the sources.
    pub(crate) noticed: Option<Duration>,
}

impl Stage {
    /// Declares all queues and starts the daemon behind the proxy.
    pub(crate) fn set(scene: Scene, traffic: &Traffic) -> Result<Self> {
        declare(&scene, traffic)?;
        let proxy = Proxy::before(scene.url())?;
        let folder = scene.dir().join("pipelines");
        fs::create_dir(&folder)?;
        for (name, text) in PIPELINES.iter().zip(pipelines(traffic, &proxy.url())) {
            fs::write(folder.join(name).with_extension("toml"), text)?;
        }
        let host = scene.start("host", &folder)?;
        let pipelines = PIPELINES.map(str::to_owned).to_vec();
        let scrape = Scrape::start(host.admin(), pipelines);
        Ok(Self { scene, proxy, host, scrape })
    }

    /// Does `fault`, undoes it where that is part of it, and waits until both pipelines deliver.
    pub(crate) fn suffer(&mut self, fault: Fault) -> Result<Times> {
        self.host.alive()?;
        match fault {
            Fault::KillHost => {
                self.host.kill9()?;
                self.start_again()
            }
            Fault::DrainHost => {
                self.host.drain()?;
                self.start_again()
            }
            Fault::RestartBroker => {
                self.scene.rabbit()?.stop_app()?;
                self.broker_back(|rabbit| rabbit.start_app())
            }
            Fault::KillBroker => {
                self.scene.rabbit()?.kill9()?;
                self.broker_back(Rabbit::boot)
            }
            Fault::Reset => {
                let due = self.proxy.accepted() + PIPELINES.len() as u64;
                let since = Instant::now();
                self.proxy.reset();
                self.accepted(due)?;
                self.scrape.watch(Process::Same, 1);
                self.delivered(since, None)
            }
            Fault::Hole => {
                // Each source connects anew when it gives up; a target only when it has something
                // to send.
                let due = self.proxy.accepted() + PIPELINES.len() as u64;
                let start = Instant::now();
                self.proxy.hole();
                self.accepted(due)?;
                self.scrape.watch(Process::Same, 1);
                let since = Instant::now();
                self.proxy.heal();
                self.delivered(since, Some(since - start))
            }
            Fault::Latency => {
                let latency = Duration::from_millis(200);
                let since = Instant::now();
                self.proxy.trouble(Trouble { latency, ..Trouble::default() });
                self.scrape.watch(Process::Same, SLOW);
                let times = self.delivered(since, None)?;
                self.proxy.heal();
                Ok(times)
            }
        }
    }

    fn start_again(&mut self) -> Result<Times> {
        // Readings of the old process must be over.
        until("nobody to answer", Deadline::after(BACK), || {
            Ok(self.host.ready().is_none().then_some(()))
        })?;
        let since = Instant::now();
        self.host.restart()?;
        self.scrape.watch(Process::New, 1);
        self.delivered(since, None)
    }

    /// Starts the broker again by `start` and times what comes after its port opens, which is
    /// before `start` is done.
    fn broker_back(&self, start: impl Fn(&Rabbit) -> Result<()> + Sync) -> Result<Times> {
        let rabbit = self.scene.rabbit()?;
        thread::scope(|scope| {
            let starting = scope.spawn(|| start(rabbit));
            let since = rabbit.wait_open()?;
            self.scrape.watch(Process::Same, 1);
            let times = self.delivered(since, None)?;
            starting.join().ok().context("the starter died")??;
            Ok(times)
        })
    }

    /// Waits until the daemon has connected so often.
    fn accepted(&self, due: u64) -> Result<()> {
        until("connections to be given up", Deadline::after(BACK), || {
            Ok((self.proxy.accepted() >= due).then_some(()))
        })
        .with_context(|| self.host.log_end())
    }

    fn delivered(&self, since: Instant, noticed: Option<Duration>) -> Result<Times> {
        let first = until("a message from each pipeline", Deadline::after(BACK), || {
            Ok(self.scrape.first())
        })
        .with_context(|| self.host.log_end())?;
        let back = first.iter().map(|first| first.duration_since(since)).collect();
        Ok(Times { back, noticed })
    }

    /// Waits until nothing is under way any more: everything confirmed has come, or every queue and
    /// the daemon are empty.
    pub(crate) fn settle(&self, traffic: &Traffic) -> Result<()> {
        let mut before = None;
        until("everything to come out", Deadline::after(300), || {
            // In the order that messages take.
            let waiting = self.waiting(traffic, &["in", "keys-in"])?;
            let in_flight: u64 = self.scrape.fresh()?.iter().map(|counts| counts.in_flight).sum();
            let out = self.waiting(traffic, &OUTLETS)?;
            let came: u64 = OUTLETS.iter().map(|outlet| traffic.ledger().arrivals(outlet)).sum();
            // Twice the same: a publisher or a consumer may still be busy with what it has.
            let look = (in_flight + waiting + out == 0).then_some(came);
            let still = before.replace(look) == Some(look);
            Ok((look.is_some() && still).then_some(()))
        })
        .with_context(|| self.host.log_end())
    }

    /// Messages ready in queues.
    pub(crate) fn waiting(&self, traffic: &Traffic, queues: &[&str]) -> Result<u64> {
        let topology = self.scene.topology();
        queues.iter().map(|queue| topology.depth(&traffic.named(queue))).sum()
    }

    /// Nothing is left anywhere, by the word of a client that is not ours.
    pub(crate) fn empty(&self, traffic: &Traffic) -> Result<()> {
        let left = self.waiting(traffic, &["in", "keys-in"])? + self.waiting(traffic, &OUTLETS)?;
        ensure!(left == 0, "{left} messages are left in the queues");
        Ok(())
    }
}

fn declare(scene: &Scene, traffic: &Traffic) -> Result<()> {
    let exchange = traffic.named("out");
    let mut queues = serde_json::Map::new();
    for queue in ["in", "keys-in"].iter().chain(&OUTLETS) {
        queues.insert(traffic.named(queue), json!({}));
    }
    let bindings = ["a", "b", "left", "right", "keys"]
        .map(|outlet| json!([exchange, traffic.named(outlet), outlet]));
    scene.topology().declare(&json!({
        "exchanges": { &exchange: "direct" },
        "queues": queues,
        "bindings": bindings,
    }))
}

/// One that filters, splits and routes to one output, to two, or to nowhere; one that keeps keys in
/// order.
fn pipelines(traffic: &Traffic, url: &str) -> [String; 2] {
    let (exchange, dead) = (traffic.named("out"), traffic.named("dead"));
    let head = |name: &str, queue: &str| {
        let queue = traffic.named(queue);
        format!(
            "version = 1\nname = \"{name}\"\n\
             [source.amqp]\nurl = \"{url}\"\nqueue = \"{queue}\"\nprefetch = {PREFETCH}\n\
             heartbeat = {HEARTBEAT}\n"
        )
    };
    let route = |name: &str, key: &str| {
        format!("[route.{name}]\namqp = {{ exchange = \"{exchange}\", routing_key = \"{key}\" }}\n")
    };
    let tail = format!("[dead_letter]\namqp = {{ exchange = \"\", routing_key = \"{dead}\" }}\n");
    let stages = r#"
[[stage]]
name = "wanted"
plugin = "filter"
config = { when = 'body.kind != "drop"' }
[[stage]]
name = "split"
plugin = "transform"
config = { jq = 'if .kind == "split" then (., .) else . end' }
[[stage]]
name = "by-kind"
plugin = "route"
[stage.config]
otherwise = ["default"]
rules = [
  { when = 'body.kind == "b"', to = ["b"] },
  { when = 'body.kind == "nowhere"', to = ["nowhere"] },
  { when = 'body.kind == "both"', to = ["left", "right"] },
  { when = 'body.kind == "split" && properties.message_id.endsWith("/0")', to = ["left"] },
  { when = 'body.kind == "split"', to = ["right"] },
]
"#;
    let routes = ["default", "b", "nowhere", "left", "right"];
    let routes: String = routes
        .iter()
        .map(|name| route(name, if *name == "default" { "a" } else { name }))
        .collect();
    let keyed = "[delivery]\norder = { key = \"header:x-key\" }\n\
        [[stage]]\nname = \"all\"\nplugin = \"filter\"\nconfig = { when = 'true' }\n";
    [
        format!("{}{stages}{routes}{tail}", head(PIPELINES[0], "in")),
        format!("{}{keyed}{}{tail}", head(PIPELINES[1], "keys-in"), route("default", "keys")),
    ]
}

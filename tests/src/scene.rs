//! Scene: what an end-to-end test works with: a broker, names of its own, a folder, the ledger.

use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lockgate::Lockgate;
use crate::place;
use crate::rabbit::Rabbit;
use crate::tool::{Tool, Topology};

/// A routing key that the output exchange of [`Scene::pass_through`] has a queue for.
pub const GOOD_KEY: &str = "good.key";
/// And one that it has none for.
pub const BAD_KEY: &str = "nowhere.key";

/// A test's surroundings; its folder goes with it.
pub struct Scene {
    dir: TempDir,
    name: String,
    url: String,
    rabbit: Option<Rabbit>,
}

impl Scene {
    /// On the broker that tests share. Nothing here may stop or configure it.
    ///
    /// # Errors
    /// When there is no broker.
    pub fn shared(name: &str) -> Result<Self> {
        Self::new(name, Rabbit::shared()?, None)
    }

    /// On a broker of its own, to do anything to.
    ///
    /// # Errors
    /// When there is no broker.
    pub fn own(name: &str) -> Result<Self> {
        Self::on(name, Rabbit::start()?)
    }

    /// On a broker that was started for it in a way of its own.
    ///
    /// # Errors
    /// When there is no room for its folder.
    pub fn on(name: &str, rabbit: Rabbit) -> Result<Self> {
        Self::new(name, rabbit.url(), Some(rabbit))
    }

    fn new(name: &str, url: String, rabbit: Option<Rabbit>) -> Result<Self> {
        let dir = place::scratch(name)?;
        Ok(Self { dir, name: format!("{name}-{}", process::id()), url, rabbit })
    }

    /// The test's own broker.
    ///
    /// # Errors
    /// When it uses the shared one.
    pub fn rabbit(&self) -> Result<&Rabbit> {
        self.rabbit.as_ref().context("this test has no broker of its own")
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the pipeline of [`Scene::pass_through`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The test's folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file of the test's folder, as an argument for tools.
    pub fn file(&self, name: &str) -> String {
        self.dir().join(name).display().to_string()
    }

    /// The name of a queue or exchange that no other test uses.
    pub fn named(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }

    /// Looks at queues.
    pub fn topology(&self) -> Topology<'_> {
        Topology(&self.url)
    }

    /// Declares queues and exchanges `in`, `out` and `dead` and writes a pipeline that passes all messages from
    /// `in` to `out` through one shipped plugin. Only [`GOOD_KEY`] and its like lead to `out`.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn pass_through(&self) -> Result<PathBuf> {
        let (source, out, dead) = (self.named("in"), self.named("out"), self.named("dead"));
        self.topology().declare(&json!({
            "exchanges": { &source: "fanout", &out: "topic", &dead: "fanout" },
            "queues": { &source: {}, &out: {}, &dead: {} },
            "bindings": [[&source, &source, ""], [&out, &out, "good.#"], [&dead, &dead, ""]],
        }))?;
        let text = format!(
            "version = 1\n\
             name = \"{}\"\n\
             [source.amqp]\n\
             url = \"{}\"\n\
             queue = \"{source}\"\n\
             prefetch = 200\n\
             [[stage]]\n\
             name = \"all\"\n\
             plugin = \"filter\"\n\
             config = {{ when = 'true' }}\n\
             [route.default]\n\
             amqp = {{ exchange = \"{out}\", routing_key = \"{{{{routing_key}}}}\" }}\n\
             [dead_letter]\n\
             amqp = {{ exchange = \"{dead}\", routing_key = \"dead\" }}\n",
            self.name, self.url
        );
        let path = self.dir().join("pass.toml");
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts a daemon on `pipeline` and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start(&self, name: &str, pipeline: &Path) -> Result<Lockgate> {
        let mut host = self.start_only(name, pipeline)?;
        host.wait_ready()?;
        Ok(host)
    }

    /// Starts a daemon on `pipeline` and returns at once.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_only(&self, name: &str, pipeline: &Path) -> Result<Lockgate> {
        Lockgate::start(self.dir(), name, pipeline, &self.url)
    }

    /// What a publisher of `count` messages is told; see [`Publish`].
    pub fn publish(&self, run: &str, count: u64) -> Publish<'_> {
        let arguments = vec![
            format!("--url={}", self.url),
            format!("--run={run}"),
            format!("--count={count}"),
            format!("--out={}", self.file(&format!("{run}.sent"))),
        ];
        Publish { scene: self, arguments }
    }

    /// Drains `queues` until `expect` messages have come and no more do, into `<run>.came`.
    ///
    /// # Errors
    /// When the broker goes away.
    pub fn collect(&self, run: &str, queues: &[&str], expect: u64) -> Result<()> {
        let mut arguments = vec![
            format!("--url={}", self.url),
            format!("--expect={expect}"),
            format!("--out={}", self.file(&format!("{run}.came"))),
        ];
        arguments.extend(queues.iter().map(|queue| format!("--queue={queue}")));
        Tool::run("consume", &borrowed(&arguments)).map(drop)
    }

    /// Compares what run `run` sent with what was collected. `outlets` are (name, queue).
    ///
    /// # Errors
    /// When the tool fails.
    pub fn ledger(&self, run: &str, rule: &str, outlets: &[(&str, &str)]) -> Result<Ledger> {
        let mut arguments = vec![
            format!("--rule={rule}"),
            format!("--sent={}", self.file(&format!("{run}.sent"))),
            format!("--received={}", self.file(&format!("{run}.came"))),
            format!("--bad-key={BAD_KEY}"),
        ];
        arguments.extend(outlets.iter().map(|(name, queue)| format!("--outlet={name}={queue}")));
        Tool::json("ledger", &borrowed(&arguments)).map(Ledger)
    }
}

/// A publisher that is being told what to do.
pub struct Publish<'a> {
    scene: &'a Scene,
    arguments: Vec<String>,
}

impl Publish<'_> {
    /// To the pipeline of [`Scene::pass_through`].
    #[must_use]
    pub fn pass(self) -> Self {
        let exchange = self.scene.named("in");
        self.exchange(&exchange, GOOD_KEY)
    }

    /// To an exchange.
    #[must_use]
    pub fn exchange(self, exchange: &str, key: &str) -> Self {
        self.with(&format!("--exchange={exchange}")).with(&format!("--key={key}"))
    }

    /// Any other argument of `publish.py`.
    #[must_use]
    pub fn with(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Publishes all of them before it returns.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn run(self) -> Result<()> {
        Tool::run("publish", &borrowed(&self.arguments)).map(drop)
    }

    /// Publishes in the background.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(self) -> Result<Tool> {
        Tool::spawn(self.scene.dir(), "publish", &borrowed(&self.arguments))
    }
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// The ledger's report; see `ledger.py`.
pub struct Ledger(Value);

impl Ledger {
    /// How many messages `what` (lost, doubled, unexpected, corrupted, sent) counts.
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).and_then(Value::as_u64).unwrap_or(u64::MAX)
    }

    /// How many messages must come to an outlet.
    pub fn expected(&self, outlet: &str) -> u64 {
        self.0.get("expected").and_then(|all| all.get(outlet)?.as_u64()).unwrap_or(0)
    }

    /// Every message came where it must, once, as it must be.
    ///
    /// # Errors
    /// Otherwise, with examples.
    pub fn exact(&self) -> Result<()> {
        ensure!(self.count("doubled") == 0, "doubled: {}", self.0);
        self.at_least_once()
    }

    /// As [`Ledger::exact`], but messages may have come twice.
    ///
    /// # Errors
    /// Otherwise, with examples.
    pub fn at_least_once(&self) -> Result<()> {
        let faults = ["lost", "unexpected", "corrupted"];
        ensure!(faults.iter().all(|fault| self.count(fault) == 0), "wrong: {}", self.0);
        Ok(())
    }
}

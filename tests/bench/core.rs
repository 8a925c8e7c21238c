//! The pipeline core from one queue of the embedded broker to another, one lane: messages a
//! second of processor time, which is what a core does, with and without plugins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Result, ensure};
use lockgate_engine::Instance;
use lockgate_message::{Head, Input, Message, Value, Verdict};
use lockgate_pipeline::{Chain, Parts, Settings, Stage, StageFactory, Target, start};
use lockgate_transport_memory::{
    Broker, MemorySinkConnector, MemorySourceConnector, QueueOptions, RouteSettings, SourceSettings,
};
use serde_json::json;
use tokio::sync::watch;

use crate::measure::{Samples, own_cpu};
use crate::orders::order;
use crate::plugins;

/// Far below the embedded broker's limit of memory.
const MESSAGES: usize = 50_000;
const ROUNDS: usize = 21;
const BODY: usize = 1024;

pub(crate) fn run() -> Result<()> {
    println!(
        "\nPipeline core on the embedded broker, messages of {BODY} bytes with 8 headers, one lane:\n\
         thousand messages a second of processor time, and by the clock; median (least–most)"
    );
    for (name, stages) in [
        ("no stage", Kind::Native.times(0)),
        ("1 native stage that passes", Kind::Native.times(1)),
        ("4 native stages that pass", Kind::Native.times(4)),
        ("1 filter plugin that passes", Kind::Filter.times(1)),
        ("4 filter plugins that pass", Kind::Filter.times(4)),
    ] {
        let (mut core, mut wall) = (Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            let (cpu, time) = round(&stages)?;
            core.add(MESSAGES as f64 / cpu / 1e3);
            wall.add(MESSAGES as f64 / time / 1e3);
        }
        println!("{name:31} {core:>18.0} {wall:>18.0}   goal ≥ 500 a core");
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    Native,
    Filter,
}

impl Kind {
    fn times(self, count: usize) -> Vec<Self> {
        vec![self; count]
    }

    fn factory(self) -> Result<Arc<dyn StageFactory>> {
        let stage: Box<dyn Stage + Send> = match self {
            Self::Native => Box::new(Pass),
            Self::Filter => Box::new(Sandbox(plugins::open("filter", &json!({ "when": "true" }))?)),
        };
        Ok(Arc::new(Once(Mutex::new(Some(stage)))))
    }
}

struct Pass;

impl Stage for Pass {
    fn process(&mut self, batch: &[Input<'_>], verdicts: &mut Vec<Verdict>) {
        verdicts.extend(batch.iter().map(|_| Verdict::Pass));
    }
}

struct Sandbox(Instance);

impl Stage for Sandbox {
    fn process(&mut self, batch: &[Input<'_>], verdicts: &mut Vec<Verdict>) {
        self.0.process(batch, verdicts);
    }
}

/// Gives the one lane its stage.
struct Once(Mutex<Option<Box<dyn Stage + Send>>>);

impl StageFactory for Once {
    fn name(&self) -> &str {
        "bench"
    }

    fn open(&self, _lane: usize) -> Result<Box<dyn Stage>, String> {
        let stage = self.0.lock().ok().and_then(|mut stage| stage.take());
        Ok(stage.ok_or("opened twice")?)
    }
}

/// Processor time and time of one round, seconds.
#[tokio::main(flavor = "current_thread")]
async fn round(kinds: &[Kind]) -> Result<(f64, f64)> {
    let broker = Broker::new();
    for queue in ["in", "out"] {
        broker.declare_queue(queue, QueueOptions::default())?;
    }
    for n in 0..MESSAGES {
        broker.publish("", "in", message(n))?;
    }
    let source = SourceSettings { queue: "in".into(), prefetch: 1000, declare: None };
    let route = RouteSettings { exchange: "".into(), routing_key: None, declare: None };
    let target = Target { sink: 0, exchange: "".into(), routing_key: Some("out".into()) };
    let stages = kinds.iter().map(|kind| kind.factory()).collect::<Result<_>>()?;
    let parts = Parts {
        name: "bench".into(),
        source: Arc::new(MemorySourceConnector::new(&broker, source)),
        chain: Chain { generation: 1, stages },
        sinks: vec![Arc::new(MemorySinkConnector::new(&broker, vec![route]))],
        routes: HashMap::from([("default".to_owned(), target)]),
        dead_letter: None,
        settings: Settings { lanes: 1, ..Settings::default() },
    };
    let (_stop, running) = watch::channel(true);
    let (started, cpu) = (Instant::now(), own_cpu());
    let running = start(parts, running).await?;
    broker.until("in", |queue| queue.ready == 0 && queue.unsettled == 0).await?;
    let (cpu, time) = (own_cpu() - cpu, started.elapsed());
    ensure!(running.stop().await, "not drained in time");
    let out = broker.drain("out")?.len();
    ensure!(out == MESSAGES, "{out} came out");
    Ok((cpu.as_secs_f64(), time.as_secs_f64()))
}

fn message(n: usize) -> Message {
    let mut head = Head::default();
    head.properties.content_type = Some("application/json".to_owned());
    head.properties.message_id = Some(n.to_string());
    for n in 0..8 {
        head.headers.set(format!("header-{n}"), Value::text("a value of some length"));
    }
    Message::new(head, order(n, BODY))
}

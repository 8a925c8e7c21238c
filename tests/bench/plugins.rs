//! The shipped plugins in the sandbox, batches of 64: microseconds a message.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use lockgate_engine::{
    Capability, Compiler, Engine, EngineConfig, Grants, Instance, KvAccess, Limits,
};
use lockgate_message::state::Space;
use lockgate_message::{Head, Input, Message, Verdict};
use lockgate_tests::shipped_plugin;
use serde_json::{Value, json};

use crate::measure::Samples;
use crate::orders::{NOTE, SMALL};
use crate::state::Free;

const BATCH: usize = 64;
const SAMPLES: usize = 200;
/// How long one sample is, so that reading the clock does not count.
const SAMPLE: Duration = Duration::from_millis(4);

pub(crate) fn run() -> Result<()> {
    println!(
        "\nShipped plugins in the sandbox, batches of {BATCH}: µs a message, median (least–most)"
    );
    let route = json!({ "rules": [
        { "when": "body.region == 'US'", "to": ["us"] },
        { "when": "body.region == 'EU'", "to": ["eu"] },
    ], "otherwise": ["rest"] });
    let spam = json!({ "text": "body", "threshold": 0.9, "on_spam": "drop" });
    for (what, plugin, settings, body, goal) in [
        ("filter 'true', nothing read", "filter", json!({ "when": "true" }), SMALL, 2.5),
        ("filter body.status", "filter", json!({ "when": "body.status == 'paid'" }), SMALL, 2.5),
        ("route, 2 rules on the body", "route", route, SMALL, 2.5),
        (
            "transform, jq sets a product",
            "transform",
            json!({ "jq": ".total = .price * .quantity" }),
            SMALL,
            8.0,
        ),
        ("spam-check, text of 160", "spam-check", spam, NOTE.as_bytes(), 8.0),
        ("dedupe, a key in the body", "dedupe", json!({ "key": "body.id" }), SMALL, 2.5),
    ] {
        let mut instance = open(plugin, &settings)?;
        let messages: Vec<_> =
            (0..BATCH).map(|_| Message::new(Head::default(), body.to_vec())).collect();
        let inputs: Vec<_> = messages
            .iter()
            .map(|message| Input { message, redelivered: false, attempt: 1 })
            .collect();
        let samples = measure(&mut instance, &inputs);
        let faults = instance.configured().stats().faults;
        ensure!(faults.is_empty(), "{what}: {faults:?}");
        println!("{what:31} {samples:>18.2}   goal ≤ {goal}");
    }
    Ok(())
}

fn measure(instance: &mut Instance, inputs: &[Input<'_>]) -> Samples {
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(inputs.len());
    let mut sample = || {
        let (started, mut rounds) = (Instant::now(), 0u32);
        while started.elapsed() < SAMPLE {
            verdicts.clear();
            instance.process(black_box(inputs), &mut verdicts);
            rounds += 1;
        }
        started.elapsed().as_secs_f64() * 1e6 / f64::from(rounds) / inputs.len() as f64
    };
    sample();
    (0..SAMPLES).map(|_| sample()).collect()
}

/// A shipped plugin with its settings, as the daemon opens it.
pub(crate) fn open(plugin: &str, settings: &Value) -> Result<Instance> {
    let wasm = fs::read(shipped_plugin(plugin)?)?;
    let engine = Engine::new(EngineConfig::new(Compiler::InProcess))?;
    let grants = Grants::default().with(Capability::Kv);
    let plugin = engine.load(&wasm, grants, &Limits::default())?;
    let space = Space { pipeline: "bench".into(), stage: "bench".into() };
    let kv = Some(KvAccess::new(Arc::new(Free), space));
    plugin.configure_with("bench", settings, kv)?.open().map_err(|fault| anyhow!("{fault}"))
}

//! Order over restarts in good order: what a stop gives back stands where it stood.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use lockgate_tests::{Deadline, Scene, long};
use serde_json::{Value, json};

/// Messages with the same key keep their order; each of these many has its own publisher.
const KEYS: u64 = 3;
const RESTARTS: u64 = 8;

/// The pipeline of [`Scene::pass_through`] on a quorum queue, in order, with the queue for itself.
fn ordered(scene: &Scene, order: &str, source: &str) -> Result<std::path::PathBuf> {
    let (pipeline, queue) = (scene.pass_through()?, scene.named("in"));
    // The same name, another kind.
    scene.topology().delete(&queue)?;
    scene.topology().declare(&json!({
        "queues": { &queue: { "x-queue-type": "quorum" } },
        "bindings": [[&queue, &queue, ""]],
    }))?;
    let text = fs::read_to_string(&pipeline)?;
    let text = text
        .replace("prefetch = 200\n", &format!("prefetch = 200\n{source}\n"))
        .replace("[[stage]]", &format!("[delivery]\norder = {order}\n[[stage]]"));
    ensure!(text.contains("order = ") && text.contains(source), "{text}");
    fs::write(&pipeline, text)?;
    Ok(pipeline)
}

/// Of each key, the numbers of its messages as they came.
fn sequences(scene: &Scene, run: &str) -> Result<BTreeMap<String, Vec<u64>>> {
    let mut came: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in fs::read_to_string(scene.file(&format!("{run}.came")))?.lines() {
        let record: Value = serde_json::from_str(line)?;
        let key = record.get("key").and_then(Value::as_str).context("a key")?;
        let text = record.pointer("/headers/x-seq/int").and_then(Value::as_u64);
        came.entry(key.to_owned()).or_default().push(text.with_context(|| line.to_owned())?);
    }
    Ok(came)
}

fn in_order(scene: &Scene, run: &str, count: u64) -> Result<()> {
    let came = sequences(scene, run)?;
    ensure!(came.len() as u64 == KEYS, "keys: {:?}", came.keys());
    for (key, mut numbers) in came {
        // A quorum queue may not have taken the last acks before a stop; what comes again comes behind
        // its first time.
        let mut seen = HashSet::new();
        numbers.retain(|number| seen.insert(*number));
        let late = numbers.windows(2).filter(|pair| pair[1] < pair[0]).count();
        let total = numbers.len() as u64;
        ensure!(late == 0, "{key}: {late} of {total} came late");
        ensure!(total == count, "{key}: {total} of {count} came");
    }
    Ok(())
}

#[test]
fn a_stop_keeps_the_order_of_a_quorum_queue() -> Result<()> {
    let scene = Scene::shared("order")?;
    let count = long(2_000, 20_000);
    let pipeline = ordered(&scene, "{ key = \"routing_key\" }", "exclusive = true")?;
    let exchange = scene.named("in");
    let mut publishers = Vec::new();
    for key in 0..KEYS {
        let publish = scene.publish(&format!("load{key}"), count);
        let publish = publish.exchange(&exchange, &format!("good.{key}")).with("--kind=small");
        publishers.push(publish.with("--block=50").with("--same-priority").spawn()?);
    }
    for publisher in publishers {
        publisher.finish(Deadline::after(120))?;
    }
    let out = scene.named("out");
    let mut host = scene.start("host", &pipeline)?;
    for restart in 1..=RESTARTS {
        // In the middle of the work each time.
        let so_far = KEYS * count * restart / (RESTARTS + 2);
        scene.topology().reach(&out, so_far, Deadline::after(120))?;
        host.drain()?;
        host.restart()?;
    }
    host.wait_ready()?;
    scene.topology().reach(&out, KEYS * count, Deadline::after(120))?;
    host.drain()?;
    scene.collect("load", &[&out, &scene.named("dead")], KEYS * count)?;
    in_order(&scene, "load", count)
}

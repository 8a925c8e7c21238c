//! Letters of letters: one gate consumes what another gave up on, or the broker dead-letters what a
//! gate made. Each replay undoes one step, and nothing is restored that was not saved there.

#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null")]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lockgate_tests::{Deadline, Ended, Scene, Tool};
use serde_json::{Value, json};

/// Runs `lockgate dlq` to its good end; what it printed.
fn dlq(scene: &Scene, arguments: &[&str]) -> Result<String> {
    let arguments = [&["dlq"], arguments].concat();
    let Ended { code, stdout, stderr } = Ended::of(scene.dir(), &arguments, &[], 180)?;
    ensure!(code == Some(0), "{arguments:?} ended with {code:?}:\n{stdout}\n{stderr}");
    Ok(stdout)
}

/// A gate that gives up on everything, from the queue and to the exchange of these names.
fn gate(scene: &Scene, name: &str, source: &str, dead: &str) -> Result<PathBuf> {
    let text = format!(
        "version = 1\nname = \"{name}\"\n\
         [source.amqp]\nurl = \"{}\"\nqueue = \"{source}\"\n\
         [[stage]]\nname = \"no\"\nplugin = \"filter\"\n\
         config = {{ when = 'false', otherwise = \"reject\" }}\n\
         [route.default]\namqp = {{ exchange = \"{source}\" }}\n\
         [dead_letter]\namqp = {{ exchange = \"{dead}\", routing_key = \"{name}\", declare = {{ \
         type = \"fanout\", queues = [{{ name = \"{dead}\" }}] }} }}\n",
        scene.url()
    );
    let path = scene.dir().join(format!("{name}.toml"));
    fs::write(&path, text)?;
    Ok(path)
}

/// Lets the gate give up on all that stands in its queue.
fn run(scene: &Scene, name: &str, pipeline: &Path, dead: &str, count: u64) -> Result<()> {
    let mut host = scene.start(name, pipeline)?;
    scene.topology().reach(dead, count, Deadline::after(60))?;
    host.drain()
}

/// The one message of a queue, as `dlq export` has it; it stays.
fn one(scene: &Scene, queue: &str) -> Result<Value> {
    scene.topology().reach(queue, 1, Deadline::after(60))?;
    let text = dlq(scene, &["export", "--url", scene.url(), "--queue", queue])?;
    ensure!(text.lines().count() == 1, "{text}");
    Ok(serde_json::from_str(&text)?)
}

/// Headers without the host's id, sorted.
fn headers(letter: &Value) -> Result<Vec<String>> {
    let all = letter["headers"].as_array().context("no headers")?;
    let mut texts: Vec<_> =
        all.iter().filter(|one| one["name"] != "lockgate-id").map(Value::to_string).collect();
    texts.sort();
    Ok(texts)
}

#[test]
fn a_letter_of_a_letter_keeps_its_history() -> Result<()> {
    let scene = Scene::shared("letters")?;
    let (source, first, second) = (scene.named("in"), scene.named("one"), scene.named("two"));
    scene.topology().declare(&json!({
        "exchanges": { &source: "fanout" },
        "queues": { &source: {} },
        "bindings": [[&source, &source, ""]],
    }))?;
    // With an expiration that nobody saved: replayed with it the message would be gone.
    Tool::run("rawamqp", &[scene.url(), "forged", &source, "k", &scene.file("sent")])?;
    let original = one(&scene, &source)?;
    let (gate1, gate2) =
        (gate(&scene, "gate1", &source, &first)?, gate(&scene, "gate2", &first, &second)?);
    run(&scene, "host1", &gate1, &first, 1)?;
    let letter = one(&scene, &first)?;
    ensure!(letter["origin"]["exchange"] == source.as_str(), "{letter:#}");
    run(&scene, "host2", &gate2, &second, 1)?;
    let letter_of_letter = one(&scene, &second)?;
    ensure!(letter_of_letter["pipeline"] == "gate2", "{letter_of_letter:#}");
    ensure!(letter_of_letter["origin"]["exchange"] == first.as_str(), "{letter_of_letter:#}");
    let history = &letter_of_letter["history"];
    // What was forged is the first of it, gate 1's letter the second.
    ensure!(history.as_array().map(Vec::len) == Some(2), "{history:#}");
    ensure!(history[1]["pipeline"] == "gate1", "{history:#}");
    ensure!(history[1]["origin"]["exchange"] == source.as_str(), "{history:#}");
    let file = gate2.to_str().context("no UTF-8")?;
    let shown = dlq(&scene, &["show", file])?;
    ensure!(shown.contains("  before      predicate_false, pipeline gate1, stage no"), "{shown}");
    // Back to what gate 1 had made of it, and from there to what had come.
    dlq(&scene, &["replay", file])?;
    let back = one(&scene, &first)?;
    ensure!(headers(&back)? == headers(&letter)?, "{back:#} was {letter:#}");
    ensure!(back["properties"] == letter["properties"], "{back:#} was {letter:#}");
    dlq(&scene, &["replay", gate1.to_str().context("no UTF-8")?])?;
    let back = one(&scene, &source)?;
    ensure!(headers(&back)? == headers(&original)?, "{back:#} was {original:#}");
    ensure!(back["properties"] == original["properties"], "{back:#} was {original:#}");
    ensure!(back["body"] == original["body"], "{back:#} was {original:#}");
    Ok(())
}

#[test]
fn what_the_broker_dead_lettered_goes_back_to_where_it_came_from() -> Result<()> {
    let scene = Scene::shared("broker-letters")?;
    let [orders, dead, work, parked, witness] =
        ["orders", "dlx", "work", "parked", "witness"].map(|what| scene.named(what));
    scene.topology().declare(&json!({
        "exchanges": { &orders: "topic", &dead: "fanout" },
        "queues": {
            &work: { "x-message-ttl": 1, "x-dead-letter-exchange": &dead }, &parked: {}, &witness: {},
        },
        "bindings": [[&orders, &work, "order.#"], [&dead, &parked, ""]],
    }))?;
    Tool::run("rawamqp", &[scene.url(), "forged", &orders, "order.new", &scene.file("sent")])?;
    let letter = one(&scene, &parked)?;
    ensure!(letter["reason"] == "expired", "{letter:#}");
    ensure!(letter["origin"]["exchange"] == orders.as_str(), "{letter:#}");
    ensure!(letter["origin"]["routing_key"] == "order.new", "{letter:#}");
    // The next one to come there has a queue to be seen in.
    scene.topology().declare(&json!({ "bindings": [[&orders, &witness, "order.new"]] }))?;
    let place = ["--url", scene.url(), "--queue", &parked];
    let dry = dlq(&scene, &[&["replay", "--dry-run"][..], &place].concat())?;
    ensure!(dry.contains(&format!("exchange `{orders}`, routing key `order.new`")), "{dry}");
    dlq(&scene, &[&["replay"][..], &place].concat())?;
    let back = one(&scene, &witness)?;
    let names: Vec<_> = headers(&back)?;
    ensure!(names.iter().all(|name| !name.contains("death")), "{names:?}");
    ensure!(names.len() == 4, "{names:?}");
    ensure!(back["properties"].get("expiration").is_none(), "{back:#}");
    // It died again, in the queue that it died in before.
    scene.topology().reach(&parked, 1, Deadline::after(60)).map(drop)
}

#[test]
fn a_routing_key_that_is_no_text_is_not_lost() -> Result<()> {
    let scene = Scene::shared("raw-key")?;
    let (source, dead) = (scene.named("in"), scene.named("dead"));
    scene.topology().declare(&json!({
        "exchanges": { &source: "fanout" },
        "queues": { &source: {} },
        "bindings": [[&source, &source, ""]],
    }))?;
    let sent = scene.file("sent");
    Tool::run("rawamqp", &[scene.url(), "sized", &source, "hex:fe6b00ff", &sent, "100"])?;
    let pipeline = gate(&scene, "gate", &source, &dead)?;
    run(&scene, "host", &pipeline, &dead, 2)?;
    let file = pipeline.to_str().context("no UTF-8")?;
    for line in dlq(&scene, &["export", file])?.lines() {
        let letter: Value = serde_json::from_str(line)?;
        ensure!(letter["reason"] == "not_utf8", "{letter:#}");
        let expected = json!({ "exchange": source, "routing_key_base64": "/msA/w==" });
        ensure!(letter["origin"] == expected, "{letter:#}");
    }
    let replayed = dlq(&scene, &["replay", file])?;
    ensure!(replayed.contains("routing key 0xfe6b00ff"), "{replayed}");
    let came = scene.file("came");
    Tool::run("rawamqp", &[scene.url(), "drain", &came, "2", &source])?;
    for line in fs::read_to_string(&came)?.lines() {
        let message: Value = serde_json::from_str(line)?;
        ensure!(message["key"] == "fe6b00ff", "{message:#}");
    }
    let fit = Tool::json("rawamqp", &["fit", &sent, &came, "131072"])?;
    ensure!(fit["wrong"] == json!([]) && fit["plain"] == json!(["100"]), "{fit:#}");
    Ok(())
}

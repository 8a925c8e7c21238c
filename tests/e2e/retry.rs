//! A message that fails is tried again from a queue of the broker, and its attempts survive the
//! daemon's end.

use std::fs;

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, Scene, until};

use crate::guest::guest;

/// One in forty is poison.
const COUNT: u64 = 160;
const POISON: u64 = COUNT / 40;
const ATTEMPTS: u64 = 4;

#[test]
fn attempts_survive_a_kill() -> Result<()> {
    let scene = Scene::shared("retry")?;
    let pipeline = scene.pass_through()?;
    let code = include_str!("../fixtures/chameleon.wat");
    fs::write(scene.dir().join("chameleon.wasm"), guest("1", "0.1", "", code)?)?;
    let retry =
        format!("[delivery]\nretry = {{ attempts = {ATTEMPTS}, backoff = \"3200ms..3200ms\" }}\n");
    let text = fs::read_to_string(&pipeline)?;
    let text = text
        .replace("plugin = \"filter\"", "plugin = \"./chameleon.wasm\"\non_error = \"retry\"")
        .replace("config = { when = 'true' }", "")
        .replace("[[stage]]", &format!("{retry}[[stage]]"));
    fs::write(&pipeline, text)?;
    let mut host = scene.start("host", &pipeline)?;
    scene.publish("letters", COUNT).pass().with("--kind=letters").run()?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    let source = scene.named("in");
    let queue = format!("{}.retry.3200ms", source);
    // While each waits for its second try nothing else is left to do, and the daemon dies.
    let deferred = ["lockgate_messages_settled_total", "deferred"];
    let delivered = ["lockgate_messages_settled_total", "delivered"];
    let before = until("the first tries", Deadline::after(60), || {
        let before = host.metric(&deferred)?;
        let done = host.metric(&delivered)? == (COUNT - POISON) as f64;
        let left = host.metric(&["lockgate_in_flight"])? + scene.topology().depth(&source)? as f64;
        Ok((before >= POISON as f64 && done && left == 0.0).then_some(before))
    })?;
    host.kill9()?;
    host.restart()?;
    host.wait_ready()?;
    scene.collect("letters", &[&out, &dead], COUNT)?;
    let total = before + host.metric(&deferred)?;
    host.drain()?;
    // A try that was in its queue when the daemon died may have been counted by neither.
    ensure!(total <= (POISON * (ATTEMPTS - 1)) as f64, "{total} tries were put off");
    ensure!(total >= (POISON * (ATTEMPTS - 2)) as f64, "{total} tries were put off");
    ensure!(scene.topology().depth(&queue)? == 0, "{queue} is empty in the end");
    let came = fs::read_to_string(scene.file("letters.came"))?;
    let attempts = format!("\"lockgate-attempts\": {{\"int\": {ATTEMPTS}}}");
    let used_up = came.lines().filter(|line| line.contains(&attempts)).count() as u64;
    ensure!(used_up == POISON, "{used_up} of {POISON} were tried {ATTEMPTS} times");
    let ledger = scene.ledger("letters", "letters", &[("out", &out), ("dead", &dead)])?;
    ensure!(ledger.expected("dead") == POISON);
    ledger.exact()
}

//! State on the way of a message: each order once, at the pace of a limit, and nothing lost.

use std::fs;

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, Scene, long, until};

/// Far below what the pipeline could do, so that most messages wait for their turn.
const STAGES: &str = r#"
[[stage]]
name = "once"
plugin = "dedupe"
grant = ["kv"]
config = { key = "body.seq", window = "1h", in_flight = "50ms" }
[[stage]]
name = "pace"
plugin = "throttle"
grant = ["kv"]
config = { limit = 50, per = "50ms" }
[route.default]"#;

#[test]
fn each_message_comes_once_at_the_pace_of_the_limit() -> Result<()> {
    let scene = Scene::shared("dedupe")?;
    let count = long(4_000, 40_000);
    let pipeline = scene.pass_through()?;
    let text = fs::read_to_string(&pipeline)?;
    fs::write(&pipeline, text.replace("\n[route.default]", STAGES))?;
    // The same run twice: every message has a copy.
    for _ in 0..2 {
        scene.publish("all", count).pass().with("--kind=small").run()?;
    }
    let mut host = scene.start("host", &pipeline)?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.collect("all", &[&out, &dead], count)?;
    until("the copies to be dropped", Deadline::after(60), || {
        let dropped = host.metric(&["outcome=\"filtered\""])?;
        Ok((dropped as u64 == count).then_some(()))
    })?;
    let waits = host.metric(&["verdict=\"wait\"", "stage=\"pace\""])?;
    ensure!(waits > 0.0, "the limit was never reached");
    host.drain()?;
    let ledger = scene.ledger("all", "pass", &[("out", &out), ("dead", &dead)])?;
    ensure!(ledger.count("sent") == count);
    ledger.exact()
}

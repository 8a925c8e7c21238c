//! The broker goes away under load and comes back: the daemon does too, and says the truth meanwhile.

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, Scene, long, until};

/// Deliveries in flight, the pipeline's prefetch: what a fault can double.
const WINDOW: u64 = 200;

#[test]
fn the_broker_stops_and_starts_under_load() -> Result<()> {
    let scene = Scene::own("restart")?;
    let count = long(6_000, 30_000);
    let mut host = scene.start("host", &scene.pass_through()?)?;
    let mut publisher = scene
        .publish("load", count)
        .pass()
        .with("--block=50")
        .with(&format!("--rate={}", count / 12))
        .with("--patience=300")
        .spawn()?;
    publisher.reach(count / 4, Deadline::after(60))?;
    scene.rabbit()?.shut_down()?;
    host.wait_unready()?;
    ensure!(host.get("/healthz")?.0 == 200, "the process itself is well");
    scene.rabbit()?.boot()?;
    host.wait_ready()?;
    publisher.reach(count / 2, Deadline::after(60))?;
    scene.rabbit()?.kill9()?;
    host.wait_unready()?;
    scene.rabbit()?.boot()?;
    host.wait_ready()?;
    publisher.finish(Deadline::after(300))?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.collect("load", &[&out, &dead], count)?;
    host.drain()?;
    let ledger = scene.ledger("load", "pass", &[("out", &out), ("dead", &dead)])?;
    ledger.at_least_once()?;
    ensure!(ledger.count("doubled") <= 2 * WINDOW, "{} doubled", ledger.count("doubled"));
    Ok(())
}

/// A broker short of memory blocks publishers: the daemon says so, waits, loses and doubles nothing.
#[test]
fn a_blocked_broker_is_waited_for() -> Result<()> {
    let scene = Scene::own("blocked")?;
    let count = long(3_000, 30_000);
    let pipeline = scene.pass_through()?;
    scene.publish("load", count).pass().with("--kind=small").run()?;
    scene.rabbit()?.memory_alarm(true)?;
    let mut host = scene.start_only("host", &pipeline)?;
    until("a log line about the blocked broker", Deadline::after(60), || {
        host.alive()?;
        Ok(host.log().contains("broker blocks publishes").then_some(()))
    })?;
    host.wait_unready()?;
    scene.rabbit()?.memory_alarm(false)?;
    host.wait_ready()?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.collect("load", &[&out, &dead], count)?;
    host.drain()?;
    scene.ledger("load", "pass", &[("out", &out), ("dead", &dead)])?.exact()
}

//! SIGTERM under load: what was taken is finished, the rest stays in the queue, nothing doubles.

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, Scene, long};

#[test]
fn a_drain_neither_loses_nor_doubles() -> Result<()> {
    let scene = Scene::shared("drain")?;
    let count = long(20_000, 100_000);
    let pipeline = scene.pass_through()?;
    scene.publish("all", count).pass().with("--kind=small").run()?;
    let (source, out, dead) = (scene.named("in"), scene.named("out"), scene.named("dead"));
    let mut host = scene.start("first", &pipeline)?;
    scene.topology().reach(&out, 1, Deadline::after(60))?;
    host.drain()?;
    let (left, done) = (scene.topology().depth(&source)?, scene.topology().depth(&out)?);
    ensure!(left > 0, "it was stopped too late");
    ensure!(left + done == count, "{left} left and {done} done of {count}");
    let mut host = scene.start("second", &pipeline)?;
    scene.collect("all", &[&out, &dead], count)?;
    host.drain()?;
    scene.ledger("all", "pass", &[("out", &out), ("dead", &dead)])?.exact()
}

//! Messages that no queue takes are dead-lettered: exactly those, and no others.

use anyhow::{Result, ensure};
use lockgate_tests::{BAD_KEY, Scene, long};

#[test]
fn one_in_ten_is_unroutable() -> Result<()> {
    let scene = Scene::shared("unroutable")?;
    let count = long(10_000, 100_000);
    let pipeline = scene.pass_through()?;
    scene
        .publish("tenth", count)
        .pass()
        .with("--kind=small")
        .with(&format!("--bad-key={BAD_KEY}"))
        .run()?;
    let mut host = scene.start("host", &pipeline)?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.collect("tenth", &[&out, &dead], count)?;
    host.drain()?;
    let ledger = scene.ledger("tenth", "unroutable", &[("out", &out), ("dead", &dead)])?;
    ensure!(ledger.expected("dead") == count / 10 && ledger.expected("out") == count - count / 10);
    ledger.exact()
}

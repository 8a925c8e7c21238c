//! A plugin that traps, loops, eats memory, recurses or returns rubbish harms only the message that
//! made it do so.

use std::fs;

use anyhow::{Result, ensure};
use lockgate_tests::Scene;

use crate::guest::guest;

/// One in forty is poison: 18, below the 20 faults in ten seconds that pause a stage.
const COUNT: u64 = 720;

#[test]
fn poison_harms_nobody_else() -> Result<()> {
    let scene = Scene::shared("poison")?;
    let pipeline = scene.pass_through()?;
    let code = include_str!("../fixtures/chameleon.wat");
    fs::write(scene.dir().join("chameleon.wasm"), guest("1", "0.1", "", code)?)?;
    let text = fs::read_to_string(&pipeline)?;
    let text = text
        .replace("plugin = \"filter\"", "plugin = \"./chameleon.wasm\"")
        .replace("config = { when = 'true' }", "");
    fs::write(&pipeline, text)?;
    let mut host = scene.start("host", &pipeline)?;
    scene.publish("letters", COUNT).pass().with("--kind=letters").run()?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.collect("letters", &[&out, &dead], COUNT)?;
    host.drain()?;
    let ledger = scene.ledger("letters", "letters", &[("out", &out), ("dead", &dead)])?;
    ensure!(ledger.expected("dead") == COUNT / 40);
    ledger.exact()
}

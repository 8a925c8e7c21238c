//! Messages that a broker accepts and clients choke on: they end in the dead-letter target, in an
//! envelope, and neither their neighbours nor another pipeline of the same daemon notice.

use std::fs;

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, GOOD_KEY, Lockgate, Scene, Tool};
use serde_json::json;

const NEIGHBOURS: u64 = 3_000;

#[test]
fn hostile_headers_harm_nobody() -> Result<()> {
    let scene = Scene::shared("hostile")?;
    let other = Scene::shared("bystander")?;
    let folder = scene.dir().join("pipelines");
    fs::create_dir(&folder)?;
    fs::rename(scene.pass_through()?, folder.join("hostile.toml"))?;
    fs::rename(other.pass_through()?, folder.join("bystander.toml"))?;
    let mut host = scene.start("host", &folder)?;
    let publisher = other.publish("calm", NEIGHBOURS).pass().with("--rate=800").spawn()?;
    let (sent, came) = (scene.file("sent"), scene.file("came"));
    // Twice: a first blow may leave something behind that the second one meets.
    for round in ["first", "second"] {
        Tool::run("rawamqp", &[scene.url(), "hostile", &scene.named("in"), GOOD_KEY, &sent])?;
        let count = fs::read_to_string(&sent)?.lines().count().to_string();
        let (out, dead) = (scene.named("out"), scene.named("dead"));
        Tool::run("rawamqp", &[scene.url(), "drain", &came, &count, &out, &dead])?;
        host.alive()?;
        let wrong = Tool::json("rawamqp", &["judge", &sent, &came, &dead])?;
        ensure!(wrong == json!([]), "{round} round: {wrong:#}");
    }
    publisher.finish(Deadline::after(120))?;
    let (out, dead) = (other.named("out"), other.named("dead"));
    other.collect("calm", &[&out, &dead], NEIGHBOURS)?;
    other.ledger("calm", "pass", &[("out", &out), ("dead", &dead)])?.exact()?;
    unbroken(&host)?;
    host.drain()
}

/// No connection was lost over it.
fn unbroken(host: &Lockgate) -> Result<()> {
    let lost = host.metric(&["lockgate_transport_reconnects_total"])?;
    ensure!(lost == 0.0, "{lost} connections were lost");
    Ok(())
}

//! Everything that a message can carry survives a pipeline that changes nothing.

use anyhow::{Result, ensure};
use lockgate_tests::{GOOD_KEY, Scene, Tool, long};
use serde_json::json;

#[test]
fn what_pika_can_write_comes_through() -> Result<()> {
    let scene = Scene::shared("pass")?;
    let count = long(2_000, 10_000);
    let mut host = scene.start("host", &scene.pass_through()?)?;
    scene.publish("pika", count).pass().run()?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.collect("pika", &[&out, &dead], count)?;
    host.drain()?;
    let ledger = scene.ledger("pika", "pass", &[("out", &out), ("dead", &dead)])?;
    ensure!(ledger.count("sent") == count);
    ledger.exact()
}

#[test]
fn every_field_type_comes_through_byte_by_byte() -> Result<()> {
    let scene = Scene::shared("types")?;
    let mut host = scene.start("host", &scene.pass_through()?)?;
    let (sent, came) = (scene.file("sent"), scene.file("came"));
    Tool::run("rawamqp", &[scene.url(), "types", &scene.named("in"), GOOD_KEY, &sent])?;
    let count = std::fs::read_to_string(&sent)?.lines().count().to_string();
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    Tool::run("rawamqp", &[scene.url(), "drain", &came, &count, &out, &dead])?;
    host.drain()?;
    let wrong = Tool::json("rawamqp", &["compare", &sent, &came])?;
    ensure!(wrong == json!([]), "{wrong:#}");
    Ok(())
}

/// The table of the guide: all that a pipeline which changes nothing changes all the same.
#[test]
fn what_pass_through_changes_is_what_the_guide_says() -> Result<()> {
    let scene = Scene::shared("changed")?;
    let mut host = scene.start("host", &scene.pass_through()?)?;
    let (sent, came) = (scene.file("sent"), scene.file("came"));
    Tool::run("rawamqp", &[scene.url(), "changed", &scene.named("in"), GOOD_KEY, &sent])?;
    let count = std::fs::read_to_string(&sent)?.lines().count().to_string();
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    Tool::run("rawamqp", &[scene.url(), "drain", &came, &count, &out, &dead])?;
    // What loses a value is counted, and said once.
    let lost = host.metric(&["lockgate_duplicate_headers_total"])?;
    ensure!(lost == 2.0, "{lost} header values were left out");
    host.drain()?;
    let said = host.log().matches("two headers of one name").count();
    ensure!(said == 1, "said {said} times");
    let wrong = Tool::json("rawamqp", &["differ", &sent, &came])?;
    ensure!(wrong == json!([]), "{wrong:#}");
    Ok(())
}

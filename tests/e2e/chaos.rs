//! Five faults in one run: nothing is lost, and what doubles is bounded and reported.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use lockgate_tests::{Deadline, Lockgate, Scene, Tool, long, report, until};

/// Deliveries in flight, the pipeline's prefetch: what a fault can double.
const WINDOW: u64 = 200;
const FAULTS: u64 = 5;
/// What the best of the forwarders that we measured doubles in the long run of this script.
const BEST_PEER: u64 = 349;

#[test]
fn five_faults_lose_nothing() -> Result<()> {
    let scene = Scene::own("chaos")?;
    let (count, rate) = (long(8_000, 40_000), long(600, 2_000));
    let mut host = scene.start("host", &scene.pass_through()?)?;
    let out = scene.named("out");
    let mut watch = Tool::spawn(scene.dir(), "topology", &[scene.url(), "watch", &out])?;
    let mut publisher = scene
        .publish("load", count)
        .pass()
        .with("--kind=small")
        .with("--block=50")
        .with(&format!("--rate={rate}"))
        .with("--patience=300")
        .spawn()?;
    let mut back = Vec::new();
    for share in [15, 30] {
        publisher.reach(count * share / 100, Deadline::after(120))?;
        host.kill9()?;
        back.extend(back_to_work(&scene, &mut watch, &mut publisher, &mut host)?);
    }
    publisher.reach(count / 2, Deadline::after(120))?;
    scene.rabbit()?.stop_app()?;
    scene.rabbit()?.start_app()?;
    publisher.reach(count * 70 / 100, Deadline::after(120))?;
    scene.rabbit()?.close_all_connections()?;
    publisher.reach(count * 85 / 100, Deadline::after(120))?;
    host.drain()?;
    back.extend(back_to_work(&scene, &mut watch, &mut publisher, &mut host)?);
    publisher.finish(Deadline::after(300))?;
    drop(watch);
    let dead = scene.named("dead");
    scene.topology().reach(&out, count, Deadline::after(120))?;
    scene.collect("load", &[&out, &dead], count)?;
    host.drain()?;
    let ledger = scene.ledger("load", "pass", &[("out", &out), ("dead", &dead)])?;
    let doubled = ledger.count("doubled");
    report(&format!(
        "chaos: {count} messages, five faults: lost {}, doubled {doubled} (best peer {BEST_PEER} \
         of 40000), back to work after {back:.2?}",
        ledger.count("lost")
    ));
    ledger.at_least_once()?;
    ensure!(doubled <= FAULTS * WINDOW, "{doubled} doubled");
    Ok(())
}

/// Starts the daemon again; the time until the first message of the new one comes out. None when
/// the publisher, which goes on meanwhile, has nothing left for it to do.
fn back_to_work(
    scene: &Scene,
    watch: &mut Tool,
    publisher: &mut Tool,
    host: &mut Lockgate,
) -> Result<Option<Duration>> {
    let work = until("work for the new daemon", Deadline::after(60), || {
        let over = publisher.ended()?;
        let waiting = scene.topology().depth(&scene.named("in"))? > 0;
        Ok((waiting || over).then_some(waiting))
    })?;
    // What the old one had on its way to the broker is counted before the new one starts.
    let before = scene.topology().depth(&scene.named("out"))?;
    let start = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    host.restart()?;
    if !work {
        host.wait_ready()?;
        return Ok(None);
    }
    let at = until("a message after the restart", Deadline::after(120), || {
        host.alive()?;
        watch.alive()?;
        let output = watch.output()?;
        let changes = output.lines().filter_map(|line| line.split_once(' '));
        let mut changes = changes.filter_map(|(time, depth)| {
            Some((time.parse::<f64>().ok()?, depth.parse::<u64>().ok()?))
        });
        Ok(changes.find(|(time, depth)| *time > start && *depth > before))
    })
    .with_context(|| format!("{before} were out before; {}", host.log()))?;
    Ok(Some(Duration::try_from_secs_f64(at.0 - start).context("the clock went back")?))
}

//! The network between daemon and broker goes bad without closing anything, and gets well again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, Scene, Thin, Trouble, long, report, until};

use crate::trial::Trial;

/// Short enough for a test; the broker takes two or more seconds.
const HEARTBEAT: &str = "heartbeat = 2";

/// Both ends think that they are connected, and nothing passes: the heartbeats notice.
#[test]
fn a_half_open_connection_is_given_up() -> Result<()> {
    let count = long(4_000, 40_000);
    // Nothing but the heartbeats can notice.
    let patient = |text: String| {
        heartbeats(text).replace("routing_key =", "confirm_timeout = 600, routing_key =")
    };
    let mut trial = Trial::start(Scene::shared("half-open")?, patient)?;
    let publisher = trial.scene.publish("load", count).pass().with("--rate=800").spawn()?;
    trial.scene.topology().reach(&trial.scene.named("out"), 1, Deadline::after(60))?;
    trial.begin();
    trial.proxy.hole();
    trial.noticed()?;
    until("both ends of the pipeline to notice", Deadline::after(60), || {
        let bad = |component: &str| {
            trial.host.metric(&["lockgate_condition{", trial.scene.name(), component])
        };
        Ok((bad("\"source\"")? + bad("\"target\"")? == 2.0).then_some(()))
    })?;
    trial.proxy.heal();
    trial.over()?;
    publisher.finish(Deadline::after(120))?;
    trial.nothing_lost("load", count)
}

/// Publishes arrive, and the broker's answers to them do not.
#[test]
fn confirms_that_never_arrive_are_waited_for_no_longer_than_said() -> Result<()> {
    let count = long(2_000, 20_000);
    // Nothing but that time can notice.
    let impatient = |text: String| {
        text.replace("prefetch = 200", "prefetch = 200\nheartbeat = 300")
            .replace("routing_key =", "confirm_timeout = 10, routing_key =")
    };
    let mut trial = Trial::start(Scene::shared("mute")?, impatient)?;
    trial.begin();
    trial.proxy.trouble(Trouble { mute: Some("sink"), ..Trouble::default() });
    trial.publish("load", count)?;
    trial.noticed()?;
    trial.proxy.heal();
    trial.over()?;
    trial.nothing_lost("load", count)
}

/// Distance and a thin pipe cost time, and nothing else: no double, no warning, always ready.
#[test]
fn a_slow_network_is_no_trouble() -> Result<()> {
    let count = long(2_000, 20_000);
    let mut trial = Trial::start(Scene::shared("far")?, |text| text)?;
    trial.begin();
    let latency = Duration::from_millis(200);
    trial.proxy.trouble(Trouble { latency, ..Trouble::default() });
    trial.publish("far", count)?;
    trial.ledger("far", count)?.exact()?;
    let thin = Thin { bytes: 1_000, pause: Duration::from_millis(1) };
    trial.proxy.trouble(Trouble { thin: Some(thin), ..Trouble::default() });
    trial.publish("thin", count)?;
    trial.ledger("thin", count)?.exact()?;
    ensure!(trial.host.ready() == Some(true), "not ready");
    ensure!(trial.complaints().is_empty(), "{:?}", trial.complaints());
    trial.host.drain()
}

/// A line of 1.25 MB/s, on which one body takes longer than the time for a confirm: as long as bytes
/// move, nothing is given up, not to the target and not from the source.
#[test]
fn large_bodies_cross_a_slow_line_once() -> Result<()> {
    let count = long(4, 20);
    let edit = |text: String| {
        heartbeats(text).replace("routing_key =", "confirm_timeout = 2, routing_key =")
    };
    let mut trial = Trial::start(Scene::shared("slow-line")?, edit)?;
    trial.begin();
    let thin = Thin { bytes: 16 << 10, pause: Duration::from_millis(13) };
    trial.proxy.trouble(Trouble { thin: Some(thin), ..Trouble::default() });
    let publish = |run: &str, count, size: u64| {
        let publish = trial.scene.publish(run, count).pass().with("--kind=large");
        let start = Instant::now();
        publish.with(&format!("--size={size}")).with("--block=1").run()?;
        trial.ledger(run, count)?.exact()?;
        let seconds = start.elapsed().as_secs_f64();
        let rate = (count * size) as f64 / seconds / 1e6;
        report(&format!("{count} bodies of {size} bytes: {seconds:.1} s, {rate:.2} MB/s"));
        Ok::<(), anyhow::Error>(())
    };
    publish("large", count, 4_000_000)?;
    if count == 20 {
        publish("larger", 2, 14_000_000)?;
    }
    let name = trial.scene.name();
    let lost = trial.host.metric(&["lockgate_transport_reconnects_total{", name])?;
    ensure!(lost == 0.0, "{lost} reconnects");
    ensure!(trial.host.ready() == Some(true), "not ready");
    ensure!(trial.complaints().is_empty(), "{:?}", trial.complaints());
    trial.host.drain()
}

/// Every answer has its own deadline: what takes a dozen of them is not given up for their sum.
#[test]
fn a_connection_to_far_away_is_made_however_long_that_takes() -> Result<()> {
    let count = 100;
    let mut trial = Trial::start(Scene::shared("farther")?, |text| text)?;
    trial.begin();
    // Both ways, and nine answers for the source: more than twelve seconds.
    let latency = Duration::from_millis(700);
    trial.proxy.trouble(Trouble { latency, ..Trouble::default() });
    trial.proxy.reset();
    trial.publish("far", count)?;
    trial.noticed()?;
    trial.over()?;
    trial.proxy.heal();
    trial.nothing_lost("far", count)
}

/// A frozen process (a virtual machine that is moved, a debugger) misses its heartbeats; the
/// broker hangs up, and gives its messages to others.
#[test]
fn a_frozen_daemon_goes_on_where_it_was() -> Result<()> {
    let count = long(4_000, 40_000);
    let mut trial = Trial::start(Scene::shared("frozen")?, heartbeats)?;
    let publisher = trial.scene.publish("load", count).pass().with("--rate=800").spawn()?;
    trial.scene.topology().reach(&trial.scene.named("out"), 1, Deadline::after(60))?;
    trial.begin();
    trial.host.freeze()?;
    let (source, name) = (trial.scene.named("in"), trial.scene.name().to_owned());
    until("the broker to hang up", Deadline::after(120), || {
        Ok((trial.scene.topology().consumers(&source)? == 0).then_some(()))
    })?;
    trial.host.go_on()?;
    until("the daemon to be connected anew", Deadline::after(60), || {
        trial.host.alive()?;
        let lost = trial.host.metric(&["lockgate_transport_reconnects_total{", &name])?;
        Ok((lost > 0.0).then_some(()))
    })?;
    trial.over()?;
    publisher.finish(Deadline::after(120))?;
    trial.nothing_lost("load", count)
}

fn heartbeats(text: String) -> String {
    text.replace("prefetch = 200", &format!("prefetch = 200\n{HEARTBEAT}"))
}

//! An administrator changes the broker under a daemon in service, and changes it back.

use std::fs;

use anyhow::{Result, ensure};
use lockgate_tests::{BAD_KEY, Deadline, Scene, long, until};
use serde_json::json;

use crate::trial::Trial;

/// A daemon that is frozen for a while must not be taken for dead, however long that takes here.
fn unhurried(text: String) -> String {
    text.replace("prefetch = 200", "prefetch = 200\nheartbeat = 300")
}

/// The consumer is cancelled by the broker; it must not stay dead when the queue is back.
#[test]
fn a_deleted_source_queue_is_consumed_again_once_it_is_back() -> Result<()> {
    let count = long(1_000, 10_000);
    let mut trial = Trial::start(Scene::shared("requeue")?, |text| text)?;
    trial.publish("before", count)?;
    trial.ledger("before", count)?.exact()?;
    let source = trial.scene.named("in");
    trial.begin();
    trial.scene.topology().delete(&source)?;
    trial.noticed()?;
    trial.scene.topology().declare(&json!({
        "queues": { &source: {} },
        "bindings": [[&source, &source, ""]],
    }))?;
    trial.over()?;
    trial.publish("after", count)?;
    trial.ledger("after", count)?.exact()?;
    trial.host.drain()
}

/// A queue that came back in another form fails every declaration; the daemon asks on, and makes the
/// right one as soon as it can.
#[test]
fn a_source_queue_of_another_form_is_waited_for() -> Result<()> {
    let count = long(1_000, 10_000);
    let declaring = |text: String| {
        text.replace("[[stage]]", "[source.amqp.declare]\nqueue = { durable = true }\n[[stage]]")
    };
    let mut trial = Trial::start(Scene::shared("form")?, |text| unhurried(declaring(text)))?;
    let source = trial.scene.named("in");
    trial.begin();
    // Else the daemon would be the first to make it anew.
    trial.host.freeze()?;
    trial.scene.topology().delete(&source)?;
    let other = json!({ "queues": { &source: { "x-max-length": 1_000_000 } } });
    trial.scene.topology().declare(&other)?;
    trial.host.go_on()?;
    trial.noticed()?;
    trial.scene.topology().delete(&source)?;
    trial.over()?;
    trial.scene.topology().declare(&json!({ "bindings": [[&source, &source, ""]] }))?;
    trial.publish("load", count)?;
    trial.ledger("load", count)?.exact()?;
    trial.host.drain()
}

/// A publish to an exchange that is gone closes the channel; its messages wait for the exchange.
#[test]
fn a_deleted_target_exchange_is_waited_for() -> Result<()> {
    let count = long(1_000, 10_000);
    let mut trial = Trial::start(Scene::shared("exchange")?, unhurried)?;
    let out = trial.scene.named("out");
    trial.begin();
    trial.scene.topology().delete_exchange(&out)?;
    trial.publish("load", count)?;
    trial.noticed()?;
    // Between its return and its binding an exchange takes messages to nowhere: nobody looks then.
    trial.host.freeze()?;
    trial.scene.topology().declare(&json!({
        "exchanges": { &out: "topic" },
        "bindings": [[&out, &out, "good.#"]],
    }))?;
    trial.host.go_on()?;
    trial.over()?;
    trial.nothing_lost("load", count)
}

/// The broker closes channels, for an ack that it does not know or one that it waited for too long
/// (406): there are others at once.
#[test]
fn channels_that_the_broker_closes_are_opened_anew() -> Result<()> {
    let count = long(10_000, 50_000);
    let mut trial = Trial::start(Scene::own("channels")?, unhurried)?;
    // The only channels are to be the daemon's.
    trial.host.freeze()?;
    trial.publish("load", count)?;
    trial.begin();
    trial.host.go_on()?;
    trial.scene.topology().reach(&trial.scene.named("out"), 1, Deadline::after(60))?;
    let lost = |trial: &Trial| {
        let name = trial.scene.name();
        trial.host.metric(&["lockgate_transport_reconnects_total{", name])
    };
    let before = lost(&trial)?;
    let unknown = "[gen_server2:cast(One, {method, {'basic.ack', 1000000000, false}, none, \
                   noflow}) || One <- rabbit_channel:list()]";
    trial.scene.rabbit()?.ctl(&["eval", &format!("{unknown}.")])?;
    until("the channels to be lost", Deadline::after(60), || {
        trial.host.alive()?;
        Ok((lost(&trial)? > before).then_some(()))
    })?;
    trial.over()?;
    let lines = trial.complaints();
    ensure!(lines.iter().any(|line| line.contains("unknown delivery tag")), "{lines:?}");
    trial.nothing_lost("load", count)
}

/// One routing key that the user may not publish with closes the channel, again and again: it is
/// found, and its neighbours get through.
#[test]
fn a_forbidden_routing_key_is_found_among_its_neighbours() -> Result<()> {
    let count = long(200, 2_000);
    let scene = Scene::own("topics")?;
    let out = scene.named("out");
    let rabbit = scene.rabbit()?;
    rabbit.ctl(&["add_user", "gate", "gate"])?;
    rabbit.ctl(&["set_permissions", "gate", ".*", ".*", ".*"])?;
    let pipeline = scene.pass_through()?;
    rabbit.ctl(&["set_topic_permissions", "gate", &out, "^good", ".*"])?;
    let text = fs::read_to_string(&pipeline)?.replace("guest:guest@", "gate:gate@");
    fs::write(&pipeline, text)?;
    let bad = format!("--bad-key={BAD_KEY}");
    scene.publish("tenth", count).pass().with("--kind=small").with(&bad).run()?;
    let mut host = scene.start("host", &pipeline)?;
    let dead = scene.named("dead");
    scene.collect("tenth", &[&out, &dead], count)?;
    host.wait_ready()?;
    host.drain()?;
    let ledger = scene.ledger("tenth", "forbidden", &[("out", &out), ("dead", &dead)])?;
    ensure!(ledger.expected("dead") == count / 10);
    ledger.at_least_once()
}

/// Without permissions nothing can be declared or consumed; with them everything goes on.
#[test]
fn permissions_that_are_withdrawn_and_given_back_are_waited_for() -> Result<()> {
    let count = long(2_000, 20_000);
    let scene = Scene::own("rights")?;
    scene.rabbit()?.ctl(&["add_user", "gate", "gate"])?;
    let permit = |scene: &Scene, pattern: &str| -> Result<()> {
        let arguments = ["set_permissions", "gate", pattern, pattern, pattern];
        scene.rabbit()?.ctl(&arguments).map(drop)
    };
    permit(&scene, ".*")?;
    let as_gate = |text: String| text.replace("guest:guest@", "gate:gate@");
    let mut trial = Trial::start(scene, as_gate)?;
    let publisher = trial.scene.publish("load", count).pass().with("--rate=400").spawn()?;
    trial.scene.topology().reach(&trial.scene.named("out"), 1, Deadline::after(60))?;
    trial.begin();
    permit(&trial.scene, "^$")?;
    // A channel remembers what it was allowed; a new one asks.
    trial.proxy.reset();
    trial.noticed()?;
    permit(&trial.scene, ".*")?;
    trial.over()?;
    publisher.finish(Deadline::after(120))?;
    trial.nothing_lost("load", count)
}

/// A broker short of memory blocks who publishes: nothing is lost, and nothing doubled either.
#[test]
fn an_alarm_in_service_is_waited_out() -> Result<()> {
    let count = long(2_000, 20_000);
    let mut trial = Trial::start(Scene::own("alarm")?, unhurried)?;
    // There must be something to publish, and the alarm blocks our publisher as well.
    trial.host.freeze()?;
    trial.publish("load", count)?;
    trial.scene.rabbit()?.memory_alarm(true)?;
    trial.begin();
    trial.host.go_on()?;
    trial.noticed()?;
    trial.scene.rabbit()?.memory_alarm(false)?;
    trial.over()?;
    trial.ledger("load", count)?.exact()?;
    trial.host.drain()
}

/// A queue that refuses what it has no room for is said to be in the way; what is nacked is put
/// again until there is room.
#[test]
fn a_full_target_queue_is_put_to_again() -> Result<()> {
    let (count, room) = (long(1_000, 10_000), 100);
    let patient = |text: String| {
        let retry = "retry = { attempts = 1000, backoff = \"100ms..1s\" }";
        text.replace("[[stage]]", &format!("[delivery]\n{retry}\n[[stage]]"))
    };
    let mut trial = Trial::start(Scene::shared("full")?, patient)?;
    let out = trial.scene.named("out");
    trial.scene.topology().delete(&out)?;
    trial.scene.topology().declare(&json!({
        "queues": { &out: { "x-max-length": room, "x-overflow": "reject-publish" } },
        "bindings": [[&out, &out, "good.#"]],
    }))?;
    trial.begin();
    trial.publish("load", count)?;
    trial.scene.topology().reach(&out, room, Deadline::after(60))?;
    trial.noticed()?;
    // Draining makes room.
    trial.ledger("load", count)?.exact()?;
    trial.over()?;
    trial.host.drain()
}

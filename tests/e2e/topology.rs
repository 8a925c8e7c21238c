//! What a start makes of the broker's queues and exchanges: declared before anything is asked for,
//! and refused or treated by their kind.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, Ended, Lockgate, Rabbit, Scene, until};
use serde_json::json;

/// A pipeline of this name, in the folder `pipelines`; `{}` in the text stands for the test's own
/// prefix.
fn pipeline(scene: &Scene, name: &str, text: &str) -> Result<PathBuf> {
    let folder = scene.dir().join("pipelines");
    fs::create_dir_all(&folder)?;
    let text = format!(
        "version = 1\nname = \"{name}\"\n{}",
        text.replace("{url}", scene.url()).replace("{}", scene.name())
    );
    let path = folder.join(format!("{name}.toml"));
    fs::write(&path, text)?;
    Ok(path)
}

fn command(scene: &Scene, arguments: &[&str]) -> Result<Ended> {
    Ended::of(scene.dir(), arguments, &[], 120)
}

/// Of one file: the route goes to an exchange that its own source declares. Of two: each needs what
/// the other declares, one of them for a binding.
#[test]
fn what_any_pipeline_declares_is_there_before_anything_is_asked_for() -> Result<()> {
    let scene = Scene::shared("declare")?;
    pipeline(
        &scene,
        "one",
        "[source.amqp]\nurl = \"{url}\"\nqueue = \"{}.one\"\n\
         declare = { queue = { durable = true }, \
         exchange = { name = \"{}.bus\", type = \"topic\" }, bindings = [{ routing_key = \"one\" }, { exchange = \"{}.two-out\" }] }\n\
         [route.default]\namqp = { exchange = \"{}.bus\", routing_key = \"two\" }\n\
         [dead_letter]\namqp = { exchange = \"{}.two-in\" }\n",
    )?;
    pipeline(
        &scene,
        "two",
        "[source.amqp]\nurl = \"{url}\"\nqueue = \"{}.two\"\n\
         declare = { queue = { durable = true }, exchange = { name = \"{}.two-in\" }, \
         bindings = [{ exchange = \"{}.bus\", routing_key = \"two\" }] }\n\
         [route.default]\namqp = { exchange = \"{}.two-out\", routing_key = \"out\", \
         declare = { queues = [{ name = \"{}.out\", routing_key = \"out\" }] } }\n",
    )?;
    let mut host = scene.start("host", &scene.dir().join("pipelines"))?;
    host.drain()?;
    // And by `check --broker`, on a broker that has none of it.
    for queue in ["one", "two", "out"] {
        scene.topology().delete(&scene.named(queue))?;
    }
    for exchange in ["bus", "two-in", "two-out"] {
        scene.topology().delete_exchange(&scene.named(exchange))?;
    }
    let checked = command(&scene, &["check", "--broker", "pipelines"])?;
    ensure!(checked.code == Some(0), "{}{}", checked.stdout, checked.stderr);
    Ok(())
}

/// Nobody declares it: the start ends, and says so.
#[test]
fn what_nobody_declares_is_missing() -> Result<()> {
    let scene = Scene::shared("missing")?;
    let text = "[source.amqp]\nurl = \"{url}\"\nqueue = \"{}.in\"\n\
                declare = { queue = { durable = true } }\n\
                [route.default]\namqp = { exchange = \"{}.nowhere\" }\n";
    let path = pipeline(&scene, "missing", text)?.display().to_string();
    for arguments in [&["run", &path][..], &["check", "--broker", &path]] {
        let ended = command(&scene, arguments)?;
        ensure!(ended.code == Some(2), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ensure!(ended.stderr.contains("LG0701"), "{}", ended.stderr);
        ensure!(ended.stderr.contains("nowhere` does not exist"), "{}", ended.stderr);
    }
    scene.topology().delete(&scene.named("in"))
}

#[test]
fn a_stream_is_refused_as_a_source_and_by_dlq() -> Result<()> {
    let scene = Scene::shared("stream")?;
    let stream = scene.named("in");
    scene.topology().declare(&json!({ "queues": { &stream: { "x-queue-type": "stream" } } }))?;
    let text = "[source.amqp]\nurl = \"{url}\"\nqueue = \"{}.in\"\n\
                [route.default]\namqp = { exchange = \"\", routing_key = \"{}.in\" }\n";
    let existing = pipeline(&scene, "existing", text)?.display().to_string();
    let declared = text.replacen(
        "[route",
        "declare = { queue = { arguments = { x-queue-type = \"stream\" } } }\n[route",
        1,
    );
    let declared = pipeline(&scene, "declared", &declared)?.display().to_string();
    let dead = "[dead_letter]\namqp = { exchange = \"{}.dead\", declare = { queues = [{ name = \
                \"{}.dead\", arguments = { x-queue-type = \"stream\" } }] } }\n";
    let dead = pipeline(&scene, "dead", &format!("{text}{dead}"))?.display().to_string();
    let url = scene.url().to_owned();
    for arguments in [
        &["run", &existing][..],
        &["check", "--broker", &existing],
        &["run", &declared],
        &["check", &declared],
        &["check", &dead],
        &["dlq", "list", "--url", &url, "--queue", &stream],
        &["dlq", "purge", "--yes", "--url", &url, "--queue", &stream],
    ] {
        let ended = command(&scene, arguments)?;
        ensure!(ended.code == Some(2), "{arguments:?}: {:?} {}", ended.code, ended.stderr);
        ensure!(ended.stderr.contains("LG0705"), "{arguments:?}: {}", ended.stderr);
    }
    scene.topology().delete(&stream)
}

/// An exchange that keeps a message, says that no queue takes it, and hands it on to the queue that
/// is bound next: what it has must not be a dead letter besides.
#[test]
fn what_an_exchange_hands_on_later_is_no_dead_letter() -> Result<()> {
    let rabbit = Rabbit::start_with("rabbitmq_recent_history_exchange")?;
    let scene = Scene::on("later", rabbit)?;
    let path = scene.pass_through()?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    // Of another kind, with the same name, by somebody else; the queue is not bound yet.
    scene.topology().delete_exchange(&out)?;
    scene.topology().declare(&json!({ "exchanges": { &out: "x-recent-history" } }))?;
    let mut host: Lockgate = scene.start("host", &path)?;
    let count = 10;
    scene.publish("load", count).pass().with("--kind=small").run()?;
    until("all to be delivered", Deadline::after(60), || {
        let done = host.metric(&["outcome=\"delivered\""])?;
        let lost = host.metric(&["outcome=\"dead_lettered\""])?;
        ensure!(lost == 0.0, "{lost} dead letters");
        Ok((done >= count as f64).then_some(()))
    })?;
    scene.topology().declare(&json!({ "bindings": [[&out, &out, ""]] }))?;
    scene.topology().reach(&out, count, Deadline::after(60))?;
    host.drain()?;
    let (kept, letters) = (scene.topology().depth(&out)?, scene.topology().depth(&dead)?);
    ensure!((kept, letters) == (count, 0), "{kept} came, {letters} dead letters");
    Ok(())
}

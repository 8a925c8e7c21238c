//! Headers about as large as a frame, and larger: RabbitMQ lets a publisher exceed the agreed size by
//! eight bytes, lengthens headers itself, and sends each as one frame whatever was agreed. No such
//! message may stop a pipeline or harm its neighbours, and none that leaves may become too large for
//! those who take it from there.

#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null")]

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, Ended, GOOD_KEY, Lockgate, Rabbit, Scene, Tool, until};
use serde_json::{Value, json};

use crate::guest::guest;

/// The largest frame that the host agrees to.
const FRAME_MAX: usize = 131_072;

#[test]
fn no_header_is_too_large_for_a_pipeline() -> Result<()> {
    let sizes = [131_060, 131_064, 131_065, 131_072, 130_900, 122_500, 122_000, 100_000];
    passes("large", Rabbit::start()?, FRAME_MAX, 130_972, &sizes)
}

/// The smallest that the client library agrees to.
#[test]
fn no_header_is_too_large_where_frames_are_small() -> Result<()> {
    let sizes = [8_152, 8_184, 8_185, 8_192, 7_000, 6_000, 5_700, 5_600, 5_000, 700];
    passes("small", Rabbit::start_frame_max(8192)?, 8192, 8_092, &sizes)
}

#[test]
fn no_header_is_too_large_where_frames_are_large() -> Result<()> {
    let sizes = [131_065, 131_072, 300_000, 1_048_569, 1_048_576, 122_000];
    passes("mib", Rabbit::start_frame_max(1 << 20)?, FRAME_MAX, 1_048_476, &sizes)
}

#[test]
fn no_header_is_too_large_where_frames_have_no_limit() -> Result<()> {
    let sizes = [131_065, 131_072, 1_048_577, 3_000_000, 122_000];
    passes("unlimited", Rabbit::start_frame_max(0)?, FRAME_MAX, 200_000, &sizes)
}

/// A name of 255 bytes, as long as they can be.
fn longest(scene: &Scene, what: &str) -> String {
    format!("{:x<255}", scene.named(what))
}

/// Publishes headers of `sizes`, and one of `dying` by way of a queue whose messages die; all of them are
/// delivered once before the host gets them, and what leaves it dies once more, all with the longest
/// names. Whoever takes them then gets no frame above `frame_max`.
fn passes(
    name: &str,
    rabbit: Rabbit,
    frame_max: usize,
    dying: usize,
    sizes: &[usize],
) -> Result<()> {
    let scene = Scene::on(name, rabbit)?;
    let pipeline = declare(&scene)?;
    let (source, first) = (scene.named("in"), longest(&scene, "first"));
    let (sent, more, came) = (scene.file("sent"), scene.file("more"), scene.file("came"));
    let texts: Vec<_> = sizes.iter().map(usize::to_string).collect();
    let mut arguments = vec![scene.url(), "sized", &source, GOOD_KEY, &sent];
    arguments.extend(texts.iter().map(String::as_str));
    Tool::run("rawamqp", &arguments)?;
    let through = dying.to_string();
    Tool::run("rawamqp", &[scene.url(), "sized", &first, GOOD_KEY, &more, &through])?;
    // Of each size one with a neighbour, and so of the one that died.
    let count = 2 * sizes.len() as u64 + 2;
    scene.topology().reach(&source, count, Deadline::after(60))?;
    Tool::run("rawamqp", &[scene.url(), "look", &source, &count.to_string()])?;
    scene.topology().reach(&source, count, Deadline::after(60))?;
    let mut host = scene.start("host", &pipeline)?;
    let (last, dead) = (scene.named("last"), scene.named("dead"));
    settled(&host, count)?;
    Tool::run("rawamqp", &[scene.url(), "drain", &came, &count.to_string(), &last, &dead])?;
    unbroken(&host)?;
    host.drain()?;
    let all = fs::read_to_string(&sent)? + &fs::read_to_string(&more)?;
    fs::write(&sent, all)?;
    let fit: Value = Tool::json("rawamqp", &["fit", &sent, &came, &frame_max.to_string()])?;
    ensure!(fit["wrong"] == json!([]), "{fit:#}");
    let of = |what: &str| -> HashSet<String> {
        let names = fit[what].as_array().into_iter().flatten();
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    for size in sizes.iter().chain([&dying]) {
        // Where there is room enough nothing is put into an envelope.
        let (text, room) = (size.to_string(), *size <= frame_max * 15 / 16 - 2_500);
        ensure!(!room || of("plain").contains(&text), "{size} in an envelope: {fit:#}");
        ensure!(*size + 8 <= frame_max || of("enveloped").contains(&text), "{size}: {fit:#}");
    }
    Ok(())
}

/// Queues and exchanges with the longest names around a pipeline that changes nothing.
fn declare(scene: &Scene) -> Result<PathBuf> {
    let (source, last, dead) = (scene.named("in"), scene.named("last"), scene.named("dead"));
    let (first, out, after) =
        (longest(scene, "first"), longest(scene, "out"), longest(scene, "after"));
    let dies = |to: &str| {
        json!({
            "x-queue-type": "quorum", "x-dead-letter-exchange": to, "x-message-ttl": 1,
        })
    };
    let classic = |to: &str| json!({ "x-dead-letter-exchange": to, "x-message-ttl": 1 });
    scene.topology().declare(&json!({
        "exchanges": {
            &source: "fanout", &first: "fanout", &out: "fanout", &after: "fanout", &dead: "fanout",
        },
        "queues": {
            &source: { "x-queue-type": "quorum" },
            &first: classic(&source), &out: dies(&after), &last: {}, &dead: {},
        },
        "bindings": [
            [&source, &source, ""], [&first, &first, ""], [&out, &out, ""], [&after, &last, ""],
            [&dead, &dead, ""],
        ],
    }))?;
    let key = "k".repeat(255);
    let text = format!(
        "version = 1\nname = \"large\"\n\
         [source.amqp]\nurl = \"{}\"\nqueue = \"{source}\"\n\
         [[stage]]\nname = \"all\"\nplugin = \"filter\"\nconfig = {{ when = 'true' }}\n\
         [route.default]\namqp = {{ exchange = \"{out}\", routing_key = \"{key}\" }}\n\
         [dead_letter]\namqp = {{ exchange = \"{dead}\", routing_key = \"{key}\" }}\n",
        scene.url()
    );
    let path = scene.dir().join("large.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// Waits until the host is done with `count` messages.
fn settled(host: &Lockgate, count: u64) -> Result<()> {
    until("all to be settled", Deadline::after(120), || {
        let mut settled = 0.0;
        for outcome in ["delivered", "dead_lettered"] {
            settled += host.metric(&["lockgate_messages_settled_total", outcome])?;
        }
        Ok((settled >= count as f64).then_some(()))
    })
}

/// No connection was lost over it.
fn unbroken(host: &Lockgate) -> Result<()> {
    let lost = host.metric(&["lockgate_transport_reconnects_total"])?;
    ensure!(lost == 0.0, "{lost} connections were lost");
    Ok(())
}

/// A message that is to be tried again, too large for a retry queue from where it would come back: it
/// waits in memory, is given up after its attempts, and its neighbours go on.
#[test]
fn a_large_header_is_tried_again_without_harm() -> Result<()> {
    let scene = Scene::shared("large-retry")?;
    let pipeline = scene.pass_through()?;
    let code = include_str!("../fixtures/chameleon.wat");
    fs::write(scene.dir().join("chameleon.wasm"), guest("1", "0.1", "", code)?)?;
    let text = fs::read_to_string(&pipeline)?
        .replace("plugin = \"filter\"", "plugin = \"./chameleon.wasm\"\non_error = \"retry\"")
        .replace("config = { when = 'true' }", "")
        .replace(
            "[[stage]]",
            "[delivery]\nretry = { attempts = 2, backoff = \"200ms..400ms\" }\n[[stage]]",
        );
    fs::write(&pipeline, text)?;
    let (sent, came) = (scene.file("sent"), scene.file("came"));
    // `t` makes the plugin trap.
    let sizes = ["t130672", "t121000"];
    let mut arguments = vec![scene.url(), "sized"];
    let source = scene.named("in");
    arguments.extend([&*source, GOOD_KEY, &*sent]);
    arguments.extend(sizes);
    Tool::run("rawamqp", &arguments)?;
    let mut host = scene.start("host", &pipeline)?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    let count = 2 * sizes.len();
    Tool::run("rawamqp", &[scene.url(), "drain", &came, &count.to_string(), &out, &dead])?;
    unbroken(&host)?;
    host.drain()?;
    let fit: Value = Tool::json("rawamqp", &["fit", &sent, &came, &FRAME_MAX.to_string()])?;
    ensure!(fit["wrong"] == json!([]), "{fit:#}");
    ensure!(fit["enveloped"] == json!(["t130672"]), "{fit:#}");
    ensure!(fit["plain"] == json!(["t121000"]), "{fit:#}");
    Ok(())
}

/// Looking at dead letters is not stopped by one either.
#[test]
fn a_dead_letter_with_a_large_header_is_looked_at() -> Result<()> {
    let scene = Scene::shared("large-dlq")?;
    let (dead, again) = (scene.named("dead"), scene.named("again"));
    scene.topology().declare(&json!({
        "exchanges": { &dead: "fanout" },
        "queues": { &dead: { "x-queue-type": "quorum" }, &again: {} },
        "bindings": [[&dead, &dead, ""]],
    }))?;
    let sent = scene.file("sent");
    Tool::run("rawamqp", &[scene.url(), "sized", &dead, "k", &sent, "131072", "131060", "122000"])?;
    Tool::run("rawamqp", &[scene.url(), "look", &dead, "6"])?;
    scene.topology().reach(&dead, 6, Deadline::after(60))?;
    let dlq = |code: i32, command: &[&str]| -> Result<String> {
        let place = ["--url", scene.url(), "--queue", &dead];
        let arguments = [&["dlq"], command, &place].concat();
        let ended = Ended::of(scene.dir(), &arguments, &[], 180)?;
        let Ended { code: got, stdout, stderr } = ended;
        ensure!(got == Some(code), "{arguments:?} ended with {got:?}:\n{stdout}\n{stderr}");
        Ok(stdout)
    };
    let list = dlq(0, &["list"])?;
    ensure!(list.contains("6 dead letters"), "{list}");
    let exported = dlq(0, &["export"])?;
    ensure!(exported.lines().count() == 6, "{} exported", exported.lines().count());
    // The two that fit no frame stay as they are.
    let replayed = dlq(1, &["replay", "--to-queue", &again])?;
    ensure!(replayed.contains("stayed: 2") && replayed.contains("more than a frame"), "{replayed}");
    scene.topology().reach(&dead, 2, Deadline::after(60))?;
    ensure!(scene.topology().depth(&again)? == 4);
    Ok(())
}

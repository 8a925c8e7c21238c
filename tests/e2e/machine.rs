//! The machine that the daemon runs on is short of something.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, Lockgate, Scene, Trouble, long, until};

use crate::guest::guest;
use crate::trial::Trial;

/// Small enough to compile in a moment, and in a development build.
const PASS: &str = include_str!("../fixtures/chameleon.wat");

/// With no file descriptor left nothing can be connected; with some, everything goes on.
#[test]
fn out_of_file_descriptors_is_waited_out() -> Result<()> {
    let count = long(2_000, 20_000);
    let mut trial = Trial::start(Scene::shared("files")?, |text| text)?;
    let publisher = trial.scene.publish("load", count).pass().with("--rate=400").spawn()?;
    trial.scene.topology().reach(&trial.scene.named("out"), 1, Deadline::after(60))?;
    trial.begin();
    // First without its connections, so that it has none to use again.
    trial.proxy.trouble(Trouble { refuse: true, ..Trouble::default() });
    trial.proxy.reset();
    trial.noticed()?;
    until("the connections to be gone", Deadline::after(60), || {
        Ok((trial.proxy.open() == 0).then_some(()))
    })?;
    // One for asking how it is, none for a connection to a broker, which takes several.
    trial.host.limit_files(Some(1))?;
    let before = trial.host.log().len();
    trial.proxy.heal();
    let mut asked = 0;
    until("attempts in vain", Deadline::after(60), || {
        trial.host.alive()?;
        asked += u32::from(trial.host.ready() == Some(true));
        let said = |text: &str| text.contains("Too many open files");
        let logged = trial.host.log().get(before..).is_some_and(said);
        let ready = trial.host.get("/readyz").ok();
        Ok((logged || ready.is_some_and(|(_, text)| said(&text))).then_some(()))
    })?;
    ensure!(asked == 0, "it was ready without a connection");
    trial.host.limit_files(None)?;
    trial.over()?;
    publisher.finish(Deadline::after(120))?;
    trial.nothing_lost("load", count)
}

/// The cache of compiled plugins is a convenience: without room for it the daemon works all the
/// same, and says once that it has none.
#[test]
fn a_cache_that_cannot_be_written_is_done_without() -> Result<()> {
    let scene = Scene::shared("cache")?;
    let file = scene.dir().join("file");
    fs::write(&file, "no folder")?;
    works_without_cache(&scene, "nowhere", &file.join("cache"))?;
    // A full disk needs a file system of its own, and so a privileged test.
    let full = scene.dir().join("full");
    fs::create_dir(&full)?;
    let Some(_mounted) = Mount::full(&full)? else { return Ok(()) };
    works_without_cache(&scene, "full", &full.join("cache"))
}

/// Messages through a plugin that was not cached. One more letter would be a harmful one.
const COUNT: u64 = 39;

fn works_without_cache(scene: &Scene, name: &str, cache: &Path) -> Result<()> {
    let pipeline = scene.pass_through()?;
    fs::write(scene.dir().join("pass.wasm"), guest("1", "0.1", "", PASS)?)?;
    let text = fs::read_to_string(&pipeline)?
        .replace("plugin = \"filter\"", "plugin = \"./pass.wasm\"")
        .replace("config = { when = 'true' }", "");
    fs::write(&pipeline, text)?;
    let mut host = Lockgate::start_caching(scene.dir(), name, &pipeline, scene.url(), cache)?;
    host.wait_ready()?;
    scene.publish(name, COUNT).pass().with("--kind=letters").run()?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.collect(name, &[&out, &dead], COUNT)?;
    scene.ledger(name, "pass", &[("out", &out), ("dead", &dead)])?.exact()?;
    let said = host.log().lines().filter(|line| line.contains("compiled plugins")).count();
    ensure!(said == 1, "{said} lines about the cache:\n{}", host.log());
    host.drain()
}

/// The binary carries the shipped plugins compiled: with all six of them, its first start on a
/// machine compiles nothing, and leaves nothing behind for the next.
#[test]
fn the_first_start_compiles_no_shipped_plugin() -> Result<()> {
    let scene = Scene::shared("first")?;
    let pipeline = scene.pass_through()?;
    let stages = [
        ("deduplicated", "dedupe", "window = '10m'", ", \"kv\""),
        ("limited", "throttle", "limit = 1000, per = '1s'", ", \"kv\""),
        ("changed", "transform", "jq = '.'", ""),
        ("judged", "spam-check", "text = 'body.note'", ""),
        ("routed", "route", "rules = [{ when = 'body.a == 1', to = ['default'] }]", ""),
    ];
    let mut text = fs::read_to_string(&pipeline)?;
    let route = text.find("[route.default]").unwrap_or_default();
    let mut more = String::new();
    for (name, plugin, config, grant) in stages {
        more += &format!(
            "[[stage]]\nname = \"{name}\"\nplugin = \"{plugin}\"\nconfig = {{ {config} }}\n\
             grant = [\"log\"{grant}]\n"
        );
    }
    text.insert_str(route, &more);
    fs::write(&pipeline, text)?;
    let cache = scene.dir().join("cache");
    let mut host = Lockgate::start_caching(scene.dir(), "first", &pipeline, scene.url(), &cache)?;
    host.wait_ready()?;
    ensure!(!host.log().contains("compiled a plugin"), "{}", host.log());
    let left: Vec<_> =
        fs::read_dir(&cache)?.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    ensure!(left == ["key"], "in the cache: {left:?}");
    host.drain()
}

/// With less address space than the sandboxes reserve the daemon does not start, and says what is
/// needed, what there is, and what to do; with a smaller reservation it works in it.
#[test]
fn too_little_address_space_is_said_at_the_start_and_can_be_done_with() -> Result<()> {
    const LIMIT: u64 = 4 << 30;
    let scene = Scene::shared("narrow")?;
    let pipeline = scene.pass_through()?;
    let mut host =
        Lockgate::start_limited(scene.dir(), "narrow", &pipeline, scene.url(), "", LIMIT)?;
    let status = host.wait_end(Deadline::after(120))?;
    let log = host.log();
    ensure!(status.code() == Some(2), "it ended with {status}:\n{log}");
    for part in ["error[LG0605]", "address space", "4096 MiB", "memory_reservation"] {
        ensure!(log.contains(part), "nothing of {part}:\n{log}");
    }
    let less = "[engine]\nmemory_reservation = \"64MiB\"\n";
    let mut host =
        Lockgate::start_limited(scene.dir(), "small", &pipeline, scene.url(), less, LIMIT)?;
    host.wait_ready()?;
    scene.publish("small", 500).pass().run()?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.collect("small", &[&out, &dead], 500)?;
    scene.ledger("small", "pass", &[("out", &out), ("dead", &dead)])?.exact()?;
    host.drain()
}

/// When address space runs out in service, what needs a new sandbox waits, uses up no attempt, and is
/// no dead letter; `/readyz` says why. Only the message that made its plugin crash is one.
#[test]
fn messages_wait_while_the_machine_has_no_memory() -> Result<()> {
    const COUNT: u64 = 240;
    let scene = Scene::shared("starved")?;
    let pipeline = scene.pass_through()?;
    fs::write(scene.dir().join("chameleon.wasm"), guest("1", "0.1", "", PASS)?)?;
    let text = fs::read_to_string(&pipeline)?
        .replace("plugin = \"filter\"", "plugin = \"./chameleon.wasm\"")
        .replace("config = { when = 'true' }", "isolation = \"message\"")
        .replace("[source.amqp]", "lanes = 1\n[source.amqp]");
    fs::write(&pipeline, text)?;
    let mut host = scene.start("host", &pipeline)?;
    // Afterwards the lane holds no sandbox, whose place the next one could take.
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.publish("first", 30).pass().with("--kind=letters").run()?;
    scene.collect("first", &[&out, &dead], 30)?;
    // Enough for all else that it does, not for a sandbox.
    host.limit_address_space(Some(1 << 30))?;
    scene.publish("letters", COUNT).pass().with("--kind=letters").run()?;
    host.wait_unready()?;
    let (_, said) = host.get("/readyz")?;
    ensure!(said.contains("plugin: stage `all` is paused"), "{said}");
    ensure!(said.contains("address space"), "{said}");
    ensure!(host.metric(&["lockgate_condition{", "component=\"plugin\""])? == 1.0);
    host.limit_address_space(None)?;
    host.wait_ready()?;
    scene.collect("letters", &[&out, &dead], COUNT)?;
    host.drain()?;
    let ledger = scene.ledger("letters", "letters", &[("out", &out), ("dead", &dead)])?;
    ensure!(ledger.expected("dead") == COUNT / 40);
    ledger.exact()
}

/// A small file system that is full; unmounted when dropped.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    /// None where mounting is not allowed.
    fn full(at: &'a Path) -> Result<Option<Self>> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(at)
            .stderr(std::process::Stdio::null())
            .status();
        if !mount.is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        let mounted = Self(at);
        // A write that fails has filled it.
        let filled = fs::write(at.join("filling"), vec![0; 1 << 20]);
        ensure!(filled.is_err(), "it is not full");
        Ok(Some(mounted))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// A deep source queue behind a target that takes nothing: memory is bounded by the prefetch, not
/// by the queue.
#[test]
fn a_blocked_target_does_not_fill_the_memory() -> Result<()> {
    /// Far more than two hundred messages of 4 kB in flight take, far less than the queue holds.
    const BOUND: u64 = 48 << 20;
    let count = long(20_000, 60_000);
    let mut trial = Trial::start(Scene::shared("memory")?, |text| {
        text.replace("prefetch = 200", "prefetch = 200\nheartbeat = 60")
    })?;
    trial.publish("warm", 500)?;
    trial.ledger("warm", 500)?.exact()?;
    let before = trial.host.memory("VmRSS")?;
    trial.begin();
    trial.proxy.trouble(Trouble { mute: Some("sink"), ..Trouble::default() });
    let scene = &trial.scene;
    scene.publish("deep", count).pass().with("--kind=pages").run()?;
    trial.noticed()?;
    let most = trial.host.memory("VmHWM")?;
    ensure!(most < before + BOUND, "{most} bytes at most, {before} before");
    trial.proxy.heal();
    trial.over()?;
    let (out, dead) = (trial.scene.named("out"), trial.scene.named("dead"));
    trial.scene.topology().reach(&out, count, Deadline::after(120))?;
    ensure!(trial.scene.topology().depth(&dead)? == 0, "dead letters");
    trial.host.drain()
}

/// Large bodies before a target that takes nothing: the prefetch would let in several times the
/// memory that there is. What is read is bounded by bytes, the connections stay, and when the target
/// takes messages again all of them come, those too that are larger than the bound.
#[test]
fn large_bodies_before_a_blocked_target_do_not_fill_the_memory() -> Result<()> {
    /// What the bodies in flight, a block at each end and the allocator's slack fit into.
    const MORE: u64 = 192 << 20;
    let count = long(80, 200);
    let mut trial = Trial::start(Scene::shared("bytes")?, |text| {
        let patient = text
            .replace("prefetch = 200", "prefetch = 200\nheartbeat = 60")
            .replace("routing_key =", "confirm_timeout = 600, routing_key =");
        format!("{patient}\n[delivery]\nin_flight_bytes = \"32MiB\"\n")
    })?;
    trial.publish("warm", 500)?;
    trial.ledger("warm", 500)?.exact()?;
    trial.host.limit_data(MORE)?;
    trial.begin();
    // The target's connection stands still. That is no black hole: the source's goes on.
    trial.proxy.trouble(Trouble { mute: Some("sink"), ..Trouble::default() });
    let scene = &trial.scene;
    scene.publish("large", count).pass().with("--kind=large").with("--block=1").run()?;
    until("as many as there is room for to be in flight", Deadline::after(60), || {
        trial.host.alive()?;
        let in_flight = trial.host.metric(&["lockgate_in_flight{", scene.name()])?;
        Ok((in_flight >= 7.0).then_some(()))
    })?;
    // The broker has sent all that the prefetch allows, and what is not read waits with it.
    let source = scene.named("in");
    until("the broker to have sent all", Deadline::after(60), || {
        Ok((trial.scene.topology().depth(&source)? == 0).then_some(()))
    })?;
    trial.host.alive()?;
    let in_flight = trial.host.metric(&["lockgate_in_flight{", trial.scene.name()])?;
    ensure!(in_flight <= 8.0, "{in_flight} of 4 MB in flight");
    let reconnects = ["lockgate_transport_reconnects_total{", trial.scene.name()];
    ensure!(trial.host.metric(&reconnects)? == 0.0, "connections were lost");
    trial.proxy.heal();
    trial.ledger("large", count)?.exact()?;
    ensure!(trial.host.metric(&reconnects)? == 0.0, "connections were lost");
    trial.host.drain()
}

//! The daemon as whoever operates it sees it: the admin listener under attack, metrics that others
//! read, its log, its end by a signal, and output that cannot be written.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use lockgate_tests::{Deadline, Scene, Tool, Trouble, lockgate_binary, long, plugin_cache, until};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::guest::guest;
use crate::trial::Trial;

/// Connections that say nothing must not take the descriptors that the brokers' connections need.
#[test]
fn half_open_admin_connections_keep_nobody_from_the_broker() -> Result<()> {
    const FILES: u64 = 128;
    let count = 500;
    let mut trial = Trial::start(Scene::shared("half-open")?, |text| text)?;
    let pid = Pid::from_raw(i32::try_from(trial.host.pid())?);
    let limit = Rlimit { current: Some(FILES), maximum: Some(FILES) };
    prlimit(pid, Resource::Nofile, limit)?;
    let port: u16 = trial.host.address().rsplit(':').next().context("no port")?.parse()?;
    let mut silent = Vec::new();
    for _ in 0..400 {
        // One that is refused is as good: it takes no descriptor there.
        silent.extend(TcpStream::connect(("127.0.0.1", port)));
    }
    trial.begin();
    trial.proxy.trouble(Trouble { refuse: true, ..Trouble::default() });
    trial.proxy.reset();
    trial.noticed()?;
    trial.proxy.heal();
    trial.over()?;
    let cut = trial.host.metric(&["lockgate_admin_connections_cut_total", "displaced"])?;
    ensure!(cut > 300.0, "{cut} were cut of {}", silent.len());
    trial.publish("load", count)?;
    trial.nothing_lost("load", count)
}

/// What Prometheus' own client reads out of a scrape.
#[test]
fn others_can_read_the_metrics() -> Result<()> {
    let count = 200;
    let mut trial = Trial::start(Scene::shared("metrics")?, |text| text)?;
    trial.publish("load", count)?;
    trial.ledger("load", count)?.exact()?;
    let scrape =
        Tool::json("parse_metrics", &[&format!("http://{}/metrics", trial.host.address())])?;
    let kind = scrape["content_type"].as_str().unwrap_or_default();
    ensure!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    for parser in ["openmetrics", "text"] {
        let samples = &scrape[parser];
        for family in ["delivery", "stage", "publish_confirm"] {
            let name = format!("lockgate_{family}_seconds_bucket");
            let buckets = samples[&name].as_array().context(name.clone())?;
            let last = buckets.iter().find(|bucket| bucket[0]["le"] == "+Inf");
            let value = last.and_then(|bucket| bucket[1].as_f64());
            ensure!(value.is_some_and(|value| value > 0.0), "{parser}: {name}: {buckets:?}");
        }
        for name in [
            "lockgate_build_info",
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            let value = samples[name][0][1].as_f64();
            ensure!(value.is_some_and(|value| value > 0.0), "{parser}: {name}: {}", samples[name]);
        }
        let version = &samples["lockgate_build_info"][0][0]["version"];
        ensure!(version.is_string(), "{parser}: no version in {version}");
    }
    trial.host.drain()
}

/// The log says what is there, and which messages were given up and why, in a line each that a
/// flood does not multiply.
#[test]
fn the_log_tells_of_the_start_and_of_dead_letters() -> Result<()> {
    let count = long(300, 3_000);
    // It traps on every message.
    const TRAP: &str = "(func $batch (param i32 i32) (result i64) unreachable)";
    let scene = Scene::shared("told")?;
    fs::write(scene.dir().join("trap.wasm"), guest("1", "0.1", "", TRAP)?)?;
    let pipeline = scene.pass_through()?;
    let text = fs::read_to_string(&pipeline)?
        .replace("plugin = \"filter\"", "plugin = \"./trap.wasm\"")
        .replace("config = { when = 'true' }", "");
    fs::write(&pipeline, text)?;
    let mut host = scene.start("traps", &pipeline)?;
    let log = host.log();
    ensure!(log.contains("\"version\":\"") && log.contains(&*pipeline.to_string_lossy()), "{log}");
    scene.publish("load", count).pass().with("--kind=small").run()?;
    until("the first dead letter in the log", Deadline::after(60), || {
        Ok(host.log().contains("given up").then_some(()))
    })?;
    // The stage pauses after repeated faults, which is told with pipeline and plugin.
    until("the pause in the log", Deadline::after(60), || {
        Ok(host.log().contains("stage paused").then_some(()))
    })?;
    let log = host.log();
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).collect::<Vec<_>>();
    let letters = lines("given up");
    ensure!(letters.len() < 20, "{} lines:\n{log}", letters.len());
    let first: serde_json::Value = serde_json::from_str(letters.first().context("no line")?)?;
    for (key, expected) in [("pipeline", scene.name()), ("reason", "trap")] {
        ensure!(first[key] == expected, "{key} in {first}");
    }
    for key in ["stage", "message_id", "plugin", "error"] {
        ensure!(first[key].is_string(), "{key} in {first}");
    }
    ensure!(first["count"] == 1, "{first}");
    let paused: serde_json::Value =
        serde_json::from_str(lines("stage paused").first().context("?")?)?;
    ensure!(paused["span"]["pipeline"] == scene.name(), "{paused}");
    ensure!(paused["span"]["plugin"].is_string(), "{paused}");
    host.drain()
}

/// A pipeline on the embedded broker, and a daemon on it.
fn embedded(scene: &Scene) -> Result<PathBuf> {
    let path = scene.dir().join("embedded.toml");
    fs::write(
        &path,
        "version = 1\nname = \"embedded\"\n\
         [source.memory]\nqueue = \"in\"\ndeclare = { queue = {} }\n\
         [route.default]\n\
         memory = { exchange = \"out\", declare = { queues = [{ name = \"out\" }] } }\n\
         [dead_letter]\n\
         memory = { exchange = \"dead\", declare = { queues = [{ name = \"dead\" }] } }\n",
    )?;
    Ok(path)
}

/// SIGHUP drains, as SIGTERM does.
#[test]
fn a_hangup_drains() -> Result<()> {
    let scene = Scene::shared("hangup")?;
    let count = long(20_000, 60_000);
    let pipeline = scene.pass_through()?;
    scene.publish("all", count).pass().with("--kind=small").run()?;
    let (source, out, dead) = (scene.named("in"), scene.named("out"), scene.named("dead"));
    let mut host = scene.start("first", &pipeline)?;
    scene.topology().reach(&out, 1, Deadline::after(60))?;
    let pid = Pid::from_raw(i32::try_from(host.pid())?).context("no pid")?;
    kill_process(pid, Signal::HUP)?;
    let status = host.wait_end(Deadline::after(60))?;
    ensure!(status.success(), "{status}\n{}", host.log_end());
    let (left, done) = (scene.topology().depth(&source)?, scene.topology().depth(&out)?);
    ensure!(left > 0 && left + done == count, "{left} left and {done} done of {count}");
    let mut host = scene.start("second", &pipeline)?;
    scene.collect("all", &[&out, &dead], count)?;
    host.drain()?;
    scene.ledger("all", "pass", &[("out", &out), ("dead", &dead)])?.exact()
}

/// The first signal drains, and waits for a target that takes nothing; a second one does not.
#[test]
fn a_second_signal_ends_a_drain_at_once() -> Result<()> {
    let mut trial = Trial::start(Scene::shared("twice")?, |text| {
        text.replace("[[stage]]", "[delivery]\ndrain_timeout = \"1h\"\n\n[[stage]]")
    })?;
    trial.proxy.trouble(Trouble { mute: Some("sink"), ..Trouble::default() });
    trial.publish("load", 100)?;
    let name = trial.scene.name().to_owned();
    until("messages in flight", Deadline::after(60), || {
        Ok((trial.host.metric(&["lockgate_in_flight{", &name])? > 0.0).then_some(()))
    })?;
    trial.host.signal_end()?;
    until("the drain", Deadline::after(60), || {
        Ok(trial.host.log().contains("draining").then_some(()))
    })?;
    trial.host.alive()?;
    trial.host.signal_end()?;
    let status = trial.host.wait_end(Deadline::after(60))?;
    ensure!(status.code() == Some(1), "{status}\n{}", trial.host.log_end());
    trial.proxy.heal();
    let source = trial.scene.named("in");
    let out = trial.scene.named("out");
    until("all messages in one queue or the other", Deadline::after(60), || {
        let topology = trial.scene.topology();
        Ok((topology.depth(&source)? + topology.depth(&out)? >= 100).then_some(()))
    })
}

/// Whoever asks while plugins are compiled gets an answer, which says so.
#[test]
fn the_listener_is_there_before_the_plugins() -> Result<()> {
    let scene = Scene::shared("early")?;
    let pipeline = embedded(&scene)?;
    // Large enough for its compilation to be seen, and a name that no cache knows.
    let functions: String = (0..20_000)
        .map(|n| format!("(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const {n})))"))
        .collect();
    const PASS: &str = include_str!("../fixtures/chameleon.wat");
    let wasm = guest("1", "0.1", "", &format!("{PASS}{functions}"))?;
    fs::write(scene.dir().join("large.wasm"), wasm)?;
    let text =
        fs::read_to_string(&pipeline)? + "[[stage]]\nname = \"s\"\nplugin = \"./large.wasm\"\n";
    fs::write(&pipeline, text)?;
    let cache = scene.dir().join("cold");
    let mut host = lockgate_tests::Lockgate::start_caching(
        scene.dir(),
        "early",
        &pipeline,
        scene.url(),
        &cache,
    )?;
    let mut seen = None;
    until("the daemon to be ready", Deadline::after(120), || {
        host.alive()?;
        let Ok((status, text)) = host.get("/readyz") else { return Ok(None) };
        if text.contains("compiling plugin") {
            ensure!(status == 503 && text.contains("large.wasm"), "{status} {text}");
            ensure!(host.get("/healthz")?.0 == 200, "not healthy");
            seen = Some(text);
        }
        Ok((status == 200).then_some(()))
    })?;
    ensure!(seen.is_some(), "nothing was said of compiling\n{}", host.log_end());
    ensure!(host.log().contains("loading plugin"), "{}", host.log_end());
    host.drain()
}

/// A full device is an error of every command that prints.
#[test]
fn what_cannot_be_written_fails() -> Result<()> {
    let scene = Scene::shared("full-device")?;
    let pipeline = embedded(&scene)?.to_string_lossy().into_owned();
    for arguments in [
        &["check", &*pipeline][..],
        &["check", "--format", "json", &pipeline],
        &["plugin", "inspect", "filter"],
        &["plugin", "inspect", "filter", "--format", "json"],
        &["demo", "--messages", "10"],
        &["--help"],
        &["--version"],
    ] {
        let mut child = command(arguments)?.stdout(File::create("/dev/full")?).spawn()?;
        let status = child.wait()?;
        ensure!(!status.success(), "{arguments:?} ended with {status}");
    }
    // A reader that has enough is no error.
    let mut child = command(&["plugin", "inspect", "filter"])?.stdout(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    ensure!(child.wait()?.success(), "a closed pipe is an error");
    // A log that nobody can keep ends nothing.
    let settings = scene.dir().join("off.toml");
    fs::write(&settings, "version = 1\n[admin]\nlisten = \"off\"\n")?;
    let settings = settings.to_string_lossy();
    let mut run = command(&["run", "--config", &settings, &pipeline])?;
    let mut child: Child = run.stderr(File::create("/dev/full")?).spawn()?;
    let pid = Pid::from_child(&child);
    until("it to take signals", Deadline::after(60), || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap_or("0").trim(), 16)?;
        ensure!(child.try_wait()?.is_none(), "it ended");
        // SIGTERM is 15, the bits begin at 1.
        Ok((caught >> 14 & 1 == 1).then_some(()))
    })?;
    kill_process(pid, Signal::TERM)?;
    let status = child.wait()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn command(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(lockgate_binary()?);
    command
        .args(arguments)
        .env("XDG_CACHE_HOME", plugin_cache()?)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}

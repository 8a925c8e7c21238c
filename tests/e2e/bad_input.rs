//! Whatever is wrong with a pipeline file is said with its place, a code and a way out.
//!
//! Each `bad_input/<case>.toml` is run; what it says must be `<case>.txt`. `BLESS=1` writes those
//! anew. The files find the broker in `AMQP_URL` and `AMQP_ADDRESS`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lockgate_tests::{Deadline, Ended, Scene, tests_dir, until};
use serde_json::json;

use crate::guest::guest;

/// A batch that traps: none gets so far.
const TRAP: &str = "(func $batch (param i32 i32) (result i64) unreachable)";

/// Seconds a refusal may take: a development build compiles plugins slowly.
const PATIENCE: u64 = 120;

#[test]
fn each_mistake_has_its_diagnostic() -> Result<()> {
    let scene = Scene::shared("bad-input")?;
    scene.topology().declare(&json!({
        "queues": { "bad-input.in": {}, "bad-input.long": { "x-max-length": 10 } },
        "exchanges": { "bad-input.out": "fanout" },
    }))?;
    guests(scene.dir())?;
    let mut failures = Vec::new();
    for case in cases()? {
        if let Err(error) = check(&scene, &case) {
            failures.push(format!("{}: {error:#}", case.display()));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

fn cases() -> Result<Vec<PathBuf>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(tests_dir().join("e2e/bad_input"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "toml") {
            cases.push(path);
        }
    }
    cases.sort();
    ensure!(cases.len() > 10, "the cases are gone");
    Ok(cases)
}

fn check(scene: &Scene, case: &Path) -> Result<()> {
    let name = case.file_name().context("no name")?.to_str().context("not UTF-8")?;
    fs::copy(case, scene.dir().join(name))?;
    let address = address(scene.url())?;
    let environment = [("AMQP_URL", scene.url()), ("AMQP_ADDRESS", &address)];
    let arguments = ["run", "--config", "host.toml", name];
    fs::write(scene.dir().join("host.toml"), "version = 1\n[admin]\nlisten = \"off\"\n")?;
    let ended = Ended::of(scene.dir(), &arguments, &environment, PATIENCE)?;
    let said = ended.stderr.replace(&address, "127.0.0.1:5672");
    // Logs are for another test; they carry the time.
    let said: String = said
        .lines()
        .filter(|line| !line.starts_with('{'))
        .fold(String::new(), |said, line| said + line + "\n");
    ensure!(ended.code == Some(2), "exit code {:?}:\n{said}", ended.code);
    ensure!(!ended.stderr.contains("hunter2"), "a password is shown:\n{said}");
    let golden = case.with_extension("txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&golden, &said)?;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    ensure!(said == expected, "it says (BLESS=1 writes it anew):\n{said}\ninstead of:\n{expected}");
    ensure!(said.contains("[LG") && said.contains(name), "neither code nor place:\n{said}");
    Ok(())
}

fn address(url: &str) -> Result<String> {
    let (_, address) = url.split_once('@').context("no login in the URL")?;
    Ok(address.trim_end_matches('/').to_owned())
}

/// The plugins that the cases name.
fn guests(dir: &Path) -> Result<()> {
    fs::write(dir.join("not-wasm.wasm"), "#!/bin/sh\necho I am a script\n")?;
    fs::write(dir.join("newer.wasm"), guest("0x00070003", "7.3", "", TRAP)?)?;
    fs::write(dir.join("wants-clock.wasm"), guest("1", "0.1", r#""log","clock""#, TRAP)?)?;
    fs::write(dir.join("unready.wasm"), b"\0asm\x01\0\0\0")?;
    // One more key in its description.
    fs::write(dir.join("slip.wasm"), guest("1", "0.1", r#"],"max_bach":["#, TRAP)?)?;
    Ok(())
}

/// What may lose messages is no mistake of the file: `check` warns, and the file is fit to run.
#[test]
fn risky_settings_are_warned_about() -> Result<()> {
    let scene = Scene::shared("risky")?;
    let text = "version = 1\n\
        name = \"risky\"\n\
        [source.amqp]\n\
        url = \"amqp://localhost\"\n\
        queue = \"in\"\n\
        [source.amqp.declare]\n\
        queue = { arguments = { x-queue-type = \"quorum\" } }\n\
        [[stage]]\n\
        name = \"all\"\n\
        plugin = \"filter\"\n\
        config = { when = \"true\" }\n\
        [route.default]\n\
        amqp = { exchange = \"out\", mandatory = false }\n\
        [dead_letter]\n\
        amqp = { exchange = \"dead\", declare = { queues = [{ name = \"dead\", durable = false }] } }\n";
    fs::write(scene.dir().join("risky.toml"), text)?;
    let ended = Ended::of(scene.dir(), &["check", "risky.toml"], &[], PATIENCE)?;
    ensure!(ended.code == Some(0), "exit code {:?}: {}", ended.code, ended.stderr);
    let places: Vec<_> = ended.stderr.lines().filter_map(|line| line.split_once("--> ")).collect();
    let places: Vec<_> = places.iter().map(|(_, place)| *place).collect();
    ensure!(ended.stderr.matches("warning[LG0703]").count() == 2, "{}", ended.stderr);
    ensure!(ended.stderr.matches("warning[LG0708]").count() == 1, "{}", ended.stderr);
    ensure!(places == ["risky.toml:7:23", "risky.toml:13:40", "risky.toml:15:78"], "{places:?}");
    Ok(())
}

/// What can heal is no mistake of the file: the daemon waits for it, says so, and obeys SIGTERM.
#[test]
fn an_unreachable_broker_is_waited_for() -> Result<()> {
    let scene = Scene::shared("unreachable")?;
    let pipeline = scene.pass_through()?;
    let nowhere = fs::read_to_string(&pipeline)?.replace(&address(scene.url())?, "127.0.0.1:1");
    fs::write(&pipeline, nowhere)?;
    let mut host = scene.start_only("host", &pipeline)?;
    let line = until("a log line about the broker", Deadline::after(PATIENCE), || {
        host.alive()?;
        let log = host.log();
        Ok(log.lines().find(|line| line.contains("127.0.0.1:1")).map(str::to_owned))
    })?;
    ensure!(line.contains("refused") && !line.contains("guest:guest"), "{line}");
    ensure!(host.ready() == Some(false), "it is not ready");
    host.drain()
}

/// A URL whose path is a lone `/` means the default virtual host, as in other clients.
#[test]
fn both_spellings_of_the_default_vhost_work() -> Result<()> {
    for (name, path) in [("slash", "/"), ("none", ""), ("escaped", "/%2f")] {
        let scene = Scene::shared(&format!("vhost-{name}"))?;
        let pipeline = scene.pass_through()?;
        let (bare, _) = scene.url().rsplit_once('/').context("the URL has a path")?;
        let text = fs::read_to_string(&pipeline)?;
        fs::write(&pipeline, text.replace(scene.url(), &format!("{bare}{path}")))?;
        scene.start("host", &pipeline)?.drain().context(name)?;
    }
    Ok(())
}

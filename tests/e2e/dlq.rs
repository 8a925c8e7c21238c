//! `lockgate dlq` on dead letters that real pipelines made: what is looked at stays, what is
//! replayed arrives as it was, and nothing is lost on the way.

#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use lockgate_tests::{
    BAD_KEY, Deadline, Ended, GOOD_KEY, Scene, Tool, lockgate_binary, long, until,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::guest::guest;

/// Seconds a command may take: a development build compiles the predicate slowly, once.
const PATIENCE: u64 = 180;

/// Every tenth leads nowhere; one in forty makes the chameleon plugin fail, for nine reasons.
const COUNT: u64 = 400;
const UNROUTABLE: u64 = COUNT / 10;
const FAULTS: u64 = COUNT / 40;
const DEAD: u64 = UNROUTABLE + FAULTS;

/// Runs `lockgate dlq` with its code checked.
fn dlq(scene: &Scene, code: i32, arguments: &[&str]) -> Result<Ended> {
    let arguments = [&["dlq"], arguments].concat();
    let ended = Ended::of(scene.dir(), &arguments, &[], PATIENCE)?;
    let Ended { code: got, stdout, stderr } = &ended;
    ensure!(*got == Some(code), "{arguments:?} ended with {got:?}:\n{stdout}\n{stderr}");
    ensure!(!stdout.contains('\x1b'), "{arguments:?} steers the terminal: {stdout:?}");
    Ok(ended)
}

/// The pipeline of the scene, with the queue of its dead letters declared.
fn declared(scene: &Scene, pipeline: &Path) -> Result<()> {
    let dead = scene.named("dead");
    let declare = format!(
        "routing_key = \"dead\", declare = {{ type = \"fanout\", queues = [{{ name = \"{dead}\" }}] }}"
    );
    let text = fs::read_to_string(pipeline)?.replace("routing_key = \"dead\"", &declare);
    Ok(fs::write(pipeline, text)?)
}

/// A pipeline that dead-letters everything.
fn rejecting(scene: &Scene) -> Result<PathBuf> {
    let pipeline = scene.pass_through()?;
    let text = fs::read_to_string(&pipeline)?;
    fs::write(&pipeline, text.replace("when = 'true'", "when = 'false', otherwise = \"reject\""))?;
    declared(scene, &pipeline)?;
    Ok(pipeline)
}

/// Another pipeline's file, with the source queue `named("again")`.
fn another(scene: &Scene) -> Result<PathBuf> {
    let again = scene.named("again");
    scene.topology().declare(&json!({ "queues": { &again: {} } }))?;
    let text = format!(
        "version = 1\nname = \"again\"\n[source.amqp]\nurl = \"{}\"\nqueue = \"{again}\"\n\
         [route.default]\namqp = {{ exchange = \"\" }}\n",
        scene.url()
    );
    let path = scene.dir().join("again.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// Records that a tool or an export wrote.
fn lines(path: &str) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path)?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[test]
fn dead_letters_are_looked_at_and_replayed() -> Result<()> {
    let scene = Scene::shared("dlq")?;
    let pipeline = scene.pass_through()?;
    let code = include_str!("../fixtures/chameleon.wat");
    fs::write(scene.dir().join("chameleon.wasm"), guest("1", "0.1", "", code)?)?;
    let text = fs::read_to_string(&pipeline)?
        .replace("plugin = \"filter\"", "plugin = \"./chameleon.wasm\"")
        .replace("config = { when = 'true' }", "");
    fs::write(&pipeline, text)?;
    let publish = scene.publish("letters", COUNT).pass().with("--kind=letters");
    publish.with(&format!("--bad-key={BAD_KEY}")).run()?;
    let mut host = scene.start("host", &pipeline)?;
    scene.topology().reach(&scene.named("out"), COUNT - DEAD, Deadline::after(120))?;
    scene.topology().reach(&scene.named("dead"), DEAD, Deadline::after(120))?;
    host.drain()?;
    let file = pipeline.to_str().context("no UTF-8")?;
    refusals(&scene, file)?;
    declared(&scene, &pipeline)?;
    looks(&scene, file)?;
    replays(&scene, file)?;
    exports_and_purges(&scene, file)
}

/// Bad usage has a code and a way out.
fn refusals(scene: &Scene, file: &str) -> Result<()> {
    let says = |arguments: &[&str], parts: &[&str]| -> Result<()> {
        let stderr = dlq(scene, 2, arguments)?.stderr;
        ensure!(parts.iter().all(|part| stderr.contains(part)), "{arguments:?}: {stderr}");
        Ok(())
    };
    says(&["list", file], &["LG0801", "--queue"])?;
    says(&["list", file, "--queue", "no.such.queue"], &["LG0701", "no.such.queue"])?;
    says(&["purge", file, "--queue", &scene.named("dead")], &["--yes", "--dry-run"])?;
    let dead = scene.named("dead");
    let bad = ["list", file, "--queue", &dead, "--where", "headers[\"a\"] == hedaers.b"];
    says(&bad, &["LG0407", "--where:1:17", "hedaers", "headers"])?;
    says(&["replay", file, "--queue", &dead, "--to-queue", &dead], &["LG0803"])
}

/// Looking shows everything and changes nothing.
fn looks(scene: &Scene, file: &str) -> Result<()> {
    let (dead, input) = (scene.named("dead"), scene.named("in"));
    let list: Value = serde_json::from_str(
        &dlq(scene, 0, &["list", file, "--by", "reason", "--format", "json"])?.stdout,
    )?;
    let groups = list["groups"].as_array().context("no groups")?;
    let of = |reason: &str| {
        groups
            .iter()
            .find(|group| group["reason"] == reason)
            .and_then(|group| group["count"].as_u64())
    };
    ensure!(list["ready"] == DEAD && list["looked_at"] == DEAD && list["more"] == false, "{list}");
    ensure!(of("unroutable") == Some(UNROUTABLE) && of("bad_output") == Some(4), "{list}");
    ensure!(of("trap") == Some(2) && of("deadline") == Some(1), "{list}");
    let text =
        dlq(scene, 0, &["list", "--url", scene.url(), "--queue", &dead, "--limit", "30"])?.stdout;
    ensure!(text.contains("looked at 30 of 50") && text.contains("unroutable"), "{text}");
    let trap = "headers[\"lockgate-reason\"] == \"trap\"";
    let shown = dlq(scene, 0, &["show", file, "--where", trap])?.stdout;
    for part in [
        "reason      trap",
        "stage       all",
        "fixture 0.1.0",
        "t39",
        &format!("exchange `{input}`"),
    ] {
        ensure!(shown.contains(part), "no {part}: {shown}");
    }
    let one = dlq(scene, 0, &["show", file, "--id", "letters-39", "--body", "1"])?.stdout;
    ensure!(one.contains("letters-39") && one.contains("the last 2 are left out"), "{one}");
    let first = dlq(scene, 0, &["show", file, "--at", "2,1", "--format", "json"])?.stdout;
    ensure!(first.lines().count() == 2 && first.contains("\"position\":1"), "{first}");
    let dry = dlq(scene, 0, &["replay", file, "--dry-run"])?.stdout;
    ensure!(dry.contains(&format!("would replay {DEAD} dead letters")), "{dry}");
    ensure!(dry.contains(&format!("exchange `{input}`, routing key `{BAD_KEY}`")), "{dry}");
    let nowhere = ["replay", file, "--dry-run", "--to-exchange", "no.such.exchange"];
    let dry = dlq(scene, 0, &nowhere)?.stdout;
    ensure!(
        dry.contains(&format!("would stay: {DEAD}")) && dry.contains("does not exist"),
        "{dry}"
    );
    let purge = dlq(scene, 0, &["purge", file, "--dry-run"])?.stdout;
    ensure!(purge.contains(&format!("would delete {DEAD}")), "{purge}");
    ensure!(scene.topology().depth(&dead)? == DEAD, "letters are gone");
    ensure!(scene.topology().depth(&input)? == 0, "letters were replayed");
    Ok(())
}

/// Exactly those that are picked go, as they were; the others stay.
fn replays(scene: &Scene, file: &str) -> Result<()> {
    let (dead, input, again) = (scene.named("dead"), scene.named("in"), scene.named("again"));
    let topology = scene.topology();
    let trap = "headers[\"lockgate-reason\"] == \"trap\"";
    let done = dlq(scene, 0, &["replay", file, "--where", trap, "--rate", "100/s"])?.stdout;
    ensure!(done.contains("replayed 2 dead letters"), "{done}");
    ensure!(topology.depth(&dead)? == DEAD - 2 && topology.depth(&input)? == 2);
    let other = another(scene)?;
    let other = other.to_str().context("no UTF-8")?;
    let deadline = "headers[\"lockgate-reason\"] == \"deadline\"";
    dlq(scene, 0, &["replay", file, "--where", deadline, "--to", other])?;
    ensure!(topology.depth(&dead)? == DEAD - 3 && topology.depth(&again)? == 1);
    let (out, unroutable) = (scene.named("out"), "headers[\"lockgate-reason\"] == \"unroutable\"");
    let stayed =
        dlq(scene, 1, &["replay", file, "--where", unroutable, "--to-exchange", &out])?.stdout;
    ensure!(stayed.contains(&format!("stayed: {UNROUTABLE}")), "{stayed}");
    ensure!(stayed.contains("NO_ROUTE"), "{stayed}");
    ensure!(topology.depth(&dead)? == DEAD - 3);
    // A replay that makes new dead letters does not meet them again.
    let limited = ["replay", file, "--limit", "1", "--to-exchange", &dead];
    dlq(scene, 0, &limited)?;
    let circle = dlq(scene, 0, &["replay", file, "--to-exchange", &dead])?.stdout;
    ensure!(circle.contains(&format!("replayed {} dead letters", DEAD - 3)), "{circle}");
    ensure!(topology.depth(&dead)? == DEAD - 3);
    // What was replayed is what was sent, to the last header.
    let came = scene.file("replayed");
    let queues = [format!("--queue={input}"), format!("--queue={again}")];
    let url = format!("--url={}", scene.url());
    let out = format!("--out={came}");
    Tool::run("consume", &[&url, &queues[0], &queues[1], "--expect=3", &out])?;
    let sent = lines(&scene.file("letters.sent"))?;
    for record in lines(&came)? {
        let seq = &record["headers"]["x-seq"]["int"];
        let original = sent.iter().find(|sent| &sent["seq"] == seq).context("never sent")?;
        let mut headers = record["headers"].as_object().context("no headers")?.clone();
        headers.retain(|name, _| name != "lockgate-id");
        ensure!(Value::from(headers) == original["headers"], "{record} was {original}");
        for part in ["properties", "body"] {
            ensure!(record[part] == original[part], "{part}: {record} was {original}");
        }
        ensure!(record["exchange"] == "" || record["key"] == GOOD_KEY, "{record}");
    }
    Ok(())
}

fn exports_and_purges(scene: &Scene, file: &str) -> Result<()> {
    let (dead, export) = (scene.named("dead"), scene.file("dead.jsonl"));
    dlq(scene, 0, &["export", file, "--out", &export])?;
    let letters = lines(&export)?;
    let left = DEAD - 3;
    ensure!(letters.len() as u64 == left, "{} written", letters.len());
    ensure!(letters.iter().all(|letter| letter["body"]["text"].is_string()));
    // Those that went in a circle have lost what the first dead letter said of them.
    ensure!(letters.iter().all(|letter| letter["reason"] == "unknown"), "{}", letters[0]);
    dlq(scene, 2, &["export", file, "--out", &export])?;
    ensure!(scene.topology().depth(&dead)? == left);
    let some = ["purge", file, "--yes", "--where", "body_text.startsWith(\"p\")"];
    let purged = dlq(scene, 0, &some)?.stdout;
    ensure!(purged.contains(&format!("deleted {UNROUTABLE} dead letters")), "{purged}");
    ensure!(scene.topology().depth(&dead)? == left - UNROUTABLE);
    dlq(scene, 0, &["purge", file, "--yes", "--limit", "1"])?;
    dlq(scene, 0, &["purge", file, "--yes"])?;
    ensure!(scene.topology().depth(&dead)? == 0);
    let none = dlq(scene, 0, &["list", file])?.stdout;
    ensure!(none.contains("no dead letters"), "{none}");
    Ok(())
}

/// Where a letter is in an envelope, what can be read of it is shown and replayed; what no client
/// can read, and what has no room for the host's own header, stays.
#[test]
fn envelopes_are_opened() -> Result<()> {
    let scene = Scene::shared("dlq-envelopes")?;
    let pipeline = rejecting(&scene)?;
    let (dead, again) = (scene.named("dead"), scene.named("again"));
    let mut host = scene.start("host", &pipeline)?;
    let sent = scene.file("sent");
    Tool::run("rawamqp", &[scene.url(), "hostile", &scene.named("in"), GOOD_KEY, &sent])?;
    let count = lines(&sent)?.len() as u64;
    let stay = lines(&sent)?.iter().filter(|case| case["where"] == "envelope").count() as u64;
    scene.topology().reach(&dead, count, Deadline::after(60))?;
    host.drain()?;
    let file = pipeline.to_str().context("no UTF-8")?;
    let shown = dlq(&scene, 0, &["show", file, "--limit", "100", "--body", "100"])?.stdout;
    for part in [
        "envelope    with this message in it",
        "envelope    whose header cannot be read (nesting)",
        "envelope    whose header cannot be read (not_utf8)",
        "case:nested-1000",
        "    000000  00 3c 00 00",
    ] {
        ensure!(shown.contains(part), "no {part}: {shown}");
    }
    another(&scene)?;
    let replayed = dlq(&scene, 1, &["replay", file, "--to-queue", &again])?.stdout;
    ensure!(replayed.contains("its header cannot be read (nesting)"), "{replayed}");
    ensure!(replayed.contains(&format!("stayed: {stay}")), "{replayed}");
    let came = scene.file("came");
    Tool::run("rawamqp", &[scene.url(), "drain", &came, &count.to_string(), &again, &dead])?;
    let wrong = Tool::json("rawamqp", &["judge", &sent, &came, &dead])?;
    ensure!(wrong == json!([]), "{wrong:#}");
    Ok(())
}

/// A replay in the background; killed when dropped.
struct Background(Child);

impl Background {
    fn start(scene: &Scene, arguments: &[&str], name: &str) -> Result<Self> {
        let log = File::create(scene.dir().join(name))?;
        let child = Command::new(lockgate_binary()?)
            .arg("dlq")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    fn signal(&mut self, signal: Signal) -> Result<Option<i32>> {
        ensure!(self.0.try_wait()?.is_none(), "it ended before");
        kill_process(Pid::from_child(&self.0), signal)?;
        let status = until("its end", Deadline::after(60), || Ok(self.0.try_wait()?))?;
        Ok(status.code())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Interrupted, a replay loses and doubles nothing; killed, it loses nothing.
#[test]
fn a_replay_that_ends_early_loses_nothing() -> Result<()> {
    let scene = Scene::shared("dlq-killed")?;
    let count = long(6_000, 60_000);
    let pipeline = rejecting(&scene)?;
    scene.publish("load", count).pass().run()?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    let mut host = scene.start("host", &pipeline)?;
    let topology = scene.topology();
    topology.reach(&dead, count, Deadline::after(120))?;
    host.drain()?;
    let file = pipeline.to_str().context("no UTF-8")?;
    // Long enough to be met in the middle, twice, by tools that take their time.
    let rate = (count / 20).to_string();
    let replay = ["replay", file, "--to-exchange", &out, "--rate", &rate];
    let mut first = Background::start(&scene, &replay, "first.log")?;
    topology.reach(&out, count / 10, Deadline::after(60))?;
    ensure!(first.signal(Signal::INT)? == Some(1), "an interrupted replay is not done");
    let log = fs::read_to_string(scene.dir().join("first.log"))?;
    ensure!(log.contains("interrupted"), "{log}");
    let gone = topology.depth(&out)?;
    ensure!(gone < count && gone + topology.depth(&dead)? == count, "{gone} of {count} are out");
    let mut second = Background::start(&scene, &replay, "second.log")?;
    topology.reach(&out, gone + count / 10, Deadline::after(60))?;
    ensure!(second.signal(Signal::KILL)?.is_none());
    // The broker has missed it when the letters that it held are back.
    until("the letters to be back", Deadline::after(60), || {
        let (out, dead) = (topology.depth(&out)?, topology.depth(&dead)?);
        Ok((out + dead >= count).then_some(()))
    })?;
    ensure!(topology.depth(&dead)? > 0, "it was killed too late");
    dlq(&scene, 0, &["replay", file, "--to-exchange", &out])?;
    ensure!(topology.depth(&dead)? == 0);
    scene.collect("load", &[&out, &dead], count)?;
    let ledger = scene.ledger("load", "pass", &[("out", &out), ("dead", &dead)])?;
    ledger.at_least_once()?;
    // A block at most was published and its acks not told.
    ensure!(ledger.count("doubled") <= 256, "{} doubled", ledger.count("doubled"));
    Ok(())
}

//! Credentials: never printed, and found again when they change.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use lockgate_tests::{Deadline, Ended, Scene, until};

const PASSWORD: &str = "S3CRET";

fn pipeline(url: &str) -> String {
    format!(
        "version = 1\nname = \"secrets\"\n[source.amqp]\nurl = \"{url}\"\nqueue = \"q\"\n\
         [route.default]\namqp = {{ exchange = \"\", routing_key = \"q2\" }}\n"
    )
}

/// A password that ends the authority of its URL: refused by every command, and shown by none.
#[test]
fn a_password_that_is_not_escaped_is_refused_and_never_printed() -> Result<()> {
    let scene = Scene::shared("secrets")?;
    let run = |arguments: &[&str], password: &str| -> Result<()> {
        let ended = Ended::of(scene.dir(), arguments, &[("PW", password)], 60)?;
        let shown = format!("{}{}", ended.stdout, ended.stderr);
        ensure!(ended.code == Some(2), "{arguments:?} {password}: {:?} {shown}", ended.code);
        ensure!(shown.contains("LG0207"), "{arguments:?} {password}: {shown}");
        ensure!(shown.contains("%2F"), "{arguments:?} {password}: {shown}");
        ensure!(!shown.contains(PASSWORD), "{arguments:?} {password}: {shown}");
        Ok(())
    };
    let plain = scene.file("plain.toml");
    let variable = scene.file("variable.toml");
    fs::write(&variable, pipeline("amqp://guest:${PW}@127.0.0.1/"))?;
    for before in ["/", "1/", "5672/", "x@", "12#", "12?"] {
        let password = format!("{before}{PASSWORD}");
        let url = format!("amqp://guest:{password}@127.0.0.1/");
        fs::write(&plain, pipeline(&url))?;
        for path in [&plain, &variable] {
            run(&["check", path], &password)?;
            run(&["check", "--broker", path], &password)?;
            run(&["run", path], &password)?;
            run(&["dlq", "list", path], &password)?;
        }
        run(&["dlq", "list", "--url", &url, "--queue", "q"], &password)?;
        let host = scene.file("host.toml");
        let redis = url.replace("amqp", "redis");
        fs::write(&host, format!("version = 1\n[state]\nredis = \"{redis}\"\n"))?;
        run(&["run", "--config", &host, &plain], &password)?;
    }
    Ok(())
}

/// The file of the password is read again for each connection.
#[test]
fn a_password_that_is_changed_is_found() -> Result<()> {
    let scene = Scene::own("rotated")?;
    let rabbit = scene.rabbit()?;
    rabbit.ctl(&["add_user", "app", "first"])?;
    rabbit.ctl(&["set_permissions", "app", ".*", ".*", ".*"])?;
    let path = scene.pass_through()?;
    let file = scene.dir().join("password");
    fs::write(&file, "first\n")?;
    fs::set_permissions(&file, Permissions::from_mode(0o604))?;
    let (plain, text) = (format!("url = \"{}\"\n", scene.url()), fs::read_to_string(&path)?);
    let login = format!("{plain}username = \"app\"\npassword = {{ secret_file = \"password\" }}\n");
    ensure!(text.matches(&plain).count() == 1, "{text}");
    fs::write(&path, text.replace(&plain, &login))?;
    let mut host = scene.start("host", &path)?;
    ensure!(host.log().contains("LG0206"), "anybody can read it: {}", host.log());
    rabbit.ctl(&["change_password", "app", "second"])?;
    rabbit.close_all_connections()?;
    host.wait_unready()?;
    until("a line that says why", Deadline::after(60), || {
        host.alive()?;
        let log = host.log();
        let line = log.lines().find(|line| line.contains("login refused"));
        Ok(line.map(|line| line.contains("ACCESS_REFUSED")).filter(|said| *said).map(drop))
    })?;
    fs::write(&file, "second\n")?;
    host.wait_ready()?;
    scene.publish("load", 100).pass().run()?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.collect("load", &[&out, &dead], 100)?;
    host.drain()?;
    scene.ledger("load", "pass", &[("out", &out), ("dead", &dead)])?.at_least_once()
}

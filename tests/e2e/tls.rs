//! TLS with a client certificate, which is also the login (SASL EXTERNAL): no password anywhere.

use std::fs;

use anyhow::{Result, ensure};
use lockgate_tests::{Rabbit, Scene, tests_dir};

const COUNT: u64 = 500;

#[test]
fn a_certificate_is_the_login() -> Result<()> {
    let tls = tests_dir().join("../host/transport-amqp/tests/tls").canonicalize()?;
    let (rabbit, port) = Rabbit::start_tls(&tls)?;
    // The common name of `client.pem`, without a password.
    rabbit.ctl(&["add_user", "client", "unused"])?;
    rabbit.ctl(&["clear_password", "client"])?;
    rabbit.ctl(&["set_permissions", "client", ".*", ".*", ".*"])?;
    let scene = Scene::on("tls", rabbit)?;
    let pipeline = scene.pass_through()?;
    let text = fs::read_to_string(&pipeline)?;
    let plain = format!("url = \"{}\"\n", scene.url());
    let tls = tls.display();
    let secure = format!(
        "url = \"amqps://localhost:{port}\"\n\
         auth_mechanism = \"external\"\n\
         tls = {{ ca_file = \"{tls}/ca.pem\", cert_file = \"{tls}/client.pem\", \
         key_file = \"{tls}/client.key\" }}\n"
    );
    ensure!(text.matches(&plain).count() == 1, "{text}");
    fs::write(&pipeline, text.replace(&plain, &secure))?;
    scene.publish("secret", COUNT).pass().run()?;
    let mut host = scene.start("host", &pipeline)?;
    let (out, dead) = (scene.named("out"), scene.named("dead"));
    scene.collect("secret", &[&out, &dead], COUNT)?;
    let users = scene.rabbit()?.ctl(&["list_connections", "user", "ssl", "auth_mechanism"])?;
    let ours = users.lines().filter(|line| *line == "client\ttrue\tEXTERNAL").count();
    ensure!(ours == 2, "connections: {users}");
    host.drain()?;
    scene.ledger("secret", "pass", &[("out", &out), ("dead", &dead)])?.exact()
}

//! `with-rabbit COMMAND…`: runs a command beside a RabbitMQ that is stopped when it ends.
//!
//! The command finds the broker in `LOCKGATE_TEST_AMQP_URL`; with it the tests of the AMQP
//! transport run, and the end-to-end tests share it. Exits with the command's own code.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use lockgate_tests::{Rabbit, SHARED_URL};

fn main() -> Result<ExitCode> {
    let mut words = env::args_os().skip(1);
    let program = words.next().context("usage: with-rabbit COMMAND…")?;
    let rabbit = Rabbit::start()?;
    let status = Command::new(&program)
        .args(words)
        .env(SHARED_URL, rabbit.url())
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    drop(rabbit);
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

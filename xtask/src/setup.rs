//! `setup`: installs what is missing and nothing else, and says so.

mod amqp_tools;
pub(crate) mod apt;
mod broker;
mod python;
mod redis;
pub(crate) mod wasm;

use anyhow::Result;

use crate::paths::Paths;

/// Everything that `make test` needs: the Wasm target, RabbitMQ, `amqp-tools`, Redis, a Python with pika.
pub(crate) fn everything(paths: &Paths) -> Result<()> {
    wasm::ensure(paths)?;
    broker::ensure()?;
    amqp_tools::ensure()?;
    redis::ensure()?;
    python::ensure(paths)
}

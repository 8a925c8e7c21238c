//! `setup`: installs what is missing and nothing else, and says so.

pub(crate) mod apt;
mod broker;
mod python;
mod redis;
pub(crate) mod wasm;

use anyhow::Result;

use crate::paths::Paths;

/// Everything that `make test` needs: the Wasm target, RabbitMQ, Redis, a Python with pika.
pub(crate) fn everything(paths: &Paths) -> Result<()> {
    wasm::ensure(paths)?;
    broker::ensure()?;
    redis::ensure()?;
    python::ensure(paths)
}

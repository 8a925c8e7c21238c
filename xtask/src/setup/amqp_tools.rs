//! The stock AMQP client of the documentation, whose commands a test runs.

use anyhow::Result;

use super::apt;
use crate::shell::which;

/// Makes sure that `amqp-publish` and `amqp-get` are in the path.
pub(crate) fn ensure() -> Result<()> {
    if which("amqp-publish").is_some() && which("amqp-get").is_some() {
        return Ok(());
    }
    apt::install("a stock AMQP client", &["amqp-tools"])
}

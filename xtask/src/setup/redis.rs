//! Redis for the tests of shared state. They start servers of their own; no service is started here.

use anyhow::Result;

use super::apt;
use crate::shell::which;

/// Makes sure that a `redis-server` is in the path.
pub(crate) fn ensure() -> Result<()> {
    if which("redis-server").is_some() {
        return Ok(());
    }
    apt::install("Redis", &["redis-server"])
}

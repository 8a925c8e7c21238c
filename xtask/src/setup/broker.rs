//! RabbitMQ for the tests. They start nodes of their own; no service is started here.

use std::path::Path;

use anyhow::Result;

use super::apt;
use crate::shell::{is_file, which};

/// Makes sure that a RabbitMQ is installed: Debian's, or any `rabbitmq-server` in the path.
pub(crate) fn ensure() -> Result<()> {
    let debian = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    if is_file(debian) || which("rabbitmq-server").is_some() {
        return Ok(());
    }
    apt::install("RabbitMQ", &["rabbitmq-server"])
}

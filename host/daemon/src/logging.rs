//! Logs to standard error: pretty on a terminal, JSON elsewhere. `LOCKGATE_LOG` sets the filter.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Starts logging; a second call does nothing.
pub(crate) fn start(default_level: &str) {
    let filter = EnvFilter::try_from_env("LOCKGATE_LOG")
        .unwrap_or_else(|_| EnvFilter::new(default_level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = if stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_target(false).try_init()
    };
    drop(started);
}

//! Logs to standard error: pretty on a terminal, JSON elsewhere. `LOCKGATE_LOG` sets the filter.

use std::io::{IsTerminal, stderr};

use lockgate_config::{LogFormat, LogSpec};
use tracing_subscriber::EnvFilter;

/// Starts logging; a second call does nothing.
pub(crate) fn start(spec: &LogSpec) {
    let pretty = match spec.format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    subscribe(spec.level, pretty);
}

/// Warnings alone, for commands that print something else.
pub(crate) fn start_warnings() {
    subscribe("warn", true);
}

fn subscribe(level: &str, pretty: bool) {
    let filter = EnvFilter::try_from_env("LOCKGATE_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},lapin=off,async_rs=off")));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = if pretty {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_target(false).try_init()
    };
    drop(started);
}

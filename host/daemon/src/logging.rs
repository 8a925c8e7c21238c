//! Logs to standard error: pretty on a terminal, JSON elsewhere. `LOCKGATE_LOG` sets the filter.
//!
//! Values come from plugins, messages and brokers. Whatever in them could steer a terminal is written
//! as an escape, once, and here alone.

mod plain;

use std::io::{IsTerminal, stderr};

use lockgate_config::{LogFormat, LogSpec};
use tracing_subscriber::EnvFilter;

use plain::{Escaping, Plain};

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
    // A line that cannot be written is lost; saying so on the same standard error would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_target(false);
    let started = if pretty {
        let ansi = crate::report::is_colored(&stderr());
        builder.with_writer(stderr).with_ansi(ansi).fmt_fields(Plain).try_init()
    } else {
        builder.with_writer(|| Escaping(stderr())).json().flatten_event(true).try_init()
    };
    drop(started);
}

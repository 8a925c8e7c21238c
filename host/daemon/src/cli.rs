//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands::DlqCommand;

/// Programmable gates between message queues.
#[derive(Parser)]
#[command(name = "lockgate", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run pipelines until SIGTERM, SIGINT or SIGHUP, then drain; a second signal ends it at once.
    ///
    /// Exit codes: 0 after a clean drain, 1 on failure, 2 on bad usage or configuration.
    #[command(after_help = "Example:\n  lockgate run pipelines/orders.toml")]
    Run {
        /// Pipeline files, or folders of them.
        #[arg(default_value = "pipelines")]
        paths: Vec<PathBuf>,
        /// Settings of the daemon itself.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Run a whole pipeline on the embedded broker with sample data; needs no broker.
    #[command(after_help = "Example:\n  lockgate demo --messages 100000")]
    Demo {
        /// How many messages to send through.
        #[arg(long, default_value_t = 20_000)]
        messages: u64,
        /// Plain lines even on a terminal.
        #[arg(long)]
        plain: bool,
    },
    /// Check pipeline files without running them: files, plugins, settings, routes.
    ///
    /// Exit codes: 0 when nothing is wrong (warnings allowed), 2 otherwise.
    #[command(after_help = "Example:\n  lockgate check pipelines/ --format json")]
    Check {
        /// Pipeline files, or folders of them.
        #[arg(default_value = "pipelines")]
        paths: Vec<PathBuf>,
        /// Also connect to the brokers: make what the pipelines declare, as `run` does, and look whether
        /// the rest is there. Takes no message.
        #[arg(long)]
        broker: bool,
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Look at plugins.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Look at dead letters, replay them, delete them.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Compile one module from standard input; the daemon calls it on itself.
    #[command(hide = true)]
    CompileModule {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Subcommand)]
pub(crate) enum PluginCommand {
    /// Show what a plugin says of itself, without running it.
    #[command(
        after_help = "Example:\n  lockgate plugin inspect filter\n  lockgate plugin inspect ./my.wasm --format json"
    )]
    Inspect {
        /// A .wasm file, or the name of a shipped plugin.
        plugin: String,
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

//! The commands, one file each.

mod check;
mod demo;
mod dlq;
mod plugin;
mod run;

use std::process::ExitCode;

use crate::cli::{Cli, Command, PluginCommand};
use crate::{exit, report};

pub(crate) use dlq::DlqCommand;

/// Runs a command and turns its result into an exit code.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Run { paths, config } => run::run(&paths, config.as_deref()),
        Command::Demo { messages, plain } => demo::run(messages, plain),
        Command::Check { paths, broker, format } => check::run(&paths, broker, format),
        Command::Plugin(PluginCommand::Inspect { plugin, format }) => {
            plugin::inspect(&plugin, format)
        }
        Command::Dlq(command) => dlq::run(command),
        Command::CompileModule { arguments } => {
            return ExitCode::from(lockgate_engine::compile_child(&arguments));
        }
    };
    let code = result.unwrap_or_else(|error| {
        report::error(&error);
        exit::failed()
    });
    match report::check_written() {
        Ok(()) => code,
        Err(error) => {
            report::error(&error);
            exit::failed()
        }
    }
}

/// A tokio runtime for I/O. Plugins run on the lanes' own threads.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("io").build()?)
}

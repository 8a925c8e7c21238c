//! The lockgate daemon: read the command line, run the command, turn its result into an exit code.

mod admin;
mod app;
mod assemble;
mod cli;
mod commands;
mod connections;
mod exit;
mod logging;
mod memory;
mod metrics;
mod plugins;
mod process;
mod report;
mod stage;
mod state;
mod topology;
mod transports;

use std::process::ExitCode;

use clap::Parser;

// Messages are made by one thread and dropped by another: a fifth of the daemon's processor time
// went into the C library's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let usage = error.use_stderr();
            return match error.print() {
                Ok(()) if !usage => exit::OK,
                _ => exit::bad_input(),
            };
        }
    };
    commands::run(cli)
}

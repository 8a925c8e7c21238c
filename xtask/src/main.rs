//! Repository tasks: `cargo xtask setup | setup-wasm | plugins | tidy | fuzz`.
//!
//! The Makefile and `.ci/run` call these, so that a person and the CI run the same steps.
//! Each task prints one line a step on stderr and is quick when there is nothing to do.

mod fuzz;
mod paths;
mod plugins;
mod report;
mod setup;
mod shell;
mod tidy;
mod toolchain;

use std::process::ExitCode;

use paths::Paths;

const USAGE: &str = "usage: cargo xtask TASK

tasks:
  setup        install what the tests need and is missing: Wasm target, RabbitMQ, pika
  setup-wasm   install only the Wasm target (all that `make demo` needs)
  plugins      build the shipped plugins into <target>/plugins/*.wasm, if their sources changed
  tidy         check the rules of the tree that no compiler checks
  fuzz         run libFuzzer over every fuzz target; installs cargo-fuzz where it is missing

environment:
  CARGO_TARGET_DIR       where everything is built (default: target)
  LOCKGATE_PLUGINS_DIR   where `plugins` puts the modules (default: <target>/plugins)
  FUZZ_SECONDS           how long `fuzz` runs each target (default: 60)
  FUZZ_RUNS              how often instead; FUZZ_TARGET runs one alone
  LOCKGATE_WASM          `rustup` or `debian`: use that Wasm toolchain and no other";

fn main() -> ExitCode {
    let task = std::env::args().nth(1);
    let result = Paths::find().and_then(|paths| match task.as_deref() {
        Some("setup") => setup::everything(&paths),
        Some("setup-wasm") => setup::wasm::ensure(&paths).map(drop),
        Some("plugins") => plugins::build(&paths),
        Some("tidy") => tidy::check(&paths),
        Some("fuzz") => fuzz::everything(&paths),
        Some("help" | "--help" | "-h") => {
            report::say(USAGE);
            Ok(())
        }
        _ => Err(anyhow::anyhow!("{USAGE}")),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

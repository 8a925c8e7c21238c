//! Repository tasks: `cargo xtask setup | setup-wasm | plugins | tidy | matrix | breaks | fuzz`.
//!
//! The Makefile and `.ci/run` call these, so that a person and the CI run the same steps.
//! Each task prints one line a step on stderr and is quick when there is nothing to do.

mod breaks;
mod fuzz;
mod matrix;
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
  setup        install what the tests need and is missing: Wasm target, RabbitMQ, amqp-tools, Redis,
               pika
  setup-wasm   install only the Wasm target (all that `make demo` needs)
  plugins      build the shipped plugins into <target>/plugins/*.wasm, if their sources changed
  tidy         check the rules of the tree that no compiler checks
  matrix       run the broker tests on every RabbitMQ that Debian has, or on those named:
               `installed`, `trixie`, `sid`
  breaks       break each guarantee on purpose and see that its test fails, after it has passed with
               nothing broken; or only those whose test or description has an argument in it
  fuzz         run libFuzzer over every fuzz target; installs cargo-fuzz where it is missing

environment:
  CARGO_TARGET_DIR       where everything is built (default: target)
  LOCKGATE_PLUGINS_DIR   where `plugins` puts the modules (default: <target>/plugins)
  FUZZ_SECONDS           how long `fuzz` runs each target (default: 60)
  FUZZ_RUNS              how often instead; FUZZ_TARGET runs one alone
  LOCKGATE_WASM          `rustup` or `debian`: use that Wasm toolchain and no other";

fn main() -> ExitCode {
    let task = std::env::args().nth(1);
    let rest: Vec<String> = std::env::args().skip(2).collect();
    let result = Paths::find().and_then(|paths| match task.as_deref() {
        Some("setup") => setup::everything(&paths),
        Some("setup-wasm") => setup::wasm::ensure(&paths).map(drop),
        Some("plugins") => plugins::build(&paths),
        Some("tidy") => tidy::check(&paths),
        Some("matrix") => matrix::run_all(&paths, &rest),
        Some("breaks") => breaks::run_all(&paths, &rest),
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

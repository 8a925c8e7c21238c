//! Speed and memory of the whole, each figure beside a baseline that was measured in the same
//! run. `make bench` runs all of it; `make bench BENCH="core plugins"` some.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod bare;
mod broker;
mod core;
mod measure;
mod orders;
mod plugins;
mod start;
mod state;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["bare-loop", url, from, to] = arguments[..] {
        return bare::run(url, from, to);
    }
    // What cargo passes to every benchmark; without it `cargo test` asks for nothing.
    let Some(picked) = arguments.strip_suffix(&["--bench"]) else { return Ok(()) };
    let all = ["core", "plugins", "start", "broker"];
    for name in if picked.is_empty() { &all[..] } else { picked } {
        match *name {
            "core" => core::run()?,
            "plugins" => plugins::run()?,
            "start" => start::run()?,
            "broker" => broker::run()?,
            other => bail!("no benchmark {other:?}; there are {all:?}"),
        }
    }
    Ok(())
}

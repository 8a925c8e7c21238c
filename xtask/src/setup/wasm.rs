//! The Wasm target: rustup's where it can be had, else Debian's toolchain.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};

use super::apt;
use crate::paths::Paths;
use crate::report::step;
use crate::shell::{run, which};
use crate::toolchain::{TARGET, Toolchain};

const DEBIAN: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"];

/// Makes sure that plugins can be compiled to Wasm, and says with what.
pub(crate) fn ensure(_paths: &Paths) -> Result<Toolchain> {
    if let Some(found) = Toolchain::find() {
        return Ok(found);
    }
    let only = env::var("LOCKGATE_WASM").ok();
    if only.as_deref() != Some("debian") && which("rustup").is_some() {
        step("setup", &format!("Wasm target: rustup target add {TARGET}"));
        match run(Command::new("rustup").args(["target", "add", TARGET])) {
            Ok(()) => {
                if let Some(found) = Toolchain::find() {
                    return Ok(found);
                }
            }
            Err(_) => step("setup", "rustup cannot download the target; trying Debian's"),
        }
    }
    apt::install("a Rust compiler for WebAssembly", &DEBIAN).with_context(|| {
        format!("neither `rustup target add {TARGET}` nor Debian's packages work")
    })?;
    let found =
        Toolchain::find().context("Debian's packages are in but no Wasm linker is found")?;
    step("setup", &format!("Wasm target: {}", found.name()));
    Ok(found)
}

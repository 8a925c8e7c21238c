//! `fuzz`: libFuzzer over every target of `fuzz/`, one after the other, and what it did.
//!
//! Inputs that it finds stay below `<target>/fuzz`; what breaks a target is kept there too and
//! belongs, once mended, into `fuzz/regressions`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths::Paths;
use crate::report::{say, step};
use crate::shell::{capture, is_file, output, run};

/// The one platform of `make fuzz`; cargo-fuzz builds for a named one.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Seconds a target, unless `FUZZ_SECONDS` or `FUZZ_RUNS` says otherwise.
const SECONDS: u64 = 60;

/// Builds the targets and runs each; fails when one is broken.
pub(crate) fn everything(paths: &Paths) -> Result<()> {
    let tool = tool(paths)?;
    let built = paths.target.join("fuzz");
    step("build", "fuzz targets, instrumented (the first time takes minutes)");
    // Without a sanitizer, for the stable toolchain has none; the code has no `unsafe` to watch.
    run(Command::new(&tool)
        .args(["fuzz", "build", "--sanitizer", "none", "--features", "libfuzzer"])
        .args(["--target", PLATFORM, "--target-dir"])
        .arg(&built)
        .arg("--fuzz-dir")
        .arg(paths.root.join("fuzz")))?;
    let limit = match (number("FUZZ_RUNS")?, number("FUZZ_SECONDS")?) {
        (Some(runs), _) => format!("-runs={runs}"),
        (None, seconds) => format!("-max_total_time={}", seconds.unwrap_or(SECONDS)),
    };
    let (mut total, mut broken) = (0, Vec::new());
    for name in targets(&paths.root)? {
        match fuzz(paths, &built, &name, &limit)? {
            Some(executions) => {
                step("fuzz", &format!("{name}: {executions} executions"));
                total += executions;
            }
            None => broken.push(name),
        }
    }
    if !broken.is_empty() {
        bail!("broken: {}; the inputs are in {}", broken.join(", "), built.display());
    }
    step("fuzz", &format!("{total} executions, nothing broken"));
    Ok(())
}

/// cargo-fuzz, installed into the target folder where it is missing.
fn tool(paths: &Paths) -> Result<PathBuf> {
    let root = paths.target.join("tools");
    let tool = root.join("bin/cargo-fuzz");
    if capture(Command::new(&tool).args(["fuzz", "--version"])).is_none() {
        step("setup", "cargo-fuzz");
        run(Command::new("cargo")
            .args(["install", "--quiet", "--locked", "cargo-fuzz", "--root"])
            .arg(&root))
        .context("cannot install cargo-fuzz; is there a network?")?;
    }
    Ok(tool)
}

fn number(variable: &str) -> Result<Option<u64>> {
    match env::var(variable) {
        Ok(text) if !text.is_empty() => {
            text.parse().map(Some).with_context(|| format!("{variable} is not a number"))
        }
        _ => Ok(None),
    }
}

/// The targets: those with a corpus. `FUZZ_TARGET` picks one.
fn targets(root: &Path) -> Result<Vec<String>> {
    let only = env::var("FUZZ_TARGET").ok().filter(|only| !only.is_empty());
    let mut names = Vec::new();
    for folder in fs::read_dir(root.join("fuzz/corpus")).context("fuzz/corpus")? {
        let name = folder?.file_name().to_string_lossy().into_owned();
        if only.as_ref().is_none_or(|only| *only == name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Runs one target; `None` when it broke.
fn fuzz(paths: &Paths, built: &Path, name: &str, limit: &str) -> Result<Option<u64>> {
    let (found, crashes) = (built.join("found").join(name), built.join("broke"));
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&crashes)?;
    let mut command = Command::new(built.join(PLATFORM).join("release").join(name));
    command.arg(&found);
    // libFuzzer writes to the first folder only.
    for kept in ["corpus", "regressions"] {
        let kept = paths.root.join("fuzz").join(kept).join(name);
        if kept.is_dir() {
            command.arg(kept);
        }
    }
    let prefix = format!("-artifact_prefix={}/{name}-", crashes.display());
    command.args([limit, &prefix, "-print_final_stats=1", "-timeout=20", "-rss_limit_mb=2048"]);
    if !is_file(Path::new(command.get_program())) {
        bail!("no target {name} was built");
    }
    let done = output(&mut command)?;
    let text = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        say(&text);
        return Ok(None);
    }
    let count = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let count = count.context("libFuzzer did not say what it did")?;
    Ok(Some(count.trim().parse()?))
}

//! `plugins`: the shipped plugins as Wasm modules, for the daemon's build to embed.

mod imports;
pub(crate) mod sources;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::paths::Paths;
use crate::report::step;
use crate::setup;
use crate::shell::run;
use crate::toolchain::TARGET;

/// The shipped plugins: folders of `plugins/`, and the names that a pipeline file uses.
const SHIPPED: [&str; 6] = ["dedupe", "filter", "route", "spam-check", "throttle", "transform"];

/// Builds all of them into `paths.modules`, unless the sources are those of the last build.
pub(crate) fn build(paths: &Paths) -> Result<()> {
    let digest = sources::digest(&[
        &paths.root.join("plugins"),
        &paths.root.join("plugin-sdk/rust"),
        &paths.root.join("plugin-sdk/wit"),
    ])?;
    let stamp = paths.modules.join(".sources");
    let complete = SHIPPED.iter().all(|name| module(paths, name).is_file());
    if complete && fs::read_to_string(&stamp).is_ok_and(|last| last == digest) {
        return Ok(());
    }
    let toolchain = setup::wasm::ensure(paths)?;
    step("plugins", &format!("building {} with {}", SHIPPED.join(", "), toolchain.name()));
    run(toolchain.build(paths).arg("--workspace"))?;
    fs::create_dir_all(&paths.modules)
        .with_context(|| format!("cannot create {}", paths.modules.display()))?;
    let built = paths.plugins_target().join(TARGET).join("release");
    for name in SHIPPED {
        // Cargo turns the dash of a library's name into an underscore.
        let from = built.join(format!("{}.wasm", name.replace('-', "_")));
        install(&from, &module(paths, name))?;
    }
    fs::write(&stamp, digest).with_context(|| stamp.display().to_string())
}

fn module(paths: &Paths, name: &str) -> std::path::PathBuf {
    paths.modules.join(format!("{name}.wasm"))
}

/// Checks a fresh module and moves it in place. One that did not change is left untouched, so
/// that nothing which embeds it is built again.
fn install(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("no module {}", from.display()))?;
    imports::check(&bytes).with_context(|| format!("{} is not as we ship", from.display()))?;
    if fs::read(to).is_ok_and(|last| last == bytes) {
        return Ok(());
    }
    let part = to.with_extension("part");
    fs::write(&part, &bytes).with_context(|| part.display().to_string())?;
    fs::rename(&part, to).with_context(|| to.display().to_string())?;
    step("plugins", &format!("{} ({} KiB)", to.display(), bytes.len() / 1024));
    Ok(())
}

//! Where the built things are, and how much to test.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The folder of this package.
pub fn tests_dir() -> PathBuf {
    // Cargo says so at run time too; a build folder shared by two clones may hold the other's.
    env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// The build folder that the running test or tool was built into.
///
/// # Errors
/// When it is not known.
pub fn target_dir() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("CARGO_TARGET_DIR") {
        return Ok(tests_dir().join("..").join(dir));
    }
    Ok(tests_dir().join("../target"))
}

/// The daemon that is tested: `LOCKGATE_BIN`, or the one of the development build.
pub fn lockgate_binary() -> Result<PathBuf> {
    let binary = match env::var_os("LOCKGATE_BIN") {
        Some(binary) => PathBuf::from(binary),
        None => target_dir()?.join("debug/lockgate"),
    };
    ensure!(binary.is_file(), "no {}: run `make e2e`, which builds it", binary.display());
    Ok(binary)
}

/// The folder in which the daemons of tests keep what they compiled: what one did, none does again.
///
/// # Errors
/// When the build folder is not known.
pub fn plugin_cache() -> Result<PathBuf> {
    Ok(target_dir()?.join("e2e-cache"))
}

/// The module of a shipped plugin.
///
/// # Errors
/// When it is not built.
pub fn shipped_plugin(name: &str) -> Result<PathBuf> {
    let module = target_dir()?.join("plugins").join(name).with_extension("wasm");
    ensure!(module.is_file(), "no {}: run `cargo xtask plugins`", module.display());
    Ok(module)
}

/// The Python that has pika.
pub(crate) fn python() -> Result<PathBuf> {
    let python = target_dir()?.join("venv/bin/python");
    ensure!(python.is_file(), "no {}: run `cargo xtask setup`", python.display());
    Ok(python)
}

/// The folder with RabbitMQ's own scripts. Debian's wrappers in `/usr/sbin` change the user, and
/// with it the node's cookie, so they are avoided.
pub(crate) fn rabbitmq_scripts() -> Result<PathBuf> {
    let debian = PathBuf::from("/usr/lib/rabbitmq/bin");
    if rabbitmq_root().is_some() || debian.join("rabbitmq-server").is_file() {
        return Ok(debian);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .find_map(|dir| dir.join("rabbitmq-server").canonicalize().ok())
        .and_then(|server| server.parent().map(Path::to_path_buf))
        .context("no RabbitMQ: run `cargo xtask setup`")
}

/// The folder to start RabbitMQ in as its root, for another version than the installed one.
pub(crate) fn rabbitmq_root() -> Option<PathBuf> {
    env::var_os("LOCKGATE_RABBITMQ_ROOT").map(PathBuf::from)
}

/// `full` when `LOCKGATE_LONG=1` asks for the counts of the acceptance, else `short`.
pub fn long(short: u64, full: u64) -> u64 {
    match env::var("LOCKGATE_LONG").as_deref() {
        Ok("1") => full,
        _ => short,
    }
}

/// Shows a figure that a test measured, whether or not the test runner hides what tests print.
pub fn report(line: &str) {
    // The runner prints a dot a test without ending the line.
    let _ = writeln!(std::io::stderr(), "\n{line}");
}

/// A fresh folder for one test, kept when `LOCKGATE_KEEP` is set, to look at afterwards.
pub(crate) fn scratch(name: &str) -> Result<tempfile::TempDir> {
    let mut dir = tempfile::Builder::new().prefix(&format!("lockgate-{name}-")).tempdir()?;
    dir.disable_cleanup(keep());
    Ok(dir)
}

/// Whether the folders of tests stay.
pub(crate) fn keep() -> bool {
    env::var_os("LOCKGATE_KEEP").is_some()
}

//! Running other programs: quiet while they work, their whole output when they fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Runs `command` to its end and returns its output, whatever its exit code.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Runs `command` and fails, with all that it printed, unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let done = output(command)?;
    if done.status.success() {
        return Ok(());
    }
    bail!(
        "{} failed ({})\n{}{}",
        describe(command),
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    )
}

/// What `command` prints on stdout, without the line end; `None` if it cannot run or fails.
pub(crate) fn capture(command: &mut Command) -> Option<String> {
    let done = output(command).ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    done.status.success().then(|| text.trim().to_owned())
}

/// The first folder of `PATH`, or of the folders where Debian keeps system programs, with `name`.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| is_file(file))
}

/// Whether `path` is a file, or a link to one.
pub(crate) fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file())
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

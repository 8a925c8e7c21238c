//! A Python environment of the project's own with pika, the AMQP client that we did not write.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt;
use crate::paths::Paths;
use crate::report::step;
use crate::shell::{capture, run, which};

/// Makes sure that `<target>/venv/bin/python` has what `tests/tools/requirements.txt` names.
pub(crate) fn ensure(paths: &Paths) -> Result<()> {
    let wanted = fs::read_to_string(paths.root.join("tests/tools/requirements.txt"))
        .context("tests/tools/requirements.txt")?;
    let venv = paths.venv();
    let stamp = venv.join("requirements.txt");
    let same = fs::read_to_string(&stamp).is_ok_and(|have| have == wanted);
    // A venv points at the Python that made it, which may be gone.
    if same
        && capture(
            Command::new(venv.join("bin/python")).args(["-c", "import pika, prometheus_client"]),
        )
        .is_some()
    {
        return Ok(());
    }
    if which("python3").is_none() {
        apt::install("Python", &["python3", "python3-venv"])?;
    }
    step("setup", &format!("Python environment: {}", venv.display()));
    create(&venv)?;
    run(Command::new(venv.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(paths.root.join("tests/tools/requirements.txt")))
    .context("cannot install the tests' Python packages; is there a network?")?;
    fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())
}

/// A fresh environment; Debian splits what `venv` needs into a package of its own.
fn create(venv: &Path) -> Result<()> {
    let make = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv));
    if make().is_ok() {
        return Ok(());
    }
    apt::install("Python's venv", &["python3-venv"])?;
    if make().is_err() {
        // The python3 in the path may not be the one that Debian's package serves.
        run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    }
    if !venv.join("bin/python").exists() {
        bail!("no Python environment came to be in {}", venv.display());
    }
    Ok(())
}

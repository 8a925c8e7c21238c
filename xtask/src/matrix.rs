//! `matrix`: the end-to-end and transport tests on each line of RabbitMQ that Debian has, every
//! newer one in a folder of its own that holds a small Debian.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::paths::Paths;
use crate::report::step;
use crate::setup::apt;
use crate::shell::{capture, is_file, run, which};

/// The suites after the installed one, with the RabbitMQ they are there for.
const SUITES: [(&str, &str); 2] = [("trixie", "4.0"), ("sid", "4.3")];
const SERVER: &str = "usr/lib/rabbitmq/bin/rabbitmq-server";

/// What the folders share with the machine, so that a node in one finds the tests' folders.
const SHARED: [&str; 3] = ["proc", "dev", "tmp"];

/// Runs the tests on the installed RabbitMQ and on that of every suite, or on those `only` names.
pub(crate) fn run_all(paths: &Paths, only: &[String]) -> Result<()> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    if wanted("installed") {
        test(paths, "the installed RabbitMQ", None)?;
    }
    for (suite, version) in SUITES.into_iter().filter(|(suite, _)| wanted(suite)) {
        let root = folder(paths, suite)?;
        let mounted = Mounted::over(&root)?;
        test(paths, &format!("RabbitMQ {version}"), Some(&root))?;
        drop(mounted);
    }
    Ok(())
}

fn test(paths: &Paths, name: &str, root: Option<&Path>) -> Result<()> {
    step("matrix", &format!("tests on {name}"));
    let mut command = Command::new(paths.target.join("debug/with-rabbit"));
    command
        .args(["cargo", "test", "--quiet", "--workspace", "--test", "e2e", "--test", "broker"])
        .current_dir(&paths.root);
    if let Some(root) = root {
        command.env("LOCKGATE_RABBITMQ_ROOT", root);
    }
    let status = command.status().context("cannot start with-rabbit: run `make build` first")?;
    ensure!(status.success(), "tests on {name} failed");
    Ok(())
}

/// A Debian of `suite` with RabbitMQ in it, made where it is missing.
fn folder(paths: &Paths, suite: &str) -> Result<PathBuf> {
    let root = paths.target.join("rabbitmq").join(suite);
    if is_file(&root.join(SERVER)) {
        return Ok(root);
    }
    if capture(Command::new("id").arg("-u")).as_deref() != Some("0") {
        bail!("a Debian {suite} in {} needs root: run `sudo make test-matrix`", root.display());
    }
    if which("debootstrap").is_none() {
        apt::install("debootstrap", &["debootstrap"])?;
    }
    step("matrix", &format!("debootstrap {suite} into {}", root.display()));
    let half = root.with_extension("half");
    if half.exists() {
        std::fs::remove_dir_all(&half)?;
    }
    std::fs::create_dir_all(&half)?;
    run(Command::new("debootstrap").args(["--variant=minbase", suite]).arg(&half))?;
    let policy = half.join("usr/sbin/policy-rc.d");
    std::fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
    run(Command::new("chmod").arg("755").arg(&policy))?;
    // Some suites come without, and a node looks for itself there.
    std::fs::write(half.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    let mounted = Mounted::over(&half)?;
    let install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", "rabbitmq-server"];
    run(Command::new("chroot")
        .arg(&half)
        .args(install)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8"))?;
    drop(mounted);
    std::fs::rename(&half, &root)?;
    Ok(root)
}

/// The shared folders, mounted into a root as long as this lives.
struct Mounted(PathBuf);

impl Mounted {
    fn over(root: &Path) -> Result<Self> {
        let mounted = Self(root.to_owned());
        for name in SHARED {
            run(Command::new("mount")
                .arg("--bind")
                .arg(Path::new("/").join(name))
                .arg(root.join(name)))?;
        }
        Ok(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for name in SHARED {
            // One that was not mounted cannot be unmounted.
            let _ = run(Command::new("umount").arg("--lazy").arg(self.0.join(name)));
        }
    }
}

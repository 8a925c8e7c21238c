//! Debian packages: `apt-get`, without starting the services that a package brings.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::report::step;
use crate::shell::{capture, run, which};

/// Debian asks this script before it starts a service; exit code 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs `packages` for `purpose`, or says what a person has to install by hand.
pub(crate) fn install(purpose: &str, packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if which("apt-get").is_none() {
        bail!(
            "{purpose} is missing and there is no apt-get here: install by hand what Debian calls `{list}`"
        );
    }
    if capture(Command::new("id").arg("-u")).as_deref() != Some("0") {
        bail!(
            "{purpose} is missing and needs root: run `sudo apt-get install {list}`, then try again"
        );
    }
    step("setup", &format!("{purpose}: apt-get install {list}"));
    run(apt().args(["update", "-q"]))
        .context("cannot refresh the package lists; is there a network?")?;
    let _quiet = NoServices::begin()?;
    run(apt().args(["install", "-q", "-y", "--no-install-recommends"]).args(packages))
        .with_context(|| format!("cannot install {list}"))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// While it lives, a package that is installed does not start its service: the tests start a
/// broker of their own, and the machine's port 5672 is none of our business.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let policy = Path::new(POLICY);
        // A policy that is there already is the machine owner's.
        match fs::File::create_new(policy) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Ok(Self { ours: false });
            }
            Err(error) => return Err(error).context(POLICY),
        }
        let guard = Self { ours: true };
        fs::write(policy, "#!/bin/sh\nexit 101\n").context(POLICY)?;
        fs::set_permissions(policy, Permissions::from_mode(0o755)).context(POLICY)?;
        Ok(guard)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

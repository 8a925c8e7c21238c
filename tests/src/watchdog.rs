//! Watchdog: kills a process when the test process ends, however it ends.
//!
//! A shell waits for the end of a pipe whose other end only we hold: a test that is killed, or a
//! static that is never dropped, leaves nothing behind.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Guards one process; dropped, it stops guarding.
pub struct Watchdog(Child);

impl Watchdog {
    /// Kills process `pid` as soon as we are gone.
    ///
    /// # Errors
    /// When there is no `sh`.
    pub fn over(pid: u32) -> Result<Self> {
        Self::guard("", pid, Path::new(""))
    }

    /// As [`Watchdog::over`], and then deletes the folder that the process worked in.
    pub(crate) fn over_with_folder(pid: u32, folder: &Path) -> Result<Self> {
        Self::guard("; rm -rf -- \"$2\"", pid, folder)
    }

    fn guard(then: &str, pid: u32, folder: &Path) -> Result<Self> {
        let script = format!("cat >/dev/null; kill -9 \"$1\" 2>/dev/null{then}");
        let child = Command::new("sh")
            .args(["-c", &script, "watchdog", &pid.to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start sh")?;
        Ok(Self(child))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Before its stdin closes, so that it never gets to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
